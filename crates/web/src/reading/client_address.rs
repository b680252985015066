//! Whose request it is by address: the peer's, or behind proxies that the operator trusts the one they pass on. Nothing else is believed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::IpNet;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = String;

    /// Reads addresses and networks with commas between them; none from an empty text.
    fn from_str(text: &str) -> Result<TrustedProxies, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| part.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| part.parse().ok());
        let networks: Result<Vec<IpNet>, String> = parts
            .map(|part| network(part).ok_or_else(|| format!("{part} is neither an address nor a network such as 10.0.0.0/8")))
            .collect();
        Ok(TrustedProxies(networks?))
    }
}

impl TrustedProxies {
    /// The client's address. Behind a trusted peer it is the right-most entry of `X-Forwarded-For` that is not a trusted proxy itself: what
    /// stands to the left of it was written by the client. Where an entry is no address, the proxy that passed it on is as far as can be known.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default()).collect();
        let mut entries = lines.iter().rev().flat_map(|line| line.rsplit(','));
        while self.is_trusted(client) {
            let Some(address) = entries.next().and_then(read) else { break };
            client = address;
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An entry: an address, with a port and brackets around IPv6 if the proxy adds them.
fn read(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse::<IpAddr>().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        trusted.parse::<TrustedProxies>().unwrap().client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn no_proxy_is_believed_unless_the_operator_said_so() {
        assert_eq!(client("", "203.0.113.1", &["192.0.2.1"]), "203.0.113.1");
        assert_eq!(client("10.0.0.0/8", "203.0.113.1", &["192.0.2.1"]), "203.0.113.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn it_is_the_right_most_address_that_is_no_trusted_proxy() {
        let trusted = "10.0.0.0/8, 2001:db8::1";
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.66, 192.0.2.1, 10.9.9.9"]), "192.0.2.1");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.66", "192.0.2.1", "10.9.9.9, 2001:db8::1"]), "192.0.2.1");
        assert_eq!(client(trusted, "::ffff:10.0.0.1", &["::ffff:192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(client(trusted, "10.0.0.1", &["[2001:db8:2::5]:4711"]), "2001:db8:2::5");
        assert_eq!(client(trusted, "10.0.0.1", &["[2001:db8:2::5]"]), "2001:db8:2::5");
    }

    #[test]
    fn what_is_no_address_ends_the_search_where_it_is() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.1, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.1, unknown, 10.0.0.7"]), "10.0.0.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["", ","]), "10.0.0.1");
    }

    #[test]
    fn networks_are_read_and_anything_else_is_refused() {
        assert!("10.0.0.0/8,::1".parse::<TrustedProxies>().is_ok());
        for wrong in ["proxy", "10.0.0.0/33", "10.0.0.0/8;::1"] {
            assert!(wrong.parse::<TrustedProxies>().is_err(), "{wrong}");
        }
    }
}
