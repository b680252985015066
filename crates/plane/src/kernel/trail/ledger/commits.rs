//! Commits that are under way. What one says can be read before its lines are in the ledger's queue: who waits for the ledger waits for these first.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The commits of a server that have lines for its ledger.
#[derive(Debug)]
pub(crate) struct Commits {
    open: Mutex<Open>,
    /// All before this are done.
    done_before: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Open {
    /// The numbers of those that are under way.
    numbers: BTreeSet<u64>,
    last: u64,
}

impl Default for Commits {
    fn default() -> Commits {
        Commits { open: Mutex::default(), done_before: watch::Sender::new(1) }
    }
}

impl Commits {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that may come. It is under way from [`Commit::begin`] until it is dropped.
    pub(super) fn announce(self: &Arc<Self>) -> Commit {
        Commit { commits: self.clone(), number: AtomicU64::new(0) }
    }

    /// Waits for those that are under way now.
    pub(super) async fn are_done(&self) {
        let next = self.open().last + 1;
        let _ = self.done_before.subscribe().wait_for(|before| *before >= next).await;
    }
}

/// One commit.
#[derive(Debug)]
pub(crate) struct Commit {
    commits: Arc<Commits>,
    /// Its number; 0 before it has begun.
    number: AtomicU64,
}

impl Commit {
    /// It is asked for.
    pub(super) fn begin(&self) {
        let mut open = self.commits.open();
        open.last += 1;
        let number = open.last;
        open.numbers.insert(number);
        self.number.store(number, Ordering::Relaxed);
        // Until now all were done.
        self.commits.done_before.send_replace(open.numbers.first().copied().unwrap_or(number));
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let number = self.number.load(Ordering::Relaxed);
        if number > 0 {
            let mut open = self.commits.open();
            open.numbers.remove(&number);
            self.commits.done_before.send_replace(open.numbers.first().copied().unwrap_or(open.last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_being_committed_is_waited_for_and_what_comes_later_is_not() {
        let commits = Arc::new(Commits::default());
        let never = commits.announce();
        assert!(commits.are_done().now_or_never().is_some(), "nothing has begun");
        let (first, second) = (commits.announce(), commits.announce());
        first.begin();
        let waiting = commits.are_done();
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        second.begin();
        drop(first);
        assert!(waiting.now_or_never().is_some(), "the second began after it was asked");
        assert!(commits.are_done().now_or_never().is_none());
        drop((second, never));
        assert!(commits.are_done().now_or_never().is_some());
    }
}
