//! How an attempt went is written down, with all that follows: another attempt, the next in order, a deletion that goes on, a webhook that is switched
//! off, a history that is cut.

use std::sync::Arc;

use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::queue::job;
use super::{Attempt, Due, FAILING_FOR, GONE, IN_ORDER, Kind, LONGEST_RETRY, RETRIES, State};
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::deletions::{effects, subscriptions};
use crate::events::Event;
use crate::notify::{About, emit};
use crate::payloads::RecordEvent;
use crate::subscription_steps::{self, Step};
use crate::{Plane, Result, billing, ledger, locks};
use deletion::{after, before};

/// Deliveries that were made and that a webhook's history keeps. Those that were given up go by their age.
const HISTORY: i64 = 100;
/// The same of a subscription.
const HISTORY_OF_BILLING: i64 = 10;

/// Writes down how an attempt went: done, to be tried again, or given up when its time is over.
///
/// # Errors
/// The database's; the effect is then due again when its lease is over.
pub async fn finish(plane: &Arc<Plane>, due: Due, attempt: Attempt) -> Result<()> {
    let chance = u64::from_le_bytes(deletion::random()?);
    let cx = job(plane);
    // A delivery that is forgotten is made twice, which may happen. What a deletion waits for, and what a failure leads to, is kept.
    match due.kind == Kind::Webhook && due.deletion.is_none() && attempt.error.is_none() {
        true => cx.write_behind(true, async move |cx, tx| finish_in(cx, tx, &due, &attempt, chance).await).await,
        false => cx.write_as_server(async move |cx, tx| finish_in(cx, tx, &due, &attempt, chance).await).await,
    }
}

/// When an effect is tried again that has failed once more; none when it is given up.
fn next_attempt(cx: &Cx, due: &Due, attempt: &Attempt, chance: u64) -> Option<Timestamp> {
    if due.undeliverable.is_some() || attempt.is_final || cx.now >= due.retry_until {
        return None;
    }
    let made = usize::try_from(due.attempts).unwrap_or(usize::MAX);
    let longest = RETRIES.get(made).copied().unwrap_or(LONGEST_RETRY);
    // The first three are those of the documentation.
    let shorter_by = if made < 3 { 0 } else { u32::try_from(chance % 200).unwrap_or(0) };
    let pause = longest - longest / 1_000 * shorter_by;
    let pause = attempt.retry_after.map_or(pause, |asked| pause.max(asked)).min(LONGEST_RETRY);
    Some(after(cx.now, pause).min(due.retry_until))
}

async fn finish_in(cx: &Cx, tx: &mut Tx, due: &Due, attempt: &Attempt, chance: u64) -> Result<()> {
    let retry = next_attempt(cx, due, attempt, chance);
    let (state, next) = match (attempt.error, retry) {
        (None, _) => (State::Delivered, cx.now),
        (Some(_), Some(at)) => (State::Pending, at),
        (Some(_), None) => (State::Failed, cx.now),
    };
    let is_finished = state != State::Pending;
    if due.kind == Kind::Billing {
        // The organization first, then the link, and then what hangs on it.
        billing::lock_organization(tx, due.organization).await?;
        subscription_steps::lock(tx, due.organization, due.queue).await?;
    }
    // A worker that took it over after this lease has another number of attempts, or has finished it.
    let update = sql!(
        "UPDATE effects SET state = $5, attempts = attempts + $6, response_status = $7, error = $8, next_attempt_at = $9,
                finished_at = $10, retry_until = $12, epoch = epoch + $13, outcome = coalesce($14, outcome),
                response_body = CASE WHEN is_counted OR action LIKE 'member.%' OR action LIKE 'invite.%' THEN NULL ELSE $11 END
         WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state = 'pending' AND attempts = $4
         RETURNING is_counted"
    );
    let values = params![
        due.organization,
        due.queue,
        due.id,
        due.attempts,
        state,
        i64::from(due.undeliverable.is_none()),
        attempt.status.map(i64::from),
        attempt.error,
        next,
        is_finished.then_some(cx.now),
        // What tells why it failed. The answer to what was taken, or to an event about a member, may hold the record of a person, which no
        // deletion finds here; that to an event about a customer goes with the customer.
        attempt.body.as_deref().filter(|_| attempt.error.is_some()),
        due.retry_until,
        // What was answered is answered again to the same key.
        i64::from(attempt.status.is_some_and(|status| !matches!(status, 409 | 429))),
        attempt.outcome.as_ref(),
    ];
    let Some(is_counted) = tx.read_opt::<bool>(update, values).await? else {
        // It is erased, or another worker has it: what waits for it does not wait for this one.
        return release_next(cx, tx, (due.organization, due.queue), due.about, due.id).await;
    };
    match due.kind {
        Kind::Webhook => note_health(cx, tx, due, attempt).await?,
        Kind::Billing => billing::note_state(cx, tx, (due.organization, due.queue), attempt.outcome.as_ref()).await?,
    }
    if is_finished || due.attempts + 1 == IN_ORDER {
        release_next(cx, tx, (due.organization, due.queue), due.about, due.id).await?;
    }
    if is_finished {
        match (due.kind, due.deletion) {
            (Kind::Billing, Some(deletion)) if is_counted => {
                effects::record_billing_again(tx, due.organization, deletion, due.id).await?;
                effects::forget(tx, due.organization, deletion).await?;
            }
            (Kind::Billing, Some(deletion)) if due.action == Step::CancelAtPeriodEnd.name() => {
                subscriptions::go_on_in_grace(cx, tx, due.organization, deletion).await?;
                ended(cx, tx, due.organization, (due.deletion, is_counted), state).await?;
            }
            _ => ended(cx, tx, due.organization, (due.deletion, is_counted), state).await?,
        }
        forget(cx, tx, (due.organization, due.queue), due.kind).await?;
    }
    Ok(())
}

/// What follows the end of an effect for the deletion that it speaks of: the deletion that waited for it goes on, or, if it was completed without
/// it, its receipt says what became of it.
pub(super) async fn ended(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    (deletion, is_counted): (Option<Uuid>, bool),
    state: State,
) -> Result<()> {
    let Some(deletion) = deletion else { return Ok(()) };
    if !is_counted {
        return wake(cx, tx, organization, deletion).await;
    }
    effects::recount(tx, organization, deletion, State::Pending.name(), state.name()).await?;
    effects::forget(tx, organization, deletion).await
}

/// Lets the next event about the same thing go that waits for this one.
pub(super) async fn release_next(cx: &Cx, tx: &mut Tx, (organization, webhook): (Uuid, Uuid), about: Option<Uuid>, id: Uuid) -> Result<()> {
    if about.is_none() {
        return Ok(());
    }
    let statement = sql!(
        "UPDATE effects SET next_attempt_at = $4
         WHERE organization_id = $1 AND queue_id = $2 AND state = 'pending' AND attempts = 0
           AND id = (SELECT id FROM effects
                     WHERE organization_id = $1 AND queue_id = $2 AND about = $3 AND state = 'pending' AND attempts < $5 AND id <> $6
                     ORDER BY sequence LIMIT 1)"
    );
    if tx.execute(statement, params![organization, webhook, about, cx.now, IN_ORDER, id]).await? > 0 {
        crate::notify::ring(cx, tx);
    }
    Ok(())
}

/// Notes since when a webhook takes nothing, and switches off one that wants nothing more or took nothing for too long. What is still in its queue
/// comes to its end when it is due.
async fn note_health(cx: &Cx, tx: &mut Tx, due: &Due, attempt: &Attempt) -> Result<()> {
    let (organization, webhook) = (due.organization, due.queue);
    if attempt.error.is_none() {
        let well = sql!("UPDATE webhooks SET failing_since = NULL WHERE organization_id = $1 AND id = $2 AND failing_since IS NOT NULL");
        tx.execute(well, params![organization, webhook]).await?;
        return Ok(());
    }
    if due.undeliverable.is_some() {
        return Ok(());
    }
    if due.failing_since.is_none() {
        let fails = sql!("UPDATE webhooks SET failing_since = $3 WHERE organization_id = $1 AND id = $2 AND failing_since IS NULL");
        tx.execute(fails, params![organization, webhook, cx.now]).await?;
    }
    // One failure after a long silence is none of five days.
    let (why, failing_since) = match attempt.status {
        Some(GONE) => ("its receiver answered 410 Gone", Timestamp::MAX),
        _ if due.attempts + 1 >= IN_ORDER => ("it took nothing for five days", before(cx.now, FAILING_FOR)),
        _ => return Ok(()),
    };
    let off = sql!(
        "UPDATE webhooks SET is_active = false, updated_at = $3
         WHERE organization_id = $1 AND id = $2 AND is_active AND state = 'live' AND failing_since <= $4"
    );
    if tx.execute(off, params![organization, webhook, cx.now, failing_since]).await? > 0 {
        ledger::changed(cx, tx, ledger::Credential::Webhook, Some(organization), webhook).await?;
        let note = Note {
            action: "webhook.switch_off",
            subject: "webhook",
            subject_id: Some(webhook),
            detail: Some(why.to_owned()),
            ..Note::default()
        };
        audit::record(cx, tx, organization, &note).await?;
        let data = RecordEvent { organization_id: organization, id: webhook };
        emit(cx, tx, organization, Event::WebhookDisabled, About::Other(webhook), data).await?;
    }
    Ok(())
}

/// Cuts the history to its length. What a deletion is still to count stays until it is completed, and what a legal hold is on, the organization or
/// the customer it speaks of, as long as that lasts. What stays because one is being placed goes with the next delivery.
async fn forget(cx: &Cx, tx: &mut Tx, (organization, queue): (Uuid, Uuid), kind: Kind) -> Result<()> {
    if !locks::try_keep_holds_out(tx, organization).await? {
        return Ok(());
    }
    let statement = sql!(
        "DELETE FROM effects
         WHERE organization_id = $1 AND queue_id = $2 AND state NOT IN ('pending', 'failed') AND (deletion_id IS NULL OR is_counted)
           AND id IN (SELECT id FROM effects WHERE organization_id = $1 AND queue_id = $2 AND state = 'delivered'
                      ORDER BY id DESC LIMIT 1000 OFFSET $3)
           AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.organization_id = $1 AND holds.subject_id IN ($1, effects.subject_id)
                                                 AND released_at IS NULL AND (until IS NULL OR until > $4))"
    );
    tx.execute(statement, params![organization, queue, if kind == Kind::Webhook { HISTORY } else { HISTORY_OF_BILLING }, cx.now]).await?;
    Ok(())
}

/// Lets a deletion that waits for its last delivery go on.
pub(super) async fn wake(cx: &Cx, tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<()> {
    let statement = sql!(
        "UPDATE deletions SET lease_until = NULL
         WHERE organization_id = $1 AND id = $2 AND waiting_for IS NOT NULL AND state <> 'completed'
           AND NOT EXISTS (SELECT 1 FROM effects WHERE organization_id = $1 AND deletion_id = $2 AND state = 'pending')"
    );
    if tx.execute(statement, params![organization, deletion]).await? > 0 {
        let plane = cx.plane.clone();
        tx.on_commit(move || plane.deletions.wake_waiting());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outbox::RETRIED_FOR;

    #[test]
    fn the_pauses_add_up_to_three_days() {
        let mut all = Duration::ZERO;
        let mut attempts = 1;
        while all < RETRIED_FOR {
            all += RETRIES.get(attempts - 1).copied().unwrap_or(LONGEST_RETRY);
            attempts += 1;
        }
        assert_eq!(attempts, 22);
        assert_eq!(RETRIES.iter().max(), Some(&LONGEST_RETRY));
    }
}
