//! What belongs to no documented surface: health, keys for verifying tokens, pages about errors.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::json;

use crate::Doors;
use crate::door::Segments;
use crate::error_pages;
use crate::problem::{Answer, Failure, not_found};
use crate::views;

/// Every address of this surface.
pub(crate) fn routes() -> Router<Arc<Doors>> {
    Router::new()
        .route("/", get(home))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/.well-known/jwks.json", get(jwks))
        .route("/docs/errors/{code}", get(error_page))
}

async fn home() -> Html<&'static str> {
    Html(HOME)
}

async fn live() -> Answer {
    Ok(views::answer(StatusCode::OK, json!({"status": "live"})))
}

async fn ready(State(doors): State<Arc<Doors>>) -> Answer {
    match doors.plane.ping().await {
        Ok(()) => Ok(views::answer(StatusCode::OK, json!({"status": "ready", "engine": doors.plane.engine_name()}))),
        Err(error) => {
            tracing::error!(%error, "not ready");
            Err(Failure::Http(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer."))
        }
    }
}

async fn jwks(State(doors): State<Arc<Doors>>) -> Answer {
    let mut response = views::answer(StatusCode::OK, doors.plane.jwks());
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}

async fn error_page(Segments(code): Segments<String>) -> Answer {
    match error_pages::page(&code) {
        Some(page) => Ok(Html(page).into_response()),
        None => Err(not_found().await),
    }
}

const HOME: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Freehold</title>\
<body style=\"font:16px/1.5 system-ui;max-width:40em;margin:3em auto;padding:0 1em\"><h1>Freehold</h1>\
<p>The account plane of this product. Its doors:</p><ul>\
<li><code>/api</code>: organizations, members, invitations, customers, API keys, audit, deletions</li>\
<li><code>/account/api/v1</code>: who am I, organizations, members, API keys</li>\
<li><code>/customer</code>: customers of the credential's organization</li>\
<li><a href=\"/health/ready\"><code>/health/ready</code></a>, <a href=\"/.well-known/jwks.json\"><code>/.well-known/jwks.json</code></a></li>\
</ul></body></html>";
