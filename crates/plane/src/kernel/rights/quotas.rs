//! Quotas: what one organization may have at a time, and how often all of its callers together may come. The server's operators set them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sql::{Statement, sql};
use uuid::Uuid;

use crate::known_limits::OrganizationLimits;
pub use crate::known_limits::Quotas;
use crate::principal::Principal;
use crate::{Cx, Error, Plane, Result};

sql::words! {
    /// Of what an organization may have so much and no more.
    pub enum Quota {
        /// API keys.
        ApiKeys = "api_keys",
        /// Webhooks.
        Webhooks = "webhooks",
        /// OAuth apps.
        OauthApps = "oauth_apps",
        /// Exports.
        Exports = "exports",
        /// Invitations.
        Invitations = "invitations",
        /// Requests.
        Requests = "requests",
    }
}

impl Quota {
    pub(crate) fn limit(self, quotas: &Quotas) -> u32 {
        match self {
            Quota::ApiKeys => quotas.api_keys,
            Quota::Webhooks => quotas.webhooks,
            Quota::OauthApps => quotas.oauth_apps,
            Quota::Exports => quotas.exports,
            Quota::Invitations => quotas.invitations,
            Quota::Requests => quotas.requests_per_minute,
        }
    }

    /// How many the organization `$1` has, of what can end by itself at the time `$2`, and whether it can.
    pub(crate) fn count(self) -> Option<(Statement, bool)> {
        Some(match self {
            Quota::ApiKeys => {
                (sql!("SELECT count(*) FROM api_keys WHERE organization_id = $1 AND (expires_at IS NULL OR expires_at > $2)"), true)
            }
            Quota::Webhooks => (sql!("SELECT count(*) FROM webhooks WHERE organization_id = $1 AND state = 'live'"), false),
            Quota::OauthApps => (sql!("SELECT count(*) FROM oauth_apps WHERE organization_id = $1 AND state = 'live'"), false),
            Quota::Exports => {
                let statement = sql!(
                    "SELECT count(*) FROM exports
                     WHERE organization_id = $1 AND deletion_id IS NULL AND state IN ('waiting', 'running', 'done')
                       AND (expires_at IS NULL OR expires_at > $2)"
                );
                (statement, true)
            }
            Quota::Invitations => {
                (sql!("SELECT count(*) FROM invitations WHERE organization_id = $1 AND status = 'pending' AND expires_at > $2"), true)
            }
            Quota::Requests => return None,
        })
    }

    pub(crate) fn words(self, limit: u32) -> String {
        match self {
            Quota::ApiKeys => {
                format!("This organization has {limit} API keys, as many as it may have: revoke one that is not used any more.")
            }
            Quota::Webhooks => format!("An organization can have {limit} webhooks: delete one first."),
            Quota::OauthApps => format!("This organization has {limit} OAuth apps, as many as it may have: delete one first."),
            Quota::Exports => {
                format!("The organization has {limit} exports, and no more are kept at a time: delete one, or wait until one expires.")
            }
            Quota::Invitations => {
                format!("This organization has {limit} pending invitations, as many as it may have: cancel one, or wait until one expires.")
            }
            Quota::Requests => {
                format!("This organization has made {limit} requests in this minute, as many as all its callers together may.")
            }
        }
    }
}

/// How often quotas refused something since the start, and how often each organization came in this minute.
#[derive(Default)]
pub(crate) struct Usage {
    refusals: [AtomicU64; Quota::ALL.len()],
    requests: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    number: i64,
    requests: HashMap<Uuid, u32>,
}

impl Usage {
    /// How often each quota refused something.
    pub(crate) fn refusals(&self) -> [(&'static str, u64); Quota::ALL.len()] {
        Quota::ALL.map(|quota| (quota.name(), self.refusals[quota as usize].load(Ordering::Relaxed)))
    }

    pub(crate) fn refuse(&self, quota: Quota) {
        self.refusals[quota as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request of an organization. Returns the seconds until there are some left, when there were too many.
    fn count(&self, organization: Uuid, most: u32, now: Timestamp) -> Option<i64> {
        let (number, second) = (now.as_second().div_euclid(60), now.as_second().rem_euclid(60));
        let mut minute = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // Two requests around the end of a minute may come in the wrong order. Further ahead was only a clock that was wrong.
        if number > minute.number || number + 1 < minute.number {
            *minute = Minute { number, requests: HashMap::new() };
        }
        let requests = minute.requests.entry(organization).or_default();
        if *requests >= most {
            return Some(60 - second);
        }
        *requests += 1;
        None
    }
}

/// Counts a request that came into an organization. What it does there further on is the same request.
pub(crate) fn count_request(cx: &Cx, organization: Uuid) -> Result<()> {
    let most = cx.plane.requests_per_minute(Some(organization));
    if most == 0 || cx.noted_organization() == Some(organization) {
        return Ok(());
    }
    match cx.plane.memory.of::<Usage>().count(organization, most, cx.now) {
        None => Ok(()),
        Some(seconds) => {
            cx.plane.memory.of::<Usage>().refuse(Quota::Requests);
            Err(Error::Throttled(Quota::Requests.words(most), seconds))
        }
    }
}

impl Plane {
    /// The limits of the organization that a credential is good in alone; those for all where it is bound to none.
    pub fn limits_of(&self, principal: Option<&Principal>) -> OrganizationLimits {
        principal
            .and_then(|principal| principal.organization)
            .map(|organization| self.organization_limits.of(organization))
            .unwrap_or_default()
    }

    /// Requests a minute of all callers of an organization together, or of any that operators have said nothing of; 0 is no limit.
    pub(crate) fn requests_per_minute(&self, organization: Option<Uuid>) -> u32 {
        let own = organization.and_then(|organization| self.organization_limits.of(organization).requests_per_minute);
        own.unwrap_or(self.config.quotas.requests_per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_by_a_clock_that_was_ahead_keeps_no_one_out() {
        let (usage, organization) = (Usage::default(), Uuid::from_u128(1));
        let time = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(usage.count(organization, 1, time(1_700_086_400)), None);
        assert!(usage.count(organization, 1, time(1_700_086_400)).is_some());
        assert_eq!(usage.count(organization, 1, time(1_700_000_000)), None);
    }

    #[test]
    fn all_requests_of_an_organization_count_together_and_a_new_minute_begins_anew() {
        let usage = Usage::default();
        let count = |organization, second| usage.count(Uuid::from_u128(organization), 2, Timestamp::from_second(second).unwrap());
        assert_eq!([count(1, 60), count(1, 61), count(1, 75), count(2, 75)], [None, None, Some(45), None]);
        assert_eq!([count(1, 119), count(1, 120)], [Some(1), None]);
        assert_eq!(usage.requests.lock().unwrap().requests.len(), 1);
    }
}
