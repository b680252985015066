//! Which credentials are good, held in memory and made invalid in the same step as the commit that ends them.
//!
//! Every subject (a credential, a user, a membership, an organization, an app) has a *generation*: a number that grows when the subject ends or
//! changes. An entry remembers the sum of the generations of all it depends on and is good while none of them has grown; so one addition makes
//! every entry invalid that depends on a subject, whatever their number. Subjects share [`GENERATIONS`] numbers: of two with the same one both become
//! invalid here, and the one that goes on is read from the database again. An entry read from the database while something was ending is used once
//! and not kept.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::principal::{Membership, Principal, Shown};
use crate::user::User;

pub(crate) struct CredentialCache {
    /// Whole, and each shared only by its request: what is allocated for each costs a third more than it holds.
    credentials: Cache<Shown, Kept<Principal>>,
    memberships: Cache<(Uuid, Uuid), Kept<Membership>>,
    users: Cache<Uuid, Kept<Arc<User>>>,
    generations: Box<[AtomicU32]>,
    /// Counts the invalidations: what was read before one may not be kept after it.
    invalidations: AtomicU64,
}

#[derive(Clone)]
struct Kept<T> {
    value: T,
    /// The sum of its subjects' generations when it was kept. Generations only grow, so the same sum is the same generations.
    generation: u64,
}

/// There may be a hundred thousand of them: with its key and the cache's own links one takes 192 bytes.
const _: () = assert!(size_of::<Kept<Principal>>() <= 144);

/// Taken before reading from the database what shall be kept afterwards.
pub(crate) struct ReadMark(u64);

/// What every credential depends on.
const EVERY_CREDENTIAL: Uuid = Uuid::max();
/// Numbers that the subjects share: 1 MB.
const GENERATIONS: usize = 1 << 18;
/// Of users the memory holds fewer than of credentials: they are larger.
const CREDENTIALS_FOR_EACH_USER: usize = 10;

impl CredentialCache {
    pub(crate) fn new(capacity: usize) -> CredentialCache {
        let credentials = Cache::new(capacity);
        // All of its places at once: what is not used takes no memory, and what was outgrown would not be given back.
        credentials.reserve(capacity);
        CredentialCache {
            credentials,
            memberships: Cache::new(capacity),
            users: Cache::new(capacity.div_ceil(CREDENTIALS_FOR_EACH_USER)),
            generations: (0..GENERATIONS).map(|_| AtomicU32::new(0)).collect(),
            invalidations: AtomicU64::new(0),
        }
    }

    pub(crate) fn read_mark(&self) -> ReadMark {
        ReadMark(self.invalidations.load(Ordering::SeqCst))
    }

    pub(crate) fn credential(&self, shown: &Shown) -> Option<Principal> {
        self.look_up(&self.credentials, shown, |principal| self.age_of_credential(principal))
    }

    pub(crate) fn keep_credential(&self, mark: &ReadMark, shown: Shown, principal: &Principal) {
        self.keep(&self.credentials, mark, shown, principal.clone(), self.age_of_credential(principal));
    }

    pub(crate) fn membership(&self, user: Uuid, organization: Uuid) -> Option<Membership> {
        self.look_up(&self.memberships, &(user, organization), |membership| {
            self.generation_of_all(subjects_of(user, organization, membership))
        })
    }

    pub(crate) fn keep_membership(&self, mark: &ReadMark, user: Uuid, organization: Uuid, membership: Membership) {
        let generation = self.generation_of_all(subjects_of(user, organization, &membership));
        self.keep(&self.memberships, mark, (user, organization), membership, generation);
    }

    pub(crate) fn user(&self, id: Uuid) -> Option<Arc<User>> {
        self.look_up(&self.users, &id, |_| self.generation_of_all([id]))
    }

    pub(crate) fn keep_user(&self, mark: &ReadMark, user: &Arc<User>) {
        self.keep(&self.users, mark, user.id, user.clone(), self.generation_of_all([user.id]));
    }

    /// Ends a subject: from here on no entry that depends on it is good. To be called after the commit and before the answer, for what is
    /// gone and for what is not as it was.
    pub(crate) fn invalidate(&self, subject: Uuid) {
        // In this order: what was kept with the old generation is invalid by its growth, what is to be kept with the new one sees the count.
        self.invalidations.fetch_add(1, Ordering::SeqCst);
        self.generation(subject).fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets every credential: each is looked up and verified again. To be called where [`CredentialCache::invalidate`] is, for what no subject stands for.
    pub(crate) fn forget_credentials(&self) {
        self.invalidate(EVERY_CREDENTIAL);
        self.credentials.clear();
    }

    /// The generation of a subject, found by the last bits of its id, which are random in every one that is made here.
    fn generation(&self, subject: Uuid) -> &AtomicU32 {
        &self.generations[subject.as_u128() as usize % GENERATIONS]
    }

    fn age_of_credential(&self, principal: &Principal) -> u64 {
        self.generation_of_all(principal.subjects().chain([EVERY_CREDENTIAL]))
    }

    /// The sum of the generations of all that an entry depends on.
    fn generation_of_all(&self, subjects: impl IntoIterator<Item = Uuid>) -> u64 {
        subjects.into_iter().map(|subject| u64::from(self.generation(subject).load(Ordering::SeqCst))).sum()
    }

    /// Keeps an entry whose generation was found before this.
    fn keep<K: Hash + Eq, V: Clone>(&self, cache: &Cache<K, Kept<V>>, mark: &ReadMark, key: K, value: V, generation: u64) {
        if self.invalidations.load(Ordering::SeqCst) == mark.0 {
            cache.insert(key, Kept { value, generation });
        }
    }

    fn look_up<K: Hash + Eq, V: Clone>(&self, cache: &Cache<K, Kept<V>>, key: &K, generation: impl Fn(&V) -> u64) -> Option<V> {
        let kept = cache.get(key)?;
        if generation(&kept.value) != kept.generation {
            cache.remove(key);
            return None;
        }
        Some(kept.value)
    }
}

fn subjects_of(user: Uuid, organization: Uuid, membership: &Membership) -> [Uuid; 3] {
    [user, organization, membership.id]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Role;

    fn membership() -> Membership {
        Membership { id: Uuid::from_u128(3), role: Role::Owner }
    }

    #[test]
    fn an_entry_dies_with_any_of_its_subjects() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for subject in [user, organization, membership().id] {
            let credential_cache = CredentialCache::new(10);
            credential_cache.keep_membership(&credential_cache.read_mark(), user, organization, membership());
            assert_eq!(credential_cache.membership(user, organization), Some(membership()));
            credential_cache.invalidate(subject);
            assert_eq!(credential_cache.membership(user, organization), None);
        }
    }

    #[test]
    fn an_entry_outlives_subjects_that_it_does_not_depend_on() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let credential_cache = CredentialCache::new(10);
        credential_cache.keep_membership(&credential_cache.read_mark(), user, organization, membership());
        credential_cache.invalidate(Uuid::from_u128(4));
        assert_eq!(credential_cache.membership(user, organization), Some(membership()));
    }

    #[test]
    fn what_was_read_before_an_invalidation_is_not_kept_after_it() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let credential_cache = CredentialCache::new(10);
        let mark = credential_cache.read_mark();
        credential_cache.invalidate(organization);
        credential_cache.keep_membership(&mark, user, organization, membership());
        assert_eq!(credential_cache.membership(user, organization), None);
    }
}
