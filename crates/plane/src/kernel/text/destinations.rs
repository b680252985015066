//! Which addresses this server may call when a member chose them: the public internet, and what its operator allowed besides.
//!
//! Pure decisions, no network. A URL is looked at when it is registered and again before every call; the addresses that a host's name
//! resolves to are looked at before each connection, since a name may change its mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

pub use ipnet::IpNet as Network;
use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::FieldError;

/// Characters of a URL at the most.
const MOST_CHARACTERS: usize = 2_000;

/// Ports from one to another.
pub type Ports = RangeInclusive<u16>;

/// The ports that webhooks may lead to unless the operator says otherwise: those of the web, and those that no well-known service has.
/// Mail, remote shells and the like are not to be spoken to in another's name.
pub const USUAL_PORTS: [Ports; 3] = [80..=80, 443..=443, 1024..=65_535];

/// What may be called.
#[derive(Debug, Clone)]
pub struct Destinations {
    allowed: Vec<Network>,
    ports: Vec<Ports>,
}

impl Default for Destinations {
    fn default() -> Destinations {
        Destinations::new(Vec::new())
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

/// What of IPv4 is not the public internet (IANA's registry of special-purpose addresses).
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),       // this host, unspecified
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared by carriers
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, and clouds' metadata
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // relays of 6to4
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// The only part of IPv6 that is given out to the public. Outside of it are loopback, unspecified, addresses that carry one of IPv4
/// (`::ffff:0:0/96`, `::/96`, NAT64's `64:ff9b::/96` and `64:ff9b:1::/48`), unique local, link-local, site-local and multicast.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What is not public within it.
const SPECIAL_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23),      // protocol assignments: Teredo, benchmarks, ORCHID
    v6(0x2001, 0x0db8, 32), // documentation
    v6(0x2002, 0, 16),      // 6to4, which carries an address of IPv4
    v6(0x3fff, 0, 20),      // documentation
];

/// Whether an address belongs to the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => PUBLIC_V6.contains(&address) && !SPECIAL_V6.iter().any(|network| network.contains(&address)),
    }
}

/// Reads a network such as `10.1.0.0/16`, or a single address.
///
/// # Errors
/// Words for the person who typed it.
pub fn parse_network(text: &str) -> Result<Network, String> {
    let text = text.trim();
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(Network::from));
    network.map_err(|_| format!("{text} is not a network: write it like 10.1.0.0/16 or fd00:1::/64"))
}

/// Reads a port such as `443`, or a range of them such as `1024-65535`.
///
/// # Errors
/// Words for the person who typed it.
pub fn parse_ports(text: &str) -> Result<Ports, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => Ok(first..=last),
        _ => Err(format!("{text} is neither a port nor a range of ports: write it like 443 or 1024-65535")),
    }
}

/// Reads the address of a web page or picture, of any host.
///
/// # Errors
/// What is wrong with it and what to send instead, for the field of this name.
pub fn check_link(field: &str, text: &str) -> Result<Url, FieldError> {
    let refuse = |code, message: &str| Err(FieldError::new(field, code, message));
    if text.chars().count() > MOST_CHARACTERS {
        return refuse("too_long", "must have 2000 characters at the most");
    }
    if text.chars().any(|character| character.is_whitespace() || character.is_control() || character == '\\') {
        return refuse("invalid_url", "must not contain spaces, control characters or backslashes");
    }
    let (Ok(url), Some((_, rest))) = (Url::parse(text), text.split_once("://")) else { return refuse("invalid_url", A_URL) };
    if !matches!(url.scheme(), "https" | "http") {
        return refuse("invalid_scheme", "must start with https:// or http://");
    }
    // Between the slashes: what a reader takes for the host must be all of it.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return refuse("has_credentials", "must not contain a name or password");
    }
    if authority.is_empty() || url.host().is_none() {
        return refuse("invalid_url", A_URL);
    }
    Ok(url)
}

impl Destinations {
    /// The public internet and these networks, on the [usual ports](USUAL_PORTS).
    pub fn new(allowed: Vec<Network>) -> Destinations {
        Destinations { allowed, ports: USUAL_PORTS.into() }
    }

    /// The same on these ports.
    pub fn on_ports(self, ports: Vec<Ports>) -> Destinations {
        Destinations { ports, ..self }
    }

    /// Whether an address may be called at all.
    pub fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.is_allowed(address)
    }

    /// Whether an address lies in a network that the operator allowed: what goes there may go unencrypted.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(&address))
    }

    /// Reads a URL that a member wants this server to call. What comes back is in its one normal form: every other spelling of an address
    /// of IPv4 (`2130706433`, `0x7f.1`, `127.1`, `①②⑦.0.0.1`) has become its usual one and was judged as such.
    ///
    /// # Errors
    /// What is wrong with it and what to send instead, for the field of this name.
    pub fn check(&self, field: &str, text: &str) -> Result<Url, FieldError> {
        let refuse = |code, message: &str| Err(FieldError::new(field, code, message));
        let url = check_link(field, text)?;
        if url.fragment().is_some() {
            return refuse("has_fragment", "must not contain a fragment (#…): it is never sent");
        }
        let (is_reachable, may_be_plain, is_own) = match url.host() {
            Some(Host::Ipv4(address)) => (self.permits(address.into()), self.is_allowed(address.into()), self.is_allowed(address.into())),
            Some(Host::Ipv6(address)) => (self.permits(address.into()), self.is_allowed(address.into()), self.is_allowed(address.into())),
            Some(Host::Domain(name)) if is_localhost(name) => (self.allows_loopback(), self.allows_loopback(), self.allows_loopback()),
            // Whether its addresses may be called is found out at each delivery.
            Some(Host::Domain(_)) => (true, !self.allowed.is_empty(), false),
            None => return refuse("invalid_url", A_URL),
        };
        if !is_reachable {
            return refuse("not_public", NOT_PUBLIC);
        }
        if url.scheme() == "http" && !may_be_plain {
            return refuse("invalid_scheme", "must start with https:// (http:// only within networks named with --webhook-allow)");
        }
        // A network that the operator named is the operator's, with all of its ports.
        if !is_own && !url.port_or_known_default().is_some_and(|port| self.ports.iter().any(|ports| ports.contains(&port))) {
            let ports: Vec<String> = self.ports.iter().map(in_words).collect();
            let words =
                format!("must use one of the ports {}; the operator of this server can name others with --webhook-ports", ports.join(", "));
            return refuse("port_not_allowed", &words);
        }
        Ok(url)
    }

    fn allows_loopback(&self) -> bool {
        self.is_allowed(Ipv4Addr::LOCALHOST.into()) || self.is_allowed(Ipv6Addr::LOCALHOST.into())
    }
}

fn in_words(ports: &Ports) -> String {
    if ports.start() == ports.end() { ports.start().to_string() } else { format!("{}-{}", ports.start(), ports.end()) }
}

const A_URL: &str = "must be a URL such as https://example.com/path";
const NOT_PUBLIC: &str = "must be an address on the public internet; the operator of this server can allow networks of its own with \
                          --webhook-allow";

/// Names that always mean this machine (RFC 6761), whatever a resolver says. A dot at the end changes nothing.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Url, FieldError> {
        Destinations::default().check("url", text)
    }

    #[test]
    fn every_spelling_of_an_address_that_is_not_public_is_refused() {
        let hosts = [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.1",
            "127.0.1",
            "0",
            "0.0.0.0",
            "①②⑦.⓪.⓪.①",
            "①②⑦．⓪．⓪．①",
            "１２７。０。０。１",
            "127%2e0%2e0%2e1",
            "%31%32%37.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "0xa9fea9fe",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:8.8.8.8]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b:1::a00:1]",
            "[100::1]",
            "[2001::1]",
            "[2001:0:7f00:1::]",
            "[2001:2::1]",
            "[2001:10::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[2002:a9fe:a9fe::1]",
            "[3fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fec0::1]",
            "[ff02::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "ｌｏｃａｌｈｏｓｔ",
            "a.localhost",
            "a.b.localhost.",
        ];
        for host in hosts {
            for url in [format!("https://{host}/hook"), format!("https://{host}:8443")] {
                let refused = check(&url).unwrap_err();
                assert_eq!(refused.code, "not_public", "{url}");
                assert!(refused.message.contains("--webhook-allow"), "the remedy is named");
            }
        }
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused_with_its_own_word() {
        let urls = [
            ("", "invalid_url"),
            ("example.com", "invalid_url"),
            ("https://", "invalid_url"),
            ("https:// example.com", "invalid_url"),
            ("https://example.com\\@127.0.0.1/", "invalid_url"),
            ("https://exa\tmple.com/", "invalid_url"),
            ("https://[fe80::1%25eth0]/", "invalid_url"),
            ("https://[fe80::1%eth0]/", "invalid_url"),
            ("https://1.2.3.4.5/", "invalid_url"),
            ("https://256.1.1.1/", "invalid_url"),
            ("https://example.com:99999/", "invalid_url"),
            ("https://exa<mple.com/", "invalid_url"),
            ("http://example.com/", "invalid_scheme"),
            ("ftp://example.com/", "invalid_scheme"),
            ("file:///etc/passwd", "invalid_scheme"),
            ("gopher://example.com/", "invalid_scheme"),
            ("https://user@example.com/", "has_credentials"),
            ("https://user:password@example.com/", "has_credentials"),
            ("https://example.com@127.0.0.1/", "has_credentials"),
            ("https://:@example.com/", "has_credentials"),
            ("https://@example.com/", "has_credentials"),
            ("https://example.com/#part", "has_fragment"),
        ];
        for (url, code) in urls {
            assert_eq!(check(url).unwrap_err().code, code, "{url}");
        }
        assert_eq!(check(&format!("https://example.com/{}", "a".repeat(2_000))).unwrap_err().code, "too_long");
    }

    #[test]
    fn what_is_public_passes_in_its_normal_form() {
        let urls = [
            ("https://example.com", "https://example.com/"),
            ("HTTPS://Example.COM:443/a?b=@c", "https://example.com/a?b=@c"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://134744072/", "https://8.8.8.8/"),
            ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
            ("https://notlocalhost/", "https://notlocalhost/"),
            ("https://172.32.0.1/", "https://172.32.0.1/"),
            ("https://100.128.0.1/", "https://100.128.0.1/"),
        ];
        for (url, normal) in urls {
            assert_eq!(check(url).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn a_webhook_leads_to_the_ports_of_the_web_or_to_those_that_the_operator_names() {
        for port in [1, 22, 25, 110, 445, 993, 1023] {
            let refused = check(&format!("https://example.com:{port}/")).unwrap_err();
            assert!(refused.code == "port_not_allowed" && refused.message.contains("--webhook-ports"), "{port}");
        }
        for port in [80, 443, 1024, 8443, 65_535] {
            assert!(check(&format!("https://example.com:{port}/")).is_ok(), "{port}");
        }
        let strict = Destinations::default().on_ports(vec![parse_ports("443").unwrap(), parse_ports("8000-8443").unwrap()]);
        assert!(strict.check("url", "https://example.com/").is_ok() && strict.check("url", "https://example.com:8443/").is_ok());
        assert!(strict.check("url", "https://example.com:8444/").unwrap_err().message.contains("443, 8000-8443"));
        for text in ["", "0", "65536", "9-8", "a", "1-", "-1"] {
            assert!(parse_ports(text).unwrap_err().contains("write it like"), "{text:?}");
        }
    }

    #[test]
    fn a_link_is_of_the_web() {
        for text in
            ["https://example.com/logo.png", "http://10.0.0.1:8080/a?b#c", "HTTPS://bücher.example/ä.svg", "https://[2001:db8::1]/x"]
        {
            assert!(check_link("logo", text).is_ok(), "{text}");
        }
        let bad = [
            "",
            "logo.png",
            "//example.com/logo.png",
            "https:example.com",
            "https:/example.com/",
            "https://",
            "https:///logo.png",
            "https://exa mple.com/",
            "javascript:alert(1)",
            "JavaScript://example.com/%0aalert(1)",
            "data:image/png;base64,AAAA",
            "file:///etc/passwd",
            "ftp://example.com/x",
            "https://a@example.com/",
            "https://example.com\\x",
            "https://256.1.1.1/",
            "https://example.com:99999/",
            "https://xn--a/",
            "blob:https://x/",
        ];
        for text in bad {
            assert!(check_link("logo", text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_allowed_network_opens_itself_and_nothing_else() {
        let allowed = Destinations::new(vec![parse_network("127.0.0.0/8").unwrap(), parse_network("10.1.2.3").unwrap()]);
        for url in ["http://127.0.0.1:8080/", "https://0x7f.1/", "http://10.1.2.3/", "http://localhost/", "http://example.com/"] {
            assert!(allowed.check("url", url).is_ok(), "{url}");
        }
        assert!(allowed.check("url", "http://127.0.0.1:9/").is_ok() && allowed.check("url", "http://example.com:9/").is_err());
        for url in ["https://10.1.2.4/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "http://8.8.8.8/", "https://192.168.0.1/"] {
            assert!(allowed.check("url", url).is_err(), "{url}");
        }
        assert!(parse_network("10.0.0.0/33").unwrap_err().contains("write it like"));
    }
}
