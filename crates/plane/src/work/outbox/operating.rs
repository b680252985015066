//! What operators see of the outbox and do about it, and what a deletion does outside. Deliveries to webhooks are for their organizations to look
//! after; subscriptions at the payment provider for those who run the server.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use super::{Kind, RETRIED_FOR, State};
use crate::access::as_operator;
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::fields::Check;
use crate::ids::{OrganizationRef, SERVER_SCOPE};
use crate::page::{Page, PageRequest};
use crate::subscription_steps::{Step, SubscriptionState};
use crate::{Error, Result, deletions, notify};
use deletion::after;

const REFUSAL: &str = "Access denied. Only operators look after what the server does outside.";

/// Something that is done outside of the database: a webhook is told, a subscription is changed.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Effect {
    /// Its id. Of a webhook the event's.
    pub id: Uuid,
    /// The organization.
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization_id: Uuid,
    /// What kind of thing is done.
    pub kind: Kind,
    /// What it tells or does.
    #[schemars(length(min = 1, max = 50), example = &"subscription.cancel")]
    pub action: String,
    /// The webhook that it goes to, or the subscription's id here.
    pub to: Uuid,
    /// The deletion that it is a part of.
    pub deletion_id: Option<Uuid>,
    /// How far it is. `delivered`: the other side has taken or confirmed it.
    pub state: State,
    /// Whether it was given up before it had come to its end: nothing waits for it.
    pub is_given_up: bool,
    /// Attempts that came to an end.
    #[schemars(example = 1)]
    pub attempts: i64,
    /// The status of the last answer.
    #[schemars(range(min = 100, max = 999), example = 503)]
    pub response_status: Option<i64>,
    /// Why the last attempt failed.
    #[schemars(length(min = 1, max = 200), example = &"no answer within 10 seconds")]
    pub error: Option<String>,
    /// The beginning of the answer that refused it; null once its deletion is completed.
    #[schemars(length(min = 0, max = 1_000), example = &"resource_missing: No such subscription: 'sub_1PqR'")]
    pub response_body: Option<String>,
    /// What would let it go on; null once it is done.
    #[schemars(length(min = 1, max = 500), example = &"It is tried again by itself.")]
    pub remedy: Option<&'static str>,
    /// The subscription as the payment provider has it after the last attempt.
    pub outcome: Option<SubscriptionState>,
    /// While it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// While it is pending: when it is tried for the last time.
    pub retry_until: Option<Timestamp>,
    /// When its cause happened.
    pub created_at: Timestamp,
    /// When it was done or given up.
    pub finished_at: Option<Timestamp>,
}

columns! { Effect {
    id, organization_id, kind, action, to: "queue_id", deletion_id, state, is_given_up, attempts, response_status, error, response_body, outcome => read_outcome,
    next_attempt_at: "CASE WHEN state = 'pending' THEN next_attempt_at END", retry_until: "CASE WHEN state = 'pending' THEN retry_until END",
    created_at, finished_at; remedy = None,
} }

fn read_outcome(outcome: Option<Json>) -> Option<SubscriptionState> {
    serde_json::from_value(outcome?).ok()
}

impl Effect {
    fn with_remedy(mut self) -> Effect {
        self.remedy = match (self.state, self.kind, self.is_given_up) {
            (State::Delivered, ..) | (_, _, true) => None,
            (State::Pending, ..) if self.error.is_none() => Some("It is carried out by itself, in its turn."),
            (State::Pending, Kind::Webhook, _) => Some(
                "It is tried again by itself. …/webhooks/{webhookId}/deliveries/{deliveryId}/resend tries it at once, …/give-up ends it.",
            ),
            (State::Pending, Kind::Billing, _) => {
                Some("It is tried again by itself. Mend what the error says; then operators can try it at once: freehold effects retry ID.")
            }
            (State::Failed, Kind::Webhook, _) => Some("…/webhooks/{webhookId}/deliveries/{deliveryId}/resend sends it again."),
            (State::Failed, Kind::Billing, _) => Some(
                "Mend what the error says; then operators have it tried again (freehold effects retry ID), or do it by hand and let what waits for \
                 it go on (freehold effects give-up ID).",
            ),
        };
        self
    }
}

/// Lists what a deletion does outside, queue by queue and the oldest first. What concerns an organization's own webhooks is gone once the
/// organization is.
///
/// # Errors
/// Those of [`deletions::get`].
pub async fn of_deletion(cx: &Cx, deletion: Uuid, request: PageRequest) -> Result<Page<Effect>> {
    let deletion = deletions::get(cx, deletion).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM effects WHERE organization_id = $1 AND deletion_id = $2");
        let total = tx.read_one(count, params![deletion.organization, deletion.id]).await?;
        let statement = sql!(
            "SELECT {columns} FROM effects WHERE organization_id = $1 AND deletion_id = $2 ORDER BY queue_id, sequence LIMIT $3 OFFSET $4",
            Effect
        );
        let effects: Vec<Effect> =
            tx.read_all(statement, params![deletion.organization, deletion.id, request.size, request.offset()]).await?;
        Ok(Page::new(effects.into_iter().map(Effect::with_remedy).collect(), total, request))
    })
    .await
}

/// Lists what the server does outside by itself, newest first: of a state, or that is not done. For operators.
///
/// # Errors
/// [`Error::Forbidden`].
pub async fn list(cx: &Cx, state: Option<State>, request: PageRequest) -> Result<Page<Effect>> {
    as_operator(cx, REFUSAL)?;
    let page = cx
        .read(async move |_, tx| {
            let states = match state {
                Some(state) => vec![state.name().to_owned()],
                None => vec![State::Pending.name().to_owned(), State::Failed.name().to_owned()],
            };
            let count = sql!("SELECT count(*) FROM effects WHERE state = ANY($1) AND kind <> 'webhook' AND NOT is_given_up");
            let total = match request.after {
                Some(_) => 0,
                None => tx.read_one(count, params![states.clone()]).await?,
            };
            let statement = sql!(
                "SELECT {columns} FROM effects WHERE kind <> 'webhook' AND state = ANY($1) AND NOT is_given_up AND id < $4
                 ORDER BY id DESC LIMIT $2 OFFSET $3",
                Effect
            );
            let found: Vec<Effect> = tx.read_all(statement, params![states, request.limit(), request.offset(), request.below()]).await?;
            Ok(Page::part(found.into_iter().map(Effect::with_remedy).collect(), total, request, |effect: &Effect| effect.id))
        })
        .await?;
    cx.plane.ledger.settled().await;
    Ok(page)
}

/// Reads one of them. For operators.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`].
pub async fn get(cx: &Cx, id: Uuid) -> Result<Effect> {
    as_operator(cx, REFUSAL)?;
    cx.read(async move |_, tx| load(tx, id).await).await
}

/// Has one tried at once that waits or was given up, and for three days from now. For operators.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Conflict`] when it is done, or is not to be done any more.
pub async fn retry(cx: &Cx, id: Uuid, reason: String) -> Result<Effect> {
    change(cx, id, reason, "effect.retry", async |cx, tx, found| {
        if found.state == State::Delivered {
            return Err(Error::Conflict("It is done: there is nothing to try again.".into()));
        }
        let is_undone = found.action != Step::Resume.name() && is_taken_back(tx, found).await?;
        if is_undone {
            return Err(Error::Conflict("Its deletion was taken back: it is not to be done any more.".into()));
        }
        let again = sql!(
            "UPDATE effects SET state = 'pending', attempts = 0, epoch = epoch + 1, next_attempt_at = $4, retry_until = $5, finished_at = NULL,
                    is_given_up = false
             WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state = 'failed'"
        );
        let now = sql!(
            "UPDATE effects SET next_attempt_at = $4 WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state = 'pending' AND error IS NOT NULL"
        );
        let place = params![found.organization_id, found.to, found.id, cx.now, after(cx.now, RETRIED_FOR)];
        if tx.execute(again, place).await? == 0 {
            // One that is under way stays so until its lease is over.
            tx.execute(now, &place[..4]).await?;
        }
        notify::ring(cx, tx);
        Ok(())
    })
    .await
}

/// Gives one up: it is tried no more, and the deletion that waits for it goes on without it. For operators.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`]; [`Error::Conflict`] when it is done or given up already.
pub async fn give_up(cx: &Cx, id: Uuid, reason: String) -> Result<Effect> {
    change(cx, id, reason, "effect.give_up", async |cx, tx, found| {
        let end = sql!(
            "UPDATE effects SET state = 'failed', is_given_up = true, finished_at = $4
             WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state <> 'delivered' AND NOT is_given_up"
        );
        if tx.execute(end, params![found.organization_id, found.to, found.id, cx.now]).await? == 0 {
            return Err(Error::Conflict("It is done or given up already.".into()));
        }
        if let Some(deletion) = found.deletion_id {
            super::finishing::wake(cx, tx, found.organization_id, deletion).await?;
            deletions::subscriptions::go_on_in_grace(cx, tx, found.organization_id, deletion).await?;
        }
        super::finishing::release_next(cx, tx, (found.organization_id, found.to), Some(found.to), found.id).await
    })
    .await
}

async fn change(
    cx: &Cx,
    id: Uuid,
    reason: String,
    action: &'static str,
    work: impl AsyncFn(&Cx, &mut Tx, &Effect) -> Result<()> + Send + Sync + 'static,
) -> Result<Effect> {
    let note = Note { action, subject: "effect", subject_id: Some(id), reason: Some(reason.clone()), ..Note::default() };
    audit::attempt(cx, &OrganizationRef::Id(SERVER_SCOPE), note.clone(), async {
        as_operator(cx, REFUSAL)?;
        let mut check = Check::new();
        check.text("reason", &reason, 1..=500);
        check.finish()?;
        let found = cx.read(async move |_, tx| load(tx, id).await).await?;
        cx.write_own(async move |cx, tx| {
            as_operator(cx, REFUSAL)?;
            lock(tx, &found).await?;
            let found = load(tx, id).await?;
            work(cx, tx, &found).await?;
            let note = Note { detail: Some(found.action.clone()), deletion_id: found.deletion_id, ..note.clone() };
            audit::record(cx, tx, SERVER_SCOPE, &note).await?;
            if found.organization_id != SERVER_SCOPE {
                audit::record(cx, tx, found.organization_id, &note).await?;
            }
            load(tx, id).await
        })
        .await
    })
    .await
}

/// Takes the lock of the row: how an attempt went is written down before or after.
async fn lock(tx: &mut Tx, effect: &Effect) -> Result<()> {
    let statement = sql!("SELECT 1 FROM effects WHERE organization_id = $1 AND queue_id = $2 AND id = $3 FOR UPDATE");
    tx.query_opt(statement, params![effect.organization_id, effect.to, effect.id]).await?;
    Ok(())
}

async fn is_taken_back(tx: &mut Tx, effect: &Effect) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM deletions WHERE organization_id = $1 AND id = $2 AND state = 'restored'");
    match effect.deletion_id {
        None => Ok(false),
        Some(deletion) => Ok(tx.query_opt(statement, params![effect.organization_id, deletion]).await?.is_some()),
    }
}

async fn load(tx: &mut Tx, id: Uuid) -> Result<Effect> {
    let statement = sql!("SELECT {columns} FROM effects WHERE id = $1 AND kind <> 'webhook'", Effect);
    Ok(tx.read_opt::<Effect>(statement, params![id]).await?.ok_or(Error::NotFound("Effect"))?.with_remedy())
}
