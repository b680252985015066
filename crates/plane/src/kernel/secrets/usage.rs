//! When each API key was last used, without a write for each request: kept in memory, written down every 30 seconds and at the end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

/// Keys whose use is remembered between two writings: as many as a map of 32,768 places holds, 1.6 MB, and nearly as much again while they are
/// written down. The use of one more is not noted, and the writing comes at once.
const MOST: usize = 28_672;

/// An API key in its organization; under none ([`SERVER_SCOPE`]) a person's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Used {
    pub(crate) organization: Uuid,
    pub(crate) key: Uuid,
}

/// The latest use of each key since it was last written down.
#[derive(Default)]
pub(crate) struct Usage {
    latest: Mutex<HashMap<Used, Timestamp>>,
    /// Rung when there is no room for more.
    pub(crate) is_full: Notify,
}

impl Usage {
    /// Notes that a key is being used.
    pub(crate) fn note(&self, used: Used, now: Timestamp) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() < MOST || latest.contains_key(&used) {
            let time = latest.entry(used).or_insert(now);
            *time = now.max(*time);
        } else {
            self.is_full.notify_one();
        }
    }

    /// The latest use of a key, if that was not written down yet.
    pub(crate) fn latest(&self, used: Used) -> Option<Timestamp> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).get(&used).copied()
    }

    /// Everything noted, in the one order in which every writer takes the rows.
    pub(crate) fn noted(&self) -> Vec<(Used, Timestamp)> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted: Vec<(Used, Timestamp)> = latest.iter().map(|(used, time)| (*used, *time)).collect();
        noted.sort_unstable();
        noted
    }

    /// Forgets what has been written down, unless the key was used again meanwhile.
    pub(crate) fn forget(&self, written: &[(Used, Timestamp)]) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        for (used, time) in written {
            if latest.get(used) == Some(time) {
                latest.remove(used);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(number: usize) -> Used {
        Used { organization: Uuid::nil(), key: Uuid::from_u128(number as u128) }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_was_used_again_while_it_was_written_down_is_written_again() {
        let usage = Usage::default();
        (0..2).for_each(|number| usage.note(used(number), at(1)));
        let written = usage.noted();
        usage.note(used(1), at(2));
        usage.forget(&written);
        assert_eq!((usage.latest(used(0)), usage.latest(used(1))), (None, Some(at(2))));
        usage.note(used(1), at(1));
        assert_eq!(usage.latest(used(1)), Some(at(2)));
    }

    #[test]
    fn memory_is_bounded_whatever_the_number_of_keys() {
        let usage = Usage::default();
        (0..MOST + 1_000).for_each(|number| usage.note(used(number), at(1)));
        assert_eq!(usage.noted().len(), MOST);
        usage.note(used(0), at(2));
        assert_eq!(usage.latest(used(0)), Some(at(2)));
    }
}
