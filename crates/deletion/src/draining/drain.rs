//! The drain: goes through the steps of a closed deletion in short transactions, and completes it when a sweep finds nothing left.
//!
//! It may stop anywhere. Each batch moves rows, cursor and counts in one transaction; the worker that comes next goes on from there. A
//! worker holds a lease with a fencing number: one that was paused for longer finds its number outdated and commits nothing.
//!
//! A server has workers of two kinds: some begin with what was just ordered and soon set it aside if it is large, one goes on with what was
//! set aside. So the many small deletions never wait for the few large ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{HasDatabaseError, Static, Tx, params};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::clock::{Stopwatch, after};
use crate::condition::{Pause, Waiting};
use crate::key::Key;
use crate::plan::Plan;
use crate::record::State;
use crate::rules::{Root, Rules};
use crate::throughput::{LEAST_SIZE, Throttle};
use crate::{Engine, Error, Result, SMALL, advance, advance_in_parallel, end_grace};

/// Workers that begin: most of a small deletion is waiting for commits, which they share.
const BEGINNERS: usize = 4;
/// The same where all wait for one writer, which 64 callers keep so busy that fewer would fall behind them.
const BEGINNERS_AT_ONE_WRITER: usize = 8;
/// Rows of a deletion that goes in one transaction no matter who waits: several short ones would cost others more.
const AT_ONCE: i64 = 2 * SMALL;
/// How long one deletion is worked on before the one that waited longest has its turn.
const TURN: Duration = Duration::from_millis(200);
/// How often closed deletions are looked for when no bell rings.
const ROUND: Duration = Duration::from_secs(1);

/// What only nouns know of a deletion while it is drained. Each call is part of a transaction of the drain.
pub trait Nouns: Clone + Send + Sync + 'static {
    /// Why a call failed.
    type Error: From<Error> + From<sql::Error> + HasDatabaseError + std::fmt::Display + Send + 'static;

    /// The engine at work.
    fn engine(&self) -> &Engine;

    /// Locks what must be locked before the record of the deletion is; none where that can be had, else what to wait for.
    fn lock<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>, Self::Error>>;

    /// What keeps the deletion from going on now, asked before each batch; `is_beginning` before anything was erased.
    fn obstacle<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease, is_beginning: bool)
    -> BoxFuture<'a, Result<Option<Pause>, Self::Error>>;

    /// What a deletion says that waits for so many deletions of what its root awaits.
    fn awaiting(&self, deletion: &Lease, left: i64) -> Pause;

    /// Orders the deletions of the next subjects, for a root that orders others: `counts` and `last` are what the last call has returned, about
    /// so many rows shall go.
    fn order_others<'a>(
        &'a self,
        tx: &'a mut Tx,
        deletion: &'a Lease,
        counts: Json,
        last: Option<Key>,
        size: i64,
    ) -> BoxFuture<'a, Result<Others, Self::Error>>;

    /// What must be done outside of the database before the deletion is completed; once there is nothing left, writes down what came of it.
    fn effects<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>, Self::Error>>;

    /// Does what follows the completion, in its transaction.
    fn completed<'a>(&'a self, tx: &'a mut Tx, deletion: &'a Lease, counts: Json, now: Timestamp)
    -> BoxFuture<'a, Result<(), Self::Error>>;

    /// Writes a failure to the log.
    fn log(&self, error: &Self::Error, what: &'static str);

    /// The words of a failure for those who may read the deletion: none of the database, which may hold data of others.
    fn words(&self, error: &Self::Error) -> String;
}

/// What came of ordering others.
#[derive(Debug)]
pub enum Others {
    /// Some were ordered: the counts so far, and the last subject that was looked at.
    Ordered(Json, Option<Key>),
    /// It cannot be gone on with now.
    Waits(Pause),
    /// All were ordered, and they are over.
    Over,
}

/// A deletion that a worker holds, for as long as its lease lasts.
#[derive(Debug)]
pub struct Lease {
    /// The tenant.
    pub tenant: Uuid,
    /// The deletion.
    pub id: Uuid,
    /// What is deleted, and how.
    pub root: &'static Root,
    /// Its id.
    pub subject: Uuid,
    pub(crate) plan: &'static Plan,
    pub(crate) fence: i64,
}

/// What a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Deletions that no worker has begun with.
    Begin,
    /// Those that a worker set aside, or that a crash left.
    GoOn,
}

impl Work {
    fn state(self) -> State {
        match self {
            Work::Begin => State::Closed,
            Work::GoOn => State::Draining,
        }
    }

    fn bell(self, engine: &Engine) -> &Notify {
        match self {
            Work::Begin => &engine.closed_bell,
            Work::GoOn => &engine.going_on_bell,
        }
    }
}

/// What one batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There are more rows of the same table.
    More,
    /// The next batch begins with another table than this one did, whose rows may cost more.
    NextTable,
    /// Others were ordered, and there may be more.
    Ordered,
    /// All steps are done; the next batch sweeps and completes.
    LastStep,
    /// It cannot go on now.
    Waits(Pause),
    /// It was the last: nothing is left.
    Completed,
    /// Another worker holds the deletion now.
    Fenced,
}

/// Drains closed deletions until told to stop. Run one of these for each server.
pub async fn run<N: Nouns>(nouns: N, stop: watch::Receiver<bool>) {
    let beginners = if nouns.engine().db.writers() > 1 { BEGINNERS } else { BEGINNERS_AT_ONE_WRITER };
    let beginners = futures_util::future::join_all((0..beginners).map(|_| work(nouns.clone(), Work::Begin, stop.clone())));
    tokio::join!(beginners, work(nouns.clone(), Work::GoOn, stop.clone()));
}

async fn work<N: Nouns>(nouns: N, kind: Work, mut stop: watch::Receiver<bool>) {
    let engine = nouns.engine();
    let mut throttle = Throttle::new(engine);
    let mut round = None;
    while !*stop.borrow() {
        // One of the workers looks for those whose time has come, also while it has enough to do.
        if kind == Work::GoOn && round.as_ref().is_none_or(|round: &Stopwatch| round.elapsed() >= ROUND) {
            round = Some(engine.clock.stopwatch());
            if let Err(error) = end_grace(engine).await {
                nouns.log(&error.into(), "deletions whose grace period is over could not be begun and are tried again");
            }
        }
        let found = match work_a_turn(&nouns, kind, &mut throttle).await {
            Ok(found) => found,
            Err(error) => {
                nouns.log(&error, "the drain could not go on and tries again");
                false
            }
        };
        if !found {
            throttle.look_out(engine, kind);
            tokio::select! {
                () = kind.bell(engine).notified() => {}
                () = tokio::time::sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// Works on the deletion of this kind that waited longest, for one turn or until it is completed. Returns whether there was one.
///
/// # Errors
/// The database's; the deletion then says what it waits for, and is taken up again.
pub async fn work_a_turn<N: Nouns>(nouns: &N, kind: Work, throttle: &mut Throttle) -> Result<bool, N::Error> {
    let engine = nouns.engine();
    let Some(held) = take(engine, kind).await? else { return Ok(false) };
    let turn = engine.clock.stopwatch();
    let mut last_outcome = throttle.begin(engine, held.id, held.fence);
    let mut begun = 0;
    let mut least = if kind == Work::Begin && is_small(engine, &held).await { AT_ONCE } else { LEAST_SIZE };
    loop {
        throttle.look_around(engine, kind);
        if kind == Work::Begin {
            engine.shared.beginnings.fetch_add(1, Ordering::Relaxed);
            begun += 1;
        }
        let watch = engine.clock.stopwatch();
        // What goes on with the rows of a table may be undone by a crash: the completion never follows one of these at once, and is durable
        // itself.
        let size = throttle.size.max(std::mem::replace(&mut least, LEAST_SIZE));
        let may_be_lost = last_outcome == Outcome::More;
        let has_room = may_be_lost && held.plan.groups.is_some() && throttle.may_go_in_parallel();
        let batch = match has_room.then(|| engine.shared.parallel.try_acquire().ok()).flatten() {
            Some(_only_pair) => advance_in_parallel(nouns, &held, size, throttle.last_batch).await,
            None => advance(nouns, &held, size, throttle.last_batch, may_be_lost).await.map(|outcome| (outcome, size)),
        };
        throttle.last_batch = watch.elapsed();
        tracing::debug!(deletion = %held.id, micros = micros(throttle.last_batch), "transaction");
        match batch {
            Ok((outcome @ (Outcome::More | Outcome::Ordered | Outcome::NextTable | Outcome::LastStep), asked)) => {
                if outcome == Outcome::LastStep {
                    look_over(engine, &held).await;
                }
                if outcome == Outcome::More {
                    engine.estimates.learn(asked, throttle.last_batch + throttle.rest().unwrap_or_default());
                }
                if size == throttle.size {
                    throttle.adapt(&outcome);
                }
                last_outcome = outcome;
            }
            Ok((Outcome::Fenced, _)) => return Ok(true),
            Ok((outcome, _)) => {
                if outcome != Outcome::Completed {
                    engine.shared.take_back(begun);
                }
                let pause = match outcome {
                    Outcome::Waits(pause) => Some(pause),
                    _ => None,
                };
                release(engine, &held, micros(throttle.last_batch), pause).await?;
                return Ok(true);
            }
            Err(error) => {
                engine.shared.take_back(begun);
                let pause = Pause { lasts: Duration::ZERO, waiting: Waiting::failed(nouns.words(&error)) };
                release(engine, &held, 0, Some(pause)).await?;
                return Err(error);
            }
        }
        if turn.elapsed() >= TURN {
            engine.shared.take_back(begun);
            // Before another worker can take it.
            throttle.set_aside(engine, held.id, held.fence, last_outcome);
            release(engine, &held, micros(throttle.last_batch), None).await?;
            engine.wake_waiting();
            return Ok(true);
        }
        if let Some(rest) = throttle.rest() {
            tokio::time::sleep(rest).await;
        }
    }
}

/// Whether so little hangs on the subject that all of it goes at once. Others delete what is ordered by a deletion. What the database fails at
/// here, the batch that follows says.
fn is_small(engine: &Engine, held: &Arc<Lease>) -> BoxFuture<'static, bool> {
    let (db, held) = (engine.db.clone(), held.clone());
    Box::pin(async move {
        let counted = held.clone();
        let count = async move |tx: &mut Tx| counted.plan.look(tx, counted.tenant, &[counted.subject], AT_ONCE + 1).await;
        held.root.orders_others.is_none() && db.read_behind(count).await.is_ok_and(|counted| counted.sum() <= AT_ONCE)
    })
}

/// Sweeps once where no caller waits for it. PostgreSQL goes over the place of every row that was erased lately, as long as no read has
/// been there since: after this the sweep in the completion's own transaction, the one that counts, is short.
fn look_over(engine: &Engine, held: &Arc<Lease>) -> BoxFuture<'static, ()> {
    let (db, held) = (engine.db.clone(), held.clone());
    Box::pin(async move {
        let swept = held.clone();
        let look = db.read_behind(async move |tx| swept.plan.is_swept(tx, swept.tenant, &[swept.subject]).await);
        if let Err(error) = look.await {
            tracing::debug!(deletion = %held.id, %error, "could not be looked over");
        }
    })
}

/// Takes the deletion of this kind that waited longest, of those that no worker holds, if there is one.
///
/// # Errors
/// The database's.
pub fn take(engine: &Engine, kind: Work) -> BoxFuture<'static, Result<Option<Arc<Lease>>>> {
    let (db, rules, now) = (engine.db.clone(), Static(engine.rules), engine.clock.now());
    let until = after(now, engine.lease);
    Box::pin(async move {
        loop {
            match db.write_behind(false, async move |tx| take_in(rules, tx, kind, now, until).await).await? {
                Attempt::Nothing => return Ok(None),
                Attempt::Taken(held) => return Ok(Some(Arc::new(held))),
                Attempt::Overtaken => {}
            }
        }
    })
}

/// What came of reaching for a deletion.
enum Attempt {
    Nothing,
    /// Another worker was quicker.
    Overtaken,
    Taken(Lease),
}

async fn take_in(rules: Static<Rules>, tx: &mut Tx, kind: Work, now: Timestamp, until: Timestamp) -> Result<Attempt> {
    let statements = rules.0.record();
    let waiting: Option<(Uuid, Uuid, String, Uuid, i64)> = tx.read_opt(statements.waiting, params![kind.state().name(), now]).await?;
    let Some((tenant, id, root, subject, fence)) = waiting else { return Ok(Attempt::Nothing) };
    if tx.execute(statements.take, params![tenant, id, fence, until, now]).await? == 0 {
        return Ok(Attempt::Overtaken);
    }
    let root = rules.0.root(&root)?;
    Ok(Attempt::Taken(Lease { tenant, id, root, subject, plan: rules.0.plan(root), fence: fence + 1 }))
}

/// Lets go of a deletion, unless another worker holds it by now.
fn release(engine: &Engine, held: &Arc<Lease>, last_batch: i64, pause: Option<Pause>) -> BoxFuture<'static, Result<()>> {
    let (db, statement, now) = (engine.db.clone(), engine.rules.record().release, engine.clock.now());
    let until = pause.as_ref().filter(|pause| !pause.lasts.is_zero()).map(|pause| after(now, pause.lasts));
    let waiting_for = pause.map(|pause| pause.waiting.write());
    // A worker that finds it not released after a crash waits for the end of the lease.
    let held = held.clone();
    Box::pin(async move {
        let release = db.write_behind(true, async move |tx| {
            let bound = params![held.tenant, held.id, held.fence, waiting_for.as_deref(), last_batch, until, now];
            tx.execute(statement, bound).await
        });
        release.await?;
        Ok(())
    })
}

/// A duration in whole microseconds, as the database holds it.
pub(crate) fn micros(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}
