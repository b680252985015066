//! One batch of the drain: up to so many rows in one transaction, which also says how far the deletion has come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value as Json;
use sql::{HasDatabaseError, Tx, params};
use tokio::sync::oneshot;

use crate::clock::after;
use crate::counting::add;
use crate::drain::{Lease, Nouns, Others, Outcome, micros};
use crate::key::{Cursor, Key};
use crate::plan::{Advance, PASSED_SOME_OVER};
use crate::record::Position;
use crate::throughput::{BatchHandover, FIRST_SIZE, handover};
use crate::{Engine, Error, Result, Rules};

/// The context of one batch.
struct Batch<'a, N> {
    nouns: &'a N,
    held: &'a Lease,
    rules: &'static Rules,
    now: jiff::Timestamp,
}

/// Does one batch of up to `size` rows in one transaction, and renews the lease. The worker says how long its last batch took, and whether
/// this one may be lost in a crash.
///
/// # Errors
/// The database's; nothing has happened then.
pub async fn advance<N: Nouns>(
    nouns: &N,
    held: &Arc<Lease>,
    size: i64,
    last_batch: Duration,
    may_be_lost: bool,
) -> Result<Outcome, N::Error> {
    advance_to(nouns, held, size, last_batch, may_be_lost, None).await
}

/// The same, and tells with which parent it will end.
fn advance_to<N: Nouns>(
    nouns: &N,
    held: &Arc<Lease>,
    size: i64,
    last_batch: Duration,
    may_be_lost: bool,
    handover: Option<Arc<BatchHandover>>,
) -> BoxFuture<'static, Result<Outcome, N::Error>> {
    let (held, last) = (held.clone(), micros(last_batch));
    let nouns = nouns.clone();
    let db = nouns.engine().db.clone();
    Box::pin(async move {
        let batch =
            db.write_behind(may_be_lost, async move |tx| Batch::new(&nouns, &held).advance(tx, size, last, handover.as_deref()).await);
        batch.await
    })
}

/// Does two batches of up to `size` rows at the same time, or one where the cascade groups end with it. The worker says how long its last
/// batches took; these may be lost in a crash. Returns what the first came to, and for how many rows was asked.
///
/// # Errors
/// The database's; the batch that met it has not happened then.
pub async fn advance_in_parallel<N: Nouns>(
    nouns: &N,
    held: &Arc<Lease>,
    size: i64,
    last_batch: Duration,
) -> Result<(Outcome, i64), N::Error> {
    let (sender, told) = handover();
    let first = advance_to(nouns, held, size, last_batch, true, Some(Arc::new(sender)));
    let (first, second) = tokio::join!(first, follow_to(nouns.clone(), held.clone(), told, size));
    match second {
        Ok(true) => Ok((first?, 2 * size)),
        Ok(false) => Ok((first?, size)),
        Err(error) => first.and(Err(error)),
    }
}

/// Does the second batch. Returns whether there was one.
fn follow_to<N: Nouns>(nouns: N, held: Arc<Lease>, told: oneshot::Receiver<Key>, size: i64) -> BoxFuture<'static, Result<bool, N::Error>> {
    Box::pin(async move {
        let Ok(after) = told.await else { return Ok(false) };
        let db = nouns.engine().db.clone();
        match db.write_behind(true, async move |tx| Batch::new(&nouns, &held).follow(tx, &after, size).await).await {
            Ok(()) => Ok(true),
            Err(Follow::NothingToDo) => Ok(false),
            Err(Follow::Failed(error)) => Err(error),
        }
    })
}

/// Why a second batch is undone.
enum Follow<E> {
    /// The first has not come as far as it said, or another worker has taken the deletion over.
    NothingToDo,
    Failed(E),
}

impl<E: From<sql::Error>> From<sql::Error> for Follow<E> {
    fn from(error: sql::Error) -> Follow<E> {
        Follow::Failed(error.into())
    }
}

impl<E: HasDatabaseError> HasDatabaseError for Follow<E> {
    fn database_error(&self) -> Option<&sql::Error> {
        match self {
            Follow::NothingToDo => None,
            Follow::Failed(error) => error.database_error(),
        }
    }
}

impl<'a, N: Nouns> Batch<'a, N> {
    fn new(nouns: &'a N, held: &'a Lease) -> Batch<'a, N> {
        let engine: &Engine = nouns.engine();
        Batch { nouns, held, rules: engine.rules, now: engine.clock.now() }
    }

    async fn advance(&self, tx: &mut Tx, size: i64, last_batch: i64, handover: Option<&BatchHandover>) -> Result<Outcome, N::Error> {
        let Batch { nouns, held, .. } = *self;
        if let Some(pause) = nouns.lock(tx, held).await? {
            return Ok(Outcome::Waits(pause));
        }
        if held.root.locks_each_batch {
            // A transaction that erases the subject by another root meanwhile counts what hangs on it, and shall not count what goes here. It
            // locks the subject first, too.
            held.plan.claim(tx, held.tenant, &[held.subject]).await?;
        }
        // First the fence: this row's lock orders this worker and one that took the deletion over.
        let Some(position) = self.renew(tx, last_batch).await? else { return Ok(Outcome::Fenced) };
        let is_beginning = position.stage == 0 && position.cursor.is_none();
        if held.root.orders_others.is_some() {
            return self.order_others(tx, position, size).await;
        }
        if let Some(pause) = nouns.obstacle(tx, held, is_beginning).await? {
            return Ok(Outcome::Waits(pause));
        }
        if is_beginning && let Some(left) = self.awaited(tx).await? {
            return Ok(Outcome::Waits(nouns.awaiting(held, left)));
        }
        let Position { stage: began, cursor, mut counts } = position;
        let (mut first, mut left, mut cursor) = (began, size, self.cursor(began, cursor.as_ref())?);
        if let Some(groups) = held.plan.groups.as_ref().filter(|_| began < held.plan.before_steps()) {
            let last = cursor.take().and_then(|mut cursor| cursor.pop());
            let mut stage = began;
            if let Some(batch) = groups.advance(tx, held.tenant, last.as_ref(), size, handover).await? {
                for (table, touched) in batch.touched {
                    counts = add(counts, table, touched);
                    left -= touched;
                }
                if batch.is_passed_over {
                    stage = PASSED_SOME_OVER;
                }
                if !batch.is_end {
                    self.progress(tx, stage, Some(&vec![batch.last]), &counts).await?;
                    return Ok(Outcome::More);
                }
            }
            // Rows of a table may cost more than those of groups.
            left = left.min(FIRST_SIZE);
            first = held.plan.before_steps() + if stage == PASSED_SOME_OVER { 0 } else { groups.steps };
        }
        for (stage, step) in held.plan.stages().skip_while(|(stage, _)| *stage < first) {
            let waits = cursor.is_none() && held.root.waits_before == Some(step.table);
            if waits && stage == began {
                if let Some(pause) = nouns.effects(tx, held).await? {
                    return Ok(Outcome::Waits(pause));
                }
            } else if waits || left <= 0 {
                self.progress(tx, stage, None, &counts).await?;
                return Ok(Outcome::NextTable);
            }
            let from = cursor.take();
            let (touched, next) = match step.advance(tx, held.tenant, held.subject, from.as_ref(), left).await? {
                Advance::Touched(touched, next) => (touched, next),
                Advance::Overtaken => {
                    self.progress(tx, held.plan.before_steps(), None, &counts).await?;
                    return Ok(Outcome::NextTable);
                }
            };
            counts = add(counts, step.table, touched);
            // Rows of the next table may cost more than this one's.
            left = (left - touched).min(FIRST_SIZE);
            tracing::debug!(deletion = %held.id, table = step.table, rows = touched, asked = size, "batch");
            if next.is_some() {
                self.progress(tx, stage, next.as_ref(), &counts).await?;
                return Ok(if stage == began { Outcome::More } else { Outcome::NextTable });
            }
        }
        let end = held.plan.before_steps() + held.plan.steps.len();
        if began < end {
            self.progress(tx, end, None, &counts).await?;
            // What went from the first row to the last in this transaction is so little that the sweep may be made in it too.
            if !is_beginning {
                return Ok(Outcome::LastStep);
            }
        }
        self.complete(tx).await
    }

    /// The batch that begins after a parent which another transaction is about to come to.
    async fn follow(&self, tx: &mut Tx, after: &Key, size: i64) -> Result<(), Follow<N::Error>> {
        let Batch { nouns, held, .. } = *self;
        let Some(groups) = &held.plan.groups else { return Err(Follow::NothingToDo) };
        // The worker that has taken it over may hold these parents, and wait for others that are held here.
        if self.position(tx).await.map_err(failed)?.is_none() || nouns.lock(tx, held).await.map_err(Follow::Failed)?.is_some() {
            return Err(Follow::NothingToDo);
        }
        // What has to be passed over is left to a first batch.
        let batch = groups.advance(tx, held.tenant, Some(after), size, None).await.map_err(failed)?;
        let Some(batch) = batch.filter(|batch| !batch.is_passed_over) else { return Err(Follow::NothingToDo) };
        let Some(position) = self.renew(tx, 0).await.map_err(failed)? else { return Err(Follow::NothingToDo) };
        let is_at = position.stage <= PASSED_SOME_OVER;
        let cursor = self.cursor(position.stage, position.cursor.as_ref().filter(|_| is_at)).map_err(failed)?;
        if cursor.and_then(|mut cursor| cursor.pop()).as_ref() != Some(after) {
            return Err(Follow::NothingToDo);
        }
        let counts = batch.touched.into_iter().fold(position.counts, |counts, (table, touched)| add(counts, table, touched));
        self.progress(tx, position.stage, Some(&vec![batch.last]), &counts).await.map_err(failed)
    }

    /// Renews the lease and says where the deletion is. None where another worker has taken it over.
    async fn renew(&self, tx: &mut Tx, last_batch: i64) -> Result<Option<Position>> {
        let Batch { held, now, .. } = *self;
        let until = after(now, self.nouns.engine().lease);
        let bound = params![held.tenant, held.id, held.fence, until, now, last_batch];
        tx.query_opt(self.rules.record().renew, bound).await?.map(Position::read).transpose()
    }

    /// Where the deletion is, while no other worker has taken it over.
    async fn position(&self, tx: &mut Tx) -> Result<Option<Position>> {
        let bound = params![self.held.tenant, self.held.id, self.held.fence];
        tx.query_opt(self.rules.record().position, bound).await?.map(Position::read).transpose()
    }

    /// The cursor of a stage.
    fn cursor(&self, stage: usize, cursor: Option<&Json>) -> Result<Option<Cursor>> {
        cursor.map(|cursor| self.held.plan.read_cursor(stage, cursor)).transpose()
    }

    async fn progress(&self, tx: &mut Tx, stage: usize, cursor: Option<&Cursor>, counts: &Json) -> Result<()> {
        self.rules.write_progress(tx, (self.held.tenant, self.held.id), stage, cursor, counts).await
    }

    /// How many rows there still are of what the root awaits.
    async fn awaited(&self, tx: &mut Tx) -> Result<Option<i64>> {
        let left = self.held.plan.awaited(tx, self.held.tenant, self.held.subject).await?;
        Ok(Some(left).filter(|left| *left > 0))
    }

    /// Has the next subjects deleted. It is over when the last of their deletions is.
    async fn order_others(&self, tx: &mut Tx, position: Position, size: i64) -> Result<Outcome, N::Error> {
        let last = self.cursor(0, position.cursor.as_ref())?.and_then(|mut cursor| cursor.pop());
        match self.nouns.order_others(tx, self.held, position.counts, last, size).await? {
            Others::Ordered(counts, last) => {
                self.progress(tx, 0, last.map(|last| vec![last]).as_ref(), &counts).await?;
                Ok(Outcome::Ordered)
            }
            Others::Waits(pause) => Ok(Outcome::Waits(pause)),
            Others::Over => self.complete(tx).await,
        }
    }

    /// Completes it, or goes through all steps again when the sweep finds what was added behind the drain's back.
    async fn complete(&self, tx: &mut Tx) -> Result<Outcome, N::Error> {
        let Batch { nouns, held, now, .. } = *self;
        if let Some(pause) = nouns.effects(tx, held).await? {
            return Ok(Outcome::Waits(pause));
        }
        held.plan.claim(tx, held.tenant, &[held.subject]).await?;
        if !held.plan.is_swept(tx, held.tenant, &[held.subject]).await? {
            let bound = params![held.tenant, held.id, held.plan.before_steps() as i64];
            tx.execute(self.rules.record().again, bound).await?;
            return Ok(Outcome::NextTable);
        }
        held.plan.erase_root(tx, held.tenant, &[held.subject]).await?;
        if let Some(counts) = tx.read_opt(self.rules.record().complete, params![held.tenant, held.id, now]).await? {
            nouns.completed(tx, held, counts, now).await?;
        }
        tracing::info!(deletion = %held.id, subject = %held.subject, "completed");
        Ok(Outcome::Completed)
    }
}

fn failed<E: From<Error>>(error: Error) -> Follow<E> {
    Follow::Failed(error.into())
}
