//! Purges: many customers deleted at once.

use axum::http::StatusCode;
use plane::deletion::check_reason;
use plane::purges::{self, Criteria, Meant, Outcome};
use plane::{Result, deletion, ids};

use super::deletions::view;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::lists::FormOrList;
use crate::problem::Answer;
use crate::remedies::Case;
use crate::shapes::bodies::CUSTOMER_CRITERIA;
use crate::views;

pub(crate) async fn order(door: Door, Segments(organization): Segments<String>, body: FormOrList) -> Answer {
    let organization = door.organization(&organization)?;
    let only_validates = door.only_validates()?;
    let mut is_forced = door.query.flag("force")?;
    let wanted = "must be the `count` of the purge that you looked at";
    let count = door.query.read("count", wanted, |text| text.parse::<i64>().ok().filter(|count| *count >= 0))?;
    let mut reason = door.reason();
    check_reason(reason.as_deref())?;
    let meant = match body {
        FormOrList::List(references) => Meant::List(references),
        FormOrList::Form(mut form) => {
            let criteria = criteria(&mut form)?;
            is_forced |= form.optional_flag("force").unwrap_or(false);
            reason = form.optional_text("reason").filter(|reason| !reason.is_empty()).or(reason);
            form.finish()?;
            Meant::Criteria(criteria)
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

fn criteria(form: &mut Form) -> Result<Criteria> {
    form.part("filter", &CUSTOMER_CRITERIA, |form| Criteria {
        created_before: form.optional_time("created_before"),
        created_after: form.optional_time("created_after"),
        updated_before: form.optional_time("updated_before"),
        managed_by: form.optional("managed_by", "must be a member's id", ids::parse),
        email_domain: form.optional_text("email_domain"),
        metadata: form.pairs("metadata"),
        is_deleted: form.optional("state", "must be deleted, or left out", |state| (state == "deleted").then_some(true)).unwrap_or(false),
        is_all: form.yes("all"),
    })
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
