//! How many rows a batch of the drain takes and how long it rests, by what others do meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use crate::{Clock, Engine, Outcome, Stopwatch, Work};

/// What a batch should take while no other work waits for the database: well under the 250 ms that no transaction of the drain may exceed.
const ALONE: Duration = Duration::from_millis(50);
/// What a batch should take while others work and wait for the one writer: no one waits for longer because of it, and after it the drain
/// rests for as long.
const BESIDE_OTHERS: Duration = Duration::from_millis(2);
/// The same where others write at the same time: they only share the processors, and each batch costs its ways to the database and back.
const AMONG_OTHERS: Duration = Duration::from_millis(10);
/// How many times as long as its batch a worker rests that goes on while another one is at what was just ordered.
const BEHIND: u32 = 4;
/// How long no other work must have been seen before the drain has the database for itself.
const QUIET: Duration = Duration::from_millis(100);
/// Rows of a worker's first batch, and the least and the most it goes to.
pub(crate) const FIRST_SIZE: i64 = 500;
const FIRST_SIZE_BESIDE_OTHERS: i64 = 50;
const FIRST_SIZE_AMONG_OTHERS: i64 = 200;
pub(crate) const LEAST_SIZE: i64 = 10;
const MOST_SIZE: i64 = 50_000;
/// Connections from which on a worker may have two.
const ROOMY: usize = 8;

/// How fast a worker goes, from batch to batch.
#[derive(Debug)]
pub struct Throttle {
    pub(crate) size: i64,
    pub(crate) last_batch: Duration,
    /// The server's count of batches of what was just ordered.
    begun: ChangeCounter,
    is_alone: bool,
    /// Whether this worker goes on while another one is at what was just ordered.
    is_behind: bool,
    /// Whether others can write while a batch does.
    is_shared: bool,
    /// Whether there are connections for two batches at once, and for others.
    is_wide: bool,
}

/// What the workers of a server tell each other.
#[derive(Debug)]
pub(crate) struct WorkerHints {
    /// The deletion that was set aside last.
    aside: Option<Aside>,
    /// The database's count of writes that a caller waited for. A worker that has worked has just looked at it.
    writes: ChangeCounter,
}

/// Where a worker has set a deletion aside: the worker that goes on with it goes on as fast.
#[derive(Debug)]
struct Aside {
    deletion: Uuid,
    fence: i64,
    last_outcome: Outcome,
    size: i64,
    is_alone: bool,
}

/// A count that others change.
#[derive(Debug)]
struct ChangeCounter {
    seen: u64,
    looked: Stopwatch,
    /// When it was last seen to change all the time.
    busy: Option<Stopwatch>,
}

impl ChangeCounter {
    fn new(seen: u64, now: Stopwatch) -> ChangeCounter {
        ChangeCounter { seen, looked: now, busy: Some(now) }
    }

    /// How much more it is than when it was looked at last. Where that was long ago and it has changed a few times since, others have most
    /// likely come and gone.
    fn look(&mut self, count: u64, now: Stopwatch) -> i64 {
        let more = count.wrapping_sub(std::mem::replace(&mut self.seen, count)).cast_signed();
        let since = std::mem::replace(&mut self.looked, now).elapsed();
        // Less than before is what was taken back.
        if since < QUIET.saturating_mul(u32::try_from(more.max(0)).unwrap_or(u32::MAX)) {
            self.busy = Some(now);
        }
        more
    }

    fn is_quiet(&self) -> bool {
        self.busy.is_none_or(|busy| busy.elapsed() >= QUIET)
    }
}

impl WorkerHints {
    /// Those of a server that starts.
    pub(crate) fn new(clock: &Clock) -> WorkerHints {
        WorkerHints { aside: None, writes: ChangeCounter::new(0, clock.stopwatch()) }
    }
}

impl Aside {
    fn is(&self, deletion: Uuid, fence: i64) -> bool {
        self.deletion == deletion && self.fence == fence
    }
}

impl Throttle {
    /// The pace of a worker that begins.
    pub fn new(engine: &Engine) -> Throttle {
        let (is_shared, is_wide) = (engine.db.writers() > 1, engine.db.writers() >= ROOMY);
        let now = engine.clock.stopwatch();
        Throttle {
            size: if is_shared { FIRST_SIZE_AMONG_OTHERS } else { FIRST_SIZE_BESIDE_OTHERS },
            last_batch: Duration::ZERO,
            begun: ChangeCounter::new(begun(engine), now),
            is_alone: false,
            is_behind: false,
            is_shared,
            is_wide,
        }
    }

    /// Begins a turn with a deletion, under a fencing number. Returns what its last batch came to.
    pub(crate) fn begin(&mut self, engine: &Engine, deletion: Uuid, fence: i64) -> Outcome {
        self.last_batch = Duration::ZERO;
        // No other worker has had it meanwhile.
        if let Some(Aside { last_outcome, size, is_alone, .. }) = engine.shared.hints().aside.take_if(|aside| aside.is(deletion, fence - 1))
        {
            (self.size, self.is_alone) = (size, is_alone);
            return last_outcome;
        }
        self.other_rows();
        Outcome::NextTable
    }

    /// Ends a turn with a deletion that can go on.
    pub(crate) fn set_aside(&self, engine: &Engine, deletion: Uuid, fence: i64, last_outcome: Outcome) {
        engine.shared.hints().aside = Some(Aside { deletion, fence, last_outcome, size: self.size, is_alone: self.is_alone });
    }

    /// The next rows may cost more than the last, but not so many times more.
    fn other_rows(&mut self) {
        self.size = self.size.min(self.first_size() * 4);
    }

    /// Looks whether others are at work, also while there is nothing to do: who begins on an idle server need not find out first that it is.
    pub(crate) fn look_out(&mut self, engine: &Engine, kind: Work) {
        let now = engine.clock.stopwatch();
        engine.shared.hints().writes.look(writes_of_others(engine), now);
        // A worker that goes on counts one that begins as other work.
        let more = self.begun.look(begun(engine), now);
        self.is_behind = kind == Work::GoOn && more > 0;
        if more < 0 {
            // What was set aside and taken up again is not other work any more.
            self.begun.busy = None;
        }
    }

    /// Looks whether others are at work, before a batch.
    pub(crate) fn look_around(&mut self, engine: &Engine, kind: Work) {
        self.look_out(engine, kind);
        let is_alone = engine.shared.hints().writes.is_quiet() && (kind == Work::Begin || self.begun.is_quiet());
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

    pub(crate) fn adapt(&mut self, outcome: &Outcome) {
        let target = match (self.is_alone, self.is_shared) {
            (true, _) => ALONE,
            (false, true) => AMONG_OTHERS,
            (false, false) => BESIDE_OTHERS,
        };
        match outcome {
            Outcome::NextTable | Outcome::LastStep => self.other_rows(),
            Outcome::More | Outcome::Ordered if self.last_batch > target => self.size = (self.size / 2).max(LEAST_SIZE),
            Outcome::More | Outcome::Ordered if self.last_batch < target / 2 => self.size = (self.size * 2).min(MOST_SIZE),
            Outcome::More | Outcome::Ordered | Outcome::Waits(_) | Outcome::Completed | Outcome::Fenced => {}
        }
    }

    /// How long a worker rests after its batch: beside others for as long as that took.
    pub(crate) fn rest(&self) -> Option<Duration> {
        (!self.is_alone).then(|| self.last_batch * if self.is_behind { BEHIND } else { 1 })
    }

    /// Whether there is a processor for a second batch at the same time, and no other work to use it.
    pub(crate) fn may_go_in_parallel(&self) -> bool {
        self.is_alone && self.is_wide
    }
}

/// Writes that a caller waited for, without those that gave the drain its work: on an idle server it need not step back for them.
fn writes_of_others(engine: &Engine) -> u64 {
    engine.db.prompt_writes().wrapping_sub(engine.closings.load(Ordering::Relaxed))
}

fn begun(engine: &Engine) -> u64 {
    engine.shared.beginnings.load(Ordering::Relaxed)
}
