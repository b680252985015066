//! The names in a bucket, those among them that the library refuses: it fails a whole answer for one of them, and others may put anything there.

use object_store::ObjectMeta;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Error as Unreadable;

use super::Failure;
use super::bucket::Bucket;
use crate::Result;

/// Names that are asked for at once.
const PAGE: usize = 1_000;
/// After everything that begins with what stands before it.
const LAST: char = char::MAX;

impl Bucket {
    /// The names of all objects right under the prefix.
    pub(super) async fn list(&self) -> Result<Vec<String>, Failure> {
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let (mut names, mut offset, mut page_token, mut most) = (Vec::new(), None::<String>, None, PAGE);
        loop {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                // What lies further below is not this server's, and is not asked for.
                delimiter: Some("/".into()),
                max_keys: Some(most),
                page_token: page_token.clone(),
                ..PaginatedListOptions::default()
            };
            match self.store.list_paginated(Some(prefix.as_str()).filter(|prefix| !prefix.is_empty()), options).await {
                Err(object_store::Error::InvalidPath { .. }) if most > 1 => most /= 2,
                Err(object_store::Error::InvalidPath {
                    source: Unreadable::EmptySegment { path } | Unreadable::BadSegment { path, .. },
                }) => {
                    // A folder of others is left out with all that is in it.
                    let behind = if path.ends_with('/') { format!("{path}{LAST}") } else { path.clone() };
                    if offset.as_ref().is_some_and(|before| *before >= behind) {
                        return Err(Failure::Away);
                    }
                    names.extend(path.strip_prefix(&prefix).filter(|name| !name.ends_with('/')).map(str::to_owned));
                    self.tell_unreadable(path);
                    (offset, page_token) = (Some(behind), None);
                }
                listed => {
                    let listed = self.noted(listed)?;
                    let name = |object: &ObjectMeta| object.location.as_ref().strip_prefix(&prefix).unwrap_or_default().to_owned();
                    // A console's folder is an object without a name.
                    names.extend(listed.result.objects.iter().map(name).filter(|name| !name.is_empty()));
                    page_token = listed.page_token;
                    most = PAGE.min(most * 2);
                    if page_token.is_none() {
                        return Ok(names);
                    }
                }
            }
        }
    }

    /// Once for each.
    fn tell_unreadable(&self, path: String) {
        let mut told = self.unreadable.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.len() < PAGE && !told.contains(&path) {
            tracing::warn!(bucket = self.place, name = ?path, "the name of something in the bucket has an empty part, a part . or .., or a control character: it is left alone");
            told.insert(path);
        }
    }
}
