//! Bodies on their way in: JSON objects that are held against the schema of the type that they are read into, and forms of pages.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body as RequestBody, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use plane::{Error, FieldError, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::catalogue::Operation;
use crate::content::media_type;
use crate::dialect::Dialect;
use crate::json;
use crate::limits::Place;
use crate::problem::Failure;
use crate::query::Query;
use crate::validation::validate;

/// Bytes of a body at the most.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

/// Bytes that are taken in to be thrown away, so that a client that sends too many hears why.
const MOST_DISCARDED: u64 = 16 * 1024 * 1024;

pub(crate) const TOO_LARGE: Failure = Failure::Http(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large: 1 MiB at the most.");

/// Receives a request's body whole, before anything is answered: a client that is still sending when the answer comes and the connection
/// ends mostly hears of a broken connection instead. Of one that there is no room for nothing is kept.
pub(crate) async fn receive(headers: &HeaderMap, body: RequestBody, most: usize, place: &mut Place) -> Result<Bytes, Failure> {
    let declared = body.size_hint().lower();
    // Who waits to be told to go on has sent nothing yet.
    if declared > MOST_DISCARDED || (declared > most as u64 && headers.contains_key(header::EXPECT)) {
        return Err(TOO_LARGE);
    }
    let (mut received, mut length, mut refusal) = (Vec::new(), 0, None);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Failure::Http(StatusCode::BAD_REQUEST, "The body did not arrive whole."))?;
        length += chunk.len() as u64;
        if refusal.is_none() {
            let fits = if length > most as u64 { Err(TOO_LARGE) } else { place.hold(length as usize).map_err(Failure::Full) };
            match fits {
                Ok(()) => received.extend_from_slice(&chunk),
                Err(failure) => {
                    (received, refusal) = (Vec::new(), Some(failure));
                    place.let_go();
                }
            }
        }
        if length > MOST_DISCARDED {
            break;
        }
    }
    match refusal {
        Some(failure) => Err(failure),
        None => Ok(received.into()),
    }
}

/// Takes in a body that is not looked at, and keeps nothing of it, so that its sender hears why.
pub(crate) async fn discard(headers: &HeaderMap, body: RequestBody) {
    let declared = body.size_hint().lower();
    if declared > MOST_DISCARDED || headers.contains_key(header::EXPECT) {
        return;
    }
    let (mut length, mut chunks) = (0, body.into_data_stream());
    while let Some(Ok(chunk)) = chunks.next().await {
        length += chunk.len() as u64;
        if length > MOST_DISCARDED {
            break;
        }
    }
}

/// A body that is what its schema says, read into its type.
pub(crate) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Failure> {
        let Fields(fields) = Fields::from_request(request, state).await?;
        // The schema is made from the type: what it lets through can be read.
        let read = serde_json::from_value(Json::Object(fields));
        read.map(Body).map_err(|error| Error::Internal(format!("a body is not read as its schema says: {error}")).into())
    }
}

/// The fields of a body that is what its schema says, in snake case.
pub(crate) struct Fields(pub Map<String, Json>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Fields, Failure> {
        let dialect = Dialect::of(request.uri().path());
        let operation = request.extensions().get::<Arc<Operation>>().cloned();
        let (parts, body) = request.into_parts();
        let fields = object(&parts.headers, body).await?;
        let schema = operation.as_ref().and_then(|operation| operation.body.as_ref());
        let schema = schema.ok_or_else(|| Error::Internal("a body is read that the catalogue does not know".into()))?;
        Ok(Fields(validate(schema, dialect, fields)?))
    }
}

/// A JSON object.
async fn object(headers: &HeaderMap, body: RequestBody) -> Result<Map<String, Json>, Failure> {
    if media_type(headers)? != "application/json" {
        return Err(Failure::Http(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send a JSON object with the header Content-Type: application/json.",
        ));
    }
    let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| TOO_LARGE)?;
    if holds_too_many_values(&bytes) {
        return Err(Error::Malformed("The body holds too many values: 10,000 at the most.".into()).into());
    }
    match json::parse(&bytes) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::Malformed("The body must be a JSON object.".into()).into()),
        Err(error) => Err(Error::Malformed(format!("The body is not JSON: {error}.")).into()),
    }
}

/// The fields of a form as browsers send it: `application/x-www-form-urlencoded`.
pub(crate) struct BrowserForm(Query);

impl<S: Send + Sync> FromRequest<S> for BrowserForm {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<BrowserForm, Failure> {
        let (parts, body) = request.into_parts();
        if media_type(&parts.headers)? != "application/x-www-form-urlencoded" {
            let words = "Send a form with the header Content-Type: application/x-www-form-urlencoded.";
            return Err(Failure::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
        let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| TOO_LARGE)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Malformed("The form is not valid UTF-8.".into()))?;
        let fields = Query::parse(Some(text))?;
        let mut names = BTreeSet::new();
        if let Some((name, _)) = fields.pairs().find(|(name, _)| !names.insert(*name)) {
            return Err(FieldError::new(name.chars().take(100).collect::<String>(), "repeated_field", "is there more than once").into());
        }
        Ok(BrowserForm(fields))
    }
}

impl BrowserForm {
    /// The text of this name; empty if it is missing, or nothing that could be stored.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).filter(|text| is_storable(text)).unwrap_or_default()
    }

    /// All fields, in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs()
    }
}

/// Whether a JSON text has more values than any operation takes. Counted before it is read: of a text of two letters each value takes thirty
/// bytes, and its time.
fn holds_too_many_values(text: &[u8]) -> bool {
    const MOST: usize = 10_000;
    let (mut values, mut is_in_text, mut is_escaped) = (0, false, false);
    for byte in text {
        match (is_in_text, *byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_in_text = !is_in_text,
            (false, b',' | b'[' | b'{') => values += 1,
            _ => {}
        }
    }
    values > MOST
}

/// Whether both engines can hold a text, or look for it.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}
