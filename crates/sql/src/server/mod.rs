//! PostgreSQL.

pub(crate) mod address;
pub(crate) mod connecting;
pub(crate) mod postgres;
pub(crate) mod server_lock;
pub(crate) mod survey;
