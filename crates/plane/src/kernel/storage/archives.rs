//! The place of the archives of exports, as a server knows it.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Mutex;

use super::{Marker, Place, Storage};
use crate::Result;

/// The place of the archives.
pub(crate) struct Archives {
    pub(crate) storage: Storage,
    pub(crate) claim: Mutex<Claim>,
    /// Whether there may be files that no sweep has looked at.
    pub(crate) is_unsure: AtomicBool,
}

/// Whose the place is.
pub(crate) enum Claim {
    /// It was not asked for: no server runs.
    Unasked,
    /// It could not be reached yet.
    Waiting,
    /// It is this database's. The lock is let go with it.
    Ours { marker: Marker, _lock: Option<File> },
    /// It belongs to another database.
    Lost,
}

impl Archives {
    pub(crate) fn open(place: &Place) -> Result<Archives> {
        Ok(Archives { storage: Storage::open(place)?, claim: Mutex::new(Claim::Unasked), is_unsure: AtomicBool::new(true) })
    }

    /// Whether it can be used, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        let is_asked = self.claim.try_lock();
        self.storage.is_up() && is_asked.map_or(true, |claim| !matches!(*claim, Claim::Lost | Claim::Waiting))
    }

    pub(crate) fn note_unsure(&self) {
        self.is_unsure.store(true, Ordering::Relaxed);
    }
}
