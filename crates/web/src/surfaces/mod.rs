//! The surfaces: every address of the server, one page a surface.

mod account;
mod customer;
mod dashboard;
mod oauth;
mod ops;
mod organizations;
mod token_bodies;

use organizations::{api, api_billing, api_customers, api_exports, api_holds, api_operators, api_requirements, api_webhooks};

use crate::catalogue::Surface;

/// All of them.
pub(crate) fn all() -> Vec<Surface> {
    vec![api::surface(), account::surface(), customer::surface(), oauth::surface(), dashboard::surface(), ops::surface()]
}
