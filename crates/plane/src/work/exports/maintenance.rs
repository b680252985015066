//! What becomes of exports that have had their time, and of files that belong to none: the row says what may lie in the place of exports, whatever
//! a crash, a deletion or a restored backup left there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sql::{params, sql};
use tokio::sync::watch;
use uuid::Uuid;

use super::State;
use super::place::is_ours;
use crate::cx::{Actor, Cx};
use crate::storage::Use;
use crate::{Plane, Result};
use deletion::Stopwatch;

/// How often, unless it takes long.
const ROUND: Duration = Duration::from_secs(1);
/// The part of its time that this may take.
const SHARE: u32 = 20;
/// How often a bucket is looked over, where each look costs money, unless something was removed from the database's own.
const BUCKET_ROUND: Duration = Duration::from_secs(10);
/// Exports that are ended, and files that are looked after, at once.
const BATCH: usize = 500;

/// Goes on until told to stop.
pub(super) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let mut looked = None;
    while !*stop.borrow() {
        let watch = plane.clock.stopwatch();
        if let Err(error) = once(&plane, &mut looked).await {
            error.log("exports that have had their time could not be removed; it is tried again", None);
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND.max(watch.elapsed() * SHARE)) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn once(plane: &Arc<Plane>, looked: &mut Option<Stopwatch>) -> Result<()> {
    let cx = Cx::new(plane, "housekeeping").with_actor(Actor::System);
    let mut has_ended = false;
    // Whether there is anything to do is a question that no write waits behind.
    while is_any_due(&cx).await? {
        expire(&cx).await?;
        has_ended = true;
    }
    let archives = &plane.archives;
    if archives.storage.folder().is_none() {
        // Where there was nothing, and nothing has been written since, there is nothing.
        let is_due = archives.is_unsure.load(Ordering::Relaxed) && looked.as_ref().is_none_or(|watch| watch.elapsed() >= BUCKET_ROUND);
        if !is_due && !has_ended {
            return Ok(());
        }
        *looked = Some(plane.clock.stopwatch());
    }
    // A bucket that does not work tells so once, in its own words.
    let Ok(()) = is_ours(plane).await else { return Ok(()) };
    archives.is_unsure.store(false, Ordering::Relaxed);
    match sweep(plane, &cx).await {
        Ok(true) => archives.note_unsure(),
        Ok(false) => {}
        Err(error) => {
            archives.note_unsure();
            return Err(error);
        }
    }
    Ok(())
}

/// Removes what no row wants. Returns whether anything was there.
async fn sweep(plane: &Arc<Plane>, cx: &Cx) -> Result<bool> {
    let storage = &plane.archives.storage;
    let names = storage.list().await.map_err(|failure| failure.of(Use::Exports))?;
    let files: Vec<Found> = names.into_iter().filter_map(Found::parse).collect();
    for files in files.chunks(BATCH) {
        let wanted = rows_of(cx, files).await?;
        for orphan in files.iter().filter(|file| !file.is_wanted(wanted.get(&file.export))) {
            tracing::info!(name = orphan.name, "an archive is removed");
            storage.remove(&orphan.name).await.map_err(|failure| failure.of(Use::Exports))?;
        }
    }
    Ok(!files.is_empty())
}

async fn is_any_due(cx: &Cx) -> Result<bool> {
    cx.read(async move |cx, tx| {
        let statement = sql!("SELECT 1 FROM exports WHERE state = 'done' AND expires_at <= $1 LIMIT 1");
        Ok(tx.query_opt(statement, params![cx.now]).await?.is_some())
    })
    .await
}

/// The record of an export stays and says that it was there. Of one that was ordered with a deletion nothing stays.
async fn expire(cx: &Cx) -> Result<()> {
    cx.write_behind(false, async move |cx, tx| {
        let due = sql!("SELECT id FROM exports WHERE state = 'done' AND expires_at <= $1 ORDER BY expires_at, id LIMIT $2");
        let ids: Vec<Uuid> = tx.read_all(due, params![cx.now, BATCH as i64]).await?;
        let erase = sql!("DELETE FROM exports WHERE id = ANY($1) AND deletion_id IS NOT NULL");
        tx.execute(erase, params![ids.as_slice()]).await?;
        let mark = sql!("UPDATE exports SET state = 'expired', subject_label = NULL WHERE id = ANY($1) AND state = 'done'");
        tx.execute(mark, params![ids.as_slice()]).await?;
        Ok(())
    })
    .await
}

/// A file that has the name of an export.
pub(crate) struct Found {
    pub(crate) export: Uuid,
    pub(crate) name: String,
    /// Of a draft, the number of the attempt that writes it.
    attempt: Option<i64>,
}

/// State and fencing number of an export.
pub(super) type Standing = (State, i64);

impl Found {
    /// Whether the row wants the file to be there. Files are listed before their rows are asked for, and a row is there before its file.
    fn is_wanted(&self, row: Option<&Standing>) -> bool {
        match (self.attempt, row) {
            (_, None) => false,
            (Some(attempt), Some((state, fence))) => *state == State::Running && *fence == attempt,
            // It gets its name a moment before its record says so. Of an attempt whose end was not heard it stays until the next one has replaced
            // it: a removal that is late would be of that one's.
            (None, Some((state, _))) => matches!(state, State::Done | State::Running | State::Waiting),
        }
    }

    /// What is called otherwise is not this program's.
    pub(crate) fn parse(name: String) -> Option<Found> {
        let (id, rest) = name.split_once('.')?;
        let (export, attempt) = match (Uuid::try_parse(id).ok()?, rest) {
            (export, "zip") => (export, None),
            (export, rest) => (export, Some(rest.strip_suffix(".part")?.parse().ok()?)),
        };
        Some(Found { export, name, attempt })
    }

    /// Whether it is whole.
    pub(crate) fn is_archive(&self) -> bool {
        self.attempt.is_none()
    }
}

pub(super) async fn rows_of(cx: &Cx, files: &[Found]) -> Result<HashMap<Uuid, Standing>> {
    let ids: Vec<Uuid> = files.iter().map(|file| file.export).collect();
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT id, state, fence FROM exports WHERE id = ANY($1)");
        Ok(tx.read_all::<(Uuid, Standing)>(statement, params![ids.as_slice()]).await?.into_iter().collect())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_only_while_its_row_wants_it() {
        let id = Uuid::from_u128(7);
        let wanted = |name: String, row: Option<Standing>| Found::parse(name).unwrap().is_wanted(row.as_ref());
        let (archive, draft) = (format!("{id}.zip"), format!("{id}.2.part"));
        for state in [State::Waiting, State::Running, State::Done] {
            assert!(wanted(archive.clone(), Some((state, 2))), "{state:?}");
        }
        assert!(wanted(draft.clone(), Some((State::Running, 2))));
        for row in [None, Some((State::Failed, 2)), Some((State::Expired, 2))] {
            assert!(!wanted(archive.clone(), row) && !wanted(draft.clone(), row), "{row:?}");
        }
        for row in [(State::Waiting, 2), (State::Running, 3), (State::Done, 2)] {
            assert!(!wanted(draft.clone(), Some(row)), "{row:?}");
        }
    }

    #[test]
    fn what_is_called_otherwise_is_left_alone() {
        for name in ["notes.txt", "lost+found", "00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-000000000007.tar"] {
            assert!(Found::parse(name.into()).is_none(), "{name}");
        }
    }
}
