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
use crate::caller::{Caller, Segments};
use crate::handlers::{Deleted, delete_or_plan};
use crate::problem::Answer;

pub(crate) async fn list(caller: Caller) -> Answer<Paged<Organization>> {
    let page = organizations::list_mine(&caller.cx, &caller.query.texts("metadata")?, caller.query.page()?).await?;
    Ok(caller.page(page, |organization| organization))
}

pub(crate) async fn create(caller: Caller, Body(new): Body<NewOrganization>) -> Answer<One<Organization>> {
    let organization = organizations::create(&caller.cx, new).await?;
    Ok(caller.created(&organization.etag(), &organization))
}

pub(crate) async fn read(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::get(&caller.cx, &caller.organization(&organization)?).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
}

pub(crate) async fn update(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(change): Body<OrganizationChange>,
) -> Answer<One<Organization>> {
    let organization = organizations::update(&caller.cx, &caller.organization(&organization)?, change).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
}

pub(crate) async fn archive(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::archive(&caller.cx, &caller.organization(&organization)?).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
}

pub(crate) async fn unarchive(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Organization>> {
    let organization = organizations::unarchive(&caller.cx, &caller.organization(&organization)?).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
}

/// Who shall own the organization.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewOwner {
    /// The membership's id, not the user's.
    member_id: Uuid,
}

pub(crate) async fn transfer(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewOwner>,
) -> Answer<One<Organization>> {
    let organization = organizations::transfer(&caller.cx, &caller.organization(&organization)?, new.member_id).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
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
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(Recovery { email, reason }): Body<Recovery>,
) -> Answer<One<Organization>> {
    let organization = recovery::recover(&caller.cx, &caller.organization(&organization)?, &email, reason).await?;
    Ok(caller.tagged(&organization.etag(), &organization))
}

pub(crate) async fn delete(caller: Caller, Segments(organization): Segments<String>) -> Answer<OrPlan<Deleted>> {
    let organization = caller.organization(&organization)?;
    let deleting = organizations::delete(&caller.cx, &organization, caller.details()?);
    delete_or_plan(&caller, Subject::Organization(organization.clone()), deleting).await
}
