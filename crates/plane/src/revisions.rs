//! Revisions: what tells one state of a record from the next, so that nobody changes or deletes what they have not seen (`ETag` and
//! `If-Match`, RFC 9110).

use uuid::Uuid;

use crate::customers::Customer;
use crate::members::Member;
use crate::organizations::Organization;
use crate::requirements::Asked;
use crate::{Cx, Error, Result};

/// The tag of one state of a record, with its quotation marks. A record that is made anew under an old name has another.
fn etag(id: Uuid, revision: i64) -> String {
    format!("\"{:x}-{revision}\"", id.as_u128() & 0xffff_ffff)
}

impl Organization {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

impl Member {
    /// The tag of this state: the role's, since the rest is the user's own.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

impl Customer {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.id, self.revision)
    }
}

impl Asked {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        etag(self.organization, self.revision())
    }

    /// They are replaced as a whole: the time of that tells one state from the next. Where nothing is asked it is always the same state.
    pub(crate) fn revision(&self) -> i64 {
        self.updated_at.map_or(0, |time| time.as_microsecond())
    }
}

impl Cx {
    /// Fails when the caller named the states in which a record may be changed and this is none of them. The record's row is locked.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn expects(&self, id: Uuid, revision: i64) -> Result<()> {
        let Some(named) = &self.precondition else { return Ok(()) };
        let current = etag(id, revision);
        // A weak tag never matches here (RFC 9110, section 13.1.1).
        let is_met = named.trim() == "*" || named.split(',').any(|tag| tag.trim() == current);
        if is_met { Ok(()) } else { Err(Error::Stale) }
    }
}
