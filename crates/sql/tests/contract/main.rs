//! What this crate promises, held against both engines from the outside.
//!
//! Each test is one `async fn` that a list at the top of its file turns into two: `…::on_sqlite` and `…::on_postgres`. What only one
//! engine can show (a lock file, a deadlock) is a plain test beside them.
#![cfg(test)]

mod concurrency;
mod constraints;
mod engines;
mod failures;
mod hooks;
mod migrations;
mod opening;
mod pooling;
mod schema;
mod transactions;
mod values;
