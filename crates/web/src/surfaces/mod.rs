//! The surfaces: every address of the server, one page a surface.

mod account;
mod api;
mod api_customers;
mod api_exports;
mod api_holds;
mod api_operators;
mod api_requirements;
mod api_webhooks;
mod customer;
mod dashboard;
mod oauth;
mod ops;
mod token_bodies;

use crate::catalogue::Surface;

/// All of them.
pub(crate) fn all() -> Vec<Surface> {
    vec![api::surface(), account::surface(), customer::surface(), oauth::surface(), dashboard::surface(), ops::surface()]
}
