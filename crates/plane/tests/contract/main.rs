//! What the plane promises about its schema, its statements and its rules, held against both engines.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod api_keys;
mod authority;
mod completed;
mod crashes;
mod creators;
mod draining;
mod ending;
mod engines;
mod golden;
mod grace;
mod graph;
mod graphs;
mod holds;
mod idempotency;
mod layers;
mod leavings;
mod leftovers;
mod parallel_batches;
mod passwords;
mod people;
mod policy;
mod purging;
mod residue;
mod retention;
mod rules;
mod schema;
mod signing_keys;
mod snapshot;
mod stage;
mod statements;
mod telling;
mod trail;
mod world;
