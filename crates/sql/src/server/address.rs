//! The address of a PostgreSQL database: a URL as libpq reads it (PostgreSQL's manual, "Connection URIs"), with TLS, which the driver leaves to
//! others.
//!
//! Nothing goes over a network unencrypted, or to a server that is not who it says, unless the address asks for that.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::describe;
use crate::{Error, Result};

/// What the driver knows, as parameters of a URL.
const KNOWN: [&str; 14] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "options",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// What this file knows besides.
const OF_TLS: [&str; 4] = ["sslcert", "sslkey", "sslmode", "sslrootcert"];

/// How much TLS an address asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    /// If the server has it. An attacker on the way can say that it has not.
    Prefer,
    /// With any server that answers.
    Require,
    /// With a server that an authority knows.
    VerifyCa,
    /// With a server that an authority knows by this name.
    VerifyFull,
}

impl Mode {
    const ALL: [(&'static str, Mode); 5] = [
        ("disable", Mode::Disable),
        ("prefer", Mode::Prefer),
        ("require", Mode::Require),
        ("verify-ca", Mode::VerifyCa),
        ("verify-full", Mode::VerifyFull),
    ];

    fn name(self) -> &'static str {
        Mode::ALL.into_iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// How to reach a database.
#[derive(Clone)]
pub(crate) struct Address {
    mode: Mode,
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl Address {
    /// # Errors
    /// [`Error::Migration`] with the part of the address that cannot be used, and the remedy; nothing of its password.
    pub(crate) fn parse(url: &str) -> Result<Address> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        check_spelling(base)?;
        let (mut kept, mut tls) = (Vec::new(), [const { None }; OF_TLS.len()]);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if KNOWN.contains(&name) {
                kept.push(parameter);
            } else if let Some(place) = OF_TLS.iter().position(|known| *known == name) {
                let value = percent_decode_str(value).decode_utf8().map_err(|_| refused(format!("{name} is not UTF-8")))?;
                tls[place] = Some(value.into_owned());
            } else {
                let known: Vec<&str> = KNOWN.iter().chain(&OF_TLS).copied().collect();
                return Err(refused(format!(
                    "it has the parameter {name}, which is not known here: leave it out. Known are {}",
                    known.join(", ")
                )));
            }
        }
        let mut config = Config::from_str(&format!("{base}?{}", kept.join("&"))).map_err(|error| refused(describe(&error)))?;
        let [certificate, key, mode, roots] = tls;
        let mode = match mode.as_deref() {
            None if is_local(&config) => Mode::Disable,
            None => Mode::VerifyFull,
            Some(wanted) => {
                let known = Mode::ALL.into_iter().find(|(name, _)| *name == wanted).map(|(_, mode)| mode);
                known.ok_or_else(|| {
                    let names = Mode::ALL.map(|(name, _)| name).join(", ");
                    refused(format!("sslmode={wanted} is not known here: use one of {names}"))
                })?
            }
        };
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        if mode == Mode::Prefer && !is_local(&config) {
            tracing::warn!("sslmode=prefer: an attacker on the way to PostgreSQL can switch encryption off");
        }
        let tls = client(mode, roots.as_deref(), certificate.as_deref().zip(key.as_deref()), certificate.is_some() != key.is_some())?;
        Ok(Address { mode, config, tls: MakeRustlsConnect::new(tls) })
    }

    /// What went wrong with the first connection: with how much TLS it was tried, and where it is about that, the ways out.
    pub(crate) fn advise(&self, error: Error) -> Error {
        let Error::Unavailable(words) = error else { return error };
        let says = |part| words.contains(part);
        let remedy = if says("TLS") || says("certificate") {
            ". In the address of the database: sslrootcert=FILE names an authority of your own; sslmode=require encrypts without verifying the \
             server, and sslmode=disable does not encrypt"
        } else if says("unsupported startup parameter") {
            ". PgBouncer, or another pooler, stands before PostgreSQL: put PostgreSQL's own address into the address of the database, or leave out \
             its `options`"
        } else {
            ""
        };
        Error::Unavailable(format!("{words} (with sslmode={}){remedy}", self.mode.name()))
    }
}

fn refused(words: impl std::fmt::Display) -> Error {
    Error::Migration(format!("the address of the database cannot be used: {words}"))
}

/// Signs that belong to an address and were meant as a part of a user's name or password.
fn check_spelling(base: &str) -> Result<()> {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_read_otherwise = authority.matches('@').count() > 1 || base.contains(['#', ' ']) || path.contains(['@', '/']);
    match is_read_otherwise {
        false => Ok(()),
        true => Err(refused(
            "in a user's name or password : / ? # [ ] @ % and spaces must be percent-encoded (such as %40 for @), and so must they in the name of a database",
        )),
    }
}

/// Whether no network is between here and there.
fn is_local(config: &Config) -> bool {
    let by_name = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    match config.get_hostaddrs() {
        [] => by_name,
        addresses => addresses.iter().all(std::net::IpAddr::is_loopback),
    }
}

/// The TLS client for a mode.
fn client(mode: Mode, roots: Option<&str>, own: Option<(&str, &str)>, is_half: bool) -> Result<ClientConfig> {
    if is_half {
        return Err(refused("sslcert and sslkey belong together: give both, or neither"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(refused)?;
    let roots = match roots {
        None | Some("system") => None,
        Some(file) => Some(Arc::new(read_roots(file)?)),
    };
    let builder = match (mode, roots) {
        (Mode::VerifyFull, Some(roots)) => builder.with_root_certificates(roots),
        (Mode::VerifyFull, None) => builder.with_platform_verifier().map_err(refused)?,
        (Mode::VerifyCa, None) => {
            return Err(refused("sslmode=verify-ca needs sslrootcert=FILE: any server that any authority knows would do"));
        }
        // As libpq does: an authority that was named is the only one.
        (Mode::VerifyCa | Mode::Require, Some(roots)) => {
            let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().map_err(refused)?;
            builder.dangerous().with_custom_certificate_verifier(AnyName::new(&provider, Some(chain)))
        }
        (Mode::Disable | Mode::Prefer | Mode::Require, _) => {
            builder.dangerous().with_custom_certificate_verifier(AnyName::new(&provider, None))
        }
    };
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let chain = read_certificates("sslcert", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(format!("sslkey={key} holds no private key: {error}")))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| refused(format!("sslcert and sslkey: {error}")))
        }
    }
}

fn read_certificates(name: &str, file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(Path::new(file)).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(refused(format!("{name}={file} holds no certificate"))),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(refused(format!("{name}={file} cannot be read: {error}"))),
    }
}

fn read_roots(file: &str) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates("sslrootcert", file)? {
        roots.add(certificate).map_err(|error| refused(format!("sslrootcert={file}: {error}")))?;
    }
    Ok(roots)
}

/// Takes a server whatever it is called, from an authority that is known, or from any. That it holds the key of its certificate is verified.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyName {
    fn new(provider: &CryptoProvider, chain: Option<Arc<WebPkiServerVerifier>>) -> Arc<AnyName> {
        Arc::new(AnyName { chain, algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Address::parse(url) {
            Ok(_) => panic!("{url} is taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_no_password_is() {
        for (query, named) in [
            ("sslmode=allow", "sslmode=allow"),
            ("sslmode=verify-ca", "sslrootcert=FILE"),
            ("sslmode=verify-full&sslrootcert=/no/such/ca.pem", "sslrootcert=/no/such/ca.pem"),
            ("sslcert=/client.pem", "sslkey"),
            ("schema=public", "schema"),
            ("pgbouncer=true", "pgbouncer"),
            ("connect_timeout=soon", "connect_timeout"),
        ] {
            let words = refusal(&format!("postgres://user:secret@127.0.0.1:1/db?{query}"));
            assert!(words.contains(named) && !words.contains("secret"), "{query}: {words}");
        }
        for url in ["postgres://u:p@ss@127.0.0.1/db", "postgres://u:p@ss#/w@127.0.0.1:1/db", "postgres://u:pass word@127.0.0.1/db"] {
            let words = refusal(url);
            assert!(words.contains("percent-encoded") && !words.contains("ss@"), "{words}");
        }
    }

    #[test]
    fn what_goes_over_a_network_is_encrypted_unless_the_address_says_otherwise() {
        let mode = |url: &str| Address::parse(url).unwrap().config.get_ssl_mode();
        for local in [
            "postgres://u@localhost/db",
            "postgres://u@127.0.0.1/db",
            "postgres://u@[::1]/db",
            "postgres://u@%2Frun%2Fpostgresql/db",
            "postgres:///db?host=/run",
        ] {
            assert_eq!(mode(local), SslMode::Disable, "{local}");
        }
        for remote in [
            "postgres://u@db.example.com/db",
            "postgres://u@10.0.0.1/db",
            "postgres://u@localhost,db.example.com/db",
            "postgres://u@localhost/db?hostaddr=10.0.0.1",
            "postgres://u@db.example.com/db?sslmode=require",
        ] {
            assert_eq!(mode(remote), SslMode::Require, "{remote}");
        }
        assert_eq!(mode("postgres://u@db.example.com/db?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgres://u@db.example.com/db?sslmode=prefer"), SslMode::Prefer);
    }
}
