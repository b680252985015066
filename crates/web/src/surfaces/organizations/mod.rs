//! The organizations API, a page a noun.

pub(crate) mod api;
pub(crate) mod api_billing;
pub(crate) mod api_customers;
pub(crate) mod api_exports;
pub(crate) mod api_holds;
pub(crate) mod api_operators;
pub(crate) mod api_requirements;
pub(crate) mod api_webhooks;
