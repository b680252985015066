//! The doors of Freehold: translates HTTP into operations of `plane` and their results back. No SQL, no rules.
//!
//! Every address stands in `surfaces/`, what differs between the surfaces in `dialect.rs`, and who somebody is is found out in `door.rs`.

mod body;
mod dialect;
mod door;
mod error_pages;
mod handlers;
mod limits;
mod problem;
mod surfaces;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use plane::Plane;

pub use limits::RateLimits;

/// What all requests share.
pub(crate) struct Doors {
    plane: Arc<Plane>,
    limiter: limits::Limiter,
}

/// Every address of the server.
pub fn router(plane: Arc<Plane>, limits: RateLimits) -> Router {
    let doors = Arc::new(Doors { plane, limiter: limits::Limiter::new(limits) });
    Router::new()
        .nest("/api", surfaces::api::routes())
        .nest("/account/api/v1", surfaces::account::routes())
        .nest("/customer", surfaces::customer::routes())
        .merge(surfaces::oauth::routes())
        .merge(surfaces::ops::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(doors.clone(), door::pass))
        .with_state(doors)
}
