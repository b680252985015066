//! Ids of requests, so that a caller's log, an answer and this server's log can be held together.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;

use crate::request_context::X_REQUEST_ID;

/// Where new ids come from. They are unlike all others, of this server and of every other; they are no secret, and cost no randomness each.
#[derive(Default)]
pub(crate) struct RequestIds {
    /// Keyed at random at the start.
    halves: [RandomState; 2],
    made: AtomicU64,
}

impl RequestIds {
    /// The caller's own id for the request if it is a sensible one, so that their logs and ours meet; else a new one.
    pub fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(&X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let is_sensible =
            |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match given.filter(is_sensible) {
            Some(id) => id.to_owned(),
            None => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                let [first, second] = self.halves.each_ref().map(|half| half.hash_one(number));
                format!("{first:016x}{second:016x}")
            }
        }
    }
}
