//! Nothing that is sent is ignored in silence: sweeps of every operation of the catalogue × every fault of a kind, and what stands beside
//! them. The operations and their parameters come from `/openapi.json`, so that a new one is covered as it is.

mod credentials;
pub mod lost;
mod parameters;
mod preconditions;
mod repetitions;
mod spellings;
