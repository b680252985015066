//! The embedded engine's write-ahead log: who waits for the disk, and what copies the log into the database file.
//!
//! The writer commits without waiting for the disk, hands those who wait for that to a thread of its own, and goes on with what came meanwhile.
//! No writer has its answer before the disk has what it says. Readers see a commit at once, as its hooks do: what was deleted loses access
//! while the disk still takes it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::mpsc;

use crate::sqlite::{Answer, Job};
use crate::{Error, Result};

/// Copies what no reader needs from the log any more. It waits for no one.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Copies all of it and truncates it, unless another connection reads from it or writes: what was erased is not in it any more.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
/// Copies nothing.
const STATE: &str = "PRAGMA wal_checkpoint(NOOP)";
/// How often the log is looked at, and how many of its frames (4 KiB) are worth copying.
/// How long the end of a program waits for others who read.
const LAST_PATIENCE: Duration = Duration::from_millis(500);
const CHECKPOINT_ROUND: Duration = Duration::from_millis(100);
const CHECKPOINT_AT: i64 = 1_000;
/// Rounds in which the log has not grown after which it is cut off, and rounds after which it is though it has.
const QUIET_ROUNDS: u32 = 20;
const MOST_ROUNDS: u32 = 600;
/// How often, in rounds, the files are looked at.
const LOOK_ROUNDS: u32 = 10;
/// Frames at which the log (64 MiB) must begin anew: while it is written to without a pause, only the writer can let it.
const OVERGROWN: i64 = 16_384;

/// What the threads of the database tell each other about the log.
#[derive(Default)]
pub(crate) struct Log {
    /// Counts the commits, also those that came to nothing.
    commits: AtomicU64,
    /// Whether it has grown so long that the writer must let it begin anew.
    is_overgrown: AtomicBool,
    /// What the disk has said to a commit that was to be durable. It may have dropped any of them, and not say so again.
    failure: OnceLock<Error>,
}

/// How to answer the requests of a group that is committed.
pub(crate) type Committed = Vec<Answer>;

/// Lets those who asked know what became of it.
pub(crate) fn answer_all(answers: Committed, fate: &Result<()>) {
    answers.into_iter().for_each(|answer| answer(fate.clone()));
}

impl Log {
    /// # Errors
    /// Why nothing is written any more.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.get().cloned().map_or(Ok(()), Err)
    }

    /// Ends all writing until the next start.
    fn fail(&self, words: String) -> Error {
        tracing::error!("{words}");
        self.failure.get_or_init(|| Error::Unavailable(words)).clone()
    }

    /// Notes a commit of the writer, and lets the log begin anew if it has to.
    pub(crate) fn note_commit(&self, connection: &Connection) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.is_overgrown.swap(false, Ordering::Relaxed)
            && self.check().is_ok()
            && let Err(error) = copy(connection, CHECKPOINT, self)
        {
            tracing::warn!(%error, "the write-ahead log could not begin anew and grows");
        }
    }
}

/// Copies what the last program has left in the log of a database, and opens the log, which is one file for as long as the database is
/// open. What that program could not make durable is so from here on, or gone: no commit comes to lie behind a gap.
///
/// # Errors
/// What the disk says to it.
pub(crate) fn begin(connection: &Connection, database: &Path) -> Result<File> {
    state(connection, CHECKPOINT)?;
    let unavailable = |error| Error::Unavailable(format!("cannot open the write-ahead log of {}: {error}", database.display()));
    // Where the database is a link, the log lies beside what that leads to.
    File::open(beside(&database.canonicalize().map_err(unavailable)?, "-wal")).map_err(unavailable)
}

/// Copies what is left of the log into the database and empties it, before the last connection of a program that writes is closed: one of another
/// process that only reads may be open, and would leave it as it is.
pub(crate) fn copy_the_rest(connection: &Connection, log: &Log) {
    if log.check().is_ok() {
        // A reader that is at work for longer keeps no stop waiting.
        let copied = connection.busy_timeout(LAST_PATIENCE).and_then(|()| copy(connection, TRUNCATE, log));
        if let Err(error) = copied {
            tracing::warn!(%error, "the write-ahead log could not be emptied at the end");
        }
    }
}

/// Ends a connection that may copy the log, as the last one does that is closed, which removes it: not what the disk may have dropped.
pub(crate) fn end(connection: &Connection, log: &Log) {
    if log.check().is_err()
        && let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
    {
        tracing::error!(%error, "the write-ahead log may be copied into the database though the disk did not confirm it");
    }
}

/// Waits for the disk, once for all groups that are committed by then, and lets them know. The writer is told first.
pub(crate) fn sync_loop(
    mut sync: impl FnMut() -> io::Result<()>,
    committed: &Receiver<Committed>,
    log: &Log,
    writer: &mpsc::WeakSender<Job>,
) {
    while let Ok(first) = committed.recv() {
        let groups: Vec<Committed> = std::iter::once(first).chain(committed.try_iter()).collect();
        let fate = log.check().and_then(|()| sync().map_err(|error| refused(log, &error))).map_err(Error::of_a_commit);
        if let Some(writer) = writer.upgrade() {
            // It may have ended meanwhile.
            let _ = writer.blocking_send(Job::Synced(groups.len()));
        }
        groups.into_iter().for_each(|answers| answer_all(answers, &fate));
    }
}

fn refused(log: &Log, error: &dyn std::fmt::Display) -> Error {
    log.fail(format!(
        "the disk did not confirm what was written ({error}): it is not known whether the last changes are kept, and nothing more is written. \
         Mend the disk, then start the server again"
    ))
}

/// The files of a database by their identity: under the same name there may be others later.
pub(crate) struct Files(Vec<(PathBuf, Identity)>);

/// Device and inode.
type Identity = (u64, u64);

impl Files {
    /// Those of a database that is open.
    ///
    /// # Errors
    /// When they cannot be looked at.
    pub(crate) fn of(database: &Path) -> Result<Files> {
        let unavailable = |error| Error::Unavailable(format!("cannot look at {}: {error}", database.display()));
        // Where the database is a link, the log lies beside what that leads to.
        let database = database.canonicalize().map_err(unavailable)?;
        let files = [database.clone(), beside(&database, "-wal")].map(|path| identity(&path).map(|identity| (path, identity)));
        Ok(Files(files.into_iter().collect::<io::Result<_>>().map_err(unavailable)?))
    }

    /// One that is gone or replaced, in words.
    fn lost(&self) -> Option<String> {
        let lost = self.0.iter().find_map(|(path, known)| match identity(path) {
            Ok(found) if found == *known => None,
            Ok(_) => Some(format!("{} was replaced", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!("{} was removed", path.display())),
            // It may be there all the same.
            Err(_) => None,
        });
        lost.map(|what| {
            format!(
                "{what} while the server was running: what is written now would be lost, and nothing more is written. Put the files back that \
                 belong together, then start the server again"
            )
        })
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// A file that the engine makes beside a database: its log (`-wal`) or the log's index (`-shm`).
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Copies the log into the database file while the writer goes on: a commit that had to do so would keep everybody waiting for tens of
/// milliseconds. Cuts the log off when there is a pause, so that what was erased does not stay in it.
pub(crate) fn checkpoint_loop(connection: &Connection, closed: &Receiver<()>, log: &Log, files: &Files) {
    // Truncating keeps the writer waiting, so it must not wait itself: it fails when another connection is in the way.
    if let Err(error) = connection.busy_timeout(Duration::ZERO) {
        tracing::warn!(%error, "the write-ahead log is not cut off and keeps what was erased for longer");
        return;
    }
    let (mut seen, mut length, mut quiet, mut since_cut, mut rounds) = (0, 0, 0, 0, 0_u32);
    while closed.recv_timeout(CHECKPOINT_ROUND) == Err(RecvTimeoutError::Timeout) && log.check().is_ok() {
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(LOOK_ROUNDS)
            && let Some(words) = files.lost()
        {
            log.fail(words);
            return;
        }
        let commits = log.commits.load(Ordering::Relaxed);
        if commits == seen && length == 0 {
            continue;
        }
        seen = commits;
        let (frames, copied) = state(connection, STATE).unwrap_or_else(|error| {
            tracing::warn!(%error, "the state of the write-ahead log cannot be read");
            (CHECKPOINT_AT, 0)
        });
        // Many a commit has written nothing.
        (quiet, since_cut) = (if frames == length { quiet + 1 } else { 0 }, since_cut + 1);
        length = frames;
        if frames - copied >= CHECKPOINT_AT {
            match copy(connection, CHECKPOINT, log) {
                Ok((frames, _)) => log.is_overgrown.store(frames > OVERGROWN, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be copied into the database and grows"),
            }
        }
        if frames > 0 && (quiet >= QUIET_ROUNDS || since_cut >= MOST_ROUNDS) {
            // While others read from it or write, it stays until another time.
            match copy(connection, TRUNCATE, log) {
                Ok((left, _)) => length = left,
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be cut off"),
            }
            (quiet, since_cut) = (0, 0);
        }
    }
}

/// The same after having copied what of them can be. When the disk does not confirm the copy, all writing ends: the disk may have dropped what
/// earlier rounds have copied, which the engine would not copy again before it lets the log begin anew. The next start copies all of it.
fn copy(connection: &Connection, pragma: &str, log: &Log) -> rusqlite::Result<(i64, i64)> {
    state(connection, pragma).inspect_err(|error| {
        if error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_FSYNC) {
            refused(log, error);
        }
    })
}

/// Frames in the log, and how many of them are copied into the database file.
fn state(connection: &Connection, pragma: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(pragma, [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use super::*;

    /// A group of one request, and its answer.
    fn group() -> (Committed, std_mpsc::Receiver<Result<()>>) {
        let (sender, answer) = std_mpsc::channel();
        (vec![Box::new(move |fate| sender.send(fate).unwrap())], answer)
    }

    #[test]
    fn no_caller_has_an_answer_before_the_disk_has_the_commit_and_all_who_wait_share_one() {
        let (sender, committed) = std_mpsc::channel();
        let (writer, mut told) = mpsc::channel(8);
        let mut syncs = 0;
        let answers: Vec<_> = (0..3)
            .map(|_| {
                let (group, answer) = group();
                sender.send(group).unwrap();
                answer
            })
            .collect();
        drop(sender);
        let sync = || {
            syncs += 1;
            assert!(answers.iter().all(|answer| answer.try_recv().is_err()));
            Ok(())
        };
        sync_loop(sync, &committed, &Log::default(), &writer.downgrade());
        assert_eq!(syncs, 1);
        assert!(answers.iter().all(|answer| matches!(answer.try_recv(), Ok(Ok(())))));
        assert!(matches!(told.try_recv(), Ok(Job::Synced(3))));
    }

    /// The log of a database, once its disk has refused.
    fn refused_log() -> Log {
        let (writer, _told) = mpsc::channel(8);
        let (log, mut syncs) = (Log::default(), 0);
        for _ in 1..=2 {
            let (sender, committed) = std_mpsc::channel();
            let (group, answer) = group();
            sender.send(group).unwrap();
            drop(sender);
            let sync = || {
                syncs += 1;
                Err(io::Error::other("the test's disk"))
            };
            sync_loop(sync, &committed, &log, &writer.downgrade());
            assert!(matches!(answer.try_recv(), Ok(Err(Error::Uncertain(words))) if words.contains("the test's disk")));
        }
        assert_eq!(syncs, 1);
        log
    }

    #[test]
    fn what_the_disk_refuses_is_no_success_and_the_disk_is_not_asked_again() {
        assert!(refused_log().check().is_err());
    }

    /// A database in a folder of its own, and its path.
    fn database(folder: &Path) -> (Connection, PathBuf) {
        let path = folder.join("freehold.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE things (name TEXT)").unwrap();
        (connection, path)
    }

    #[test]
    fn the_log_of_a_link_to_a_database_lies_beside_the_database() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_connection, path) = database(folder.path());
        let link = other.path().join("freehold.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        std::fs::write(other.path().join("freehold.db-wal"), "left by another").unwrap();
        let opened = begin(&Connection::open(&link).unwrap(), &link).unwrap();
        let log = std::fs::metadata(folder.path().join("freehold.db-wal")).unwrap();
        assert_eq!(opened.metadata().unwrap().ino(), log.ino());
    }

    #[test]
    fn what_is_in_the_log_when_a_database_is_opened_is_copied_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, path) = database(folder.path());
        assert_ne!(state(&connection, STATE).unwrap(), (0, 0));
        begin(&connection, &path).unwrap();
        let (frames, copied) = state(&connection, STATE).unwrap();
        assert_eq!(frames, copied);
    }

    #[test]
    fn what_the_disk_has_refused_is_not_copied_into_the_database_by_the_last_who_closes_it() {
        for (log, is_copied) in [(Log::default(), true), (refused_log(), false)] {
            let folder = tempfile::tempdir().unwrap();
            let (connection, path) = database(folder.path());
            let before = std::fs::metadata(&path).unwrap().len();
            end(&connection, &log);
            drop(connection);
            assert_eq!(std::fs::metadata(&path).unwrap().len() > before, is_copied);
            assert_ne!(path.with_extension("db-wal").exists(), is_copied);
        }
    }
}
