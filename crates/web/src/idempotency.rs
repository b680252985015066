//! `Idempotency-Key`: a request that changes something and is sent again, because its answer was lost, gets the answer of the first time
//! and does nothing.

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::credentials::Presented;
use plane::idempotency::{self, Begun, Ending, Repeatable, Ticket};
use plane::{Cx, Error};

use crate::problem::Failure;
use crate::request_context::presented;

/// Of an answer that was given before.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

/// Headers of a request that make it another one.
const TELLING: [&str; 3] = ["content-type", "if-match", "x-organization"];

const MALFORMED: &str =
    "The header Idempotency-Key must be there once, with 1 to 255 visible ASCII characters: a UUID made for this request is best.";
const OTHER_REQUEST: Failure = Failure::Http(
    StatusCode::UNPROCESSABLE_ENTITY,
    "This Idempotency-Key was used for another request and its answer is still kept, for 24 hours unless the server is set otherwise: send this one with a key of its own.",
);
const UNKNOWN: &str = "The first request with this Idempotency-Key was begun and broken off, and it is not known what came of it: look at the \
                       state of things, and send what is still to be done with a new key.";

/// What the sender wants to be able to repeat, if it is a request that can be.
pub(crate) fn asked(parts: &Parts, body: &[u8]) -> Result<Option<Repeatable>, Failure> {
    if !matches!(parts.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(None);
    }
    let mut keys = parts.headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().ok().filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    let (Some(key), None) = (text, keys.next()) else { return Err(Error::Malformed(MALFORMED.into()).into()) };
    let secret = match presented(&parts.headers) {
        Some(Presented::ApiKey(secret)) => Some(secret.to_owned()),
        // A session's tokens change, and are not what an answer can be bound to.
        Some(_) => None,
        // An OAuth app says who it is where others have their token.
        None => parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let mut request = vec![parts.method.as_str().into(), target.into(), body.to_vec()];
    request.extend(TELLING.map(|name| parts.headers.get(name).map_or_else(Vec::new, |value| value.as_bytes().to_vec())));
    Ok(Some(Repeatable { key: key.to_owned(), secret, parts: request }))
}

/// Carries a request out unless it was before. `tells` is false for an answer without data of an organization. All of it in a task of its
/// own: who hangs up meanwhile and asks again shall find the answer, and no name is taken for a request that is not carried out.
pub(crate) async fn once(
    cx: Cx,
    request: Repeatable,
    tells: bool,
    work: impl Future<Output = Response<Body>> + Send + 'static,
) -> Response<Body> {
    let task = tokio::spawn(async move {
        match idempotency::begin(&cx, &request).await {
            Ok(Begun::Go(ticket)) => carry_out(&cx, ticket, tells, work).await,
            Ok(Begun::Answered(answer)) => unpack(&answer),
            Ok(Begun::OtherRequest) => OTHER_REQUEST.into_response(),
            Ok(Begun::UnderWay) => Failure::UnderWay.into_response(),
            Ok(Begun::Unknown) => Failure::Plane(Error::Conflict(UNKNOWN.into())).into_response(),
            Err(error) => Failure::Plane(error).into_response(),
        }
    });
    task.await.unwrap_or_else(|_| Failure::Plane(Error::Internal("a request that may be repeated was broken off".into())).into_response())
}

async fn carry_out(cx: &Cx, ticket: Ticket, tells: bool, work: impl Future<Output = Response<Body>>) -> Response<Body> {
    let before = cx.effects();
    let (parts, body) = work.await.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let ending = match parts.status {
        status if is_kept(cx, status) => Ending::Answered { answer: pack(status, &parts.headers, &body), tells },
        // A transaction was begun, and it is not known that it changed nothing.
        status if status.is_server_error() && cx.effects() > before => Ending::Unknown,
        _ => Ending::Undone,
    };
    if let Err(error) = idempotency::finish(cx, ticket, ending).await {
        error.log("the answer to a request that may be repeated was not kept", Some(&cx.request_id));
    }
    Response::from_parts(parts, Body::from(body))
}

/// Whether an answer is given again: what was done, and what the same request can only ever hear. Refusals for the state of things (403, 404,
/// 409, 412, 429, …) are not: once their cause is gone the request is carried out.
fn is_kept(cx: &Cx, status: StatusCode) -> bool {
    let is_about_the_request = matches!(status.as_u16(), 400 | 413 | 415 | 422);
    status.is_success() || status.is_redirection() || (is_about_the_request && cx.presented().is_some())
}

/// Status, the number of headers, each header's name and value behind their lengths, and the body.
fn pack(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut bytes = status.as_u16().to_be_bytes().to_vec();
    bytes.extend((headers.len() as u32).to_be_bytes());
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            bytes.extend((part.len() as u32).to_be_bytes());
            bytes.extend(part);
        }
    }
    bytes.extend(body);
    bytes
}

fn unpack(bytes: &[u8]) -> Response<Body> {
    read(bytes).unwrap_or_else(|| Failure::Plane(Error::Internal("a kept answer cannot be read".into())).into_response())
}

fn read(bytes: &[u8]) -> Option<Response<Body>> {
    let (status, rest) = bytes.split_first_chunk()?;
    let (headers, mut rest) = rest.split_first_chunk()?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?;
    for _ in 0..u32::from_be_bytes(*headers) {
        let (name, after) = part(rest)?;
        let (value, after) = part(after)?;
        response.headers_mut().append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        rest = after;
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    *response.body_mut() = Body::from(rest.to_vec());
    Some(response)
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_as_it_was_packed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("location", "/x"), ("set-cookie", "a=1"), ("set-cookie", "b=2")] {
            headers.append(name, value.parse().unwrap());
        }
        let packed = pack(StatusCode::CREATED, &headers, b"{\"id\":1}");
        let answer = unpack(&packed);
        assert_eq!(answer.status(), StatusCode::CREATED);
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        assert_eq!(answer.headers(), &headers);
        assert_eq!(&to_bytes(answer.into_body(), 100).await.unwrap()[..], b"{\"id\":1}");
        for length in 0..packed.len() - 8 {
            assert!(read(&packed[..length]).is_none(), "{length}");
        }
    }
}
