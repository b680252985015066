//! How the documents are sent: made when first asked for, kept compressed, with a tag by which a client knows that nothing is new.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value as Json;

use super::PARTS;

/// The documents that were asked for, in the order of [`PARTS`].
#[derive(Default)]
pub(crate) struct Documents([OnceLock<Kept>; PARTS.len()]);

struct Kept {
    plain: Bytes,
    /// None if it could not be compressed.
    compressed: Option<Bytes>,
    /// What differs between the tags of two documents.
    hash: u64,
}

impl Documents {
    /// The document at a place. Whether the client has it already is found out by its tag, as with every read.
    pub fn answer(&self, place: usize, headers: &HeaderMap, make: impl FnOnce() -> Json) -> Response<Body> {
        let Some(kept) = self.0.get(place).map(|kept| kept.get_or_init(|| Kept::new(&make()))) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let compressed = kept.compressed.as_ref().filter(|_| accepts_gzip(headers));
        // Two representations, two tags (RFC 9110, section 8.8.3).
        let tag = format!("\"{:016x}{}\"", kept.hash, if compressed.is_some() { "-gzip" } else { "" });
        let mut response = Response::new(Body::from(compressed.unwrap_or(&kept.plain).clone()));
        if compressed.is_some() {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

impl Kept {
    fn new(document: &Json) -> Kept {
        let plain = document.to_string();
        let mut hasher = DefaultHasher::new();
        hasher.write(plain.as_bytes());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let compressed = encoder.write_all(plain.as_bytes()).and_then(|()| encoder.finish()).ok().map(Bytes::from);
        Kept { plain: plain.into(), compressed, hash: hasher.finish() }
    }
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3): named, or by `*`, and not with a weight of 0.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let codings: Vec<(String, bool)> = accepted.flat_map(|value| value.split(',')).map(coding).collect();
    let wants = |name: &str| codings.iter().find(|(coding, _)| coding == name).map(|(_, is_wanted)| *is_wanted);
    wants("gzip").or_else(|| wants("x-gzip")).or_else(|| wants("*")).unwrap_or(false)
}

/// `gzip;q=0.5` as the coding's name, and whether it has any weight.
fn coding(text: &str) -> (String, bool) {
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let weight = parameters.trim().to_ascii_lowercase();
    let is_unwanted = weight.strip_prefix("q=").is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
    (name.trim().to_ascii_lowercase(), !is_unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_where_it_is_named_with_a_weight() {
        let accepts =
            |value: &'static str| accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]));
        assert!(accepts("gzip") && accepts("br, GZIP;q=0.5") && accepts("*") && accepts("deflate, *;q=0.1"));
        assert!(!accepts("") && !accepts("br") && !accepts("gzip;q=0") && !accepts("*, gzip;q=0.0") && !accepts("*;q=0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
