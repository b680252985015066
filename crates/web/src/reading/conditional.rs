//! Conditional requests (RFC 9110, section 13): what may only be done to a record that is as the caller knows it, and what need not be sent
//! again because it is. Records with a tag of their own are compared in `plane`, under their locks; the rest is compared here.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use plane::Error;
use plane::revisions::Precondition;

use crate::catalogue::{Content, Operation};
use crate::problem::{Answer, Failure};

/// The conditions on the record that a request changes; of a read only the states in which it may be looked at.
pub(crate) fn on_record(method: &Method, headers: &HeaderMap) -> Option<Arc<Precondition>> {
    let precondition = precondition(headers)?;
    Some(Arc::new(if method.is_safe() { Precondition { matches_none: None, ..precondition } } else { precondition }))
}

/// The conditions of a request; none if it has none.
pub(crate) fn precondition(headers: &HeaderMap) -> Option<Precondition> {
    let list = |name: &HeaderName| {
        let tags: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        (!tags.is_empty()).then(|| tags.join(","))
    };
    let precondition = Precondition { matches: list(&header::IF_MATCH), matches_none: list(&header::IF_NONE_MATCH) };
    (precondition != Precondition::default()).then_some(precondition)
}

/// Refuses a condition on a change of what has no tag: none that is named can be its own, and the star is each.
pub(crate) fn check(operation: &Operation, parts: &Parts) -> Result<(), Failure> {
    let Some(precondition) = precondition(&parts.headers) else { return Ok(()) };
    if parts.method.is_safe() || operation.is_conditional() || precondition.is_met_by("") {
        return Ok(());
    }
    Err(Error::Stale.into())
}

/// Whether an answer is worth a tag: it is there whole, and is the same as long as nothing changes.
pub(crate) fn is_comparable(content: Content) -> bool {
    !matches!(content, Content::Nothing | Content::File(_) | Content::Text("text/event-stream" | "text/plain"))
}

/// Whether an answer comes with a tag. A file has its own, which is held against the request where it is sent.
pub(crate) fn has_tag(content: Content) -> bool {
    is_comparable(content) || matches!(content, Content::File(_))
}

/// The answer to a read with its tag, or 304 where the caller has it already, or 412 where they wanted another. What has no tag of its own
/// gets a weak one from its bytes.
pub(crate) async fn answer(
    operation: &Operation,
    method: &Method,
    wanted: Option<Precondition>,
    response: Response<Body>,
) -> Response<Body> {
    if !method.is_safe() || response.status() != StatusCode::OK || !is_comparable(operation.content) {
        return response;
    }
    let (mut parts, mut body) = response.into_parts();
    // Without its bytes (HEAD) there is nothing to make one from.
    if !parts.headers.contains_key(header::ETAG) && method == Method::GET {
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let tag = weak(&bytes);
        body = Body::from(bytes);
        parts.headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (header::ETAG, tag)));
    }
    let tag = parts.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let Some(wanted) = wanted else { return Response::from_parts(parts, body) };
    match verdict(&wanted, tag) {
        None => Response::from_parts(parts, body),
        Some(Err(failure)) => axum::response::IntoResponse::into_response(failure),
        Some(Ok(known)) => {
            parts.status = known.status();
            for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
                parts.headers.remove(name);
            }
            Response::from_parts(parts, known.into_body())
        }
    }
}

/// What is answered in place of what has this tag: 304 to a caller who has it, 412 to one who wants another; none where it is sent.
pub(crate) fn verdict(wanted: &Precondition, tag: &str) -> Option<Answer> {
    let plain = |text: &str| text.replace("W/", "");
    if wanted.matches.as_deref().is_some_and(|list| !Precondition { matches: Some(list.into()), matches_none: None }.is_met_by(tag)) {
        return Some(Err(Error::Stale.into()));
    }
    // A read compares weakly (RFC 9110, section 13.1.2).
    let is_known = |list: &str| !Precondition { matches: None, matches_none: Some(plain(list)) }.is_met_by(&plain(tag));
    wanted.matches_none.as_deref().is_some_and(is_known).then(|| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().extend(HeaderValue::from_str(tag).ok().map(|tag| (header::ETAG, tag)));
        Ok(response)
    })
}

fn weak(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    let digits: String = hash.as_ref()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("W/\"{digits}\"")
}
