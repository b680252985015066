//! API keys.

use axum::http::StatusCode;
use plane::api_keys::{self, NewApiKey};

use super::deleted;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = api_keys::list(&door.cx, &door.organization(&organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::api_key))
}

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let kind = form.optional("kind", "must be organization, user or publishable", api_keys::Kind::parse);
    let new = NewApiKey {
        kind: kind.unwrap_or(api_keys::Kind::Organization),
        name: form.text("name"),
        description: form.optional_text("description"),
        scopes: form.optional_texts("scopes"),
        expires_at: form.optional_time("expires_at"),
    };
    form.finish()?;
    let (key, secret) = api_keys::create(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::new_api_key(door.dialect, key, secret)))
}

pub(crate) async fn revoke(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    let (organization, key) = (door.organization(&organization)?, door.id("key_id", &key)?);
    Ok(deleted(door.dialect, &api_keys::revoke(&door.cx, &organization, key, door.reason()).await?))
}
