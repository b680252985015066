//! Work that keeps a processor busy for long: a search through many rows, the hash of a password. It goes on behind everything else that
//! this process does, and leaves one processor to it. A thread that is woken on a busy processor may wait for a tick of the system's clock,
//! whatever the busy one's priority is (measured: 4 to 6 ms on Linux 6.18); on one that is free it begins at once.

use std::num::NonZeroUsize;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a turn lasts while other work waits for one.
const LENGTH: Duration = Duration::from_millis(20);
#[cfg(target_os = "linux")]
/// How far behind others a thread steps: it gets a tenth of what they get where there is not enough for all (`nice(2)`).
const BEHIND: i32 = 10;

static TURNS: LazyLock<Turns> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Turns::new(processors.saturating_sub(1).max(1))
});

/// The turns of this process, in the order in which they were asked for.
struct Turns {
    /// Turns at a time.
    most: usize,
    counts: Mutex<Counts>,
    over: Condvar,
}

/// Turns since the start.
#[derive(Default)]
struct Counts {
    asked: usize,
    over: usize,
}

/// Leave to keep a processor busy, until it is dropped.
pub struct Turn {
    turns: &'static Turns,
    begun: Instant,
}

/// Puts the calling thread behind the others of this process, and waits for a turn. A thread that has stepped behind stays there: no ordinary
/// user may take that back. Only Linux knows this of threads.
#[must_use = "the turn ends when it is dropped"]
pub fn turn() -> Turn {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, BEHIND) {
        tracing::debug!(%error, "a thread stays where it is");
    }
    TURNS.take()
}

impl Turn {
    /// Lets others go first when they wait and this turn has lasted long enough.
    pub(crate) fn give_way(self) -> Turn {
        let turns = self.turns;
        match self.begun.elapsed() >= LENGTH && turns.are_awaited() {
            true => {
                drop(self);
                turns.take()
            }
            false => self,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.counts.lock().unwrap_or_else(PoisonError::into_inner).over += 1;
        self.turns.over.notify_all();
    }
}

impl Turns {
    fn new(most: usize) -> Turns {
        Turns { most, counts: Mutex::default(), over: Condvar::new() }
    }

    fn take(&'static self) -> Turn {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let number = counts.asked;
        counts.asked += 1;
        while number - counts.over >= self.most {
            counts = self.over.wait(counts).unwrap_or_else(PoisonError::into_inner);
        }
        Turn { turns: self, begun: Instant::now() }
    }

    /// Whether work waits for a turn.
    fn are_awaited(&self) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.asked - counts.over > self.most
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn only_so_much_goes_on_at_a_time_and_the_next_begins_when_a_turn_ends() {
        static TWO: LazyLock<Turns> = LazyLock::new(|| Turns::new(2));
        let (first, second) = (TWO.take(), TWO.take());
        assert!(!TWO.are_awaited());
        // One that is not awaited goes on.
        let first = first.give_way();
        let (begins, begun) = mpsc::channel();
        let third = std::thread::spawn(move || {
            let turn = TWO.take();
            begins.send(()).unwrap();
            drop(turn);
        });
        while !TWO.are_awaited() {
            std::thread::yield_now();
        }
        assert!(begun.try_recv().is_err());
        drop(first);
        begun.recv().unwrap();
        third.join().unwrap();
        drop(second);
        assert_eq!(TWO.counts.lock().unwrap().over, 3);
    }
}
