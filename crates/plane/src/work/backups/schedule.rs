//! Backups that the server takes by itself, each a file in one folder or an object in one bucket, of which the oldest go.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sql::Options;
use tokio::sync::watch;

use super::{UNFINISHED, back_up, remote};
use crate::plane::BackupSchedule;
use crate::storage::{Failure, Place, Storage};
use crate::{Error, Plane, Result};
use deletion::after;

/// How the files are called: times in UTC sort as texts do.
const NAME: &str = "freehold-%Y-%m-%dT%H-%M-%SZ.db";
/// How long after a failure it is tried again, unless the next one is due before.
const PAUSE: Duration = Duration::from_secs(600);

/// What became of the latest backup.
#[derive(Debug, Default)]
struct LatestBackup(AtomicI64);

impl Plane {
    /// When the newest backup of the schedule was begun, in seconds since 1970; 0 for none yet. None where there is no schedule.
    pub fn latest_backup(&self) -> Option<i64> {
        self.config.backups.as_ref().map(|_| self.memory.of::<LatestBackup>().0.load(Ordering::Relaxed))
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
    let refused = |failure: Failure| Error::Malformed(format!("cannot use {} for backups: {failure}", schedule.place));
    let storage = Storage::open(&schedule.place)?;
    if let Place::Folder(folder) = &schedule.place {
        sql::make_folder(folder).map_err(|error| refused(error.into()))?;
    }
    let now = plane.clock.now();
    let names = storage.list().await.map_err(refused)?;
    let mut taken = named(&names, "");
    // One of a time that has not come yet is of a clock that was ahead, and says nothing of when the next is due.
    let newest = taken.iter().map(|(time, _)| *time).rfind(|time| *time <= now);
    if let Some(newest) = newest {
        plane.memory.of::<LatestBackup>().0.store(newest.as_second(), Ordering::Relaxed);
        let due = after(newest, schedule.every);
        if now < due {
            return Ok(Duration::try_from(due.duration_since(now)).unwrap_or(PAUSE));
        }
    }
    // What a stop or a kill has left of one.
    for (_, unfinished) in named(&names, UNFINISHED) {
        storage.remove(&unfinished).await.map_err(refused)?;
    }
    let name = now.strftime(NAME).to_string();
    // Beside the server, as the command does it.
    let beside = Options { is_server: false, ..plane.config.database.clone() };
    let contents = match &schedule.place {
        Place::Folder(folder) => back_up(&beside, &folder.join(&name), &|_, _| {}).await?,
        Place::Bucket { .. } => remote::put(&beside, &storage, &name, &|_, _| {}).await?,
    };
    plane.memory.of::<LatestBackup>().0.store(now.as_second(), Ordering::Relaxed);
    let rows: u64 = contents.values().map(|content| content.rows).sum();
    tracing::info!(place = %schedule.place, name, rows, "took a backup");
    taken.push((now, name));
    for (_, old) in &taken[..taken.len().saturating_sub(schedule.kept)] {
        storage.remove(old).await.map_err(refused)?;
    }
    Ok(schedule.every)
}

/// Names that are those of backups, with this after that; the oldest first, and without any others.
fn named(names: &[String], ending: &str) -> Vec<(Timestamp, String)> {
    let time = |name: &str| TimeZone::UTC.to_timestamp(jiff::civil::DateTime::strptime(NAME, name.strip_suffix(ending)?).ok()?).ok();
    let mut named: Vec<_> = names.iter().filter_map(|name| Some((time(name)?, name.clone()))).collect();
    named.sort();
    named
}
