//! Work beside the requests, and what takes several nouns: jobs, exports, purges, plans, backups, the start of a server.

pub mod backups;
pub mod clocks;
pub mod drain;
pub mod exports;
pub mod idempotency;
pub mod ledger_replay;
pub mod maintenance;
pub mod metrics;
pub mod opening;
pub mod orphans;
pub mod outbox;
pub mod plans;
pub mod purges;
pub mod retention;
