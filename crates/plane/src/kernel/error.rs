//! The one error of this crate: why an operation was refused or failed, in terms of the product and not of HTTP.

use deletion::{Blocker, Drift};

/// What every operation returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// One or more inputs are not acceptable.
    #[error("{} input(s) are not acceptable", .0.total())]
    Invalid(FieldErrors),
    /// The request as a whole makes no sense; the words say what to send instead.
    #[error("{0}")]
    Malformed(String),
    /// The caller is not signed in, or the credential is not good (any more).
    #[error("authentication required")]
    Unauthenticated,
    /// The credential is good and switched off; the words name the remedy.
    #[error("{0}")]
    Inactive(&'static str),
    /// The actor is known and may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// The credential is good and limited to scopes that do not cover this one.
    #[error("Access denied. This credential lacks the scope {0}.")]
    LacksScope(String),
    /// The organization exists and the actor has nothing to do with it. Some surfaces call this "not found".
    #[error("{0}")]
    Outsider(String),
    /// There is no such thing, named by its noun with a capital letter, such as `Customer`.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// It was there and had its time; the words say what to do instead.
    #[error("{0}")]
    Gone(&'static str),
    /// Something of this kind exists already or is in use; the words name the remedy.
    #[error("{0}")]
    Conflict(String),
    /// The record is no longer as the caller had read it.
    #[error("The record has changed since you read it, or is another one now. Read it again and decide anew.")]
    Stale,
    /// A deletion is blocked: all reasons at once, each with its remedy.
    #[error("{}", .0.iter().map(|blocker| blocker.detail.as_str()).collect::<Vec<_>>().join(" "))]
    Blocked(Vec<Blocker>),
    /// A deletion finds something else than the plan it is bound to.
    #[error("{0}")]
    Drifted(Drift),
    /// A token endpoint refuses, with a code of OAuth 2.0 and a sentence.
    #[error("{1}")]
    Oauth(OauthRefusal, String),
    /// The server has as much of this work as it can take; the same request may succeed later.
    #[error("{0}")]
    Overloaded(&'static str),
    /// Too many attempts to prove a password; the seconds until there are some left.
    #[error("Too many attempts. Try again in {0} seconds.")]
    TooManyAttempts(i64),
    /// The organization has used up what it may for now; the seconds until it can go on.
    #[error("{0}")]
    Throttled(String, i64),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] sql::Error),
    /// A defect of this program. The words go to the log, never to the caller.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Writes it to the log, for a request if it is of one. While the database is not available, what fails for that is told only with the level
    /// DEBUG: the database itself tells of it, once and then every minute.
    pub fn log(&self, what: &'static str, request_id: Option<&str>) {
        match self {
            Error::Storage(storage) if storage.is_of_the_database() => tracing::debug!(request_id, error = %self, "{what}"),
            _ => tracing::error!(request_id, error = %self, "{what}"),
        }
    }

    /// Whether a transaction that ended with this has surely changed nothing: it failed before its commit, or the engine has refused that.
    pub(crate) fn is_rolled_back(&self) -> bool {
        !matches!(self, Error::Storage(sql::Error::Uncertain(_)))
    }
}

/// Why a token endpoint refuses (RFC 6749, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OauthRefusal {
    /// A parameter is missing, is there twice or makes no sense.
    InvalidRequest,
    /// The client is unknown, or its secret is wrong. Which of the two is not told.
    InvalidClient,
    /// The refresh token is unknown, used or past its end, or another client's.
    InvalidGrant,
    /// This kind of grant is not given here.
    UnsupportedGrantType,
    /// A scope is unknown, or wider than what can be granted.
    InvalidScope,
}

impl OauthRefusal {
    /// The code on the wire.
    pub fn code(self) -> &'static str {
        match self {
            OauthRefusal::InvalidRequest => "invalid_request",
            OauthRefusal::InvalidClient => "invalid_client",
            OauthRefusal::InvalidGrant => "invalid_grant",
            OauthRefusal::UnsupportedGrantType => "unsupported_grant_type",
            OauthRefusal::InvalidScope => "invalid_scope",
        }
    }
}

/// One field that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct FieldError {
    /// The field's name, with dots into objects.
    #[schemars(length(min = 0, max = 500), example = &"name")]
    pub field: String,
    /// Stable and machine-readable.
    #[schemars(length(min = 1, max = 50), example = &"too_short")]
    pub code: &'static str,
    /// For people.
    #[schemars(length(min = 1, max = 500), example = &"must have 3 or more characters")]
    pub message: String,
}

impl FieldError {
    /// An error of one field. Names and messages that are longer than any of this program's own are cut: they repeat what the caller sent.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> FieldError {
        FieldError { field: clipped(field.into(), MOST_OF_A_NAME), code, message: clipped(message.into(), MOST_OF_A_MESSAGE) }
    }
}

/// Characters of a field's name at the most.
const MOST_OF_A_NAME: usize = 100;
/// Characters of an error's message at the most.
const MOST_OF_A_MESSAGE: usize = 1_000;

/// A text of that many characters at the most; of a longer one the beginning, and `…`.
pub fn clipped(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What is not acceptable about one input: the first 20 errors, and how many there are in all. What a caller sends must not decide how
/// much memory its errors take, nor how long the answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors {
    first: Vec<FieldError>,
    total: usize,
}

impl FieldErrors {
    /// Errors that are kept.
    pub const MOST: usize = 20;

    /// Adds an error.
    pub fn push(&mut self, error: FieldError) {
        self.total += 1;
        if self.first.len() < FieldErrors::MOST {
            self.first.push(error);
        }
    }

    /// Adds the errors of a part of the input, whose fields are within the field `part`.
    pub fn extend_within(&mut self, part: &str, errors: FieldErrors) {
        let total = self.total + errors.total;
        for error in errors.first {
            self.push(FieldError::new(format!("{part}.{}", error.field), error.code, error.message));
        }
        self.total = total;
    }

    /// The first 20.
    pub fn first(&self) -> &[FieldError] {
        &self.first
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// [`Error::Invalid`] if there are any.
    ///
    /// # Errors
    /// These.
    pub fn finish(self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Error::Invalid(self)) }
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Error {
        Error::Invalid(FieldErrors { first: vec![error], total: 1 })
    }
}

impl Error {
    /// A word for the audit trail: how the attempt ended.
    pub fn outcome(&self) -> &'static str {
        match self {
            Error::Oauth(OauthRefusal::InvalidClient | OauthRefusal::InvalidGrant, _) => "refused",
            Error::Invalid(_) | Error::Malformed(_) | Error::Oauth(..) => "invalid",
            Error::Unauthenticated | Error::Inactive(_) => "unauthenticated",
            Error::Forbidden(_) | Error::LacksScope(_) | Error::Outsider(_) => "refused",
            Error::NotFound(_) | Error::Gone(_) => "not_found",
            Error::Conflict(_) | Error::Blocked(_) | Error::Stale | Error::Drifted(_) => "blocked",
            Error::TooManyAttempts(_) | Error::Throttled(..) => "refused",
            Error::Overloaded(_) | Error::Storage(_) | Error::Internal(_) => "failed",
        }
    }

    /// What was wrong, for those who may read the audit trail: the words of the database and of defects are for the log only.
    pub fn words(&self) -> String {
        match self {
            Error::Storage(_) | Error::Internal(_) => "an error of the server, which its log has under this request".into(),
            told => told.to_string(),
        }
    }
}

impl From<deletion::Error> for Error {
    fn from(error: deletion::Error) -> Error {
        match error {
            deletion::Error::Database(error) => Error::Storage(error),
            deletion::Error::Drifted(drift) => Error::Drifted(drift),
            deletion::Error::Blocked(blockers) => Error::Blocked(blockers),
            deletion::Error::Internal(words) => Error::Internal(words),
        }
    }
}

impl sql::HasDatabaseError for Error {
    fn database_error(&self) -> Option<&sql::Error> {
        match self {
            Error::Storage(error) => Some(error),
            _ => None,
        }
    }
}
