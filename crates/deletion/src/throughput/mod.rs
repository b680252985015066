//! How fast the drain goes: everything that is about speed alone. Without this folder deletions would be as right, and slower.
//!
//! - **Cascade groups** (`cascade_groups.rs`, beside the plan): parents go with their children by foreign key, a handful at a time.
//! - **[`Throttle`]**: how many rows a batch takes, and how long a worker rests after it, by what others do meanwhile. Alone, a batch may take
//!   50 ms; beside callers who wait for the one writer 2 ms, beside callers who only share the processors 10 ms.
//! - **Parallel batches**: where a second transaction can write beside the first and no other work wants the processors, two batches of cascade
//!   groups go at once; the second one begins where the first is going to end.
//! - **[`Shared`]**: what the workers tell each other, so that the one that goes on with a deletion goes on as fast.
//!
//! Estimates of how long a deletion will take are made from how fast the drain was (`progress.rs`).

mod parallel_batch;
mod throttle;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::Clock;
pub(crate) use parallel_batch::{BatchHandover, handover};
pub use throttle::Throttle;
pub(crate) use throttle::{FIRST_SIZE, LEAST_SIZE};

/// What the workers of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Batches of deletions that a worker has begun with, without those of what was set aside.
    pub(crate) beginnings: AtomicU64,
    hints: Mutex<throttle::WorkerHints>,
    /// Room for one worker that does two batches at once.
    pub(crate) parallel: Semaphore,
}

impl Shared {
    pub(crate) fn new(clock: &Clock) -> Shared {
        Shared { beginnings: AtomicU64::new(0), hints: Mutex::new(throttle::WorkerHints::new(clock)), parallel: Semaphore::new(1) }
    }

    /// Takes so many beginnings back: the worker that goes on with a deletion need not step back for what was done of it before.
    pub(crate) fn take_back(&self, begun: u64) {
        self.beginnings.fetch_sub(begun, Ordering::Relaxed);
    }

    fn hints(&self) -> MutexGuard<'_, throttle::WorkerHints> {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
