//! The embedded engine's write-ahead log: who waits for the disk, and what copies the log into the database file.
//!
//! The writer commits without waiting for the disk, hands those who wait for that to a thread of its own, and goes on with what came meanwhile.
//! Nobody has an answer before the disk has what it says.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::database::{Hook, run_hooks};
use crate::sqlite::{Answer, Job};
use crate::{Error, Result};

/// Copies what of the log nobody reads from any more; waits for nobody.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// How often the log is looked at, and how many of its frames (4 KiB) are worth copying.
const CHECKPOINT_ROUND: Duration = Duration::from_millis(100);
const CHECKPOINT_AT: i64 = 1_000;
/// Frames at which the log (64 MiB) must begin anew: while it is written to without a pause, only the writer can let it.
const OVERGROWN: i64 = 16_384;

/// What the threads of the database tell each other about the log.
#[derive(Default)]
pub(crate) struct Log {
    /// Counts the commits.
    commits: AtomicU64,
    /// Whether it has grown so long that the writer must let it begin anew.
    is_overgrown: AtomicBool,
    /// What the disk has said to a commit that was to be durable. It may have dropped any of them, and not say so again.
    failure: OnceLock<Error>,
}

/// A group of requests that is committed.
pub(crate) struct Committed {
    pub(crate) hooks: Vec<Hook>,
    pub(crate) answers: Vec<Answer>,
}

impl Committed {
    /// Lets everybody know what became of it.
    pub(crate) fn end(self, fate: &Result<()>) {
        run_hooks(self.hooks);
        self.answers.into_iter().for_each(|answer| answer(fate.clone()));
    }
}

impl Log {
    /// # Errors
    /// Why nothing is written any more.
    pub(crate) fn check(&self) -> Result<()> {
        self.failure.get().cloned().map_or(Ok(()), Err)
    }

    /// Notes a commit of the writer, and lets the log begin anew if it has to.
    pub(crate) fn note_commit(&self, connection: &Connection) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.is_overgrown.swap(false, Ordering::Relaxed)
            && let Err(error) = state(connection, CHECKPOINT)
        {
            tracing::warn!(%error, "the write-ahead log could not begin anew and grows");
        }
    }
}

/// Has the disk take the log of a database, which is there from the first commit on.
pub(crate) fn disk(database: &Path) -> impl FnMut() -> io::Result<()> + use<> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let name = PathBuf::from(name);
    let mut file = None;
    move || {
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(File::open(&name)?),
        };
        file.sync_data()
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
        let fate = log.check().and_then(|()| sync().map_err(|error| refused(log, &error)));
        if let Some(writer) = writer.upgrade() {
            // It may have ended meanwhile.
            let _ = writer.blocking_send(Job::Synced(groups.len()));
        }
        groups.into_iter().for_each(|group| group.end(&fate));
    }
}

fn refused(log: &Log, error: &io::Error) -> Error {
    let words = format!(
        "the disk did not confirm what was written ({error}): it is not known whether the last changes are kept, and nothing more is written. \
         Mend the disk, then start the server again"
    );
    tracing::error!("{words}");
    log.failure.get_or_init(|| Error::Unavailable(words)).clone()
}

/// Copies the log into the database file while the writer goes on: a commit that had to do so would keep everybody waiting for tens of
/// milliseconds.
pub(crate) fn checkpoint_loop(connection: &Connection, closed: &Receiver<()>, log: &Log) {
    let mut seen = 0;
    while closed.recv_timeout(CHECKPOINT_ROUND) == Err(RecvTimeoutError::Timeout) {
        let commits = log.commits.load(Ordering::Relaxed);
        if commits == seen {
            continue;
        }
        seen = commits;
        match state(connection, "PRAGMA wal_checkpoint(NOOP)") {
            Ok((frames, copied)) if frames - copied < CHECKPOINT_AT => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the state of the write-ahead log cannot be read"),
        }
        match state(connection, CHECKPOINT) {
            Ok((frames, _)) => log.is_overgrown.store(frames > OVERGROWN, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be copied into the database and grows"),
        }
    }
}

/// Frames in the log, and how many of them are copied into the database file.
fn state(connection: &Connection, pragma: &str) -> rusqlite::Result<(i64, i64)> {
    connection.query_row(pragma, [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, mpsc as std_mpsc};

    use super::*;

    /// A group of one request, and its answer.
    fn group(hooked: &Arc<AtomicUsize>) -> (Committed, std_mpsc::Receiver<Result<()>>) {
        let (sender, answer) = std_mpsc::channel();
        let hooked = hooked.clone();
        let hook: Hook = Box::new(move || {
            hooked.fetch_add(1, Ordering::Relaxed);
        });
        let answers: Vec<Answer> = vec![Box::new(move |fate| sender.send(fate).unwrap())];
        (Committed { hooks: vec![hook], answers }, answer)
    }

    #[test]
    fn nobody_has_an_answer_before_the_disk_has_the_commit_and_all_who_wait_share_one() {
        let (sender, committed) = std_mpsc::channel();
        let (writer, mut told) = mpsc::channel(8);
        let (hooked, syncs) = (Arc::default(), AtomicUsize::new(0));
        let answers: Vec<_> = (0..3)
            .map(|_| {
                let (group, answer) = group(&hooked);
                sender.send(group).unwrap();
                answer
            })
            .collect();
        drop(sender);
        let sync = || {
            syncs.fetch_add(1, Ordering::Relaxed);
            assert_eq!(hooked.load(Ordering::Relaxed), 0);
            assert!(answers.iter().all(|answer| answer.try_recv().is_err()));
            Ok(())
        };
        sync_loop(sync, &committed, &Log::default(), &writer.downgrade());
        assert_eq!((syncs.load(Ordering::Relaxed), hooked.load(Ordering::Relaxed)), (1, 3));
        assert!(answers.iter().all(|answer| matches!(answer.try_recv(), Ok(Ok(())))));
        assert!(matches!(told.try_recv(), Ok(Job::Synced(3))));
    }

    #[test]
    fn what_the_disk_refuses_is_no_success_and_the_disk_is_not_asked_again() {
        let (writer, _told) = mpsc::channel(8);
        let (hooked, log, syncs) = (Arc::default(), Log::default(), AtomicUsize::new(0));
        for round in 1..=2 {
            let (sender, committed) = std_mpsc::channel();
            let (group, answer) = group(&hooked);
            sender.send(group).unwrap();
            drop(sender);
            let sync = || {
                syncs.fetch_add(1, Ordering::Relaxed);
                Err(io::Error::other("the test's disk"))
            };
            sync_loop(sync, &committed, &log, &writer.downgrade());
            assert!(matches!(answer.try_recv(), Ok(Err(Error::Unavailable(words))) if words.contains("the test's disk")));
            // It may have come true all the same.
            assert_eq!(hooked.load(Ordering::Relaxed), round);
        }
        assert_eq!(syncs.load(Ordering::Relaxed), 1);
        assert!(log.check().is_err());
    }
}
