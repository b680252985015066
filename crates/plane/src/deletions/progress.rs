//! How a deletion is getting on, in words for people: what the engine says of it, and what each thing means that it waits for.

use std::time::Duration;

use deletion::{DATABASE, Obstacle, RateSample, Standing, Waiting, before};
use jiff::Timestamp;
use std::sync::{Arc, LazyLock};

use super::Deletion;
use crate::Cx;
use crate::Plane;
use crate::deletion_rules::{RULES, Root};
use crate::notify::RETRIED_FOR;
use sql::{Statement, Tx, Value, params};
use uuid::Uuid;

/// How long an open deletion may make no progress before it is called stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);
/// How long a delivery to a webhook may be due, and a deletion that waits for webhooks be looked at by no worker.
pub const LATE_AFTER: Duration = Duration::from_secs(600);

/// What looks for deletions that are stuck: open ones that made no progress for longer than [`STUCK_AFTER`]. Those under a legal hold are meant to
/// wait, for as long as it takes. What waits for others is not stuck itself: they may be. Webhooks and the payment provider are asked again for a while, as
/// long as a worker looks at them and never for more than three days, and a large export takes as long as it takes.
pub(crate) struct Stuck {
    /// How many there are.
    pub(crate) count: Statement,
    /// Their ids, each with what it waits for; how many at the most comes after [`Stuck::bound`].
    pub(crate) list: Statement,
}

/// Both.
pub(crate) static STUCK: LazyLock<Stuck> = LazyLock::new(|| {
    let stuck = "FROM deletions
                 WHERE state IN ('closed', 'draining') AND coalesce(waiting_since, updated_at) <= $1
                   AND coalesce(waiting_for, '') NOT IN ('legal_hold', 'customers')
                   AND coalesce(waiting_for, '') NOT LIKE 'memberships %'
                   AND (coalesce(waiting_for, '') NOT LIKE 'billing %' OR waiting_since <= $2 OR lease_until <= $4)
                   AND (coalesce(waiting_for, '') NOT LIKE 'webhook_deliveries %' OR waiting_since <= $2 OR lease_until <= $4)
                   AND (coalesce(waiting_for, '') <> 'export'
                        OR NOT EXISTS (SELECT 1 FROM exports WHERE exports.state = 'running' AND exports.lease_until > $3))";
    Stuck {
        count: Statement::generated(format!("SELECT count(*) {stuck}")),
        list: Statement::generated(format!("SELECT id, waiting_for {stuck} ORDER BY coalesce(waiting_since, updated_at), id LIMIT $5")),
    }
});

impl Stuck {
    /// The parameters for those that are stuck at this time.
    pub(crate) fn bound(now: Timestamp) -> Vec<Value> {
        let late = before(now, LATE_AFTER);
        params![before(now, STUCK_AFTER), before(late, RETRIED_FOR), now, late].to_vec()
    }
}

/// What a deletion waits for that must tell webhooks, with their number.
pub(crate) const DELIVERIES: &str = "webhook_deliveries";
/// The same for subscriptions that the payment provider has not confirmed to end, with their number.
pub(crate) const BILLING: &str = "billing";
/// The same for the export that was ordered with it.
pub(crate) const EXPORT: &str = "export";
/// The same for deletions of memberships, with their number.
pub(crate) const MEMBERSHIPS: &str = "memberships";
/// The same for deletions of customers that it has ordered.
pub(crate) const CUSTOMERS: &str = "customers";
/// The same for the end of a legal hold.
pub(crate) const HOLD: &str = "legal_hold";

/// Every [`Condition::kind`].
pub const CONDITION_TYPES: [&str; 10] =
    ["grace_period", DELIVERIES, BILLING, EXPORT, MEMBERSHIPS, CUSTOMERS, HOLD, DATABASE, "not_begun", "worker_lost"];

/// A deletion with what tells how it is getting on.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its record.
    pub deletion: Deletion,
    /// The step of its plan that is next.
    pub(super) stage: i64,
    /// What it waits for.
    pub(super) waiting: Option<Waiting>,
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

/// Something that a deletion waits for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Condition {
    /// Stable and machine-readable.
    #[serde(rename = "type")]
    #[schemars(with = "crate::deletions::schema::ConditionType")]
    pub kind: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// For people.
    #[schemars(length(min = 1, max = 2_000), example = &"Deliveries to webhooks of the organization that have not come to their end: 2.")]
    pub detail: String,
    /// What would let it go on.
    #[schemars(length(min = 1, max = 500), example = &"It goes on by itself: when each webhook is told, or without that after an hour (--completion-wait of the server).")]
    pub remedy: &'static str,
}

impl Watched {
    /// How it is getting on. With a sample the rate is that of the last seconds, otherwise that since it was ordered.
    pub fn progress(&self, now: Timestamp, sample: Option<&mut RateSample>) -> Progress {
        let deletion = &self.deletion;
        let standing = Standing {
            root: deletion.root.name().into(),
            state: deletion.state,
            counts: deletion.counts.clone(),
            created_at: deletion.created_at,
            updated_at: deletion.updated_at,
            completed_at: deletion.completed_at,
            stage: self.stage,
            waiting: self.waiting.clone(),
            waiting_since: self.waiting_since,
            rows_expected: self.rows_expected,
            lease_until: self.lease_until,
        };
        let found = standing.progress(&RULES, now, sample);
        let conditions = found.obstacles.into_iter().map(|(obstacle, since)| condition(deletion, obstacle, since));
        Progress {
            stage: found.stage,
            rows_done: found.rows_done,
            rows_to_do: found.rows_to_do,
            rate: found.rate,
            eta_seconds: found.eta_seconds,
            conditions: conditions.collect(),
        }
    }
}

/// What a deletion waits for, in the words of its record.
pub(crate) fn waiting_words(waiting: &Waiting) -> String {
    let detail = waiting.detail.as_deref().unwrap_or_default();
    match waiting.kind.as_str() {
        DELIVERIES => format!("{detail} webhook deliveries"),
        BILLING => format!("{detail} subscriptions at the payment provider"),
        EXPORT => "its export".into(),
        MEMBERSHIPS => format!("{detail} memberships"),
        CUSTOMERS => "the deletions of its customers".into(),
        HOLD => "a legal hold".into(),
        _ => detail.into(),
    }
}

fn condition(deletion: &Deletion, obstacle: Obstacle, since: Timestamp) -> Condition {
    let (kind, detail, remedy) = match obstacle {
        Obstacle::GracePeriod => (
            "grace_period",
            "Access to what it deletes has ended. Nothing is erased before its grace period is over.".to_owned(),
            "It goes on by itself then; until then POST /api/deletions/{id}/restore takes it back.",
        ),
        Obstacle::Waiting(waiting) => waits(deletion, &waiting),
        Obstacle::NotBegun => (
            "not_begun",
            "No worker has begun with it. Access to what it deletes has ended all the same.".into(),
            "The server takes it up by itself, the one that waited longest first. If it does not, its operators find the reason in the log.",
        ),
        Obstacle::WorkerLost => (
            "worker_lost",
            "The worker that had it did not come back before its lease was over.".into(),
            "The server takes it over by itself. If it does not, its operators find the reason in the log.",
        ),
    };
    Condition { kind, since, detail, remedy }
}

fn waits(deletion: &Deletion, waiting: &Waiting) -> (&'static str, String, &'static str) {
    let words = waiting_words(waiting);
    match waiting.kind.as_str() {
        EXPORT => (
            EXPORT,
            "Nothing is erased before the export that was ordered with it is there.".to_owned(),
            "It goes on by itself once the export is done; see it at /api/exports/{exportId}. Deleting the export gives it up.",
        ),
        BILLING => (
            BILLING,
            format!(
                "Access has ended. Nothing is erased before the payment provider confirms that {} subscriptions end.",
                waiting.detail.as_deref().unwrap_or_default()
            ),
            "It goes on by itself once they have; GET /api/deletions/{id}/effects says what each attempt came to. Operators can try one again or              give it up: freehold effects list.",
        ),
        MEMBERSHIPS => (
            MEMBERSHIPS,
            format!("The deletions of the person's memberships come first. They are under way: {words}."),
            "It goes on by itself once they are completed.",
        ),
        CUSTOMERS => (
            CUSTOMERS,
            "Every customer is gone through. Some of their own deletions are not completed yet.".to_owned(),
            "It goes on by itself once they are; GET …/deletions?state=open lists them with what they wait for.",
        ),
        HOLD => (
            HOLD,
            "A legal hold was placed after it was ordered: nothing more is erased while it is in force.".to_owned(),
            "It goes on by itself once the hold is released or has ended; GET …/holds?state=active lists those in force.",
        ),
        DELIVERIES => (
            DELIVERIES,
            format!(
                "Deliveries to webhooks of the organization that have not come to their end: {}.",
                waiting.detail.as_deref().unwrap_or_default()
            ),
            // The webhooks of an organization that is being deleted cannot be changed.
            match deletion.root == Root::Organization {
                true => "It goes on by itself: when each webhook is told, or without that after an hour (--completion-wait of the server).",
                false => {
                    "It goes on by itself: when each webhook is told, or without that after an hour (--completion-wait of the server). It waits for none that is deleted."
                }
            },
        ),
        _ => (
            DATABASE,
            format!("The last attempt to go on failed: {words}."),
            "It is tried again by itself. The server's operators find the reason in the log.",
        ),
    }
}

/// Has the rows ahead of a deletion counted, unless they are known or a reader has asked before. Returns at once.
pub(crate) fn estimate(plane: &Arc<Plane>, watched: &Watched) {
    let deletion = &watched.deletion;
    if watched.rows_expected.is_none() && deletion.completed_at.is_none() && deletion.restored_at.is_none() {
        deletion::estimate(&plane.deletions, deletion.id);
    }
}

/// Lets the deletions of an organization that wait for a legal hold look again whether they may go on.
pub(crate) async fn wake_held(cx: &Cx, tx: &mut Tx, organization: Uuid) -> crate::Result<()> {
    if RULES.wake(tx, organization, &Waiting::of(HOLD)).await? > 0 {
        let engine = cx.plane.deletions.clone();
        tx.on_commit(move || engine.wake_waiting());
    }
    Ok(())
}
