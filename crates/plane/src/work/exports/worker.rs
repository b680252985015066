//! The worker: takes the export that waited longest, reads its tables in short batches along their keys and writes them to the disk.
//!
//! It holds the export's row by a lease with a fencing number, as the drain does. A worker that dies leaves a file that is not read again;
//! the next one begins from scratch under another number. Rows that are written meanwhile may or may not be in the archive.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use sql::{Static, Tx, Value, params, sql};
use tokio::sync::watch;

use super::archive::{self, Archive, Columns};
use super::place::is_ours;
use super::plan::{Part, Plan};
use super::{Export, State, archive_name, load, maintenance};
use crate::cx::{Actor, Cx};
use crate::storage::{Failure, Sink, Upload, Use, Written, on_disk};
use crate::{Error, Plane, Result};
use deletion::Stopwatch;
use deletion::after;

/// Rows of a table's first batch, and the least and the most it goes to.
const FIRST_SIZE: i64 = 100;
const LEAST_SIZE: i64 = 10;
const MOST_SIZE: i64 = 1_000;
/// Bytes that a batch should come to at the most: what the worker holds in memory does not depend on how long rows are.
const BATCH_BYTES: usize = 1 << 20;
/// How often exports are looked for when no bell rings.
const ROUND: Duration = Duration::from_secs(1);
/// How often the record says how far it is, unless the lease is too short for that.
const TELLING: Duration = Duration::from_millis(500);
/// How often an export is begun before it has failed.
const MOST_ATTEMPTS: i64 = 5;
/// How long to wait before the second attempt; before each other twice as long as before the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long to wait where the bucket of exports does not work: however often, none fails for that.
const BUCKET_PAUSE: Duration = Duration::from_secs(5);
/// How long the end of an upload that is given up may take.
const FAREWELL: Duration = Duration::from_millis(500);

/// Makes exports and removes those that have had their time until told to stop. Run one of these for each server.
pub async fn run(plane: Arc<Plane>, stop: watch::Receiver<bool>) {
    tokio::join!(work(plane.clone(), stop.clone()), maintenance::run(plane, stop));
}

async fn work(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let found = match work_once(&plane, &stop).await {
            Ok(found) => found,
            Err(error) => {
                error.log("exports could not be made and are tried again", None);
                false
            }
        };
        if !found {
            tokio::select! {
                () = plane.export_bell.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// An export that the worker holds, for as long as its lease lasts.
struct Held {
    export: Export,
    fence: i64,
    attempts: i64,
}

/// How an export went.
enum End {
    /// The archive is where it belongs.
    Done(Written),
    /// Another worker holds it, or it was deleted.
    Fenced,
    /// The server stops.
    Stopped,
}

/// How far it is.
#[derive(Debug, Clone, Default)]
struct Progress {
    counts: Map<String, Json>,
    done: i64,
    total: Option<i64>,
}

fn job(plane: &Arc<Plane>) -> Cx {
    Cx::new(plane, "export").with_actor(Actor::System)
}

/// Makes the export that waited longest, if there is one. Returns whether there was.
async fn work_once(plane: &Arc<Plane>, stop: &watch::Receiver<bool>) -> Result<bool> {
    let Some(held) = take(plane).await?.map(Arc::new) else { return Ok(false) };
    let mut progress = Progress::default();
    let end = match make(plane, &held, &mut progress, stop).await {
        Ok(End::Done(written)) => return finish(plane, &held, progress, written).await.map(|()| true),
        other => other,
    };
    match end {
        Ok(End::Stopped) => release(plane, &held, None).await?,
        Ok(End::Fenced | End::Done(_)) => {}
        Err(error) => {
            // A bucket that does not work tells so itself, once.
            if !is_of_the_bucket(plane, &error) {
                tracing::error!(export = %held.export.id, %error, attempt = held.attempts, "an export could not be made");
            }
            release(plane, &held, Some(error)).await?;
        }
    }
    Ok(true)
}

/// Whether an export waits for its bucket, and not for anything else. A disk that is full is none of that: it fails like any other.
fn is_of_the_bucket(plane: &Plane, error: &Error) -> bool {
    plane.archives.storage.folder().is_none() && matches!(error, Error::Overloaded(_))
}

/// Each attempt has a draft of its own: one that was paused and is no longer meant writes where nothing is read.
fn draft_name(held: &Held) -> String {
    format!("{}.{}.part", held.export.id, held.fence)
}

fn failed(failure: Failure) -> Error {
    failure.of(Use::Exports)
}

async fn take(plane: &Arc<Plane>) -> Result<Option<Held>> {
    job(plane).write_behind(false, async move |cx, tx| take_in(cx, tx).await).await
}

async fn take_in(cx: &Cx, tx: &mut Tx) -> Result<Option<Held>> {
    let waiting = sql!(
        "SELECT id, fence, attempts FROM exports
         WHERE state IN ('waiting', 'running') AND (lease_until IS NULL OR lease_until <= $1) ORDER BY created_at, id LIMIT 1"
    );
    let Some((id, fence, attempts)) = tx.read_opt::<(_, i64, i64)>(waiting, params![cx.now]).await? else { return Ok(None) };
    let Some(export) = load(tx, id).await? else { return Ok(None) };
    // One that took the process with it every time must not do so for ever.
    if attempts >= MOST_ATTEMPTS && export.deletion.is_none() {
        let fail = sql!(
            "UPDATE exports SET state = 'failed', finished_at = $4, lease_until = NULL, error = coalesce(error, 'it was broken off too often')
             WHERE organization_id = $1 AND id = $2 AND fence = $3"
        );
        tx.execute(fail, params![export.organization, id, fence, cx.now]).await?;
        return Ok(None);
    }
    let take = sql!(
        "UPDATE exports SET state = 'running', fence = fence + 1, attempts = attempts + 1, lease_until = $4, counts = '{}', rows_done = 0,
                rows_total = NULL
         WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state IN ('waiting', 'running')"
    );
    let taken = tx.execute(take, params![export.organization, id, fence, after(cx.now, cx.plane.config.lease)]).await?;
    Ok((taken > 0).then_some(Held { export, fence: fence + 1, attempts: attempts + 1 }))
}

/// Makes the archive where it belongs, and leaves no draft behind if that comes to nothing.
async fn make(plane: &Arc<Plane>, held: &Arc<Held>, progress: &mut Progress, stop: &watch::Receiver<bool>) -> Result<End> {
    is_ours(plane).await?;
    let made = Box::pin(make_there(plane, held, progress, stop)).await;
    // However it went, there may be something, and what was listed meanwhile may not have shown it.
    plane.archives.note_unsure();
    made
}

async fn make_there(plane: &Arc<Plane>, held: &Arc<Held>, progress: &mut Progress, stop: &watch::Receiver<bool>) -> Result<End> {
    let begun = plane.archives.storage.begin(&draft_name(held), &archive_name(held.export.id)).await.map_err(failed)?;
    let (mut upload, archive) = (begun.0, Archive::begin_in(begun.1, plane.clock.now()));
    let written = tokio::select! {
        written = write(plane, held, archive, &mut upload, progress, stop) => written,
        // A part that is being sent is not waited for.
        () = stopped(stop.clone()) => Ok(Err(End::Stopped)),
    };
    let given_up = match written {
        Ok(Ok(sink)) => return upload.finish(sink).await.map(End::Done).map_err(failed),
        Ok(Err(end)) => Ok(end),
        Err(error) => Err(error),
    };
    // What stays behind is an orphan, which the maintenance of archives removes.
    let _ = tokio::time::timeout(FAREWELL, upload.abandon()).await;
    given_up
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|is_stopped| *is_stopped).await.is_err() {
        std::future::pending().await
    }
}

/// Reads everything and writes it down. Returns what it was written to, or why it came to no end.
async fn write(
    plane: &Arc<Plane>,
    held: &Arc<Held>,
    mut archive: Archive,
    upload: &mut Upload,
    progress: &mut Progress,
    stop: &watch::Receiver<bool>,
) -> Result<std::result::Result<Sink, End>> {
    let (plan, schema) = (Plan::of(held.export.root), Arc::new(plane.schema().await?));
    let begun_at = plane.clock.now();
    let mut telling = Telling { watch: plane.clock.stopwatch(), every: TELLING.min(plane.config.lease / 4) };
    let mut total = 0;
    for part in &plan.parts {
        total += count(plane, held, part).await?;
        if !telling.tell(plane, held, progress).await? {
            return Ok(Err(End::Fenced));
        }
    }
    progress.total = Some(total);
    for part in &plan.parts {
        let columns = Arc::new(Columns::of(part, &schema));
        archive = on_disk(move || archive.begin(part).map(|()| archive)).await.map_err(failed)?;
        progress.counts.insert(part.rule.table.to_owned(), Json::from(0));
        let mut pace = Pace::new(plane);
        let mut cursor = Some(part.start());
        while let Some(from) = cursor.take() {
            if *stop.borrow() {
                return Ok(Err(End::Stopped));
            }
            let watch = plane.clock.stopwatch();
            let rows = read(plane, held, part, from, pace.size).await?;
            let found = rows.len() as i64;
            cursor = rows.last().filter(|_| found == pace.size).and_then(|last| part.behind(last));
            let columns = columns.clone();
            let bytes;
            (archive, bytes) = on_disk(move || {
                let bytes = archive.write(rows, &columns)?;
                Ok((archive, bytes))
            })
            .await
            .map_err(failed)?;
            upload.send().await.map_err(failed)?;
            progress.add(part.rule.table, found);
            if !telling.tell(plane, held, progress).await? {
                return Ok(Err(End::Fenced));
            }
            pace.adapt(plane, bytes, watch.elapsed()).await;
        }
    }
    // All that is left is done without a look at the lease.
    telling.every = Duration::ZERO;
    if !telling.tell(plane, held, progress).await? {
        return Ok(Err(End::Fenced));
    }
    let about = archive::about(&held.export, begun_at);
    let end = on_disk(move || archive.finish(&archive::describe(plan, &schema), about));
    end.await.map(Ok).map_err(failed)
}

async fn count(plane: &Arc<Plane>, held: &Arc<Held>, part: &'static Part) -> Result<i64> {
    let (held, part) = (held.clone(), Static(part));
    job(plane)
        .read(async move |_, tx| {
            let keys = part.keys(held.export.organization, held.export.subject);
            Ok(tx.read_one(part.count, &keys).await?)
        })
        .await
}

async fn read(plane: &Arc<Plane>, held: &Arc<Held>, part: &'static Part, from: Vec<Value>, size: i64) -> Result<Vec<Vec<Value>>> {
    let (held, part) = (held.clone(), Static(part));
    job(plane)
        .read(async move |_, tx| {
            let (statement, bound) = part.question(held.export.organization, held.export.subject, &from, size);
            Ok(tx.query(statement, &bound).await?.into_iter().map(sql::Row::rest).collect())
        })
        .await
}

impl Progress {
    fn add(&mut self, table: &str, rows: i64) {
        self.done += rows;
        if let Some(count) = self.counts.get_mut(table) {
            *count = Json::from(count.as_i64().unwrap_or(0) + rows);
        }
    }
}

/// Says how far an export is, and renews its lease, when it is time to.
struct Telling {
    watch: Stopwatch,
    every: Duration,
}

impl Telling {
    /// False when another worker, or none, holds the export by now.
    async fn tell(&mut self, plane: &Arc<Plane>, held: &Arc<Held>, progress: &Progress) -> Result<bool> {
        if self.watch.elapsed() < self.every {
            return Ok(true);
        }
        self.watch = plane.clock.stopwatch();
        let cx = job(plane);
        let (held, progress) = (held.clone(), progress.clone());
        let renewed = cx.write_behind(true, async move |cx, tx| {
            let statement = sql!(
                "UPDATE exports SET lease_until = $4, counts = $5, rows_done = $6, rows_total = $7
                 WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state = 'running'"
            );
            let (export, counts) = (&held.export, Json::Object(progress.counts.clone()));
            let lease = after(cx.now, cx.plane.config.lease);
            let bound = params![export.organization, export.id, held.fence, lease, counts, progress.done, progress.total];
            Ok(tx.execute(statement, bound).await? > 0)
        });
        renewed.await
    }
}

/// How many rows at once, and how much rest between.
struct Pace {
    size: i64,
    /// The database's count of writes that a caller waited for.
    seen: u64,
}

impl Pace {
    fn new(plane: &Plane) -> Pace {
        Pace { size: FIRST_SIZE, seen: plane.db.prompt_writes() }
    }

    async fn adapt(&mut self, plane: &Plane, bytes: usize, took: Duration) {
        if bytes > BATCH_BYTES {
            self.size = (self.size / 2).max(LEAST_SIZE);
        } else if bytes < BATCH_BYTES / 2 {
            self.size = (self.size * 2).min(MOST_SIZE);
        }
        let seen = plane.db.prompt_writes();
        if seen != self.seen {
            // Others are at work: they have the processor for as long as this batch had it.
            self.seen = seen;
            tokio::time::sleep(took).await;
        }
    }
}

/// Writes down that the archive is there. If the export was deleted meanwhile the archive is an orphan.
async fn finish(plane: &Arc<Plane>, held: &Arc<Held>, progress: Progress, written: Written) -> Result<()> {
    let bytes = i64::try_from(written.bytes).unwrap_or(i64::MAX);
    let (export, sha256) = (held.export.id, written.sha256);
    let held = held.clone();
    let cx = job(plane);
    let noted = cx.write_behind(false, async move |cx, tx| {
        let statement = sql!(
            "UPDATE exports SET state = 'done', lease_until = NULL, error = NULL, counts = $4, rows_done = $5, rows_total = $5, bytes = $6,
                    finished_at = $7, expires_at = $8, sha256 = $9
             WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state = 'running'"
        );
        let (export, counts) = (&held.export, Json::Object(progress.counts.clone()));
        let end = after(cx.now, cx.plane.config.export_life);
        let bound = params![export.organization, export.id, held.fence, counts, progress.done, bytes, cx.now, end, sha256.as_slice()];
        let is_there = tx.execute(statement, bound).await? > 0;
        let plane = cx.plane.clone();
        tx.on_commit(move || plane.deletions.wake_waiting());
        Ok(is_there)
    });
    match noted.await? {
        true => tracing::info!(%export, bytes, "exported"),
        false => tracing::info!(%export, "an export was deleted while it was made"),
    }
    Ok(())
}

/// Lets go of an export that did not come to its end: it is begun again, later when something went wrong, and not for ever unless a deletion
/// waits for it, or for its bucket.
async fn release(plane: &Arc<Plane>, held: &Arc<Held>, error: Option<Error>) -> Result<()> {
    let is_of_the_bucket = error.as_ref().is_some_and(|error| is_of_the_bucket(plane, error));
    // The database's own words may hold data of others: they go to the log.
    let (held, error) = (held.clone(), error.map(|error| error.words()));
    job(plane)
        .write_behind(false, async move |cx, tx| {
            let is_counted = error.is_some() && !is_of_the_bucket;
            let has_failed = is_counted && held.attempts >= MOST_ATTEMPTS && held.export.deletion.is_none();
            let doublings = u32::try_from(held.attempts.clamp(1, 16) - 1).unwrap_or(0);
            let pause = match is_of_the_bucket {
                true => BUCKET_PAUSE,
                false => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE),
            };
            let statement = sql!(
                "UPDATE exports SET state = $4, attempts = attempts - $5, error = coalesce($6, error), lease_until = $7, finished_at = $8
                 WHERE organization_id = $1 AND id = $2 AND fence = $3 AND state = 'running'"
            );
            let state = if has_failed { State::Failed } else { State::Waiting };
            // To be stopped is no failure, and that its bucket does not work is none of the export's.
            let pardoned = i64::from(!is_counted);
            let again = error.is_some().then(|| after(cx.now, pause)).filter(|_| !has_failed);
            let (ended, export) = (has_failed.then_some(cx.now), &held.export);
            let bound = params![export.organization, export.id, held.fence, state, pardoned, error.as_deref(), again, ended];
            tx.execute(statement, bound).await?;
            Ok(())
        })
        .await
}
