//! What the people who run the server do for it: who else is one of them, and how many requests an organization may make.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::organization_limits::{self, LimitsChange, OrganizationLimits};
use plane::users::operators::{self, Operator};
use plane::wire::{KnownEmail, OrganizationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answers::{Listed, One};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::problem::Answer;

pub(crate) async fn list(caller: Caller) -> Answer<Listed<Operator>> {
    Ok(caller.list(&operators::list(&caller.cx).await?))
}

/// Who shall run the server, too.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewOperator {
    /// Of an account that is there.
    #[schemars(with = "KnownEmail")]
    email: String,
    /// Why, in your words: kept in the server's audit trail, and in the organization's if it is about one. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Joins the team on call")]
    reason: String,
}

pub(crate) async fn add(caller: Caller, Body(NewOperator { email, reason }): Body<NewOperator>) -> Answer<One<Operator>> {
    let operator = operators::appoint(&caller.cx, &email, reason).await?;
    Ok(caller.one(StatusCode::CREATED, &operator))
}

pub(crate) async fn remove(caller: Caller, Segments(user): Segments<String>) -> Answer {
    operators::dismiss(&caller.cx, caller.id("userId", &user)?, caller.reason().unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn read_limits(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Limits>> {
    let limits = organization_limits::get(&caller.cx, &caller.organization(&organization)?).await?;
    Ok(caller.one(StatusCode::OK, &Limits::from(limits)))
}

/// How many requests an organization may make, where that is otherwise than for all.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OrganizationLimits")]
pub(crate) struct Limits {
    #[schemars(with = "OrganizationId")]
    organization_id: Uuid,
    #[serde(flatten)]
    limits: OrganizationLimits,
}

impl From<(Uuid, OrganizationLimits)> for Limits {
    fn from((organization_id, limits): (Uuid, OrganizationLimits)) -> Limits {
        Limits { organization_id, limits }
    }
}

/// What shall be changed. What is missing stays.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct OrganizationLimitsChange {
    #[serde(flatten)]
    change: LimitsChange,
    /// Why, in your words: kept in the server's audit trail, and in the organization's if it is about one. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Moves its data to us this week")]
    reason: String,
}

pub(crate) async fn change_limits(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(OrganizationLimitsChange { change, reason }): Body<OrganizationLimitsChange>,
) -> Answer<One<Limits>> {
    let limits = organization_limits::change(&caller.cx, &caller.organization(&organization)?, change, reason).await?;
    Ok(caller.one(StatusCode::OK, &Limits::from(limits)))
}
