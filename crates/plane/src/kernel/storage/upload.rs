//! A file that is written: into a folder as it comes, to a bucket in parts that are sent when they are full. It is hashed and counted on the way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};

use super::bucket::{Bucket, Parts};
use super::{Failure, Storage, absent_is_fine, folder, on_disk};
use crate::Result;

/// Bytes of a part. Buckets take 10,000 of them, which is 78 GiB, and want all but the last to be of one size, 5 MiB or more.
pub(super) const PART: usize = 8 * 1024 * 1024;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) sha256: Vec<u8>,
}

/// Where the bytes of an upload go first.
pub(crate) struct Sink {
    to: To,
    bytes: u64,
    hash: Context,
    /// Whether nothing is written any more.
    is_given_up: Arc<AtomicBool>,
    has_failed: bool,
}

/// When this goes, what its sink is still given goes nowhere: a zip that comes to nothing writes its end all the same, and tells on standard error
/// when it cannot.
pub(crate) struct Writing(Arc<AtomicBool>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Sink {
    pub(crate) fn writing(&self) -> Writing {
        Writing(self.is_given_up.clone())
    }
}

enum To {
    File(BufWriter<File>),
    /// Shared with the upload, which takes the full parts out of it.
    Parts(Arc<Mutex<BytesMut>>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_failed || self.is_given_up.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        let written = match &mut self.to {
            To::File(file) => file.write(bytes).inspect_err(|_| self.has_failed = true)?,
            To::Parts(buffer) => {
                buffer.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                bytes.len()
            }
        };
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::File(file) if !self.has_failed => file.flush().inspect_err(|_| self.has_failed = true),
            To::File(_) | To::Parts(_) => Ok(()),
        }
    }
}

/// An upload that is under way.
pub(crate) enum Upload {
    Folder { draft: PathBuf, to: PathBuf },
    Bucket { bucket: Arc<Bucket>, parts: Parts, buffer: Arc<Mutex<BytesMut>>, part: usize },
}

impl Upload {
    pub(super) async fn begin(storage: &Storage, draft: &str, name: &str) -> Result<(Upload, Sink), Failure> {
        let (upload, to) = match storage {
            Storage::Folder(path) => {
                let (path, draft, to) = (path.clone(), path.join(draft), path.join(name));
                let file = draft.clone();
                let file = on_disk(move || {
                    folder::make(&path)?;
                    Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?)
                })
                .await?;
                (Upload::Folder { draft, to }, To::File(BufWriter::new(file)))
            }
            Storage::Bucket(bucket) => {
                let buffer = Arc::default();
                let parts = bucket.begin(draft, name, None).await?;
                (Upload::Bucket { bucket: bucket.clone(), parts, buffer: Arc::clone(&buffer), part: PART }, To::Parts(buffer))
            }
        };
        Ok((upload, Sink { to, bytes: 0, hash: Context::new(&SHA256), is_given_up: Arc::default(), has_failed: false }))
    }

    /// Sends what has become full parts. To be called often: what is written meanwhile is held in memory.
    pub(crate) async fn send(&mut self) -> Result<(), Failure> {
        let Upload::Bucket { bucket, parts, buffer, part } = self else { return Ok(()) };
        while let Some(full) = take(buffer, *part) {
            bucket.send(parts, full).await?;
        }
        Ok(())
    }

    /// Ends it: the file has its name, and is there after a power cut.
    pub(crate) async fn finish(mut self, sink: Sink) -> Result<Written, Failure> {
        self.send().await?;
        let Sink { to, bytes, hash, has_failed, .. } = sink;
        if has_failed {
            return Err(Failure::Disk(io::Error::other("an earlier write has failed")));
        }
        let written = Written { bytes, sha256: hash.finish().as_ref().to_vec() };
        match (self, to) {
            (Upload::Folder { draft, to: path }, To::File(file)) => {
                on_disk(move || {
                    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                    fs::rename(draft, &path)?;
                    Ok(sql::sync_name(&path)?)
                })
                .await?;
            }
            (Upload::Bucket { bucket, parts, buffer, .. }, _) => {
                let last = std::mem::take(&mut *buffer.lock().unwrap_or_else(PoisonError::into_inner)).freeze();
                bucket.finish(parts, last, bytes).await?;
            }
            (Upload::Folder { .. }, To::Parts(_)) => {}
        }
        Ok(written)
    }

    /// Gives it up. What cannot be removed now is a draft that the next look finds.
    pub(crate) async fn abandon(self) -> Result<(), Failure> {
        match self {
            Upload::Folder { draft, .. } => on_disk(move || Ok(fs::remove_file(draft).or_else(absent_is_fine)?)).await,
            Upload::Bucket { bucket, parts, .. } => bucket.remove(&parts.draft).await,
        }
    }
}

fn take(buffer: &Mutex<BytesMut>, part: usize) -> Option<Bytes> {
    let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
    (buffer.len() >= part).then(|| buffer.split_to(part).freeze())
}
