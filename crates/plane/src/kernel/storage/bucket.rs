//! A bucket of an object storage that speaks S3. Where it is and with which credentials, is in the `AWS_*` variables of the environment, as other
//! programs read them.
//!
//! An upload has a small object beside it, under the name of its draft, that tells its id: a server that finds the draft ends the upload with it, so
//! that no parts are left that no list shows and that cost money.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientConfigKey, GetOptions, GetRange, GetResult, MultipartId, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, RetryConfig,
};
use serde::{Deserialize, Serialize};

use super::upload::PART;
use super::{Failure, Place, Stored};
use crate::{Error, Result};

/// How often a request is sent again before it has failed, and how long all of them may take.
const RETRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one request may take, a part of 8 MiB among them.
const REQUEST: &str = "120s";
const CONNECT: &str = "5s";
/// Parts that an upload can have.
const MOST_PARTS: usize = 10_000;
/// Where an object says its checksum.
const CHECKSUM: &str = "sha256";
/// Where an object says of which draft it was made.
const DRAFT: &str = "draft";
/// What hosts are called that are this machine.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A place in a bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(super) store: AmazonS3,
    /// For the log.
    pub(super) place: String,
    pub(super) prefix: String,
    is_up: AtomicBool,
    /// Names there that were told of in the log, since nothing can be done with them.
    pub(super) unreadable: Mutex<BTreeSet<String>>,
}

/// An upload that is under way.
pub(crate) struct Parts {
    pub(super) draft: String,
    name: String,
    path: Path,
    id: MultipartId,
    done: Vec<PartId>,
}

/// What a draft says.
#[derive(Serialize, Deserialize)]
struct Draft {
    upload: MultipartId,
    of: String,
}

impl Bucket {
    pub(super) fn open(bucket: &str, prefix: &str) -> Result<Bucket> {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            // Not every storage can remove many objects with one request.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: RETRIES, retry_timeout: PATIENCE, ..RetryConfig::default() })
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT)
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST);
        let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint].iter().find_map(|key| builder.get_config_value(key));
        if let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.starts_with("https://")) {
            let url = url::Url::parse(&endpoint).ok().filter(|url| url.scheme() == "http");
            let url = url.ok_or_else(|| Error::Malformed("AWS_ENDPOINT_URL is no address like https://s3.example.com".into()))?;
            let is_allowed =
                builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).is_some_and(|told| told == "true");
            if !is_allowed && !url.host_str().is_some_and(|host| LOOPBACK.contains(&host)) {
                let words =
                    "AWS_ENDPOINT_URL is http, so that everybody on the way reads what is stored: use https, or set AWS_ALLOW_HTTP=true";
                return Err(Error::Malformed(words.into()));
            }
            builder = builder.with_allow_http(true);
        }
        // The words of this one repeat a setting at the most, but which is not known.
        let unusable = |_| Error::Malformed(format!("the AWS_… variables of the environment make no sense for the bucket {bucket}"));
        let place = Place::Bucket { bucket: bucket.into(), prefix: prefix.into() }.to_string();
        let store = builder.build().map_err(unusable)?;
        Ok(Bucket { store, place, prefix: prefix.to_owned(), is_up: AtomicBool::new(true), unreadable: Mutex::default() })
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    fn path(&self, name: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(name),
            false => Path::from(format!("{}/{name}", self.prefix)),
        }
    }

    /// Says in the log when the bucket begins to fail, and when it works again.
    pub(super) fn noted<T>(&self, outcome: object_store::Result<T>) -> Result<T, Failure> {
        match outcome.map_err(|error| sort(&error)) {
            Err((failure @ (Failure::Away | Failure::Refused | Failure::Absent), code)) => {
                if self.is_up.swap(false, Ordering::Relaxed) {
                    tracing::error!(bucket = self.place, code, "{failure}; it is tried again");
                }
                Err(failure)
            }
            outcome => {
                self.note_up();
                outcome.map_err(|(failure, _)| failure)
            }
        }
    }

    fn note_up(&self) {
        if !self.is_up.swap(true, Ordering::Relaxed) {
            tracing::info!(bucket = self.place, "the bucket works again");
        }
    }

    /// The same for what need not be there.
    fn noted_unless_missing<T>(&self, outcome: object_store::Result<T>) -> Result<Option<T>, Failure> {
        match outcome {
            Err(error @ object_store::Error::NotFound { .. }) if code_of(&error) != NO_BUCKET => {
                self.note_up();
                Ok(None)
            }
            outcome => self.noted(outcome).map(Some),
        }
    }

    /// What is known of an object; none if it is not there.
    async fn head(&self, name: &str) -> Result<Option<GetResult>, Failure> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.store.get_opts(&self.path(name), options).await {
            // Without a body it says the same of a bucket that is not there: the answer to a GET tells them apart.
            Err(object_store::Error::NotFound { .. }) => self.get(super::MARKER).await.map(|_| None),
            found => self.noted(found).map(Some),
        }
    }

    /// The content of a small object.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let path = self.path(name);
        let got = async { self.store.get(&path).await?.bytes().await };
        self.noted_unless_missing(got.await)
    }

    /// Writes a small object. Returns whether that was done: not where it was to be new and is there.
    pub(super) async fn put(&self, name: &str, content: Vec<u8>, is_new: bool) -> Result<bool, Failure> {
        let mode = if is_new { PutMode::Create } else { PutMode::Overwrite };
        match self.store.put_opts(&self.path(name), content.into(), PutOptions::from(mode)).await {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(false),
            put => self.noted(put).map(|_| true),
        }
    }

    pub(super) async fn fetch(&self, name: &str, tag: Option<String>, range: Range<u64>) -> Result<Bytes, Failure> {
        let path = self.path(name);
        let length = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match: tag, ..GetOptions::default() };
        let got = async { self.store.get_opts(&path, options).await?.bytes().await };
        let bytes = self.noted_unless_missing(got.await)?.ok_or(Failure::Damaged)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(Failure::Damaged) }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), Failure> {
        if (name.ends_with(".part") || name.ends_with(".unfinished"))
            && let Some(draft) = self.get(name).await?
            && let Ok(draft) = serde_json::from_slice::<Draft>(&draft)
        {
            let ended = self.store.abort_multipart(&self.path(&draft.of), &draft.upload).await;
            self.noted_unless_missing(ended)?;
        }
        let path = self.path(name);
        self.noted_unless_missing(self.store.delete(&path).await).map(drop)
    }

    /// Begins an upload. The checksum, if it is known before, is kept with the object.
    pub(super) async fn begin(&self, draft: &str, name: &str, sha256: Option<String>) -> Result<Parts, Failure> {
        let path = self.path(name);
        let told = [(DRAFT, Some(draft.to_owned())), (CHECKSUM, sha256)];
        let told = told.into_iter().filter_map(|(name, value)| Some((Attribute::Metadata(name.into()), value?)));
        let attributes = told.collect::<Attributes>();
        let id = self.noted(self.store.create_multipart_opts(&path, PutMultipartOptions::from(attributes)).await)?;
        let told = serde_json::to_vec(&Draft { upload: id.clone(), of: name.to_owned() }).map_err(std::io::Error::from)?;
        self.put(draft, told, false).await?;
        Ok(Parts { draft: draft.to_owned(), name: name.to_owned(), path, id, done: Vec::new() })
    }

    pub(super) async fn send(&self, parts: &mut Parts, bytes: Bytes) -> Result<(), Failure> {
        if parts.done.len() >= MOST_PARTS {
            return Err(Failure::TooLarge);
        }
        let part = self.store.put_part(&parts.path, &parts.id, parts.done.len(), bytes.into()).await;
        parts.done.push(self.noted(part).map_err(|failure| ended(failure, &parts.draft))?);
        Ok(())
    }

    /// Sends the last part and puts all of them together.
    pub(super) async fn finish(&self, mut parts: Parts, last: Bytes, bytes: u64) -> Result<(), Failure> {
        if !last.is_empty() || parts.done.is_empty() {
            self.send(&mut parts, last).await?;
        }
        let completed = self.noted(self.store.complete_multipart(&parts.path, &parts.id, parts.done).await);
        if let Err(failure @ (Failure::Refused | Failure::Absent)) = completed {
            return Err(failure);
        }
        let stored = self.head(&parts.name).await?;
        if let Err(failure) = completed {
            // The answer to the first request may have been lost: then the object is there, and the upload no longer.
            let is_its_own = |stored: &GetResult| metadata(stored, DRAFT).is_some_and(|draft| draft == parts.draft);
            if !stored.as_ref().is_some_and(is_its_own) {
                return Err(ended(failure, &parts.draft));
            }
        }
        if stored.is_none_or(|stored| stored.meta.size != bytes) {
            return Err(Failure::Damaged);
        }
        // The object is whole. A draft that cannot be removed now is found by the next look.
        let _ = self.noted_unless_missing(self.store.delete(&self.path(&parts.draft)).await);
        Ok(())
    }

    /// How large parts have to be for a file of so many bytes.
    pub(super) fn part_for(bytes: u64) -> usize {
        let fitting = usize::try_from(bytes / (MOST_PARTS as u64 - 1)).unwrap_or(usize::MAX) + 1;
        fitting.next_multiple_of(1024 * 1024).max(PART)
    }
}

/// Looks an object up.
pub(super) async fn find(bucket: &Arc<Bucket>, name: &str) -> Result<Option<Stored>, Failure> {
    let found = bucket.head(name).await?;
    Ok(found.map(|found| Stored::Object {
        bucket: bucket.clone(),
        name: name.to_owned(),
        bytes: found.meta.size,
        sha256: metadata(&found, CHECKSUM),
        tag: found.meta.e_tag,
    }))
}

/// What an object says of itself.
fn metadata(found: &GetResult, name: &'static str) -> Option<String> {
    found.attributes.get(&Attribute::Metadata(name.into())).map(|value| value.to_string())
}

/// The failure of an upload that goes on: one that the storage does not know any more was ended by others, and is begun anew.
fn ended(failure: Failure, draft: &str) -> Failure {
    match failure {
        Failure::Damaged => {
            tracing::warn!(draft, "the bucket does not know the upload any more; it is begun anew");
            Failure::Away
        }
        failure => failure,
    }
}

const NO_BUCKET: &str = "NoSuchBucket";

/// What an error of the library comes to, and the storage's word for it. The error's own text has addresses, and what the storage has answered: it
/// goes nowhere.
fn sort(error: &object_store::Error) -> (Failure, String) {
    let code = code_of(error);
    let failure = match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => Failure::Refused,
        object_store::Error::NotFound { .. } if code == NO_BUCKET => Failure::Absent,
        object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. } => Failure::Damaged,
        _ if ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId"].contains(&code.as_str()) => Failure::Refused,
        _ => Failure::Away,
    };
    (failure, code)
}

/// The code in the XML of a refusal, such as `NoSuchKey`; empty where there is none.
fn code_of(error: &object_store::Error) -> String {
    let text = error.to_string();
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map_or("", |(code, _)| code);
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}
