//! What is done outside of the database, as operators look after it.

use axum::http::StatusCode;
use plane::outbox::State;
use plane::outbox::operating::{self, Effect};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answers::{One, Sliced};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::problem::Answer;

/// Why an operator does something about an effect.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct EffectReason {
    /// Why, in your words: kept in the audit trails. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Stripe is up again")]
    reason: String,
}

pub(crate) async fn list(caller: Caller) -> Answer<Sliced<Effect>> {
    let words = format!("must be one of {}", State::ALL.map(State::name).join(", "));
    let state = caller.query.read("state", &words, State::parse)?;
    let page = operating::list(&caller.cx, state, caller.query.part()?).await?;
    Ok(caller.slice(page, |effect| effect))
}

pub(crate) async fn read(caller: Caller, Segments(effect): Segments<String>) -> Answer<One<Effect>> {
    Ok(caller.one(StatusCode::OK, &operating::get(&caller.cx, caller.id("effect_id", &effect)?).await?))
}

pub(crate) async fn retry(
    caller: Caller,
    Segments(effect): Segments<String>,
    Body(EffectReason { reason }): Body<EffectReason>,
) -> Answer<One<Effect>> {
    Ok(caller.one(StatusCode::ACCEPTED, &operating::retry(&caller.cx, caller.id("effect_id", &effect)?, reason).await?))
}

pub(crate) async fn give_up(
    caller: Caller,
    Segments(effect): Segments<String>,
    Body(EffectReason { reason }): Body<EffectReason>,
) -> Answer<One<Effect>> {
    Ok(caller.one(StatusCode::OK, &operating::give_up(&caller.cx, caller.id("effect_id", &effect)?, reason).await?))
}
