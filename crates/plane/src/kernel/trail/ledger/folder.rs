//! The files of the ledger: JSON lines with numbers that go up by one, in one file after another. The first line of each file says whose ledger
//! it is. Nothing that is written is changed; the oldest files go when they have had their time.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entry::Entry;
use crate::{Error, Result};
use deletion::before;

/// Bytes after which a new file is begun.
const FULL: u64 = 64 * 1024 * 1024;
/// How long lines go into one file.
const MONTH: Duration = Duration::from_hours(30 * 24);
const ENDING: &str = ".ndjson";

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Heading {
    /// The ledger's id, which its database knows.
    ledger: Uuid,
    /// The number of the file's first line.
    from: u64,
    /// When it was begun.
    begun_at: Timestamp,
}

/// A line.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) n: u64,
    /// When what it tells of began.
    pub(crate) at: Timestamp,
    /// Which line of the database's table it is, if it was one.
    #[serde(default)]
    pub(crate) id: Option<Uuid>,
    /// The last line that the disk had confirmed when this one was written.
    #[serde(default)]
    synced: Option<u64>,
    /// What it tells of.
    pub(crate) entry: Entry,
}

/// A folder with the files of one ledger, which no other process uses meanwhile.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Its files, the oldest first.
    files: Vec<(PathBuf, Heading)>,
    /// Lets go of the folder when it is closed.
    _lock: File,
}

/// The file that lines are added to.
#[derive(Debug)]
pub(crate) struct Page {
    folder: Folder,
    ledger: Uuid,
    keep: Duration,
    file: File,
    length: u64,
    begun_at: Timestamp,
}

impl Folder {
    /// Opens a folder, which is made if it is missing. Lines that were being written when the power failed are cut off: they were not answered.
    ///
    /// # Errors
    /// [`Error::Malformed`] when another process uses it, a file in it is none of a ledger, or lines are missing that the disk had confirmed.
    pub(crate) fn open(path: &Path) -> Result<Folder> {
        let refused = |error: io::Error| Error::Malformed(format!("cannot open the ledger in {}: {error}", path.display()));
        sql::make_folder(path).map_err(refused)?;
        let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock")).map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(refused(error)),
            Err(TryLockError::WouldBlock) => {
                let words = "is in use by another freehold process: give each database a ledger of its own with --ledger";
                return Err(Error::Malformed(format!("the ledger in {} {words}", path.display())));
            }
        }
        let mut files = Vec::new();
        for found in fs::read_dir(path).map_err(refused)? {
            let found = found.map_err(refused)?.path();
            if found.to_string_lossy().ends_with(ENDING) {
                files.push(found);
            }
        }
        files.sort();
        if let Some(last) = files.last()
            && !cut(last)?
        {
            files.pop();
        }
        let files = files.into_iter().map(|file| heading(&file).map(|heading| (file, heading))).collect::<Result<Vec<_>>>()?;
        if let Some(other) = files.windows(2).find(|pair| pair[0].1.ledger != pair[1].1.ledger) {
            return Err(Error::Malformed(format!("{} is of another ledger than the file before it", other[1].0.display())));
        }
        Ok(Folder { path: path.to_owned(), files, _lock: lock })
    }

    /// Whose ledger it is; none for a new one.
    pub(crate) fn id(&self) -> Option<Uuid> {
        self.files.first().map(|(_, heading)| heading.ledger)
    }

    /// The number of the first line that is still there, and of the last before the newest file.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        let first = self.files.first().map_or(1, |(_, heading)| heading.from);
        (first, self.files.last().map_or(0, |(_, heading)| heading.from - 1))
    }

    /// The lines from the file on that holds line `number`, and what was written since `since`.
    pub(crate) fn lines(&self, number: u64, since: Timestamp) -> impl Iterator<Item = Result<Line>> + use<> {
        let holds = |heading: &Heading| heading.from <= number && heading.begun_at <= since;
        let first = self.files.iter().rposition(|(_, heading)| holds(heading)).unwrap_or(0);
        let files: Vec<PathBuf> = self.files[first..].iter().map(|(path, _)| path.clone()).collect();
        files.into_iter().flat_map(|path| match File::open(&path) {
            Ok(file) => Box::new(lines_of(path, file)) as Box<dyn Iterator<Item = Result<Line>> + Send>,
            Err(error) => Box::new(std::iter::once(Err(Error::Malformed(format!("cannot read {}: {error}", path.display()))))),
        })
    }

    /// Goes on writing after line `last`.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn into_page(self, ledger: Uuid, last: u64, now: Timestamp, keep: Duration) -> Result<Page> {
        let refused = |error: io::Error| Error::Malformed(format!("cannot write the ledger: {error}"));
        let newest = self.files.last().map(|(path, heading)| (path.clone(), heading.begun_at));
        match newest {
            Some((path, begun_at)) => {
                let file = File::options().read(true).write(true).open(path).map_err(refused)?;
                let length = file.metadata().map_err(refused)?.len();
                Ok(Page { folder: self, ledger, keep, file, length, begun_at })
            }
            None => {
                let mut folder = self;
                let (file, length) = folder.begin(ledger, last + 1, now).map_err(refused)?;
                Ok(Page { folder, ledger, keep, file, length, begun_at: now })
            }
        }
    }

    fn begin(&mut self, ledger: Uuid, from: u64, now: Timestamp) -> io::Result<(File, u64)> {
        let path = self.path.join(format!("{from:012}{ENDING}"));
        let heading = Heading { ledger, from, begun_at: now };
        let mut text = serde_json::to_vec(&heading)?;
        text.push(b'\n');
        let mut file = File::options().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path)?;
        file.write_all(&text)?;
        file.sync_all()?;
        sql::sync_name(&path)?;
        self.files.push((path, heading));
        Ok((file, text.len() as u64))
    }
}

impl Page {
    /// Adds lines, the first of which has the number `first`, and returns when the disk has them. What was written of them before an error is
    /// overwritten by the next call.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn add(&mut self, first: u64, lines: &[u8], now: Timestamp) -> io::Result<()> {
        if self.length >= FULL || self.begun_at < before(now, MONTH) {
            // What an error has left of a line.
            self.file.set_len(self.length)?;
            self.file.sync_all()?;
            (self.file, self.length) = self.folder.begin(self.ledger, first, now)?;
            self.begun_at = now;
            self.remove_old(now);
        }
        self.file.write_all_at(lines, self.length)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Removes a file whose newest line is older than anything that is to be restored: one for each that is begun, so that a clock that is far
    /// ahead takes no more.
    fn remove_old(&mut self, now: Timestamp) {
        let oldest = before(now, self.keep);
        if self.folder.files.get(1).is_some_and(|(_, next)| next.begun_at < oldest) {
            let (path, _) = self.folder.files.remove(0);
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(file = %path.display(), "a file of the ledger has had its time"),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a file of the ledger that has had its time cannot be removed")
                }
            }
        }
    }
}

/// Cuts off lines at the end that are not whole, and returns when the disk has the rest. Returns whether anything is left.
///
/// # Errors
/// The disk's, and [`Error::Malformed`] when lines that the disk had confirmed are among what is not whole.
fn cut(path: &Path) -> Result<bool> {
    let refused = |error: io::Error| Error::Malformed(format!("cannot look for the end of {}: {error}", path.display()));
    let text = fs::read(path).map_err(refused)?;
    // A line that was read is there from now on: also one that only memory had when the process was killed.
    File::open(path).and_then(|file| file.sync_all()).map_err(refused)?;
    // What the disk has not taken of lines that were written at once reads as zeros, and others of them may stand behind it.
    let written = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let whole = text[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let (kept, rest) = text.split_at(whole);
    let last = last_number(kept);
    let mut lines = 0;
    for line in rest.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let start = line.iter().position(|byte| *byte != 0).unwrap_or(0);
        let Ok(line) = serde_json::from_slice::<Line>(&line[start..]) else { continue };
        // It was written after the disk had confirmed what is zeros now: that was damaged later, and may have been answered.
        if line.synced.zip(last).is_none_or(|(synced, last)| synced > last) {
            let words = "where the disk had confirmed lines: put back the file as it was";
            return Err(Error::Malformed(format!("{} has zeros before line {} of the ledger, {words}", path.display(), line.n)));
        }
        lines += 1;
    }
    if !rest.is_empty() {
        let bytes = rest.len();
        tracing::warn!(file = %path.display(), bytes, lines, "the end of the ledger was not whole and is cut off");
        let file = File::options().write(true).open(path).map_err(refused)?;
        file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(refused)?;
    }
    if whole == 0 {
        fs::remove_file(path).map_err(refused)?;
    }
    Ok(whole > 0)
}

/// The number of the last of whole lines; of a heading alone, the one before its first. None when that cannot be read.
fn last_number(lines: &[u8]) -> Option<u64> {
    let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    let number = serde_json::from_slice(last).map(|line: Line| line.n).ok();
    number.or_else(|| serde_json::from_slice(last).ok().and_then(|heading: Heading| heading.from.checked_sub(1)))
}

fn heading(path: &Path) -> Result<Heading> {
    let mut first = String::new();
    let read = File::open(path).and_then(|file| BufReader::new(file).read_line(&mut first));
    read.map_err(|error| Error::Malformed(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&first).map_err(|error| Error::Malformed(format!("{} is no file of a ledger: {error}", path.display())))
}

fn lines_of(path: PathBuf, file: File) -> impl Iterator<Item = Result<Line>> + Send {
    BufReader::new(file).lines().enumerate().skip(1).map(move |(number, line)| {
        let broken = |error: &dyn std::fmt::Display| {
            Error::Malformed(format!("line {} of {} cannot be read: {error}; put back the file as it was", number + 1, path.display()))
        };
        let line = line.map_err(|error| broken(&error))?;
        serde_json::from_str(&line).map_err(|error| broken(&error))
    })
}
