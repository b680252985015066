//! Backups in a bucket: a file that is written here first, and read here last.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Contents, Options, Teller, UNFINISHED, back_up, restore};
use crate::storage::{Failure, Place, Storage, Use};
use crate::{Error, Result};

/// Writes everything into a new object of a bucket, by way of the temporary folder.
///
/// # Errors
/// [`Error::Malformed`] when the address is none, the object is there already, or the bucket refuses it; those of [`back_up`].
pub async fn back_up_to_bucket(from: &Options, address: &str, tell: &Teller<'_>) -> Result<Contents> {
    let (storage, name) = open(address)?;
    if storage.find(&name).await.map_err(refused)?.is_some() {
        return Err(Error::Malformed(format!("{address} is there already: name a new one")));
    }
    put(from, &storage, &name, tell).await
}

/// Restores what [`back_up_to_bucket`] or a server wrote, by way of the temporary folder.
///
/// # Errors
/// [`Error::Malformed`] when the address is none, or nothing is there or not whole; those of [`restore`].
pub async fn restore_from_bucket(address: &str, to: &Options, tell: &Teller<'_>) -> Result<Contents> {
    let (storage, name) = open(address)?;
    let stored = storage.find(&name).await.map_err(refused)?;
    let stored = stored.ok_or_else(|| Error::Malformed(format!("there is no backup at {address}")))?;
    let folder = Temporary::make("fetch")?;
    let file = folder.0.join("backup.db");
    stored.load(&file).await.map_err(refused)?;
    restore(&file, to, tell).await
}

/// Takes a backup into a bucket.
pub(super) async fn put(from: &Options, storage: &Storage, name: &str, tell: &Teller<'_>) -> Result<Contents> {
    let Storage::Bucket(bucket) = storage else { return Err(Error::Internal("a folder takes backups itself".into())) };
    let folder = Temporary::make("backup")?;
    let file = folder.0.join("backup.db");
    let contents = back_up(from, &file, tell).await?;
    bucket.store(&file, &format!("{name}{UNFINISHED}"), name).await.map_err(refused)?;
    Ok(contents)
}

fn open(address: &str) -> Result<(Storage, String)> {
    let (place, name) = Place::split_file(address).ok_or_else(|| Error::Malformed(format!("{address} names no file in a bucket")))?;
    let place = place.map_err(|words| Error::Malformed(format!("{address}: {words}")))?;
    match place {
        Place::Bucket { .. } => Ok((Storage::open(&place)?, name)),
        Place::Folder(_) => {
            Err(Error::Malformed(format!("{address} names no file in a bucket: give it like s3://bucket/prefix/backup.db")))
        }
    }
}

pub(super) fn refused(failure: Failure) -> Error {
    failure.of(Use::Backups)
}

/// A folder in the temporary folder for the eyes of this user, which does not outlive its use. What a kill leaves goes with the next of its kind.
struct Temporary(PathBuf);

impl Temporary {
    fn make(kind: &str) -> Result<Temporary> {
        let (parent, prefix) = (std::env::temp_dir(), format!("freehold-{kind}-"));
        for left in std::fs::read_dir(&parent).into_iter().flatten().flatten() {
            let name = left.file_name().to_string_lossy().into_owned();
            let is_over =
                |process: &str| process.parse::<u32>().is_ok_and(|process| !Path::new("/proc").join(process.to_string()).exists());
            if name.strip_prefix(&prefix).is_some_and(is_over) {
                // One of another user stays.
                let _ = std::fs::remove_dir_all(left.path());
            }
        }
        let folder = parent.join(format!("{prefix}{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Error::Malformed(format!("cannot make the folder {}: {error}", folder.display())))?;
        Ok(Temporary(folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
