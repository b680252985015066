//! The embedded engine's readers. What one of them reads for long goes on behind everything else that this process does: a search of one
//! tenant takes the processors that are free, and none that another's short read has use for.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::sqlite::{SqliteTx, spawn};
use crate::{Result, Tx};

/// One read of a caller.
pub(crate) type ReadJob = Box<dyn FnOnce(&mut Tx) + Send>;

/// Steps of SQLite's machine between two looks: about a millisecond.
const STEPS: c_int = 10_000;
/// The look at which a read is long.
const LONG: u32 = 4;
#[cfg(target_os = "linux")]
/// How far behind others a thread steps: it gets a tenth of what they get where there is not enough for all (`nice(2)`).
const BEHIND: i32 = 10;

/// Puts the calling thread behind the others of this process, for good: no ordinary user may take that back. Only Linux knows this of threads.
pub fn step_behind() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, BEHIND) {
        tracing::debug!(%error, "a thread stays where it is");
    }
}

/// A thread that reads. One that has stepped behind ends with that read, and another takes its place.
struct Reader {
    tx: Tx,
    queue: Arc<Mutex<mpsc::Receiver<ReadJob>>>,
    /// Looks at the read that is under way.
    looks: Arc<AtomicU32>,
    successors: std::sync::mpsc::Sender<Reader>,
}

/// Starts a reader on each connection. They end when the last sender of jobs is gone; the thread that is returned ends after them.
///
/// # Errors
/// [`crate::Error::Unavailable`] when the system has no more threads.
pub(crate) fn start(connections: Vec<Connection>, queue: mpsc::Receiver<ReadJob>) -> Result<JoinHandle<()>> {
    let queue = Arc::new(Mutex::new(queue));
    let (successors, waiting) = std::sync::mpsc::channel::<Reader>();
    // A new thread stands where the one stands that starts it.
    let last = spawn("sqlite-readers", move || {
        for reader in waiting {
            if let Err(error) = spawn("sqlite-reader", move || reader.run()) {
                tracing::error!(%error, "a reader of the database was lost");
            }
        }
    })?;
    for mut connection in connections {
        let looks = Arc::new(AtomicU32::new(0));
        let counted = looks.clone();
        let look = move || {
            if counted.fetch_add(1, Ordering::Relaxed) + 1 == LONG {
                step_behind();
            }
            false
        };
        connection.progress_handler(STEPS, Some(look))?;
        let reader = Reader { tx: Tx::Sqlite(SqliteTx::new(connection)), queue: queue.clone(), looks, successors: successors.clone() };
        spawn("sqlite-reader", move || reader.run())?;
    }
    Ok(last)
}

impl Reader {
    fn run(mut self) {
        loop {
            let job = self.queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(job) = job else { return };
            self.looks.store(0, Ordering::Relaxed);
            job(&mut self.tx);
            if self.looks.load(Ordering::Relaxed) >= LONG {
                let successors = self.successors.clone();
                let _ = successors.send(self);
                return;
            }
        }
    }
}
