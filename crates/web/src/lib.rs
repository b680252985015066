//! The HTTP surfaces of Freehold: translates HTTP into operations of `plane` and their results back. No SQL, no rules.
//!
//! Every address stands in `surfaces/`, what differs between the surfaces in `dialect.rs`, and who asks is found out in `request_context.rs`.

mod answering;
mod caller;
mod catalogue;
mod courier;
mod docs;
mod endpoint;
mod handlers;
mod idempotency;
mod limits;
mod metrics;
mod openapi;
mod operation;
mod outbound;
mod reading;
mod request_context;
mod stripe;
mod surfaces;

use answering::{answers, blocker_links, browsers, deletion_events, dialect, error_pages, lasting, problem, ranges, schema};

use reading::{addresses, body, client_address, conditional, content, csv_body, json, parameters, query, request_ids, strict, validation};

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use plane::Plane;
use tokio::sync::watch;

pub use browsers::CorsOrigin;
pub use client_address::TrustedProxies;
pub use courier::Courier;
pub use limits::{RateLimits, Room};

/// What all requests share.
pub(crate) struct AppState {
    plane: Arc<Plane>,
    limiter: limits::Limiter,
    catalogue: catalogue::Catalogue,
    /// Made when they are first read: most servers are never asked, and the memory that making them takes is not given back.
    docs: OnceLock<docs::Docs>,
    documents: openapi::Documents,
    metrics: metrics::Metrics,
    /// Stripe, if the server has a key of it.
    stripe: Option<stripe::Stripe>,
    request_ids: request_ids::RequestIds,
    streams: lasting::Places,
    downloads: lasting::Places,
    settings: Settings,
}

impl AppState {
    fn docs(&self) -> &docs::Docs {
        self.docs.get_or_init(|| docs::Docs::new(&self.catalogue, &self.plane.config.public_url))
    }
}

/// Settings of the HTTP surfaces.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How many requests a caller may make.
    pub limits: RateLimits,
    /// How much they may have under way at a time.
    pub room: Room,
    /// The proxies that are believed when they say for which client they ask.
    pub trusted_proxies: TrustedProxies,
    /// Sites whose scripts may use this server.
    pub cors_origins: Vec<CorsOrigin>,
    /// What opens `/metrics` as a bearer token, beside an operator's own.
    pub metrics_token: Option<String>,
    /// Tells how many lines of the log were lost.
    pub lost_log_lines: Option<fn() -> u64>,
    /// Told when the server is about to stop: answers that have no end of their own end then.
    pub stopping: watch::Sender<bool>,
}

/// Every address of the server.
///
/// # Errors
/// Words about what is wrong with the settings, or what the system lacks.
pub fn router(plane: Arc<Plane>, settings: Settings) -> Result<Router, String> {
    let catalogue = catalogue::Catalogue::new(surfaces::all());
    let routes = catalogue.router();
    let (limiter, metrics) = (limits::Limiter::new(settings.limits, settings.room), metrics::Metrics::new(plane.engine_name()));
    let documents = openapi::Documents::default();
    let request_ids = request_ids::RequestIds::default();
    let (streams, downloads) = (lasting::Places::new(deletion_events::MOST), lasting::Places::new(handlers::exports::MOST));
    let docs = OnceLock::new();
    let stripe = stripe::Stripe::new(&plane.config.stripe)?;
    let app = Arc::new(AppState { plane, limiter, catalogue, docs, documents, metrics, stripe, request_ids, streams, downloads, settings });
    let routes = routes
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), request_context::middleware))
        .layer(middleware::map_response(deletion_events::put_in))
        .with_state(app.clone());
    // Around the router, since a path has its one spelling before it is routed.
    Ok(Router::new()
        .fallback_service(routes)
        .layer(middleware::map_request_with_state(app.clone(), find))
        .layer(middleware::from_fn_with_state(app, browsers::middleware)))
}

async fn find(State(app): State<Arc<AppState>>, request: Request) -> Request {
    app.catalogue.unshadowed(addresses::in_one_spelling(request))
}
