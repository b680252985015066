//! How many rows a batch of the drain takes and how long it rests, by what others do meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::drain::{Outcome, Work};
use crate::Plane;
use crate::cx::Stopwatch;

/// What a batch should take while nobody waits for the database: well under the 250 ms that no transaction of the drain may exceed.
const ALONE: Duration = Duration::from_millis(50);
/// What a batch should take while others work and wait for the one writer: nobody waits for longer because of it, and after it the drain
/// rests for as long.
const BESIDE_OTHERS: Duration = Duration::from_millis(2);
/// The same where others write at the same time: they only share the processors, and each batch costs its ways to the database and back.
const AMONG_OTHERS: Duration = Duration::from_millis(10);
/// How many times as long as its batch a worker rests that goes on while another one is at what was just ordered.
const BEHIND: u32 = 4;
/// How long nobody else must have been seen before the drain has the database for itself.
const QUIET: Duration = Duration::from_millis(100);
/// Rows of a worker's first batch, and the least and the most it goes to.
pub(super) const FIRST_SIZE: i64 = 500;
const FIRST_SIZE_BESIDE_OTHERS: i64 = 50;
const FIRST_SIZE_AMONG_OTHERS: i64 = 200;
pub(super) const LEAST_SIZE: i64 = 10;
const MOST_SIZE: i64 = 50_000;
/// Connections from which on a worker may have two.
const ROOMY: usize = 8;

/// How fast a worker goes, from batch to batch.
#[derive(Debug)]
pub struct Pace {
    pub(super) size: i64,
    /// What the worker has put by last: the deletion, its fencing number, and what its last batch came to.
    put_by: Option<(Uuid, i64, Outcome)>,
    pub(super) last_batch: Duration,
    /// The database's count of writes that somebody waited for.
    writes: Watched,
    /// The server's count of batches of what was just ordered.
    begun: Watched,
    is_alone: bool,
    /// Whether this worker goes on while another one is at what was just ordered.
    is_behind: bool,
    /// Whether others can write while a batch does.
    is_shared: bool,
    /// Whether there are connections for two batches at once, and for others.
    is_wide: bool,
}

/// A count, and since when nobody else has changed it.
#[derive(Debug)]
struct Watched {
    seen: u64,
    still: Stopwatch,
}

impl Watched {
    /// How much more it is than when it was looked at last.
    fn look(&mut self, now: u64) -> i64 {
        now.wrapping_sub(std::mem::replace(&mut self.seen, now)).cast_signed()
    }

    fn is_quiet(&self) -> bool {
        self.still.elapsed() >= QUIET
    }
}

impl Pace {
    /// The pace of a worker that begins.
    pub fn new(plane: &Plane) -> Pace {
        let (is_shared, is_wide) = (plane.db.writers() > 1, plane.db.writers() >= ROOMY);
        let still = plane.clock.stopwatch();
        Pace {
            size: if is_shared { FIRST_SIZE_AMONG_OTHERS } else { FIRST_SIZE_BESIDE_OTHERS },
            put_by: None,
            last_batch: Duration::ZERO,
            writes: Watched { seen: writes_of_others(plane), still },
            begun: Watched { seen: begun(plane), still },
            is_alone: false,
            is_behind: false,
            is_shared,
            is_wide,
        }
    }

    /// Begins a turn with a deletion, under a fencing number. Returns what its last batch came to.
    pub(super) fn begin(&mut self, deletion: Uuid, fence: i64) -> Outcome {
        self.last_batch = Duration::ZERO;
        match self.put_by.take() {
            // Nobody else has had it meanwhile.
            Some((same, before, last_outcome)) if same == deletion && before + 1 == fence => last_outcome,
            _ => {
                self.other_rows();
                Outcome::NextTable
            }
        }
    }

    /// Ends a turn with a deletion that can go on.
    pub(super) fn put_by(&mut self, deletion: Uuid, fence: i64, last_outcome: Outcome) {
        self.put_by = Some((deletion, fence, last_outcome));
    }

    /// The next rows may cost more than the last, but not so many times more.
    fn other_rows(&mut self) {
        self.size = self.size.min(self.first_size() * 4);
    }

    /// Looks whether others are at work, also while there is nothing to do: who begins on an idle server need not find out first that it is.
    pub(super) fn look_out(&mut self, plane: &Plane, kind: Work) {
        if self.writes.look(writes_of_others(plane)) != 0 {
            self.writes.still = plane.clock.stopwatch();
        }
        // To whoever goes on, who begins is one of the others. What was taken back was put by.
        self.is_behind = kind == Work::GoOn && self.begun.look(begun(plane)) > 0;
        if self.is_behind {
            self.begun.still = plane.clock.stopwatch();
        }
    }

    /// Looks whether others are at work, before a batch.
    pub(super) fn look_around(&mut self, plane: &Plane, kind: Work) {
        self.look_out(plane, kind);
        let is_alone = self.writes.is_quiet() && (kind == Work::Begin || self.begun.is_quiet());
        if is_alone != self.is_alone {
            self.is_alone = is_alone;
            self.size = self.first_size();
        }
    }

    fn first_size(&self) -> i64 {
        match (self.is_alone, self.is_shared) {
            (true, _) => FIRST_SIZE,
            (false, true) => FIRST_SIZE_AMONG_OTHERS,
            (false, false) => FIRST_SIZE_BESIDE_OTHERS,
        }
    }

    pub(super) fn adapt(&mut self, outcome: Outcome) {
        let target = match (self.is_alone, self.is_shared) {
            (true, _) => ALONE,
            (false, true) => AMONG_OTHERS,
            (false, false) => BESIDE_OTHERS,
        };
        match outcome {
            Outcome::NextTable | Outcome::LastStep => self.other_rows(),
            Outcome::More | Outcome::Ordered if self.last_batch > target => self.size = (self.size / 2).max(LEAST_SIZE),
            Outcome::More | Outcome::Ordered if self.last_batch < target / 2 => self.size = (self.size * 2).min(MOST_SIZE),
            Outcome::More
            | Outcome::Ordered
            | Outcome::Following
            | Outcome::Waiting(_)
            | Outcome::Exporting
            | Outcome::Leaving(_)
            | Outcome::OnHold
            | Outcome::AwaitingHold
            | Outcome::Sealed
            | Outcome::Fenced => {}
        }
    }

    /// How long a worker rests after its batch: beside others for as long as that took.
    pub(super) fn rest(&self) -> Option<Duration> {
        (!self.is_alone).then(|| self.last_batch * if self.is_behind { BEHIND } else { 1 })
    }

    /// Whether there is a processor for a second batch at the same time, and nobody else to use it.
    pub(super) fn may_be_abreast(&self) -> bool {
        self.is_alone && self.is_wide
    }
}

/// Writes that somebody waited for, without those that gave the drain its work: on an idle server it need not step back for them.
fn writes_of_others(plane: &Plane) -> u64 {
    plane.db.prompt_writes().wrapping_sub(plane.closings.load(Ordering::Relaxed))
}

fn begun(plane: &Plane) -> u64 {
    plane.beginnings.load(Ordering::Relaxed)
}
