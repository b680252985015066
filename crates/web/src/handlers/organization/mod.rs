//! Of an organization as a whole, and of the server.

pub(crate) mod billing;
pub(crate) mod exports;
pub(crate) mod holds;
pub(crate) mod operators;
pub(crate) mod organizations;
pub(crate) mod requirements;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod webhooks;
