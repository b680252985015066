//! Errors on the wire: RFC 9457 problem details, with the members that each surface's clients look for.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use plane::deletion::Blocker;
use plane::{Cx, Error, FieldError, FieldErrors, OauthRefusal, clipped};
use serde_json::{Value as Json, json};

use crate::dialect::Dialect;
use crate::limits::Full;
use crate::remedies::Case;
use crate::views;

/// An operation's error on its way to `door.rs`, which knows the dialect and turns it into a response.
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

/// What a failure comes to on one surface.
struct Told {
    status: StatusCode,
    detail: String,
    more: Vec<(&'static str, Json)>,
}

/// Writes a failure as this surface's clients expect it. `presents` says whether the request came with a credential.
pub(crate) fn render(cx: &Cx, dialect: &Dialect, failure: Failure, presents: bool) -> Response<Body> {
    let mut told = tell(cx, dialect, &failure);
    told.bound();
    let (code, title, retryable) = describe(told.status);
    let mut problem = json!({
        "type": format!("{}/docs/errors/{code}", cx.plane.config.public_url),
        "title": title,
        "status": told.status.as_u16(),
        "detail": told.detail,
        "error_code": code,
        "retryable": retryable,
        "timestamp": cx.now.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "request_id": &*cx.request_id,
    });
    let retry_after = told.more.iter().find(|(name, _)| *name == "retry_after_seconds").and_then(|(_, value)| value.as_i64());
    if dialect.nest_errors {
        problem["statusCode"] = told.status.as_u16().into();
        problem["message"] = told.detail.as_str().into();
        problem["error"] = title.into();
    }
    if dialect.success_errors {
        problem["success"] = false.into();
        problem["message"] = told.detail.as_str().into();
    }
    // After the surface's own members: at a token endpoint `error` is OAuth's.
    for (name, value) in told.more {
        problem[name] = value;
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
    /// Cuts what repeats something of the request, or of many records: an answer that refuses is short, whatever was sent.
    fn bound(&mut self) {
        self.detail = clipped(std::mem::take(&mut self.detail), MOST_OF_A_TEXT);
        for (_, value) in &mut self.more {
            match value {
                Json::String(text) => *text = clipped(std::mem::take(text), MOST_OF_A_TEXT),
                Json::Array(entries) if entries.len() > MOST_ENTRIES => {
                    let more = entries.len() - MOST_ENTRIES;
                    entries.truncate(MOST_ENTRIES);
                    self.detail.push_str(&format!(" And {more} more."));
                }
                _ => {}
            }
        }
    }
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
    let told = |status, detail: &str| Told { status, detail: detail.to_owned(), more: Vec::new() };
    let error = match failure {
        Failure::Http(status, detail) => return told(*status, detail),
        Failure::ContentCoding(detail) => return told(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail),
        Failure::RateLimited(seconds) => {
            let detail = format!("Too many requests. Try again in {seconds} seconds.");
            return Told { status: StatusCode::TOO_MANY_REQUESTS, detail, more: vec![("retry_after_seconds", (*seconds).into())] };
        }
        Failure::Full(Full::Server) => {
            return told(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server holds as many bodies of requests as it can: send this one again in a moment.",
            );
        }
        Failure::Full(Full::Caller) => {
            let detail = "You have as many requests under way as one caller may have: wait for the answers to some.".to_owned();
            return Told { status: StatusCode::TOO_MANY_REQUESTS, detail, more: vec![("retry_after_seconds", 1.into())] };
        }
        Failure::Unready(words) => return told(StatusCode::SERVICE_UNAVAILABLE, words),
        Failure::As(status, error) => return Told { status: *status, ..tell(cx, dialect, &Failure::Plane(error.clone())) },
        Failure::OfCustomer(customer, Error::Blocked(blockers)) => return blocked(cx, dialect, blockers, Some(customer)),
        Failure::OfCustomer(_, error) => return tell(cx, dialect, &Failure::Plane(error.clone())),
        Failure::UnderWay => {
            let detail = "The first request with this Idempotency-Key is still under way: send this one again in a moment.".to_owned();
            return Told { status: StatusCode::CONFLICT, detail, more: vec![("retry_after_seconds", 1.into())] };
        }
        Failure::NotThatLong(bytes) => {
            return told(StatusCode::RANGE_NOT_SATISFIABLE, &format!("The file has {bytes} bytes, and none of those in `Range`."));
        }
        Failure::Plane(error) => error,
    };
    match error {
        Error::Invalid(errors) => Told {
            status: dialect.invalid,
            detail: summary(dialect, errors),
            more: vec![("errors", errors.first().iter().map(|error| field_error(dialect, error)).collect())],
        },
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
        Error::Drifted(drift) => {
            Told { status: StatusCode::PRECONDITION_FAILED, detail: error.to_string(), more: vec![("drift", views::drift(dialect, drift))] }
        }
        Error::Conflict(words) => told(StatusCode::CONFLICT, words),
        Error::Blocked(blockers) => blocked(cx, dialect, blockers, None),
        Error::Oauth(refusal, words) => Told {
            status: if *refusal == OauthRefusal::InvalidClient { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST },
            detail: words.clone(),
            more: vec![("error", refusal.code().into()), ("error_description", words.as_str().into())],
        },
        Error::TooManyAttempts(seconds) => tell(cx, dialect, &Failure::RateLimited(*seconds)),
        Error::Throttled(words, seconds) => {
            Told { status: StatusCode::TOO_MANY_REQUESTS, detail: words.clone(), more: vec![("retry_after_seconds", (*seconds).into())] }
        }
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
    let blockers = views::blockers(dialect, blockers, Case::of(cx, customer));
    Told { status: StatusCode::CONFLICT, detail, more: vec![("blockers", blockers)] }
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

fn field_error(dialect: &Dialect, error: &FieldError) -> Json {
    json!({"field": dialect.name(&error.field), "code": error.code, "message": error.message})
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
