//! Organizations.

use plane::organizations::{self, NewOrganization, Organization, OrganizationChange};
use plane::plans::Subject;
use plane::recovery;
use plane::wire::KnownEmail;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged};
use crate::body::Body;
use crate::caller::{Door, Segments};
use crate::handlers::{Deleted, delete_or_plan};
use crate::problem::Answer;

pub(crate) async fn list(door: Door) -> Answer<Paged<Organization>> {
    let page = organizations::list_mine(&door.cx, &door.query.texts("metadata")?, door.query.page()?).await?;
    Ok(door.page(page, |organization| organization))
}

pub(crate) async fn create(door: Door, Body(new): Body<NewOrganization>) -> Answer<One<Organization>> {
    let organization = organizations::create(&door.cx, new).await?;
    Ok(door.created(&organization.etag(), &organization))
}

pub(crate) async fn read(door: Door, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

pub(crate) async fn update(
    door: Door,
    Segments(organization): Segments<String>,
    Body(change): Body<OrganizationChange>,
) -> Answer<One<Organization>> {
    let organization = organizations::update(&door.cx, &door.organization(&organization)?, change).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

pub(crate) async fn archive(door: Door, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::archive(&door.cx, &door.organization(&organization)?).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

pub(crate) async fn unarchive(door: Door, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::unarchive(&door.cx, &door.organization(&organization)?).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

/// Who shall own the organization.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewOwner {
    /// The membership's id, not the user's.
    member_id: Uuid,
}

pub(crate) async fn transfer(door: Door, Segments(organization): Segments<String>, Body(new): Body<NewOwner>) -> Answer<One<Organization>> {
    let organization = organizations::transfer(&door.cx, &door.organization(&organization)?, new.member_id).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

/// Who shall own an organization whose owners cannot act.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Recovery {
    /// Of an account, whether or not it is a member's.
    #[schemars(with = "KnownEmail")]
    email: String,
    /// Why, in your words: kept in the audit trails of the organization and the server. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Its only owner has left the company")]
    reason: String,
}

pub(crate) async fn recover(
    door: Door,
    Segments(organization): Segments<String>,
    Body(Recovery { email, reason }): Body<Recovery>,
) -> Answer<One<Organization>> {
    let organization = recovery::recover(&door.cx, &door.organization(&organization)?, &email, reason).await?;
    Ok(door.tagged(&organization.etag(), &organization))
}

pub(crate) async fn delete(door: Door, Segments(organization): Segments<String>) -> Answer<OrPlan<Deleted>> {
    let organization = door.organization(&organization)?;
    let deleting = organizations::delete(&door.cx, &organization, door.details()?);
    delete_or_plan(&door, Subject::Organization(organization.clone()), deleting).await
}
