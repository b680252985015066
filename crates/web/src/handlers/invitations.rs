//! Invitations.

use axum::http::{HeaderValue, StatusCode, header};
use plane::deletion::Subject;
use plane::invitations::{self, Invitation};
use plane::policy::Role;

use super::delete_or_plan;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::{Answer, Failure};
use crate::views;

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    let (invitation, token) = invite(&door, &organization, form).await?;
    Ok(views::tagged(StatusCode::CREATED, &invitation.etag(), views::new_invitation(door.dialect, invitation, token)))
}

/// The same in the form of a member, as the account API answers it. The account API has no address for an invitation, so the answer leads to
/// that of the developers' API.
pub(crate) async fn create_out(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    let (invitation, token) = invite(&door, &organization, form).await?;
    let location = format!("/api/organizations/{organization}/invites/{}", invitation.id);
    let mut response = views::tagged(StatusCode::CREATED, &invitation.etag(), views::invited_member(door.dialect, invitation, token));
    response.headers_mut().extend(HeaderValue::try_from(location).map(|location| (header::LOCATION, location)));
    Ok(response)
}

async fn invite(door: &Door, organization: &str, mut form: Form) -> Result<(Invitation, String), Failure> {
    let email = form.text("email");
    let role = form.role("role");
    form.finish()?;
    let organization = door.organization(organization)?;
    Ok(invitations::create(&door.cx, &organization, &email, role.unwrap_or(Role::Member)).await?)
}

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = invitations::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::invitation))
}

pub(crate) async fn cancel(door: Door, Segments((organization, invitation)): Segments<(String, String)>) -> Answer {
    let (organization, invitation) = (door.organization(&organization)?, door.id("invite_id", &invitation)?);
    let deleting = invitations::cancel(&door.cx, &organization, invitation, door.reason());
    delete_or_plan(&door, Subject::Invitation(organization.clone(), invitation), deleting).await
}

pub(crate) async fn accept(door: Door, mut form: Form) -> Answer {
    let token = form.text("token");
    form.finish()?;
    let (organization, member) = invitations::accept(&door.cx, &token).await?;
    let body = vec![("organization_id", door.dialect.id(organization)), ("member_id", door.dialect.id(member))];
    Ok(views::answer(StatusCode::OK, door.dialect.object(body)))
}
