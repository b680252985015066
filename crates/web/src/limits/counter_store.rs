//! How often each caller came in the current minute, hour and day. Exact while a caller is remembered; memory is bounded, and who did not
//! come for the longest time is forgotten first.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::CounterKey;

/// Seconds of the windows that are counted: each begins with a minute, an hour or a day of the clock (UTC).
pub(super) const WINDOWS: [i64; 3] = [60, 3_600, 86_400];

/// How many requests a caller may make in each window; zero is no limit.
pub(super) type Limits = [u32; WINDOWS.len()];

/// How a caller stands in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    /// Requests that were let through.
    pub used: u32,
    /// Seconds until the window ends.
    pub reset: i64,
}

/// Seconds within which requests may be counted in the wrong order.
const DISORDER: i64 = 5;
/// Callers are spread over so many locks.
const SHARDS: usize = 32;
/// No entry.
const NO_ENTRY: u32 = u32::MAX;

pub(super) struct CounterStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Callers that one shard remembers.
    most: usize,
}

#[derive(Default)]
struct Shard {
    places: HashMap<CounterKey, u32>,
    entries: Vec<Entry>,
    /// Who came last and who did not come for the longest time, if there is anybody.
    ends: Option<(u32, u32)>,
}

struct Entry {
    caller: CounterKey,
    counts: [Count; WINDOWS.len()],
    newer: u32,
    older: u32,
}

/// Requests in the window of this number since 1970.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    window: u32,
    used: u32,
}

impl CounterStore {
    /// One that remembers so many callers.
    pub fn new(most: usize) -> CounterStore {
        CounterStore { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new(), most: (most / SHARDS).max(1) }
    }

    /// Counts a request in all windows if it is within every limit, and in none if it is not. Returns whether it is, and how the caller
    /// stands afterwards.
    pub fn count(&self, caller: CounterKey, limits: Limits, second: i64) -> (bool, [Used; WINDOWS.len()]) {
        let mut shard = self.shard(caller);
        let place = shard.find(caller, self.most);
        let counts = &mut shard.entries[place as usize].counts;
        for (count, seconds) in counts.iter_mut().zip(WINDOWS) {
            let window = number(second, seconds);
            // Of two requests around the end of a window the later one may be counted first: then both belong to the new window. One that
            // begins later than that was counted by a clock that was ahead, and is over.
            if window > count.window || i64::from(count.window) * seconds - second > DISORDER {
                *count = Count { window, used: 0 };
            }
        }
        let is_within = counts.iter().zip(limits).all(|(count, limit)| limit == 0 || count.used < limit);
        if is_within {
            counts.iter_mut().for_each(|count| count.used = count.used.saturating_add(1));
        }
        let mut standing = [Used { used: 0, reset: 0 }; WINDOWS.len()];
        for ((standing, count), seconds) in standing.iter_mut().zip(*counts).zip(WINDOWS) {
            *standing = Used { used: count.used, reset: (i64::from(count.window) + 1) * seconds - second };
        }
        (is_within, standing)
    }

    /// Takes back a request that was counted in the same windows.
    pub fn give_back(&self, caller: CounterKey, second: i64) {
        let mut shard = self.shard(caller);
        let Some(place) = shard.places.get(&caller).copied() else { return };
        for (count, seconds) in shard.entries[place as usize].counts.iter_mut().zip(WINDOWS) {
            if count.window == number(second, seconds) {
                count.used = count.used.saturating_sub(1);
            }
        }
    }

    fn shard(&self, caller: CounterKey) -> std::sync::MutexGuard<'_, Shard> {
        let place = self.hasher.hash_one(caller) as usize % SHARDS;
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the callers take.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // The map has a byte of its own beside each slot, and fills seven of eight.
            let slots = (shard.places.capacity() * 8 / 7).next_power_of_two();
            shard.entries.capacity() * size_of::<Entry>() + slots * (size_of::<(CounterKey, u32)>() + 1)
        });
        shards.sum()
    }
}

impl Shard {
    /// The caller's entry, moved to the front: a new one, or the oldest one emptied when there is no room for more.
    fn find(&mut self, caller: CounterKey, most: usize) -> u32 {
        if let Some(place) = self.places.get(&caller).copied() {
            if self.ends.is_some_and(|(newest, _)| newest != place) {
                self.take_out(place);
                self.put_first(place);
            }
            return place;
        }
        let place = match self.ends {
            Some((_, oldest)) if self.entries.len() >= most => {
                self.take_out(oldest);
                let entry = &mut self.entries[oldest as usize];
                self.places.remove(&entry.caller);
                (entry.caller, entry.counts) = (caller, Default::default());
                oldest
            }
            _ => {
                if self.entries.len() == self.entries.capacity() {
                    // Doubling, as a vector would, but never beyond what is allowed.
                    let length = self.entries.len();
                    self.entries.reserve_exact(length.max(8).min(most.saturating_sub(length)));
                }
                self.entries.push(Entry { caller, counts: Default::default(), newer: NO_ENTRY, older: NO_ENTRY });
                self.entries.len() as u32 - 1
            }
        };
        self.places.insert(caller, place);
        self.put_first(place);
        place
    }

    fn take_out(&mut self, place: u32) {
        let Entry { newer, older, .. } = self.entries[place as usize];
        if let Some(entry) = self.entries.get_mut(newer as usize) {
            entry.older = older;
        }
        if let Some(entry) = self.entries.get_mut(older as usize) {
            entry.newer = newer;
        }
        self.ends = self.ends.and_then(|(newest, oldest)| {
            let newest = if newest == place { older } else { newest };
            let oldest = if oldest == place { newer } else { oldest };
            (newest != NO_ENTRY && oldest != NO_ENTRY).then_some((newest, oldest))
        });
    }

    fn put_first(&mut self, place: u32) {
        let before = self.ends.map_or(NO_ENTRY, |(newest, _)| newest);
        if let Some(entry) = self.entries.get_mut(before as usize) {
            entry.newer = place;
        }
        let entry = &mut self.entries[place as usize];
        (entry.newer, entry.older) = (NO_ENTRY, before);
        self.ends = Some((place, self.ends.map_or(place, |(_, oldest)| oldest)));
    }
}

/// The number of the window that a second is in.
fn number(second: i64, seconds: i64) -> u32 {
    u32::try_from(second / seconds).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv6Addr;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;

    fn caller(number: u128) -> CounterKey {
        CounterKey::User(Uuid::from_u128(number))
    }

    /// Numbers that look random and are the same in every run (xorshift64*).
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, most: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
        }
    }

    /// The same written as simply as can be: all requests that were let through, looked at one by one.
    #[derive(Default)]
    struct Naive(Vec<(CounterKey, i64)>);

    impl Naive {
        fn count(&mut self, caller: CounterKey, limits: Limits, second: i64) -> (bool, [Used; 3]) {
            let used = |naive: &Naive, seconds: i64| {
                naive.0.iter().filter(|(known, at)| *known == caller && at / seconds == second / seconds).count() as u32
            };
            let is_within = WINDOWS.iter().zip(limits).all(|(seconds, limit)| limit == 0 || used(self, *seconds) < limit);
            if is_within {
                self.0.push((caller, second));
            }
            (is_within, WINDOWS.map(|seconds| Used { used: used(self, seconds), reset: seconds - second % seconds }))
        }
    }

    #[test]
    fn it_counts_as_the_simplest_model_does() {
        for seed in 1..=40 {
            let mut chance = Chance(seed);
            let (counter_store, mut naive) = (CounterStore::new(SHARDS * 8), Naive::default());
            let limits = [0, 1, 2].map(|_| chance.below(12) as u32);
            let mut second = 1_700_000_000 + chance.below(86_400) as i64;
            for step in 0..400 {
                second += [0, 0, 1, 7, 59, 61, 1_800, 40_000][chance.below(8) as usize];
                let caller = caller(u128::from(chance.below(5)));
                assert_eq!(counter_store.count(caller, limits, second), naive.count(caller, limits, second), "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn of_callers_at_the_same_time_exactly_as_many_are_let_through_as_the_limit_says() {
        let counter_store = Arc::new(CounterStore::new(SHARDS * 8));
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let counter_store = counter_store.clone();
                std::thread::spawn(move || (0..50).filter(|_| counter_store.count(caller(1), [300, 0, 0], 60).0).count())
            })
            .collect();
        assert_eq!(tasks.into_iter().map(|task| task.join().unwrap()).sum::<usize>(), 300);
    }

    #[test]
    fn a_request_that_is_counted_after_one_of_the_next_window_belongs_to_that_window() {
        let counter_store = CounterStore::new(SHARDS);
        assert!(counter_store.count(caller(1), [2, 0, 0], 60).0);
        assert!(counter_store.count(caller(1), [2, 0, 0], 59).0);
        assert!(!counter_store.count(caller(1), [2, 0, 0], 60).0);
    }

    #[test]
    fn what_was_counted_by_a_clock_that_was_ahead_keeps_no_one_out() {
        let now = 1_700_000_000;
        for ahead in [61, 3_601, 86_400, 400 * 86_400] {
            let counter_store = CounterStore::new(SHARDS);
            assert!(counter_store.count(caller(1), [1, 1, 1], now + ahead).0);
            assert!(!counter_store.count(caller(1), [1, 1, 1], now + ahead).0);
            let (is_within, standing) = counter_store.count(caller(1), [1, 0, 0], now);
            assert!(is_within, "{ahead}");
            assert!(standing.iter().zip(WINDOWS).all(|(used, seconds)| (1..=seconds).contains(&used.reset)), "{ahead}: {standing:?}");
        }
    }

    #[test]
    fn what_is_given_back_can_be_used_again_in_its_own_window_only() {
        let counter_store = CounterStore::new(SHARDS);
        assert!(counter_store.count(caller(1), [1, 0, 0], 60).0);
        counter_store.give_back(caller(1), 60);
        assert!(counter_store.count(caller(1), [1, 0, 0], 119).0);
        assert!(counter_store.count(caller(1), [1, 0, 0], 120).0);
        counter_store.give_back(caller(1), 60);
        assert!(!counter_store.count(caller(1), [1, 0, 0], 121).0);
    }

    #[test]
    fn two_million_addresses_take_no_more_memory_than_the_callers_that_are_remembered() {
        const MOST: usize = 8_192;
        let counter_store = CounterStore::new(MOST);
        for number in 0..2_000_000_u128 {
            counter_store.count(CounterKey::Address(Ipv6Addr::from(number)), [1, 0, 0], 60);
        }
        // 52 bytes an entry, and at most four slots of 25 bytes for each in a map that has doubled once after being full.
        assert!(counter_store.bytes() <= MOST * (52 + 4 * 25), "{} bytes", counter_store.bytes());
        let remembered: usize = counter_store.shards.iter().map(|shard| shard.lock().unwrap().places.len()).sum();
        assert_eq!(remembered, MOST);
    }

    #[test]
    fn who_did_not_come_for_the_longest_time_is_forgotten_first() {
        let counter_store = CounterStore::new(SHARDS * 4);
        let mut chance = Chance(7);
        // The order in which each shard saw its callers, kept beside it.
        let mut seen: BTreeMap<usize, Vec<CounterKey>> = BTreeMap::new();
        for _ in 0..20_000 {
            let caller = caller(u128::from(chance.below(400)));
            let shard = counter_store.hasher.hash_one(caller) as usize % SHARDS;
            let order = seen.entry(shard).or_default();
            let was_remembered = order.iter().rev().take(4).any(|known| *known == caller);
            order.retain(|known| *known != caller);
            order.push(caller);
            let is_first = counter_store.count(caller, [0, 0, 0], 60).1[0].used == 1;
            assert_eq!(is_first, !was_remembered);
        }
    }
}
