//! Webhooks and their deliveries.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::deliveries::{self, Delivery};
use plane::plans::Subject;
use plane::webhooks::{self, NewWebhook, Webhook, WebhookChange};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged, Sliced};
use crate::body::Body;
use crate::caller::{Door, Segments};
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

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer<Paged<Webhook>> {
    let page = webhooks::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(door.page(page, |webhook| webhook))
}

pub(crate) async fn create(
    door: Door,
    Segments(organization): Segments<String>,
    Body(new): Body<NewWebhook>,
) -> Answer<One<CreatedWebhook>> {
    let (webhook, secret) = webhooks::create(&door.cx, &door.organization(&organization)?, new).await?;
    let etag = webhook.etag();
    Ok(door.created(&etag, &CreatedWebhook { webhook, secret }))
}

pub(crate) async fn read(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<Webhook>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let webhook = webhooks::get(&door.cx, &organization, webhook).await?;
    Ok(door.tagged(&webhook.etag(), &webhook))
}

pub(crate) async fn update(
    door: Door,
    Segments((organization, webhook)): Segments<(String, String)>,
    Body(change): Body<WebhookChange>,
) -> Answer<One<Webhook>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let webhook = webhooks::update(&door.cx, &organization, webhook, change).await?;
    Ok(door.tagged(&webhook.etag(), &webhook))
}

pub(crate) async fn rotate(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<CreatedWebhook>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let overlap = door.query.read("overlap_hours", "must be a whole number from 0 to 24", |text| text.parse().ok())?;
    let (webhook, secret) = webhooks::rotate(&door.cx, &organization, webhook, overlap.unwrap_or(webhooks::OVERLAP_HOURS)).await?;
    let etag = webhook.etag();
    Ok(door.tagged(&etag, &CreatedWebhook { webhook, secret }))
}

pub(crate) async fn end_old_secret(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    webhooks::end_old_secret(&door.cx, &organization, webhook).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn delete(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<OrPlan<Deleted>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let deleting = webhooks::delete(&door.cx, &organization, webhook, door.reason());
    delete_or_plan(&door, Subject::Webhook(organization.clone(), webhook), deleting).await
}

pub(crate) async fn list_deliveries(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<Sliced<Delivery>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let page = deliveries::list(&door.cx, &organization, webhook, door.query.part()?).await?;
    Ok(door.slice(page, |entry| entry))
}

pub(crate) async fn test(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer<One<TestEvent>> {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let event = webhooks::test(&door.cx, &organization, webhook).await?;
    Ok(door.one(StatusCode::ACCEPTED, &TestEvent { id: event }))
}
