//! Whose a place is: a small file in it names the database. In a folder that file is also locked for as long as a server runs.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Failure, Storage, folder, on_disk};
use crate::Result;

/// The file that says whose a place is.
pub(crate) const MARKER: &str = "freehold.json";

/// What that file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The database's id.
    pub(crate) database: Uuid,
    /// In a bucket, which has no lock: another one for each server that claims it. A copy of the database has the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<Uuid>,
}

/// A database, as places know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: Uuid,
    /// The one that it was restored from a backup of; nil where the backup does not say.
    pub(crate) former: Option<Uuid>,
}

/// What is known of a place: whose it is, and a lock if it is a folder.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// None where it does not say.
    pub(crate) of: Option<Uuid>,
    lock: Option<File>,
}

impl Ownership {
    /// Lets go of the file only with this.
    pub(crate) fn into_lock(self) -> Option<File> {
        self.lock
    }
}

impl Storage {
    /// Whose the place is; none where it does not say.
    pub(crate) async fn owner(&self) -> Result<Option<Uuid>, Failure> {
        Ok(self.marker().await?.map(|marker| marker.database))
    }

    /// What it says of that.
    pub(crate) async fn marker(&self) -> Result<Option<Marker>, Failure> {
        let content = match self {
            Storage::Folder(path) => {
                let path = path.join(MARKER);
                on_disk(move || match fs::read(path) {
                    Ok(content) => Ok(Some(content)),
                    Err(error) => Ok(super::absent_is_fine(error).map(|()| None)?),
                })
                .await?
            }
            Storage::Bucket(bucket) => bucket.get(MARKER).await?.map(Vec::from),
        };
        read(content.as_deref().unwrap_or_default())
    }

    /// Takes the lock of a folder, which is made if it is missing, and reads whose the place is. None if another process has the lock.
    pub(crate) async fn enter(&self) -> Result<Option<Ownership>, Failure> {
        let Storage::Folder(path) = self else { return Ok(Some(Ownership { of: self.owner().await?, lock: None })) };
        let path = path.clone();
        on_disk(move || {
            folder::make(&path)?;
            let marker = path.join(MARKER);
            let file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&marker)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
                Err(TryLockError::WouldBlock) => return Ok(None),
            }
            Ok(Some(Ownership { of: read(&fs::read(marker)?)?.map(|marker| marker.database), lock: Some(file) }))
        })
        .await
    }

    /// Says whose the place is from now on. False when another server has said so meanwhile.
    pub(crate) async fn mark(&self, entered: &mut Ownership, marker: Marker) -> Result<bool, Failure> {
        let mut content = serde_json::to_vec(&marker).map_err(std::io::Error::from)?;
        content.push(b'\n');
        let is_new = entered.of.is_none();
        let is_marked = match (self, &entered.lock) {
            (Storage::Folder(path), Some(file)) => {
                let (file, path) = (file.try_clone()?, path.clone());
                on_disk(move || {
                    file.write_all_at(&content, 0)?;
                    file.set_len(content.len() as u64)?;
                    file.sync_all()?;
                    Ok(sql::sync_name(&path.join(MARKER))?)
                })
                .await?;
                true
            }
            (Storage::Folder(_), None) => false,
            (Storage::Bucket(bucket), _) => bucket.put(MARKER, content, is_new).await?,
        };
        entered.of = Some(marker.database);
        Ok(is_marked)
    }
}

fn read(content: &[u8]) -> Result<Option<Marker>, Failure> {
    if content.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(content).map(Some).map_err(|_| Failure::Damaged)
}
