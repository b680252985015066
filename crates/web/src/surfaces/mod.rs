//! The surfaces: every address of the server, one page a surface.

pub(crate) mod account;
pub(crate) mod api;
mod auth;
pub(crate) mod customer;
pub(crate) mod oauth;
pub(crate) mod ops;
