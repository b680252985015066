//! A file that is read, a piece at a time.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::Failure;
use super::bucket::Bucket;
use crate::Result;

/// Bytes that a reader hands on at once.
const PIECE: usize = 64 * 1024;
/// Bytes that are asked of a bucket at once, which a reader holds.
const FETCH: u64 = 512 * 1024;

/// A file that is there, as it is now: of one that is replaced meanwhile nothing is read.
#[derive(Debug)]
pub(crate) enum Stored {
    File { file: File, bytes: u64 },
    Object { bucket: Arc<Bucket>, name: String, bytes: u64, tag: Option<String>, sha256: Option<String> },
}

impl Stored {
    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Stored::File { bytes, .. } | Stored::Object { bytes, .. } => *bytes,
        }
    }

    /// Its SHA-256, if the bucket was told it.
    pub(crate) fn sha256(&self) -> Option<&str> {
        match self {
            Stored::File { .. } => None,
            Stored::Object { sha256, .. } => sha256.as_deref(),
        }
    }

    /// Begins to read this part of it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) async fn read(self, range: Range<u64>) -> Result<Reader, Failure> {
        Ok(Reader(match self {
            Stored::File { file, .. } => {
                let mut file = tokio::fs::File::from_std(file);
                file.seek(std::io::SeekFrom::Start(range.start)).await?;
                Source::File(file.take(range.end.saturating_sub(range.start)))
            }
            Stored::Object { bucket, name, tag, .. } => Source::Object { bucket, name, tag, range, ready: Bytes::new() },
        }))
    }
}

/// A part of a file that is being read.
#[derive(Debug)]
pub struct Reader(Source);

#[derive(Debug)]
enum Source {
    File(tokio::io::Take<tokio::fs::File>),
    Object { bucket: Arc<Bucket>, name: String, tag: Option<String>, range: Range<u64>, ready: Bytes },
}

impl Reader {
    /// The next piece, of 64 KiB at the most; none at the end.
    ///
    /// # Errors
    /// In words that name no address.
    pub async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        self.piece().await.map_err(|failure| match failure {
            Failure::Disk(error) => error,
            failure => std::io::Error::other(failure.to_string()),
        })
    }

    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        match &mut self.0 {
            Source::File(file) => {
                let mut piece = Vec::with_capacity(PIECE);
                file.take(PIECE as u64).read_to_end(&mut piece).await?;
                Ok((!piece.is_empty()).then(|| piece.into()))
            }
            Source::Object { bucket, name, tag, range, ready } => {
                if ready.is_empty() && range.start < range.end {
                    let end = range.end.min(range.start + FETCH);
                    *ready = bucket.fetch(name, tag.clone(), range.start..end).await?;
                    range.start = end;
                }
                let length = ready.len().min(PIECE);
                Ok((length > 0).then(|| ready.split_to(length)))
            }
        }
    }
}
