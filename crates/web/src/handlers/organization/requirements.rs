//! What an organization asks of those who delete, and the approvals of its owners.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use plane::approvals::{self, Approval, Subject};
use plane::requirements::{self, Asked, ByKind, Requirements};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answers::{One, Paged};
use crate::body::Body as Given;
use crate::caller::{Caller, Segments};
use crate::problem::Answer;

/// What the organization asks of those who delete, whichever surface they use.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DeletionRequirements {
    /// Of those who delete the organization.
    organization: Required,
    /// Of those who remove a member; never of a member who leaves.
    member: Required,
    /// Of those who delete a customer, in any way.
    customer: Required,
    /// When it was last changed; null if nothing is asked.
    updated_at: Option<Timestamp>,
}

/// What is asked for one kind of subject.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Requirements")]
pub(crate) struct Required {
    /// They say why: `?reason=`.
    reason_required: bool,
    /// They type the organization's slug: `?confirm=`.
    confirmation_required: bool,
    /// They have signed in within so many minutes. No key and no app's token has.
    #[schemars(range(min = 1, max = 1_440), example = 15)]
    fresh_minutes: Option<u32>,
    /// Another owner has approved it.
    approval_required: bool,
    /// Days until what is deleted is erased; none if 0.
    #[schemars(range(min = 0, max = 90), example = 30)]
    grace_days: u32,
}

impl From<Requirements> for Required {
    fn from(of_kind: Requirements) -> Required {
        let Requirements { reason_required, confirmation_required, fresh_minutes, approval_required, grace_days } = of_kind;
        Required { reason_required, confirmation_required, fresh_minutes, approval_required, grace_days }
    }
}

fn told(caller: &Caller, asked: Asked) -> One<DeletionRequirements> {
    let ByKind { organization, member, customer } = asked.by_kind;
    let (organization, member, customer) = (organization.into(), member.into(), customer.into());
    caller.tagged(&asked.etag(), &DeletionRequirements { organization, member, customer, updated_at: asked.updated_at })
}

pub(crate) async fn read(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<DeletionRequirements>> {
    Ok(told(&caller, requirements::get(&caller.cx, &caller.organization(&organization)?).await?))
}

pub(crate) async fn replace(
    caller: Caller,
    Segments(organization): Segments<String>,
    Given(new): Given<ByKind>,
) -> Answer<One<DeletionRequirements>> {
    Ok(told(&caller, requirements::replace(&caller.cx, &caller.organization(&organization)?, new).await?))
}

/// An approval.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewApproval {
    /// Why, in your words: kept in the audit trail. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Asked for in writing")]
    reason: Option<String>,
}

pub(crate) async fn approve_organization(
    caller: Caller,
    Segments(organization): Segments<String>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&caller, &organization, Subject::Organization, new).await
}

pub(crate) async fn approve_member(
    caller: Caller,
    Segments((organization, member)): Segments<(String, String)>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    let member = caller.id("member_id", &member)?;
    approve(&caller, &organization, Subject::Member(member), new).await
}

pub(crate) async fn approve_customer(
    caller: Caller,
    Segments((organization, customer)): Segments<(String, String)>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&caller, &organization, Subject::Customer(customer), new).await
}

pub(crate) async fn approve_weakening(
    caller: Caller,
    Segments(organization): Segments<String>,
    Given(new): Given<NewApproval>,
) -> Answer<One<Approval>> {
    approve(&caller, &organization, Subject::Requirements, new).await
}

async fn approve(caller: &Caller, organization: &str, subject: Subject, new: NewApproval) -> Answer<One<Approval>> {
    let approval = approvals::give(&caller.cx, &caller.organization(organization)?, subject, new.reason).await?;
    Ok(caller.created(&approval.etag(), &approval))
}

pub(crate) async fn list_approvals(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Approval>> {
    let page = approvals::list(&caller.cx, &caller.organization(&organization)?, caller.query.page()?).await?;
    Ok(caller.page(page, |approval| approval))
}

pub(crate) async fn withdraw_approval(caller: Caller, Segments((organization, approval)): Segments<(String, String)>) -> Answer {
    approvals::withdraw(&caller.cx, &caller.organization(&organization)?, caller.id("approval_id", &approval)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
