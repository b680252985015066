//! The embedded engine's readers. What one of them reads for long goes on behind everything else that this process does, and leaves one
//! processor to it: a search of one tenant takes what is free, and nothing that another's short read has use for.
//!
//! A search is known to be long before it begins. It has readers of its own, which stay behind. What turns out to be long on the way steps
//! behind there.

use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::long_work::{self, Turn};
use crate::sqlite::spawn;
use crate::sqlite_tx::SqliteTx;
use crate::{Result, Tx};

/// One read of a caller.
pub(crate) type ReadJob = Box<dyn FnOnce(&mut Tx) + Send>;

/// Steps of SQLite's machine between two looks: 0.1 to 0.3 milliseconds.
const STEPS: c_int = 1_000;
/// The look at which a read is long.
const LONG: u32 = 4;

/// What is known of the read that is under way.
#[derive(Default)]
struct Watch {
    looks: u32,
    /// Of a long one.
    turn: Option<Turn>,
}

/// Where reads wait.
type Jobs = Arc<Mutex<mpsc::Receiver<ReadJob>>>;

/// A thread that reads. One that has stepped behind ends with that read, and another takes its place, unless all that it reads is long.
struct Reader {
    tx: Tx,
    queue: Jobs,
    is_for_searches: bool,
    watch: Arc<Mutex<Watch>>,
    successors: std::sync::mpsc::Sender<Reader>,
}

/// Starts a reader on each connection: for reads, and for searches. They end when the last senders of jobs are gone; the thread that is
/// returned ends after them.
///
/// # Errors
/// [`crate::Error::Unavailable`] when the system has no more threads.
pub(crate) fn start(
    readers: Vec<Connection>,
    reads: mpsc::Receiver<ReadJob>,
    searchers: Vec<Connection>,
    searches: mpsc::Receiver<ReadJob>,
) -> Result<JoinHandle<()>> {
    let [reads, searches] = [reads, searches].map(|jobs| Arc::new(Mutex::new(jobs)));
    let readers = readers.into_iter().map(|connection| (connection, &reads, false));
    let searchers = searchers.into_iter().map(|connection| (connection, &searches, true));
    let (successors, waiting) = std::sync::mpsc::channel::<Reader>();
    // A new thread stands where the one stands that starts it.
    let last = spawn("sqlite-readers", move || {
        for reader in waiting {
            if let Err(error) = spawn("sqlite-reader", move || reader.run()) {
                tracing::error!(%error, "a reader of the database was lost");
            }
        }
    })?;
    for (mut connection, queue, is_for_searches) in readers.chain(searchers) {
        let watch = Arc::new(Mutex::new(Watch::default()));
        let watched = watch.clone();
        let look = move || {
            let mut watch = watched.lock().unwrap_or_else(PoisonError::into_inner);
            watch.looks = watch.looks.saturating_add(1);
            watch.turn = match watch.turn.take() {
                Some(turn) => Some(turn.give_way()),
                None => (watch.looks >= LONG).then(long_work::turn),
            };
            false
        };
        connection.progress_handler(STEPS, Some(look))?;
        let tx = Tx::Sqlite(SqliteTx::new(connection));
        let reader = Reader { tx, queue: queue.clone(), is_for_searches, watch, successors: successors.clone() };
        spawn("sqlite-reader", move || reader.run())?;
    }
    Ok(last)
}

impl Reader {
    fn run(mut self) {
        loop {
            let job = self.queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(job) = job else { return };
            if self.is_for_searches {
                let turn = Some(long_work::turn());
                self.watch.lock().unwrap_or_else(PoisonError::into_inner).turn = turn;
            }
            job(&mut self.tx);
            let watch = std::mem::take(&mut *self.watch.lock().unwrap_or_else(PoisonError::into_inner));
            if watch.turn.is_some() && !self.is_for_searches {
                // Before the thread that comes after this one.
                drop(watch);
                let successors = self.successors.clone();
                let _ = successors.send(self);
                return;
            }
        }
    }
}
