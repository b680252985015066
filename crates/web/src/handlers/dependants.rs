//! What customers own: one set of adapters for all kinds.

use axum::http::StatusCode;
use plane::dependants::{self, Kind};
use serde_json::json;

use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(kind: &'static Kind, door: Door, (organization, customer): (String, String)) -> Answer {
    let page = dependants::list(&door.cx, &door.organization(&organization)?, &customer, kind, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::dependant))
}

pub(crate) async fn create(kind: &'static Kind, door: Door, (organization, customer): (String, String), form: Form) -> Answer {
    let dependant = dependants::create(&door.cx, &door.organization(&organization)?, &customer, kind, form.all()).await?;
    Ok(views::answer(StatusCode::CREATED, views::dependant(door.dialect, dependant)))
}

pub(crate) async fn set_status(
    kind: &'static Kind,
    door: Door,
    Segments((organization, customer, id)): Segments<(String, String, String)>,
    mut form: Form,
) -> Answer {
    let status = form.text("status");
    form.finish()?;
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    dependants::set_status(&door.cx, &organization, &customer, kind, id, status.clone()).await?;
    Ok(views::answer(StatusCode::OK, json!({"id": id, "status": status})))
}
