//! The drain: goes through the steps of a closed deletion in short transactions, and seals it when a sweep finds nothing left.
//!
//! It may stop anywhere. Each batch moves rows, cursor and counts in one transaction; the worker that comes next goes on from there. A
//! worker holds a lease with a fencing number: one that was paused for longer finds its number outdated and commits nothing.
//!
//! A server has workers of two kinds: some begin with what was just ordered and soon set it aside if it is large, one goes on with what was
//! set aside. So the many small deletions never wait for the few large ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value as Json;
use sql::{Row, Tx, params, sql};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::abreast::{self, Teller};
use super::counting::add;
pub use super::pace::Pace;
use super::pace::{FIRST_SIZE, LEAST_SIZE};
use super::rules::Root;
use super::statements::{Advance, Cursor, PASSED_SOME_OVER, Plan, cursor_from_json, cursor_to_json, lease_end, micros};
use super::{SMALL, effects, grace, guards, rows};
use crate::cx::{Actor, Cx, Stopwatch};
use crate::purges::{self, Purge, Step};
use crate::sessions::after;
use crate::{Plane, Result, exports, holds, ledger};

/// Workers that begin: most of a small deletion is waiting for commits, which they share.
const BEGINNERS: usize = 4;
/// The same where all wait for one writer, which 64 callers keep so busy that fewer would fall behind them.
const BEGINNERS_AT_ONE_WRITER: usize = 8;
/// Rows of a deletion that goes in one transaction no matter who waits: several short ones would cost others more.
const AT_ONCE: i64 = 2 * SMALL;
/// How long one deletion is worked on before the one that waited longest has its turn.
const TURN: Duration = Duration::from_millis(200);
/// How long a deletion that waits for webhooks is left alone, unless the last of them wakes it.
const NAP: Duration = Duration::from_millis(500);
/// What a deletion says it waits for, after how many there are.
pub(super) const DELIVERIES: &str = " webhook deliveries";
/// What it says while it waits for the export that was ordered with it.
pub(super) const EXPORT: &str = "its export";
/// What it says while memberships are being deleted, after how many there are.
pub(super) const MEMBERSHIPS: &str = " memberships";
/// What it says while deletions that it has ordered are not sealed.
pub(super) const CUSTOMERS: &str = "the deletions of its customers";
/// What it says while a legal hold keeps it from going on.
pub(super) const HOLD: &str = "a legal hold";
/// How long it is left alone then, unless the hold is released.
pub(crate) const LONG_NAP: Duration = Duration::from_secs(30);
/// How often closed deletions are looked for when no bell rings.
const ROUND: Duration = Duration::from_secs(1);

/// A deletion that a worker holds, for as long as its lease lasts.
#[derive(Debug)]
pub struct Held {
    pub(super) organization: Uuid,
    id: Uuid,
    root: Root,
    subject: Uuid,
    pub(super) plan: &'static Plan,
    fence: i64,
}

/// Where a deletion is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) stage: usize,
    pub(super) cursor: Option<Cursor>,
    pub(super) counts: Json,
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
    fn state(self) -> &'static str {
        match self {
            Work::Begin => "closed",
            Work::GoOn => "draining",
        }
    }

    fn bell(self, plane: &Plane) -> &Notify {
        match self {
            Work::Begin => &plane.drain_bell,
            Work::GoOn => &plane.going_on_bell,
        }
    }
}

/// What one batch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There are more rows of the same table.
    More,
    /// The next batch begins with another table than this one did, whose rows may cost more.
    NextTable,
    /// Customers were deleted, each by a deletion of its own, and there may be more.
    Ordered,
    /// All steps are done; the next batch sweeps and seals.
    LastStep,
    /// So many deliveries to webhooks must come to an end before it can go on.
    Waiting(i64),
    /// The export that was ordered with it must be there before anything is erased.
    Exporting,
    /// So many memberships must be gone, each by a deletion of its own, before it can go on.
    Leaving(i64),
    /// Deletions that it has ordered are not sealed yet.
    Following,
    /// A legal hold is in force on what it deletes, placed after it was ordered: nothing more is erased for as long.
    OnHold,
    /// A member is placing a legal hold in its organization. The hold may be on what it deletes.
    AwaitingHold,
    /// It was the last: nothing is left.
    Sealed,
    /// Another worker holds the deletion now.
    Fenced,
}

impl Outcome {
    /// For how long no worker needs to look at it, and why; none where it can go on, or need not.
    fn pause(self) -> Option<Pause> {
        let (lasts, waiting_for) = match self {
            Outcome::Waiting(deliveries) => (NAP, format!("{deliveries}{DELIVERIES}")),
            Outcome::Exporting => (NAP, EXPORT.to_owned()),
            Outcome::Leaving(memberships) => (NAP, format!("{memberships}{MEMBERSHIPS}")),
            Outcome::Following => (NAP, CUSTOMERS.to_owned()),
            Outcome::OnHold => (LONG_NAP, HOLD.to_owned()),
            Outcome::AwaitingHold => (NAP, HOLD.to_owned()),
            Outcome::More | Outcome::NextTable | Outcome::Ordered | Outcome::LastStep | Outcome::Sealed | Outcome::Fenced => return None,
        };
        Some(Pause { lasts, waiting_for })
    }
}

/// Drains closed deletions until told to stop. Run one of these for each server.
pub async fn run(plane: Arc<Plane>, stop: watch::Receiver<bool>) {
    let beginners = if plane.db.writers() > 1 { BEGINNERS } else { BEGINNERS_AT_ONE_WRITER };
    let beginners = futures_util::future::join_all((0..beginners).map(|_| work(&plane, Work::Begin, stop.clone())));
    tokio::join!(beginners, work(&plane, Work::GoOn, stop.clone()));
}

async fn work(plane: &Arc<Plane>, kind: Work, mut stop: watch::Receiver<bool>) {
    let mut pace = Pace::new(plane);
    let mut round = None;
    while !*stop.borrow() {
        // One of the workers looks for those whose time has come, also while it has enough to do.
        if kind == Work::GoOn && round.as_ref().is_none_or(|round: &Stopwatch| round.elapsed() >= ROUND) {
            round = Some(plane.clock.stopwatch());
            if let Err(error) = grace::end_grace(plane).await {
                error.log("deletions whose grace period is over could not be begun and are tried again", None);
            }
        }
        let found = match work_a_turn(plane, kind, &mut pace).await {
            Ok(found) => found,
            Err(error) => {
                error.log("the drain could not go on and tries again", None);
                false
            }
        };
        if !found {
            pace.look_out(plane, kind);
            tokio::select! {
                () = kind.bell(plane).notified() => {}
                () = tokio::time::sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// Works on the deletion of this kind that waited longest, for one turn or until it is sealed. Returns whether there was one.
///
/// # Errors
/// The database's; the deletion then says what it waits for, and is taken up again.
pub async fn work_a_turn(plane: &Arc<Plane>, kind: Work, pace: &mut Pace) -> Result<bool> {
    let cx = job(plane);
    let Some(held) = take(plane, kind).await? else { return Ok(false) };
    let turn = plane.clock.stopwatch();
    let mut last_outcome = pace.begin(plane, held.id, held.fence);
    let mut begun = 0;
    // The worker that goes on with it need not step back for what was done of it here.
    let take_back = |begun| plane.beginnings.fetch_sub(begun, Ordering::Relaxed);
    let mut least = if kind == Work::Begin && is_small(&cx, &held).await { AT_ONCE } else { LEAST_SIZE };
    loop {
        pace.look_around(plane, kind);
        if kind == Work::Begin {
            plane.beginnings.fetch_add(1, Ordering::Relaxed);
            begun += 1;
        }
        let watch = plane.clock.stopwatch();
        // What goes on with the rows of a table may be undone by a crash: the seal never follows one of these at once, and is durable itself.
        let size = pace.size.max(std::mem::replace(&mut least, LEAST_SIZE));
        let may_be_lost = last_outcome == Outcome::More;
        let has_room = may_be_lost && held.plan.families.is_some() && pace.may_be_abreast();
        let batch = match has_room.then(|| plane.abreast.try_acquire().ok()).flatten() {
            Some(_only_pair) => abreast::advance(plane, &held, size, pace.last_batch).await,
            None => advance(plane, &held, size, pace.last_batch, may_be_lost).await.map(|outcome| (outcome, size)),
        };
        pace.last_batch = watch.elapsed();
        tracing::debug!(deletion = %held.id, micros = micros(pace.last_batch), "transaction");
        match batch {
            Ok((outcome @ (Outcome::More | Outcome::Ordered | Outcome::NextTable | Outcome::LastStep), asked)) => {
                if outcome == Outcome::LastStep {
                    look_over(&cx, &held).await;
                }
                if outcome == Outcome::More {
                    plane.estimates.learn(asked, pace.last_batch + pace.rest().unwrap_or_default());
                }
                if size == pace.size {
                    pace.adapt(outcome);
                }
                last_outcome = outcome;
            }
            Ok((Outcome::Fenced, _)) => return Ok(true),
            Ok((outcome, _)) => {
                if outcome != Outcome::Sealed {
                    take_back(begun);
                }
                return release(&cx, &held, micros(pace.last_batch), outcome.pause()).await.map(|()| true);
            }
            Err(error) => {
                take_back(begun);
                // The database's own words may hold data of others: they go to the log.
                release(&cx, &held, 0, Some(Pause { lasts: Duration::ZERO, waiting_for: error.words() })).await?;
                return Err(error);
            }
        }
        if turn.elapsed() >= TURN {
            take_back(begun);
            // Before anybody else can take it.
            pace.set_aside(plane, held.id, held.fence, last_outcome);
            release(&cx, &held, micros(pace.last_batch), None).await?;
            plane.going_on_bell.notify_one();
            return Ok(true);
        }
        if let Some(rest) = pace.rest() {
            tokio::time::sleep(rest).await;
        }
    }
}

/// Whether so little hangs on the subject that all of it goes at once. Others delete what a purge deletes. What the database fails at here, the
/// batch that follows says.
async fn is_small(cx: &Cx, held: &Arc<Held>) -> bool {
    let (root, organization, subject) = (held.root, held.organization, held.subject);
    let count = cx.read(async move |_, tx| rows(tx, root, organization, &[subject], AT_ONCE + 1).await);
    !held.root.orders_others() && count.await.is_ok_and(|rows| rows <= AT_ONCE)
}

/// Sweeps once where no caller waits for it. PostgreSQL goes over the place of every row that was erased lately, as long as no read has
/// been there since: after this the sweep in the seal's own transaction, the one that counts, is short.
async fn look_over(cx: &Cx, held: &Arc<Held>) {
    let swept = held.clone();
    let look = cx.read(async move |_, tx| swept.plan.is_swept(tx, swept.organization, &[swept.subject]).await);
    if let Err(error) = look.await {
        tracing::debug!(deletion = %held.id, %error, "could not be looked over");
    }
}

pub(super) fn job(plane: &Arc<Plane>) -> Cx {
    Cx::new(plane, "drain").with_actor(Actor::System)
}

/// Takes the deletion of this kind that waited longest, of those that no worker holds, if there is one.
///
/// # Errors
/// The database's.
pub async fn take(plane: &Arc<Plane>, kind: Work) -> Result<Option<Arc<Held>>> {
    loop {
        match job(plane).write_behind(false, async move |cx, tx| take_in(cx, tx, kind).await).await? {
            Attempt::Nothing => return Ok(None),
            Attempt::Taken(held) => return Ok(Some(Arc::new(held))),
            Attempt::Overtaken => {}
        }
    }
}

/// What came of reaching for a deletion.
enum Attempt {
    Nothing,
    /// Another worker was quicker.
    Overtaken,
    Taken(Held),
}

async fn take_in(cx: &Cx, tx: &mut Tx, kind: Work) -> Result<Attempt> {
    let waiting = sql!(
        "SELECT organization_id, id, root, subject_id, fence
         FROM deletions WHERE state = $1 AND (lease_until IS NULL OR lease_until <= $2)
         ORDER BY updated_at, id LIMIT 1"
    );
    let Some(mut row) = tx.query_opt(waiting, params![kind.state(), cx.now]).await? else { return Ok(Attempt::Nothing) };
    let (organization, id, root, subject): (Uuid, Uuid, String, Uuid) = (row.next()?, row.next()?, row.next()?, row.next()?);
    let fence: i64 = row.next()?;
    let take = sql!(
        "UPDATE deletions SET state = 'draining', fence = fence + 1, lease_until = $4, updated_at = $5
         WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state IN ('closed', 'draining')"
    );
    if tx.execute(take, params![organization, id, fence, lease_end(cx), cx.now]).await? == 0 {
        return Ok(Attempt::Overtaken);
    }
    let root = Root::of_record(&root)?;
    Ok(Attempt::Taken(Held { organization, id, root, subject, plan: Plan::of(root), fence: fence + 1 }))
}

/// Does one batch of up to `size` rows in one transaction, and renews the lease. The worker says how long its last batch took, and whether
/// this one may be lost in a crash.
///
/// # Errors
/// The database's; nothing has happened then.
pub async fn advance(plane: &Arc<Plane>, held: &Arc<Held>, size: i64, last_batch: Duration, may_be_lost: bool) -> Result<Outcome> {
    advance_to(plane, held, size, last_batch, may_be_lost, None).await
}

/// The same, and tells a listener with which family it will end.
pub(super) async fn advance_to(
    plane: &Arc<Plane>,
    held: &Arc<Held>,
    size: i64,
    last_batch: Duration,
    may_be_lost: bool,
    teller: Option<Arc<Teller>>,
) -> Result<Outcome> {
    let work = job(plane);
    let (held, last) = (held.clone(), micros(last_batch));
    work.write_behind(may_be_lost, async move |cx, tx| advance_in(cx, tx, &held, size, last, teller.as_deref()).await).await
}

async fn advance_in(cx: &Cx, tx: &mut Tx, held: &Held, size: i64, last_batch: i64, teller: Option<&Teller>) -> Result<Outcome> {
    if !holds::try_keep_out(tx, held.organization).await? {
        return Ok(Outcome::AwaitingHold);
    }
    if held.root == Root::RetiredCustomer {
        // A transaction that erases the customer for good meanwhile counts what hangs on it, and shall not count what goes here. It locks
        // the customer first, too.
        held.plan.claim(tx, held.organization, &[held.subject]).await?;
    }
    // First the fence: this row's lock orders this worker and one that took the deletion over.
    let Some(place) = renew(cx, tx, held, last_batch).await? else { return Ok(Outcome::Fenced) };
    let Place { stage: began, mut cursor, mut counts } = place;
    if held.root.orders_others() {
        return order_others(cx, tx, held, Step { counts, last: cursor.and_then(|cursor| cursor.last().copied()) }, size).await;
    }
    let (mut first, mut left) = (began, size);
    let is_beginning = began == 0 && cursor.is_none();
    // In an organization that is being deleted no hold can be placed any more.
    if (is_beginning || held.root != Root::Organization) && guards::is_held(tx, held.root, held.organization, held.subject, cx.now).await? {
        return Ok(Outcome::OnHold);
    }
    if is_beginning && !exports::is_finished(tx, held.id).await? {
        return Ok(Outcome::Exporting);
    }
    if held.root.waits_for_memberships() && is_beginning {
        let left = memberships(tx, held.subject).await?;
        if left > 0 {
            return Ok(Outcome::Leaving(left));
        }
    }
    if let Some(families) = held.plan.families.as_ref().filter(|_| began < held.plan.before_steps()) {
        let last = cursor.take().and_then(|cursor| cursor.last().copied()).unwrap_or_default();
        let mut stage = began;
        if let Some(batch) = families.advance(tx, held.organization, last, size, teller).await? {
            for (table, touched) in batch.touched {
                counts = add(counts, table, touched);
                left -= touched;
            }
            if batch.is_passed_over {
                stage = PASSED_SOME_OVER;
            }
            if !batch.is_end {
                progress(tx, held, stage, Some(&vec![batch.last]), &counts).await?;
                return Ok(Outcome::More);
            }
        }
        // Rows of a table may cost more than those of families.
        left = left.min(FIRST_SIZE);
        first = held.plan.before_steps() + if stage == PASSED_SOME_OVER { 0 } else { families.steps };
    }
    for (stage, step) in held.plan.stages().skip_while(|(stage, _)| *stage < first) {
        let waits = cursor.is_none() && held.root.waits_before() == Some(step.table);
        if waits && stage == began {
            if let Some(waiting) = awaited(tx, held).await? {
                return Ok(waiting);
            }
        } else if waits || left <= 0 {
            progress(tx, held, stage, None, &counts).await?;
            return Ok(Outcome::NextTable);
        }
        let from = cursor.take().unwrap_or_else(|| step.start());
        let (touched, next) = match step.advance(tx, held.organization, held.subject, &from, left).await? {
            Advance::Touched(touched, next) => (touched, next),
            Advance::Overtaken => {
                progress(tx, held, held.plan.before_steps(), None, &counts).await?;
                return Ok(Outcome::NextTable);
            }
        };
        counts = add(counts, step.table, touched);
        // Rows of the next table may cost more than this one's.
        left = (left - touched).min(FIRST_SIZE);
        tracing::debug!(deletion = %held.id, table = step.table, rows = touched, asked = size, "batch");
        if next.is_some() {
            progress(tx, held, stage, next.as_ref(), &counts).await?;
            return Ok(if stage == began { Outcome::More } else { Outcome::NextTable });
        }
    }
    let end = held.plan.before_steps() + held.plan.steps.len();
    if began < end {
        progress(tx, held, end, None, &counts).await?;
        // What went from the first row to the last in this transaction is so little that the sweep may be made in it too.
        if !is_beginning {
            return Ok(Outcome::LastStep);
        }
    }
    if let Some(waiting) = awaited(tx, held).await? {
        return Ok(waiting);
    }
    close_in(cx, tx, held).await
}

/// Begins a batch: renews the lease and says where the deletion is. None where another worker has taken it over.
pub(super) async fn renew(cx: &Cx, tx: &mut Tx, held: &Held, last_batch: i64) -> Result<Option<Place>> {
    let renew = sql!(
        "UPDATE deletions SET lease_until = $4, updated_at = $5, batches = batches + 1, waiting_for = NULL,
                longest_batch_us = CASE WHEN longest_batch_us < $6 THEN $6 ELSE longest_batch_us END
         WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state = 'draining'
         RETURNING stage, cursor, counts"
    );
    let bound = params![held.organization, held.id, held.fence, lease_end(cx), cx.now, last_batch];
    tx.query_opt(renew, bound).await?.map(Place::read).transpose()
}

/// Where the deletion is, while no other worker has taken it over.
pub(super) async fn place(tx: &mut Tx, held: &Held) -> Result<Option<Place>> {
    let look =
        sql!("SELECT stage, cursor, counts FROM deletions WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state = 'draining'");
    tx.query_opt(look, params![held.organization, held.id, held.fence]).await?.map(Place::read).transpose()
}

impl Place {
    fn read(mut row: Row) -> Result<Place> {
        let (stage, cursor, counts): (i64, Option<Json>, Json) = (row.next()?, row.next()?, row.next()?);
        let cursor = cursor.map(cursor_from_json).transpose()?;
        Ok(Place { stage: usize::try_from(stage).unwrap_or(0), cursor, counts })
    }
}

/// Has the next customers of a purge deleted. It is over when the last of their deletions is.
async fn order_others(cx: &Cx, tx: &mut Tx, held: &Held, step: Step, size: i64) -> Result<Outcome> {
    let purge = Purge { organization: held.organization, id: held.subject, deletion: held.id };
    // What is taken back shall find the purge where it was.
    if grace::is_resting(tx, held.organization).await? {
        return Ok(Outcome::Following);
    }
    if let Some(Step { counts, last }) = purges::go_on(cx, tx, purge, step, size).await? {
        progress(tx, held, 0, last.map(|last| vec![last]).as_ref(), &counts).await?;
        return Ok(Outcome::Ordered);
    }
    if !purges::are_all_sealed(tx, purge).await? {
        return Ok(Outcome::Following);
    }
    if let Some(waiting) = awaited(tx, held).await? {
        return Ok(waiting);
    }
    close_in(cx, tx, held).await
}

/// How many memberships of a user there still are.
pub(super) async fn memberships(tx: &mut Tx, user: Uuid) -> Result<i64> {
    Ok(tx.query_one(sql!("SELECT count(*) FROM members WHERE user_id = $1"), params![user]).await?.next()?)
}

/// The deliveries that must come to an end before it goes on, if there are any; otherwise what came of them is written down.
async fn awaited(tx: &mut Tx, held: &Held) -> Result<Option<Outcome>> {
    match effects::pending(tx, held.root, held.organization, held.id).await? {
        0 => effects::record(tx, held.organization, held.id).await.map(|()| None),
        deliveries => Ok(Some(Outcome::Waiting(deliveries))),
    }
}

/// Seals, or goes through all steps again when the sweep finds what was added behind the drain's back.
async fn close_in(cx: &Cx, tx: &mut Tx, held: &Held) -> Result<Outcome> {
    held.plan.claim(tx, held.organization, &[held.subject]).await?;
    if !held.plan.is_swept(tx, held.organization, &[held.subject]).await? {
        let again = sql!("UPDATE deletions SET stage = $3, cursor = NULL WHERE organization_id = $1 AND id = $2");
        tx.execute(again, params![held.organization, held.id, held.plan.before_steps() as i64]).await?;
        return Ok(Outcome::NextTable);
    }
    held.plan.erase_root(tx, held.organization, &[held.subject]).await?;
    let seal = sql!(
        "UPDATE deletions SET state = 'sealed', sealed_at = $3, lease_until = NULL, cursor = NULL, waiting_for = NULL, waiting_since = NULL
         WHERE organization_id = $1 AND id = $2 RETURNING counts"
    );
    if let Some(mut row) = tx.query_opt(seal, params![held.organization, held.id, cx.now]).await? {
        ledger::note(cx, tx, ledger::Entry::Completed { deletion: held.id, counts: row.next()? }).await?;
    }
    effects::complete(cx, tx, held.organization, held.id, held.root, held.subject).await?;
    tracing::info!(deletion = %held.id, subject = %held.subject, "sealed");
    Ok(Outcome::Sealed)
}

pub(super) async fn progress(tx: &mut Tx, held: &Held, stage: usize, cursor: Option<&Cursor>, counts: &Json) -> Result<()> {
    let statement =
        sql!("UPDATE deletions SET stage = $3, cursor = $4, counts = $5, waiting_since = NULL WHERE organization_id = $1 AND id = $2");
    tx.execute(statement, params![held.organization, held.id, stage as i64, cursor.map(cursor_to_json), counts]).await?;
    Ok(())
}

/// Lets the deletions of an organization that wait for a legal hold look again whether they may go on.
pub(crate) async fn wake_held(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    let statement = sql!("UPDATE deletions SET lease_until = NULL WHERE organization_id = $1 AND state = 'draining' AND waiting_for = $2");
    if tx.execute(statement, params![organization, HOLD]).await? > 0 {
        let plane = cx.plane.clone();
        tx.on_commit(move || plane.going_on_bell.notify_one());
    }
    Ok(())
}

/// Why a deletion cannot go on now, and how long no worker needs to look at it.
#[derive(Debug)]
struct Pause {
    lasts: Duration,
    waiting_for: String,
}

/// Lets go of a deletion, unless another worker holds it by now.
async fn release(cx: &Cx, held: &Arc<Held>, last_batch: i64, pause: Option<Pause>) -> Result<()> {
    // A worker that finds it not released after a crash waits for the end of the lease.
    let held = held.clone();
    cx.write_behind(true, async move |cx, tx| {
        let statement = sql!(
            "UPDATE deletions SET lease_until = $6, waiting_for = $4,
                    waiting_since = CASE WHEN CAST($4 AS text) IS NULL THEN NULL ELSE coalesce(waiting_since, $7) END,
                    longest_batch_us = CASE WHEN longest_batch_us < $5 THEN $5 ELSE longest_batch_us END
             WHERE organization_id = $1 AND id = $2 AND fence = $3"
        );
        let waiting_for = pause.as_ref().map(|pause| pause.waiting_for.as_str());
        // The context is as old as the turn.
        let until = pause.as_ref().filter(|pause| !pause.lasts.is_zero()).map(|pause| after(cx.plane.clock.now(), pause.lasts));
        let now = cx.plane.clock.now();
        tx.execute(statement, params![held.organization, held.id, held.fence, waiting_for, last_batch, until, now]).await?;
        Ok(())
    })
    .await
}
