//! What belongs to no documented surface: health, keys for verifying tokens, and the documentation.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse};
use plane::credentials::is_same;
use plane::signing_keys::JsonWebKeySet;
use plane::{Error, metrics};
use schemars::JsonSchema;
use serde::Serialize;

use crate::AppState;
use crate::answers::One;
use crate::caller::{Anonymous, Caller, Segments};
use crate::catalogue::Content::{Document, Html as Pages, Text};
use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::API;
use crate::handlers::billing::{self, StripeEvent};
use crate::handlers::oauth::for_a_while;
use crate::openapi::PARTS;
use crate::problem::{Answer, Failure, not_found};
use crate::schema::Type;
use crate::{docs, error_pages, openapi};

/// The operations of the documents, in their order.
const DOCUMENTS: [(&str, &str); PARTS.len()] = [
    ("openapi", "The document of the whole server"),
    ("openapiOrganizations", "The document of the organizations API"),
    ("openapiAccount", "The document of the account API"),
    ("openapiCustomer", "The document of the customer API"),
];

/// Every operation of this surface.
pub(crate) fn surface() -> Surface {
    let documents = PARTS.iter().enumerate().zip(DOCUMENTS).map(|((place, part), (id, says))| {
        let handler = move |State(app): State<Arc<AppState>>, headers: HeaderMap| async move { document(&app, place, &headers) };
        Operation::get(part.path, id, handler).etag().says(says).explains("Compressed for those who accept gzip.").answers(
            200,
            "OpenAPI 3.1.",
            Document,
        )
    });
    let open = vec![
        Operation::get("/", "home", home).says("Where everything is").answers(200, "A page for people.", Pages),
        Operation::get("/health/live", "live", live).unlimited().says("Is the process alive?").gives(200, "It is."),
        Operation::get("/health/ready", "ready", ready)
            .unlimited()
            .says("Can the server work?")
            .explains("A load balancer should send no requests here while it cannot.")
            .gives(200, "The database answers and takes writes, and all background jobs run.")
            .refuses(503, "The database does not answer or takes no writes, or a background job has ended; `detail` says which and why."),
        Operation::get("/.well-known/jwks.json", "jwks", jwks)
            .unlimited()
            .says("The keys that verify access tokens")
            .explains(
                "A JSON Web Key Set (RFC 7517). Of several keys the first signs, and the others verify tokens from before it. It may be kept for five \
                 minutes: a token whose `kid` is not in it is signed with a newer key, so read it again then.",
            )
            .gives(200, "The keys."),
        Operation::get("/docs", "docs", docs_index).says("The documentation").answers(200, "A page for people.", Pages),
        Operation::get("/docs/operations/{page}", "operationPage", operation_page).says("One operation as Markdown").answers(
            200,
            "Markdown.",
            Text("text/markdown"),
        ),
        Operation::get("/docs/errors/{code}", "errorPage", error_page).says("What an error means and what to do about it").answers(
            200,
            "A page for people.",
            Pages,
        ),
        Operation::get("/llms.txt", "llms", llms).says("The documentation's index for language models").answers(
            200,
            "Markdown.",
            Text("text/markdown"),
        ),
    ];
    let events = Operation::post("/stripe/events", "hearStripeEvent", billing::hear)
        .unlimited()
        .says("Hear an event from Stripe")
        .explains(
            "The endpoint to register at Stripe, for `customer.subscription.*`. What an event says is not believed but \
             read again at Stripe: one that comes twice, late or out of order does no harm, and one about what is gone is no error. A subscription \
             belongs to the organization whose id stands in its metadata as `freehold_organization`, and to the customer in `freehold_customer`.",
        )
        .takes(Type::of::<StripeEvent>())
        .gives(200, "It was heard.")
        .refuses(409, "The server has no key of Stripe, or no secret for its events.")
        .refuses(503, "Stripe does not answer: it sends the event again.")
        .refuses(400, "It is not signed by Stripe, now (`Stripe-Signature`).");
    let figures = Operation::get("/metrics", "metrics", metrics)
        .says("Figures for Prometheus")
        .explains(
            "Also for the token that the server was started with (`--metrics-token`), as a bearer: with that they are there while the database is not, \
             without what only it knows.",
        )
        .operators()
        .answers(200, "Prometheus' text format.", Text("text/plain"));
    let operations = tagged("server", documents.chain(open).chain([events]).map(Operation::anybody).chain([figures])).collect();
    let tags = &[("server", "The server itself: its health, its keys, its documentation.")];
    Surface { name: "", tags, dialect: &API, prefix: "", operations }
}

async fn home(State(app): State<Arc<AppState>>) -> Answer {
    Ok(Html(app.docs().home.clone()).into_response())
}

/// How the server is.
#[derive(Serialize, JsonSchema)]
struct Health {
    #[schemars(with = "String", extend("enum" = ["live", "ready"]))]
    status: &'static str,
}

/// Whether the server can work.
#[derive(Serialize, JsonSchema)]
struct Readiness {
    #[schemars(with = "String", extend("enum" = ["ready"]))]
    status: &'static str,
    #[schemars(with = "String", extend("enum" = ["sqlite", "postgresql"]))]
    engine: &'static str,
}

async fn live(anonymous: Anonymous) -> Answer<One<Health>> {
    Ok(anonymous.one(StatusCode::OK, &Health { status: "live" }))
}

async fn ready(State(app): State<Arc<AppState>>, anonymous: Anonymous) -> Answer<One<Readiness>> {
    if let Some(job) = app.plane.jobs.report().iter().find(|job| !job.is_running) {
        return Err(Failure::Unready(format!("The background job `{}` has ended and will be started again.", job.name)));
    }
    match app.plane.ping().await {
        Ok(()) => Ok(anonymous.one(StatusCode::OK, &Readiness { status: "ready", engine: app.plane.engine_name() })),
        Err(error) => Err(Failure::Unready(error.to_string())),
    }
}

async fn jwks(anonymous: Anonymous) -> Answer<One<JsonWebKeySet>> {
    Ok(anonymous.one(StatusCode::OK, &anonymous.cx.plane.jwks()).with(for_a_while))
}

fn document(app: &AppState, place: usize, headers: &HeaderMap) -> Answer {
    Ok(app.documents.answer(place, headers, || openapi::document(&PARTS[place], &app.catalogue, &app.plane.config.public_url)))
}

async fn docs_index(State(app): State<Arc<AppState>>) -> Answer {
    Ok(Html(app.docs().index.clone()).into_response())
}

async fn operation_page(State(app): State<Arc<AppState>>, Segments(page): Segments<String>) -> Answer {
    let id = page.strip_suffix(".md").unwrap_or(&page);
    match docs::operation_page(&app.catalogue, &app.plane.config.public_url, id) {
        Some(text) => Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response()),
        None => Err(not_found().await),
    }
}

async fn error_page(Segments(code): Segments<String>) -> Answer {
    match error_pages::page(&code) {
        Some(page) => Ok(Html(page).into_response()),
        None => Err(not_found().await),
    }
}

async fn metrics(State(app): State<Arc<AppState>>, headers: HeaderMap, caller: Result<Caller, Failure>) -> Answer {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let has_token = match (&app.settings.metrics_token, bearer) {
        (Some(token), Some(bearer)) => is_same(token, bearer),
        _ => false,
    };
    if !has_token && !caller?.cx.principal()?.is_operator {
        return Err(Error::Forbidden("The figures are for the operators of this server.".into()).into());
    }
    let snapshot =
        metrics::snapshot(&app.plane).await.inspect_err(|error| tracing::debug!(%error, "the figures of the database cannot be read")).ok();
    let lost_log_lines = app.settings.lost_log_lines.map_or(0, |count| count());
    let text = app.metrics.render(
        snapshot,
        app.plane.load(),
        &app.plane.jobs.report(),
        &app.plane.braked(),
        lost_log_lines,
        (app.plane.ledger_state(), app.plane.latest_backup(), app.plane.exports_are_up()),
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

async fn llms(State(app): State<Arc<AppState>>) -> Answer {
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], app.docs().llms.clone()).into_response())
}
