//! What only this product knows of a deletion while it is drained: legal holds, purges, webhooks, the ledger.

use std::sync::Arc;
use std::time::Duration;

use deletion::{Key, Lease, Nouns, Others, Outcome, Pause, Throttle, Waiting, Work};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value as Json;
use sql::Tx;
use tokio::sync::watch;

use crate::cx::{Actor, Cx};
use crate::deletions::Root;
use crate::deletions::progress::{BILLING, CUSTOMERS, DELIVERIES, EXPORT, HOLD, MEMBERSHIPS};
use crate::deletions::{effects, export_orders, grace, guards, subscriptions};
use crate::purges::{self, Purge, Step};
use crate::{Error, Plane, Result, ledger, locks};

/// How long a deletion that waits for something is left alone, unless that wakes it.
const NAP: Duration = Duration::from_millis(500);
/// The same while a legal hold is in force.
const LONG_NAP: Duration = Duration::from_secs(30);
/// The longest time for which one that waits for webhooks is left alone.
pub(crate) const LONGEST_NAP: Duration = Duration::from_mins(10);

/// How long a deletion is left alone that waits for others since then: the longer it has waited, the less often it looks.
fn nap(now: Timestamp, since: Option<Timestamp>, longest: Duration) -> Duration {
    let waited = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default();
    (waited / 4).clamp(NAP, LONGEST_NAP).min(longest)
}

/// The nouns of a server.
#[derive(Clone)]
struct Server(Arc<Plane>);

impl Server {
    fn cx(&self) -> Cx {
        Cx::new(&self.0, "drain").with_actor(Actor::System)
    }
}

impl Nouns for Server {
    type Error = Error;

    fn engine(&self) -> &deletion::Engine {
        &self.0.deletions
    }

    fn lock<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>>> {
        Box::pin(async move {
            // A member who is placing a legal hold in the organization: the hold may be on what is deleted.
            let is_free = locks::try_keep_holds_out(tx, deletion.tenant).await?;
            Ok((!is_free).then(|| Pause { waiting: Waiting::of(HOLD), lasts: NAP }))
        })
    }

    fn obstacle<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease, is_beginning: bool) -> BoxFuture<'a, Result<Option<Pause>>> {
        Box::pin(async move {
            let (root, now) = (Root::of(deletion.root)?, self.0.clock.now());
            // In an organization that is being deleted no hold can be placed any more.
            let may_be_held = is_beginning || root != Root::Organization;
            if may_be_held && guards::is_held(tx, root, deletion.tenant, deletion.subject, now).await? {
                return Ok(Some(Pause { waiting: Waiting::of(HOLD), lasts: LONG_NAP }));
            }
            // The export that was ordered with it must be there before anything is erased.
            if is_beginning && !export_orders::is_finished(tx, deletion.id).await? {
                return Ok(Some(Pause { waiting: Waiting::of(EXPORT), lasts: NAP }));
            }
            // Who pays for what is gone would have to be found by hand.
            if is_beginning && subscriptions::has_any(root) {
                let of = (deletion.id, root, deletion.subject);
                let mut unconfirmed = subscriptions::unconfirmed(tx, deletion.tenant, deletion.id).await?;
                if unconfirmed.number < subscriptions::AT_ONCE
                    && subscriptions::cancel(&self.cx(), tx, deletion.tenant, of, false).await? > 0
                {
                    unconfirmed = subscriptions::unconfirmed(tx, deletion.tenant, deletion.id).await?;
                }
                if unconfirmed.number > 0 {
                    // The last confirmation wakes it, as an operator does who gives one up.
                    let lasts = nap(now, unconfirmed.since, LONGEST_NAP);
                    return Ok(Some(Pause { waiting: Waiting::counted(BILLING, unconfirmed.number), lasts }));
                }
            }
            Ok(None)
        })
    }

    fn awaiting(&self, _deletion: &Lease, left: i64) -> Pause {
        Pause { waiting: Waiting::counted(MEMBERSHIPS, left), lasts: NAP }
    }

    fn order_others<'a>(
        &'a self,
        tx: &'a mut Tx,
        deletion: &'a Lease,
        counts: Json,
        last: Option<Key>,
        size: i64,
    ) -> BoxFuture<'a, Result<Others>> {
        Box::pin(async move {
            let purge = Purge { organization: deletion.tenant, id: deletion.subject, deletion: deletion.id };
            let follows = || Others::Waits(Pause { waiting: Waiting::of(CUSTOMERS), lasts: NAP });
            // What is taken back shall find the purge where it was.
            if grace::is_resting(tx, deletion.tenant).await? {
                return Ok(follows());
            }
            let step = Step { counts, last: last.and_then(|last| last.uuid()) };
            if let Some(Step { counts, last }) = purges::go_on(&self.cx(), tx, purge, step, size).await? {
                return Ok(Others::Ordered(counts, last.map(Key::from)));
            }
            Ok(if purges::are_all_completed(tx, purge).await? { Others::Over } else { follows() })
        })
    }

    fn effects<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>>> {
        Box::pin(async move {
            let (cx, root) = (self.cx(), Root::of(deletion.root)?);
            let pending = effects::pending(&cx, tx, root, deletion.tenant, deletion.id).await?;
            if pending.number > 0 {
                // The last delivery wakes it, and many may wait for one endpoint for long: the longer it has waited, the less often it looks.
                let waited = pending.since.and_then(|since| Duration::try_from(cx.now.duration_since(since)).ok()).unwrap_or_default();
                let left = cx.plane.config.completion_wait.saturating_sub(waited);
                let lasts = nap(cx.now, pending.since, left.max(NAP));
                return Ok(Some(Pause { waiting: Waiting::counted(DELIVERIES, pending.number), lasts }));
            }
            if root == Root::Organization {
                effects::give_up(&cx, tx, deletion.tenant).await?;
            }
            effects::record(tx, deletion.tenant, deletion.id).await?;
            Ok(None)
        })
    }

    fn completed<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease, counts: Json, now: Timestamp) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut cx = self.cx();
            cx.now = now;
            ledger::note(&cx, tx, ledger::Entry::Completed { deletion: deletion.id, counts }).await?;
            effects::complete(&cx, tx, deletion.tenant, deletion.id, Root::of(deletion.root)?, deletion.subject).await
        })
    }

    fn log(&self, error: &Error, what: &'static str) {
        error.log(what, None);
    }

    fn words(&self, error: &Error) -> String {
        error.words()
    }
}

/// Drains closed deletions until told to stop. Run one of these for each server.
pub async fn run(plane: Arc<Plane>, stop: watch::Receiver<bool>) {
    deletion::run(Server(plane), stop).await;
}

/// Works on the deletion of this kind that waited longest, for one turn or until it is completed. Returns whether there was one.
///
/// # Errors
/// The database's; the deletion then says what it waits for, and is taken up again.
pub async fn work_a_turn(plane: &Arc<Plane>, kind: Work, throttle: &mut Throttle) -> Result<bool> {
    deletion::work_a_turn(&Server(plane.clone()), kind, throttle).await
}

/// Hands deletions whose grace period is over to the drain.
///
/// # Errors
/// The database's.
pub async fn end_grace(plane: &Plane) -> Result<()> {
    Ok(deletion::end_grace(&plane.deletions).await?)
}

/// What a worker of this server starts with.
pub fn throttle(plane: &Plane) -> Throttle {
    Throttle::new(&plane.deletions)
}

/// Takes the deletion of this kind that waited longest, of those that no worker holds, if there is one.
///
/// # Errors
/// The database's.
pub async fn take(plane: &Plane, kind: Work) -> Result<Option<Arc<Lease>>> {
    Ok(deletion::take(&plane.deletions, kind).await?)
}

/// Does one batch: [`deletion::advance`].
///
/// # Errors
/// The database's; nothing has happened then.
pub async fn advance(plane: &Arc<Plane>, held: &Arc<Lease>, size: i64, last_batch: Duration, may_be_lost: bool) -> Result<Outcome> {
    deletion::advance(&Server(plane.clone()), held, size, last_batch, may_be_lost).await
}

/// Does two batches at once: [`deletion::advance_in_parallel`].
///
/// # Errors
/// The database's; the batch that met it has not happened then.
pub async fn advance_in_parallel(plane: &Arc<Plane>, held: &Arc<Lease>, size: i64, last_batch: Duration) -> Result<(Outcome, i64)> {
    deletion::advance_in_parallel(&Server(plane.clone()), held, size, last_batch).await
}
