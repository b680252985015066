//! How much of a database is in use: what its operators want to know before it is too late.

use std::path::{Path, PathBuf};

/// How much of a database is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Of PostgreSQL.
    pub connections: Option<Connections>,
    /// Of an embedded database, as far as the system tells.
    pub files: Option<Files>,
}

/// The pool of connections to PostgreSQL. The one with the server's lock is besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those in use.
    pub used: u64,
    /// Those that are open and free.
    pub idle: u64,
    /// How many there may be.
    pub most: u64,
    /// How often a caller has had to wait for one since the start.
    pub waits: u64,
}

/// The files of an embedded database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Files {
    /// Bytes of the database.
    pub database: u64,
    /// Bytes of its write-ahead log.
    pub log: u64,
    /// Bytes that are free for this program where they lie.
    pub free: u64,
}

impl Files {
    pub(crate) fn of(database: &Path) -> Option<Files> {
        let bytes = |path: &Path| std::fs::metadata(path).map(|found| found.len());
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let disk = rustix::fs::statvfs(database).ok()?;
        Some(Files {
            database: bytes(database).ok()?,
            log: bytes(&PathBuf::from(log)).unwrap_or_default(),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}
