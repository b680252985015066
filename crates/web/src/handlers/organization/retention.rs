//! How long things are kept.

use plane::retention::Retention;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answers::Listed;
use crate::caller::Caller;
use crate::problem::Answer;

/// How long something is kept before the server erases it by itself. What is under a legal hold stays as long as that lasts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RetentionPeriod {
    /// What the server's setting calls it.
    #[schemars(length(min = 1, max = 50), example = &"customers")]
    name: &'static str,
    /// What is kept.
    #[schemars(length(min = 1, max = 200), example = &"softly deleted customers, with what is kept with them")]
    what: &'static str,
    /// For how many days; null: forever.
    #[schemars(range(min = 1, max = 36_500), example = 365)]
    days: Option<u32>,
    /// When the time begins.
    #[schemars(length(min = 1, max = 200), example = &"their soft deletion")]
    since: &'static str,
}

pub(crate) async fn list(caller: Caller) -> Answer<Listed<RetentionPeriod>> {
    let periods = &caller.cx.plane.config.retention;
    let period = |one: Retention| RetentionPeriod { name: one.name(), what: one.what(), days: periods.days(one), since: one.since() };
    Ok(caller.list(&Retention::ALL.map(period)))
}
