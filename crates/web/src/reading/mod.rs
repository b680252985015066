//! How requests are read: addresses, headers, queries, bodies.

pub(crate) mod addresses;
pub(crate) mod body;
pub(crate) mod client_address;
pub(crate) mod conditional;
pub(crate) mod content;
pub(crate) mod csv_body;
pub(crate) mod json;
pub(crate) mod parameters;
pub(crate) mod query;
pub(crate) mod request_ids;
pub(crate) mod strict;
pub(crate) mod validation;
