//! Webhooks and their deliveries.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::deliveries::{self, Delivery, Resend, Resent};
use plane::plans::Subject;
use plane::webhooks::{self, NewWebhook, Webhook, WebhookChange};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged, Sliced};
use crate::body::Body;
use crate::caller::{Caller, Segments};
use crate::handlers::{Deleted, delete_or_plan};
use crate::problem::Answer;

/// A webhook with its secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CreatedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    /// Signs every delivery (Standard Webhooks). Shown once.
    #[schemars(length(min = 1, max = 100), example = &"whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=")]
    secret: String,
}

/// A test event on its way.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TestEvent {
    /// The event's id: its delivery is in the history.
    id: Uuid,
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<Webhook>> {
    let page = webhooks::list(&caller.cx, &caller.organization(&organization)?, caller.query.page()?).await?;
    Ok(caller.page(page, |webhook| webhook))
}

pub(crate) async fn create(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewWebhook>,
) -> Answer<One<CreatedWebhook>> {
    let (webhook, secret) = webhooks::create(&caller.cx, &caller.organization(&organization)?, new).await?;
    let etag = webhook.etag();
    Ok(caller.created(&etag, &CreatedWebhook { webhook, secret }))
}

pub(crate) async fn read(caller: Caller, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<Webhook>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let webhook = webhooks::get(&caller.cx, &organization, webhook).await?;
    Ok(caller.tagged(&webhook.etag(), &webhook))
}

pub(crate) async fn update(
    caller: Caller,
    Segments((organization, webhook)): Segments<(String, String)>,
    Body(change): Body<WebhookChange>,
) -> Answer<One<Webhook>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let webhook = webhooks::update(&caller.cx, &organization, webhook, change).await?;
    Ok(caller.tagged(&webhook.etag(), &webhook))
}

pub(crate) async fn rotate(caller: Caller, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<CreatedWebhook>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let overlap = caller.query.read("overlap_hours", "must be a whole number from 0 to 24", |text| text.parse().ok())?;
    let (webhook, secret) = webhooks::rotate(&caller.cx, &organization, webhook, overlap.unwrap_or(webhooks::OVERLAP_HOURS)).await?;
    let etag = webhook.etag();
    Ok(caller.tagged(&etag, &CreatedWebhook { webhook, secret }))
}

pub(crate) async fn end_old_secret(caller: Caller, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    webhooks::end_old_secret(&caller.cx, &organization, webhook).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn delete(caller: Caller, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let deleting = webhooks::delete(&caller.cx, &organization, webhook, caller.reason());
    delete_or_plan(&caller, Subject::Webhook(organization.clone(), webhook), deleting).await
}

pub(crate) async fn list_deliveries(
    caller: Caller,
    Segments((organization, webhook)): Segments<(String, String)>,
) -> Answer<Sliced<Delivery>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let page = deliveries::list(&caller.cx, &organization, webhook, caller.query.part()?).await?;
    Ok(caller.slice(page, |entry| entry))
}

pub(crate) async fn resend(
    caller: Caller,
    Segments((organization, webhook, delivery)): Segments<(String, String, String)>,
) -> Answer<One<Delivery>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let delivery = deliveries::resend(&caller.cx, &organization, webhook, caller.id("delivery_id", &delivery)?).await?;
    Ok(caller.one(StatusCode::ACCEPTED, &delivery))
}

pub(crate) async fn resend_all(
    caller: Caller,
    Segments((organization, webhook)): Segments<(String, String)>,
    Body(wanted): Body<Resend>,
) -> Answer<One<Resent>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    Ok(caller.one(StatusCode::ACCEPTED, &deliveries::resend_all(&caller.cx, &organization, webhook, wanted).await?))
}

pub(crate) async fn give_up(
    caller: Caller,
    Segments((organization, webhook, delivery)): Segments<(String, String, String)>,
) -> Answer<One<Delivery>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let delivery = deliveries::give_up(&caller.cx, &organization, webhook, caller.id("delivery_id", &delivery)?).await?;
    Ok(caller.one(StatusCode::OK, &delivery))
}

pub(crate) async fn test(caller: Caller, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<TestEvent>> {
    let (organization, webhook) = (caller.organization(&organization)?, caller.id("webhook_id", &webhook)?);
    let event = webhooks::test(&caller.cx, &organization, webhook).await?;
    Ok(caller.one(StatusCode::ACCEPTED, &TestEvent { id: event }))
}
