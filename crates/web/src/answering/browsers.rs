//! What browsers are told beside the answer: what a page may do (security headers), and which other sites' scripts may read it (CORS).
//!
//! Scripts of the origins in `--cors-origins` may use all of the API, with a token or a key that they bring: never with the cookie. Scripts of
//! any other origin may read with a publishable key, which is made to be seen.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use plane::api_keys::Kind;
use plane::destinations::check_link;

use crate::AppState;
use crate::request_context::X_API_KEY;

/// Only style sheets of this server are loaded, nothing is run, nothing is sent, and no page shows it in a frame. Pages that need more say so
/// themselves.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// A year (RFC 6797). Not for subdomains, which may be other people's.
const STRICT_TRANSPORT: &str = "max-age=31536000";

/// What scripts of an allowed origin may send.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, if-range, range, x-api-key, x-organization, x-request-id";
/// What scripts of any origin may send with a publishable key.
const PUBLIC_METHODS: &str = "GET, HEAD";
const PUBLIC_HEADERS: &str = "if-none-match, x-api-key, x-request-id";
/// What scripts may read of an answer besides what they always may.
const EXPOSED: &str = "accept-ranges, content-range, deletion-id, etag, idempotency-replayed, location, ratelimit-limit, ratelimit-policy, \
                       ratelimit-remaining, ratelimit-reset, retry-after, www-authenticate, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id";
/// Seconds for which a browser remembers what it was told about an address.
const REMEMBERED: &str = "600";

/// Another site whose scripts may use this server: scheme, host and port as browsers send them in `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigin(HeaderValue);

impl FromStr for CorsOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<CorsOrigin, String> {
        let words = || format!("{text} is no origin: write it like https://app.example.com, each by itself and without a path");
        let url = check_link("origin", text.trim()).map_err(|_| words())?;
        let origin = url.origin().ascii_serialization();
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || text.contains('*') {
            return Err(words());
        }
        HeaderValue::from_str(&origin).map(CorsOrigin).map_err(|_| words())
    }
}

/// The middleware around all others. It answers what a browser asks by itself before another site's request (a preflight), so that neither
/// limits nor operations see it.
pub(crate) async fn middleware(State(app): State<Arc<AppState>>, request: Request, next: Next) -> Response<Body> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_known = origin.as_ref().is_some_and(|origin| app.settings.cors_origins.iter().any(|known| known.0 == *origin));
    let is_preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_public = is_known || (request.method().is_safe() && is_publishable(&app, request.headers()));
    let mut response = match &origin {
        Some(_) if is_preflight => preflight(is_known),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Some(origin) = origin.filter(|_| is_public || is_preflight) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, if is_known { origin } else { HeaderValue::from_static("*") });
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    if !app.settings.cors_origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    secure(headers, &app.plane.config.public_url);
    response
}

fn preflight(is_known: bool) -> Response<Body> {
    let (methods, allowed) = if is_known { (METHODS, HEADERS) } else { (PUBLIC_METHODS, PUBLIC_HEADERS) };
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Whether a request comes with a publishable key and nothing else, good or not: a client that reads why a key is refused knows the key.
fn is_publishable(app: &AppState, headers: &HeaderMap) -> bool {
    let key = headers.get(&X_API_KEY).and_then(|key| key.to_str().ok());
    let prefix = app.plane.config.key_prefixes.of(Kind::Publishable);
    let is_one = |key: &str| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_'));
    !headers.contains_key(header::AUTHORIZATION) && key.is_some_and(is_one)
}

fn secure(headers: &mut HeaderMap, public_url: &str) {
    let mut default = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    default(header::CONTENT_SECURITY_POLICY, POLICY);
    default(header::X_FRAME_OPTIONS, "DENY");
    default(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    default(header::REFERRER_POLICY, "no-referrer");
    if is_public_https(public_url) {
        default(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
    }
}

/// Whether browsers may remember that this host speaks TLS only. Of this machine they must not: other programs listen there too.
fn is_public_https(public_url: &str) -> bool {
    let Some(rest) = public_url.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = if host.starts_with('[') { host.split_inclusive(']').next() } else { host.split(':').next() }.unwrap_or_default();
    !(host == "localhost" || host.ends_with(".localhost") || host.starts_with("127.") || host == "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (text, origin) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443/", "https://app.example"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<CorsOrigin>().unwrap().0, origin);
        }
        for text in
            ["*", "null", "app.example", "https://*.example", "https://app.example/path", "https://app.example?a", "ftp://app.example", ""]
        {
            assert!(text.parse::<CorsOrigin>().unwrap_err().contains("write it like"), "{text}");
        }
    }

    #[test]
    fn only_a_public_host_is_remembered_as_encrypted() {
        for url in ["https://freehold.example", "https://freehold.example:8443/x", "https://[2001:db8::1]", "https://localhost.example"] {
            assert!(is_public_https(url), "{url}");
        }
        for url in
            ["http://freehold.example", "https://localhost:3001", "https://a.localhost", "https://127.0.0.1:3001", "https://[::1]:3001/"]
        {
            assert!(!is_public_https(url), "{url}");
        }
    }
}
