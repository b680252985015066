//! How long things are kept.

use axum::http::StatusCode;
use plane::retention::Retention;
use serde_json::Value as Json;

use crate::door::Door;
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door) -> Answer {
    let periods = &door.cx.plane.config.retention;
    let list: Vec<Json> = Retention::ALL.into_iter().map(|one| views::period(door.dialect, one, periods.days(one))).collect();
    Ok(views::answer(StatusCode::OK, list.into()))
}
