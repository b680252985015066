//! Invitations.

use axum::http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use plane::invitations::{self, Invitation};
use plane::plans::Subject;
use plane::policy::Role;
use plane::wire::{Email, Metadata, OrganizationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::handlers::members::for_people;
use crate::handlers::{Deleted, delete_or_plan};
use crate::problem::{Answer, Failure};

pub(crate) async fn create(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewInvitation>,
) -> Answer<One<CreatedInvitation>> {
    let (invitation, token) = invite(&caller, &organization, new).await?;
    let etag = invitation.etag();
    Ok(caller.created(&etag, &CreatedInvitation { invitation, token }))
}

/// The same in the form of a member, as the account API answers it. The account API has no address for an invitation, so the answer leads to
/// that of the developers' API.
pub(crate) async fn create_out(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewInvitation>,
) -> Answer<One<InvitedMember>> {
    let (invitation, token) = invite(&caller, &organization, new).await?;
    let location = format!("/api/organizations/{organization}/invites/{}", invitation.id);
    // What an account of that address says about itself is not told to who invites it.
    let name = invitation.email.split('@').next().unwrap_or_default().chars().take(100).collect();
    let etag = invitation.etag();
    let invited = InvitedMember {
        id: invitation.id,
        user_email: invitation.email,
        user_name: name,
        user_metadata: json!({}),
        role: invitation.role,
        role_display: for_people(invitation.role, caller.dialect),
        status: "invited",
        expires_at: invitation.expires_at,
        token,
    };
    Ok(caller.created(&etag, &invited).with(|mut response| {
        response.headers_mut().extend(HeaderValue::try_from(location).map(|location| (header::LOCATION, location)));
        response
    }))
}

/// An invitation with its secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CreatedInvitation {
    #[serde(flatten)]
    invitation: Invitation,
    /// Accepts the invitation. Shown once.
    #[schemars(length(min = 1, max = 500))]
    token: String,
}

/// A person who was invited, in the form of a member.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InvitedMember {
    /// The invitation's id: the membership that it becomes has another.
    id: Uuid,
    /// The address that was invited.
    #[schemars(length(min = 1, max = 254))]
    user_email: String,
    /// The address' first part, until the person says more.
    #[schemars(length(min = 0, max = 100), example = &"ada")]
    user_name: String,
    /// Empty, until the person says more.
    #[schemars(with = "Metadata")]
    user_metadata: Json,
    role: Role,
    /// The role for people.
    #[schemars(length(min = 1, max = 50), example = &"Editor")]
    role_display: String,
    #[schemars(extend("enum" = ["invited"]))]
    status: &'static str,
    /// Until when the invitation can be accepted.
    expires_at: Timestamp,
    /// Accepts the invitation. Shown once.
    #[schemars(length(min = 1, max = 500))]
    token: String,
}

/// The membership that an invitation became.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AcceptedInvitation {
    #[schemars(with = "OrganizationId")]
    organization_id: Uuid,
    member_id: Uuid,
}

/// Who is invited, as what.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewInvitation {
    #[schemars(with = "Email")]
    email: String,
    /// member if missing.
    role: Option<Role>,
}

async fn invite(caller: &Caller, organization: &str, new: NewInvitation) -> Result<(Invitation, String), Failure> {
    let organization = caller.organization(organization)?;
    Ok(invitations::create(&caller.cx, &organization, &new.email, new.role.unwrap_or(Role::Member)).await?)
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Invitation>> {
    let page = invitations::list(&caller.cx, &caller.organization(&organization)?, caller.query.page()?).await?;
    Ok(caller.page(page, |invitation| invitation))
}

pub(crate) async fn cancel(caller: Caller, Segments((organization, invitation)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let (organization, invitation) = (caller.organization(&organization)?, caller.id("invite_id", &invitation)?);
    let deleting = invitations::cancel(&caller.cx, &organization, invitation, caller.reason());
    delete_or_plan(&caller, Subject::Invitation(organization.clone(), invitation), deleting).await
}

/// The secret of an invitation.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct AcceptInvitation {
    #[schemars(length(min = 1, max = 500), example = &"c0ffee", extend("x-secret" = true))]
    token: String,
}

pub(crate) async fn accept(caller: Caller, Body(AcceptInvitation { token }): Body<AcceptInvitation>) -> Answer<One<AcceptedInvitation>> {
    let (organization_id, member_id) = invitations::accept(&caller.cx, &token).await?;
    Ok(caller.one(StatusCode::OK, &AcceptedInvitation { organization_id, member_id }))
}
