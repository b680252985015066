//! The one error of this crate: what an engine said, sorted by what a caller can do about it.

/// Why a statement or a transaction failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A unique constraint refused the row. Carries the engine's words, which name the index or its columns.
    #[error("a row with this key exists already ({0})")]
    Unique(String),
    /// A foreign key refused the row: its parent is not there (any more).
    #[error("the row this one hangs on does not exist ({0})")]
    ForeignKey(String),
    /// A serialization failure or a deadlock (SQLSTATE 40001, 40P01): the transaction may be run again as it was.
    #[error("the transaction met a concurrent one and may be run again ({0})")]
    Retry(String),
    /// The engine cannot be reached, has no connection free, or its disk refused the write. Nothing was committed, or it is not known
    /// whether it was.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The statement, a parameter or a column is not what the schema says: a defect of this program.
    #[error("the database refused a statement: {0}")]
    Statement(String),
    /// The schema of this database is not one this program can run on.
    #[error("{0}")]
    Migration(String),
}

impl Error {
    /// Whether a commit that failed with this has surely changed nothing: the engine itself has said no. After any other error of a
    /// commit it may have come true all the same.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Error::Unique(_) | Error::ForeignKey(_) | Error::Retry(_))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{self, ErrorCode};
        let words = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Error::Statement(words);
        };
        match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => return Error::Unique(words),
            // SQLite enforces `ON DELETE RESTRICT` by a trigger of its own; this schema has no others.
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY | ffi::SQLITE_CONSTRAINT_TRIGGER => return Error::ForeignKey(words),
            _ => {}
        }
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Retry(words),
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied => Error::Unavailable(words),
            _ => Error::Statement(words),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let Some(detail) = error.as_db_error() else {
            return match error.is_closed() || std::error::Error::source(&error).is_some_and(|source| source.is::<std::io::Error>()) {
                true => Error::Unavailable(describe(&error)),
                false => Error::Statement(describe(&error)),
            };
        };
        let words = format!("{}: {}", detail.code().code(), detail.message());
        match *detail.code() {
            SqlState::UNIQUE_VIOLATION => Error::Unique(words),
            SqlState::FOREIGN_KEY_VIOLATION | SqlState::RESTRICT_VIOLATION => Error::ForeignKey(words),
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Error::Retry(words),
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::TOO_MANY_CONNECTIONS
            | SqlState::DISK_FULL
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::QUERY_CANCELED => Error::Unavailable(words),
            _ => Error::Statement(words),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => match Error::from(error) {
                Error::Statement(words) => Error::Unavailable(words),
                other => other,
            },
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// An error with its causes: tokio-postgres keeps the useful half in the source.
fn describe(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}
