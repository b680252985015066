//! The file beside an embedded database that says which process has it, and that there is a database.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::{Error, Result, log};

/// Whether the lock file, or a log, says that there was a database before.
pub(crate) fn was_there(path: &Path, lock: &File) -> Result<bool> {
    let found = lock.metadata().map_err(|error| Error::Unavailable(format!("cannot look at the lock file of the database: {error}")))?;
    Ok(found.len() > 0 || std::fs::metadata(log::beside(path, "-wal")).is_ok_and(|log| log.len() > 0))
}

/// The lock file of a database.
pub(crate) enum Locked {
    /// This process has it.
    Here(File),
    /// Another one has it.
    Elsewhere(File),
}

/// Locks it for this process, if no other has it.
pub(crate) fn lock(path: &Path) -> Result<Locked> {
    let name = path.with_extension("lock");
    let unavailable = |error| Error::Unavailable(format!("cannot open {}: {error}", name.display()));
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(Locked::Here(file)),
        Err(TryLockError::WouldBlock) => Ok(Locked::Elsewhere(file)),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}
