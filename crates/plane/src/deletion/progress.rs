//! How far a deletion is, how fast it goes, and what it waits for: read from its record, and from an estimate of what is ahead of it.
//!
//! The estimate is made when a reader looks at an open deletion for the first time, beside the request and not in it: rows are counted
//! along the drain's own indexes in slices, each a read of its own, and only so many of them. Until then, and for what is larger, it is not
//! known.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{params, sql};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Deletion;
use super::rules::Root;
use super::statements::{Cursor, Plan, Standing, cursor_from_json, micros};
use crate::cx::{Actor, Cx};
use crate::{Plane, Result};

/// How long an open deletion may make no progress before it is called stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How long a delivery to a webhook may be due. Between its first attempt and its last lie 76 seconds at the most.
pub const LATE_AFTER: Duration = Duration::from_secs(600);
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

/// A deletion with what tells how it is getting on.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its record.
    pub deletion: Deletion,
    /// The step of its plan that is next.
    pub(super) stage: i64,
    /// Since when it waits.
    pub(super) waiting_since: Option<Timestamp>,
    /// Rows that it is expected to touch altogether.
    pub(super) rows_expected: Option<i64>,
    /// Until when a worker holds it.
    pub(super) lease_until: Option<Timestamp>,
}

/// How a deletion is getting on.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Progress {
    /// The table it is at, or `sweep`, where it looks whether anything is left.
    #[schemars(length(min = 1, max = 50), example = &"transactions")]
    pub stage: Option<&'static str>,
    /// Rows erased or redacted so far; of a purge customers.
    #[schemars(example = 12_000)]
    pub rows_done: i64,
    /// Rows that are still to be, estimated when the deletion was first read; null while that is not known.
    #[schemars(example = 88_000)]
    pub rows_to_do: Option<i64>,
    /// Rows in a second: of the last seconds in a stream, otherwise since it was ordered; null while it waits.
    #[schemars(example = 40_000)]
    pub rate: Option<i64>,
    /// Seconds until nothing is left to do at that rate.
    #[schemars(example = 3)]
    pub eta_seconds: Option<i64>,
    /// What it waits for now.
    pub conditions: Vec<Condition>,
}

/// Every [`Condition::kind`].
pub const CONDITION_TYPES: [&str; 9] =
    ["grace_period", "webhook_deliveries", "export", "memberships", "customers", "legal_hold", "database", "not_begun", "worker_lost"];

/// Something that a deletion waits for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Condition {
    /// Stable and machine-readable.
    #[serde(rename = "type")]
    #[schemars(with = "crate::wire::ConditionType")]
    pub kind: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// For people.
    #[schemars(length(min = 1, max = 2_000), example = &"Deliveries to webhooks of the organization that have not come to their end: 2.")]
    pub detail: String,
    /// What would let it go on.
    #[schemars(length(min = 1, max = 500), example = &"It goes on by itself: each webhook is told or given up within two minutes.")]
    pub remedy: &'static str,
}

/// What a reader who keeps looking has seen lately: the rate of the last seconds comes from it.
#[derive(Debug, Default)]
pub struct Pulse(VecDeque<(Timestamp, i64)>);

impl Pulse {
    /// Rows in a second between what was seen some seconds ago and now.
    fn beat(&mut self, now: Timestamp, rows: i64) -> Option<i64> {
        self.0.push_back((now, rows));
        while self.0.len() > 2 && self.0.front().is_some_and(|(time, _)| seconds(now.duration_since(*time)) > WINDOW.as_secs_f64()) {
            self.0.pop_front();
        }
        let (time, before) = *self.0.front()?;
        per_second(rows - before, now.duration_since(time))
    }
}

impl Watched {
    /// How it is getting on. With a pulse the rate is that of the last seconds, otherwise that since it was ordered.
    pub fn progress(&self, now: Timestamp, pulse: Option<&mut Pulse>) -> Progress {
        let deletion = &self.deletion;
        let rows_done = sum(&deletion.counts);
        let is_sealed = self.is_over();
        let conditions = self.conditions(now);
        let lately = pulse.and_then(|pulse| pulse.beat(now, rows_done));
        let began = deletion.sealed_at.unwrap_or(deletion.updated_at).duration_since(deletion.created_at);
        let rate = lately.or_else(|| per_second(rows_done, began)).filter(|_| conditions.is_empty());
        let rows_to_do = match is_sealed {
            true => Some(0),
            // One that outran its estimate is not done.
            false => self.rows_expected.map(|expected| expected - rows_done).filter(|left| *left >= 0),
        };
        let eta_seconds = match (rows_to_do, rate.filter(|rate| *rate > 0)) {
            (Some(left), Some(rate)) if !is_sealed => Some(left.div_euclid(rate) + i64::from(left.rem_euclid(rate) > 0)),
            _ => None,
        };
        Progress { stage: self.stage_name(), rows_done, rows_to_do, rate, eta_seconds, conditions }
    }

    /// Whether nothing happens any more: it is sealed, or was taken back.
    fn is_over(&self) -> bool {
        self.deletion.sealed_at.is_some() || self.deletion.restored_at.is_some()
    }

    fn stage_name(&self) -> Option<&'static str> {
        if self.is_over() {
            return None;
        }
        let root = Root::parse(&self.deletion.root)?;
        let stage = usize::try_from(self.stage).ok()?;
        // A purge goes through customers from its beginning to its end.
        let otherwise = if root.orders_others() { "customers" } else { SWEEP };
        Some(Plan::of(root).table_at(stage).unwrap_or(otherwise))
    }

    fn conditions(&self, now: Timestamp) -> Vec<Condition> {
        let deletion = &self.deletion;
        if self.is_over() {
            return Vec::new();
        }
        if deletion.state == "reversible" {
            return vec![Condition {
                kind: "grace_period",
                since: deletion.created_at,
                detail: "Access to what it deletes has ended. Nothing is erased before its grace period is over.".to_owned(),
                remedy: "It goes on by itself then; until then POST /api/deletions/{id}/restore takes it back.",
            }];
        }
        let is_over = |time: Timestamp, by: Duration| seconds(now.duration_since(time)) > by.as_secs_f64();
        let mut conditions = Vec::new();
        if let Some(waiting_for) = &deletion.waiting_for {
            let (kind, detail, remedy) = match waiting_for.strip_suffix(super::drain::DELIVERIES) {
                None if waiting_for == super::drain::EXPORT => (
                    "export",
                    "Nothing is erased before the export that was ordered with it is there.".to_owned(),
                    "It goes on by itself once the export is done; see it at /api/exports/{exportId}. Deleting the export gives it up.",
                ),
                None if waiting_for.ends_with(super::drain::MEMBERSHIPS) => (
                    "memberships",
                    format!("The deletions of the person's memberships come first. They are under way: {waiting_for}."),
                    "It goes on by itself once they are sealed.",
                ),
                None if waiting_for == super::drain::CUSTOMERS => (
                    "customers",
                    "Every customer is gone through. Some of their own deletions are not sealed yet.".to_owned(),
                    "It goes on by itself once they are; GET …/deletions?state=open lists them with what they wait for.",
                ),
                None if waiting_for == super::drain::HOLD => (
                    "legal_hold",
                    "A legal hold was placed after it was ordered: nothing more is erased while it is in force.".to_owned(),
                    "It goes on by itself once the hold is released or has ended; GET …/holds?state=active lists those in force.",
                ),
                Some(number) => (
                    "webhook_deliveries",
                    format!("Deliveries to webhooks of the organization that have not come to their end: {number}."),
                    // The webhooks of an organization that is being deleted cannot be changed.
                    match deletion.root == Root::Organization.name() {
                        true => "It goes on by itself: each webhook is told or given up within two minutes.",
                        false => {
                            "It goes on by itself: each webhook is told or given up within two minutes. It waits for none that is deleted."
                        }
                    },
                ),
                None => (
                    "database",
                    format!("The last attempt to go on failed: {waiting_for}."),
                    "It is tried again by itself. The server's operators find the reason in the log.",
                ),
            };
            conditions.push(Condition { kind, since: self.waiting_since.unwrap_or(deletion.updated_at), detail, remedy });
        }
        if deletion.state == "closed" && is_over(deletion.updated_at, BEGINS_WITHIN) {
            conditions.push(Condition {
                kind: "not_begun",
                since: deletion.created_at,
                detail: "No worker has begun with it. Access to what it deletes has ended all the same.".into(),
                remedy: "The server takes it up by itself, the one that waited longest first. If it does not, its operators find the reason in the log.",
            });
        }
        if let Some(end) = self.lease_until.filter(|end| deletion.waiting_for.is_none() && is_over(*end, BEGINS_WITHIN)) {
            conditions.push(Condition {
                kind: "worker_lost",
                since: end,
                detail: "The worker that had it did not come back before its lease was over.".into(),
                remedy: "The server takes it over by itself. If it does not, its operators find the reason in the log.",
            });
        }
        conditions
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

/// Which deletions were estimated, or are about to be. One is counted at a time.
pub(crate) struct Estimates {
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
    pub(super) fn learn(&self, rows: i64, elapsed: Duration) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.micros.fetch_add(micros(elapsed), Ordering::Relaxed);
    }

    /// Seconds that so many rows would take, one at least, if the drain is as fast as it was until now.
    pub(crate) fn seconds(&self, rows: i64) -> i64 {
        let (known, micros) = (self.rows.load(Ordering::Relaxed) as f64, self.micros.load(Ordering::Relaxed) as f64);
        (rows as f64 * micros / known.max(1.0) / 1_000_000.0).ceil().max(1.0) as i64
    }
}

/// Has the rows ahead of a deletion counted, unless they are known or a reader has asked before. Returns at once.
pub(super) fn estimate(plane: &Arc<Plane>, watched: &Watched) {
    let deletion = &watched.deletion;
    if watched.rows_expected.is_some() || watched.is_over() {
        return;
    }
    {
        let mut asked = plane.estimates.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MOST_REMEMBERED {
            asked.clear();
        }
        if !asked.insert(deletion.id) {
            return;
        }
    }
    let (plane, id) = (plane.clone(), deletion.id);
    tokio::spawn(async move {
        let Ok(_turn) = plane.estimates.turn.acquire().await else { return };
        if let Err(error) = count(&plane, id).await {
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

async fn count(plane: &Arc<Plane>, id: Uuid) -> Result<()> {
    let cx = Cx::new(plane, "estimate").with_actor(Actor::System);
    let (mut before, mut rows): (i64, i64) = (0, 0);
    let (mut step, mut after): (usize, Option<Cursor>) = (0, None);
    for _ in 0..MOST_SLICES {
        let from = after.clone();
        let slice = cx.read(async move |_, tx| look_ahead(tx, id, step, from.clone()).await).await?;
        let Some((slice, steps)) = slice else { return Ok(()) };
        rows = slice.anew.unwrap_or(rows) + slice.rows;
        after = slice.next;
        if after.is_none() {
            (before, rows, step) = (before + rows, 0, step + 1);
        }
        if step >= steps {
            return keep(&cx, id, before).await;
        }
    }
    Ok(())
}

/// One slice of a table after a cursor, or after the drain's if that is further, both in the same moment, with the number of steps there
/// are; none once the deletion is sealed.
async fn look_ahead(tx: &mut sql::Tx, id: Uuid, step: usize, after: Option<Cursor>) -> Result<Option<(Slice, usize)>> {
    let statement = sql!(
        "SELECT organization_id, subject_id, root, stage, cursor, counts
         FROM deletions WHERE id = $1 AND state NOT IN ('sealed', 'restored')"
    );
    let Some(mut row) = tx.query_opt(statement, params![id]).await? else { return Ok(None) };
    let (organization, subject, root): (Uuid, Uuid, String) = (row.next()?, row.next()?, row.next()?);
    let (stage, cursor, counts): (i64, Option<Json>, Json) = (row.next()?, row.next()?, row.next()?);
    let root = Root::of_record(&root)?;
    let plan = Plan::of(root);
    let steps = plan.steps.len();
    let Some(table) = plan.steps.get(step) else { return Ok(Some((Slice { anew: None, rows: 0, next: None }, steps))) };
    let done = counts.get(table.table).and_then(Json::as_i64).unwrap_or(0);
    let cursor = cursor.map(cursor_from_json).transpose()?;
    let (from, anew) = match plan.standing(usize::try_from(stage).unwrap_or(0), cursor, step) {
        Standing::Done => return Ok(Some((Slice { anew: Some(done), rows: 0, next: None }, steps))),
        Standing::At(drain) if after.as_ref().is_none_or(|after| drain > *after) => (drain, Some(done)),
        Standing::NotBegun if after.is_none() => (table.start(), Some(done)),
        Standing::At(_) | Standing::NotBegun => (after.unwrap_or_else(|| table.start()), None),
    };
    let (rows, next) = table.count(tx, organization, subject, &from, SLICE).await?;
    Ok(Some((Slice { anew, rows, next }, steps)))
}

async fn keep(cx: &Cx, id: Uuid, rows: i64) -> Result<()> {
    cx.write_behind(true, async move |_, tx| {
        let statement = sql!("UPDATE deletions SET rows_expected = $2 WHERE id = $1 AND rows_expected IS NULL AND state <> 'sealed'");
        tx.execute(statement, params![id, rows]).await?;
        Ok(())
    })
    .await
}

fn sum(counts: &Json) -> i64 {
    counts.as_object().into_iter().flatten().filter_map(|(_, rows)| rows.as_i64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(rows: i64, expected: Option<i64>, waiting_for: Option<&str>) -> Watched {
        let began = Timestamp::UNIX_EPOCH;
        let deletion = Deletion {
            id: Uuid::nil(),
            organization: Uuid::nil(),
            root: "organization".into(),
            subject: Uuid::nil(),
            subject_label: None,
            state: "draining".into(),
            actor: "system".into(),
            actor_id: None,
            reason: None,
            request_id: "test".into(),
            counts: serde_json::json!({"devices": rows}),
            effects: serde_json::json!({}),
            export: None,
            batches: 1,
            longest_batch_micros: 1,
            waiting_for: waiting_for.map(str::to_owned),
            created_at: began,
            updated_at: began + Duration::from_secs(10),
            sealed_at: None,
            reversible_until: None,
            restored_at: None,
            stopped_at: None,
        };
        Watched { deletion, stage: 4, waiting_since: None, rows_expected: expected, lease_until: None }
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(10)
    }

    #[test]
    fn what_is_ahead_comes_from_the_estimate_and_the_end_from_the_rate() {
        let progress = watched(1_000, Some(4_050), None).progress(now(), None);
        assert_eq!((progress.stage, progress.rows_done, progress.rows_to_do), (Some("devices"), 1_000, Some(3_050)));
        assert_eq!((progress.rate, progress.eta_seconds), (Some(100), Some(31)));
    }

    #[test]
    fn how_long_it_would_take_is_learned_from_the_drain() {
        let estimates = Estimates::default();
        assert_eq!([1, 20_000, 20_001, 200_000].map(|rows| estimates.seconds(rows)), [1, 1, 2, 10]);
        estimates.learn(980_000, Duration::from_secs(9));
        assert_eq!(estimates.seconds(1_000_000), 10);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        for expected in [None, Some(999)] {
            let progress = watched(1_000, expected, None).progress(now(), None);
            assert_eq!((progress.rows_to_do, progress.eta_seconds), (None, None));
        }
        let mut waits = watched(1_000, Some(4_000), Some("2 webhook deliveries"));
        waits.waiting_since = Some(Timestamp::UNIX_EPOCH);
        let progress = waits.progress(now(), None);
        assert_eq!((progress.rate, progress.eta_seconds, progress.rows_to_do), (None, None, Some(3_000)));
        assert_eq!((progress.conditions[0].kind, progress.conditions[0].since), ("webhook_deliveries", Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_rate_for_a_reader_who_keeps_looking_is_that_of_the_last_seconds() {
        let mut pulse = Pulse::default();
        let at = |second: u64| Timestamp::UNIX_EPOCH + Duration::from_secs(second);
        for second in 0..20 {
            pulse.beat(at(second), 0);
        }
        let rates: Vec<Option<i64>> = (20..28).map(|second| pulse.beat(at(second), 1_000 * (second as i64 - 19))).collect();
        assert_eq!(rates.last(), Some(&Some(1_000)));
    }
}
