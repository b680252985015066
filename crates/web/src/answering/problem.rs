//! Errors on the wire: RFC 9457 problem details, with the members that each surface's clients look for.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::deletions::{Blocker, TableDrift};
use plane::wire::Url;
use plane::{Cx, Error, FieldError, FieldErrors, OauthRefusal, clipped};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value as Json;

use crate::blocker_links::{BlockerOut, Case};
use crate::dialect::Dialect;
use crate::error_pages;
use crate::limits::Full;
use crate::schema::write;

/// An operation's error on its way to `request_context.rs`, which knows the dialect and turns it into a response.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The plane said so.
    Plane(Error),
    /// The plane said so, and the document of this address has another status for it.
    As(StatusCode, Error),
    /// The plane said so about the customer of this id.
    OfCustomer(String, Error),
    /// The request never got that far.
    Http(StatusCode, &'static str),
    /// The body is in a coding that is not read, or not in the one it says.
    ContentCoding(&'static str),
    /// Too many requests; seconds until there are some left.
    RateLimited(i64),
    /// There is no room for the request, or for its body.
    Full(Full),
    /// The server cannot work at the moment, for this reason.
    Unready(String),
    /// The first request with this Idempotency-Key is under way.
    UnderWay,
    /// The bytes that are wanted are beyond the end of a file of so many.
    NotThatLong(u64),
}

impl Failure {
    /// Whether it comes to 401.
    pub fn is_unauthenticated(&self) -> bool {
        matches!(self, Failure::Plane(Error::Unauthenticated | Error::Inactive(_)))
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Plane(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// What handlers return.
pub(crate) type Answer<T = Response<Body>> = Result<T, Failure>;

/// No such address.
pub(crate) async fn not_found() -> Failure {
    Failure::Http(StatusCode::NOT_FOUND, NOTHING_HERE)
}

/// There is such an address, but not with this method.
pub(crate) async fn method_not_allowed() -> Failure {
    Failure::Http(StatusCode::METHOD_NOT_ALLOWED, "This address does not take this method.")
}

const NOTHING_HERE: &str = "The requested resource was not found.";
/// Bytes of the body of a refusal at the most.
const MOST_BYTES: usize = 64 * 1024;
/// Characters of `detail`, and of other texts that stand beside it.
const MOST_OF_A_TEXT: usize = 2_000;
/// Entries of `errors` and `blockers`.
const MOST_ENTRIES: usize = FieldErrors::MOST;
/// The words of every 401.
pub(crate) const UNAUTHORIZED: &str = "Authentication required. Provide a valid bearer token.";

/// An error (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct Problem {
    /// A page about errors of this kind.
    #[schemars(with = "Url", example = &"http://localhost:3001/docs/errors/not_found")]
    r#type: String,
    #[schemars(length(min = 1, max = 100), example = &"Not Found")]
    title: &'static str,
    #[schemars(range(min = 400, max = 599), example = 404)]
    status: u16,
    /// What was wrong, for people.
    #[schemars(length(min = 0, max = 100_000), example = &"The requested resource was not found.")]
    detail: String,
    /// Stable and machine-readable.
    #[schemars(with = "ErrorCode")]
    error_code: &'static str,
    /// Whether the same request may succeed later.
    retryable: bool,
    #[schemars(with = "jiff::Timestamp", example = &"2026-03-31T12:00:00+00:00")]
    timestamp: String,
    /// For the server's operators.
    #[schemars(length(min = 1, max = 64), example = &"0192f7c1a2b34c5d8e9f0a1b2c3d4e5f")]
    request_id: String,
}

/// The members that only some errors have.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct More {
    /// The fields that are not acceptable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<FieldError>")]
    errors: Option<Vec<FieldError>>,
    /// Everything that stands in the way of a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<BlockerOut>")]
    blockers: Option<Vec<BlockerOut>>,
    /// What differs from the plan of a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<TableDrift>")]
    drift: Option<Vec<TableDrift>>,
    /// Seconds after which the request may succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0, max = 86_400))]
    retry_after_seconds: Option<i64>,
    /// At a token endpoint the same as `detail` (RFC 6749).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1_000))]
    error_description: Option<String>,
}

struct ErrorCode;

impl JsonSchema for ErrorCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = "The kind of an error. Each has a page at `/docs/errors/{code}`.";
        json_schema!({"type": "string", "description": about, "enum": error_pages::codes(), "examples": ["not_found"]})
    }
}

/// What a failure comes to on one surface.
struct Told {
    status: StatusCode,
    detail: String,
    /// OAuth's code.
    error: Option<&'static str>,
    more: More,
}

/// Writes a failure as this surface's clients expect it. `presents` says whether the request came with a credential.
pub(crate) fn render(cx: &Cx, dialect: &Dialect, failure: Failure, presents: bool) -> Response<Body> {
    let mut told = tell(cx, dialect, &failure);
    told.bound();
    let (code, title, retryable) = describe(told.status);
    let retry_after = told.more.retry_after_seconds;
    let problem = Problem {
        r#type: format!("{}/docs/errors/{code}", cx.plane.config.public_url),
        title,
        status: told.status.as_u16(),
        detail: told.detail,
        error_code: code,
        retryable,
        timestamp: cx.now.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        request_id: cx.request_id.to_string(),
    };
    // As it is on every surface, the time too.
    let mut problem = serde_json::to_value(problem).unwrap_or_default();
    if dialect.nest_errors {
        problem["statusCode"] = problem["status"].clone();
        problem["message"] = problem["detail"].clone();
        problem["error"] = told.error.unwrap_or(title).into();
    }
    if dialect.success_errors {
        problem["success"] = false.into();
        problem["message"] = problem["detail"].clone();
    }
    if let (Some(members), Json::Object(more)) = (problem.as_object_mut(), write(dialect, &told.more)) {
        members.extend(more);
    }
    let mut response = (told.status, bounded(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(dialect.error_type));
    if let Some(challenge) = challenge(told.status, &failure, presents).and_then(|words| HeaderValue::try_from(words).ok()) {
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if matches!(failure, Failure::ContentCoding(_)) {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Failure::NotThatLong(bytes) = failure
        && let Ok(range) = HeaderValue::try_from(format!("bytes */{bytes}"))
    {
        headers.insert(header::CONTENT_RANGE, range);
    }
    if let Some(seconds) = retry_after.or(retryable.then_some(1)) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a client is told about its credential (RFC 6750, section 3): nothing but the realm, if it sent none.
fn challenge(status: StatusCode, failure: &Failure, presents: bool) -> Option<String> {
    match (status, failure) {
        (StatusCode::UNAUTHORIZED, Failure::Plane(Error::Oauth(OauthRefusal::InvalidClient, _))) => Some("Basic realm=\"freehold\"".into()),
        (StatusCode::UNAUTHORIZED, _) if presents => {
            let words = "The credential is unknown, revoked, past its end or not admitted.";
            Some(format!("Bearer realm=\"freehold\", error=\"invalid_token\", error_description=\"{words}\""))
        }
        (StatusCode::UNAUTHORIZED, _) => Some("Bearer realm=\"freehold\"".into()),
        (StatusCode::FORBIDDEN, Failure::Plane(Error::LacksScope(scope)) | Failure::OfCustomer(_, Error::LacksScope(scope))) => {
            Some(format!("Bearer realm=\"freehold\", error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        _ => None,
    }
}

impl Told {
    fn new(status: StatusCode, detail: impl Into<String>) -> Told {
        Told { status, detail: detail.into(), error: None, more: More::default() }
    }

    fn with(self, more: More) -> Told {
        Told { more, ..self }
    }

    /// Cuts what repeats something of the request, or of many records: an answer that refuses is short, whatever was sent.
    fn bound(&mut self) {
        self.detail = clipped(std::mem::take(&mut self.detail), MOST_OF_A_TEXT);
        let More { errors, blockers, drift, error_description, .. } = &mut self.more;
        *error_description = error_description.take().map(|text| clipped(text, MOST_OF_A_TEXT));
        for more in [cut(errors), cut(blockers), cut(drift)].into_iter().flatten() {
            self.detail.push_str(&format!(" And {more} more."));
        }
    }
}

/// Cuts a list that is too long; returns by how many entries.
fn cut<T>(entries: &mut Option<Vec<T>>) -> Option<usize> {
    let entries = entries.as_mut().filter(|entries| entries.len() > MOST_ENTRIES)?;
    Some(entries.split_off(MOST_ENTRIES).len())
}

/// Of too many requests.
fn to_wait(status: StatusCode, detail: impl Into<String>, seconds: i64) -> Told {
    Told::new(status, detail).with(More { retry_after_seconds: Some(seconds), ..More::default() })
}

/// The text of a problem. Twenty entries fit but for the longest that there can be, of which fewer are told.
fn bounded(mut problem: Json) -> String {
    loop {
        let text = problem.to_string();
        if text.len() <= MOST_BYTES {
            return text;
        }
        let lists = problem.as_object_mut().into_iter().flat_map(|members| members.values_mut()).filter_map(Json::as_array_mut);
        match lists.max_by_key(|entries| entries.len()) {
            Some(entries) if !entries.is_empty() => entries.truncate(entries.len() / 2),
            _ => return text,
        }
    }
}

fn tell(cx: &Cx, dialect: &Dialect, failure: &Failure) -> Told {
    let told = |status, detail: &str| Told::new(status, detail);
    let error = match failure {
        Failure::Http(status, detail) => return told(*status, detail),
        Failure::ContentCoding(detail) => return told(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail),
        Failure::RateLimited(seconds) => {
            let detail = format!("Too many requests. Try again in {seconds} seconds.");
            return to_wait(StatusCode::TOO_MANY_REQUESTS, detail, *seconds);
        }
        Failure::Full(Full::Server) => {
            return told(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server holds as many bodies of requests as it can: send this one again in a moment.",
            );
        }
        Failure::Full(Full::Caller) => {
            let detail = "You have as many requests under way as one caller may have: wait for the answers to some.";
            return to_wait(StatusCode::TOO_MANY_REQUESTS, detail, 1);
        }
        Failure::Unready(words) => return told(StatusCode::SERVICE_UNAVAILABLE, words),
        Failure::As(status, error) => return Told { status: *status, ..tell(cx, dialect, &Failure::Plane(error.clone())) },
        Failure::OfCustomer(customer, Error::Blocked(blockers)) => return blocked(cx, dialect, blockers, Some(customer)),
        Failure::OfCustomer(_, error) => return tell(cx, dialect, &Failure::Plane(error.clone())),
        Failure::UnderWay => {
            let detail = "The first request with this Idempotency-Key is still under way: send this one again in a moment.";
            return to_wait(StatusCode::CONFLICT, detail, 1);
        }
        Failure::NotThatLong(bytes) => {
            return told(StatusCode::RANGE_NOT_SATISFIABLE, &format!("The file has {bytes} bytes, and none of those in `Range`."));
        }
        Failure::Plane(error) => error,
    };
    match error {
        Error::Invalid(errors) => {
            let spelled = |error: &FieldError| FieldError { field: dialect.name(&error.field), ..error.clone() };
            let told = Told::new(dialect.invalid, summary(dialect, errors));
            told.with(More { errors: Some(errors.first().iter().map(spelled).collect()), ..More::default() })
        }
        Error::Malformed(words) => told(StatusCode::BAD_REQUEST, words),
        Error::Unauthenticated => told(StatusCode::UNAUTHORIZED, UNAUTHORIZED),
        Error::Inactive(words) => told(StatusCode::UNAUTHORIZED, words),
        Error::Forbidden(words) => told(StatusCode::FORBIDDEN, words),
        Error::LacksScope(_) => told(StatusCode::FORBIDDEN, &error.to_string()),
        Error::Outsider(_) if dialect.outsider == StatusCode::NOT_FOUND => told(StatusCode::NOT_FOUND, NOTHING_HERE),
        Error::Outsider(words) => told(dialect.outsider, words),
        Error::NotFound(_) if dialect.plain_not_found => told(StatusCode::NOT_FOUND, NOTHING_HERE),
        // The two documents differ in the full stop; their clients compare the whole message.
        Error::NotFound("Organization") => told(StatusCode::NOT_FOUND, "Organization not found"),
        Error::NotFound(noun) => told(StatusCode::NOT_FOUND, &format!("{noun} not found.")),
        Error::Gone(words) => told(StatusCode::GONE, words),
        Error::Stale => told(StatusCode::PRECONDITION_FAILED, &error.to_string()),
        Error::Drifted(drift) => Told::new(StatusCode::PRECONDITION_FAILED, error.to_string())
            .with(More { drift: Some(drift.tables.clone()), ..More::default() }),
        Error::Conflict(words) => told(StatusCode::CONFLICT, words),
        Error::Blocked(blockers) => blocked(cx, dialect, blockers, None),
        Error::Oauth(refusal, words) => Told {
            status: if *refusal == OauthRefusal::InvalidClient { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST },
            detail: words.clone(),
            error: Some(refusal.code()),
            more: More { error_description: Some(words.clone()), ..More::default() },
        },
        Error::TooManyAttempts(seconds) => tell(cx, dialect, &Failure::RateLimited(*seconds)),
        Error::Throttled(words, seconds) => to_wait(StatusCode::TOO_MANY_REQUESTS, words, *seconds),
        Error::Overloaded(words) => told(StatusCode::SERVICE_UNAVAILABLE, words),
        Error::Storage(storage) => {
            error.log("the database failed", Some(&cx.request_id));
            match is_passing(storage) {
                true => told(StatusCode::SERVICE_UNAVAILABLE, "The database is not available. Try again."),
                false => told(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side."),
            }
        }
        Error::Internal(words) => {
            tracing::error!(request_id = %cx.request_id, error = %words, "a defect");
            told(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.")
        }
    }
}

fn blocked(cx: &Cx, dialect: &Dialect, blockers: &[Blocker], customer: Option<&str>) -> Told {
    let detail = Error::Blocked(blockers.to_vec()).to_string();
    let blockers = Case::of(cx, customer).blockers(dialect, blockers);
    Told::new(StatusCode::CONFLICT, detail).with(More { blockers: Some(blockers), ..More::default() })
}

/// Whether the same request may well succeed a moment later.
fn is_passing(error: &plane::StorageError) -> bool {
    error.is_of_the_database() || matches!(error, plane::StorageError::Retry(_))
}

/// The first error, and how many more there are: `errors` has the others, up to 20 in all.
fn summary(dialect: &Dialect, errors: &FieldErrors) -> String {
    let first = errors.first().first().map_or_else(String::new, |error| format!("{} {}", dialect.name(&error.field), error.message));
    match errors.total().saturating_sub(1) {
        0 => format!("{first}."),
        more => format!("{first}; and {more} more."),
    }
}

/// Code, title and whether trying again makes sense.
pub(crate) fn describe(status: StatusCode) -> (&'static str, &'static str, bool) {
    match status.as_u16() {
        400 => ("bad_request", "Bad Request", false),
        401 => ("unauthorized", "Unauthorized", false),
        403 => ("forbidden", "Forbidden", false),
        404 => ("not_found", "Not Found", false),
        405 => ("method_not_allowed", "Method Not Allowed", false),
        408 => ("request_timeout", "Request Timeout", true),
        409 => ("conflict", "Conflict", false),
        410 => ("gone", "Gone", false),
        412 => ("precondition_failed", "Precondition Failed", false),
        413 => ("payload_too_large", "Payload Too Large", false),
        416 => ("range_not_satisfiable", "Range Not Satisfiable", false),
        417 => ("expectation_failed", "Expectation Failed", false),
        415 => ("unsupported_media_type", "Unsupported Media Type", false),
        422 => ("validation_error", "Validation Error", false),
        429 => ("rate_limited", "Too Many Requests", true),
        503 => ("unavailable", "Service Unavailable", true),
        _ => ("internal_error", "Internal Server Error", false),
    }
}
