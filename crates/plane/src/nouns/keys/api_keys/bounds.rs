//! What a credential can give an API key that it makes or changes: nothing that it has not itself. A person gives what their role allows.

use ipnet::IpNet;
use jiff::Timestamp;

use super::{ApiKey, Kind, OwnTerms, PUBLISHABLE_PER_MINUTE};
use crate::Result;
use crate::fields::Check;
use crate::key_terms::networks_from;
use crate::principal::{CredentialKind, Principal};

const CODE: &str = "wider_than_own";

/// Gives a new key, where nothing is said, the limits that its maker has itself.
pub(super) fn inherit(principal: &Principal, key: &mut ApiKey) {
    if principal.kind == CredentialKind::Session {
        return;
    }
    key.expires_at = key.expires_at.or(principal.expires_at.map(Into::into));
    let Some(OwnTerms { rate_limit_per_minute, rate_limit_per_hour, allowed_ips, .. }) = principal.own.as_deref() else { return };
    if key.allowed_ips.is_empty() {
        key.allowed_ips = allowed_ips.iter().map(spelled).collect();
    }
    let most = if key.kind == Kind::Publishable { PUBLISHABLE_PER_MINUTE } else { u32::MAX };
    key.rate_limit_per_minute = key.rate_limit_per_minute.or(rate_limit_per_minute.map(|own| own.get().min(most)));
    key.rate_limit_per_hour = key.rate_limit_per_hour.or(rate_limit_per_hour.map(Into::into));
}

/// As addresses are spelled here: a single one without a length.
fn spelled(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

/// Checks that a key gets no more than the credential has that gives it. Of a key that there was before, what stays as it is was given by another; one
/// that is switched on gets all it has.
pub(super) fn check(check: &mut Check, principal: &Principal, key: &ApiKey, before: Option<&ApiKey>) -> Result<()> {
    if principal.kind == CredentialKind::Session {
        return Ok(());
    }
    let before = before.filter(|before| before.is_active || !key.is_active);
    for (place, scope) in key.scopes.iter().enumerate() {
        let was_there = before.is_some_and(|before| before.scopes.contains(scope));
        if !was_there && principal.scopes.is_some_and(|held| !held.covers(scope)) {
            check.refuse(&format!("scopes.{place}"), CODE, "a key cannot give a key scopes it lacks itself");
        }
    }
    let own_end = principal.expires_at.map(Timestamp::from);
    let is_new_end = before.is_none_or(|before| before.expires_at != key.expires_at);
    if is_new_end && own_end.is_some_and(|own| key.expires_at.is_none_or(|end| end > own)) {
        check.refuse("expires_at", CODE, "must not be later than the end of the credential that gives it");
    }
    let Some(own) = principal.own.as_deref() else { return Ok(()) };
    let is_new_list = before.is_none_or(|before| before.allowed_ips != key.allowed_ips);
    if is_new_list && !own.allowed_ips.is_empty() {
        let networks = networks_from(&key.allowed_ips)?;
        let is_within = |network: &IpNet| own.allowed_ips.iter().any(|own| own.contains(network));
        if networks.is_empty() || !networks.iter().all(is_within) {
            check.refuse("allowed_ips", CODE, "must name only addresses that the credential itself is allowed from");
        }
    }
    let limits = [
        ("rate_limit_per_minute", own.rate_limit_per_minute, key.rate_limit_per_minute, before.map(|before| before.rate_limit_per_minute)),
        ("rate_limit_per_hour", own.rate_limit_per_hour, key.rate_limit_per_hour, before.map(|before| before.rate_limit_per_hour)),
    ];
    for (field, own, given, before) in limits {
        let is_wider = own.is_some_and(|own| given.is_none_or(|given| given > own.get()));
        if before != Some(given) && is_wider {
            check.refuse(field, CODE, "must not be above the limit of the credential that gives it");
        }
    }
    Ok(())
}
