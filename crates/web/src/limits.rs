//! Rate limits: how many requests a caller may make in a minute and in a day, and the headers that say how many are left.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use uuid::Uuid;

/// How many requests a caller may make. Zero is no limit.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// In each minute of the clock.
    pub per_minute: u32,
    /// In each day, from midnight UTC.
    pub per_day: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits { per_minute: 300, per_day: 10_000 }
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// A session's user, an API key or an OAuth app.
    Known(Uuid),
    /// Nobody signed in: the client's address.
    Unknown(IpAddr),
}

/// How a caller stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Whether this request was within the limits.
    pub allowed: bool,
    limit: u32,
    remaining: u32,
    /// Seconds until the window ends.
    pub reset: i64,
}

pub(crate) struct Limiter {
    limits: RateLimits,
    shards: Vec<Mutex<HashMap<Caller, [Window; 2]>>>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    number: i64,
    used: u32,
}

const SECONDS: [i64; 2] = [60, 86_400];
const SHARDS: usize = 32;
/// Callers remembered by a shard; a million in all take some 60 MB. Past it those are forgotten who were not seen in this minute.
const CALLERS: usize = 32_768;

impl Limiter {
    pub(crate) fn new(limits: RateLimits) -> Limiter {
        Limiter { limits, shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Counts a request. `None` when there are no limits.
    pub(crate) fn count(&self, caller: Caller, now: Timestamp) -> Option<Standing> {
        let limits = [self.limits.per_minute, self.limits.per_day];
        if limits == [0, 0] {
            return None;
        }
        let second = now.as_second();
        let mut callers = self.shards[self.hasher.hash_one(caller) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= CALLERS && !callers.contains_key(&caller) {
            callers.retain(|_, windows| windows[0].number == second / SECONDS[0]);
            if callers.len() >= CALLERS {
                callers.clear();
            }
        }
        let windows = callers.entry(caller).or_default();
        for (window, seconds) in windows.iter_mut().zip(SECONDS) {
            if window.number != second / seconds {
                *window = Window { number: second / seconds, used: 0 };
            }
        }
        let active = || limits.into_iter().zip(SECONDS).enumerate().filter(|(_, (limit, _))| *limit > 0);
        let allowed = active().all(|(place, (limit, _))| windows[place].used < limit);
        if allowed {
            windows.iter_mut().for_each(|window| window.used += 1);
        }
        let standings = active().map(|(place, (limit, seconds))| Standing {
            allowed,
            limit,
            remaining: limit.saturating_sub(windows[place].used),
            reset: (second / seconds + 1) * seconds - second,
        });
        // Of two that are used up, the one that lasts longer is the one to wait for.
        standings.min_by_key(|standing| (standing.remaining, -standing.reset))
    }

    /// Adds the headers that tell the caller how they stand.
    pub(crate) fn write(&self, headers: &mut HeaderMap, standing: Standing, now: Timestamp) {
        let policy: Vec<String> = [self.limits.per_minute, self.limits.per_day]
            .into_iter()
            .zip(SECONDS)
            .filter(|(limit, _)| *limit > 0)
            .map(|(limit, seconds)| format!("{limit};w={seconds}"))
            .collect();
        let values = [
            ("ratelimit-policy", policy.join(", ")),
            ("ratelimit-limit", standing.limit.to_string()),
            ("ratelimit-remaining", standing.remaining.to_string()),
            ("ratelimit-reset", standing.reset.to_string()),
            ("x-ratelimit-limit", standing.limit.to_string()),
            ("x-ratelimit-remaining", standing.remaining.to_string()),
            ("x-ratelimit-reset", (now.as_second() + standing.reset).to_string()),
        ];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_request_after_the_last_of_a_minute_waits_for_the_next_minute() {
        let limiter = Limiter::new(RateLimits { per_minute: 2, per_day: 100 });
        let caller = Caller::Known(Uuid::nil());
        assert!(limiter.count(caller, at(61)).unwrap().allowed);
        assert!(limiter.count(caller, at(62)).unwrap().allowed);
        let refused = limiter.count(caller, at(63)).unwrap();
        assert_eq!((refused.allowed, refused.remaining, refused.reset, refused.limit), (false, 0, 57, 2));
        assert!(limiter.count(caller, at(120)).unwrap().allowed);
    }

    #[test]
    fn the_day_is_told_when_it_is_the_tighter_window() {
        let limiter = Limiter::new(RateLimits { per_minute: 2, per_day: 3 });
        let caller = Caller::Known(Uuid::nil());
        for second in [0, 1, 60] {
            assert!(limiter.count(caller, at(second)).unwrap().allowed);
        }
        let refused = limiter.count(caller, at(61)).unwrap();
        assert_eq!((refused.allowed, refused.limit, refused.reset), (false, 3, 86_400 - 61));
    }

    #[test]
    fn callers_do_not_share() {
        let limiter = Limiter::new(RateLimits { per_minute: 1, per_day: 0 });
        assert!(limiter.count(Caller::Known(Uuid::nil()), at(0)).unwrap().allowed);
        assert!(limiter.count(Caller::Known(Uuid::max()), at(0)).unwrap().allowed);
        assert!(!limiter.count(Caller::Known(Uuid::nil()), at(0)).unwrap().allowed);
    }
}
