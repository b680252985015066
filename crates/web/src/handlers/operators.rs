//! What the people who run the server do for it: who else is one of them, and how many requests an organization may make.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::organization_limits::{self, LimitsChange, OrganizationLimits};
use plane::users::operators::{self, Operator};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::body::Form;
use crate::dialect::{Dialect, time};
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door) -> Answer {
    let list: Vec<Json> = operators::list(&door.cx).await?.into_iter().map(|one| view(door.dialect, one)).collect();
    Ok(views::answer(StatusCode::OK, list.into()))
}

pub(crate) async fn add(door: Door, mut form: Form) -> Answer {
    let (email, reason) = (form.text("email"), form.text("reason"));
    form.finish()?;
    let operator = operators::appoint(&door.cx, &email, reason).await?;
    Ok(views::answer(StatusCode::CREATED, view(door.dialect, operator)))
}

pub(crate) async fn remove(door: Door, Segments(user): Segments<String>) -> Answer {
    operators::dismiss(&door.cx, door.id("userId", &user)?, door.reason().unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn read_limits(door: Door, Segments(organization): Segments<String>) -> Answer {
    let limits = organization_limits::get(&door.cx, &door.organization(&organization)?).await?;
    Ok(views::answer(StatusCode::OK, limits_view(door.dialect, limits)))
}

pub(crate) async fn change_limits(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let change = LimitsChange {
        requests_per_day: form.change("requests_per_day", Form::optional_number),
        requests_per_minute: form.change("requests_per_minute", Form::optional_number),
    };
    let reason = form.text("reason");
    form.finish()?;
    let limits = organization_limits::change(&door.cx, &door.organization(&organization)?, change, reason).await?;
    Ok(views::answer(StatusCode::OK, limits_view(door.dialect, limits)))
}

fn view(dialect: &Dialect, operator: Operator) -> Json {
    dialect.object(vec![
        ("id", dialect.id(operator.id)),
        ("email", operator.email.into()),
        ("name", operator.name.into()),
        ("created_at", time(operator.created_at)),
    ])
}

fn limits_view(dialect: &Dialect, (organization, limits): (Uuid, OrganizationLimits)) -> Json {
    dialect.object(vec![
        ("organization_id", dialect.id(organization)),
        ("requests_per_day", limits.requests_per_day.into()),
        ("requests_per_minute", limits.requests_per_minute.into()),
    ])
}
