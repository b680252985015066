//! The terms of an API key: whether it is switched on, from which addresses it may come, and how often.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use crate::fields::Check;
use crate::key_format::Kind;
use crate::{Error, Result};

/// Requests a minute that a key can be given.
pub const PER_MINUTE: RangeInclusive<u32> = 1..=1_000_000;
/// Requests an hour that a key can be given.
pub const PER_HOUR: RangeInclusive<u32> = 1..=60_000_000;
/// Requests a minute that a publishable key has, and can be given at the most.
pub const PUBLISHABLE_PER_MINUTE: u32 = 100;
/// Addresses and networks in a key's list at the most.
pub const MOST_ADDRESSES: usize = 50;

/// What a good key is bound to beside its scopes and its end.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What its maker called it.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: Kind,
    /// Whether it is switched on.
    pub is_active: bool,
}

/// Limits that a key was given of its own, and what made a key or the app of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnTerms {
    /// Requests a minute, 1 to 1,000,000.
    pub rate_limit_per_minute: Option<NonZeroU32>,
    /// Requests an hour, 1 to 60,000,000.
    pub rate_limit_per_hour: Option<NonZeroU32>,
    /// Where it may be used from; anywhere if empty.
    pub allowed_ips: Vec<IpNet>,
    /// The credentials in whose line it is.
    pub makers: Vec<Uuid>,
}

impl OwnTerms {
    /// None where nothing is limited.
    pub(crate) fn kept(self) -> Option<Arc<OwnTerms>> {
        (self != OwnTerms::default()).then(|| Arc::new(self))
    }
}

impl Terms {
    /// Fails unless the key can be used now and from this address.
    ///
    /// # Errors
    /// [`Error::Inactive`]; [`Error::Forbidden`] for an address that is not on its list. The words name the remedy: only who has the key
    /// sees them.
    pub(crate) fn admit(&self, own: Option<&OwnTerms>, client: Option<IpAddr>) -> Result<()> {
        if !self.is_active {
            return Err(Error::Inactive("This API key is switched off: an owner or admin of its organization can set isActive to true."));
        }
        let allowed_ips = own.map_or(&[][..], |own| &own.allowed_ips);
        let is_allowed = |client: IpAddr| allowed_ips.iter().any(|network| network.contains(&client.to_canonical()));
        if allowed_ips.is_empty() || client.is_some_and(is_allowed) {
            return Ok(());
        }
        let from = client.map_or_else(|| "an unknown address".to_owned(), |client| client.to_string());
        Err(Error::Forbidden(format!(
            "This API key is not allowed from {from}: use it from an address in its allowedIps, or have an owner or admin add this one."
        )))
    }
}

/// Reads addresses and networks and gives them back in one spelling, each once. What cannot be read is an error of its field.
pub(crate) fn check_addresses(check: &mut Check, texts: &[String]) -> Vec<String> {
    if texts.len() > MOST_ADDRESSES {
        check.refuse("allowed_ips", "too_many", format!("must have {MOST_ADDRESSES} entries at the most"));
        return Vec::new();
    }
    let mut addresses: Vec<String> = Vec::new();
    for (place, text) in texts.iter().enumerate() {
        match read_address(text) {
            Some(address) if addresses.contains(&address) => {}
            Some(address) => addresses.push(address),
            None => check.refuse(
                &format!("allowed_ips.{place}"),
                "invalid_address",
                "must be an IP address or a network, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32",
            ),
        }
    }
    addresses
}

/// A single address stays one, a network loses the bits behind its length, and an IPv4 address written as IPv6 becomes IPv4 again.
fn read_address(text: &str) -> Option<String> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(address.to_canonical().to_string()),
        Err(_) => text.parse::<IpNet>().ok().map(|network| network.trunc().to_string()),
    }
}

/// The networks as the database holds them.
pub(crate) fn networks_from(texts: &[String]) -> Result<Vec<IpNet>> {
    let network = |text: &String| text.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse().ok());
    let networks: Option<Vec<IpNet>> = texts.iter().map(network).collect();
    networks.ok_or_else(|| Error::Internal("the addresses of a key cannot be read".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(allowed_ips: &[&str], client: Option<&str>) -> Result<()> {
        let texts: Vec<String> = allowed_ips.iter().map(|text| read_address(text).unwrap()).collect();
        let own = OwnTerms { allowed_ips: networks_from(&texts).unwrap(), ..OwnTerms::default() }.kept();
        let terms = Terms { name: "Key".into(), kind: Kind::Organization, is_active: true };
        terms.admit(own.as_deref(), client.map(|client| client.parse().unwrap()))
    }

    #[test]
    fn a_key_is_good_from_the_addresses_on_its_list_and_from_everywhere_without_one() {
        let key = ["192.0.2.7", "10.1.2.3/8", "2001:db8::/32", "::ffff:198.51.100.1"];
        for good in ["192.0.2.7", "10.255.0.1", "2001:db8:ffff::1", "::ffff:192.0.2.7", "198.51.100.1"] {
            assert!(admit(&key, Some(good)).is_ok(), "{good}");
        }
        for bad in ["192.0.2.8", "11.0.0.1", "2001:db9::1", "::1", "0.0.0.0"] {
            assert!(matches!(admit(&key, Some(bad)), Err(Error::Forbidden(_))), "{bad}");
        }
        assert!(matches!(admit(&key, None), Err(Error::Forbidden(_))));
        assert!(admit(&[], None).is_ok() && admit(&[], Some("203.0.113.9")).is_ok());
    }

    #[test]
    fn addresses_have_one_spelling() {
        assert_eq!(read_address("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(read_address("2001:DB8:0:0::1").as_deref(), Some("2001:db8::1"));
        for wrong in ["", "10.0.0", "10.0.0.0/33", "example.com", "10.0.0.1:80", "fe80::1%eth0", "10.0.0.0/", "010.0.0.1"] {
            assert_eq!(read_address(wrong), None, "{wrong}");
        }
    }
}
