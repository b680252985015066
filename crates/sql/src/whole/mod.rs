//! A database as a whole: its schema, its health, its copies.

pub(crate) mod copying;
pub(crate) mod folders;
pub(crate) mod health;
pub(crate) mod migrate;
pub(crate) mod schema;
