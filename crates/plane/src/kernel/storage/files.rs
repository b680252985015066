//! Whole files of this machine, to a bucket and back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

use super::bucket::Bucket;
use super::{Failure, Stored, on_disk};
use crate::Result;
use crate::hex::hex;

/// Bytes that are read at once to be hashed.
const PIECE: usize = 1024 * 1024;

impl Bucket {
    /// Writes a file into the bucket, with its checksum.
    pub(crate) async fn store(self: &Arc<Self>, file: &Path, draft: &str, name: &str) -> Result<(), Failure> {
        let path = file.to_owned();
        let (mut file, bytes, sha256) = on_disk(move || {
            let (mut file, mut hash, mut piece, mut bytes) = (File::open(&path)?, Context::new(&SHA256), vec![0; PIECE], 0);
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    break;
                }
                hash.update(&piece[..read]);
                bytes += read as u64;
            }
            Ok((File::open(path)?, bytes, hex(hash.finish().as_ref())))
        })
        .await?;
        let size = Bucket::part_for(bytes) as u64;
        let mut parts = self.begin(draft, name, Some(sha256)).await?;
        let sent = async {
            loop {
                let part;
                (file, part) = on_disk(move || {
                    let mut part = Vec::new();
                    (&mut file).take(size).read_to_end(&mut part)?;
                    Ok((file, part))
                })
                .await?;
                if (part.len() as u64) < size {
                    return Ok(Bytes::from(part));
                }
                self.send(&mut parts, part.into()).await?;
            }
        };
        let sent: Result<Bytes, Failure> = sent.await;
        let finished = match sent {
            Ok(last) => self.finish(parts, last, bytes).await,
            Err(failure) => Err(failure),
        };
        if finished.is_err() {
            // What cannot be removed now is a draft that the next look finds.
            let _ = self.remove(draft).await;
        }
        finished
    }
}

impl Stored {
    /// Writes what is stored into a new file, and holds it against its checksum.
    pub(crate) async fn load(self, file: &Path) -> Result<(), Failure> {
        let path = file.to_owned();
        let mut file = on_disk(move || Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?)).await?;
        let (bytes, sha256) = (self.bytes(), self.sha256().map(str::to_owned));
        let mut hash = Context::new(&SHA256);
        let mut reader = self.read(0..bytes).await?;
        while let Some(piece) = reader.piece().await? {
            hash.update(&piece);
            file = on_disk(move || {
                file.write_all(&piece)?;
                Ok(file)
            })
            .await?;
        }
        let found = hex(hash.finish().as_ref());
        if sha256.is_some_and(|sha256| sha256 != found) { Err(Failure::Damaged) } else { Ok(()) }
    }
}
