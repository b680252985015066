//! Billing: subscriptions at Stripe, and what Stripe tells.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use plane::Error;
use plane::billing::{self, Begun, Billing, BillingChange, BillingSubscription, Heard, NewCheckout, ORGANIZATION_KEY, StripeForm, Told};
use plane::subscription_steps::SubscriptionState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::AppState;
use crate::answers::{One, Sliced};
use crate::body::Body;
use crate::caller::{Anonymous, Caller, Segments};
use crate::content::media_type;
use crate::json;
use crate::problem::{Answer, Failure};
use crate::stripe::{self, Stripe};

/// What signs an event.
const SIGNATURE: &str = "stripe-signature";
/// Where the server has no account at Stripe.
const NO_STRIPE: &str = "This server is not connected to Stripe: its operator sets --stripe-secret-key.";

/// An address at Stripe, to which a browser is sent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StripePage {
    /// It is good for a while.
    #[schemars(with = "plane::wire::Url", example = &"https://checkout.stripe.com/c/pay/cs_test_a1")]
    url: String,
}

/// Where Stripe's portal leads back to.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewPortal {
    /// The address.
    #[schemars(with = "plane::wire::Link", example = &"https://example.com/account")]
    return_url: String,
}

/// What a subscription is for.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SubscriptionLink {
    /// The customer that it is for; the organization itself if it is missing.
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    customer_id: Option<String>,
    /// Why, in your words: kept in the server's audit trail, and in the organization's. No personal data, please.
    #[schemars(length(min = 1, max = 500), example = &"Moves here from the old billing")]
    reason: String,
}

pub(crate) async fn read(caller: Caller, Segments(organization): Segments<String>) -> Answer<One<Billing>> {
    Ok(caller.one(StatusCode::OK, &billing::get(&caller.cx, &caller.organization(&organization)?).await?))
}

pub(crate) async fn change(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(change): Body<BillingChange>,
) -> Answer<One<Billing>> {
    Ok(caller.one(StatusCode::OK, &billing::change(&caller.cx, &caller.organization(&organization)?, change).await?))
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Sliced<BillingSubscription>> {
    let page = billing::list(&caller.cx, &caller.organization(&organization)?, caller.query.part()?).await?;
    Ok(caller.slice(page, |one| one))
}

pub(crate) async fn check_out(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewCheckout>,
) -> Answer<One<StripePage>> {
    let form = billing::checkout(&caller.cx, &caller.organization(&organization)?, new).await?;
    lead_to(&caller, &app, "checkout/sessions", form).await
}

pub(crate) async fn open_portal(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(NewPortal { return_url }): Body<NewPortal>,
) -> Answer<One<StripePage>> {
    let form = billing::portal(&caller.cx, &caller.organization(&organization)?, return_url).await?;
    lead_to(&caller, &app, "billing_portal/sessions", form).await
}

async fn lead_to(caller: &Caller, app: &AppState, what: &str, form: StripeForm) -> Answer<One<StripePage>> {
    let answer = asked(of(app)?.make(what, &form).await)?;
    let url = answer.body["url"].as_str().filter(|url| url.len() <= 10_000);
    let url = url.ok_or(Error::Overloaded("Stripe answered without an address. Try again later."))?.to_owned();
    Ok(caller.one(StatusCode::CREATED, &StripePage { url }))
}

pub(crate) async fn link(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments((organization, subscription)): Segments<(String, String)>,
    Body(SubscriptionLink { customer_id, reason }): Body<SubscriptionLink>,
) -> Answer<One<BillingSubscription>> {
    let organization = caller.organization(&organization)?;
    billing::may_link(&caller.cx, &organization).await?;
    billing::check_id(&subscription)?;
    let state: Option<SubscriptionState> = asked(of(&app)?.read(&subscription).await)?.subscription();
    let state = state.ok_or(Error::Overloaded("Stripe answered with what is no subscription. Try again later."))?;
    let linked = billing::link(&caller.cx, &organization, subscription, (customer_id, reason), state).await?;
    Ok(caller.one(StatusCode::OK, &linked))
}

pub(crate) async fn unlink(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Segments((organization, subscription)): Segments<(String, String)>,
) -> Answer {
    let (organization, reason) = (caller.organization(&organization)?, caller.reason().unwrap_or_default());
    billing::may_link(&caller.cx, &organization).await?;
    billing::check_id(&subscription)?;
    // Its next event would link it again.
    let found = of(&app)?.read(&subscription).await;
    // What the server's key cannot read is not linked again either.
    let is_missing = found.as_ref().is_ok_and(|found| found.status == 404 && found.body["error"]["code"] == "resource_missing");
    if !is_missing && asked(found)?.body["metadata"][ORGANIZATION_KEY].is_string() {
        let words =
            "Its metadata at Stripe names an organization, so that it would be linked again: take freehold_organization out of it first.";
        return Err(Error::Conflict(words.into()).into());
    }
    billing::unlink(&caller.cx, &organization, subscription, reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An event, as Stripe documents it.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "it is read once its signature is found good")]
pub(crate) struct StripeEvent {
    /// Its id.
    #[schemars(length(min = 1, max = 255), example = &"evt_1PqR")]
    id: String,
    /// What happened.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 255), example = &"customer.subscription.deleted")]
    kind: String,
    /// What it happened to.
    #[schemars(with = "plane::wire::Anything")]
    data: serde_json::Value,
}

/// What became of an event.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StripeEventHeard {
    /// `read`: the subscription is read again. `linked`: it belongs to an organization from now on. `cancelled`: it began for one that is deleted, and
    /// ends. `unknown`: it belongs to nothing here. `ignored`: the event is about something else.
    #[schemars(length(min = 1, max = 20), example = &"read")]
    outcome: &'static str,
}

pub(crate) async fn hear(
    State(app): State<Arc<AppState>>,
    asking: Anonymous,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<One<StripeEventHeard>> {
    if media_type(&headers)? != "application/json" {
        let words = "Send an event of Stripe with the header Content-Type: application/json.";
        return Err(Failure::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    // A name that stands twice can be read in two ways; Stripe repeats none.
    json::parse(&body).map_err(|error| Error::Malformed(format!("The body is not JSON: {error}.")))?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let heard = match billing::hear(&asking.cx, signature, &body).await? {
        Told::Heard(heard) => heard,
        Told::Unlinked(subscription) => claim(&app, &asking, subscription).await?,
    };
    tracing::info!(request_id = %asking.cx.request_id, outcome = heard.name(), "an event from Stripe");
    app.metrics.count_event(heard.name());
    Ok(asking.one(StatusCode::OK, &StripeEventHeard { outcome: heard.name() }))
}

/// Asks Stripe whose a subscription is. While it does not answer, the event is refused, and Stripe sends it again.
async fn claim(app: &AppState, asking: &Anonymous, subscription: String) -> Result<Heard, Failure> {
    let found = match of(app)?.read(&subscription).await {
        Ok(found) if found.is_missing() => return Ok(Heard::Unknown),
        found => asked(found)?,
    };
    let Some(state) = found.subscription() else { return Ok(Heard::Unknown) };
    Ok(billing::claim(&asking.cx, Begun { subscription, metadata: found.body["metadata"].clone(), state }).await?)
}

fn of(app: &AppState) -> Result<&Stripe, Failure> {
    app.stripe.as_ref().ok_or_else(|| Error::Conflict(NO_STRIPE.into()).into())
}

/// What Stripe answered, if it did what it was asked for.
fn asked(answer: Result<stripe::Answer, &'static str>) -> Result<stripe::Answer, Failure> {
    let down = "Stripe does not answer. Try again later.";
    let answer = answer.map_err(|words| {
        tracing::warn!(error = words, "Stripe was asked in vain");
        Error::Overloaded(down)
    })?;
    match answer.status {
        200..=299 => Ok(answer),
        401 | 403 => {
            tracing::error!(status = answer.status, "Stripe refuses the server's key: look at --stripe-secret-key and what it may do");
            Err(Error::Overloaded("Stripe does not take the server's key: tell its operator.").into())
        }
        429 | 500.. => Err(Error::Overloaded(down).into()),
        _ => Err(Error::Conflict(format!("Stripe refuses it: {}", answer.error().unwrap_or_else(|| answer.status.to_string()))).into()),
    }
}
