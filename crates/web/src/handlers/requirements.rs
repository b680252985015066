//! What an organization asks of those who delete, and the approvals of its owners.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::approvals::{self, Subject};
use plane::requirements::{self, ByKind, Requirements};

use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn read(door: Door, Segments(organization): Segments<String>) -> Answer {
    let asked = requirements::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::tagged(StatusCode::OK, &asked.etag(), views::requirements(door.dialect, &asked)))
}

pub(crate) async fn replace(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let new = ByKind {
        organization: form.optional_part("organization", of_kind)?,
        member: form.optional_part("member", of_kind)?,
        customer: form.optional_part("customer", of_kind)?,
    };
    form.finish()?;
    let asked = requirements::replace(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::tagged(StatusCode::OK, &asked.etag(), views::requirements(door.dialect, &asked)))
}

fn of_kind(form: &mut Form) -> Requirements {
    Requirements {
        reason_required: form.optional_flag("reason_required").unwrap_or_default(),
        confirmation_required: form.optional_flag("confirmation_required").unwrap_or_default(),
        fresh_minutes: form.optional_number("fresh_minutes"),
        approval_required: form.optional_flag("approval_required").unwrap_or_default(),
        grace_days: form.optional_number("grace_days").unwrap_or_default(),
    }
}

pub(crate) async fn approve_organization(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    approve(&door, &organization, Subject::Organization, form).await
}

pub(crate) async fn approve_member(door: Door, Segments((organization, member)): Segments<(String, String)>, form: Form) -> Answer {
    let member = door.id("member_id", &member)?;
    approve(&door, &organization, Subject::Member(member), form).await
}

pub(crate) async fn approve_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>, form: Form) -> Answer {
    approve(&door, &organization, Subject::Customer(customer), form).await
}

pub(crate) async fn approve_weakening(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    approve(&door, &organization, Subject::Requirements, form).await
}

async fn approve(door: &Door, organization: &str, subject: Subject, mut form: Form) -> Answer {
    let reason = form.optional_text("reason");
    form.finish()?;
    let approval = approvals::give(&door.cx, &door.organization(organization)?, subject, reason).await?;
    Ok(views::tagged(StatusCode::CREATED, &approval.etag(), views::approval(door.dialect, approval)))
}

pub(crate) async fn list_approvals(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = approvals::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::approval))
}

pub(crate) async fn withdraw_approval(door: Door, Segments((organization, approval)): Segments<(String, String)>) -> Answer {
    approvals::withdraw(&door.cx, &door.organization(&organization)?, door.id("approval_id", &approval)?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
