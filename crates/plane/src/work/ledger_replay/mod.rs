//! Has a database catch up with its ledger before it is served: after a crash there is next to nothing to do; a restored older state forgets
//! what its ledger remembers, and is told again. What a line tells of is done if it is not done yet, so that doing it twice does no harm.

mod left_out;
mod others;
mod survey;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Database, params, sql};
use uuid::Uuid;

use left_out::left_out;
use survey::{Survey, survey};

use crate::cx::{Actor, Cx};
use crate::deletions::{self, Repeated};
use crate::ledger::folder::{Folder, Line};
use crate::ledger::writer::Writer;
use crate::ledger::{Entry, LedgerPlace, Order};
use crate::{Error, Plane, Result, signing_key_rotation, users};
use deletion::before;
use deletion::random;

/// Deletions that are repeated in one transaction.
const BATCH: usize = 200;
/// Rows that are read, or end, in one transaction.
const MOST: i64 = 10_000;
/// How long before it is answered a deletion may have begun.
const LONGEST: Duration = Duration::from_secs(600);

/// What the database knows of its ledger.
#[derive(Debug, Clone, Copy)]
struct Known {
    id: Uuid,
    position: u64,
    position_at: Timestamp,
    beat: i64,
    is_restored: bool,
}

/// How much was done again.
#[derive(Debug, Default)]
struct Done {
    closed: u64,
    recorded: u64,
    others: u64,
    ended: u64,
}

/// Opens the ledger, and has the database catch up with it.
///
/// # Errors
/// [`Error::Malformed`] when the two do not belong together, with the remedy; the database's.
pub(crate) async fn open(plane: &Arc<Plane>, place: &LedgerPlace) -> Result<()> {
    let cx = Cx::new(plane, "ledger").with_actor(Actor::System);
    let known = load(&cx).await?;
    let path = match (place, known) {
        (LedgerPlace::Folder(path), _) => path,
        (LedgerPlace::Unsaid | LedgerPlace::Nowhere, None) => return Ok(()),
        (LedgerPlace::Nowhere, Some(_)) => {
            tracing::warn!("no ledger is kept any more: what is deleted from now on is there again if the database is restored");
            return forget(&cx).await;
        }
        (LedgerPlace::Unsaid, Some(_)) => {
            let words = "a ledger is kept of what is deleted in this database: name its folder with --ledger, or go on without one with --ledger none";
            return Err(Error::Malformed(words.into()));
        }
    };
    let folder = Folder::open(path)?;
    let may_adopt = plane.config.database.may_begin_anew;
    let refused = |words: &str| Err(Error::Malformed(format!("the ledger in {} {words}", path.display())));
    let (known, is_new) = match (known, folder.id()) {
        (None, None) => (begin(&cx, Uuid::from_bytes(random()?)).await?, true),
        // The first start was stopped before there was a file.
        (Some(known), None) if known.beat == 0 => (known, true),
        (None, Some(id)) if may_adopt && !users::are_there(&cx).await? => (begin(&cx, id).await?, true),
        (None, Some(_)) => {
            return refused(
                "is unknown to the database: it is another's, or this is a state from before its ledger was begun, and what was deleted since is \
                 not known. To go on all the same name a new folder with --ledger",
            );
        }
        (Some(_), None) => {
            return refused(
                "is empty, though the database has one: put its files back, name its folder with --ledger, or begin a new one by starting \
                 once with --ledger none",
            );
        }
        (Some(known), Some(id)) if known.id != id => {
            return refused("is of another database: name this one's own folder with --ledger");
        }
        (Some(known), Some(_)) => (known, false),
    };
    let since = before(known.position_at, LONGEST);
    let mut survey = survey(&folder, known, since, kept(&cx).await?)?;
    if !is_new && survey.last < known.position {
        return refused("is older than the database: put its newest files back, or begin a new one by starting once with --ledger none");
    }
    if !is_new && survey.first > known.position + 1 {
        return refused(
            "does not reach back to this state of the database, which is older than anything it is kept for: \
             what was deleted meanwhile is not known. To go on all the same start once with --ledger none",
        );
    }
    let is_older = !is_new && (known.is_restored || survey.beat > known.beat);
    let done = if is_new { Done::default() } else { catch_up(&cx, &folder, &survey, known, is_older).await? };
    let mut left_out = if is_new { Vec::new() } else { left_out(&cx, &survey, since).await? };
    for (id, at, entry) in std::mem::take(&mut survey.unwritten) {
        match others::as_it_is(&cx, entry).await? {
            Some(entry) => left_out.push((at, Some(id), entry)),
            None => survey.written.push(id),
        }
    }
    if is_older {
        let Done { closed, recorded, others, ended } = done;
        tracing::warn!(
            closed,
            recorded,
            others,
            ended,
            "the database was older than its ledger: what was deleted since is closed again, and everybody signs in anew"
        );
    }
    let page = folder.into_page(known.id, survey.last, cx.now, plane.config.ledger_life)?;
    let writer = Writer::start(page, survey.last, plane.clock.clone())?;
    let _ = plane.ledger.opened.set((writer, survey.last));
    let line = AtomicU64::new(0);
    for (at, id, entry) in left_out {
        plane.ledger.add(at, (id, &entry), &line);
    }
    plane.ledger.written(line.load(Ordering::Relaxed)).await;
    let beat = settle(&cx, &survey, known).await?;
    plane.ledger.add(cx.now, (None, &Entry::Beat { beat }), &line);
    Ok(())
}

async fn load(cx: &Cx) -> Result<Option<Known>> {
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT id, position, position_at, beat, is_restored FROM ledger");
        let known = |(id, position, position_at, beat, is_restored): (_, i64, _, _, _)| {
            let position = u64::try_from(position).unwrap_or(0);
            Known { id, position, position_at, beat, is_restored }
        };
        Ok(tx.read_opt(statement, &[]).await?.map(known))
    })
    .await
}

async fn forget(cx: &Cx) -> Result<()> {
    cx.write_behind(false, async move |_, tx| {
        tx.query_all(&[(sql!("DELETE FROM ledger"), &[]), (sql!("DELETE FROM ledger_lines"), &[])]).await?;
        Ok(())
    })
    .await
}

/// The lines in the table, in the order in which what they tell of began.
async fn kept(cx: &Cx) -> Result<Vec<(Uuid, Timestamp, Entry)>> {
    cx.read(async move |_, tx| {
        let lines = tx.read_all(sql!("SELECT id, at, entry FROM ledger_lines ORDER BY id"), &[]).await?.into_iter();
        let read = |told: Json| serde_json::from_value(told).map_err(|error| Error::Internal(format!("ledger_lines: {error}")));
        lines.map(|(id, at, told)| Ok((id, at, read(told)?))).collect()
    })
    .await
}

async fn begin(cx: &Cx, id: Uuid) -> Result<Known> {
    cx.write_behind(false, async move |cx, tx| {
        let insert = sql!("INSERT INTO ledger (id, position, position_at, beat, is_restored) VALUES ($1, 0, $2, 0, FALSE)");
        tx.execute(insert, params![id, cx.now]).await?;
        Ok(Known { id, position: 0, position_at: cx.now, beat: 0, is_restored: false })
    })
    .await
}

/// Says of a database that comes from a backup that it has to catch up.
///
/// # Errors
/// The database's.
pub(crate) async fn mark_restored(database: &Database) -> Result<()> {
    database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE ledger SET is_restored = TRUE"), &[]).await?;
            Ok(())
        })
        .await
}

async fn catch_up(cx: &Cx, folder: &Folder, survey: &Survey, known: Known, is_older: bool) -> Result<Done> {
    let mut done = Done::default();
    if is_older {
        done.ended = others::end_sessions(cx).await?;
        signing_key_rotation::replace(cx).await?;
    }
    // Before what they keep is erased again.
    done.others += others::hold_again(cx, survey).await?;
    // Before later deletions of the same.
    for taken_back in survey.restored.values() {
        let taken_back = taken_back.clone();
        let again = cx.write_behind(false, async move |cx, tx| deletions::restore_again(cx, tx, &taken_back).await);
        done.others += u64::from(again.await?);
    }
    let mut batch = Vec::new();
    for line in folder.lines(known.position + 1, known.position_at) {
        let Line { n, at, entry, .. } = line?;
        let Entry::Ordered(order) = entry else { continue };
        // After a crash a job goes on where it was, and orders again what it had not come to.
        if n <= known.position || survey.restored.contains_key(&order.deletion) || order.by_job && !is_older {
            continue;
        }
        let completed = survey.completed.get(&order.deletion).cloned();
        let completed = completed.or_else(|| order.counts.clone().map(|counts| (counts, at)));
        batch.push((order, at, completed));
        if batch.len() == BATCH {
            repeat(cx, std::mem::take(&mut batch), &mut done).await?;
        }
    }
    repeat(cx, batch, &mut done).await?;
    done.others += others::repeat(cx, survey, is_older).await?;
    Ok(done)
}

type Ordered = (Order, Timestamp, Option<(Json, Timestamp)>);

async fn repeat(cx: &Cx, orders: Vec<Ordered>, done: &mut Done) -> Result<()> {
    let outcomes = cx.write_behind(false, async move |cx, tx| {
        let mut outcomes = Vec::with_capacity(orders.len());
        for (order, at, completed) in &orders {
            outcomes.push((order.deletion, deletions::repeat(cx, tx, order, *at, completed.clone()).await?));
        }
        Ok(outcomes)
    });
    for (id, outcome) in outcomes.await? {
        match outcome {
            Repeated::Known => {}
            Repeated::Recorded => done.recorded += 1,
            Repeated::Closed => done.closed += 1,
            Repeated::Unfinished => {
                tracing::warn!(deletion = %id, "a purge was not over, and is not gone on with in this older state: order it again");
            }
        }
    }
    Ok(())
}

/// Says that the database has caught up. Returns the beat.
async fn settle(cx: &Cx, survey: &Survey, known: Known) -> Result<i64> {
    let beat = survey.beat.max(known.beat) + 1;
    let (last, is_whole, written) = (survey.last, cx.plane.ledger.is_whole(), survey.written.clone());
    cx.write_behind(false, async move |cx, tx| {
        tx.execute(sql!("DELETE FROM ledger_lines WHERE id = ANY($1)"), params![&written[..]]).await?;
        let statement = sql!(
            "UPDATE ledger SET position = $1, position_at = CASE WHEN CAST($4 AS boolean) THEN $2 ELSE position_at END, beat = $3,
                        is_restored = FALSE"
        );
        tx.execute(statement, params![i64::try_from(last).unwrap_or(i64::MAX), cx.now, beat, is_whole]).await?;
        Ok(beat)
    })
    .await
}
