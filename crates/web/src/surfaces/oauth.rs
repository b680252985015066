//! The standard OAuth 2.0 endpoints: token (RFC 6749), revocation (RFC 7009), introspection (RFC 7662), and the metadata that leads to them
//! (RFC 8414).

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::Doors;
use crate::handlers::oauth;

/// Every address of this surface.
pub(crate) fn routes() -> Router<Arc<Doors>> {
    Router::new()
        .route("/oauth2/token", post(oauth::token))
        .route("/oauth2/revoke", post(oauth::revoke))
        .route("/oauth2/introspect", post(oauth::introspect))
        .route("/.well-known/oauth-authorization-server", get(oauth::metadata))
}
