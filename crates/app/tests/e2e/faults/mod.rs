//! What fails beside the server, and what it does then: its log, its disk, its database, its stop.

mod backups;
mod clocks;
mod cluster;
mod databases;
mod frozen;
mod ledger;
mod logging;
mod schemas;
mod secrets;
mod stopping;

pub use cluster::connect;
pub use databases::wait_until_ready;
