//! API keys: shown once, kept as a hash. A key acts as the member who made it, or as a service account: the organization's own, with a role of
//! its own, which outlives the member who made it. Both act within their scopes and terms. What a key or a token made ends with it.

mod bounds;
pub(crate) mod expiring;
pub mod personal;
mod records;
mod rotation;

use serde_json::{Map, Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

pub use crate::key_format::{Kind, Prefixes};
pub use crate::key_terms::{MOST_ADDRESSES, OwnTerms, PER_HOUR, PER_MINUTE, PUBLISHABLE_PER_MINUTE, Terms};
pub use crate::policy::SERVICE_ROLES;
pub use records::{ApiKey, Change, NewApiKey};
pub use rotation::{OVERLAP, rotate};

use crate::access::{Tenant, enter};
use crate::audit::{self, Note};
use crate::authority::revoke as end;
use crate::deletions::{self, Deletion, Order, Purpose, Root};
use crate::events::Event;
use crate::fields::{Check, merge_metadata, metadata_filter};
use crate::ids::OrganizationRef;
use crate::principal::fingerprint;

use crate::key_terms::check_addresses;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, Role, SCOPES, Scopes};
use crate::quotas::Quota;
use crate::usage::Used;
use crate::{Cx, Error, Result, ledger, makers, notify};

/// What a key may do whose maker did not say.
const DEFAULT_SCOPES: [&str; 4] = ["read:user", "read:organization", "read:members", "read:customers"];

impl Change {
    /// Whether it does no more than to switch the key off, which an archived organization allows too.
    fn only_switches_off(&self) -> bool {
        let Change { name, description, scopes, rate_limit_per_minute, rate_limit_per_hour, allowed_ips, expires_at, is_active, metadata } =
            self;
        let changes_metadata = metadata.as_ref().and_then(Json::as_object).is_some_and(|given| !given.is_empty());
        let others =
            [name.is_some(), description.is_some(), scopes.is_some(), allowed_ips.is_some(), expires_at.is_some(), changes_metadata];
        let limits = [rate_limit_per_minute.is_some(), rate_limit_per_hour.is_some()];
        *is_active == Some(false) && !others.contains(&true) && !limits.contains(&true)
    }
}

/// Makes a key of the signed-in member; with a role a service account of the organization; or one of the person if it is for a user:
/// [`personal::create`]. The returned secret is not kept.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`], also for a role whose scopes the credential lacks.
pub async fn create(cx: &Cx, organization: &OrganizationRef, new: NewApiKey) -> Result<(ApiKey, String)> {
    let tenant = enter(cx, organization, Action::CreateApiKey).await?;
    check_role(&new)?;
    let own = tenant.membership().map(|own| own.id);
    let member = match new.role {
        Some(_) => None,
        None => Some(own.ok_or_else(|| {
            Error::Forbidden("Only a member makes keys that act as them: give the new key a role of its own, as a service account.".into())
        })?),
    };
    if new.kind == Kind::User {
        // It is theirs and not the organization's.
        return personal::create(cx, new).await;
    }
    let kind = new.kind;
    let mut key = described(cx, new, member)?;
    key.created_by = own.filter(|_| key.role.is_some());
    check(cx, &mut key, None)?;
    key.metadata = merged(&json!({}), &key.metadata)?;
    let secret = key.seal(cx, kind)?;
    let hash = fingerprint(&secret);
    let key = tenant
        .write(cx, async move |cx, tx, tenant| {
                tenant.is_writable(tx).await?;
                tenant.has_room(cx, tx, Quota::ApiKeys).await?;
                check(cx, &mut key.clone(), None)?;
                if let Some(role) = key.role {
                    tenant.may_give(cx, role)?;
                }
                let insert = sql!(
                "INSERT INTO api_keys (organization_id, id, member_id, kind, name, description, hint, hash, scopes, rate_limit_per_minute,
                                       rate_limit_per_hour, allowed_ips, is_active, created_at, expires_at, metadata, made_by, role, created_by)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"
            );
                let values = params![
                    tenant.organization(),
                    key.id,
                    key.member,
                    key.kind,
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
                    key.made_by,
                    key.role.map(Role::name),
                    key.created_by,
                ];
                tx.execute(insert, values).await.map_err(|error| match error {
                    sql::Error::ForeignKey(_) => Error::Unauthenticated,
                    other => other.into(),
                })?;
                let note = Note { action: "api_key.create", subject: "api_key", subject_id: Some(key.id), ..Note::default() };
                audit::record(cx, tx, tenant.organization(), &note).await?;
                let data = crate::payloads::ApiKeyEvent { organization_id: tenant.organization(), id: key.id, kind: key.kind };
                notify::emit(cx, tx, tenant.organization(), Event::ApiKeyCreated, notify::About::Other(key.id), data).await?;
                Ok(key.clone())
            })
        .await?;
    Ok((key, secret))
}

fn check_role(new: &NewApiKey) -> Result<()> {
    let mut check = Check::new();
    match new.role {
        Some(_) if new.kind != Kind::Organization => {
            check.refuse("role", "not_a_service_account", "only a key of the kind organization can have a role of its own");
        }
        Some(role) if !SERVICE_ROLES.contains(&role) => {
            check.refuse(
                "role",
                "not_for_service_accounts",
                "must be admin, master, member, billing or viewer: owners and resellers are persons",
            );
        }
        _ => {}
    }
    check.finish()
}

/// A new key as it was described, with what was not said; its secret and hint are still missing.
fn described(cx: &Cx, new: NewApiKey, member: Option<Uuid>) -> Result<ApiKey> {
    let scopes = new.scopes.unwrap_or_else(|| match new.kind {
        Kind::Publishable => vec!["read:organization".into()],
        _ => DEFAULT_SCOPES.map(str::to_owned).into(),
    });
    let mut key = ApiKey {
        id: cx.new_id()?,
        member,
        role: new.role,
        created_by: None,
        kind: new.kind,
        name: new.name,
        description: new.description,
        hint: String::new(),
        scopes,
        rate_limit_per_minute: new.rate_limit_per_minute,
        rate_limit_per_hour: new.rate_limit_per_hour,
        allowed_ips: new.allowed_ips,
        metadata: new.metadata,
        is_active: true,
        created_at: cx.now,
        expires_at: new.expires_at,
        last_used_at: None,
        made_by: makers::maker(cx)?,
        previous_until: None,
    };
    bounds::inherit(cx.principal()?, &mut key);
    Ok(key)
}

impl ApiKey {
    /// Makes its secret and notes the hint.
    fn seal(&mut self, cx: &Cx, kind: Kind) -> Result<String> {
        let prefixes = &cx.plane.config.key_prefixes;
        let secret = prefixes.make(kind)?;
        self.hint = format!("{}_…{}", prefixes.of(kind), &secret[secret.len() - 4..]);
        Ok(secret)
    }
}

/// Changes a key, with effect from the next request.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Forbidden`] also for a key that acts as an owner, when the actor is none.
pub async fn update(cx: &Cx, organization: &OrganizationRef, id: Uuid, change: Change) -> Result<ApiKey> {
    let tenant = enter(cx, organization, Action::UpdateApiKey).await?;
    tenant.write_ending(cx, [id], async move |cx, tx, tenant| update_in(cx, tx, tenant, id, change.clone()).await).await
}

async fn update_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, change: Change) -> Result<ApiKey> {
    let is_taking = change.only_switches_off();
    if is_taking {
        tenant.is_live(tx).await?;
    } else {
        tenant.is_writable(tx).await?;
    }
    // Takes the row's lock: of two who change different fields, neither undoes what the other did.
    let lock = sql!("UPDATE api_keys SET name = name WHERE organization_id = $1 AND id = $2");
    tx.execute(lock, params![tenant.organization(), id]).await?;
    let before = load(tx, tenant, id).await?;
    cx.expects_tag(&before.etag())?;
    let acts_as_owner = sql!("SELECT 1 FROM members WHERE organization_id = $1 AND id = $2 AND role = $3");
    if tx.query_opt(acts_as_owner, params![tenant.organization(), before.member, Role::Owner.name()]).await?.is_some() {
        // It can do what its owner can: who makes it wider would be an owner through it.
        tenant.also(cx, Action::UpdateOwnerApiKey)?;
    }
    if let Some(role) = before.role.filter(|_| !is_taking) {
        // Who changes what it may do answers for its role, as who makes it does.
        tenant.may_give(cx, role)?;
    }
    let mut key = changed(before.clone(), change)?;
    check(cx, &mut key, Some(&before))?;
    let update = sql!(
        "UPDATE api_keys SET name = $3, description = $4, scopes = $5, rate_limit_per_minute = $6, rate_limit_per_hour = $7,
                             allowed_ips = $8, is_active = $10, metadata = $11,
                             told_days = CASE WHEN expires_at = $9 THEN told_days END, expires_at = $9
         WHERE organization_id = $1 AND id = $2"
    );
    let values = params![
        tenant.organization(),
        id,
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
    let note = Note { action: "api_key.update", subject: "api_key", subject_id: Some(id), ..Note::default() };
    audit::record(cx, tx, tenant.organization(), &note).await?;
    ledger::changed(cx, tx, ledger::Credential::ApiKey, Some(tenant.organization()), id).await?;
    end(cx, tx, id).await?;
    Ok(with_use(cx, tenant, key))
}

/// A key's metadata after a write.
fn merged(old: &Json, given: &Json) -> Result<Json> {
    Check::new().metadata("metadata", given).finish()?;
    merge_metadata("metadata", old, given)
}

/// A key as it is to be.
fn changed(mut key: ApiKey, change: Change) -> Result<ApiKey> {
    key.name = change.name.unwrap_or(key.name);
    key.description = change.description.unwrap_or(key.description);
    key.scopes = change.scopes.unwrap_or(key.scopes);
    key.rate_limit_per_minute = change.rate_limit_per_minute.unwrap_or(key.rate_limit_per_minute);
    key.rate_limit_per_hour = change.rate_limit_per_hour.unwrap_or(key.rate_limit_per_hour);
    key.allowed_ips = change.allowed_ips.unwrap_or(key.allowed_ips);
    key.expires_at = change.expires_at.unwrap_or(key.expires_at);
    key.is_active = change.is_active.unwrap_or(key.is_active);
    if let Some(metadata) = change.metadata {
        key.metadata = merged(&key.metadata, &metadata)?;
    }
    Ok(key)
}

/// Checks a key as it is to be, and brings scopes and addresses into their one spelling. Of a key that there was before, scopes and end may
/// stay as they are.
fn check(cx: &Cx, key: &mut ApiKey, before: Option<&ApiKey>) -> Result<()> {
    let is_publishable = key.kind == Kind::Publishable;
    let mut check = Check::new();
    check.name("name", &key.name, 3..=50).optional("description", key.description.as_deref(), 0..=200);
    check.scopes("scopes", &key.scopes);
    for (place, scope) in key.scopes.iter().enumerate().filter(|(_, scope)| SCOPES.contains(&scope.as_str())) {
        let field = format!("scopes.{place}");
        if is_publishable && scope != "read:organization" {
            check.refuse(&field, "not_publishable", "a publishable key can only have read:organization");
        }
    }
    key.scopes = Scopes::of(&key.scopes).names();
    // No key is given more than the operators give its organization. What it was given before may stay: it has no effect beyond that.
    let of_organization = match cx.plane.requests_per_minute(cx.noted_organization()) {
        0 => *PER_MINUTE.end(),
        most => most.min(*PER_MINUTE.end()),
    };
    let per_minute = 1..=if is_publishable { PUBLISHABLE_PER_MINUTE.min(of_organization) } else { of_organization };
    let per_hour = 1..=of_organization.saturating_mul(60).min(*PER_HOUR.end());
    let is_new = |limit: fn(&ApiKey) -> Option<u32>| before.is_none_or(|before| limit(before) != limit(key));
    for (field, limit, range) in [
        ("rate_limit_per_minute", (|key| key.rate_limit_per_minute) as fn(&ApiKey) -> Option<u32>, per_minute),
        ("rate_limit_per_hour", |key| key.rate_limit_per_hour, per_hour),
    ] {
        if is_new(limit) {
            check.number(field, limit(key), range);
        }
    }
    key.allowed_ips = check_addresses(&mut check, &key.allowed_ips);
    let is_new_end = before.is_none_or(|before| before.expires_at != key.expires_at);
    if is_new_end && key.expires_at.is_some_and(|end| end <= cx.now) {
        check.refuse("expires_at", "in_the_past", "must be in the future");
    }
    check.finish()?;
    let mut check = Check::new();
    bounds::check(&mut check, cx.principal()?, key, before)?;
    check.finish()
}

/// Lists the keys, newest first, or of them those whose metadata has these texts.
///
/// # Errors
/// Those of [`enter`]; [`Error::Invalid`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, metadata: &Map<String, Json>, request: PageRequest) -> Result<Page<ApiKey>> {
    let tenant = enter(cx, organization, Action::ListApiKeys).await?;
    let metadata = metadata_filter(metadata)?;
    cx.read_filtered(metadata.is_some(), async move |cx, tx| {
        let count = sql!(
            "SELECT count(*) FROM api_keys
             WHERE organization_id = $1 AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(metadata, $2))"
        );
        let total = tx.read_one(count, params![tenant.organization(), metadata.as_ref()]).await?;
        let statement = sql!(
            "SELECT {columns} FROM api_keys WHERE organization_id = $1 AND (CAST($2 AS jsonb) IS NULL OR jsonb_contains(metadata, $2))
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            ApiKey
        );
        let bound = params![tenant.organization(), metadata.as_ref(), request.size, request.offset()];
        let keys = tx.read_all(statement, bound).await?.into_iter().map(|key| with_use(cx, &tenant, key));
        Ok(Page::new(keys.collect(), total, request))
    })
    .await
}

/// Reads a key.
///
/// # Errors
/// [`Error::NotFound`]; those of [`enter`].
pub async fn get(cx: &Cx, organization: &OrganizationRef, id: Uuid) -> Result<ApiKey> {
    let tenant = enter(cx, organization, Action::ListApiKeys).await?;
    cx.read(async move |cx, tx| Ok(with_use(cx, &tenant, load(tx, &tenant, id).await?))).await
}

/// Revokes a key: it stops working at once and its row goes.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] for another member's key without the right to revoke it.
pub async fn revoke(cx: &Cx, organization: &OrganizationRef, key: Uuid, reason: Option<String>) -> Result<Deletion> {
    let note = Note { action: "api_key.revoke", subject: "api_key", subject_id: Some(key), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, organization, note, async {
        let tenant = enter(cx, organization, Action::RevokeOwnApiKey).await?;
        tenant
            .write_ending(cx, [key], async move |cx, tx, tenant| {
                find_to_delete(cx, tx, tenant, key, Purpose::Deletion).await?;
                let order = Order {
                    root: Root::ApiKey,
                    subject: key,
                    label: None,
                    reason: reason.clone(),
                    action: "api_key.revoke",
                    detail: None,
                    export: false,
                };
                deletions::delete(cx, tx, tenant.organization(), order).await
            })
            .await
    })
    .await
}

/// Finds a key that is to be revoked, and checks that the actor may revoke it: members their own, a key itself, some roles any.
pub(crate) async fn find_to_delete(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, purpose: Purpose) -> Result<()> {
    if purpose == Purpose::Deletion {
        // Takes the row's lock: of two who revoke at once, one finds it gone.
        tx.execute(sql!("UPDATE api_keys SET name = name WHERE organization_id = $1 AND id = $2"), params![tenant.organization(), id])
            .await?;
    }
    let key = load(tx, tenant, id).await?;
    let is_own = key.member.is_some() && tenant.membership().map(|own| own.id) == key.member;
    if !is_own && cx.principal()?.credential != id {
        tenant.also(cx, Action::RevokeApiKey)?;
    }
    cx.expects_tag(&key.etag())
}

async fn load(tx: &mut Tx, tenant: &Tenant, id: Uuid) -> Result<ApiKey> {
    let statement = sql!("SELECT {columns} FROM api_keys WHERE organization_id = $1 AND id = $2", ApiKey);
    tx.read_opt(statement, params![tenant.organization(), id]).await?.ok_or(Error::NotFound("API key"))
}

/// The key with its latest use, which may not be written down yet.
fn with_use(cx: &Cx, tenant: &Tenant, mut key: ApiKey) -> ApiKey {
    key.last_used_at = key.last_used_at.max(cx.plane.usage.latest(Used { organization: tenant.organization(), key: key.id }));
    key
}
