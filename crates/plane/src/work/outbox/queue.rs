//! The queues of the outbox: what is due is taken, for the caller to carry out.
//!
//! Each webhook and each subscription has a queue of its own. A webhook has two places; one that takes nothing has one, and all of those together have
//! half of the places. A subscription has one place, and all of them together have a quarter. An organization has eight, four of them at the most for
//! subscriptions. Nothing waits for what
//! another's receiver does.
//!
//! `rank` orders a queue: 0 is what a deletion waits for and what is to be told before that, 1 everything else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sql::{Statement, Tx, columns, params, sql};
use uuid::Uuid;

use super::{Due, Endpoint, IN_ORDER, Kind, LONGEST_RETRY, PATIENCE, RETRIED_FOR};
use crate::cx::{Actor, Cx};
use crate::encryption::WEBHOOKS;
use crate::{Plane, Result};
use deletion::{after, before};

/// Effects under way at once.
pub const ROOM: usize = 64;
/// Those of them that go to webhooks which take nothing.
const ROOM_OF_FAILING: usize = ROOM / 2;
/// Those of them that change subscriptions.
const ROOM_OF_BILLING: usize = ROOM / 4;
/// Deliveries to one webhook under way at once.
const AT_ONCE: usize = 2;
/// Effects of one queue that are looked at for one that waits for none before it.
const LOOKED_AT: i64 = 64;
/// Effects of one organization under way at once: it can have many webhooks, and none of them may be quick.
const AT_ONCE_IN_ALL: usize = 8;
/// Subscriptions of one organization that are changed at once.
const BILLING_AT_ONCE: usize = AT_ONCE_IN_ALL / 2;
/// How long an effect is out of the way at least that waits for one before it.
const OUT_OF_THE_WAY: Duration = Duration::from_secs(1);

/// Effects of one queue that are under way.
#[derive(Debug, Clone, Copy)]
pub struct Carried {
    /// The queue's organization.
    pub organization: Uuid,
    /// What they do.
    pub kind: Kind,
    /// How many they are.
    pub number: usize,
    /// Whether it is a webhook that takes nothing.
    pub is_failing: bool,
}

/// What the caller carries out at the moment, by queue.
#[derive(Debug, Clone, Default)]
pub struct UnderWay(pub HashMap<Uuid, Carried>);

impl UnderWay {
    fn count(&self, counts: impl Fn(&Carried) -> bool) -> usize {
        self.0.values().filter(|carried| counts(carried)).map(|carried| carried.number).sum()
    }
}

/// What a look into the queues found.
#[derive(Debug, Default)]
pub struct Taken {
    /// Effects to carry out now.
    pub due: Vec<Due>,
    /// When the next one will be due, as far as that is known.
    pub next: Option<Timestamp>,
}

/// Takes effects that are due: as many as there is room for beside those under way, and first those of organizations and queues that have the
/// least under way, in the order in which they wait.
///
/// # Errors
/// The database's.
pub async fn take(plane: &Arc<Plane>, under_way: &UnderWay) -> Result<Taken> {
    let cx = job(plane);
    let mut waiting: Vec<Queue> = cx.read(async move |_, tx| Ok(tx.read_all(WAITING, &[]).await?)).await?;
    let due_at = |queue: &Queue| queue.awaited_at.into_iter().chain(queue.other_at).min().unwrap_or(Timestamp::MAX);
    let next = waiting.iter().map(due_at).filter(|at| *at > cx.now).min();
    waiting.retain(|queue| due_at(queue) <= cx.now);
    // Who has the least under way comes first: a backlog is older than everything else, and would have every place that becomes free.
    let carried = |organization| under_way.count(|carried| carried.organization == organization);
    waiting.sort_by_cached_key(|queue| {
        let is_carried = under_way.0.contains_key(&queue.id);
        // Webhooks before subscriptions: their receivers wait, and a deletion for them only so long.
        (carried(queue.organization), queue.kind == Kind::Billing, queue.failing_since.is_some(), is_carried, due_at(queue))
    });
    let mut left = ROOM.saturating_sub(under_way.count(|_| true));
    let mut left_of_failing = ROOM_OF_FAILING.saturating_sub(under_way.count(|carried| carried.is_failing));
    let mut left_of_billing = ROOM_OF_BILLING.saturating_sub(under_way.count(|carried| carried.kind == Kind::Billing));
    let mut of_organizations: HashMap<Uuid, usize> = HashMap::new();
    let mut shares = Vec::new();
    for queue in waiting {
        let own = under_way.0.get(&queue.id).map_or(0, |carried| carried.number);
        let of_organization = of_organizations.entry(queue.organization).or_insert_with(|| carried(queue.organization));
        let room = AT_ONCE_IN_ALL.saturating_sub(*of_organization).min(left);
        let share = match (queue.kind, queue.failing_since) {
            (Kind::Billing, _) => {
                let of_billing = under_way.count(|carried| carried.organization == queue.organization && carried.kind == Kind::Billing);
                let of_billing = of_billing
                    + shares.iter().filter(|((other, _, kind), _)| (*other, *kind) == (queue.organization, Kind::Billing)).count();
                1_usize.saturating_sub(own).min(room).min(left_of_billing).min(BILLING_AT_ONCE.saturating_sub(of_billing))
            }
            (Kind::Webhook, None) => AT_ONCE.saturating_sub(own).min(room),
            (Kind::Webhook, Some(_)) => 1_usize.saturating_sub(own).min(room).min(left_of_failing),
        };
        if share > 0 {
            *of_organization += share;
            left -= share;
            left_of_failing -= if queue.failing_since.is_some() { share } else { 0 };
            left_of_billing -= if queue.kind == Kind::Billing { share } else { 0 };
            shares.push(((queue.organization, queue.id, queue.kind), share));
        }
    }
    if shares.is_empty() {
        return Ok(Taken { due: Vec::new(), next });
    }
    // It is on the disk when it returns, and with it everything that was committed before: what is told has happened.
    let due = cx.write_behind(false, async move |cx, tx| take_in(cx, tx, &shares).await).await?;
    // What tells of a deletion goes out after the ledger has its line.
    plane.ledger.settled().await;
    Ok(Taken { due, next })
}

pub(super) fn job(plane: &Arc<Plane>) -> Cx {
    Cx::new(plane, "courier").with_actor(Actor::System)
}

/// A queue that has anything in it.
struct Queue {
    organization: Uuid,
    id: Uuid,
    kind: Kind,
    /// When the first is due that a deletion waits for.
    awaited_at: Option<Timestamp>,
    /// When the first of all others is due.
    other_at: Option<Timestamp>,
    /// Since when it takes nothing.
    failing_since: Option<Timestamp>,
}

columns! { Queue {
    organization: "queues.organization_id", id: "queues.queue_id",
    kind: "(SELECT kind FROM effects AS first
            WHERE first.state = 'pending' AND first.organization_id = queues.organization_id AND first.queue_id = queues.queue_id LIMIT 1)",
    awaited_at: "(SELECT next_attempt_at FROM effects AS first
                  WHERE first.state = 'pending' AND first.organization_id = queues.organization_id AND first.queue_id = queues.queue_id
                    AND first.rank = 0 ORDER BY next_attempt_at LIMIT 1)",
    other_at: "(SELECT next_attempt_at FROM effects AS first
                WHERE first.state = 'pending' AND first.organization_id = queues.organization_id AND first.queue_id = queues.queue_id
                  AND first.rank = 1 ORDER BY next_attempt_at LIMIT 1)",
    failing_since: "webhooks.failing_since",
} }

/// The queues that have anything in them. Jumps from one queue to the next along the index: one of any length costs as much as one of
/// one.
const WAITING: Statement = sql!(
    "WITH RECURSIVE queues (organization_id, queue_id) AS (
        SELECT * FROM (SELECT organization_id, queue_id FROM effects WHERE state = 'pending'
                       ORDER BY organization_id, queue_id LIMIT 1) AS first
        UNION ALL
        SELECT (SELECT organization_id FROM effects AS other
                WHERE other.state = 'pending' AND (other.organization_id, other.queue_id) > (queues.organization_id, queues.queue_id)
                ORDER BY other.organization_id, other.queue_id LIMIT 1),
               (SELECT queue_id FROM effects AS other
                WHERE other.state = 'pending' AND (other.organization_id, other.queue_id) > (queues.organization_id, queues.queue_id)
                ORDER BY other.organization_id, other.queue_id LIMIT 1)
        FROM queues WHERE queues.organization_id IS NOT NULL
     )
     SELECT {columns} FROM queues LEFT JOIN webhooks ON webhooks.organization_id = queues.organization_id AND webhooks.id = queues.queue_id
     WHERE queues.organization_id IS NOT NULL",
    Queue
);

/// An effect that is due: its id, what it is about, its sequence, and since when it is due.
type Candidate = (Uuid, Option<Uuid>, i64, Timestamp);

/// What it does, the deletion, attempts and epoch, payload, when it was queued, what it is about, and when it is tried for the last time.
type Taking = (String, Option<Uuid>, (i64, i64), Option<String>, Timestamp, (Option<Uuid>, Option<Timestamp>));

/// The webhook's address, its secret, the one before that while it signs, whether it is switched on, the states of it and its organization, and
/// since when it takes nothing.
type Webhook = (String, Vec<u8>, Option<Vec<u8>>, bool, String, (String, Option<Timestamp>));

/// A queue's organization, its id, and what is done in it.
type Place = (Uuid, Uuid, Kind);

async fn take_in(cx: &Cx, tx: &mut Tx, shares: &[(Place, usize)]) -> Result<Vec<Due>> {
    let due = sql!(
        "SELECT id, about, sequence, next_attempt_at FROM effects
         WHERE state = 'pending' AND organization_id = $1 AND queue_id = $2 AND rank = $5 AND next_attempt_at <= $3
         ORDER BY next_attempt_at, id LIMIT $4"
    );
    let mut taken = Vec::new();
    for (place, share) in shares {
        let (organization, queue, _) = *place;
        let mut left = *share;
        // What a deletion waits for goes before a queue of whatever length.
        for rank in [0_i64, 1] {
            if left == 0 {
                break;
            }
            let candidates: Vec<Candidate> = tx.read_all(due, params![organization, queue, cx.now, LOOKED_AT, rank]).await?;
            for candidate in candidates {
                if left == 0 {
                    break;
                }
                let due = take_one(cx, tx, (*place, rank), candidate).await?;
                left -= usize::from(due.is_some());
                taken.extend(due);
            }
        }
    }
    Ok(taken)
}

/// Takes an effect, unless one before it that is about the same thing goes first.
async fn take_one(
    cx: &Cx,
    tx: &mut Tx,
    ((organization, queue, kind), rank): (Place, i64),
    (id, about, sequence, due_at): Candidate,
) -> Result<Option<Due>> {
    let earlier = sql!(
        "SELECT next_attempt_at FROM effects
         WHERE organization_id = $1 AND queue_id = $2 AND about = $3 AND sequence < $4 AND state = 'pending' AND attempts < $5
         ORDER BY sequence LIMIT 1"
    );
    // A subscription is never changed out of turn.
    let in_order = if kind == Kind::Webhook { IN_ORDER } else { i64::MAX };
    let bound = params![organization, queue, about, sequence, in_order];
    let first: Option<Timestamp> = if about.is_some() { tx.read_opt(earlier, bound).await? } else { None };
    if let Some(at) = first {
        // Out of the way of others until then. The end of that one brings it back, and may have done so in this moment.
        let wait = sql!(
            "UPDATE effects SET next_attempt_at = $4
             WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND next_attempt_at = $5"
        );
        tx.execute(wait, params![organization, queue, id, at.max(after(cx.now, OUT_OF_THE_WAY)), due_at]).await?;
        if rank == 0 {
            // A deletion waits for what comes before its own events, too.
            let sooner = sql!(
                "UPDATE effects SET rank = 0
                 WHERE organization_id = $1 AND queue_id = $2 AND about = $3 AND sequence < $4 AND state = 'pending' AND rank = 1"
            );
            tx.execute(sooner, params![organization, queue, about, sequence]).await?;
        }
        return Ok(None);
    }
    // Time enough for the calls, of which a subscription takes two, and for writing down how it went.
    let calls = if kind == Kind::Billing { 2 } else { 1 };
    let lease_end = after(cx.now, calls * PATIENCE + cx.plane.config.lease);
    let take = sql!(
        "UPDATE effects SET next_attempt_at = $5
         WHERE organization_id = $1 AND queue_id = $2 AND id = $3 AND state = 'pending' AND next_attempt_at <= $4
         RETURNING action, deletion_id, attempts, epoch, payload, created_at, about, retry_until"
    );
    let bound = params![organization, queue, id, cx.now, lease_end];
    let Some(taking) = tx.read_opt::<Taking>(take, bound).await? else { return Ok(None) };
    let (action, deletion, (attempts, epoch), payload, created_at, (about, retry_until)) = taking;
    // No later than if it were queued now: the clock may have been ahead when it was.
    let retry_until = retry_until.unwrap_or_else(|| after(created_at, RETRIED_FOR)).min(after(cx.now, RETRIED_FOR));
    let mut due = Due {
        organization,
        queue,
        kind,
        failing_since: None,
        id,
        action,
        deletion,
        about,
        attempts,
        epoch,
        retry_until,
        endpoint: None,
        undeliverable: match () {
            () if payload.is_none() => Some("what it said is deleted"),
            () if attempts > 0 && retry_until < before(cx.now, LONGEST_RETRY) => Some("its three days were over before its turn came"),
            () => None,
        },
        payload: payload.unwrap_or_default(),
    };
    if kind == Kind::Webhook {
        find_endpoint(cx, tx, &mut due).await?;
    }
    Ok(Some(due))
}

/// Finds where a delivery to a webhook goes, and whether that is still to be told.
async fn find_endpoint(cx: &Cx, tx: &mut Tx, due: &mut Due) -> Result<()> {
    let webhook = due.queue;
    let statement = sql!(
        "SELECT webhooks.url, webhooks.secret, CASE WHEN webhooks.old_secret_until > $3 THEN webhooks.old_secret END, webhooks.is_active,
                webhooks.state, organizations.state, webhooks.failing_since
         FROM webhooks JOIN organizations ON organizations.id = webhooks.organization_id
         WHERE webhooks.organization_id = $1 AND webhooks.id = $2"
    );
    let bound = params![due.organization, webhook, cx.now];
    let (url, secret, old_secret, is_active, state, (organization_state, failing_since)) = tx.read_one::<Webhook>(statement, bound).await?;
    let decrypt = |kept: &[u8]| {
        let secret = cx.plane.encryption.decrypt(WEBHOOKS, webhook.as_bytes(), kept);
        secret.inspect_err(|error| tracing::error!(%webhook, %error, "a delivery cannot be signed")).ok()
    };
    let secret = decrypt(&secret);
    due.failing_since = failing_since;
    due.undeliverable = match () {
        () if state != "live" => Some("the webhook is being deleted"),
        // The last that an organization's webhooks are told is what became of it.
        () if organization_state != "live" && due.deletion.is_none() => Some("the organization is being deleted"),
        () if !is_active => Some("the webhook is switched off"),
        () if due.undeliverable.is_some() => due.undeliverable,
        () if secret.is_none() => Some("the webhook's secret cannot be read: rotate it"),
        () => None,
    };
    due.endpoint = Some(Endpoint { url, secret: secret.unwrap_or_default(), old_secret: old_secret.and_then(|old| decrypt(&old)) });
    Ok(())
}
