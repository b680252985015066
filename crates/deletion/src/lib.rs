//! The engine of deletions: rules as values, plan, order, drain, record and progress.
//!
//! It knows no noun. What is deleted, and what becomes of every table, is said by [`Rules`]; what only nouns can know, by the traits
//! [`Orders`] (when something is ordered) and [`Nouns`] (while it is drained). It knows no HTTP either.
//!
//! [`order()`] runs inside the transaction that orders a deletion, on subjects whose rows are locked. It either does everything at once, when
//! little hangs on the subjects, or *closes* them: marked, unreachable, the rest left to the drain ([`run()`]), which erases in short
//! transactions and completes the deletion when a sweep of its own finds nothing left.

mod clock;
mod draining;
mod error;
mod insert;
mod order;
mod planning;
mod record;
mod ruling;
mod throughput;

use draining::{batch, condition, drain, grace, progress};

use planning::{cascade_groups, counting, plan, plan_token};

use ruling::{key, rules};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sql::Database;
use tokio::sync::Notify;

pub use batch::{advance, advance_in_parallel};
pub use cascade_groups::SMALL_GROUP;
pub use clock::{Clock, Stopwatch, after, before, first_id, new_id, random};
pub use condition::{DATABASE, Pause, Waiting};
pub use counting::{Counted, add};
pub use drain::{Lease, Nouns, Others, Outcome, Work, run, take, work_a_turn};
pub use error::{Blocker, Error, Result};
pub use grace::{OVER, end_grace};
pub use insert::Insert;
pub use key::{Cursor, Key, KeyColumn, KeyKind, integer, text, uuid};
pub use order::{Accepted, Order, Orders, Verdicts, order, rows};
pub use plan::{Advance, Plan, Step};
pub use plan_token::{Drift, PlanToken, Preview, TableDrift, TablePlan, preview};
pub use progress::{Estimates, Obstacle, Progress, RateSample, Standing, estimate};
pub use record::{Position, Record, State};
pub use rules::{Fate, Holds, Kept, ParentTable, Root, Rule, Rules, TableColumns};
pub use throughput::Throttle;

/// Rows up to which a deletion is done at once, in the transaction that orders it.
pub const SMALL: i64 = 500;

/// The engine on one database. Its workers, and those who order, share what they know in it.
pub struct Engine {
    /// What it deletes, and how.
    pub rules: &'static Rules,
    pub(crate) db: Database,
    pub(crate) clock: Clock,
    /// How long a worker may be silent before another one takes over.
    pub(crate) lease: Duration,
    /// Rung when a deletion was closed and waits for its drain.
    closed_bell: Notify,
    /// Rung when a deletion that was set aside may go on.
    going_on_bell: Notify,
    /// Deletions that were left to the drain since the start.
    closings: AtomicU64,
    /// How fast deletions go, and which of them were counted.
    pub estimates: Estimates,
    pub(crate) shared: throughput::Shared,
}

impl Engine {
    /// The engine of these rules on a database that they cover.
    pub fn new(rules: &'static Rules, db: Database, clock: Clock, lease: Duration) -> Engine {
        Engine {
            rules,
            closed_bell: Notify::new(),
            going_on_bell: Notify::new(),
            closings: AtomicU64::new(0),
            estimates: Estimates::default(),
            shared: throughput::Shared::new(&clock),
            db,
            clock,
            lease,
        }
    }

    /// Tells the workers that something was closed by an order: to be called once that is committed.
    pub(crate) fn note_closed(&self) {
        self.closings.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// Wakes a worker that begins with what is closed.
    pub fn wake(&self) {
        self.closed_bell.notify_one();
    }

    /// Wakes the worker that goes on with what has waited.
    pub fn wake_waiting(&self) {
        self.going_on_bell.notify_one();
    }
}
