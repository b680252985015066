//! Bodies on their way in: JSON objects whose every field is asked for by name, type and need; what nobody asked for is an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use jiff::Timestamp;
use plane::fields::{not_a_field, parse_time};
use plane::policy::Role;
use plane::{Error, FieldError, FieldErrors, Result};
use serde_json::{Map, Value as Json};

use crate::catalogue::Operation;
use crate::content::media_type;
use crate::dialect::Dialect;
use crate::json;
use crate::limits::Place;
use crate::problem::Failure;
use crate::query::Query;
use crate::shapes::{Is, Shape};

/// Bytes of a body at the most.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;

/// Bytes that are taken in to be thrown away, so that whoever sends too many hears why.
const MOST_DISCARDED: u64 = 16 * 1024 * 1024;

pub(crate) const TOO_LARGE: Failure = Failure::Http(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large: 1 MiB at the most.");

/// Receives a request's body whole, before anything is answered: a client that is still sending when the answer comes and the connection
/// ends mostly hears of a broken connection instead. Of one that there is no room for nothing is kept.
pub(crate) async fn receive(headers: &HeaderMap, body: Body, most: usize, place: &mut Place) -> Result<Bytes, Failure> {
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
pub(crate) async fn discard(headers: &HeaderMap, body: Body) {
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

/// A JSON object in this surface's spelling.
#[derive(Debug)]
pub(crate) struct Form {
    dialect: &'static Dialect,
    fields: Map<String, Json>,
    asked: Vec<String>,
    errors: FieldErrors,
    /// What the documentation says about this body.
    shape: Option<&'static Shape>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Form, Failure> {
        let dialect = Dialect::of(request.uri().path());
        let shape = request.extensions().get::<Arc<Operation>>().and_then(|operation| operation.body);
        let (parts, body) = request.into_parts();
        Ok(Form { shape, ..Form::parse(dialect, &parts.headers, body).await? })
    }
}

impl Form {
    async fn parse(dialect: &'static Dialect, headers: &HeaderMap, body: Body) -> Result<Form, Failure> {
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
            Ok(Json::Object(mut fields)) => {
                fields.values_mut().for_each(make_whole);
                Ok(Form { dialect, fields, asked: Vec::new(), errors: FieldErrors::default(), shape: None })
            }
            Ok(_) => Err(Error::Malformed("The body must be a JSON object.".into()).into()),
            Err(error) => Err(Error::Malformed(format!("The body is not JSON: {error}.")).into()),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Json> {
        let spelled = self.dialect.name(name);
        let value = self.fields.remove(&spelled).filter(|value| !value.is_null());
        self.asked.push(spelled);
        value
    }

    /// Adds an error, as every field is looked at before the first is told.
    pub fn refuse(&mut self, name: &str, code: &'static str, message: &str) {
        self.errors.push(FieldError::new(name, code, message));
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &'static str) -> String {
        match self.take(name) {
            Some(Json::String(text)) if is_storable(&text) => return text,
            Some(Json::String(_)) => self.refuse(name, "invalid", NO_NUL),
            Some(_) => self.refuse(name, "invalid_type", "must be a text"),
            None => self.refuse(name, "required", "is required"),
        }
        String::new()
    }

    /// A text that must be there, in OAuth's spelling (RFC 6749) as well as in the surface's: answers to a sign-in are in OAuth's.
    pub fn oauth_text(&mut self, name: &'static str) -> String {
        if let Some(value) = self.fields.remove(name)
            && self.fields.insert(self.dialect.name(name), value).is_some()
        {
            self.refuse(name, "repeated_field", "is there in both its spellings");
        }
        self.text(name)
    }

    /// A text that may be missing.
    pub fn optional_text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Json::String(text) if is_storable(&text) => Some(text),
            Json::String(_) => {
                self.refuse(name, "invalid", NO_NUL);
                None
            }
            _ => {
                self.refuse(name, "invalid_type", "must be a text");
                None
            }
        }
    }

    /// Something that may be missing, which leaves it as it is, or null, which empties it.
    pub fn clearable<T>(&mut self, name: &'static str, wanted: &str, read: impl FnOnce(&Json) -> Option<T>) -> Option<Option<T>> {
        let is_null = self.fields.get(&self.dialect.name(name)).is_some_and(Json::is_null);
        let Some(given) = self.take(name) else { return is_null.then_some(None) };
        let value = read(&given);
        if value.is_none() {
            self.refuse(name, "invalid", wanted);
        }
        value.map(Some)
    }

    /// A text that may be missing, or null.
    pub fn clearable_text(&mut self, name: &'static str) -> Option<Option<String>> {
        self.clearable(name, "must be a text without the character U+0000", |value| {
            value.as_str().filter(|text| is_storable(text)).map(str::to_owned)
        })
    }

    /// A whole number that must be there.
    pub fn number(&mut self, name: &'static str) -> i64 {
        match self.take(name).map(|value| value.as_i64()) {
            Some(Some(number)) => return number,
            Some(None) => self.refuse(name, "invalid_type", "must be a whole number"),
            None => self.refuse(name, "required", "is required"),
        }
        0
    }

    /// A whole number or a text that must be there, as a text.
    pub fn number_or_text(&mut self, name: &'static str) -> String {
        match self.take(name) {
            Some(Json::Number(number)) if number.is_i64() => return number.to_string(),
            Some(Json::String(text)) if is_storable(&text) => return text,
            Some(Json::String(_)) => self.refuse(name, "invalid", NO_NUL),
            Some(_) => self.refuse(name, "invalid_type", "must be a whole number or a text"),
            None => self.refuse(name, "required", "is required"),
        }
        String::new()
    }

    /// An object that must be there, whose fields are asked for like those of the body, except that none may be null.
    pub fn part<T>(&mut self, name: &'static str, shape: &'static Shape, read: impl FnOnce(&mut Form) -> T) -> Result<T> {
        let fields = match self.take(name) {
            Some(Json::Object(fields)) => fields,
            other => {
                let (code, words) = if other.is_some() { ("invalid_type", "must be an object") } else { ("required", "is required") };
                self.refuse(name, code, words);
                Map::new()
            }
        };
        self.read_part(name, fields, Some(shape), |part| {
            let empty: Vec<String> = part.fields.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| snake(name)).collect();
            for name in empty {
                part.refuse(&name, "invalid_type", "must not be null: leave it out");
            }
            read(part)
        })
    }

    fn read_part<T>(
        &mut self,
        name: &'static str,
        mut fields: Map<String, Json>,
        shape: Option<&'static Shape>,
        read: impl FnOnce(&mut Form) -> T,
    ) -> Result<T> {
        fields.values_mut().for_each(make_whole);
        let mut part = Form { dialect: self.dialect, fields, asked: Vec::new(), errors: FieldErrors::default(), shape };
        let value = read(&mut part);
        match part.finish() {
            Err(Error::Invalid(errors)) => self.errors.extend_within(name, errors),
            finished => finished?,
        }
        Ok(value)
    }

    /// An object, empty if missing.
    pub fn object(&mut self, name: &'static str) -> Json {
        match self.take(name) {
            None => Json::Object(Map::new()),
            Some(object @ Json::Object(_)) => object,
            Some(_) => {
                self.refuse(name, "invalid_type", "must be an object");
                Json::Object(Map::new())
            }
        }
    }

    /// An object that may be missing or lack fields of its own: `read` asks for them.
    ///
    /// # Errors
    /// In development builds, when it is read otherwise than documented.
    pub fn optional_part<T: Default>(&mut self, name: &'static str, read: impl FnOnce(&mut Form) -> T) -> Result<T> {
        let fields = match self.take(name) {
            None => return Ok(T::default()),
            Some(Json::Object(fields)) => fields,
            Some(_) => {
                self.refuse(name, "invalid_type", "must be an object");
                return Ok(T::default());
            }
        };
        let field = self.shape.and_then(|shape| shape.fields().find(|field| field.name == name));
        let shape = field.and_then(|field| if let Is::Maybe(shape) = field.is { Some(shape) } else { None });
        self.read_part(name, fields, shape, read)
    }

    /// A list of up to 1,000 texts that may be missing: no operation takes as many.
    pub fn optional_texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        const MOST: usize = 1_000;
        let texts = match self.take(name)? {
            Json::Array(list) if list.len() > MOST => {
                self.refuse(name, "too_many", &format!("must have {MOST} entries at the most"));
                return None;
            }
            Json::Array(list) => list.into_iter().map(|entry| entry.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        if texts.is_none() {
            self.refuse(name, "invalid_type", "must be a list of texts");
        }
        texts
    }

    /// A whole number from 0 that may be missing.
    pub fn optional_number(&mut self, name: &'static str) -> Option<u32> {
        let number = self.take(name)?.as_u64();
        if number.is_none() {
            self.refuse(name, "invalid_type", "must be a whole number from 0");
        }
        // What is greater is out of every range that is checked later.
        number.map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// True or false, or missing.
    pub fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        let flag = self.take(name)?.as_bool();
        if flag.is_none() {
            self.refuse(name, "invalid_type", "must be true or false");
        }
        flag
    }

    /// An object with something in it, or missing.
    pub fn pairs(&mut self, name: &'static str) -> Map<String, Json> {
        match self.take(name) {
            None => {}
            Some(Json::Object(pairs)) if pairs.is_empty() => self.refuse(name, "empty", "must hold something, or be left out"),
            Some(Json::Object(pairs)) => return pairs,
            Some(_) => self.refuse(name, "invalid_type", "must be an object"),
        }
        Map::new()
    }

    /// True, or missing: false is an error of somebody who might mean something else by it.
    pub fn yes(&mut self, name: &'static str) -> bool {
        let flag = self.optional_flag(name);
        if flag == Some(false) {
            self.refuse(name, "invalid", "must be true, or left out");
        }
        flag.is_some()
    }

    /// A field of a change: `None` when it did not come, `Some(None)` when it came as null.
    pub fn change<T>(&mut self, name: &'static str, read: impl FnOnce(&mut Form, &'static str) -> Option<T>) -> Option<Option<T>> {
        let is_null = self.fields.get(&self.dialect.name(name)).is_some_and(Json::is_null);
        match read(self, name) {
            None if !is_null => None,
            value => Some(value),
        }
    }

    /// A time that may be missing.
    pub fn optional_time(&mut self, name: &'static str) -> Option<Timestamp> {
        let time = parse_time(&self.optional_text(name)?);
        if time.is_none() {
            self.refuse(name, "invalid_time", "must be a time such as 2026-01-31T12:00:00Z, in the years 1 to 9999");
        }
        time
    }

    /// A text that `read` understands, if it is there.
    pub fn optional<T>(&mut self, name: &'static str, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = read(&self.optional_text(name)?);
        if value.is_none() {
            self.refuse(name, "invalid", wanted);
        }
        value
    }

    /// All fields as they came, their names in snake case: for operations that check them by a table of their own.
    pub fn all(self) -> Map<String, Json> {
        let camel_case = self.dialect.camel_case;
        self.fields.into_iter().map(|(name, value)| (if camel_case { snake(&name) } else { name }, value)).collect()
    }

    /// A role by the surface's name, or ours, if it is there.
    pub fn role(&mut self, name: &'static str) -> Option<Role> {
        let dialect = self.dialect;
        self.optional(name, &dialect.role_words(), |role| dialect.parse_role(role))
    }

    /// Everything that was wrong, with the fields nobody asked for.
    pub fn finish(mut self) -> Result<()> {
        if cfg!(debug_assertions) {
            self.is_documented()?;
        }
        for name in self.fields.keys() {
            // Words for what is counted and not told would be made for nothing.
            let is_told = self.errors.total() < FieldErrors::MOST;
            let words = if is_told { not_a_field(name, self.asked.iter().map(String::as_str)) } else { String::new() };
            self.errors.push(FieldError::new(name.chars().take(100).collect::<String>(), "unknown_field", words));
        }
        self.errors.finish()
    }
}

impl Form {
    /// In development builds a body that is read otherwise than documented is a defect that every test sees.
    fn is_documented(&self) -> Result<()> {
        let documented: BTreeSet<String> =
            self.shape.into_iter().flat_map(|shape| shape.fields().map(|field| shape.spell(self.dialect, field))).collect();
        let asked: BTreeSet<String> = self.asked.iter().cloned().collect();
        if documented == asked {
            return Ok(());
        }
        Err(Error::Internal(format!("the body is documented with {documented:?} and read with {asked:?}")))
    }
}

/// The fields of a form as browsers send it: `application/x-www-form-urlencoded`.
pub(crate) struct Fields(Query);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Fields, Failure> {
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
        Ok(Fields(fields))
    }
}

impl Fields {
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

/// To JSON Schema, and to languages with one kind of number, `5.0` is the whole number 5.
fn make_whole(value: &mut Json) {
    /// Up to here each whole number has a form of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !value.is_i64()
        && let Some(number) = value.as_f64()
        && number.fract() == 0.0
        && number.abs() <= EXACT
    {
        *value = Json::from(number as i64);
    }
}

/// Whether both engines can hold a text, or look for it.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

const NO_NUL: &str = "must not contain the character U+0000";

/// `organization_id` for `organizationId`; an underscore stays and then never matches a field.
fn snake(camel: &str) -> String {
    let mut spelled = String::with_capacity(camel.len() + 4);
    for character in camel.chars() {
        match character {
            'A'..='Z' => {
                spelled.push('_');
                spelled.push(character.to_ascii_lowercase());
            }
            '_' => spelled.push_str("__"),
            _ => spelled.push(character),
        }
    }
    spelled
}
