//! Drills: what must hold while everything happens at once and the process is killed in the middle, on both engines.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a drill that cannot go on stops; it says what it did"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the drills need a part of what the black-box tests share")]
mod support;

mod billing;
mod bulk;
mod chance;
mod crash;
mod disk;
mod exports;
mod overtaking;
mod races;
mod restarts;
mod restores;
mod revocation;
mod store;
#[expect(dead_code, reason = "the black-box tests use the rest of the counterpart")]
mod stripe;
mod telling;
mod waiting;
