//! What is measured against, and who calls.

pub(crate) mod bare;
pub(crate) mod callers;
pub(crate) mod load;
pub(crate) mod peer;
pub(crate) mod pgbench;
pub(crate) mod plain;
pub(crate) mod rusqlite_floor;
pub(crate) mod server;
pub(crate) mod wrk;
