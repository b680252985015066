//! How far a deletion is, how fast it goes, and what it waits for: read from its record, and from an estimate of what is ahead of it.
//!
//! The estimate is made when a reader looks at an open deletion for the first time, beside the request and not in it: rows are counted
//! along the drain's own indexes in slices, each a read of its own, and only so many of them. Until then, and for what is larger, it is not
//! known.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Static, Tx, params, sql};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::condition::Waiting;
use crate::drain::micros;
use crate::key::Cursor;
use crate::plan::TableStanding;
use crate::record::State;
use crate::rules::Rules;
use crate::{Engine, Result};

/// How long a drain may need to begin with a deletion before its record says that it waits for one.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// Rows that are counted in one read, and reads for one estimate: up to ten million rows, and none of the reads is long.
const SLICE: i64 = 20_000;
const MOST_SLICES: usize = 500;
/// Deletions that are remembered as estimated or given up.
const MOST_REMEMBERED: usize = 10_000;
/// Over how long a watcher's rate is taken.
const WINDOW: Duration = Duration::from_secs(5);
/// Rows that are gone over in the first second, as far as is known before any were.
const PRESUMED: i64 = 20_000;
/// What the stage is called in which nothing is erased any more, only looked for.
const SWEEP: &str = "sweep";

/// What the record of a deletion says of how it is getting on.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The name of its root.
    pub root: String,
    /// Where it is in its life.
    pub state: State,
    /// Rows erased or redacted so far, by table.
    pub counts: Json,
    /// When it was ordered.
    pub created_at: Timestamp,
    /// When it last made progress.
    pub updated_at: Timestamp,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// The step of its plan that is next.
    pub stage: i64,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// Since when it waits.
    pub waiting_since: Option<Timestamp>,
    /// Rows that it is expected to touch altogether.
    pub rows_expected: Option<i64>,
    /// Until when a worker holds it.
    pub lease_until: Option<Timestamp>,
}

/// How a deletion is getting on.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The table it is at, or `sweep`; none once it is over.
    pub stage: Option<&'static str>,
    /// Rows erased or redacted so far.
    pub rows_done: i64,
    /// Rows that are still to be, as far as that is known: an estimate, and 0 once it is completed.
    pub rows_to_do: Option<i64>,
    /// Rows in a second, while it goes on.
    pub rate: Option<i64>,
    /// Seconds until nothing is left to do at that rate.
    pub eta_seconds: Option<i64>,
    /// What keeps it from going on, each with the time since when.
    pub obstacles: Vec<(Obstacle, Timestamp)>,
}

/// Something that keeps a deletion from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Its grace period is not over.
    GracePeriod,
    /// It waits for something.
    Waiting(Waiting),
    /// No worker has begun with it for longer than that should take.
    NotBegun,
    /// The worker that had it did not come back before its lease was over.
    WorkerLost,
}

/// What a reader who keeps looking has seen lately: the rate of the last seconds comes from it.
#[derive(Debug, Default)]
pub struct RateSample(VecDeque<(Timestamp, i64)>);

impl RateSample {
    /// Rows in a second between what was seen some seconds ago and now.
    fn add(&mut self, now: Timestamp, rows: i64) -> Option<i64> {
        self.0.push_back((now, rows));
        while self.0.len() > 2 && self.0.front().is_some_and(|(time, _)| seconds(now.duration_since(*time)) > WINDOW.as_secs_f64()) {
            self.0.pop_front();
        }
        let (time, before) = *self.0.front()?;
        per_second(rows - before, now.duration_since(time))
    }
}

impl Standing {
    /// How it is getting on. With a sample the rate is that of the last seconds, otherwise that since it was ordered.
    pub fn progress(&self, rules: &'static Rules, now: Timestamp, sample: Option<&mut RateSample>) -> Progress {
        let rows_done = sum(&self.counts);
        let obstacles = self.obstacles(now);
        let lately = sample.and_then(|sample| sample.add(now, rows_done));
        let began = self.completed_at.unwrap_or(self.updated_at).duration_since(self.created_at);
        let rate = lately.or_else(|| per_second(rows_done, began)).filter(|_| obstacles.is_empty());
        let rows_to_do = match self.state.is_over() {
            true => Some(0),
            // One that outran its estimate is not done.
            false => self.rows_expected.map(|expected| expected - rows_done).filter(|left| *left >= 0),
        };
        let eta_seconds = match (rows_to_do, rate.filter(|rate| *rate > 0)) {
            (Some(left), Some(rate)) if !self.state.is_over() => Some(left.div_euclid(rate) + i64::from(left.rem_euclid(rate) > 0)),
            _ => None,
        };
        Progress { stage: self.stage_name(rules), rows_done, rows_to_do, rate, eta_seconds, obstacles }
    }

    fn stage_name(&self, rules: &'static Rules) -> Option<&'static str> {
        if self.state.is_over() {
            return None;
        }
        let root = rules.root(&self.root).ok()?;
        let stage = usize::try_from(self.stage).ok()?;
        // What orders others goes through them from its beginning to its end.
        Some(rules.plan(root).table_at(stage).or(root.orders_others).unwrap_or(SWEEP))
    }

    fn obstacles(&self, now: Timestamp) -> Vec<(Obstacle, Timestamp)> {
        if self.state.is_over() {
            return Vec::new();
        }
        if self.state == State::Reversible {
            return vec![(Obstacle::GracePeriod, self.created_at)];
        }
        let is_over = |time: Timestamp, by: Duration| seconds(now.duration_since(time)) > by.as_secs_f64();
        let mut obstacles = Vec::new();
        if let Some(waiting) = &self.waiting {
            obstacles.push((Obstacle::Waiting(waiting.clone()), self.waiting_since.unwrap_or(self.updated_at)));
        }
        if self.state == State::Closed && is_over(self.updated_at, BEGINS_WITHIN) {
            obstacles.push((Obstacle::NotBegun, self.created_at));
        }
        if let Some(end) = self.lease_until.filter(|end| self.waiting.is_none() && is_over(*end, BEGINS_WITHIN)) {
            obstacles.push((Obstacle::WorkerLost, end));
        }
        obstacles
    }
}

fn per_second(rows: i64, time: jiff::SignedDuration) -> Option<i64> {
    let seconds = seconds(time);
    // Of a shorter time the rate would say more about the clock.
    (seconds >= 0.2).then(|| (rows as f64 / seconds).round() as i64)
}

fn seconds(time: jiff::SignedDuration) -> f64 {
    time.as_secs_f64()
}

/// How fast deletions go, and which of them were counted or are about to be: one at a time.
#[derive(Debug)]
pub struct Estimates {
    asked: Mutex<HashSet<Uuid>>,
    turn: Semaphore,
    /// Rows that the drain went over since the server was started, and microseconds that it took.
    rows: AtomicI64,
    micros: AtomicI64,
}

impl Default for Estimates {
    fn default() -> Estimates {
        // Until it is known better, as if it had gone over this much.
        let (rows, micros) = (AtomicI64::new(PRESUMED), AtomicI64::new(1_000_000));
        Estimates { asked: Mutex::default(), turn: Semaphore::new(1), rows, micros }
    }
}

impl Estimates {
    /// Takes into account how fast the drain was.
    pub(crate) fn learn(&self, rows: i64, elapsed: Duration) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.micros.fetch_add(micros(elapsed), Ordering::Relaxed);
    }

    /// Seconds that so many rows would take, one at least, if the drain is as fast as it was until now.
    pub fn seconds(&self, rows: i64) -> i64 {
        let (known, micros) = (self.rows.load(Ordering::Relaxed) as f64, self.micros.load(Ordering::Relaxed) as f64);
        (rows as f64 * micros / known.max(1.0) / 1_000_000.0).ceil().max(1.0) as i64
    }
}

/// Has the rows ahead of an open deletion counted, unless a reader has asked before. Returns at once.
pub fn estimate(engine: &std::sync::Arc<Engine>, id: Uuid) {
    {
        let mut asked = engine.estimates.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MOST_REMEMBERED {
            asked.clear();
        }
        if !asked.insert(id) {
            return;
        }
    }
    let engine = engine.clone();
    tokio::spawn(async move {
        let Ok(_turn) = engine.estimates.turn.acquire().await else { return };
        if let Err(error) = count(&engine, id).await {
            tracing::warn!(deletion = %id, %error, "the rows ahead of a deletion could not be counted");
        }
    });
}

/// What one read of a count has found.
struct Slice {
    /// Rows of the table that the drain had touched in that moment, if the count begins anew with them because it was overtaken.
    anew: Option<i64>,
    /// Rows of the slice, and where it ends if the table goes on.
    rows: i64,
    next: Option<Cursor>,
}

async fn count(engine: &Engine, id: Uuid) -> Result<()> {
    let rules = Static(engine.rules);
    let (mut before, mut rows): (i64, i64) = (0, 0);
    let (mut step, mut after): (usize, Option<Cursor>) = (0, None);
    for _ in 0..MOST_SLICES {
        let from = after.clone();
        let slice = engine.db.read_behind(async move |tx| look_ahead(rules, tx, id, step, from.clone()).await).await?;
        let Some((slice, steps)) = slice else { return Ok(()) };
        rows = slice.anew.unwrap_or(rows) + slice.rows;
        after = slice.next;
        if after.is_none() {
            (before, rows, step) = (before + rows, 0, step + 1);
        }
        if step >= steps {
            return keep(engine, id, before).await;
        }
    }
    Ok(())
}

/// One slice of a table after a cursor, or after the drain's if that is further, both in the same moment, with the number of steps there
/// are; none once the deletion is over.
async fn look_ahead(rules: Static<Rules>, tx: &mut Tx, id: Uuid, step: usize, after: Option<Cursor>) -> Result<Option<(Slice, usize)>> {
    let ahead: Option<(Uuid, Uuid, String, i64, Option<Json>, Json)> = tx.read_opt(rules.0.record().ahead, params![id]).await?;
    let Some((tenant, subject, root, stage, cursor, counts)) = ahead else { return Ok(None) };
    let plan = rules.0.plan(rules.0.root(&root)?);
    let steps = plan.steps.len();
    let Some(table) = plan.steps.get(step) else { return Ok(Some((Slice { anew: None, rows: 0, next: None }, steps))) };
    let done = counts.get(table.table).and_then(Json::as_i64).unwrap_or(0);
    let stage = usize::try_from(stage).unwrap_or(0);
    let cursor = cursor.map(|cursor| plan.read_cursor(stage, &cursor)).transpose()?;
    let (from, anew) = match plan.standing(stage, cursor, step) {
        TableStanding::Done => return Ok(Some((Slice { anew: Some(done), rows: 0, next: None }, steps))),
        TableStanding::At(drain) if after.as_ref().is_none_or(|after| drain > *after) => (Some(drain), Some(done)),
        TableStanding::NotBegun if after.is_none() => (None, Some(done)),
        TableStanding::At(_) | TableStanding::NotBegun => (after, None),
    };
    let (rows, next) = table.count(tx, tenant, subject, from.as_ref(), SLICE).await?;
    Ok(Some((Slice { anew, rows, next }, steps)))
}

async fn keep(engine: &Engine, id: Uuid, rows: i64) -> Result<()> {
    let statement = sql!("UPDATE deletions SET rows_expected = $2 WHERE id = $1 AND rows_expected IS NULL AND state <> 'completed'");
    engine.db.write_behind(true, async move |tx| tx.execute(statement, params![id, rows]).await).await?;
    Ok(())
}

/// Rows of all tables.
fn sum(counts: &Json) -> i64 {
    counts.as_object().into_iter().flatten().filter_map(|(_, rows)| rows.as_i64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_it_would_take_is_learned_from_the_drain() {
        let estimates = Estimates::default();
        assert_eq!([1, 20_000, 20_001, 200_000].map(|rows| estimates.seconds(rows)), [1, 1, 2, 10]);
        estimates.learn(980_000, Duration::from_secs(9));
        assert_eq!(estimates.seconds(1_000_000), 10);
    }
}
