//! Retention: one job erases what has had its time (`retention_periods.rs` says how long that is).
//!
//! What goes row by row stands in `sweeps.rs`; softly deleted customers end by an ordinary deletion, in `customers.rs`; when and how fast, and
//! what the audit trail says of it, in `reconciler.rs`.

mod brake;
mod customers;
mod reconciler;
mod sweeps;

use std::time::Duration;

pub(crate) use customers::OVERDUE as OVERDUE_CUSTOMERS;
pub use reconciler::{Round, once, run};
pub(crate) use sweeps::sweeps;

pub use crate::retention_periods::{Periods, Retention, Setting};

/// How much later than its time something may go before it is called overdue.
pub const GRACE: Duration = Duration::from_secs(3_600);

/// Every statement of retention that is generated, for the test that prepares them.
pub fn statements() -> Vec<sql::Statement> {
    sweeps::statements().into_iter().chain(OVERDUE_CUSTOMERS.statements()).collect()
}
