//! Plain SQL on SQLite, one transaction a request: threads that share one connection, as a program without a group commit has it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Result;
use crate::bench::callers::Answers;
use crate::bench::server::words;

/// Statements that do something with the row of a number, `?1`, each number once.
pub(crate) struct RusqliteFloor {
    connection: Arc<Mutex<Connection>>,
    statements: Vec<String>,
    /// The number of the next row.
    next: u64,
}

/// Opens a database as the server opens its own for writing.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path).map_err(words)?;
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;
                    PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000; PRAGMA busy_timeout = 60000";
    connection.execute_batch(settings).map_err(words)?;
    connection.set_prepared_statement_cache_capacity(512);
    Ok(connection)
}

/// Copies a database, with all that is in it now, to a new file beside it.
pub(crate) fn copy(path: &Path, name: &str) -> Result<PathBuf> {
    let copy = path.with_file_name(name);
    let text = copy.to_str().ok_or("the temporary folder has a name that is no text")?;
    Connection::open(path).and_then(|connection| connection.execute("VACUUM INTO ?1", [text])).map_err(words)?;
    Ok(copy)
}

impl RusqliteFloor {
    pub(crate) fn new(path: &Path, statements: Vec<String>) -> Result<RusqliteFloor> {
        Ok(RusqliteFloor { connection: Arc::new(Mutex::new(open(path)?)), statements, next: 1 })
    }

    /// Lets that many threads run the statements for this time, together `most` times at the most.
    pub(crate) async fn run(&mut self, threads: usize, time: Duration, most: usize) -> Result<Answers> {
        let next = Arc::new(AtomicU64::new(self.next));
        let (end, begun) = (self.next + most as u64, Instant::now());
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let (connection, statements, next) = (self.connection.clone(), self.statements.clone(), next.clone());
                tokio::task::spawn_blocking(move || {
                    let mut waits = Vec::new();
                    while begun.elapsed() < time {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            break;
                        }
                        let asked = Instant::now();
                        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                        transaction(&mut connection, &statements, number).map_err(words)?;
                        drop(connection);
                        waits.push(asked.elapsed().as_secs_f64() * 1e3);
                    }
                    Ok(waits)
                })
            })
            .collect();
        let mut waits = Vec::new();
        for thread in threads {
            let mut some: Vec<f64> = thread.await.map_err(words)?.map_err(|error: String| error)?;
            waits.append(&mut some);
        }
        self.next += waits.len() as u64;
        Ok(Answers::new(begun.elapsed().as_secs_f64(), waits))
    }
}

fn transaction(connection: &mut Connection, statements: &[String], number: u64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for statement in statements {
        transaction.prepare_cached(statement)?.execute([i64::try_from(number).unwrap_or(i64::MAX)])?;
    }
    transaction.commit()
}
