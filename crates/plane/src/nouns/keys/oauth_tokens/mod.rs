//! Tokens of OAuth apps: got for the client's credentials, renewed with a refresh token that is good once, revoked, introspected
//! (RFC 6749, 7009, 7662). They are opaque and only their hashes are kept; `credentials.rs` finds out who comes with one.
//!
//! The refresh tokens of one row share a part that is as secret as the rest. A caller with that part and an outdated rest holds a token
//! that was used. Either they stole it or it was stolen from them, and nothing of the row is good any more (RFC 9700, section 4.14.2).

mod introspection;

pub use introspection::{Introspection, introspect};

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use crate::access::{Tenant, enter_unseen};
use crate::audit::{self, Note};
use crate::cx::Actor;
use crate::cx::Demand;
use crate::deletions::{self, Deletion, Order, Root};
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::oauth_apps::is_client_id;
use crate::policy::{Action, SCOPES, Scopes};
use crate::principal::Fingerprint;
use crate::principal::{CredentialKind, Principal, fingerprint};
use crate::standing::unknown_client;
use crate::tokens::{ACCESS_PREFIX, SECRET_LENGTH, alphanumeric, is_access_token, is_secret};
use crate::{Cx, Error, OauthRefusal, Result, authority, makers};
use deletion::after;

const REFRESH_PREFIX: &str = "fhr_";
/// 131 bits.
const FAMILY_LENGTH: usize = 22;
const NOUN: &str = "OAuth token";

/// How an app says who it is.
#[derive(Clone)]
pub struct Client {
    /// Its client id.
    pub client_id: String,
    /// Its secret.
    pub secret: String,
}

/// What an app is given. Only hashes of the secrets are kept.
#[derive(Clone)]
pub struct Issued {
    /// The token's id, by which it can be revoked.
    pub id: Uuid,
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// How long it is good.
    pub expires_in: Duration,
    /// Good for one new pair.
    pub refresh_token: String,
    /// What the access token may be used for.
    pub scopes: Vec<String>,
}

/// An app that proved who it is.
struct App {
    organization: Uuid,
    id: Uuid,
    member: Uuid,
    user: Uuid,
    secret_hash: Vec<u8>,
    scopes: Vec<String>,
}

columns! { App {
    organization: "oauth_apps.organization_id", id: "oauth_apps.id", member: "oauth_apps.member_id", user: "members.user_id",
    secret_hash: "oauth_apps.secret_hash", scopes: "oauth_apps.scopes",
} }

impl App {
    /// The same work, done by the app.
    fn acting(&self, cx: &Cx) -> Cx {
        let principal = Principal {
            user: self.user,
            service_role: None,
            is_operator: false,
            credential: self.id,
            kind: CredentialKind::OauthToken,
            rotations: 0,
            app: Some(self.id),
            organization: Some(self.organization),
            member: Some(self.member),
            scopes: Some(Scopes::of(&self.scopes)),
            expires_at: None,
            terms: None,
            own: None,
        };
        cx.clone().with_actor(Actor::User(Arc::new(principal)))
    }
}

/// The part of a refresh token that it shares with those before and after it.
fn family_of(text: &str) -> Option<&str> {
    let secret = text.strip_prefix(REFRESH_PREFIX)?;
    is_secret(secret, FAMILY_LENGTH + SECRET_LENGTH).then(|| &secret[..FAMILY_LENGTH])
}

/// Gives an app a token for itself. It acts as the member who made the app; asking for a token of another user is refused. The apps of an
/// archived organization are unknown.
///
/// # Errors
/// [`Error::Oauth`].
pub async fn issue(cx: &Cx, client: &Client, scopes: Option<Vec<String>>, user: Option<Uuid>) -> Result<Issued> {
    let app = identify(cx, client).await?;
    if user.is_some_and(|user| user != app.user) {
        let words = "An app's tokens act as the user who made the app: leave out the user, or name that one.";
        return Err(Error::Oauth(OauthRefusal::InvalidRequest, words.into()));
    }
    let scopes = choose(scopes, &app.scopes)?;
    let access_token = format!("{ACCESS_PREFIX}{}", alphanumeric(SECRET_LENGTH)?);
    let family = alphanumeric(FAMILY_LENGTH)?;
    let refresh_token = format!("{REFRESH_PREFIX}{family}{}", alphanumeric(SECRET_LENGTH)?);
    let hashes = [fingerprint(&access_token), fingerprint(&refresh_token), fingerprint(&family)];
    let id = cx.new_id()?;
    let chosen = scopes.clone();
    app.acting(cx).write_as_server(async move |cx, tx| insert(cx, tx, id, &app, &chosen, &hashes).await).await?;
    Ok(Issued { id, access_token, expires_in: cx.plane.config.oauth_access_token_life, refresh_token, scopes })
}

/// Finds the app of a client id and holds its secret against the one that came. An unknown one is compared too, and hears the same.
async fn identify(cx: &Cx, client: &Client) -> Result<App> {
    let found = match is_client_id(&client.client_id) {
        true => {
            cx.read({
                let client_id = client.client_id.clone();
                async move |cx, tx| load_app(cx, tx, &client_id).await
            })
            .await?
        }
        false => None,
    };
    let known = found.as_ref().map_or_else(|| Fingerprint::default().to_vec(), |app| app.secret_hash.clone());
    let fits = verify_slices_are_equal(&fingerprint(&client.secret), &known).is_ok();
    let app = found.filter(|_| fits).ok_or_else(unknown_client)?;
    cx.note_demand(Demand::Client { app: app.id, secret: fingerprint(&client.secret) });
    Ok(app)
}

async fn load_app(cx: &Cx, tx: &mut Tx, client_id: &str) -> Result<Option<App>> {
    let statement = sql!(
        "SELECT {columns}, oauth_apps.made_by FROM oauth_apps
         JOIN members ON members.organization_id = oauth_apps.organization_id AND members.id = oauth_apps.member_id AND members.state = 'live'
         JOIN organizations ON organizations.id = oauth_apps.organization_id AND organizations.state = 'live' AND archived_at IS NULL
         WHERE oauth_apps.client_id = $1 AND oauth_apps.state = 'live' AND oauth_apps.is_active",
        App
    );
    let Some((app, made_by)) = tx.read_opt::<(App, _)>(statement, params![client_id]).await? else { return Ok(None) };
    has_good_makers(cx, tx, &app, made_by).await.map(|is_good| is_good.then_some(app))
}

/// Whether the line of an app is good.
async fn has_good_makers(cx: &Cx, tx: &mut Tx, app: &App, made_by: Option<Uuid>) -> Result<bool> {
    match makers::are_good(cx, tx, app.organization, made_by).await {
        Ok(()) => Ok(true),
        Err(Error::Unauthenticated) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What was granted and is still its app's to have.
fn common(granted: &[String], of_app: &[String]) -> Vec<String> {
    Scopes::of(granted).common(Scopes::of(of_app)).names()
}

/// The scopes to grant: those wanted, or all there are.
fn choose(wanted: Option<Vec<String>>, most: &[String]) -> Result<Vec<String>> {
    let refuse = |words: String| Err(Error::Oauth(OauthRefusal::InvalidScope, words));
    let Some(wanted) = wanted else { return Ok(most.to_vec()) };
    if wanted.is_empty() || wanted.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return refuse(format!("A scope must be one of {}.", SCOPES.join(" ")));
    }
    let granted = Scopes::of(most);
    match wanted.iter().find(|scope| !granted.covers(scope)) {
        Some(wide) => refuse(format!("The scope {wide} is wider than what can be granted: {}.", most.join(" "))),
        None => Ok(Scopes::of(&wanted).names()),
    }
}

async fn insert(cx: &Cx, tx: &mut Tx, id: Uuid, app: &App, scopes: &[String], hashes: &[Fingerprint; 3]) -> Result<()> {
    hold(tx, app).await?;
    let insert = sql!(
        "INSERT INTO oauth_tokens (organization_id, id, app_id, member_id, access_hash, refresh_hash, refresh_family_hash, scopes,
                                   access_scopes, created_at, expires_at, refresh_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11)"
    );
    let [access, refresh, family] = hashes;
    let values = params![
        app.organization,
        id,
        app.id,
        app.member,
        &access[..],
        &refresh[..],
        &family[..],
        Json::from(scopes.to_vec()),
        cx.now,
        after(cx.now, cx.plane.config.oauth_access_token_life),
        after(cx.now, cx.plane.config.oauth_refresh_token_life),
    ];
    tx.execute(insert, values).await?;
    let note = Note { action: "oauth_token.create", subject: "oauth_token", subject_id: Some(id), ..Note::default() };
    audit::record(cx, tx, app.organization, &note).await
}

/// Touches the membership and the app, in the order in which a removal of the member goes through them: neither ends, and the secret is not
/// changed, before this transaction ends.
async fn hold(tx: &mut Tx, app: &App) -> Result<()> {
    let member = sql!("UPDATE members SET version = version + 1 WHERE organization_id = $1 AND id = $2 AND state = 'live'");
    let held = tx.execute(member, params![app.organization, app.member]).await?;
    let own = sql!(
        "UPDATE oauth_apps SET version = version + 1
         WHERE organization_id = $1 AND id = $2 AND secret_hash = $3 AND state = 'live' AND is_active
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live' AND archived_at IS NULL)"
    );
    match held + tx.execute(own, params![app.organization, app.id, &app.secret_hash[..]]).await? {
        2 => Ok(()),
        _ => Err(unknown_client()),
    }
}

/// A token that a caller presented, with all it depends on alive.
struct Found {
    id: Uuid,
    app: App,
    client_id: String,
    refresh_hash: Vec<u8>,
    granted: Vec<String>,
    access_scopes: Vec<String>,
    expires_at: Timestamp,
    refresh_expires_at: Timestamp,
}

columns! { Found with App {
    id: "oauth_tokens.id", refresh_hash: "oauth_tokens.refresh_hash", granted: "oauth_tokens.scopes",
    access_scopes: "oauth_tokens.access_scopes", expires_at: "oauth_tokens.expires_at",
    refresh_expires_at: "oauth_tokens.refresh_expires_at", client_id: "oauth_apps.client_id", app: "{columns}",
} }

/// Finds what an access token or any refresh token of a row stands for.
async fn find(cx: &Cx, token: &str) -> Result<Option<Found>> {
    let hash = match family_of(token) {
        Some(family) => fingerprint(family),
        None if is_access_token(token) => fingerprint(token),
        None => return Ok(None),
    };
    cx.read(async move |cx, tx| load(cx, tx, hash).await).await
}

async fn load(cx: &Cx, tx: &mut Tx, hash: Fingerprint) -> Result<Option<Found>> {
    let statement = sql!(
        "SELECT {columns}, oauth_apps.made_by FROM oauth_tokens
         JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
              AND oauth_apps.state = 'live' AND oauth_apps.is_active
         JOIN members ON members.organization_id = oauth_apps.organization_id AND members.id = oauth_apps.member_id AND members.state = 'live'
         JOIN organizations ON organizations.id = oauth_apps.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE oauth_tokens.access_hash = $1 OR oauth_tokens.refresh_family_hash = $1",
        Found
    );
    let Some((found, made_by)) = tx.read_opt::<(Found, _)>(statement, params![&hash[..]]).await? else { return Ok(None) };
    has_good_makers(cx, tx, &found.app, made_by).await.map(|is_good| is_good.then_some(found))
}

/// Turns a refresh token into a new pair; it is used up, and the access token before it ends. With a client, it must be the one that the
/// token was given to. The scopes narrow the new access token only: the next refresh may have all again that was granted.
///
/// A token that was used before ends the whole row. Of two that come at once with the same token exactly one is given a new pair, and the
/// other is such a second use.
///
/// # Errors
/// [`Error::Oauth`].
pub async fn refresh(cx: &Cx, client: Option<&Client>, refresh_token: &str, scopes: Option<Vec<String>>) -> Result<Issued> {
    let client = match client {
        Some(client) => Some(identify(cx, client).await?),
        None => None,
    };
    let family = family_of(refresh_token).ok_or_else(no_such_grant)?.to_owned();
    let found = find(cx, refresh_token).await?.ok_or_else(no_such_grant)?;
    if client.is_some_and(|client| client.id != found.app.id) {
        return Err(no_such_grant());
    }
    let is_newest = found.refresh_hash == fingerprint(refresh_token);
    let scopes = match choose(scopes, &common(&found.granted, &found.app.scopes)) {
        // A second use ends the row, whatever it asks for.
        Err(_) if !is_newest => Vec::new(),
        chosen => chosen?,
    };
    let access_token = format!("{ACCESS_PREFIX}{}", alphanumeric(SECRET_LENGTH)?);
    let next = format!("{REFRESH_PREFIX}{family}{}", alphanumeric(SECRET_LENGTH)?);
    let id = found.id;
    let hashes = [fingerprint(refresh_token), fingerprint(&access_token), fingerprint(&next)];
    let chosen = scopes.clone();
    let is_renewed = found.app.acting(cx).write_as_server(async move |cx, tx| renew(cx, tx, &found, &chosen, &hashes).await).await?;
    match is_renewed {
        true => Ok(Issued { id, access_token, expires_in: cx.plane.config.oauth_access_token_life, refresh_token: next, scopes }),
        false => Err(no_such_grant()),
    }
}

fn no_such_grant() -> Error {
    let words = "The refresh token is unknown, used or past its end, or it is another client's.";
    Error::Oauth(OauthRefusal::InvalidGrant, words.into())
}

/// Puts the new pair in the place of the old one, if that is still the newest, and otherwise ends the row. Returns which.
async fn renew(cx: &Cx, tx: &mut Tx, found: &Found, scopes: &[String], hashes: &[Fingerprint; 3]) -> Result<bool> {
    let [presented, access, refresh] = hashes;
    let exchange = sql!(
        "UPDATE oauth_tokens SET access_hash = $4, refresh_hash = $5, access_scopes = $6, expires_at = $7, refresh_expires_at = $8
         WHERE organization_id = $1 AND id = $2 AND refresh_hash = $3 AND refresh_expires_at > $9"
    );
    let values = params![
        found.app.organization,
        found.id,
        &presented[..],
        &access[..],
        &refresh[..],
        Json::from(scopes.to_vec()),
        after(cx.now, cx.plane.config.oauth_access_token_life),
        after(cx.now, cx.plane.config.oauth_refresh_token_life),
        cx.now,
    ];
    if tx.execute(exchange, values).await? == 1 {
        // The old access token must not live on in memory.
        authority::revoke(cx, tx, found.id).await?;
        let note = Note { action: "oauth_token.refresh", subject: "oauth_token", subject_id: Some(found.id), ..Note::default() };
        audit::record(cx, tx, found.app.organization, &note).await?;
        return Ok(true);
    }
    let statement = sql!("UPDATE oauth_tokens SET scopes = scopes WHERE organization_id = $1 AND id = $2 RETURNING refresh_hash");
    let newest: Option<Vec<u8>> = tx.read_opt(statement, params![found.app.organization, found.id]).await?;
    if newest.is_some_and(|newest| newest != presented) {
        tracing::warn!(request_id = %cx.request_id, token = %found.id, "a used refresh token was presented: the token is revoked");
        // The server cannot tell the app from a thief.
        let cx = cx.clone().with_actor(Actor::System);
        let reason = Some("A used refresh token was presented.".to_owned());
        let order = Order { root: Root::OauthToken, subject: found.id, label: None, reason, action: REVOKE, detail: None, export: false };
        deletions::delete(&cx, tx, found.app.organization, order).await?;
    }
    Ok(false)
}

const REVOKE: &str = "oauth_token.revoke";

/// Revokes a token by its id: for callers who have the token itself, or may do so in its organization.
///
/// # Errors
/// [`Error::NotFound`], for strangers to its organization too; [`Error::Forbidden`].
pub async fn revoke(cx: &Cx, id: Uuid, reason: Option<String>) -> Result<Deletion> {
    cx.principal()?;
    let organization = organization_of(cx, id).await?;
    let note = Note { action: REVOKE, subject: "oauth_token", subject_id: Some(id), reason: reason.clone(), ..Note::default() };
    audit::attempt(cx, &OrganizationRef::Id(organization.unwrap_or(SERVER_SCOPE)), note, async {
        match may_revoke(cx, organization, id).await? {
            (_, Some(tenant)) => {
                let write =
                    tenant.write_ending(cx, [id], async move |cx, tx, tenant| end(cx, tx, tenant.organization(), id, reason.clone()).await);
                write.await
            }
            // The token ends itself.
            (organization, None) => {
                let write = cx.write_own_ending(Some(id), async move |cx, tx| end(cx, tx, organization, id, reason.clone()).await);
                write.await
            }
        }
    })
    .await
}

/// Lets the actor in who may revoke a token, and returns its organization.
///
/// # Errors
/// Those of [`revoke`].
pub(crate) async fn enter_to_revoke(cx: &Cx, id: Uuid) -> Result<Uuid> {
    Ok(may_revoke(cx, organization_of(cx, id).await?, id).await?.0)
}

async fn organization_of(cx: &Cx, id: Uuid) -> Result<Option<Uuid>> {
    cx.read(async move |_, tx| Ok(tx.read_opt(sql!("SELECT organization_id FROM oauth_tokens WHERE id = $1"), params![id]).await?)).await
}

/// The token's organization, with the actor's right in it unless they come with the token itself.
async fn may_revoke(cx: &Cx, organization: Option<Uuid>, id: Uuid) -> Result<(Uuid, Option<Tenant>)> {
    let (principal, organization) = (cx.principal()?, organization.ok_or(Error::NotFound(NOUN))?);
    if principal.kind == CredentialKind::OauthToken && principal.credential == id {
        return Ok((organization, None));
    }
    Ok((organization, Some(enter_unseen(cx, organization, Action::RevokeOauthToken, NOUN).await?)))
}

/// Revokes a token that an app presents (RFC 7009), be it the access token or a refresh token: both go. One that is unknown or gone is none
/// to worry about.
///
/// # Errors
/// [`Error::Oauth`], for a token of another app too.
pub async fn revoke_presented(cx: &Cx, client: &Client, token: &str) -> Result<()> {
    let app = identify(cx, client).await?;
    let Some(found) = find(cx, token).await? else { return Ok(()) };
    if found.app.id != app.id {
        return Err(Error::Oauth(OauthRefusal::InvalidGrant, "The token was given to another client.".into()));
    }
    let cx = app.acting(cx);
    let (organization, id) = (found.app.organization, found.id);
    let revoking = cx.write_as_server(async move |cx, tx| end(cx, tx, organization, id, None).await);
    match revoking.await {
        Ok(_) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn end(cx: &Cx, tx: &mut Tx, organization: Uuid, id: Uuid, reason: Option<String>) -> Result<Deletion> {
    // Takes the row's lock: of two who revoke at once, one finds it gone.
    let statement = sql!("UPDATE oauth_tokens SET scopes = scopes WHERE organization_id = $1 AND id = $2");
    if tx.execute(statement, params![organization, id]).await? == 0 {
        return Err(Error::NotFound(NOUN));
    }
    let order = Order { root: Root::OauthToken, subject: id, label: None, reason, action: REVOKE, detail: None, export: false };
    deletions::delete(cx, tx, organization, order).await
}
