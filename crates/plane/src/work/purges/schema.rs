//! Schemas of what only purges say.

use crate::wire::sets;

sets! {
    /// What became of one customer of a purge.
    PurgeOutcome, &super::Outcome::NAMES, "deleted";
}
