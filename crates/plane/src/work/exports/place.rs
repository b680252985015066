//! The place of the archives, and whose it is. A place says in a small file which database it belongs to: a server on another database removes
//! nothing there, and does not start on it.

use std::sync::Arc;

use sql::{Database, Tx, params, sql};
use uuid::Uuid;

use super::maintenance::Found;
use crate::cx::{Actor, Cx};
use crate::storage::{Claim, Failure, MARKER, Marker, Owner, Place, Use};
use crate::{Clock, Error, Plane, Result};

/// Of the names that a refusal shows.
const MOST_SHOWN: usize = 3;
const ANOTHERS: Error = Error::Overloaded(
    "The place of the exports belongs to another database, or a copy of this one: the server's operators must name one of its own.",
);

/// Whether something lies in a folder of exports that is not of the server itself.
pub(crate) fn has_any(place: &Place) -> bool {
    let Place::Folder(path) = place else { return false };
    std::fs::read_dir(path).is_ok_and(|files| files.flatten().any(|file| file.file_name() != MARKER))
}

/// Claims the place of exports for this server's database, before anything is written there or removed. A bucket that cannot be reached is waited
/// for, and the server starts.
///
/// # Errors
/// [`Error::Malformed`], naming the remedy, when it is another database's, or another server uses it.
pub async fn claim(plane: &Arc<Plane>) -> Result<()> {
    let mut claim = plane.archives.claim.lock().await;
    *claim = match take(plane).await {
        Ok(ours) => ours,
        Err(Refusal::Of(words)) => return Err(Error::Malformed(words)),
        Err(Refusal::Now(Failure::Away | Failure::Refused | Failure::Absent)) => Claim::Waiting,
        Err(Refusal::Now(failure)) => {
            return Err(Error::Malformed(format!("cannot use {} for exports: {failure}", plane.config.exports)));
        }
    };
    Ok(())
}

/// Fails unless the place is this database's, as far as anybody has asked for it.
pub(super) async fn is_ours(plane: &Arc<Plane>) -> Result<()> {
    let mut claim = plane.archives.claim.lock().await;
    match &*claim {
        Claim::Unasked => return Ok(()),
        // A folder is locked.
        Claim::Ours { .. } if plane.archives.storage.folder().is_some() => return Ok(()),
        Claim::Ours { marker, .. } => {
            if plane.archives.storage.marker().await.map_err(|failure| failure.of(Use::Exports))? == Some(*marker) {
                return Ok(());
            }
            tracing::error!(place = %plane.config.exports, "the place of exports does not say any more that it is this server's: nothing is written or removed there");
            *claim = Claim::Lost;
        }
        Claim::Lost => {}
        Claim::Waiting => {
            *claim = match take(plane).await {
                Ok(ours) => ours,
                Err(Refusal::Of(words)) => {
                    tracing::error!("{words}");
                    Claim::Lost
                }
                Err(Refusal::Now(failure)) => return Err(failure.of(Use::Exports)),
            };
        }
    }
    match &*claim {
        Claim::Lost => Err(ANOTHERS),
        _ => Ok(()),
    }
}

/// Why a place is not taken.
enum Refusal {
    /// It is not this database's: the words name the remedy.
    Of(String),
    /// It does not work.
    Now(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Now(failure)
    }
}

async fn take(plane: &Arc<Plane>) -> Result<Claim, Refusal> {
    let (storage, place) = (&plane.archives.storage, &plane.config.exports);
    let another = "give each database a place of its own with --exports";
    let busy = || Refusal::Of(format!("the exports in {place} are in use by another freehold process: {another}"));
    let owner = identify(plane).await.map_err(|error| Refusal::Of(format!("cannot tell which database this is: {error}")))?;
    let mut entered = match storage.enter().await {
        Ok(entered) => entered.ok_or_else(busy)?,
        Err(Failure::Damaged) => {
            let words = format!("{place}/{MARKER} does not say which database the exports in {place} belong to");
            return Err(Refusal::Of(format!("{words}: remove that file if it is this one, or {another}")));
        }
        Err(failure) => return Err(failure.into()),
    };
    if entered.of != Some(owner.id) && !plane.config.takes_exports_over {
        let over = "once with `freehold serve --take-exports-over`, which removes those that this database does not know";
        let gone = format!("if that database's server is gone for good, start {over}");
        // Of a folder the lock shows that no server uses it. Of a bucket nothing does.
        if entered.of.is_some() && storage.folder().is_none() {
            return Err(Refusal::Of(format!("the exports in {place} belong to another database: {another}; {gone}")));
        }
        let Looked { unknown, is_any_known } = look(plane).await?;
        // Before there were markers, what no row wanted was removed at each start, too.
        let is_updated = entered.of.is_none() && owner.former.is_none() && is_any_known;
        if !unknown.is_empty() && !is_updated {
            let shown = unknown.iter().take(MOST_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if unknown.len() > MOST_SHOWN { ", …" } else { "" };
            let unknown = format!("this one does not know {shown}{more}");
            let is_restored = owner.former.is_some() && (entered.of == owner.former || owner.former == Some(Uuid::nil()));
            return Err(Refusal::Of(match entered.of {
                Some(_) if is_restored => format!(
                    "the exports in {place} are newer than the backup that this database was restored from, {unknown}: copy away what is needed of \
                     them, and start {over}; or {another}"
                ),
                Some(_) => format!("the exports in {place} belong to another database, {unknown}: {another}; {gone}"),
                None => format!(
                    "the exports in {place} do not say which database they belong to, {unknown}: {another}; if no other server uses them, copy away \
                     what is needed of them and start {over}"
                ),
            }));
        }
    }
    let claim = match storage.folder() {
        Some(_) => None,
        None => {
            Some(Cx::new(plane, "exports").new_id().map_err(|error| Refusal::Of(format!("cannot claim the exports in {place}: {error}")))?)
        }
    };
    let marker = Marker { database: owner.id, claim };
    if (entered.of != Some(owner.id) || claim.is_some()) && !storage.mark(&mut entered, marker).await? {
        return Err(busy());
    }
    Ok(Claim::Ours { marker, _lock: entered.into_lock() })
}

/// What lies in a place.
struct Looked {
    /// The archives that the database does not know.
    unknown: Vec<String>,
    /// Whether it knows one of them.
    is_any_known: bool,
}

async fn look(plane: &Arc<Plane>) -> Result<Looked, Failure> {
    let names = plane.archives.storage.list().await?;
    let found: Vec<Found> = names.into_iter().filter_map(Found::parse).filter(Found::is_archive).collect();
    let cx = Cx::new(plane, "exports").with_actor(Actor::System);
    let known = super::maintenance::rows_of(&cx, &found).await.map_err(|error| std::io::Error::other(error.to_string()))?;
    let unknown = found.into_iter().filter(|file| !known.contains_key(&file.export)).map(|file| file.name).collect();
    Ok(Looked { unknown, is_any_known: !known.is_empty() })
}

/// Which database this is. One that does not know yet is told.
async fn identify(plane: &Arc<Plane>) -> Result<Owner> {
    let cx = Cx::new(plane, "exports").with_actor(Actor::System);
    if let Some(owner) = cx.read(async move |_, tx| owner_of(tx).await).await? {
        return Ok(owner);
    }
    let id = cx.new_id()?;
    cx.write_behind(false, async move |cx, tx| {
        let insert = sql!("INSERT INTO installation (id, created_at) VALUES ($1, $2)");
        tx.execute(insert, params![id, cx.now]).await?;
        Ok(Owner { id, former: None })
    })
    .await
}

/// Which database it is, if it knows.
pub(crate) async fn owner_of(tx: &mut Tx) -> Result<Option<Owner>> {
    let found = tx.read_opt(sql!("SELECT id, former_id FROM installation ORDER BY created_at, id LIMIT 1"), &[]).await?;
    Ok(found.map(|(id, former)| Owner { id, former }))
}

/// Makes a database another one than that which its backup is of: both may run.
pub(crate) async fn become_another(database: &Database) -> Result<()> {
    let id = uuid::Builder::from_random_bytes(deletion::random()?).into_uuid();
    let now = Clock::default().now();
    database
        .write(async move |tx| {
            let is_named = tx.execute(sql!("UPDATE installation SET former_id = id, id = $1"), params![id]).await? > 0;
            // A backup of before databases had names is one all the same.
            if !is_named {
                let insert = sql!("INSERT INTO installation (id, former_id, created_at) VALUES ($1, $2, $3)");
                tx.execute(insert, params![id, Uuid::nil(), now]).await?;
            }
            Ok(())
        })
        .await
}
