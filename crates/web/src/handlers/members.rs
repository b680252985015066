//! Members.

use axum::http::StatusCode;
use plane::deletion::Subject;
use plane::members::{self, Member, MemberFilter};
use plane::page::Page;
use plane::{FieldError, Result};

use super::delete_or_plan;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::{Answer, Failure};
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    Ok(views::page(door.dialect, find(&door, &organization).await?, views::member))
}

/// The list as the account API shows it.
pub(crate) async fn list_out(door: Door, Segments(organization): Segments<String>) -> Answer {
    Ok(views::page(door.dialect, find(&door, &organization).await?, views::member_out))
}

async fn find(door: &Door, organization: &str) -> Result<Page<Member>> {
    let role = door.query.read("role", &door.dialect.role_words(), |name| door.dialect.parse_role(name))?;
    let filter = MemberFilter { role, text: door.query.text("q") };
    members::list(&door.cx, &door.organization(organization)?, &filter, door.query.page()?).await
}

pub(crate) async fn read(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("member_id", &member)?);
    let member = members::get(&door.cx, &organization, id).await?;
    Ok(views::tagged(StatusCode::OK, &member.etag(), views::member(door.dialect, member)))
}

/// A member as the account API shows it.
pub(crate) async fn read_out(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("member_id", &member)?);
    let member = members::get(&door.cx, &organization, id).await?;
    Ok(views::tagged(StatusCode::OK, &member.etag(), views::member_out(door.dialect, member)))
}

pub(crate) async fn change_role(door: Door, Segments(at): Segments<(String, String)>, form: Form) -> Answer {
    let member = change(&door, at, form).await?;
    Ok(views::tagged(StatusCode::OK, &member.etag(), views::member(door.dialect, member)))
}

/// The same as the account API answers it.
pub(crate) async fn change_role_out(door: Door, Segments(at): Segments<(String, String)>, form: Form) -> Answer {
    let member = change(&door, at, form).await?;
    Ok(views::tagged(StatusCode::OK, &member.etag(), views::member_out(door.dialect, member)))
}

async fn change(door: &Door, (organization, member): (String, String), mut form: Form) -> Result<Member, Failure> {
    let role = form.role("role");
    form.finish()?;
    let role = role.ok_or_else(|| FieldError::new("role", "required", "is required"))?;
    let (organization, member) = (door.organization(&organization)?, door.id("member_id", &member)?);
    Ok(members::change_role(&door.cx, &organization, member, role).await?)
}

pub(crate) async fn remove(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, member) = (door.organization(&organization)?, door.id("member_id", &member)?);
    let deleting = members::remove(&door.cx, &organization, member, door.reason());
    delete_or_plan(&door, Subject::Member(organization.clone(), member), deleting).await
}
