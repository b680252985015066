//! The embedded engine.

pub(crate) mod lock_file;
pub(crate) mod log;
pub mod long_work;
pub(crate) mod readers;
pub(crate) mod sqlite;
pub(crate) mod sqlite_tx;
