//! What the server counts, for Prometheus: requests by operation and status, how long they took, and at each look how the plane is doing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use plane::jobs::Job;
use plane::ledger::LedgerState;
use plane::metrics::Snapshot;
use plane::{Connections, Files, Load};

/// Upper ends of the buckets of request durations, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

const REQUESTS: &str = "freehold_http_requests_total";
const DURATIONS: &str = "freehold_http_request_duration_seconds";
const OPEN: &str = "freehold_deletions_open";
const WAITING: &str = "freehold_deletions_waiting";
const STUCK: &str = "freehold_deletions_stuck";
const OVERDUE: &str = "freehold_retention_overdue";
const OLDEST: &str = "freehold_deletions_oldest_open_seconds";
const PENDING: &str = "freehold_effects_pending";
const OLDEST_PENDING: &str = "freehold_effects_oldest_pending_seconds";
const DEAD: &str = "freehold_effects_dead";
const STRIPE_EVENTS: &str = "freehold_stripe_events_total";
const LOOKUPS: &str = "freehold_credential_lookups_total";
const WRITES: &str = "freehold_database_writes_total";
const QUOTAS: &str = "freehold_quota_refusals_total";
const BUILD: &str = "freehold_build_info";
const UP: &str = "freehold_database_up";
const JOB_UP: &str = "freehold_job_up";
const JOB_ENDS: &str = "freehold_job_ends_total";
const BRAKED: &str = "freehold_retention_braked";
const CONNECTIONS: &str = "freehold_database_connections";
const MOST_CONNECTIONS: &str = "freehold_database_connections_max";
const WAITS: &str = "freehold_database_connection_waits_total";
const FILE_BYTES: &str = "freehold_database_file_bytes";
const FREE_BYTES: &str = "freehold_database_disk_free_bytes";
const LOST_LINES: &str = "freehold_log_lines_lost_total";
const BACKUP: &str = "freehold_backup_last_success_timestamp_seconds";
const EXPORTS_UP: &str = "freehold_exports_place_up";
const LEDGER_LINES: &str = "freehold_ledger_lines_total";
const LEDGER_WAITING: &str = "freehold_ledger_lines_waiting";
const LEDGER_LEFT_OUT: &str = "freehold_ledger_lines_left_out_total";
const LEDGER_UP: &str = "freehold_ledger_up";

/// Durations that are held one by one before they are put into their buckets. Otherwise a server whose metrics are never read would hold
/// that of every request it ever had.
const HELD: u64 = 4_096;

/// How many requests of a kind there were, and how long they took.
type Request = (Counter, Histogram);

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    /// What is counted of the requests for an operation that were answered with a status.
    requests: RwLock<HashMap<(&'static str, u16), Request>>,
    counted: AtomicU64,
}

impl Metrics {
    pub fn new(engine: &'static str) -> Metrics {
        let builder = PrometheusBuilder::new();
        let builder =
            builder.set_buckets_for_metric(Matcher::Full(DURATIONS.into()), &BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new());
        let metrics = Metrics { recorder: builder.build_recorder(), requests: RwLock::default(), counted: AtomicU64::new(0) };
        with_local_recorder(&metrics.recorder, || {
            describe_counter!(REQUESTS, "Requests by operation and status.");
            describe_histogram!(DURATIONS, "How long the answer to a request took.");
            describe_gauge!(OPEN, "Deletions that are not completed yet, by state.");
            describe_gauge!(WAITING, "Deletions that cannot go on at the moment; their records say what they wait for.");
            describe_gauge!(STUCK, "Deletions that made no progress for more than a minute; their records say what would let them go on.");
            describe_gauge!(
                OVERDUE,
                "Softly deleted customers whose time is over and who are still there, by what they wait for: legal_hold or other."
            );
            describe_gauge!(OLDEST, "Age of the oldest deletion that is not completed.");
            describe_gauge!(PENDING, "What is still to be done outside, by kind: webhook or billing.");
            describe_gauge!(OLDEST_PENDING, "Age of the oldest of it, by kind.");
            describe_gauge!(
                DEAD,
                "What was tried in vain until its time was over and no operator has given up, by kind. A subscription may still be charged."
            );
            describe_counter!(STRIPE_EVENTS, "Events from Stripe, by what became of them.");
            describe_counter!(LOOKUPS, "Credentials that were looked for in the database.");
            describe_counter!(WRITES, "Writes to the database that a request asked for and waited for.");
            describe_counter!(QUOTAS, "What was refused because an organization has as much as it may have, by quota.");
            describe_gauge!(
                UP,
                "Whether the database answered at this look: 0 or 1. What only it knows is missing or old while it does not."
            );
            describe_gauge!(CONNECTIONS, "Connections of the pool to PostgreSQL, by state: used or idle.");
            describe_gauge!(MOST_CONNECTIONS, "Connections that the pool may have.");
            describe_counter!(WAITS, "How often a transaction had to wait for a connection of the pool.");
            describe_gauge!(FILE_BYTES, "Bytes of the embedded database's files, by file: database or log.");
            describe_gauge!(FREE_BYTES, "Bytes that are free on the disk of the embedded database.");
            describe_gauge!(BRAKED, "Rows that retention would erase at once and that wait for an operator's word.");
            describe_gauge!(JOB_UP, "Whether a background job runs: 0 or 1.");
            describe_counter!(JOB_ENDS, "How often a background job has ended before it was told to, by job.");
            describe_counter!(LOST_LINES, "Lines of the log that could not be written.");
            describe_gauge!(BACKUP, "When the newest backup was taken that the server takes by itself; 0 for none yet.");
            describe_gauge!(EXPORTS_UP, "Whether the place of exports did what was last asked of it: 0 or 1.");
            describe_counter!(LEDGER_LINES, "Lines of the ledger that the disk has confirmed.");
            describe_gauge!(LEDGER_WAITING, "Lines of the ledger that wait for the disk.");
            describe_counter!(LEDGER_LEFT_OUT, "Lines of the ledger that were left out, since too many were waiting.");
            describe_gauge!(LEDGER_UP, "Whether the ledger can be written: 0 or 1. Missing where none is kept.");
            describe_gauge!(BUILD, "The program: always 1.");
            gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION"), "engine" => engine).set(1.0);
        });
        metrics
    }

    /// Counts a request. Those that no operation was for are counted together: anybody can make up addresses.
    pub fn count(&self, operation: Option<&'static str>, status: u16, took: Duration) {
        let operation = operation.unwrap_or("none");
        let known = self.requests.read().unwrap_or_else(PoisonError::into_inner).get(&(operation, status)).cloned();
        let (requests, durations) = known.unwrap_or_else(|| self.register(operation, status));
        requests.increment(1);
        durations.record(took);
        if self.counted.fetch_add(1, Ordering::Relaxed) % HELD == HELD - 1 {
            self.recorder.handle().run_upkeep();
        }
    }

    /// Counts an event from Stripe.
    pub fn count_event(&self, outcome: &'static str) {
        with_local_recorder(&self.recorder, || counter!(STRIPE_EVENTS, "outcome" => outcome).increment(1));
    }

    fn register(&self, operation: &'static str, status: u16) -> Request {
        let made = with_local_recorder(&self.recorder, || {
            let requests = counter!(REQUESTS, "operation" => operation, "status" => status.to_string());
            (requests, histogram!(DURATIONS, "operation" => operation))
        });
        self.requests.write().unwrap_or_else(PoisonError::into_inner).entry((operation, status)).or_insert(made).clone()
    }

    /// Everything, in Prometheus' text format; without those of the database when it cannot be read.
    pub fn render(
        &self,
        snapshot: Option<Snapshot>,
        load: Load,
        jobs: &[Job],
        braked: &BTreeMap<&'static str, i64>,
        lost_log_lines: u64,
        (ledger, backup, exports_are_up): (Option<LedgerState>, Option<i64>, bool),
    ) -> String {
        with_local_recorder(&self.recorder, || {
            if let Some(backup) = backup {
                gauge!(BACKUP).set(backup as f64);
            }
            gauge!(EXPORTS_UP).set(f64::from(u8::from(exports_are_up)));
            if let Some(ledger) = ledger {
                counter!(LEDGER_LINES).absolute(ledger.written);
                gauge!(LEDGER_WAITING).set(ledger.waiting as f64);
                counter!(LEDGER_LEFT_OUT).absolute(ledger.left_out);
                gauge!(LEDGER_UP).set(f64::from(u8::from(!ledger.is_failing)));
            }
            gauge!(UP).set(f64::from(u8::from(snapshot.is_some())));
            counter!(LOST_LINES).absolute(lost_log_lines);
            if let Some(Connections { used, idle, most, waits }) = load.connections {
                gauge!(CONNECTIONS, "state" => "used").set(used as f64);
                gauge!(CONNECTIONS, "state" => "idle").set(idle as f64);
                gauge!(MOST_CONNECTIONS).set(most as f64);
                counter!(WAITS).absolute(waits);
            }
            if let Some(Files { database, log, free }) = load.files {
                gauge!(FILE_BYTES, "file" => "database").set(database as f64);
                gauge!(FILE_BYTES, "file" => "log").set(log as f64);
                gauge!(FREE_BYTES).set(free as f64);
            }
            gauge!(BRAKED).set(braked.values().sum::<i64>() as f64);
            for job in jobs {
                gauge!(JOB_UP, "job" => job.name).set(f64::from(u8::from(job.is_running)));
                counter!(JOB_ENDS, "job" => job.name).absolute(job.ends);
            }
            let Some(snapshot) = snapshot else { return };
            gauge!(OPEN, "state" => "reversible").set(snapshot.reversible as f64);
            gauge!(OPEN, "state" => "closed").set(snapshot.closed as f64);
            gauge!(OPEN, "state" => "draining").set(snapshot.draining as f64);
            gauge!(WAITING).set(snapshot.waiting as f64);
            gauge!(STUCK).set(snapshot.stuck as f64);
            gauge!(OVERDUE, "because" => "legal_hold").set(snapshot.overdue_held as f64);
            gauge!(OVERDUE, "because" => "other").set(snapshot.overdue_blocked as f64);
            gauge!(OLDEST).set(snapshot.oldest_open_seconds as f64);
            for effects in snapshot.effects {
                gauge!(PENDING, "kind" => effects.kind.name()).set(effects.pending as f64);
                gauge!(OLDEST_PENDING, "kind" => effects.kind.name()).set(effects.oldest_seconds as f64);
            }
            gauge!(DEAD, "kind" => "billing").set(snapshot.dead_effects as f64);
            counter!(LOOKUPS).absolute(snapshot.credential_lookups);
            counter!(WRITES).absolute(snapshot.writes);
            for (quota, refusals) in snapshot.quota_refusals {
                counter!(QUOTAS, "quota" => quota).absolute(refusals);
            }
        });
        self.recorder.handle().render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_in_the_histogram_whether_or_not_it_is_still_held() {
        let metrics = Metrics::new("sqlite");
        for _ in 0..HELD * 2 + 5 {
            metrics.count(Some("readUser"), 200, Duration::from_millis(2));
        }
        let text = metrics.render(Some(Snapshot::default()), Load::default(), &[], &BTreeMap::new(), 0, (None, None, true));
        let count = format!("{DURATIONS}_count{{operation=\"readUser\"}} {}", HELD * 2 + 5);
        assert!(text.lines().any(|line| line == count), "{text}");
    }
}
