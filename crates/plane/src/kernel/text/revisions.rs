//! Revisions: what tells one state of a record from the next, so that no caller changes or deletes what they have not seen (`ETag` and
//! `If-Match`, RFC 9110). Organizations, members and customers count theirs; the tag of any other record is derived from what is in it.

use std::fmt::Debug;

use aws_lc_rs::digest;
use uuid::Uuid;

use crate::hex::hex;

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
pub(crate) fn etag(id: Uuid, revision: impl std::fmt::Display) -> String {
    format!("\"{:x}-{revision}\"", id.as_u128() & 0xffff_ffff)
}

/// The tag of a record that counts no revisions, from all of it that can be changed.
pub(crate) fn derived(id: Uuid, state: &impl Debug) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{state:?}").as_bytes());
    etag(id, hex(&hash.as_ref()[..8]))
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
