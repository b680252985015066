//! Revisions: what tells one state of a record from the next, so that no caller changes or deletes what they have not seen (`ETag` and
//! `If-Match`, RFC 9110). Organizations, members and customers count theirs; the tag of any other record is derived from what is in it.

use std::fmt::Debug;

use aws_lc_rs::digest;
use uuid::Uuid;

use crate::api_keys::ApiKey;
use crate::approvals::Approval;
use crate::customers::Customer;
use crate::deletion::Deletion;
use crate::dependants::Dependant;
use crate::exports::Export;
use crate::holds::Hold;
use crate::invitations::Invitation;
use crate::members::Member;
use crate::oauth_apps::OauthApp;
use crate::organizations::Organization;
use crate::passwords::hex;
use crate::requirements::Asked;
use crate::users::User;
use crate::webhooks::Webhook;
use crate::{Cx, Error, Result};

/// The conditions under which a request shall be carried out, as its headers have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `If-Match`: the states in which the record may be changed.
    pub matches: Option<String>,
    /// `If-None-Match`: those in which it may not.
    pub matches_none: Option<String>,
}

impl Precondition {
    /// Whether a record of this tag is in a state that the caller named. A weak tag never matches here (RFC 9110, section 13.1.1).
    pub fn is_met_by(&self, tag: &str) -> bool {
        self.matches.as_deref().is_none_or(|named| names(named, tag))
            && !self.matches_none.as_deref().is_some_and(|named| names(named, tag))
    }
}

/// Whether a list of tags names this one, or is the star that stands for each.
fn names(list: &str, tag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|named| named.trim() == tag)
}

/// The tag of one state of a record, with its quotation marks. A record that is made anew under an old name has another.
fn etag(id: Uuid, revision: impl std::fmt::Display) -> String {
    format!("\"{:x}-{revision}\"", id.as_u128() & 0xffff_ffff)
}

/// The tag of a record that counts no revisions, from all of it that can be changed.
fn derived(id: Uuid, state: &impl Debug) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{state:?}").as_bytes());
    etag(id, hex(&hash.as_ref()[..8]))
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

impl ApiKey {
    /// The tag of this state. Its uses are none of it.
    pub fn etag(&self) -> String {
        derived(self.id, &ApiKey { last_used_at: None, ..self.clone() })
    }
}

impl Webhook {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

impl OauthApp {
    /// The tag of this state. A new secret is a new state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

impl Invitation {
    /// The tag of the state in which it can be cancelled, of which there is one.
    pub fn etag(&self) -> String {
        derived(self.id, &(self.role, self.created_at, self.expires_at))
    }
}

impl Hold {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

impl Approval {
    /// The tag of this state, of which there is one: it can only be taken back.
    pub fn etag(&self) -> String {
        derived(self.id, &self.created_at)
    }
}

impl Export {
    /// The tag of this state. How far it is is none of it.
    pub fn etag(&self) -> String {
        derived(self.id, &self.state)
    }
}

impl Dependant {
    /// The tag of this state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

impl User {
    /// The tag of this state: of what users say about themselves.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

impl Deletion {
    /// The tag of this state. How far it is is none of it.
    pub fn etag(&self) -> String {
        let state = if self.state == "draining" { "closed" } else { self.state.as_str() };
        derived(self.id, &(state, self.stopped_at))
    }
}

impl Cx {
    /// Fails when the caller named the states in which a record may be changed and this is none of them. The record's row is locked.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn expects(&self, id: Uuid, revision: i64) -> Result<()> {
        match &self.precondition {
            None => Ok(()),
            Some(_) => self.expects_tag(&etag(id, revision)),
        }
    }

    /// The same, for the tag of the record as it is.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub(crate) fn expects_tag(&self, tag: &str) -> Result<()> {
        match &self.precondition {
            Some(precondition) if !precondition.is_met_by(tag) => Err(Error::Stale),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precondition_names_states_or_all_of_them() {
        let condition = |matches: Option<&str>, none: Option<&str>| Precondition {
            matches: matches.map(str::to_owned),
            matches_none: none.map(str::to_owned),
        };
        for (precondition, is_met) in [
            (condition(None, None), true),
            (condition(Some("*"), None), true),
            (condition(Some("\"b\", \"a\""), None), true),
            (condition(Some("\"b\""), None), false),
            (condition(Some("W/\"a\""), None), false),
            (condition(Some(""), None), false),
            (condition(None, Some("*")), false),
            (condition(None, Some("\"a\"")), false),
            (condition(None, Some("\"b\"")), true),
            (condition(Some("\"a\""), Some("\"a\"")), false),
        ] {
            assert_eq!(precondition.is_met_by("\"a\""), is_met, "{precondition:?}");
        }
    }
}
