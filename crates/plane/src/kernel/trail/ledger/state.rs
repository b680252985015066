//! The ledger of one server, as it is in memory.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::commits::Commits;
use super::entry::Entry;
use super::writer::Writer;

/// How long an answer waits for the ledger. While its disk takes nothing, what was deleted is deleted all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines that leave the table at once, when the files have them.
const MOST: usize = 10_000;

/// Where a server keeps its ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerPlace {
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere; a database that had one goes on without.
    Nowhere,
    /// Not set: nowhere, unless the database had one.
    Unsaid,
}

/// The ledger of one server.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What writes it, and the last line that was there before. Nothing without a ledger.
    pub(crate) opened: OnceLock<(Writer, u64)>,
    /// Commits that are under way, and whose lines come when they are done.
    pub(super) commits: Arc<Commits>,
    /// Transactions since the last beat.
    pub(super) writes: AtomicU64,
    /// Whether the database may know of deletions that have no line, until the next start looks for them.
    pub(crate) lacks_lines: AtomicBool,
    /// Lines that lie in the table as well, with the ids that they have there, in the order of their numbers.
    pub(crate) in_table: Mutex<VecDeque<(u64, Uuid)>>,
}

impl Ledger {
    pub(crate) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that it is not known whether a transaction has come true.
    pub(crate) fn note_uncertain(&self) {
        self.lacks_lines.store(true, Ordering::Relaxed);
    }

    /// Whether the disk has a line for everything that was committed before this.
    pub(crate) fn is_whole(&self) -> bool {
        let state = self.opened.get().map(|(writer, first)| writer.state(*first)).unwrap_or_default();
        state.waiting == 0 && state.left_out == 0 && !self.lacks_lines.load(Ordering::Relaxed) && !self.commits.have_lost()
    }

    /// Waits until everything is written, and ends it.
    pub(crate) async fn close(&self) {
        if let Some((writer, _)) = self.opened.get() {
            writer.close().await;
        }
    }

    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.opened.get().map(|(writer, _)| writer)
    }

    /// Adds a line, which has this id in the table if it lies there, for the piece of work whose last line is remembered there.
    pub(crate) fn add(&self, at: Timestamp, (id, entry): (Option<Uuid>, &Entry), last: &AtomicU64) {
        let Some(writer) = self.writer() else { return };
        // A beat that takes lines out of the table finds each that has a number.
        let mut in_table = self.in_table();
        if let Some(number) = writer.push(at, id, entry) {
            last.fetch_max(number, Ordering::Relaxed);
            in_table.extend(id.map(|id| (number, id)));
        }
    }

    pub(crate) fn in_table(&self) -> MutexGuard<'_, VecDeque<(u64, Uuid)>> {
        self.in_table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the disk has this line. Not for long: what is deleted is deleted, whatever becomes of the ledger. Returns whether it has.
    pub(crate) async fn written(&self, line: u64) -> bool {
        match self.writer().filter(|writer| line > writer.last_written()) {
            Some(writer) => tokio::time::timeout(PATIENCE, writer.written(line)).await == Ok(true),
            None => true,
        }
    }

    /// Waits until the disk has the lines of all that was committed by now: before deletions that others have ordered are shown. While the disk takes
    /// nothing, they are shown all the same.
    pub(crate) async fn settled(&self) {
        if self.opened.get().is_some_and(|(writer, first)| !writer.state(*first).is_failing) {
            // What can be read already may have its line in a moment.
            let _ = tokio::time::timeout(PATIENCE, self.commits.are_done()).await;
            self.written(self.last_line()).await;
        }
    }

    /// The last line that the files have, and which lines up to it lie in the table as well: no more than leave it at once, or the last of those.
    pub(crate) fn written_of_table(&self) -> (u64, Vec<Uuid>) {
        let in_table = self.in_table();
        let last = self.writer().map_or(0, Writer::last_written);
        let written: Vec<(u64, Uuid)> = in_table.iter().take_while(|(line, _)| *line <= last).take(MOST + 1).copied().collect();
        let position = written.get(MOST).map_or(last, |(line, _)| line - 1);
        (position, written.into_iter().take(MOST).map(|(_, id)| id).collect())
    }

    /// The number of the last line that there is by now; 0 for none.
    pub(crate) fn last_line(&self) -> u64 {
        self.writer().map_or(0, Writer::last_given)
    }
}
