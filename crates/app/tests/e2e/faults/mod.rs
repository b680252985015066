//! What fails beside the server, and what it does then: its log, its disk, its database, its stop.

mod backups;
mod clocks;
mod databases;
mod ledger;
mod logging;
mod secrets;
mod stopping;
