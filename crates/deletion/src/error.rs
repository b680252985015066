//! Why a deletion was refused or failed.

use uuid::Uuid;

use crate::plan_token::Drift;

/// What every call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a deletion did not happen or did not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sql::Error),
    /// It finds something else than the plan that it is bound to.
    #[error("{0}")]
    Drifted(Drift),
    /// Everything that stands in its way.
    #[error("{} blocker(s)", .0.len())]
    Blocked(Vec<Blocker>),
    /// A defect: of this program, of the rules, or of a record that this program has not written.
    #[error("{0}")]
    Internal(String),
}

impl sql::HasDatabaseError for Error {
    fn database_error(&self) -> Option<&sql::Error> {
        match self {
            Error::Database(error) => Some(error),
            Error::Drifted(_) | Error::Blocked(_) | Error::Internal(_) => None,
        }
    }
}

/// One reason why a deletion cannot happen now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Blocker {
    /// A stable machine-readable word.
    pub code: &'static str,
    /// The kind of what blocks.
    pub kind: &'static str,
    /// Its id.
    pub id: Uuid,
    /// A sentence for people.
    pub detail: String,
    /// What to do about it.
    pub remedy: &'static str,
}
