//! Legal holds.

use axum::http::StatusCode;
use plane::holds::{self, NewHold, State, Subject};

use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn of_organization(door: Door, Segments(organization): Segments<String>, form: Form) -> Answer {
    place(&door, &organization, Subject::Organization, form).await
}

pub(crate) async fn of_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>, form: Form) -> Answer {
    place(&door, &organization, Subject::Customer(customer), form).await
}

pub(crate) async fn of_member(door: Door, Segments((organization, member)): Segments<(String, String)>, form: Form) -> Answer {
    let member = door.id("member_id", &member)?;
    place(&door, &organization, Subject::Member(member), form).await
}

async fn place(door: &Door, organization: &str, subject: Subject, mut form: Form) -> Answer {
    let new = NewHold { reason: form.text("reason"), until: form.optional_time("until") };
    form.finish()?;
    let hold = holds::place(&door.cx, &door.organization(organization)?, subject, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &hold.etag(), views::hold(door.dialect, hold)))
}

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let state = door.query.read("state", "must be active, released or expired", State::parse)?;
    let page = holds::list(&door.cx, &door.organization(&organization)?, state, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::hold))
}

pub(crate) async fn read(door: Door, Segments((organization, hold)): Segments<(String, String)>) -> Answer {
    let (organization, hold) = (door.organization(&organization)?, door.id("hold_id", &hold)?);
    let hold = holds::get(&door.cx, &organization, hold).await?;
    Ok(views::tagged(StatusCode::OK, &hold.etag(), views::hold(door.dialect, hold)))
}

pub(crate) async fn release(door: Door, Segments((organization, hold)): Segments<(String, String)>, mut form: Form) -> Answer {
    let reason = form.text("reason");
    form.finish()?;
    let (organization, hold) = (door.organization(&organization)?, door.id("hold_id", &hold)?);
    let hold = holds::release(&door.cx, &organization, hold, reason).await?;
    Ok(views::tagged(StatusCode::OK, &hold.etag(), views::hold(door.dialect, hold)))
}
