//! What customers own: one set of adapters for all kinds.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::dependants::{self, Kind};

use crate::body::Form;
use crate::door::Door;
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(kind: &'static Kind, door: Door, (organization, customer): (String, String)) -> Answer {
    let page = dependants::list(&door.cx, &door.organization(&organization)?, &customer, kind, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::dependant))
}

pub(crate) async fn create(kind: &'static Kind, door: Door, (organization, customer): (String, String), form: Form) -> Answer {
    let dependant = dependants::create(&door.cx, &door.organization(&organization)?, &customer, kind, form.all()).await?;
    Ok(views::tagged(StatusCode::CREATED, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn read(kind: &'static Kind, door: Door, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    let dependant = dependants::get(&door.cx, &organization, &customer, kind, id).await?;
    Ok(views::tagged(StatusCode::OK, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn update(kind: &'static Kind, door: Door, (organization, customer, id): (String, String, String), form: Form) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    let dependant = dependants::update(&door.cx, &organization, &customer, kind, id, form.all()).await?;
    Ok(views::tagged(StatusCode::OK, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn remove(kind: &'static Kind, door: Door, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    dependants::remove(&door.cx, &organization, &customer, kind, id, door.reason()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
