//! Backups that the server takes by itself, each a file in one folder, of which the oldest go.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sql::Options;
use tokio::sync::watch;

use super::{UNFINISHED, back_up};
use crate::sessions::after;
use crate::{Error, Plane, Result};

/// How the files are called: times in UTC sort as texts do.
const NAME: &str = "freehold-%Y-%m-%dT%H-%M-%SZ.db";
/// How long after a failure it is tried again, unless the next one is due before.
const PAUSE: Duration = Duration::from_secs(600);

/// When backups are taken, where to, and how many are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSchedule {
    /// The folder. It is made.
    pub folder: PathBuf,
    /// How long from one to the next.
    pub every: Duration,
    /// How many are kept, 1 or more.
    pub kept: usize,
}

/// What became of the latest backup.
#[derive(Debug, Default)]
pub(crate) struct LatestBackup(AtomicI64);

impl Plane {
    /// When the newest backup of the schedule was begun, in seconds since 1970; 0 for none yet. None where there is no schedule.
    pub fn latest_backup(&self) -> Option<i64> {
        self.config.backups.as_ref().map(|_| self.latest_backup.0.load(Ordering::Relaxed))
    }
}

/// Goes on until told to stop. A backup that is under way then is given up; the next one removes what it leaves.
pub async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let pause = match &plane.config.backups {
            None => Duration::MAX,
            Some(schedule) => tokio::select! {
                outcome = once(&plane, schedule) => outcome.unwrap_or_else(|error| {
                    // Also while the database is away, which is otherwise told once for all: a missing backup is news of its own.
                    tracing::error!(%error, "a backup could not be taken and is tried again");
                    PAUSE.min(schedule.every)
                }),
                _ = stop.changed() => return,
            },
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Takes a backup if one is due, and removes those that are too many. Returns how long there is time until the next.
async fn once(plane: &Arc<Plane>, schedule: &BackupSchedule) -> Result<Duration> {
    let refused = |error: std::io::Error| Error::Malformed(format!("cannot use the folder {}: {error}", schedule.folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(&schedule.folder).map_err(refused)?;
    let now = plane.clock.now();
    let mut taken = taken(&schedule.folder).map_err(refused)?;
    // One of a time that has not come yet is of a clock that was ahead, and says nothing of when the next is due.
    let newest = taken.iter().map(|(time, _)| *time).rfind(|time| *time <= now);
    if let Some(newest) = newest {
        plane.latest_backup.0.store(newest.as_second(), Ordering::Relaxed);
        let due = after(newest, schedule.every);
        if now < due {
            return Ok(Duration::try_from(due.duration_since(now)).unwrap_or(PAUSE));
        }
    }
    // What a stop or a kill has left of one.
    for unfinished in unfinished(&schedule.folder).map_err(refused)? {
        std::fs::remove_file(unfinished).map_err(refused)?;
    }
    let file = schedule.folder.join(now.strftime(NAME).to_string());
    // Beside the server, as the command does it.
    let beside = Options { is_server: false, ..plane.config.database.clone() };
    let contents = back_up(&beside, &file, &|_, _| {}).await?;
    plane.latest_backup.0.store(now.as_second(), Ordering::Relaxed);
    let rows: u64 = contents.values().map(|content| content.rows).sum();
    tracing::info!(file = %file.display(), rows, "took a backup");
    taken.push((now, file));
    for (_, old) in &taken[..taken.len().saturating_sub(schedule.kept)] {
        std::fs::remove_file(old).map_err(refused)?;
    }
    Ok(schedule.every)
}

/// The backups in a folder, the oldest first, without any other files.
fn taken(folder: &Path) -> std::io::Result<Vec<(Timestamp, PathBuf)>> {
    named(folder, "")
}

fn unfinished(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    Ok(named(folder, UNFINISHED)?.into_iter().map(|(_, path)| path).collect())
}

/// Files that are called like backups, with this after that.
fn named(folder: &Path, ending: &str) -> std::io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut named = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_suffix(ending)
            && let Ok(time) = jiff::civil::DateTime::strptime(NAME, name)
            && let Ok(time) = TimeZone::UTC.to_timestamp(time)
        {
            named.push((time, path));
        }
    }
    named.sort();
    Ok(named)
}
