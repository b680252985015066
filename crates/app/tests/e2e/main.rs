//! Black-box tests of the server over HTTP, on both engines.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on stops")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod deletions;
mod identity;
mod seeds;
mod smoke;
mod tools;
