//! Where archives of exports and backups lie: a folder, or a bucket of an object storage that speaks S3. Both are used in the same manner: a file is
//! written as a draft, has its name once it is whole, and is read in ranges.

mod archives;
mod bucket;
mod files;
mod folder;
mod listing;
mod owner;
mod reading;
mod upload;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use archives::{Archives, Claim};
use bucket::Bucket;
pub(crate) use owner::{MARKER, Marker, Owner};
pub use reading::Reader;
pub(crate) use reading::Stored;
pub(crate) use upload::{Sink, Upload, Writing, Written};

use crate::{Error, Result};

/// What an address of a bucket begins with.
const SCHEME: &str = "s3://";

/// A folder, or a place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder on this machine.
    Folder(PathBuf),
    /// What begins with a prefix in a bucket.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// Without a slash at either end; empty for the whole bucket.
        prefix: String,
    },
}

impl FromStr for Place {
    type Err = String;

    /// Reads `s3://bucket/prefix`, or the path of a folder.
    fn from_str(text: &str) -> Result<Place, String> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            if text.is_empty() || text.contains("://") {
                return Err("it is no place: give the path of a folder, or a bucket like s3://bucket/prefix".into());
            }
            return Ok(Place::Folder(text.into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_of_a_bucket = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || ".-_".contains(character);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_of_a_bucket) {
            return Err("the bucket has a name of 3 to 63 small letters, digits, dots and hyphens: give it like s3://bucket/prefix".into());
        }
        let prefix = prefix.trim_end_matches('/');
        let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_=".contains(character);
        let is_good = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain);
        if prefix.len() > 500 || !(prefix.is_empty() || prefix.split('/').all(is_good)) {
            return Err(
                "the prefix has parts of letters, digits and . - _ = with single slashes between them: give it like s3://bucket/prefix"
                    .into(),
            );
        }
        Ok(Place::Bucket { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(path) => write!(formatter, "{}", path.display()),
            Place::Bucket { bucket, prefix } if prefix.is_empty() => write!(formatter, "{SCHEME}{bucket}"),
            Place::Bucket { bucket, prefix } => write!(formatter, "{SCHEME}{bucket}/{prefix}"),
        }
    }
}

impl Place {
    /// Splits the place of one file into where it lies and its name. None where there is no name.
    pub fn split_file(text: &str) -> Option<(Result<Place, String>, String)> {
        let (place, name) = text.rsplit_once('/').filter(|(_, name)| !name.is_empty())?;
        Some((place.parse(), name.to_owned()))
    }

    /// Whether a text is the address of something in a bucket.
    pub fn is_of_a_bucket(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

/// An open place.
#[derive(Debug, Clone)]
pub(crate) enum Storage {
    Folder(PathBuf),
    Bucket(Arc<Bucket>),
}

/// What a file is for: the words of what goes wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Exports,
    Backups,
}

/// What goes wrong with a place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the disk: {0}")]
    Disk(#[from] std::io::Error),
    /// It cannot be reached, or answers with errors of its own.
    #[error("the bucket cannot be reached, or does not work at the moment")]
    Away,
    /// It refuses the credentials, or there are none.
    #[error("the bucket refuses the credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and let them get, put, list and delete")]
    Refused,
    /// There is no such bucket.
    #[error("there is no such bucket: make it, or name another")]
    Absent,
    /// What is stored is not what was written.
    #[error("what is stored is not what was written")]
    Damaged,
    /// It has more parts than an upload can have.
    #[error("it is larger than an upload to a bucket can be")]
    TooLarge,
    #[error("a row: {0}")]
    Row(#[from] sql::Error),
}

impl Failure {
    /// The same as an error whose words hold no address.
    pub(crate) fn of(self, used: Use) -> Error {
        match (self, used) {
            (Failure::Row(error), _) => error.into(),
            (Failure::Disk(error), _) if error.kind() == std::io::ErrorKind::StorageFull => {
                Error::Overloaded("The disk of the server is full: its operators must make room.")
            }
            (Failure::Disk(error), Use::Exports) => Error::Internal(format!("the disk with the exports: {error}")),
            (failure, Use::Backups) => Error::Malformed(failure.to_string()),
            (Failure::Away, _) => Error::Overloaded("The bucket with the exports cannot be reached at the moment: it is tried again."),
            (Failure::Refused, _) => {
                Error::Overloaded("The bucket with the exports refuses the server's credentials: its operators must set others.")
            }
            (Failure::Absent, _) => Error::Overloaded("The bucket for exports is not there: the server's operators must make it."),
            (failure @ (Failure::Damaged | Failure::TooLarge), _) => Error::Internal(format!("an export: {failure}")),
        }
    }
}

impl From<zip::result::ZipError> for Failure {
    fn from(error: zip::result::ZipError) -> Failure {
        Failure::Disk(error.into())
    }
}

impl Storage {
    /// Nothing is asked of a bucket before it is used.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the environment's settings for buckets make no sense.
    pub(crate) fn open(place: &Place) -> Result<Storage> {
        Ok(match place {
            Place::Folder(path) => Storage::Folder(path.clone()),
            Place::Bucket { bucket, prefix } => Storage::Bucket(Arc::new(Bucket::open(bucket, prefix)?)),
        })
    }

    /// The folder, if it is one.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        match self {
            Storage::Folder(path) => Some(path),
            Storage::Bucket(_) => None,
        }
    }

    /// Whether what was last asked of it was done.
    pub(crate) fn is_up(&self) -> bool {
        match self {
            Storage::Folder(_) => true,
            Storage::Bucket(bucket) => bucket.is_up(),
        }
    }

    /// The names of all files.
    pub(crate) async fn list(&self) -> Result<Vec<String>, Failure> {
        match self {
            Storage::Folder(path) => folder::list(path).await,
            Storage::Bucket(bucket) => bucket.list().await,
        }
    }

    /// Looks a file up; none if it is not there.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Stored>, Failure> {
        match self {
            Storage::Folder(path) => folder::find(path, name).await,
            Storage::Bucket(bucket) => bucket::find(bucket, name).await,
        }
    }

    /// Removes a file, or a draft with all that was stored of it. One that is not there is removed.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Failure> {
        match self {
            Storage::Folder(path) => folder::remove(path, name).await,
            Storage::Bucket(bucket) => bucket.remove(name).await,
        }
    }

    /// Begins a file that has the name of a draft until it is whole. The draft must not be there yet.
    pub(crate) async fn begin(&self, draft: &str, name: &str) -> Result<(Upload, Sink), Failure> {
        Upload::begin(self, draft, name).await
    }
}

/// Runs what waits for the disk on a thread that no request needs.
pub(crate) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Failure::Disk(std::io::Error::other("the work on a file panicked"))),
    }
}

pub(crate) fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_in_a_bucket_and_nothing_else() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        for (text, place) in [
            ("data/exports", Place::Folder("data/exports".into())),
            ("/a folder", Place::Folder("/a folder".into())),
            ("s3://my-bucket", bucket("my-bucket", "")),
            ("s3://my-bucket/", bucket("my-bucket", "")),
            ("s3://my.bucket/a/b_c/", bucket("my.bucket", "a/b_c")),
        ] {
            assert_eq!(text.parse::<Place>(), Ok(place.clone()), "{text}");
            assert_eq!(place.to_string().parse::<Place>(), Ok(place));
        }
        for text in [
            "",
            "gs://bucket/prefix",
            "S3://bucket",
            "s3://",
            "s3://ab",
            "s3://UPPER",
            "s3://user:secret@bucket",
            "s3://bucket/a//b",
            "s3://bucket/..",
            "s3://bucket/ö",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
