//! How to open a database.

use std::path::PathBuf;

/// Where the data is, and how many connections to hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// `postgres://…`, or `sqlite:PATH` for the embedded engine. The file and its folder are created.
    pub url: String,
    /// Reader connections on SQLite, pooled connections on PostgreSQL. 1 to 1,000.
    pub connections: usize,
    /// Requests that SQLite commits together at the most; 1 is one transaction a request. Ignored on PostgreSQL.
    pub group: usize,
    /// Whether an embedded database is made where one is missing that was there before.
    pub may_begin_anew: bool,
    /// The schema of a PostgreSQL database that has the tables. Without a name it is the one that has them; for a new database the one that new
    /// tables come into (`public`), or `freehold` where others have put something there.
    pub schema: Option<String>,
    /// Whether it is a server that opens it. Then no other may use a PostgreSQL database for as long: it would go on letting in what is deleted
    /// here. The file of an embedded one has one process in any case, and of a server's the folder is closed to other users of the machine.
    pub is_server: bool,
    /// Whether an embedded database that another process has is read beside it: then nothing can be written.
    pub reads_beside: bool,
}

impl Options {
    /// The defaults for an address: 16 connections, groups of 64.
    pub fn new(url: impl Into<String>) -> Options {
        Options { url: url.into(), connections: 16, group: 64, may_begin_anew: false, schema: None, is_server: false, reads_beside: false }
    }

    /// The file of an embedded database, if it is missing or empty: opening it begins with nothing.
    pub fn missing_file(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.url.strip_prefix("sqlite:")?);
        std::fs::metadata(&path).map_or(true, |found| found.len() == 0).then_some(path)
    }
}
