//! What becomes of exports that have had their time, and of files that belong to none: the row says what may lie on the disk, whatever a
//! crash, a deletion or a restored backup left there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sql::{params, sql};
use tokio::sync::watch;
use uuid::Uuid;

use super::{absent_is_fine, on_disk};
use crate::cx::{Actor, Cx};
use crate::{Plane, Result};

/// How often, unless it takes long.
const ROUND: Duration = Duration::from_secs(1);
/// The part of its time that this may take.
const SHARE: u32 = 20;
/// Exports that are ended, and files that are looked after, at once.
const BATCH: usize = 500;

/// Goes on until told to stop.
pub(super) async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let watch = plane.clock.stopwatch();
        if let Err(error) = once(&plane).await {
            error.log("exports that have had their time could not be removed; it is tried again", None);
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND.max(watch.elapsed() * SHARE)) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn once(plane: &Arc<Plane>) -> Result<()> {
    let cx = Cx::new(plane, "housekeeping").with_actor(Actor::System);
    // Whether there is anything to do is a question that nobody's writes wait behind.
    while is_any_due(&cx).await? {
        expire(&cx).await?;
    }
    for files in files(plane).await?.chunks(BATCH) {
        let wanted = rows_of(&cx, files).await?;
        let orphans: Vec<PathBuf> =
            files.iter().filter(|file| !file.is_wanted(wanted.get(&file.export))).map(|file| file.path.clone()).collect();
        remove(orphans).await?;
    }
    Ok(())
}

async fn is_any_due(cx: &Cx) -> Result<bool> {
    cx.read((), |cx, tx, ()| {
        Box::pin(async move {
            let statement = sql!("SELECT 1 FROM exports WHERE state = 'done' AND expires_at <= $1 LIMIT 1");
            Ok(tx.query_opt(statement, params![cx.now]).await?.is_some())
        })
    })
    .await
}

/// The record of an export stays and says that it was there. Of one that was ordered with a deletion nothing stays.
async fn expire(cx: &Cx) -> Result<()> {
    cx.write_behind(false, (), |cx, tx, ()| {
        Box::pin(async move {
            let due = sql!("SELECT id FROM exports WHERE state = 'done' AND expires_at <= $1 ORDER BY expires_at, id LIMIT $2");
            let found = tx.query(due, params![cx.now, BATCH as i64]).await?;
            let ids = found.into_iter().map(|mut row| row.next()).collect::<sql::Result<Vec<Uuid>>>()?;
            let erase = sql!("DELETE FROM exports WHERE id = ANY($1) AND deletion_id IS NOT NULL");
            tx.execute(erase, params![ids.as_slice()]).await?;
            let mark = sql!("UPDATE exports SET state = 'expired', subject_label = NULL WHERE id = ANY($1) AND state = 'done'");
            tx.execute(mark, params![ids.as_slice()]).await?;
            Ok(())
        })
    })
    .await
}

/// A file in the folder that has the name of an export.
struct Found {
    export: Uuid,
    path: PathBuf,
    /// Of a draft, the number of the attempt that writes it.
    attempt: Option<i64>,
}

/// State and fencing number of an export.
type Standing = (String, i64);

impl Found {
    /// Whether the row wants the file to be there. Files are listed before their rows are asked for, and a row is there before its file.
    fn is_wanted(&self, row: Option<&Standing>) -> bool {
        match (self.attempt, row) {
            (_, None) => false,
            (Some(attempt), Some((state, fence))) => state == "running" && *fence == attempt,
            // It gets its name a moment before its record says so.
            (None, Some((state, _))) => state == "done" || state == "running",
        }
    }

    /// What is called otherwise is not this program's.
    fn parse(path: PathBuf) -> Option<Found> {
        let name = path.file_name()?.to_str()?;
        let (id, rest) = name.split_once('.')?;
        let (export, attempt) = match (Uuid::try_parse(id).ok()?, rest) {
            (export, "zip") => (export, None),
            (export, rest) => (export, Some(rest.strip_suffix(".part")?.parse().ok()?)),
        };
        Some(Found { export, path, attempt })
    }
}

async fn files(plane: &Plane) -> Result<Vec<Found>> {
    let folder = plane.config.exports_folder.clone();
    on_disk(move || {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return Ok(absent_is_fine(error).map(|()| Vec::new())?),
        };
        Ok(entries.filter_map(|entry| Found::parse(entry.ok()?.path())).collect())
    })
    .await
}

async fn rows_of(cx: &Cx, files: &[Found]) -> Result<HashMap<Uuid, Standing>> {
    let ids: Vec<Uuid> = files.iter().map(|file| file.export).collect();
    cx.read(ids, |_, tx, ids| {
        Box::pin(async move {
            let statement = sql!("SELECT id, state, fence FROM exports WHERE id = ANY($1)");
            let rows = tx.query(statement, params![ids.as_slice()]).await?;
            rows.into_iter().map(|mut row| Ok((row.next()?, (row.next()?, row.next()?)))).collect()
        })
    })
    .await
}

async fn remove(paths: Vec<PathBuf>) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    on_disk(move || {
        for path in paths {
            tracing::info!(path = %path.display(), "an archive is removed");
            std::fs::remove_file(path).or_else(absent_is_fine)?;
        }
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_only_while_its_row_wants_it() {
        let id = Uuid::from_u128(7);
        let wanted = |name: String, row: Option<(&str, i64)>| {
            let row = row.map(|(state, fence)| (state.to_owned(), fence));
            Found::parse(PathBuf::from("/exports").join(name)).unwrap().is_wanted(row.as_ref())
        };
        let (archive, draft) = (format!("{id}.zip"), format!("{id}.2.part"));
        assert!(wanted(archive.clone(), Some(("done", 2))) && wanted(archive.clone(), Some(("running", 2))));
        assert!(wanted(draft.clone(), Some(("running", 2))));
        for row in [None, Some(("failed", 2)), Some(("expired", 2)), Some(("waiting", 2))] {
            assert!(!wanted(archive.clone(), row) && !wanted(draft.clone(), row), "{row:?}");
        }
        assert!(!wanted(draft.clone(), Some(("running", 3))) && !wanted(draft, Some(("done", 2))));
    }

    #[test]
    fn what_is_called_otherwise_is_left_alone() {
        for name in ["notes.txt", "lost+found", "00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-000000000007.tar"] {
            assert!(Found::parse(PathBuf::from(name)).is_none(), "{name}");
        }
    }
}
