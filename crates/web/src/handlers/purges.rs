//! Purges: many customers deleted at once.

use axum::http::StatusCode;
use plane::deletions;
use plane::fields::check_reason;
use plane::purges::{self, Criteria, Meant, Outcome, Tally};
use plane::wire::Counts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::deletions::{DeletionOut, tagged};
use crate::answers::{One, OrPlan, Sliced};
use crate::blocker_links::{BlockerOut, Case};
use crate::caller::{Caller, Segments};
use crate::csv_body::JsonOrCsv;
use crate::problem::Answer;
use crate::query::must_be;

/// Customers to be deleted at once.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct CustomerPurge {
    /// Which customers.
    filter: Criteria,
    /// Deletes them. Without it they are counted and nothing is changed.
    #[schemars(example = false)]
    force: Option<bool>,
    /// Why, in your words: kept in the audit trail and the records. No personal data, please.
    #[schemars(length(min = 0, max = 500), example = &"Trials that ended")]
    reason: Option<String>,
}

/// What a purge would come to. Nothing has been changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PurgePlan {
    /// Customers that would be deleted: what `?count=` binds the order to.
    #[schemars(example = 97)]
    count: i64,
    /// Whether all customers were looked at. Of the largest organizations only the first half million are, or as many as ten seconds allow: then
    /// there may be more than were counted.
    #[schemars(example = true)]
    complete: bool,
    /// Customers by what would become of each: `deleted`, `blocked`, `refused`; of a list also `not_found` and `repeated`.
    #[schemars(with = "Counts", example = serde_json::json!({"deleted": 97, "blocked": 2}))]
    outcomes: Tally,
    /// Ids of the first hundred that would be deleted.
    #[schemars(length(max = 100), example = ["user123"])]
    sample: Vec<String>,
    /// What the organization asks and is missing: the order is refused, but for `approval_required`, which leaves out those who lack one.
    blockers: Vec<BlockerOut>,
    /// About how long it would take, webhooks aside.
    #[schemars(example = 1)]
    estimated_seconds: i64,
}

/// What became of one customer of a purge.
#[derive(Serialize, JsonSchema)]
pub(crate) struct PurgeItem {
    /// The place in the list that was sent, or in the order in which customers were found.
    #[schemars(range(min = 1), example = 1)]
    number: i64,
    /// `stopped`: the purge was, before it was the customer’s turn.
    outcome: Outcome,
    /// The customer's id; null once the customer is gone.
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    customer_id: Option<String>,
    /// The `subjectId` of the customer's deletion; null for an id that no customer had.
    subject_id: Option<Uuid>,
    /// The customer's own deletion, if there is one.
    deletion_id: Option<Uuid>,
    /// Why it was refused.
    #[schemars(length(min = 1, max = 1_000), example = &"Access denied. This customer is not under your management.")]
    detail: Option<String>,
    /// What stood in the way.
    blockers: Vec<BlockerOut>,
}

pub(crate) async fn order(
    caller: Caller,
    Segments(organization): Segments<String>,
    body: JsonOrCsv<CustomerPurge>,
) -> Answer<OrPlan<DeletionOut, PurgePlan>> {
    let organization = caller.organization(&organization)?;
    let only_validates = caller.only_validates()?;
    let mut is_forced = caller.query.flag("force")?;
    let wanted = "must be the `count` of the purge that you looked at";
    let count = caller.query.read("count", wanted, |text| text.parse::<i64>().ok().filter(|count| *count >= 0))?;
    let mut reason = caller.reason();
    check_reason(reason.as_deref())?;
    let meant = match body {
        JsonOrCsv::List(references) => Meant::List(references),
        JsonOrCsv::Body(body) => {
            is_forced |= body.force.unwrap_or(false);
            reason = body.reason.filter(|reason| !reason.is_empty()).or(reason);
            Meant::Criteria(body.filter)
        }
    };
    check_reason(reason.as_deref())?;
    if !is_forced || only_validates {
        let survey = purges::look(&caller.cx, &organization, &meant, reason.as_deref()).await?;
        return Ok(caller.plan(&PurgePlan {
            count: survey.count(),
            complete: !survey.is_part,
            estimated_seconds: purges::seconds(&caller.cx, &survey),
            blockers: Case::of(&caller.cx, None).blockers(caller.dialect, &survey.blockers),
            outcomes: survey.outcomes,
            sample: survey.sample,
        }));
    }
    let ordered = purges::order(&caller.cx, &organization, &meant, reason, count).await?;
    let watched = deletions::watch(&caller.cx, ordered.id).await?;
    Ok(caller.one(StatusCode::ACCEPTED, &DeletionOut::of(watched, caller.cx.now, None)).leading_to(&ordered).into())
}

pub(crate) async fn stop(caller: Caller, Segments(deletion): Segments<String>) -> Answer<One<DeletionOut>> {
    Ok(tagged(&caller, purges::stop(&caller.cx, caller.id("id", &deletion)?).await?))
}

pub(crate) async fn items(caller: Caller, Segments(deletion): Segments<String>) -> Answer<Sliced<PurgeItem>> {
    let outcome = caller.query.read("outcome", &must_be(&Outcome::ALL.map(Outcome::name)), Outcome::parse)?;
    let (organization, page) = purges::items(&caller.cx, caller.id("id", &deletion)?, outcome, caller.query.part()?).await?;
    Ok(caller.slice(page, |item| PurgeItem {
        number: item.number,
        blockers: Case::within(organization, item.reference.as_deref()).kept_blockers(caller.dialect, item.blockers),
        outcome: item.outcome,
        customer_id: item.reference,
        subject_id: item.customer,
        deletion_id: item.deletion,
        detail: item.detail,
    }))
}
