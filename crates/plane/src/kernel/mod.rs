//! What everything else stands on: context, errors, rights, secrets, what is told and written down, texts, storage. It knows no operation of a noun.

pub mod backfill;
pub mod cx;
pub mod deletion_rules;
pub mod deletion_tables;
pub mod error;
pub mod jobs;
pub mod memory;
pub mod plane;
pub mod retention_periods;
pub mod rights;
pub mod secrets;
pub mod storage;
pub mod text;
pub mod trail;
pub mod user;
