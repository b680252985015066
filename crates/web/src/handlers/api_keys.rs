//! API keys.

use axum::http::{HeaderMap, StatusCode};
use plane::Error;
use plane::api_keys::{self, Change, Kind, NewApiKey, personal};
use plane::credentials::{Presented, authenticate};
use plane::deletion::Subject;

use super::{delete_or_plan, success};
use crate::body::Form;
use crate::door::{Door, Guest, Segments, X_API_KEY};
use crate::problem::{Answer, Failure};
use crate::views;

const NOUN: &str = "API key";

pub(crate) async fn list(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = api_keys::list(&door.cx, &door.organization(&organization)?, &door.query.texts("metadata")?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::api_key))
}

pub(crate) async fn create(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let kind = form.optional("kind", "must be organization, user or publishable", Kind::parse);
    let role = form.role("role");
    let new = NewApiKey { role, ..new_key(&door, form, kind.unwrap_or(Kind::Organization))? };
    let (key, secret) = api_keys::create(&door.cx, &door.organization(&organization)?, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &key.etag(), views::new_api_key(door.dialect, key, secret)))
}

fn new_key(door: &Door, mut form: Form, kind: Kind) -> Result<NewApiKey, Failure> {
    let new = NewApiKey {
        kind,
        role: None,
        name: form.text("name"),
        description: form.optional_text("description"),
        scopes: form.optional_texts("scopes"),
        rate_limit_per_minute: form.optional_number("rate_limit_per_minute"),
        rate_limit_per_hour: form.optional_number("rate_limit_per_hour"),
        allowed_ips: form.optional_texts("allowed_ips").unwrap_or_default(),
        expires_at: form.optional_time("expires_at"),
        metadata: form.object("metadata"),
    };
    form.finish()?;
    door.gives_per_minute(new.rate_limit_per_minute)?;
    Ok(new)
}

pub(crate) async fn read(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    let (organization, key) = (door.organization(&organization)?, door.id("key_id", &key)?);
    let found = or_own(api_keys::get(&door.cx, &organization, key).await, personal::get(&door.cx, key)).await?;
    Ok(views::tagged(StatusCode::OK, &found.etag(), views::api_key(door.dialect, found)))
}

/// A person's own key is found beside those of the organization: it may have been made through its address.
async fn or_own<T>(found: plane::Result<T>, own: impl Future<Output = plane::Result<T>>) -> plane::Result<T> {
    match found {
        Err(Error::NotFound(NOUN)) => own.await.map_err(|error| match error {
            Error::Forbidden(_) => Error::NotFound(NOUN),
            other => other,
        }),
        found => found,
    }
}

pub(crate) async fn update(door: Door, Segments((organization, key)): Segments<(String, String)>, form: Form) -> Answer {
    let change = change(&door, form)?;
    let (organization, key) = (door.organization(&organization)?, door.id("key_id", &key)?);
    let changed = api_keys::update(&door.cx, &organization, key, change.clone()).await;
    let changed = or_own(changed, personal::update(&door.cx, key, change)).await?;
    Ok(views::tagged(StatusCode::OK, &changed.etag(), views::api_key(door.dialect, changed)))
}

fn change(door: &Door, mut form: Form) -> Result<Change, Failure> {
    let change = Change {
        name: form.optional_text("name"),
        description: form.change("description", Form::optional_text),
        scopes: form.optional_texts("scopes"),
        rate_limit_per_minute: form.change("rate_limit_per_minute", Form::optional_number),
        rate_limit_per_hour: form.change("rate_limit_per_hour", Form::optional_number),
        allowed_ips: form.change("allowed_ips", Form::optional_texts).map(Option::unwrap_or_default),
        expires_at: form.change("expires_at", Form::optional_time),
        is_active: form.optional_flag("is_active"),
        metadata: Some(form.object("metadata")),
    };
    form.finish()?;
    door.gives_per_minute(change.rate_limit_per_minute.flatten())?;
    Ok(change)
}

pub(crate) async fn rotate(door: Door, Segments((organization, key)): Segments<(String, String)>, mut form: Form) -> Answer {
    let overlap = form.optional_number("overlap_seconds");
    form.finish()?;
    let (organization, key) = (door.organization(&organization)?, door.id("key_id", &key)?);
    let rotated = api_keys::rotate(&door.cx, &organization, key, overlap).await;
    let (key, secret) = or_own(rotated, personal::rotate(&door.cx, key, overlap)).await?;
    Ok(views::tagged(StatusCode::OK, &key.etag(), views::new_api_key(door.dialect, key, secret)))
}

pub(crate) async fn list_own(door: Door) -> Answer {
    let page = personal::list(&door.cx, &door.query.texts("metadata")?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::api_key))
}

pub(crate) async fn create_own(door: Door, form: Form) -> Answer {
    let new = new_key(&door, form, Kind::User)?;
    let (key, secret) = personal::create(&door.cx, new).await?;
    Ok(views::tagged(StatusCode::CREATED, &key.etag(), views::new_api_key(door.dialect, key, secret)))
}

pub(crate) async fn read_own(door: Door, Segments(key): Segments<String>) -> Answer {
    let key = personal::get(&door.cx, door.id("key_id", &key)?).await?;
    Ok(views::tagged(StatusCode::OK, &key.etag(), views::api_key(door.dialect, key)))
}

pub(crate) async fn update_own(door: Door, Segments(key): Segments<String>, form: Form) -> Answer {
    let (key, change) = (door.id("key_id", &key)?, change(&door, form)?);
    let changed = personal::update(&door.cx, key, change).await?;
    Ok(views::tagged(StatusCode::OK, &changed.etag(), views::api_key(door.dialect, changed)))
}

pub(crate) async fn rotate_own(door: Door, Segments(key): Segments<String>, mut form: Form) -> Answer {
    let overlap = form.optional_number("overlap_seconds");
    form.finish()?;
    let (key, secret) = personal::rotate(&door.cx, door.id("key_id", &key)?, overlap).await?;
    Ok(views::tagged(StatusCode::OK, &key.etag(), views::new_api_key(door.dialect, key, secret)))
}

pub(crate) async fn revoke_own(door: Door, Segments(key): Segments<String>) -> Answer {
    personal::revoke(&door.cx, door.id("key_id", &key)?).await?;
    Ok(success(door.dialect))
}

/// Whether the key in `X-API-Key` is good, whatever other credential came with it.
pub(crate) async fn validate(guest: Guest, headers: HeaderMap) -> Answer {
    let key = headers.get(&X_API_KEY).and_then(|key| key.to_str().ok()).ok_or(Error::Unauthenticated)?;
    let signed = authenticate(guest.cx.clone(), Presented::ApiKey(key)).await.map_err(|error| match error {
        // The key is good and is switched off: whoever asks about it shall not think that it was revoked.
        Error::Inactive(words) => Error::Forbidden(words.into()),
        other => other,
    })?;
    Ok(views::answer(StatusCode::OK, views::validated_api_key(guest.dialect, signed.presented().ok_or(Error::Unauthenticated)?)))
}

pub(crate) async fn revoke(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    let (organization, key) = (door.organization(&organization)?, door.id("key_id", &key)?);
    if personal::is_own(&door.cx, key).await? && !door.only_validates()? {
        personal::revoke(&door.cx, key).await?;
        return Ok(success(door.dialect));
    }
    let deleting = api_keys::revoke(&door.cx, &organization, key, door.reason());
    delete_or_plan(&door, Subject::ApiKey(organization.clone(), key), deleting).await
}
