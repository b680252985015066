//! Purges: many customers deleted at once.

use axum::http::StatusCode;
use plane::deletion;
use plane::deletion::check_reason;
use plane::purges::{self, Criteria, Meant, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;

use super::deletions::view;
use crate::door::{Door, Segments};
use crate::lists::BodyOrList;
use crate::problem::Answer;
use crate::remedies::Case;
use crate::views;

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

pub(crate) async fn order(door: Door, Segments(organization): Segments<String>, body: BodyOrList<CustomerPurge>) -> Answer {
    let organization = door.organization(&organization)?;
    let only_validates = door.only_validates()?;
    let mut is_forced = door.query.flag("force")?;
    let wanted = "must be the `count` of the purge that you looked at";
    let count = door.query.read("count", wanted, |text| text.parse::<i64>().ok().filter(|count| *count >= 0))?;
    let mut reason = door.reason();
    check_reason(reason.as_deref())?;
    let meant = match body {
        BodyOrList::List(references) => Meant::List(references),
        BodyOrList::Body(body) => {
            is_forced |= body.force.unwrap_or(false);
            reason = body.reason.filter(|reason| !reason.is_empty()).or(reason);
            Meant::Criteria(body.filter)
        }
    };
    check_reason(reason.as_deref())?;
    if !is_forced || only_validates {
        let survey = purges::look(&door.cx, &organization, &meant, reason.as_deref()).await?;
        let seconds = purges::seconds(&door.cx, &survey);
        return Ok(views::answer(StatusCode::OK, views::purge_plan(door.dialect, survey, seconds, Case::of(&door.cx, None))));
    }
    let ordered = purges::order(&door.cx, &organization, &meant, reason, count).await?;
    let watched = deletion::watch(&door.cx, ordered.id).await?;
    let answer = views::answer(StatusCode::ACCEPTED, view(door.dialect, watched, door.cx.now, None));
    Ok(views::with_deletion(answer, &ordered))
}

pub(crate) async fn stop(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let watched = purges::stop(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::tagged(StatusCode::OK, &watched.deletion.etag(), view(door.dialect, watched, door.cx.now, None)))
}

pub(crate) async fn items(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let words = "must be deleted, blocked, refused, not_found, repeated or stopped";
    let read = |name: &str| Outcome::NAMES.contains(&name).then(|| name.to_owned());
    let outcome = door.query.read("outcome", words, read)?;
    let (organization, page) = purges::items(&door.cx, door.id("id", &deletion)?, outcome, door.query.part()?).await?;
    Ok(views::page(door.dialect, page, |dialect, item| views::purge_item(dialect, organization, item)))
}
