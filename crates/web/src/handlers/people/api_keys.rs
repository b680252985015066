//! API keys.

use std::borrow::Cow;

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use jiff::Timestamp;
use plane::Error;
use plane::api_keys::{self, ApiKey, Change, Kind, NewApiKey, personal};
use plane::credentials::{Presented, authenticate};
use plane::deletions::Deletion;
use plane::plans::Subject;
use plane::policy::Scopes;
use plane::wire::{OrganizationId, Scope};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged};
use crate::body::Body;
use crate::caller::{Anonymous, Caller, Segments};
use crate::handlers::deletions::order;
use crate::problem::Answer;
use crate::request_context::X_API_KEY;

const NOUN: &str = "API key";

/// An API key with its secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CreatedApiKey {
    #[serde(flatten)]
    record: ApiKey,
    /// The key, for the header `X-API-Key`. Shown once.
    #[schemars(length(min = 1, max = 100), example = &"csb_0123456789ABCDEFGHIJKLMNOPQRSTUV_2d4f1c81")]
    key: String,
}

/// A key that is good.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ValidatedApiKey {
    /// True: of a key that is not good nothing is told.
    valid: bool,
    id: Uuid,
    #[schemars(with = "String", length(min = 3, max = 50), example = &"Back end")]
    name: Option<String>,
    /// The organization it is bound to; null for a person's own key.
    #[schemars(with = "Option<OrganizationId>")]
    organization_id: Option<Uuid>,
    #[schemars(with = "Vec<Scope>")]
    scopes: Option<Vec<String>>,
    expires_at: Option<Timestamp>,
    /// True: a key that is switched off is refused.
    is_active: bool,
}

pub(crate) async fn list(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<ApiKey>> {
    let page =
        api_keys::list(&caller.cx, &caller.organization(&organization)?, &caller.query.texts("metadata")?, caller.query.page()?).await?;
    Ok(caller.page(page, |key| key))
}

pub(crate) async fn create(
    caller: Caller,
    Segments(organization): Segments<String>,
    Body(new): Body<NewApiKey>,
) -> Answer<One<CreatedApiKey>> {
    caller.gives_per_minute(new.rate_limit_per_minute)?;
    let (key, secret) = api_keys::create(&caller.cx, &caller.organization(&organization)?, new).await?;
    Ok(caller.created(&key.etag(), &CreatedApiKey { record: key, key: secret }))
}

pub(crate) async fn read(caller: Caller, Segments((organization, key)): Segments<(String, String)>) -> Answer<One<ApiKey>> {
    let (organization, key) = (caller.organization(&organization)?, caller.id("key_id", &key)?);
    let found = or_own(api_keys::get(&caller.cx, &organization, key).await, personal::get(&caller.cx, key)).await?;
    Ok(caller.tagged(&found.etag(), &found))
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

pub(crate) async fn update(
    caller: Caller,
    Segments((organization, key)): Segments<(String, String)>,
    Body(change): Body<Change>,
) -> Answer<One<ApiKey>> {
    caller.gives_per_minute(change.rate_limit_per_minute.flatten())?;
    let (organization, key) = (caller.organization(&organization)?, caller.id("key_id", &key)?);
    let changed = api_keys::update(&caller.cx, &organization, key, change.clone()).await;
    let changed = or_own(changed, personal::update(&caller.cx, key, change)).await?;
    Ok(caller.tagged(&changed.etag(), &changed))
}

/// How an API key gets a new secret.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Rotation {
    /// How long the secret before it is good still: up to 7 days, one day if missing.
    #[schemars(range(min = 0, max = 604_800), example = 3_600)]
    overlap_seconds: Option<u32>,
}

pub(crate) async fn rotate(
    caller: Caller,
    Segments((organization, key)): Segments<(String, String)>,
    Body(Rotation { overlap_seconds: overlap }): Body<Rotation>,
) -> Answer<One<CreatedApiKey>> {
    let (organization, key) = (caller.organization(&organization)?, caller.id("key_id", &key)?);
    let rotated = api_keys::rotate(&caller.cx, &organization, key, overlap).await;
    let (key, secret) = or_own(rotated, personal::rotate(&caller.cx, key, overlap)).await?;
    Ok(caller.tagged(&key.etag(), &CreatedApiKey { record: key, key: secret }))
}

pub(crate) async fn list_own(caller: Caller) -> Answer<Paged<ApiKey>> {
    let page = personal::list(&caller.cx, &caller.query.texts("metadata")?, caller.query.page()?).await?;
    Ok(caller.page(page, |key| key))
}

/// A new key of one's own: without what an organization's can have.
#[derive(Deserialize)]
pub(crate) struct NewPersonalApiKey(NewApiKey);

impl JsonSchema for NewPersonalApiKey {
    fn schema_name() -> Cow<'static, str> {
        "NewPersonalApiKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = NewApiKey::json_schema(generator).to_value();
        let about = "A new API key of one's own (`csu_…`). It acts as its person in all their organizations, within its scopes.";
        schema["description"] = about.into();
        let properties = &mut schema["properties"];
        properties.as_object_mut().into_iter().for_each(|properties| properties.retain(|name, _| name != "kind" && name != "role"));
        properties["scopes"]["description"] = "Reading oneself, organizations, members and customers if missing.".into();
        (properties["name"]["examples"], properties["description"]["examples"]) = (json!(["Laptop"]), json!(["Scripts of mine"]));
        Schema::try_from(schema).unwrap_or_default()
    }
}

pub(crate) async fn create_own(caller: Caller, Body(NewPersonalApiKey(new)): Body<NewPersonalApiKey>) -> Answer<One<CreatedApiKey>> {
    caller.gives_per_minute(new.rate_limit_per_minute)?;
    let new = NewApiKey { kind: Kind::User, ..new };
    let (key, secret) = personal::create(&caller.cx, new).await?;
    Ok(caller.created(&key.etag(), &CreatedApiKey { record: key, key: secret }))
}

pub(crate) async fn read_own(caller: Caller, Segments(key): Segments<String>) -> Answer<One<ApiKey>> {
    let key = personal::get(&caller.cx, caller.id("key_id", &key)?).await?;
    Ok(caller.tagged(&key.etag(), &key))
}

pub(crate) async fn update_own(caller: Caller, Segments(key): Segments<String>, Body(change): Body<Change>) -> Answer<One<ApiKey>> {
    caller.gives_per_minute(change.rate_limit_per_minute.flatten())?;
    let changed = personal::update(&caller.cx, caller.id("key_id", &key)?, change).await?;
    Ok(caller.tagged(&changed.etag(), &changed))
}

pub(crate) async fn rotate_own(caller: Caller, Segments(key): Segments<String>, Body(how): Body<Rotation>) -> Answer<One<CreatedApiKey>> {
    let (key, secret) = personal::rotate(&caller.cx, caller.id("key_id", &key)?, how.overlap_seconds).await?;
    Ok(caller.tagged(&key.etag(), &CreatedApiKey { record: key, key: secret }))
}

pub(crate) async fn revoke_own(caller: Caller, Segments(key): Segments<String>) -> Answer {
    personal::revoke(&caller.cx, caller.id("key_id", &key)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether the key in `X-API-Key` is good, whatever other credential came with it.
pub(crate) async fn validate(anonymous: Anonymous, headers: HeaderMap) -> Answer<One<ValidatedApiKey>> {
    let key = headers.get(&X_API_KEY).and_then(|key| key.to_str().ok()).ok_or(Error::Unauthenticated)?;
    let signed = authenticate(anonymous.cx.clone(), Presented::ApiKey(key)).await.map_err(|error| match error {
        // The key is good and is switched off: an answer must not say that it was revoked.
        Error::Inactive(words) => Error::Forbidden(words.into()),
        other => other,
    })?;
    let principal = signed.presented().ok_or(Error::Unauthenticated)?;
    let validated = ValidatedApiKey {
        valid: true,
        id: principal.credential,
        name: principal.terms.as_ref().map(|terms| terms.name.to_string()),
        organization_id: principal.organization,
        scopes: principal.scopes.map(Scopes::names),
        expires_at: principal.expires_at.map(Into::into),
        is_active: true,
    };
    Ok(anonymous.one(StatusCode::OK, &validated))
}

/// A key that is gone.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyRevoked {
    /// The deletion's id, as in the header `Deletion-Id`; null for a person's own key, which has no such record.
    deletion_id: Option<Uuid>,
}

pub(crate) async fn revoke(caller: Caller, Segments((organization, key)): Segments<(String, String)>) -> Answer<OrPlan<KeyRevoked>> {
    let (organization, key) = (caller.organization(&organization)?, caller.id("key_id", &key)?);
    if personal::is_own(&caller.cx, key).await? && !caller.only_validates()? {
        personal::revoke(&caller.cx, key).await?;
        return Ok(caller.ended(&KeyRevoked { deletion_id: None }).into());
    }
    let deleting = api_keys::revoke(&caller.cx, &organization, key, caller.reason());
    let done = |deletion: &Deletion| caller.ended(&KeyRevoked { deletion_id: Some(deletion.id) });
    order(&caller, Subject::ApiKey(organization.clone(), key), deleting, done).await
}
