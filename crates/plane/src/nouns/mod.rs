//! The nouns: each with its record, its SQL and its operations.

pub mod customers;
pub mod dependants;
pub mod keys;
pub mod organization;
pub mod people;
