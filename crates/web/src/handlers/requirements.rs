//! What an organization asks of those who delete, and the approvals of its owners.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::approvals::{self, Approval, Subject};
use plane::requirements::{self, ByKind};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{One, Paged};
use crate::body::Body as Given;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn read(door: Door, Segments(organization): Segments<String>) -> Answer {
    let asked = requirements::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::tagged(StatusCode::OK, &asked.etag(), views::requirements(door.dialect, &asked)))
}

pub(crate) async fn replace(door: Door, Segments(organization): Segments<String>, Given(new): Given<ByKind>) -> Answer {
    let asked = requirements::replace(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::tagged(StatusCode::OK, &asked.etag(), views::requirements(door.dialect, &asked)))
}

/// An approval.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewApproval {
    /// Why, in your words: kept in the audit trail. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Asked for in writing")]
    reason: Option<String>,
}

pub(crate) async fn approve_organization(
    door: Door,
    Segments(organization): Segments<String>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&door, &organization, Subject::Organization, new).await
}

pub(crate) async fn approve_member(
    door: Door,
    Segments((organization, member)): Segments<(String, String)>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    let member = door.id("member_id", &member)?;
    approve(&door, &organization, Subject::Member(member), new).await
}

pub(crate) async fn approve_customer(
    door: Door,
    Segments((organization, customer)): Segments<(String, String)>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&door, &organization, Subject::Customer(customer), new).await
}

pub(crate) async fn approve_weakening(
    door: Door,
    Segments(organization): Segments<String>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&door, &organization, Subject::Requirements, new).await
}

async fn approve(door: &Door, organization: &str, subject: Subject, new: NewApproval) -> Answer<One<Approval>> {
    let approval = approvals::give(&door.cx, &door.organization(organization)?, subject, new.reason).await?;
    Ok(door.created(&approval.etag(), &approval))
}

pub(crate) async fn list_approvals(door: Door, Segments(organization): Segments<String>) -> Answer<Paged<Approval>> {
    let page = approvals::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(door.page(page, |approval| approval))
}

pub(crate) async fn withdraw_approval(door: Door, Segments((organization, approval)): Segments<(String, String)>) -> Answer {
    approvals::withdraw(&door.cx, &door.organization(&organization)?, door.id("approval_id", &approval)?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
