//! Which credentials are good, held in memory and killed in the same step as the commit that kills them.
//!
//! Every subject (a credential, a user, a membership, an organization, an app) has an *age*: a number that grows when the subject dies or
//! changes. An entry remembers the sum of the ages of all it depends on and is good while none of them has grown; so one addition ends every
//! entry that depends on a subject, whatever their number. Subjects share [`AGES`] numbers: two with the same one die together here, and the one that
//! lives on is read from the database again. An entry read from the database while something was dying is used once and not kept.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::principal::Membership;
use crate::principal::{Principal, Shown};
use crate::user::User;

pub(crate) struct Liveness {
    /// Whole, and each shared only by its request: what is allocated for each costs a third more than it holds.
    credentials: Cache<Shown, Kept<Principal>>,
    memberships: Cache<(Uuid, Uuid), Kept<Membership>>,
    users: Cache<Uuid, Kept<Arc<User>>>,
    ages: Box<[AtomicU32]>,
    /// Counts the killings: what was read before one may not be kept after it.
    killings: AtomicU64,
}

#[derive(Clone)]
struct Kept<T> {
    value: T,
    /// The sum of its subjects' ages when it was kept. Ages only grow, so the same sum is the same ages.
    age: u64,
}

/// There may be a hundred thousand of them: with its key and the cache's own links one takes 192 bytes.
const _: () = assert!(size_of::<Kept<Principal>>() <= 144);

/// Taken before reading from the database what shall be kept afterwards.
pub(crate) struct ReadMark(u64);

/// What every credential depends on.
const EVERY_CREDENTIAL: Uuid = Uuid::max();
/// Numbers that the subjects share: 1 MB.
const AGES: usize = 1 << 18;
/// Of users the memory holds fewer than of credentials: they are larger.
const CREDENTIALS_FOR_EACH_USER: usize = 10;

impl Liveness {
    pub(crate) fn new(capacity: usize) -> Liveness {
        let credentials = Cache::new(capacity);
        // All of its places at once: what is not used takes no memory, and what was outgrown would not be given back.
        credentials.reserve(capacity);
        Liveness {
            credentials,
            memberships: Cache::new(capacity),
            users: Cache::new(capacity.div_ceil(CREDENTIALS_FOR_EACH_USER)),
            ages: (0..AGES).map(|_| AtomicU32::new(0)).collect(),
            killings: AtomicU64::new(0),
        }
    }

    pub(crate) fn read_mark(&self) -> ReadMark {
        ReadMark(self.killings.load(Ordering::SeqCst))
    }

    pub(crate) fn credential(&self, shown: &Shown) -> Option<Principal> {
        self.look_up(&self.credentials, shown, |principal| self.age_of_credential(principal))
    }

    pub(crate) fn keep_credential(&self, mark: &ReadMark, shown: Shown, principal: &Principal) {
        self.keep(&self.credentials, mark, shown, principal.clone(), self.age_of_credential(principal));
    }

    pub(crate) fn membership(&self, user: Uuid, organization: Uuid) -> Option<Membership> {
        self.look_up(&self.memberships, &(user, organization), |membership| self.age_of_all(subjects_of(user, organization, membership)))
    }

    pub(crate) fn keep_membership(&self, mark: &ReadMark, user: Uuid, organization: Uuid, membership: Membership) {
        let age = self.age_of_all(subjects_of(user, organization, &membership));
        self.keep(&self.memberships, mark, (user, organization), membership, age);
    }

    pub(crate) fn user(&self, id: Uuid) -> Option<Arc<User>> {
        self.look_up(&self.users, &id, |_| self.age_of_all([id]))
    }

    pub(crate) fn keep_user(&self, mark: &ReadMark, user: &Arc<User>) {
        self.keep(&self.users, mark, user.id, user.clone(), self.age_of_all([user.id]));
    }

    /// Ends a subject: from here on no entry that depends on it is good. To be called after the commit and before the answer, for what is
    /// gone and for what is not as it was.
    pub(crate) fn kill(&self, subject: Uuid) {
        // In this order: who kept the old age is killed by its growth, who is to keep the new one sees the count.
        self.killings.fetch_add(1, Ordering::SeqCst);
        self.age(subject).fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets every credential: each is looked up and verified again. To be called where [`Liveness::kill`] is, for what no subject stands for.
    pub(crate) fn forget_credentials(&self) {
        self.kill(EVERY_CREDENTIAL);
        self.credentials.clear();
    }

    /// The age of a subject, found by the last bits of its id, which are random in every one that is made here.
    fn age(&self, subject: Uuid) -> &AtomicU32 {
        &self.ages[subject.as_u128() as usize % AGES]
    }

    fn age_of_credential(&self, principal: &Principal) -> u64 {
        self.age_of_all(principal.subjects().chain([EVERY_CREDENTIAL]))
    }

    /// The sum of the ages of all that an entry depends on.
    fn age_of_all(&self, subjects: impl IntoIterator<Item = Uuid>) -> u64 {
        subjects.into_iter().map(|subject| u64::from(self.age(subject).load(Ordering::SeqCst))).sum()
    }

    /// Keeps an entry whose age was found before this.
    fn keep<K: Hash + Eq, V: Clone>(&self, cache: &Cache<K, Kept<V>>, mark: &ReadMark, key: K, value: V, age: u64) {
        if self.killings.load(Ordering::SeqCst) == mark.0 {
            cache.insert(key, Kept { value, age });
        }
    }

    fn look_up<K: Hash + Eq, V: Clone>(&self, cache: &Cache<K, Kept<V>>, key: &K, age: impl Fn(&V) -> u64) -> Option<V> {
        let kept = cache.get(key)?;
        if age(&kept.value) != kept.age {
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
            let liveness = Liveness::new(10);
            liveness.keep_membership(&liveness.read_mark(), user, organization, membership());
            assert_eq!(liveness.membership(user, organization), Some(membership()));
            liveness.kill(subject);
            assert_eq!(liveness.membership(user, organization), None);
        }
    }

    #[test]
    fn an_entry_outlives_subjects_that_it_does_not_depend_on() {
        let (user, organization) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let liveness = Liveness::new(10);
        liveness.keep_membership(&liveness.read_mark(), user, organization, membership());
        liveness.kill(Uuid::from_u128(4));
        assert_eq!(liveness.membership(user, organization), Some(membership()));
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
}
