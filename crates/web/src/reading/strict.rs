//! Nothing that is sent is ignored in silence: headers that can be meant in one way only, parameters that the operation has, and a body
//! where it takes one. The catalogue says what an operation takes, so that a new one is covered as it is.

use std::collections::BTreeSet;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use plane::{Error, FieldError, FieldErrors, OauthRefusal};

use crate::addresses::is_escaped_well;
use crate::catalogue::{Access, Operation, Parameter};
use crate::dialect::CUSTOMER;
use crate::problem::Failure;
use crate::query::Query;

/// How much alike two names must be for one to be meant by the other, from 0 to 1.
const LIKE: f64 = 0.8;

/// Headers that say who asks. A request in which one of them can be read in several ways, or in none, has no sender.
static IDENTIFYING: [(HeaderName, &str); 2] = [
    (header::AUTHORIZATION, "The header Authorization must be there once, in visible ASCII characters."),
    (HeaderName::from_static("x-api-key"), "The header X-API-Key must be there once, in visible ASCII characters."),
];
/// Headers of which two would contradict each other, and that are never read in two ways.
static SINGLE: [HeaderName; 7] = [
    header::HOST,
    HeaderName::from_static("x-organization"),
    header::CONTENT_TYPE,
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    header::EXPECT,
    header::CONTENT_RANGE,
];

/// Refuses a request whose address or headers can be read in more than one way, or not at all.
pub(crate) fn check_head(parts: &Parts) -> Result<(), Failure> {
    if !is_escaped_well(parts.uri.path()) {
        return Err(malformed("The address has a % that no two hexadecimal digits follow: write %25 for the sign itself."));
    }
    if let Some((_, words)) = IDENTIFYING.iter().find(|(name, _)| !is_clear(&parts.headers, name)) {
        return Err(Error::Inactive(words).into());
    }
    if sessions(&parts.headers).count() > 1 {
        return Err(Error::Inactive("The cookie sessionid must be there once.").into());
    }
    if let Some(name) = SINGLE.iter().find(|name| !is_clear(&parts.headers, name)) {
        return Err(malformed(format!("The header {name} must be there once, in visible ASCII characters.")));
    }
    check_host(parts)?;
    let expected = parts.headers.get(header::EXPECT).and_then(|value| value.to_str().ok());
    if expected.is_some_and(|expected| !expected.eq_ignore_ascii_case("100-continue")) {
        return Err(Failure::Http(StatusCode::EXPECTATION_FAILED, "The header Expect can only be 100-continue."));
    }
    if parts.headers.contains_key(header::CONTENT_RANGE) {
        return Err(malformed("Send the whole and not a part of it: the header Content-Range is not understood in requests."));
    }
    Ok(())
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 names its host.
fn check_host(parts: &Parts) -> Result<(), Failure> {
    match parts.headers.get(header::HOST) {
        None if parts.version == Version::HTTP_11 => Err(malformed("The header Host is missing.")),
        Some(host) if !host.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(byte)) => {
            Err(malformed("The header Host is no host."))
        }
        _ => Ok(()),
    }
}

/// Whether a header is there once or not at all, and readable.
fn is_clear(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut values = headers.get_all(name).iter();
    match values.next() {
        None => true,
        Some(value) => value.to_str().is_ok() && values.next().is_none(),
    }
}

/// Whether a request came with a credential, good or not.
pub(crate) fn presents(headers: &HeaderMap) -> bool {
    IDENTIFYING.iter().any(|(name, _)| headers.contains_key(name)) || sessions(headers).next().is_some()
}

/// The values of the cookie `sessionid`, unreadable ones as none. Other sites' cookies beside it may hold what they like.
pub(crate) fn sessions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    cookies.filter_map(|cookie| std::str::from_utf8(cookie.trim_ascii().strip_prefix(b"sessionid=")?).ok())
}

/// The parameters of an operation, each under the name that its documentation has: what the surface spells otherwise is renamed.
///
/// # Errors
/// A parameter that the operation does not have, one that is there twice, and a query that is not encoded as one.
pub(crate) fn parameters(operation: &Operation, query: Option<&str>) -> Result<Query, Failure> {
    let refuse = |error: Error| match (operation.takes_forms, &error) {
        // Clients of token endpoints read errors of RFC 6749 only.
        (true, Error::Invalid(errors)) => {
            let words: Vec<String> = errors.first().iter().map(|error| format!("{} {}", error.field, error.message)).collect();
            Failure::Plane(Error::Oauth(OauthRefusal::InvalidRequest, words.join("; ")))
        }
        (true, Error::Malformed(words)) => Failure::Plane(Error::Oauth(OauthRefusal::InvalidRequest, words.clone())),
        _ => Failure::Plane(error),
    };
    let mut query = Query::parse(query).map_err(refuse)?;
    let mut errors = FieldErrors::default();
    for name in query.names_mut() {
        match operation.parameters.iter().find_map(|parameter| meant(parameter, name)) {
            Some(known) => *name = known,
            None if errors.total() < FieldErrors::MOST => errors.push(unknown(operation, name, errors.is_empty())),
            None => {}
        }
    }
    let mut seen = BTreeSet::new();
    for (name, _) in query.pairs() {
        if !seen.insert(name) && errors.total() < FieldErrors::MOST {
            errors.push(FieldError::new(shortened(name), "repeated_parameter", "is there more than once"));
        }
    }
    match errors.finish() {
        Ok(()) => Ok(query),
        Err(error) => Err(refuse(error)),
    }
}

/// The documented name of a parameter that a request calls so, in snake case or in camel case.
fn meant(parameter: &Parameter, name: &str) -> Option<String> {
    if parameter.is_object() {
        // One for each key: `metadata[key]`.
        let key = name.strip_prefix(&parameter.name).and_then(|key| key.strip_prefix('[')?.strip_suffix(']'));
        return key.map(|_| name.to_owned());
    }
    let is_meant = name == parameter.name || name == CUSTOMER.name(&parameter.name) || CUSTOMER.name(name) == parameter.name;
    is_meant.then(|| parameter.name.clone())
}

/// What is wrong with a parameter, with the name that was meant; where none is near, all there are, once.
fn unknown(operation: &Operation, name: &str, is_first: bool) -> FieldError {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', '.', ' '], "");
    let given = plain(&shortened(name.split('[').next().unwrap_or(name)));
    let likeness = |known: &Parameter| strsim::normalized_damerau_levenshtein(&plain(&known.name), &given);
    let nearest = operation.parameters.iter().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    let words = match nearest {
        None => "is not a parameter here: this operation has none".to_owned(),
        Some(nearest) if likeness(nearest) >= LIKE => {
            let key = if nearest.is_object() { "[key]" } else { "" };
            format!("is not a parameter here: is `{}{key}` meant?", nearest.name)
        }
        Some(_) if !is_first => "is not a parameter here".to_owned(),
        Some(_) => {
            let known: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            format!("is not a parameter here; the parameters are {}", known.join(", "))
        }
    };
    FieldError::new(shortened(name), "unknown_parameter", words)
}

fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Refuses a request that names two callers in its headers (RFC 6750, section 2). Where anybody may ask, a key can be what is asked about.
pub(crate) fn check_credentials(operation: &Operation, headers: &HeaderMap) -> Result<(), Failure> {
    match operation.access != Access::Anybody && IDENTIFYING.iter().all(|(name, _)| headers.contains_key(name)) {
        true => Err(malformed("Send one credential: the header Authorization or X-API-Key, not both.")),
        false => Ok(()),
    }
}

/// Refuses a body that an operation does not take. An empty object says nothing: many clients send one with each POST. With a DELETE
/// (RFC 9110, section 9.3.5) clients and proxies send what they like; only what can be read as an order is refused there.
pub(crate) fn check_body(operation: &Operation, body: &[u8]) -> Result<(), Failure> {
    let says_nothing = body.is_empty() || matches!(body.trim_ascii(), b"" | b"{}" | b"null");
    if says_nothing || operation.body.is_some() || operation.takes_fields {
        return Ok(());
    }
    if operation.method == Method::DELETE && serde_json::from_slice::<serde_json::Value>(body).is_err() {
        return Ok(());
    }
    Err(malformed("This operation takes no body: what it can be told stands in the address."))
}

fn malformed(words: impl Into<String>) -> Failure {
    Error::Malformed(words.into()).into()
}
