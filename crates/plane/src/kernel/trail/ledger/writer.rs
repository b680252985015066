//! What writes the ledger: a thread of its own, which takes what is waiting and has the disk confirm it all at once.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::entry::Entry;
use super::folder::Page;
use crate::{Clock, Error, Result};

/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How many failures lie between two lines of the log about them.
const TOLD_EVERY: u32 = 60;
/// Lines that wait at the most while the disk takes none. What is left out is added at the next start.
const MOST_WAITING: u64 = 1_000_000;

/// Writes lines, in the order in which they are given.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    written: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
    clock: Clock,
}

#[derive(Debug)]
struct Queue {
    /// Lines that wait, as text that lacks its beginning: what the disk has is known when they are written.
    lines: Vec<String>,
    /// The number of the next line.
    next: u64,
    left_out: u64,
    is_failing: bool,
    is_over: bool,
}

/// How the ledger is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Lines that were written since the start.
    pub written: u64,
    /// Lines that wait for the disk.
    pub waiting: u64,
    /// Lines that were left out, since too many were waiting.
    pub left_out: u64,
    /// Whether the disk takes none now.
    pub is_failing: bool,
}

impl Writer {
    /// Begins with the line after `last`.
    ///
    /// # Errors
    /// [`Error::Internal`] when no thread can be started.
    pub(crate) fn start(page: Page, last: u64, clock: Clock) -> Result<Writer> {
        let queue = Queue { lines: Vec::new(), next: last + 1, left_out: 0, is_failing: false, is_over: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), bell: Condvar::new(), clock });
        let (tell, written) = watch::channel(last);
        let inside = shared.clone();
        let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || inside.run(page, &tell));
        let thread = thread.map_err(|error| Error::Internal(format!("cannot start the ledger's thread: {error}")))?;
        Ok(Writer { shared, written, thread: Mutex::new(Some(thread)) })
    }

    /// Gives it a line, with the id that it has in the table if it lies there. Returns its number; none when it is left out.
    pub(crate) fn push(&self, at: Timestamp, id: Option<Uuid>, entry: &Entry) -> Option<u64> {
        let entry = serde_json::to_string(entry).ok()?;
        let mut queue = self.shared.queue();
        if queue.next.saturating_sub(self.last_written()) > MOST_WAITING {
            queue.left_out += 1;
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        let id = id.map_or_else(String::new, |id| format!("\"id\":\"{id}\","));
        queue.lines.push(format!("\"n\":{number},\"at\":\"{at}\",{id}\"entry\":{entry}}}\n"));
        drop(queue);
        self.shared.bell.notify_one();
        Some(number)
    }

    /// The number of the last line that the disk has.
    pub(crate) fn last_written(&self) -> u64 {
        *self.written.borrow()
    }

    /// The number of the last line that it was given.
    pub(crate) fn last_given(&self) -> u64 {
        self.shared.queue().next - 1
    }

    /// Waits until the disk has this line. False when the thread has ended without it: nothing comes any more.
    pub(crate) async fn written(&self, number: u64) -> bool {
        self.written.clone().wait_for(|last| *last >= number).await.is_ok()
    }

    pub(crate) fn state(&self, first: u64) -> LedgerState {
        let queue = self.shared.queue();
        let written = self.last_written();
        LedgerState {
            written: written.saturating_sub(first),
            waiting: queue.next.saturating_sub(written + 1),
            left_out: queue.left_out,
            is_failing: queue.is_failing,
        }
    }

    /// Writes what waits, and ends.
    pub(crate) async fn close(&self) {
        self.shared.queue().is_over = true;
        self.shared.bell.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut page: Page, tell: &watch::Sender<u64>) {
        let (mut text, mut first, mut failures) = (Vec::new(), 0, 0_u32);
        loop {
            let mut queue = self.queue();
            while queue.lines.is_empty() && text.is_empty() && !queue.is_over {
                queue = self.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if text.is_empty() {
                first = queue.next - queue.lines.len() as u64;
            }
            for line in std::mem::take(&mut queue.lines) {
                text.extend_from_slice(format!("{{\"synced\":{},{line}", first - 1).as_bytes());
            }
            let (last, is_over) = (queue.next - 1, queue.is_over);
            if text.is_empty() {
                return;
            }
            drop(queue);
            match page.add(first, &text, self.clock.now()) {
                Ok(()) => {
                    text.clear();
                    self.queue().is_failing = false;
                    if std::mem::take(&mut failures) > 0 {
                        tracing::info!("the ledger can be written again");
                    }
                    tell.send_replace(last);
                }
                Err(error) => {
                    if failures.is_multiple_of(TOLD_EVERY) {
                        tracing::error!(%error, "the ledger cannot be written: what is deleted now is answered 503, and is there again if the database is restored before it can");
                    }
                    failures += 1;
                    let mut queue = self.queue();
                    queue.is_failing = true;
                    if is_over {
                        let lines = last + 1 - first;
                        tracing::error!(lines, "the ledger ends without its last lines, which the next start adds");
                        return;
                    }
                    let waited = self.bell.wait_timeout_while(queue, PAUSE, |queue| !queue.is_over);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }
}
