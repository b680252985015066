//! Keys of a person: each acts as its person in all their organizations, as they are a member there, within its scopes and its terms. It belongs
//! to no organization: it goes with the account, and where its person has left it opens nothing any more.

use serde_json::{Map, Value as Json, json};
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use super::rotation::{checked_overlap, overlap_end};
use super::{ApiKey, Change, Kind, NewApiKey, changed, check, described, merged};
use crate::audit::{self, Note};
use crate::authority::revoke as end;
use crate::fields::metadata_filter;
use crate::ids::SERVER_SCOPE;
use crate::page::{Page, PageRequest};
use crate::principal::{CredentialKind, Principal, fingerprint};
use crate::usage::Used;
use crate::{Cx, Error, Result, ledger, locks};

/// Keys that one person can have.
const MOST: i64 = 100;

/// The person, for what they alone do with their keys: signed in, and by no key or token, since none of them is to outlive itself.
fn person(cx: &Cx) -> Result<&Principal> {
    let principal: &Principal = cx.principal()?;
    match principal.kind {
        CredentialKind::Session => Ok(principal),
        CredentialKind::ApiKey | CredentialKind::OauthToken => Err(Error::Forbidden(
            "Access denied. A person's keys are theirs to make and change: sign in instead of using a key or token.".into(),
        )),
    }
}

/// The person whose keys may be looked at: they, or one of these keys with the scope.
fn reader(cx: &Cx) -> Result<Uuid> {
    let principal = cx.principal()?;
    if principal.kind != CredentialKind::Session && principal.organization.is_some() {
        return Err(Error::Forbidden(
            "Access denied. This credential is bound to one organization: sign in, or use a key of your own.".into(),
        ));
    }
    cx.needs("read:user")?;
    Ok(principal.user)
}

fn note(action: &'static str, id: Uuid) -> Note {
    Note { action, subject: "api_key", subject_id: Some(id), ..Note::default() }
}

/// Makes a key of the signed-in person. The returned secret is not kept.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`] for a key or token; [`Error::Conflict`] when the person has 100 keys.
pub async fn create(cx: &Cx, new: NewApiKey) -> Result<(ApiKey, String)> {
    person(cx)?;
    let mut key = described(cx, NewApiKey { kind: Kind::User, ..new }, None)?;
    check(cx, &mut key, None)?;
    key.metadata = merged(&json!({}), &key.metadata)?;
    let secret = key.seal(cx, Kind::User)?;
    let hash = fingerprint(&secret);
    let key = cx.write_own(async move |cx, tx| insert(cx, tx, &key, &hash).await.map(|()| key.clone())).await?;
    Ok((key, secret))
}

async fn insert(cx: &Cx, tx: &mut Tx, key: &ApiKey, hash: &[u8; 32]) -> Result<()> {
    let user = person(cx)?.user;
    // Of two who make the last key at once, one makes it.
    locks::hold_user(tx, user).await?;
    let count: i64 = tx.read_one(sql!("SELECT count(*) FROM user_api_keys WHERE user_id = $1"), params![user]).await?;
    if count >= MOST {
        return Err(Error::Conflict(format!("A person has {MOST} keys at the most: revoke one that is not used.")));
    }
    let insert = sql!(
        "INSERT INTO user_api_keys (id, user_id, name, description, hint, hash, scopes, rate_limit_per_minute, rate_limit_per_hour, allowed_ips,
                                    is_active, created_at, expires_at, metadata)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    let values = params![
        key.id,
        user,
        &key.name,
        key.description.as_deref(),
        &key.hint,
        &hash[..],
        Json::from(key.scopes.clone()),
        key.rate_limit_per_minute.map(i64::from),
        key.rate_limit_per_hour.map(i64::from),
        Json::from(key.allowed_ips.clone()),
        key.is_active,
        key.created_at,
        key.expires_at,
        &key.metadata,
    ];
    tx.execute(insert, values).await?;
    audit::record(cx, tx, SERVER_SCOPE, &note("api_key.create", key.id)).await
}

struct OwnKey(ApiKey);

columns! { OwnKey(ApiKey) {
    id, name, description, hint, scopes, rate_limit_per_minute, rate_limit_per_hour, allowed_ips, metadata, is_active, created_at, expires_at,
    last_used_at, previous_until; role = None, created_by = None, member = None, kind = Kind::User, made_by = None,
} }

/// Lists the person's keys, newest first, or of them those whose metadata has these texts.
///
/// # Errors
/// [`Error::Forbidden`] for a credential that is bound to an organization, or lacks the scope; [`Error::Invalid`].
pub async fn list(cx: &Cx, metadata: &Map<String, Json>, request: PageRequest) -> Result<Page<ApiKey>> {
    let user = reader(cx)?;
    let metadata = metadata_filter(metadata)?;
    cx.read_filtered(metadata.is_some(), async move |cx, tx| {
        let count =
            sql!("SELECT count(*) FROM user_api_keys WHERE user_id = $1 AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(metadata, $2))");
        let total = tx.read_one(count, params![user, metadata.as_ref()]).await?;
        let statement = sql!(
            "SELECT {columns} FROM user_api_keys WHERE user_id = $1 AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(metadata, $2))
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            OwnKey
        );
        let keys: Vec<OwnKey> = tx.read_all(statement, params![user, metadata.as_ref(), request.size, request.offset()]).await?;
        Ok(Page::new(keys.into_iter().map(|OwnKey(key)| with_use(cx, key)).collect(), total, request))
    })
    .await
}

/// Reads one of the person's keys.
///
/// # Errors
/// [`Error::NotFound`]; those of [`list`].
pub async fn get(cx: &Cx, id: Uuid) -> Result<ApiKey> {
    let user = reader(cx)?;
    cx.read(async move |cx, tx| Ok(with_use(cx, load(tx, user, id).await?))).await
}

/// Changes one of the person's keys, with effect from the next request.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Forbidden`] for a key or token.
pub async fn update(cx: &Cx, id: Uuid, change: Change) -> Result<ApiKey> {
    person(cx)?;
    cx.write_own_ending(Some(id), async move |cx, tx| update_in(cx, tx, id, change.clone()).await).await
}

async fn update_in(cx: &Cx, tx: &mut Tx, id: Uuid, change: Change) -> Result<ApiKey> {
    let user = person(cx)?.user;
    // Takes the row's lock: of two who change different fields, neither undoes what the other did.
    tx.execute(sql!("UPDATE user_api_keys SET name = name WHERE id = $1 AND user_id = $2"), params![id, user]).await?;
    let before = load(tx, user, id).await?;
    cx.expects_tag(&before.etag())?;
    let mut key = changed(before.clone(), change)?;
    check(cx, &mut key, Some(&before))?;
    let update = sql!(
        "UPDATE user_api_keys SET name = $3, description = $4, scopes = $5, rate_limit_per_minute = $6, rate_limit_per_hour = $7,
                                  allowed_ips = $8, expires_at = $9, is_active = $10, metadata = $11
         WHERE id = $1 AND user_id = $2"
    );
    let values = params![
        id,
        user,
        &key.name,
        key.description.as_deref(),
        Json::from(key.scopes.clone()),
        key.rate_limit_per_minute.map(i64::from),
        key.rate_limit_per_hour.map(i64::from),
        Json::from(key.allowed_ips.clone()),
        key.expires_at,
        key.is_active,
        &key.metadata,
    ];
    tx.execute(update, values).await?;
    audit::record(cx, tx, SERVER_SCOPE, &note("api_key.update", id)).await?;
    ledger::changed(cx, tx, ledger::Credential::UserApiKey, None, id).await?;
    end(cx, tx, id).await?;
    Ok(with_use(cx, key))
}

/// Whether it is a key of the signed-in person's own, who is there themselves.
///
/// # Errors
/// The database's.
pub async fn is_own(cx: &Cx, id: Uuid) -> Result<bool> {
    let Ok(principal) = person(cx) else { return Ok(false) };
    let user = principal.user;
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT 1 FROM user_api_keys WHERE user_id = $1 AND id = $2");
        Ok(tx.query_opt(statement, params![user, id]).await?.is_some())
    })
    .await
}

/// Gives one of the person's keys a new secret, as [`super::rotate`] does. A key can rotate itself.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Forbidden`] for another key or token.
pub async fn rotate(cx: &Cx, id: Uuid, overlap: Option<u32>) -> Result<(ApiKey, String)> {
    if cx.principal()?.credential != id {
        person(cx)?;
    }
    let overlap = checked_overlap(overlap)?;
    ledger::takes_lines(cx)?;
    cx.write_own_ending(Some(id), async move |cx, tx| {
        let user = cx.principal()?.user;
        // Takes the row's lock: of two who rotate it at once, the second gets the newest secret and the first the one before it.
        tx.execute(sql!("UPDATE user_api_keys SET name = name WHERE id = $1 AND user_id = $2"), params![id, user]).await?;
        let mut key = load(tx, user, id).await?;
        cx.expects_tag(&key.etag())?;
        let secret = key.seal(cx, Kind::User)?;
        key.previous_until = overlap_end(cx, overlap);
        let update = sql!(
            "UPDATE user_api_keys SET previous_hash = CASE WHEN $4 THEN hash END, previous_until = $5, hash = $2, hint = $3,
                                      rotations = rotations + 1
             WHERE id = $1"
        );
        let values = params![id, &fingerprint(&secret)[..], &key.hint, key.previous_until.is_some(), key.previous_until];
        tx.execute(update, values).await?;
        audit::record(cx, tx, SERVER_SCOPE, &note("api_key.rotate", id)).await?;
        ledger::changed(cx, tx, ledger::Credential::UserApiKey, None, id).await?;
        // What memory knows of the old secret has another end now.
        end(cx, tx, id).await?;
        Ok((with_use(cx, key), secret))
    })
    .await
}

/// Revokes one of the person's keys: it and what it made stop working at once. A key can revoke itself.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] for another key or token.
pub async fn revoke(cx: &Cx, id: Uuid) -> Result<()> {
    if cx.principal()?.credential != id {
        person(cx)?;
    }
    cx.write_own_ending(Some(id), async move |cx, tx| {
        let user = cx.principal()?.user;
        // Takes the row's lock: of two who revoke it at once, one finds it gone.
        tx.execute(sql!("UPDATE user_api_keys SET name = name WHERE id = $1 AND user_id = $2"), params![id, user]).await?;
        cx.expects_tag(&load(tx, user, id).await?.etag())?;
        tx.execute(sql!("DELETE FROM user_api_keys WHERE id = $1 AND user_id = $2"), params![id, user]).await?;
        audit::record(cx, tx, SERVER_SCOPE, &note("api_key.revoke", id)).await?;
        ledger::changed(cx, tx, ledger::Credential::UserApiKey, None, id).await?;
        end(cx, tx, id).await
    })
    .await
}

async fn load(tx: &mut Tx, user: Uuid, id: Uuid) -> Result<ApiKey> {
    let statement = sql!("SELECT {columns} FROM user_api_keys WHERE user_id = $1 AND id = $2", OwnKey);
    let key: Option<OwnKey> = tx.read_opt(statement, params![user, id]).await?;
    key.map(|OwnKey(key)| key).ok_or(Error::NotFound("API key"))
}

fn with_use(cx: &Cx, mut key: ApiKey) -> ApiKey {
    key.last_used_at = key.last_used_at.max(cx.plane.usage.latest(Used { organization: SERVER_SCOPE, key: key.id }));
    key
}
