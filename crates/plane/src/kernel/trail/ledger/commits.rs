//! Commits that are under way. What one says can be read before its lines are in the ledger's queue: who waits for the ledger waits for these first.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The commits of a server that have lines for its ledger.
#[derive(Debug)]
pub(crate) struct Commits {
    open: Mutex<Open>,
    /// All before this are done.
    done_before: watch::Sender<u64>,
    /// Whether one was asked for that may have come true, and has no line.
    has_lost: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    /// The numbers of those that are under way.
    numbers: BTreeSet<u64>,
    last: u64,
}

impl Default for Commits {
    fn default() -> Commits {
        Commits { open: Mutex::default(), done_before: watch::Sender::new(1), has_lost: AtomicBool::new(false) }
    }
}

impl Commits {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that may come. It is under way from [`Commit::begin`] until it is dropped.
    pub(super) fn announce(self: &Arc<Self>) -> Commit {
        Commit { commits: self.clone(), number: AtomicU64::new(0), has_line: AtomicBool::new(false) }
    }

    /// Whether one was asked for whose outcome is not known, so that the database may know of what has no line.
    pub(super) fn have_lost(&self) -> bool {
        self.has_lost.load(Ordering::Relaxed)
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
    has_line: AtomicBool,
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

impl Commit {
    /// It has come true, and its line is in the queue.
    pub(super) fn has_its_line(&self) {
        self.has_line.store(true, Ordering::Relaxed);
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let number = self.number.load(Ordering::Relaxed);
        if number > 0 {
            if !self.has_line.load(Ordering::Relaxed) {
                self.commits.has_lost.store(true, Ordering::Relaxed);
            }
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

    #[test]
    fn a_commit_that_gets_no_line_is_lost_and_one_that_was_never_asked_for_is_not() {
        let commits = Arc::new(Commits::default());
        let (never, done, lost) = (commits.announce(), commits.announce(), commits.announce());
        done.begin();
        done.has_its_line();
        drop((never, done));
        assert!(!commits.have_lost());
        lost.begin();
        drop(lost);
        assert!(commits.have_lost());
    }
}
