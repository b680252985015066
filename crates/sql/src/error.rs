//! The one error of this crate: what an engine said, sorted by what a caller can do about it.

/// Why a statement or a transaction failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A unique constraint refused the row. Has the engine's words, which name the index or its columns.
    #[error("a row with this key exists already ({0})")]
    Unique(String),
    /// A foreign key refused the row: its parent is not there (any more).
    #[error("the row this one hangs on does not exist ({0})")]
    ForeignKey(String),
    /// A serialization failure or a deadlock (SQLSTATE 40001, 40P01): the transaction may be run again as it was.
    #[error("the transaction met a concurrent one and may be run again ({0})")]
    Retry(String),
    /// The engine cannot be reached, has no connection free, or its disk refused the write. Nothing was committed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The engine was to commit, and did not say whether it has: the connection broke, or the disk did not confirm it.
    #[error("the database is not available, and has not said whether it has kept what was written: {0}")]
    Uncertain(String),
    /// The engine takes no writes at the moment: its file or disk is read-only, or it is a replica. From a transaction that reads, a defect.
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    /// The statement, a parameter or a column is not what the schema says: a defect of this program.
    #[error("the database refused a statement: {0}")]
    Statement(String),
    /// The schema of this database is not one this program can run on.
    #[error("{0}")]
    Migration(String),
}

impl Error {
    /// Whether the same may well succeed once the database is well again: nothing is wrong with what was asked.
    pub fn is_of_the_database(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Uncertain(_) | Error::ReadOnly(_))
    }

    /// Whether a commit that failed with this has surely changed nothing: the engine itself has said no. After any other error of a
    /// commit it may have come true all the same.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Error::Unique(_) | Error::ForeignKey(_) | Error::Retry(_) | Error::ReadOnly(_))
    }

    /// The error of a commit that was on its way.
    pub(crate) fn of_a_commit(self) -> Error {
        match self {
            Error::Unavailable(words) | Error::Statement(words) => Error::Uncertain(words),
            other => other,
        }
    }
}

/// An error of a transaction, which may be the engine's.
pub trait HasDatabaseError {
    /// The engine's error, if that is what it is.
    fn database_error(&self) -> Option<&Error>;
}

impl HasDatabaseError for Error {
    fn database_error(&self) -> Option<&Error> {
        Some(self)
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
            ErrorCode::ReadOnly => Error::ReadOnly(words),
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::NoLargeFileSupport
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
            SqlState::READ_ONLY_SQL_TRANSACTION => Error::ReadOnly(words),
            ref other if is_passing(other.code()) => Error::Unavailable(words),
            _ => Error::Statement(words),
        }
    }
}

/// Classes of SQLSTATE that tell of the server and of what it runs on, never of the statement: connections, resources (disk, memory, number of
/// connections), operators (shut-down, cancelled, session ended), the system's own errors, and damaged files (PostgreSQL, appendix A).
const OF_THE_SERVER: [&str; 6] = ["08", "53", "57", "58", "F0", "XX001"];
/// States of other classes that pass: a transaction or session that was idle for too long, a lock that was not to be had in time.
const PASSING: [&str; 3] = ["25P03", "25P04", "55P03"];

/// Whether the same statement may well succeed once the server is well again.
fn is_passing(state: &str) -> bool {
    OF_THE_SERVER.iter().any(|class| state.starts_with(class)) || PASSING.contains(&state)
}

impl From<deadpool::managed::PoolError<Error>> for Error {
    fn from(error: deadpool::managed::PoolError<Error>) -> Self {
        match error {
            deadpool::managed::PoolError::Backend(error) => error,
            deadpool::managed::PoolError::Timeout(_) => Error::Unavailable("no connection to PostgreSQL was free in time".into()),
            other => Error::Unavailable(other.to_string()),
        }
    }
}

/// An error with its causes: tokio-postgres keeps the useful half in the source.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn what_ails_the_server_is_told_apart_from_what_is_wrong_with_a_statement() {
        // disk full, out of memory, too many connections, shut down, crashed, not up yet, cancelled, idle session ended, idle in transaction,
        // transaction too long, lock not available, connection lost, I/O error, damaged page
        for state in
            ["53100", "53200", "53300", "57P01", "57P02", "57P03", "57014", "57P05", "25P03", "25P04", "55P03", "08006", "58030", "XX001"]
        {
            assert!(is_passing(state), "{state}");
        }
        // syntax, no such column, not null, wrong type, division, internal error, failed transaction
        for state in ["42601", "42703", "23502", "22P02", "22012", "XX000", "25P02"] {
            assert!(!is_passing(state), "{state}");
        }
    }

    #[test]
    fn the_embedded_engine_is_not_available_when_its_file_is_not() {
        let told = |code| Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_PERM,
            ffi::SQLITE_PROTOCOL,
        ] {
            assert!(matches!(told(code), Error::Unavailable(_)), "{code}");
        }
        for code in [ffi::SQLITE_READONLY, ffi::SQLITE_READONLY_DBMOVED] {
            assert!(matches!(told(code), Error::ReadOnly(_)), "{code}");
        }
        for code in [ffi::SQLITE_ERROR, ffi::SQLITE_MISUSE, ffi::SQLITE_MISMATCH, ffi::SQLITE_TOOBIG] {
            assert!(matches!(told(code), Error::Statement(_)), "{code}");
        }
    }
}
