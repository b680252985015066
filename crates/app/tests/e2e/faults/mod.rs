//! What fails beside the server, and what it does then: its log, its disk, its database, its stop.

mod backups;
mod clocks;
mod databases;
mod frozen;
mod ledger;
mod ledger_lines;
mod logging;
mod schemas;
mod secrets;
mod stopping;
mod swapped_lines;

pub use crate::support::cluster::connect;
pub use databases::wait_until_ready;
