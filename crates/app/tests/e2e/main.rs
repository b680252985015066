//! Black-box tests of the server over HTTP, on both engines.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "what the tests with a bucket need is among it")]
mod support;

#[path = "../drills/bulk.rs"]
mod bulk;
#[path = "../drills/chance.rs"]
#[expect(dead_code, reason = "only drills leave anything to chance")]
mod chance;
#[path = "../drills/store.rs"]
#[expect(dead_code, reason = "these tests need a part of what the drills share")]
mod store;
#[path = "../drills/stripe.rs"]
mod stripe;

mod access;
mod bad_input;
mod billing;
mod browsers;
mod client;
mod configuration;
mod crowds;
mod deletions;
mod demo;
mod doctor;
mod documents;
mod encrypted;
mod exports;
mod faults;
mod holds;
mod identity;
mod limits;
mod nouns;
mod oauth;
mod repeats;
mod requirements;
mod seeds;
mod silence;
mod smoke;
mod tools;
mod webhooks;
