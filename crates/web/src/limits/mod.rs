//! Rate limits: how many requests a caller may make in a minute, an hour and a day, and the headers that say how many are left.

mod counter_store;
mod intake;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use plane::api_keys::{Kind, OwnTerms, PUBLISHABLE_PER_MINUTE};
use plane::credentials::{CredentialKind, Principal};
use plane::organization_limits::OrganizationLimits;
use uuid::Uuid;

use counter_store::{CounterStore, Limits, WINDOWS};
pub use intake::Room;
pub(crate) use intake::{Full, Intake, Place};

/// How many requests a caller may make. Zero is no limit.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// In each minute of the clock.
    pub per_minute: u32,
    /// In each day, from midnight UTC.
    pub per_day: u32,
    /// Attempts to get a credential in each minute: passwords tried for an account, sign-ups and OAuth tokens from an address. Refreshing has
    /// twice as many.
    pub attempts_per_minute: u32,
    /// In each minute, of all callers of an organization together: no key's own limit is above it.
    pub organization_per_minute: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits { per_minute: 300, per_day: 10_000, attempts_per_minute: 10, organization_per_minute: 6_000 }
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CounterKey {
    /// A session's user.
    User(Uuid),
    /// An API key.
    Key(Uuid),
    /// An OAuth app.
    App(Uuid),
    /// A request without a sign-in: the client's address. Of IPv6 the first 64 bits, since the rest is the client's to choose.
    Address(Ipv6Addr),
    /// A request for a credential: a keyed hash of where and for which account.
    Attempt([u8; 16]),
}

/// Where credentials are handed out, each with a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LimitClass {
    /// A new user.
    SignUp,
    /// A session for a password, or another thing that a password is asked for.
    SignIn,
    /// The current password, asked of a caller who has signed in.
    CurrentPassword,
    /// New tokens for a session.
    Refresh,
    /// Tokens for an OAuth app.
    Token,
    /// New tokens for an OAuth app's refresh token.
    TokenRefresh,
}

/// Which attempts of a class are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Attempts<'a> {
    /// All from the same address.
    Here,
    /// Those from the same address for the same account.
    HereFor(&'a str),
    /// Those for the same account from everywhere.
    EverywhereFor(&'a str),
}

/// How a request stands in the windows it was counted in.
#[derive(Debug, Default)]
pub(crate) struct RateLimitStatus {
    windows: Vec<Window>,
    is_refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    limit: u32,
    seconds: i64,
    remaining: u32,
    /// Seconds until it ends.
    reset: i64,
}

pub(crate) struct Limiter {
    limits: RateLimits,
    /// Those who have signed in are remembered apart: no flood of strangers makes the server forget them.
    known: CounterStore,
    unknown: CounterStore,
    attempts: CounterStore,
    intake: Intake,
    hashers: [RandomState; 2],
}

/// Callers that are remembered. At 52 bytes each and up to 100 more in a map that has grown once too often this is 70, 35 and 17 MB at the
/// most, whatever happens.
const KNOWN: usize = 458_752;
const UNKNOWN: usize = 229_376;
const ATTEMPTS: usize = 114_688;

impl Limiter {
    pub(crate) fn new(limits: RateLimits, room: Room) -> Limiter {
        let hashers = [RandomState::new(), RandomState::new()];
        let [known, unknown, attempts] = [KNOWN, UNKNOWN, ATTEMPTS].map(CounterStore::new);
        Limiter { limits, known, unknown, attempts, intake: Intake::new(room), hashers }
    }

    /// Lets a request begin, if its sender has not too many under way or they are not limited.
    pub(crate) fn enter(&self, principal: Option<&Principal>, client: IpAddr, is_unlimited: bool) -> Result<Place, Full> {
        self.intake.enter(self.place(principal, client).1, is_unlimited)
    }

    /// Counts a request of a caller who has signed in, or of an address. `own` are the limits of the organization that the credential is bound to.
    pub(crate) fn count(&self, principal: Option<&Principal>, own: OrganizationLimits, client: IpAddr, now: Timestamp) -> RateLimitStatus {
        let (counter_store, caller) = self.place(principal, client);
        limit_status(counter_store, caller, self.limits_of(principal, own), now)
    }

    /// How a caller would stand after the request, which is not counted: what watches the server and verifies its tokens is never refused.
    pub(crate) fn look(&self, principal: Option<&Principal>, own: OrganizationLimits, client: IpAddr, now: Timestamp) -> RateLimitStatus {
        let mut limit_status = self.count(principal, own, client, now);
        if !std::mem::take(&mut limit_status.is_refused) {
            let (counter_store, caller) = self.place(principal, client);
            counter_store.give_back(caller, now.as_second());
        }
        limit_status
    }

    fn place(&self, principal: Option<&Principal>, client: IpAddr) -> (&CounterStore, CounterKey) {
        match principal {
            Some(principal) => (&self.known, known(principal)),
            None => (&self.unknown, CounterKey::Address(network(client))),
        }
    }

    /// Counts an attempt to get a credential.
    pub(crate) fn attempt(&self, class: LimitClass, attempts: Attempts<'_>, client: IpAddr, now: Timestamp) -> RateLimitStatus {
        let limits = [self.limits.attempts_per_minute.saturating_mul(class.factor()), 0, 0];
        limit_status(&self.attempts, self.attempter(class, attempts, client), limits, now)
    }

    /// Takes an attempt back that shall not count.
    pub(crate) fn give_back(&self, class: LimitClass, attempts: Attempts<'_>, client: IpAddr, now: Timestamp) {
        self.attempts.give_back(self.attempter(class, attempts, client), now.as_second());
    }

    /// A key's own limits stand in the place of the server's for the minute, and beside them for the hour, up to what its organization has. The
    /// day is the operators' to say, for all or for one organization: no key can be given more of it.
    fn limits_of(&self, principal: Option<&Principal>, of_organization: OrganizationLimits) -> Limits {
        let RateLimits { per_minute, per_day, organization_per_minute, .. } = self.limits;
        let per_day = of_organization.requests_per_day.unwrap_or(per_day);
        let organization_per_minute = of_organization.requests_per_minute.unwrap_or(organization_per_minute);
        let most = if organization_per_minute == 0 { u32::MAX } else { organization_per_minute };
        let Some(terms) = principal.and_then(|principal| principal.terms.as_ref()) else { return [per_minute, 0, per_day] };
        let usual = if terms.kind == Kind::Publishable { per_minute.min(PUBLISHABLE_PER_MINUTE) } else { per_minute };
        let own = principal.and_then(|principal| principal.own.as_deref());
        let own = |limit: fn(&OwnTerms) -> Option<NonZeroU32>| own.and_then(limit).map(NonZeroU32::get);
        let per_hour = own(|own| own.rate_limit_per_hour).map_or(0, |own| own.min(most.saturating_mul(60)));
        [own(|own| own.rate_limit_per_minute).map_or(usual, |own| own.min(most)), per_hour, per_day]
    }

    /// Requests a minute that a caller has; 0 for no limit.
    pub(crate) fn per_minute(&self, principal: &Principal, own: OrganizationLimits) -> u32 {
        self.limits_of(Some(principal), own)[0]
    }

    fn attempter(&self, class: LimitClass, attempts: Attempts<'_>, client: IpAddr) -> CounterKey {
        let place = match attempts {
            Attempts::Here | Attempts::HereFor(_) => Some(network(client)),
            Attempts::EverywhereFor(_) => None,
        };
        let mut hash = [0; 16];
        for (half, hasher) in hash.chunks_exact_mut(8).zip(&self.hashers) {
            half.copy_from_slice(&hasher.hash_one((class, attempts, place)).to_ne_bytes());
        }
        CounterKey::Attempt(hash)
    }
}

impl LimitClass {
    fn factor(self) -> u32 {
        match self {
            LimitClass::SignUp | LimitClass::SignIn | LimitClass::CurrentPassword | LimitClass::Token => 1,
            LimitClass::Refresh | LimitClass::TokenRefresh => 2,
        }
    }
}

fn known(principal: &Principal) -> CounterKey {
    match principal.kind {
        CredentialKind::ApiKey => CounterKey::Key(principal.credential),
        // However many tokens it gets.
        CredentialKind::OauthToken => CounterKey::App(principal.app.unwrap_or(principal.credential)),
        CredentialKind::Session => CounterKey::User(principal.user),
    }
}

/// What of an address is counted: all of IPv4, and the network of IPv6.
fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64),
    }
}

fn limit_status(counter_store: &CounterStore, caller: CounterKey, limits: Limits, now: Timestamp) -> RateLimitStatus {
    if limits == [0; WINDOWS.len()] {
        return RateLimitStatus::default();
    }
    let (is_within, standing) = counter_store.count(caller, limits, now.as_second());
    let windows = limits.into_iter().zip(WINDOWS).zip(standing).filter(|((limit, _), _)| *limit > 0);
    let windows = windows.map(|((limit, seconds), standing)| {
        let remaining = limit.saturating_sub(standing.used);
        Window { limit, seconds, remaining, reset: standing.reset }
    });
    RateLimitStatus { windows: windows.collect(), is_refused: !is_within }
}

impl RateLimitStatus {
    /// Adds the windows of another count of the same request.
    pub(crate) fn add(&mut self, other: RateLimitStatus) {
        self.windows.extend(other.windows);
        self.is_refused |= other.is_refused;
    }

    /// Seconds to wait, when the request was one too many.
    pub(crate) fn wait(&self) -> Option<i64> {
        self.tightest().filter(|_| self.is_refused).map(|window| window.reset)
    }

    /// The window with the fewest requests left. Of two that are used up, the one that lasts longer is the one to wait for.
    fn tightest(&self) -> Option<Window> {
        self.windows.iter().copied().min_by_key(|window| (window.remaining, -window.reset))
    }

    /// Adds the headers that tell the caller how they stand; none when nothing is limited.
    pub(crate) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        let Some(tightest) = self.tightest() else { return };
        let mut policy: Vec<(i64, u32)> = self.windows.iter().map(|window| (window.seconds, window.limit)).collect();
        policy.sort_unstable();
        policy.dedup();
        let policy: Vec<String> = policy.into_iter().map(|(seconds, limit)| format!("{limit};w={seconds}")).collect();
        let values = [
            ("ratelimit-policy", policy.join(", ")),
            ("ratelimit-limit", tightest.limit.to_string()),
            ("ratelimit-remaining", tightest.remaining.to_string()),
            ("ratelimit-reset", tightest.reset.to_string()),
            ("x-ratelimit-limit", tightest.limit.to_string()),
            ("x-ratelimit-remaining", tightest.remaining.to_string()),
            ("x-ratelimit-reset", (now.as_second() + tightest.reset).to_string()),
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
    use std::sync::Arc;

    use plane::api_keys::Terms;

    use super::*;

    const ALL: OrganizationLimits = OrganizationLimits { requests_per_day: None, requests_per_minute: None };
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn limiter(per_minute: u32, per_day: u32) -> Limiter {
        Limiter::new(RateLimits { per_minute, per_day, ..RateLimits::default() }, Room::default())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(number: u128) -> Principal {
        Principal {
            user: Uuid::from_u128(number),
            service_role: None,
            is_operator: false,
            credential: Uuid::from_u128(number + 1_000),
            kind: CredentialKind::Session,
            rotations: 0,
            app: None,
            organization: None,
            member: None,
            scopes: None,
            expires_at: None,
            terms: None,
            own: None,
        }
    }

    fn key(kind: Kind, per_minute: Option<u32>, per_hour: Option<u32>) -> Principal {
        let terms = Terms { name: "Key".into(), kind, is_active: true };
        let own = OwnTerms {
            rate_limit_per_minute: per_minute.and_then(NonZeroU32::new),
            rate_limit_per_hour: per_hour.and_then(NonZeroU32::new),
            ..OwnTerms::default()
        };
        Principal { kind: CredentialKind::ApiKey, terms: Some(terms), own: Some(Arc::new(own)), ..user(1) }
    }

    fn header(limit_status: &RateLimitStatus, name: &str, now: Timestamp) -> String {
        let mut headers = HeaderMap::new();
        limit_status.write(&mut headers, now);
        headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    fn policy(limit_status: &RateLimitStatus) -> String {
        header(limit_status, "ratelimit-policy", at(0))
    }

    #[test]
    fn the_request_after_the_last_of_a_minute_waits_for_the_next_minute() {
        let limiter = limiter(2, 100);
        let count = |second| limiter.count(Some(&user(1)), ALL, HERE, at(second));
        assert_eq!((count(61).wait(), count(62).wait()), (None, None));
        let refused = count(63);
        assert_eq!(refused.wait(), Some(57));
        let told = ["limit", "remaining", "reset"].map(|name| header(&refused, &format!("ratelimit-{name}"), at(63)));
        assert_eq!(told, ["2", "0", "57"]);
        assert_eq!(header(&refused, "x-ratelimit-reset", at(63)), "120");
        assert_eq!(count(120).wait(), None);
    }

    #[test]
    fn the_day_is_told_when_it_is_the_tighter_window() {
        let limiter = limiter(2, 3);
        let count = |second| limiter.count(Some(&user(1)), ALL, HERE, at(second));
        for second in [0, 1, 60] {
            assert_eq!(count(second).wait(), None);
        }
        assert_eq!(count(61).wait(), Some(86_400 - 61));
    }

    #[test]
    fn callers_do_not_share() {
        let limiter = limiter(1, 0);
        let (one, other) = (user(1), user(2));
        let key = key(Kind::User, None, None);
        let elsewhere = "192.0.2.1".parse().unwrap();
        for (principal, client) in [(Some(&one), HERE), (Some(&other), HERE), (Some(&key), HERE), (None, HERE), (None, elsewhere)] {
            assert_eq!(limiter.count(principal, ALL, client, at(0)).wait(), None);
            assert_eq!(limiter.count(principal, ALL, client, at(0)).wait(), Some(60));
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller_and_an_address_of_ipv4_is_one_however_it_is_written() {
        let limiter = limiter(1, 0);
        let is_refused = |address: &str| limiter.count(None, ALL, address.parse().unwrap(), at(0)).wait().is_some();
        assert!(!is_refused("2001:db8:1:2::1"));
        assert!(is_refused("2001:db8:1:2:ffff::9"));
        assert!(!is_refused("2001:db8:1:3::1"));
        assert!(!is_refused("192.0.2.1"));
        assert!(is_refused("::ffff:192.0.2.1"));
        assert!(!is_refused("192.0.2.2"));
    }

    #[test]
    fn the_policy_names_the_windows_of_this_caller_and_no_other() {
        let limiter = limiter(300, 10_000);
        let of = |principal: &Principal| policy(&limiter.count(Some(principal), ALL, HERE, at(0)));
        assert_eq!(of(&user(1)), "300;w=60, 10000;w=86400");
        assert_eq!(of(&key(Kind::Organization, None, None)), "300;w=60, 10000;w=86400");
        assert_eq!(of(&key(Kind::Organization, Some(1_000), None)), "1000;w=60, 10000;w=86400");
        assert_eq!(of(&key(Kind::User, None, Some(500))), "300;w=60, 500;w=3600, 10000;w=86400");
        assert_eq!(of(&key(Kind::User, Some(5), Some(50))), "5;w=60, 50;w=3600, 10000;w=86400");
        assert_eq!(of(&key(Kind::Publishable, None, None)), "100;w=60, 10000;w=86400");
        assert_eq!(of(&key(Kind::Publishable, Some(7), None)), "7;w=60, 10000;w=86400");
        // What a key was given before its organization had less.
        assert_eq!(of(&key(Kind::User, Some(7_000), Some(1_000_000))), "6000;w=60, 360000;w=3600, 10000;w=86400");
    }

    #[test]
    fn an_organization_can_have_another_day_or_none_and_less_for_its_keys_in_a_minute() {
        let limiter = limiter(300, 10_000);
        let of = |principal: &Principal, own: OrganizationLimits| policy(&limiter.count(Some(principal), own, HERE, at(0)));
        let day = |day| OrganizationLimits { requests_per_day: Some(day), ..ALL };
        assert_eq!(of(&key(Kind::Organization, None, None), day(20)), "300;w=60, 20;w=86400");
        assert_eq!(of(&key(Kind::Organization, None, None), day(0)), "300;w=60");
        let minute = OrganizationLimits { requests_per_minute: Some(50), ..ALL };
        assert_eq!(of(&key(Kind::Organization, Some(60), Some(10_000)), minute), "50;w=60, 3000;w=3600, 10000;w=86400");
    }

    #[test]
    fn without_limits_nothing_is_told_but_what_a_key_was_given() {
        let limiter =
            Limiter::new(RateLimits { per_minute: 0, per_day: 0, attempts_per_minute: 0, organization_per_minute: 0 }, Room::default());
        assert_eq!(policy(&limiter.count(Some(&user(1)), ALL, HERE, at(0))), "");
        assert_eq!(policy(&limiter.count(Some(&key(Kind::Publishable, None, None)), ALL, HERE, at(0))), "");
        assert_eq!(policy(&limiter.count(Some(&key(Kind::User, Some(5), None)), ALL, HERE, at(0))), "5;w=60");
        assert_eq!(policy(&limiter.attempt(LimitClass::SignIn, Attempts::Here, HERE, at(0))), "");
    }

    #[test]
    fn a_limit_that_is_changed_holds_for_what_was_used_before() {
        let limiter = limiter(300, 10_000);
        for _ in 0..10 {
            assert_eq!(limiter.count(Some(&key(Kind::User, None, None)), ALL, HERE, at(0)).wait(), None);
        }
        assert_eq!(limiter.count(Some(&key(Kind::User, Some(10), None)), ALL, HERE, at(0)).wait(), Some(60));
        assert_eq!(limiter.count(Some(&key(Kind::User, Some(11), None)), ALL, HERE, at(0)).wait(), None);
        assert_eq!(limiter.count(Some(&key(Kind::User, Some(300), Some(11))), ALL, HERE, at(0)).wait(), Some(3_600));
    }

    #[test]
    fn attempts_are_counted_by_address_and_account_and_told_beside_the_usual_windows() {
        let limiter = limiter(300, 10_000);
        let sign_in = |account: &str| limiter.attempt(LimitClass::SignIn, Attempts::HereFor(account), HERE, at(0));
        for _ in 0..10 {
            assert_eq!(sign_in("ada@example.com").wait(), None);
        }
        assert_eq!(sign_in("ada@example.com").wait(), Some(60));
        assert_eq!(sign_in("alan@example.com").wait(), None);
        let mut limit_status = limiter.count(None, ALL, HERE, at(0));
        limit_status.add(sign_in("alan@example.com"));
        assert_eq!(policy(&limit_status), "10;w=60, 300;w=60, 10000;w=86400");
        assert_eq!(header(&limit_status, "ratelimit-remaining", at(0)), "8");
        let refresh = || limiter.attempt(LimitClass::Refresh, Attempts::Here, HERE, at(0));
        assert!((0..20).all(|_| refresh().wait().is_none()) && refresh().wait().is_some());
        limiter.give_back(LimitClass::Refresh, Attempts::Here, HERE, at(0));
        assert_eq!(refresh().wait(), None);
        let elsewhere = "192.0.2.1".parse().unwrap();
        let token = |client| limiter.attempt(LimitClass::Token, Attempts::EverywhereFor("app"), client, at(0));
        assert!((0..5).all(|_| token(HERE).wait().is_none() && token(elsewhere).wait().is_none()));
        assert!(token(HERE).wait().is_some());
    }

    #[test]
    fn those_who_have_signed_in_are_not_forgotten_for_a_flood_of_strangers() {
        let limiter = limiter(1, 0);
        assert_eq!(limiter.count(Some(&user(1)), ALL, HERE, at(0)).wait(), None);
        for number in 0..=UNKNOWN as u32 {
            limiter.count(None, ALL, IpAddr::from(number.to_be_bytes()), at(0));
        }
        assert!(limiter.unknown.bytes() <= UNKNOWN * 152, "{} bytes", limiter.unknown.bytes());
        assert_eq!(limiter.count(Some(&user(1)), ALL, HERE, at(0)).wait(), Some(60));
    }
}
