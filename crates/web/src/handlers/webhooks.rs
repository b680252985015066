//! Webhooks and their deliveries.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::deletion::Subject;
use plane::deliveries;
use plane::webhooks::{self, NewWebhook, WebhookChange};

use super::delete_or_plan;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = webhooks::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::webhook))
}

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let new = NewWebhook {
        url: form.text("url"),
        description: form.optional_text("description"),
        events: form.optional_texts("events").unwrap_or_default(),
        is_active: form.optional_flag("is_active").unwrap_or(true),
    };
    form.finish()?;
    let (webhook, secret) = webhooks::create(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &webhook.etag(), views::new_webhook(door.dialect, webhook, secret)))
}

pub(crate) async fn read(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let webhook = webhooks::get(&door.cx, &organization, webhook).await?;
    Ok(views::tagged(StatusCode::OK, &webhook.etag(), views::webhook(door.dialect, webhook)))
}

pub(crate) async fn update(door: Door, Segments((organization, webhook)): Segments<(String, String)>, mut form: Form) -> Answer {
    let change = WebhookChange {
        url: form.optional_text("url"),
        description: form.optional_text("description"),
        events: form.optional_texts("events"),
        is_active: form.optional_flag("is_active"),
    };
    form.finish()?;
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let webhook = webhooks::update(&door.cx, &organization, webhook, change).await?;
    Ok(views::tagged(StatusCode::OK, &webhook.etag(), views::webhook(door.dialect, webhook)))
}

pub(crate) async fn rotate(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let overlap = door.query.read("overlap_hours", "must be a whole number from 0 to 24", |text| text.parse().ok())?;
    let (webhook, secret) = webhooks::rotate(&door.cx, &organization, webhook, overlap.unwrap_or(webhooks::OVERLAP_HOURS)).await?;
    Ok(views::tagged(StatusCode::OK, &webhook.etag(), views::new_webhook(door.dialect, webhook, secret)))
}

pub(crate) async fn end_old_secret(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    webhooks::end_old_secret(&door.cx, &organization, webhook).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn delete(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let deleting = webhooks::delete(&door.cx, &organization, webhook, door.reason());
    delete_or_plan(&door, Subject::Webhook(organization.clone(), webhook), deleting).await
}

pub(crate) async fn list_deliveries(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let page = deliveries::list(&door.cx, &organization, webhook, door.query.part()?).await?;
    Ok(views::page(door.dialect, page, views::delivery))
}

pub(crate) async fn test(door: Door, Segments((organization, webhook)): Segments<(String, String)>) -> Answer {
    let (organization, webhook) = (door.organization(&organization)?, door.id("webhook_id", &webhook)?);
    let event = webhooks::test(&door.cx, &organization, webhook).await?;
    Ok(views::answer(StatusCode::ACCEPTED, door.dialect.object(vec![("id", door.dialect.id(event))])))
}
