//! What a deletion does: who loses access at once, what goes and what is kept, what stands in its way, and what is written down about it.

mod access;
mod accounts;
mod audit;
mod bound;
mod events;
mod expiry;
mod guards;
mod lists;
mod owners;
mod plans;
mod purges;
mod records;
mod retention;
mod stopping;
mod together;
mod validating;
