//! OAuth apps: programs with a client id and a secret, for which they get tokens (`oauth_tokens/`).
//!
//! An app belongs to the member who made it, acts as that member within its scopes, and goes when the membership goes. So only that member
//! may give it more; everybody else who may manage apps can only take from it.

mod records;

pub use records::{NewOauthApp, OauthApp, OauthAppChanges};

use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter, enter_unseen};
use crate::audit::{self, Note};
use crate::authority::revoke;
use crate::deletions::{self, Deletion, Order, Purpose, Root};
use crate::destinations::check_link;
use crate::events::Event;
use crate::fields::Check;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::page::{Page, PageRequest};
use crate::policy::{Action, SCOPES, Scopes};
use crate::principal::fingerprint;
use crate::quotas::Quota;
use crate::tokens::alphanumeric;
use crate::{Cx, Error, Result, ledger, makers, notify};

const CLIENT_ID_PREFIX: &str = "app_";
const CLIENT_ID_LENGTH: usize = 24;
const SECRET_PREFIX: &str = "fhs_";
/// 256 bits.
const SECRET_LENGTH: usize = 43;
const MOST_REDIRECT_URIS: usize = 10;
const MOST_REDIRECT_URI_BYTES: usize = 2_000;
const NOT_FOUND: Error = Error::NotFound(NOUN);
const NOUN: &str = "OAuth app";

/// Makes an app of the signed-in member. The returned secret is not kept.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Forbidden`].
pub async fn create(cx: &Cx, organization: &OrganizationRef, new: NewOauthApp) -> Result<(OauthApp, String)> {
    let tenant = enter(cx, organization, Action::WriteOauthApps).await?;
    let member = tenant.membership().ok_or_else(|| Error::Forbidden("Only members can have apps.".into()))?.id;
    let mut check = Check::new();
    check_texts(&mut check, Some(&new.name), new.description.as_deref(), Some(&new.redirect_uris));
    check_scopes(&mut check, &new.scopes, cx.principal()?.scopes, &[]);
    check.finish()?;
    let secret = new_secret()?;
    let app = OauthApp {
        id: cx.new_id()?,
        organization: tenant.organization(),
        member,
        client_id: format!("{CLIENT_ID_PREFIX}{}", alphanumeric(CLIENT_ID_LENGTH)?),
        name: new.name,
        description: new.description,
        redirect_uris: new.redirect_uris,
        scopes: Scopes::of(&new.scopes).names(),
        is_active: true,
        created_at: cx.now,
        updated_at: cx.now,
    };
    let (hash, made_by) = (fingerprint(&secret), makers::maker(cx)?);
    let app = tenant
        .write(cx, async move |cx, tx, tenant| {
            tenant.is_writable(tx).await?;
            tenant.has_room(cx, tx, Quota::OauthApps).await?;
            let insert = sql!(
                "INSERT INTO oauth_apps (organization_id, id, member_id, client_id, secret_hash, name, description, redirect_uris, scopes,
                                         is_active, state, version, created_at, updated_at, made_by)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'live', 1, $11, $11, $12)"
            );
            let values = params![
                tenant.organization(),
                app.id,
                app.member,
                &app.client_id,
                &hash[..],
                &app.name,
                app.description.as_deref(),
                Json::from(app.redirect_uris.clone()),
                Json::from(app.scopes.clone()),
                app.is_active,
                app.created_at,
                made_by,
            ];
            tx.execute(insert, values).await.map_err(|error| match error {
                sql::Error::ForeignKey(_) => Error::Unauthenticated,
                other => other.into(),
            })?;
            record(cx, tx, tenant, "oauth_app.create", app.id).await?;
            let data =
                crate::payloads::OauthAppEvent { organization_id: tenant.organization(), id: app.id, client_id: app.client_id.clone() };
            notify::emit(cx, tx, tenant.organization(), Event::OauthAppCreated, notify::About::Other(app.id), data).await?;
            Ok(app.clone())
        })
        .await?;
    Ok((app, secret))
}

/// Lists the apps, newest first.
///
/// # Errors
/// Those of [`enter`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, request: PageRequest) -> Result<Page<OauthApp>> {
    let tenant = enter(cx, organization, Action::ReadOauthApps).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM oauth_apps WHERE organization_id = $1 AND state = 'live'");
        let total = tx.read_one(count, params![tenant.organization()]).await?;
        let statement = sql!(
            "SELECT {columns} FROM oauth_apps WHERE organization_id = $1 AND state = 'live' ORDER BY id DESC LIMIT $2 OFFSET $3",
            OauthApp
        );
        Ok(Page::new(tx.read_all(statement, params![tenant.organization(), request.size, request.offset()]).await?, total, request))
    })
    .await
}

/// Reads an app.
///
/// # Errors
/// [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`].
pub async fn get(cx: &Cx, client_id: &str) -> Result<OauthApp> {
    let (tenant, id) = enter_of(cx, find(cx, client_id).await?, Action::ReadOauthApps).await?;
    cx.read(async move |_, tx| load(tx, &tenant, id).await).await
}

async fn load(tx: &mut Tx, tenant: &Tenant, id: Uuid) -> Result<OauthApp> {
    let statement = sql!("SELECT {columns} FROM oauth_apps WHERE organization_id = $1 AND id = $2 AND state = 'live'", OauthApp);
    tx.read_opt(statement, params![tenant.organization(), id]).await?.ok_or(NOT_FOUND)
}

/// Changes an app. What its tokens may do changes with it, at once.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`], for wider scopes and for making it
/// active again to everybody but the member who made it too; [`Error::Conflict`] when the organization is archived and the change is no mere
/// taking away.
pub async fn update(cx: &Cx, client_id: &str, changes: OauthAppChanges) -> Result<OauthApp> {
    let (tenant, id) = enter_of(cx, find(cx, client_id).await?, Action::WriteOauthApps).await?;
    let mut check = Check::new();
    check_texts(&mut check, changes.name.as_deref(), changes.description.as_deref(), changes.redirect_uris.as_deref());
    check.finish()?;
    tenant.write_ending(cx, [id], async move |cx, tx, tenant| update_in(cx, tx, tenant, id, &changes).await).await
}

async fn update_in(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, changes: &OauthAppChanges) -> Result<OauthApp> {
    let before = lock(tx, tenant, id).await?;
    cx.expects_tag(&before.etag())?;
    match changes.only_take(&before) {
        true => tenant.is_live(tx).await?,
        false => tenant.is_writable(tx).await?,
    }
    if changes.give(&before) {
        may_give(cx, tenant, &before)?;
    }
    if changes.is_active == Some(true) && !before.is_active {
        has_all_scopes(cx, &before)?;
    }
    if let Some(scopes) = &changes.scopes {
        let mut check = Check::new();
        check_scopes(&mut check, scopes, cx.principal()?.scopes, &before.scopes);
        check.finish()?;
    }
    let after = OauthApp { updated_at: cx.now, ..changes.apply(&before) };
    let statement = sql!(
        "UPDATE oauth_apps SET name = $3, description = $4, redirect_uris = $5, scopes = $6, is_active = $7, updated_at = $8
         WHERE organization_id = $1 AND id = $2"
    );
    let values = params![
        tenant.organization(),
        id,
        &after.name,
        after.description.as_deref(),
        Json::from(after.redirect_uris.clone()),
        Json::from(after.scopes.clone()),
        after.is_active,
        after.updated_at,
    ];
    tx.execute(statement, values).await?;
    record(cx, tx, tenant, "oauth_app.update", id).await?;
    ledger::changed(cx, tx, ledger::Credential::OauthApp, Some(tenant.organization()), id).await?;
    // Tokens in memory hold what they could do before.
    revoke(cx, tx, id).await?;
    Ok(after)
}

/// Gives an app a new secret; the old one is no longer good, and tokens got with it stay good. The returned secret is not kept.
///
/// # Errors
/// [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`] for everybody but the member who made the app, and for
/// a credential that lacks a scope of the app: those who have the secret act as that member within those scopes; [`Error::Conflict`] when
/// the organization is archived.
pub async fn rotate_secret(cx: &Cx, client_id: &str) -> Result<(OauthApp, String)> {
    let (tenant, id) = enter_of(cx, find(cx, client_id).await?, Action::WriteOauthApps).await?;
    ledger::takes_lines(cx)?;
    let secret = new_secret()?;
    let hash = fingerprint(&secret);
    let app = tenant
        .write(cx, async move |cx, tx, tenant| {
            let app = lock(tx, tenant, id).await?;
            cx.expects_tag(&app.etag())?;
            tenant.is_writable(tx).await?;
            may_give(cx, tenant, &app)?;
            has_all_scopes(cx, &app)?;
            makes_it(cx, tx, tenant, id).await?;
            let statement = sql!("UPDATE oauth_apps SET secret_hash = $3, updated_at = $4 WHERE organization_id = $1 AND id = $2");
            tx.execute(statement, params![tenant.organization(), id, &hash[..], cx.now]).await?;
            ledger::changed(cx, tx, ledger::Credential::OauthApp, Some(tenant.organization()), id).await?;
            record(cx, tx, tenant, "oauth_app.rotate_secret", id).await?;
            Ok(OauthApp { updated_at: cx.now, ..app })
        })
        .await?;
    Ok((app, secret))
}

/// Fails when the credential lacks a scope of the app.
fn has_all_scopes(cx: &Cx, app: &OauthApp) -> Result<()> {
    let principal = cx.principal()?;
    app.scopes.iter().try_for_each(|scope| principal.needs(scope))
}

/// Fails for a key or token that neither made the app nor is the app's: with its secret it would have what does not end with it.
async fn makes_it(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid) -> Result<()> {
    let Some(maker) = makers::maker(cx)?.filter(|_| cx.principal().is_ok_and(|principal| principal.app != Some(id))) else {
        return Ok(());
    };
    let statement = sql!("SELECT 1 FROM oauth_apps WHERE organization_id = $1 AND id = $2 AND made_by = $3");
    match tx.query_opt(statement, params![tenant.organization(), id, maker]).await? {
        Some(_) => Ok(()),
        None => {
            Err(Error::Forbidden("Access denied. A key or token gives a new secret only to apps that it made: have a person do it.".into()))
        }
    }
}

/// Lets the actor in who may delete an app, and returns its id.
///
/// # Errors
/// Those of [`delete`].
pub(crate) async fn enter_to_delete(cx: &Cx, client_id: &str) -> Result<(Tenant, Uuid)> {
    enter_of(cx, find(cx, client_id).await?, Action::DeleteOauthApp).await
}

/// Deletes an app and every token of it: from the answer on none is good.
///
/// # Errors
/// [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`].
pub async fn delete(cx: &Cx, client_id: &str, reason: Option<String>) -> Result<Deletion> {
    let found = find(cx, client_id).await?;
    let organization = OrganizationRef::Id(found.map_or(SERVER_SCOPE, |(organization, _)| organization));
    let subject_id = found.map(|(_, id)| id);
    let note = Note { action: "oauth_app.delete", subject: "oauth_app", subject_id, reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, &organization, note, async {
        let (tenant, id) = enter_of(cx, found, Action::DeleteOauthApp).await?;
        deletions::count_ahead(cx, &tenant).await?;
        tenant
            .write_ending(cx, [id], async move |cx, tx, tenant| {
                find_to_delete(cx, tx, tenant, id, Purpose::Deletion).await?;
                let order = Order {
                    root: Root::OauthApp,
                    subject: id,
                    label: None,
                    reason: reason.clone(),
                    action: "oauth_app.delete",
                    detail: None,
                    export: false,
                };
                deletions::delete(cx, tx, tenant.organization(), order).await
            })
            .await
    })
    .await
}

/// Finds the app that is to be deleted.
pub(crate) async fn find_to_delete(cx: &Cx, tx: &mut Tx, tenant: &Tenant, id: Uuid, purpose: Purpose) -> Result<()> {
    let app = match purpose {
        Purpose::Plan => load(tx, tenant, id).await?,
        Purpose::Deletion => lock(tx, tenant, id).await?,
    };
    cx.expects_tag(&app.etag())
}

/// Whether a text has the form of a client id: the cheap test before any look-up.
pub(crate) fn is_client_id(text: &str) -> bool {
    text.strip_prefix(CLIENT_ID_PREFIX)
        .is_some_and(|rest| rest.len() == CLIENT_ID_LENGTH && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The organization and the id behind a client id.
async fn find(cx: &Cx, client_id: &str) -> Result<Option<(Uuid, Uuid)>> {
    if !is_client_id(client_id) {
        return Ok(None);
    }
    let client_id = client_id.to_owned();
    cx.read(async move |_, tx| {
        let statement = sql!("SELECT organization_id, id FROM oauth_apps WHERE client_id = $1 AND state = 'live'");
        Ok(tx.read_opt(statement, params![&client_id]).await?)
    })
    .await
}

async fn enter_of(cx: &Cx, found: Option<(Uuid, Uuid)>, action: Action) -> Result<(Tenant, Uuid)> {
    let (organization, id) = found.ok_or(NOT_FOUND)?;
    Ok((enter_unseen(cx, organization, action, NOUN).await?, id))
}

/// Touches the app's row, and reads it.
async fn lock(tx: &mut Tx, tenant: &Tenant, id: Uuid) -> Result<OauthApp> {
    let statement = sql!(
        "UPDATE oauth_apps SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live'
         RETURNING {columns}",
        OauthApp
    );
    tx.read_opt(statement, params![tenant.organization(), id]).await?.ok_or(NOT_FOUND)
}

fn may_give(cx: &Cx, tenant: &Tenant, app: &OauthApp) -> Result<()> {
    match tenant.membership() {
        Some(own) if own.id == app.member => Ok(()),
        _ => tenant.also(cx, Action::GiveToOauthApp).map(drop),
    }
}

fn new_secret() -> Result<String> {
    Ok(format!("{SECRET_PREFIX}{}", alphanumeric(SECRET_LENGTH)?))
}

async fn record(cx: &Cx, tx: &mut Tx, tenant: &Tenant, action: &'static str, app: Uuid) -> Result<()> {
    let note = Note { action, subject: "oauth_app", subject_id: Some(app), ..Note::default() };
    audit::record(cx, tx, tenant.organization(), &note).await
}

fn check_texts(check: &mut Check, name: Option<&str>, description: Option<&str>, redirect_uris: Option<&[String]>) {
    if let Some(name) = name {
        check.name("name", name, 1..=100);
    }
    check.optional("description", description, 0..=500);
    let redirect_uris = redirect_uris.unwrap_or_default();
    if redirect_uris.len() > MOST_REDIRECT_URIS {
        check.refuse("redirect_uris", "too_many", format!("must be {MOST_REDIRECT_URIS} at the most"));
    }
    for (place, uri) in redirect_uris.iter().enumerate() {
        if !is_redirect_uri(uri) {
            let wanted = "must be an https address, or an http address of localhost, 127.0.0.1 or [::1], without a fragment";
            check.refuse(&format!("redirect_uris.{place}"), "invalid_uri", wanted);
        }
    }
}

/// Scopes must be known and within what the caller's credential may do, or the app already had.
fn check_scopes(check: &mut Check, scopes: &[String], held: Option<Scopes>, had: &[String]) {
    if scopes.is_empty() {
        check.refuse("scopes", "required", format!("must be one or more of {}", SCOPES.join(", ")));
    }
    check.scopes("scopes", scopes);
    for (place, scope) in scopes.iter().enumerate().filter(|(_, scope)| SCOPES.contains(&scope.as_str())) {
        let field = format!("scopes.{place}");
        if held.is_some_and(|held| !held.covers(scope)) && !Scopes::of(had).covers(scope) {
            check.refuse(&field, "wider_than_own", "a credential cannot give an app scopes that it lacks itself");
        }
    }
}

/// An absolute address without a fragment (RFC 6749, section 3.1.2) that no one on the way can read (RFC 9700, section 2.6).
fn is_redirect_uri(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !br#"#"<>\^`{|}"#.contains(&byte);
    if text.len() > MOST_REDIRECT_URI_BYTES || !text.bytes().all(is_plain) {
        return false;
    }
    let (Ok(_), Some((scheme, rest))) = (check_link("redirect_uris", text), text.split_once("://")) else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "443"),
    };
    let is_whole = !host.is_empty() && !authority.contains('@') && port.parse::<u16>().is_ok();
    match scheme {
        "https" => is_whole,
        "http" => is_whole && ["localhost", "127.0.0.1", "[::1]"].contains(&host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_back_over_https_or_on_their_own_machine() {
        for uri in
            ["https://example.com", "https://example.com:8443/a?b=c", "http://localhost:3000/back", "http://127.0.0.1/", "http://[::1]:80/"]
        {
            assert!(is_redirect_uri(uri), "{uri}");
        }
        let long = format!("https://example.com/{}", "a".repeat(2_000));
        for uri in [
            "",
            "https://",
            "https://:443/",
            "https://example.com/#a",
            "https://example.com:port/",
            "https://me@example.com/",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://localhost@example.com/",
            "javascript:alert(1)",
            "data://example.com",
            "https://example.com/ a",
            "/back",
            &long,
        ] {
            assert!(!is_redirect_uri(uri), "{uri}");
        }
    }
}
