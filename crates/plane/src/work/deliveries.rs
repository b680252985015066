//! Deliveries: the queue of what webhooks are still to be told, and the history of what they were told.
//!
//! A worker takes a delivery for the time of a lease and says how it went. A worker that dies on the way says nothing, and the delivery is
//! due again when its lease is over: every event arrives at least once, seldom twice, and in no promised order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::enter;
use crate::audit::{self, Note};
use crate::cx::{Actor, Cx};
use crate::encryption::WEBHOOKS;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Plane, Result, ledger, locks, webhooks};
use deletion::after;

/// The longest that a call of a webhook takes, from the look-up of its name to the end of the answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The status with which a receiver says that it wants nothing more (Standard Webhooks, "HTTP status codes").
pub const GONE: u16 = 410;
/// How long after a failed attempt the next one is made. After the last of these there is one more attempt, then none.
pub const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// Deliveries of one organization under way at once, so that an endpoint that does not answer holds up its own organization only.
const AT_ONCE: usize = 2;
/// Finished deliveries that a webhook's history keeps.
const HISTORY: i64 = 100;

crate::wire::words! {
    /// How far a delivery is.
    pub enum State as "DeliveryState", like "pending" {
        /// It is still to be made.
        Pending = "pending",
        /// The receiver took it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// What a webhook was told, or is still to be told.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// The event's id: the header `webhook-id`, the same for every webhook and every attempt.
    pub id: Uuid,
    /// The event's name.
    #[schemars(length(min = 1, max = 50), example = &"customer.deleted")]
    pub event: String,
    /// What is sent; null once the deletion it speaks of is completed.
    #[serde(serialize_with = "crate::wire::json_text")]
    #[schemars(with = "Option<crate::wire::Anything>")]
    pub payload: Option<String>,
    /// How far it is.
    pub state: State,
    /// Attempts that came to an end; there are four at the most.
    #[schemars(example = 1)]
    pub attempts: i64,
    /// The status of the last answer.
    #[schemars(range(min = 100, max = 999), example = 204)]
    pub response_status: Option<i64>,
    /// Why the last attempt failed.
    #[schemars(length(min = 1, max = 200), example = &"no answer within 10 seconds")]
    pub error: Option<String>,
    /// While it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
}

columns! { Delivery {
    id, event, payload, state, attempts, response_status, error, next_attempt_at: "CASE WHEN state = 'pending' THEN next_attempt_at END",
    created_at, finished_at,
} }

/// A delivery that the caller has taken, and must carry or let go before the lease is over.
#[derive(Debug, Clone)]
pub struct Due {
    /// The organization, for counting how many of its deliveries are under way.
    pub organization: Uuid,
    webhook: Uuid,
    /// The event's id: the header `webhook-id`.
    pub id: Uuid,
    deletion: Option<Uuid>,
    attempts: i64,
    /// Where it goes.
    pub url: String,
    /// The body.
    pub payload: String,
    secret: Vec<u8>,
    /// The secret before it, while that signs too.
    old_secret: Option<Vec<u8>>,
    /// Why it shall not be sent after all.
    pub undeliverable: Option<&'static str>,
}

/// How an attempt went.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; none if the webhook took it.
    pub error: Option<&'static str>,
}

impl Due {
    /// The header `webhook-signature` for an attempt at this time, in seconds since 1970: a signature with each secret that signs, the newest
    /// first, with spaces between them.
    pub fn sign(&self, timestamp: i64) -> String {
        let secrets = [Some(&self.secret), self.old_secret.as_ref()].into_iter().flatten();
        secrets.map(|secret| webhooks::sign(secret, self.id, timestamp, &self.payload)).collect::<Vec<_>>().join(" ")
    }
}

/// Lists a webhook's deliveries, newest first: those that wait and the last hundred that came to an end.
///
/// # Errors
/// Those of [`webhooks::get`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, request: PageRequest) -> Result<Page<Delivery>> {
    webhooks::get(cx, organization, webhook).await?;
    let tenant = enter(cx, organization, Action::ReadWebhooks).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2");
        let total = match request.after {
            Some(_) => 0,
            None => tx.read_one(count, params![tenant.organization(), webhook]).await?,
        };
        let statement = sql!(
            "SELECT {columns} FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2 AND id < $5
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            Delivery
        );
        let deliveries =
            tx.read_all(statement, params![tenant.organization(), webhook, request.limit(), request.offset(), request.below()]).await?;
        Ok(Page::part(deliveries, total, request, |delivery: &Delivery| delivery.id))
    })
    .await
}

/// What a look into the queues found.
#[derive(Debug, Default)]
pub struct Taken {
    /// Deliveries to carry now.
    pub due: Vec<Due>,
    /// When the next one will be due, as far as that is known.
    pub next: Option<Timestamp>,
}

/// Takes up to `room` deliveries that are due, the longest due first and no more of an organization than may be under way at once.
/// `under_way` says how many of which organization the caller carries already.
///
/// # Errors
/// The database's.
pub async fn take(plane: &Arc<Plane>, room: usize, under_way: &HashMap<Uuid, usize>) -> Result<Taken> {
    let cx = job(plane);
    // At most as many organizations as are under way can be at their limit.
    let limit = i64::try_from(room + under_way.len() + 1).unwrap_or(i64::MAX);
    let waiting = cx.read(async move |_, tx| waiting(tx, limit).await).await?;
    let mut shares = Vec::new();
    let (mut left, mut next) = (room, None);
    for (organization, due_at) in waiting {
        let share = AT_ONCE.saturating_sub(under_way.get(&organization).copied().unwrap_or(0)).min(left);
        if due_at > cx.now {
            next = Some(due_at);
            break;
        }
        if share > 0 {
            left -= share;
            shares.push((organization, i64::try_from(share).unwrap_or(1)));
        }
    }
    if shares.is_empty() {
        return Ok(Taken { due: Vec::new(), next });
    }
    let due = cx.write_as_server(async move |cx, tx| take_in(cx, tx, &shares).await).await?;
    Ok(Taken { due, next })
}

fn job(plane: &Arc<Plane>) -> Cx {
    Cx::new(plane, "courier").with_actor(Actor::System)
}

/// The organizations that have anything in their queues, each with the time at which its first is due, by that time. Jumps from one
/// organization to the next along the index: a queue of any length costs as much as one of one.
async fn waiting(tx: &mut Tx, limit: i64) -> Result<Vec<(Uuid, Timestamp)>> {
    let statement = sql!(
        "WITH RECURSIVE waiting (organization_id, due_at) AS (
            SELECT * FROM (SELECT organization_id, next_attempt_at FROM webhook_deliveries WHERE state = 'pending'
                           ORDER BY organization_id, next_attempt_at LIMIT 1) AS first
            UNION ALL
            SELECT (SELECT organization_id FROM webhook_deliveries AS other
                    WHERE other.state = 'pending' AND other.organization_id > waiting.organization_id
                    ORDER BY other.organization_id, other.next_attempt_at LIMIT 1),
                   (SELECT next_attempt_at FROM webhook_deliveries AS other
                    WHERE other.state = 'pending' AND other.organization_id > waiting.organization_id
                    ORDER BY other.organization_id, other.next_attempt_at LIMIT 1)
            FROM waiting WHERE waiting.organization_id IS NOT NULL
         )
         SELECT organization_id, due_at FROM waiting WHERE organization_id IS NOT NULL ORDER BY due_at LIMIT $1"
    );
    Ok(tx.read_all(statement, params![limit]).await?)
}

/// The webhook, the delivery, the deletion that it speaks of, attempts and payload.
type Taking = (Uuid, Uuid, Option<Uuid>, i64, Option<String>);

/// The webhook's address, its secret, the one before that while it signs, whether it is switched on, and the states of it and its organization.
type Endpoint = (String, Vec<u8>, Option<Vec<u8>>, bool, String, String);

async fn take_in(cx: &Cx, tx: &mut Tx, shares: &[(Uuid, i64)]) -> Result<Vec<Due>> {
    // Time enough for the call and for writing down how it went.
    let lease_end = after(cx.now, PATIENCE + cx.plane.config.lease);
    // What a deletion waits for goes before a queue of whatever length.
    let take_awaited = sql!(
        "UPDATE webhook_deliveries SET next_attempt_at = $3
         WHERE organization_id = $1 AND state = 'pending' AND next_attempt_at <= $2
           AND (webhook_id, id) IN (SELECT webhook_id, id FROM webhook_deliveries
                                    WHERE organization_id = $1 AND deletion_id IS NOT NULL AND state = 'pending' AND next_attempt_at <= $2
                                    ORDER BY next_attempt_at, webhook_id, id LIMIT $4)
         RETURNING webhook_id, id, deletion_id, attempts, payload"
    );
    let take = sql!(
        "UPDATE webhook_deliveries SET next_attempt_at = $3
         WHERE organization_id = $1 AND state = 'pending' AND next_attempt_at <= $2
           AND (webhook_id, id) IN (SELECT webhook_id, id FROM webhook_deliveries
                                    WHERE organization_id = $1 AND state = 'pending' AND next_attempt_at <= $2
                                    ORDER BY next_attempt_at, webhook_id, id LIMIT $4)
         RETURNING webhook_id, id, deletion_id, attempts, payload"
    );
    let endpoint = sql!(
        "SELECT webhooks.url, webhooks.secret, CASE WHEN webhooks.old_secret_until > $3 THEN webhooks.old_secret END, webhooks.is_active,
                webhooks.state, organizations.state
         FROM webhooks JOIN organizations ON organizations.id = webhooks.organization_id
         WHERE webhooks.organization_id = $1 AND webhooks.id = $2"
    );
    let mut taken = Vec::new();
    for (organization, share) in shares {
        let mut rows: Vec<Taking> = tx.read_all(take_awaited, params![*organization, cx.now, lease_end, *share]).await?;
        let rest = *share - i64::try_from(rows.len()).unwrap_or(*share);
        if rest > 0 {
            rows.extend(tx.read_all::<Taking>(take, params![*organization, cx.now, lease_end, rest]).await?);
        }
        for (webhook, id, deletion, attempts, payload) in rows {
            let bound = params![*organization, webhook, cx.now];
            let (url, secret, old_secret, is_active, state, organization_state) = tx.read_one::<Endpoint>(endpoint, bound).await?;
            let decrypt = |kept: &[u8]| {
                let secret = cx.plane.encryption.decrypt(WEBHOOKS, webhook.as_bytes(), kept);
                secret.inspect_err(|error| tracing::error!(%webhook, %error, "a delivery cannot be signed")).ok()
            };
            let secret = decrypt(&secret);
            let undeliverable = match () {
                () if state != "live" => Some("the webhook is being deleted"),
                // The last that an organization's webhooks are told is what became of it.
                () if organization_state != "live" && deletion.is_none() => Some("the organization is being deleted"),
                () if !is_active => Some("the webhook is switched off"),
                () if payload.is_none() => Some("what it said is deleted"),
                () if secret.is_none() => Some("the webhook's secret cannot be read: rotate it"),
                () => None,
            };
            let payload = payload.unwrap_or_default();
            taken.push(Due {
                organization: *organization,
                webhook,
                id,
                deletion,
                attempts,
                url,
                payload,
                secret: secret.unwrap_or_default(),
                old_secret: old_secret.and_then(|old| decrypt(&old)),
                undeliverable,
            });
        }
    }
    Ok(taken)
}

/// Writes down how an attempt went: delivered, to be tried again, or given up after the last retry.
///
/// # Errors
/// The database's; the delivery is then due again when its lease is over.
pub async fn finish(plane: &Arc<Plane>, due: Due, attempt: Attempt) -> Result<()> {
    job(plane).write_as_server(async move |cx, tx| finish_in(cx, tx, &due, &attempt).await).await
}

async fn finish_in(cx: &Cx, tx: &mut Tx, due: &Due, attempt: &Attempt) -> Result<()> {
    let is_gone = attempt.status == Some(GONE);
    let retry = usize::try_from(due.attempts).ok().and_then(|made| RETRIES.get(made)).filter(|_| due.undeliverable.is_none() && !is_gone);
    let (state, next) = match (attempt.error, retry) {
        (None, _) => (State::Delivered, cx.now),
        (Some(_), Some(pause)) => (State::Pending, after(cx.now, *pause)),
        (Some(_), None) => (State::Failed, cx.now),
    };
    let is_finished = state != State::Pending;
    // A worker that took it over after this lease has another number of attempts, or has finished it.
    let update = sql!(
        "UPDATE webhook_deliveries SET state = $5, attempts = attempts + $6, response_status = $7, error = $8, next_attempt_at = $9,
                finished_at = $10
         WHERE organization_id = $1 AND webhook_id = $2 AND id = $3 AND state = 'pending' AND attempts = $4"
    );
    let values = params![
        due.organization,
        due.webhook,
        due.id,
        due.attempts,
        state,
        i64::from(due.undeliverable.is_none()),
        attempt.status.map(i64::from),
        attempt.error,
        next,
        is_finished.then_some(cx.now),
    ];
    if tx.execute(update, values).await? == 0 || !is_finished {
        return Ok(());
    }
    if is_gone {
        switch_off(cx, tx, due).await?;
    }
    forget(cx, tx, due).await?;
    match due.deletion {
        Some(deletion) => wake(cx, tx, due.organization, deletion).await,
        None => Ok(()),
    }
}

/// Ends what a receiver wants no more of. What is still in the queue comes to its end with the next look.
async fn switch_off(cx: &Cx, tx: &mut Tx, due: &Due) -> Result<()> {
    let off = sql!(
        "UPDATE webhooks SET is_active = false, updated_at = $3 WHERE organization_id = $1 AND id = $2 AND is_active AND state = 'live'"
    );
    if tx.execute(off, params![due.organization, due.webhook, cx.now]).await? > 0 {
        let detail = Some("its receiver answered 410 Gone".to_owned());
        ledger::changed(cx, tx, ledger::Credential::Webhook, Some(due.organization), due.webhook).await?;
        let note = Note { action: "webhook.switch_off", subject: "webhook", subject_id: Some(due.webhook), detail, ..Note::default() };
        audit::record(cx, tx, due.organization, &note).await?;
    }
    Ok(())
}

/// Cuts the history to its length. What a deletion is still to count stays until it is completed, which takes the payload away, and what a legal
/// hold is on, the organization or the customer it speaks of, as long as that lasts. What stays because one is being placed goes with the next
/// delivery.
async fn forget(cx: &Cx, tx: &mut Tx, due: &Due) -> Result<()> {
    if !locks::try_keep_holds_out(tx, due.organization).await? {
        return Ok(());
    }
    let statement = sql!(
        "DELETE FROM webhook_deliveries
         WHERE organization_id = $1 AND webhook_id = $2 AND state <> 'pending' AND (deletion_id IS NULL OR payload IS NULL)
           AND id <= (SELECT id FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2 AND state <> 'pending'
                      ORDER BY id DESC LIMIT 1 OFFSET $3)
           AND NOT EXISTS (SELECT 1 FROM holds WHERE holds.organization_id = $1 AND holds.subject_id IN ($1, webhook_deliveries.subject_id)
                                                 AND released_at IS NULL AND (until IS NULL OR until > $4))"
    );
    tx.execute(statement, params![due.organization, due.webhook, HISTORY, cx.now]).await?;
    Ok(())
}

/// Lets a deletion that waits for its last delivery go on.
async fn wake(cx: &Cx, tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<()> {
    let statement = sql!(
        "UPDATE deletions SET lease_until = NULL
         WHERE organization_id = $1 AND id = $2 AND waiting_for IS NOT NULL AND state <> 'completed'
           AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id = $2 AND state = 'pending')"
    );
    if tx.execute(statement, params![organization, deletion]).await? > 0 {
        let plane = cx.plane.clone();
        tx.on_commit(move || plane.deletions.wake_waiting());
    }
    Ok(())
}
