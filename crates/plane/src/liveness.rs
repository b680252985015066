//! Which credentials are good, held in memory and killed in the same step as the commit that kills them.
//!
//! An entry holds one [`Life`] for every subject it depends on: the credential itself, its user, its membership, its organization. A
//! deletion ends the life of its subject before its answer goes out, and with it every entry that depends on the subject, whatever their
//! number. An entry read from the database while a deletion was committing is used once and not kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::credentials::Principal;
use crate::policy::Role;

/// SHA-256 of a presented credential.
pub(crate) type Fingerprint = [u8; 32];

/// A user's membership of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The membership's id.
    pub id: Uuid,
    /// What it allows.
    pub role: Role,
}

pub(crate) struct Liveness {
    credentials: Cache<Fingerprint, Kept<Arc<Principal>>>,
    memberships: Cache<(Uuid, Uuid), Kept<Membership>>,
    lives: Mutex<HashMap<Uuid, Weak<Life>>>,
    /// Counts the killings: what was read before one may not be kept after it.
    killings: AtomicU64,
    /// When to look for lives that no entry holds any more.
    sweep_at: AtomicU64,
}

struct Life {
    over: AtomicBool,
}

#[derive(Clone)]
struct Kept<T> {
    value: T,
    lives: Arc<[Arc<Life>]>,
}

/// Taken before reading from the database what shall be kept afterwards.
pub(crate) struct ReadMark(u64);

/// Lives that are kept before the first sweep.
const FIRST_SWEEP: u64 = 4096;

impl Liveness {
    pub(crate) fn new(capacity: usize) -> Liveness {
        Liveness {
            credentials: Cache::new(capacity),
            memberships: Cache::new(capacity),
            lives: Mutex::default(),
            killings: AtomicU64::new(0),
            sweep_at: AtomicU64::new(FIRST_SWEEP),
        }
    }

    pub(crate) fn read_mark(&self) -> ReadMark {
        ReadMark(self.killings.load(Ordering::SeqCst))
    }

    pub(crate) fn credential(&self, fingerprint: &Fingerprint) -> Option<Arc<Principal>> {
        look_up(&self.credentials, fingerprint)
    }

    pub(crate) fn keep_credential(&self, mark: &ReadMark, fingerprint: Fingerprint, principal: &Arc<Principal>) {
        let subjects = principal.subjects();
        self.keep(&self.credentials, mark, fingerprint, principal.clone(), &subjects);
    }

    pub(crate) fn membership(&self, user: Uuid, organization: Uuid) -> Option<Membership> {
        look_up(&self.memberships, &(user, organization))
    }

    pub(crate) fn keep_membership(&self, mark: &ReadMark, user: Uuid, organization: Uuid, membership: Membership) {
        self.keep(&self.memberships, mark, (user, organization), membership, &[user, organization, membership.id]);
    }

    /// Ends a subject: from here on no entry that depends on it is good. To be called after the commit and before the answer.
    pub(crate) fn kill(&self, subject: Uuid) {
        // In this order: a reader that still finds the old life is killed with it, one that makes a new life sees the count.
        self.killings.fetch_add(1, Ordering::SeqCst);
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.remove(&subject).and_then(|life| life.upgrade()) {
            life.over.store(true, Ordering::SeqCst);
        }
    }

    fn keep<K: Hash + Eq + Clone, V: Clone>(&self, cache: &Cache<K, Kept<V>>, mark: &ReadMark, key: K, value: V, subjects: &[Uuid]) {
        let lives = {
            let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
            if lives.len() as u64 >= self.sweep_at.load(Ordering::Relaxed) {
                lives.retain(|_, life| life.strong_count() > 0);
                self.sweep_at.store((lives.len() as u64 * 2).max(FIRST_SWEEP), Ordering::Relaxed);
            }
            subjects.iter().map(|subject| living(&mut lives, *subject)).collect()
        };
        if self.killings.load(Ordering::SeqCst) == mark.0 {
            cache.insert(key, Kept { value, lives });
        }
    }
}

fn living(lives: &mut HashMap<Uuid, Weak<Life>>, subject: Uuid) -> Arc<Life> {
    if let Some(life) = lives.get(&subject).and_then(Weak::upgrade) {
        return life;
    }
    let life = Arc::new(Life { over: AtomicBool::new(false) });
    lives.insert(subject, Arc::downgrade(&life));
    life
}

fn look_up<K: Hash + Eq, V: Clone>(cache: &Cache<K, Kept<V>>, key: &K) -> Option<V> {
    let kept = cache.get(key)?;
    if kept.lives.iter().any(|life| life.over.load(Ordering::SeqCst)) {
        cache.remove(key);
        return None;
    }
    Some(kept.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership() -> Membership {
        Membership { id: Uuid::from_u128(3), role: Role::Owner }
    }

    #[test]
    fn an_entry_dies_with_any_of_its_subjects() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for subject in [user, organization, membership().id] {
            let liveness = Liveness::new(10);
            liveness.keep_membership(&liveness.read_mark(), user, organization, membership());
            assert_eq!(liveness.membership(user, organization), Some(membership()));
            liveness.kill(subject);
            assert_eq!(liveness.membership(user, organization), None);
        }
    }

    #[test]
    fn what_was_read_before_a_killing_is_not_kept_after_it() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let liveness = Liveness::new(10);
        let mark = liveness.read_mark();
        liveness.kill(organization);
        liveness.keep_membership(&mark, user, organization, membership());
        assert_eq!(liveness.membership(user, organization), None);
    }

    #[test]
    fn lives_that_nobody_holds_are_swept() {
        let liveness = Liveness::new(1);
        for number in 0..20_000 {
            liveness.keep_membership(&liveness.read_mark(), Uuid::from_u128(number), Uuid::from_u128(1 << 100), membership());
        }
        assert!(liveness.lives.lock().unwrap().len() <= FIRST_SWEEP as usize + 3);
    }
}
