//! From what a caller presents to who they are: the one place where a credential is found good or not.
//!
//! A credential is good while it, its user, and the membership and organization it is bound to are alive. That is read from the database
//! once and from then on from memory, where it dies in the same step as the commit that ends any of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, params, sql};
use uuid::Uuid;

use crate::cx::{Actor, Cx};
use crate::ids::SERVER_SCOPE;
use crate::policy::Role;
use crate::principal::Fingerprint;
use deletion::before;
use std::collections::HashSet;
use std::time::Duration;

use crate::usage::Used;

pub use crate::principal::{CredentialKind, Expiry, Presented, Principal};
use crate::principal::{Shown, earlier, fingerprint};
use crate::{Error, Result, key_format, key_terms, makers, policy, tokens};

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same(known: &str, given: &str) -> bool {
    verify_slices_are_equal(&fingerprint(known), &fingerprint(given)).is_ok()
}

/// The same context with the credential's user as its actor.
///
/// # Errors
/// [`Error::Unauthenticated`] when the credential is not good, for whatever reason; [`Error::Inactive`] for a key that is switched off;
/// [`Error::Forbidden`] for a key that comes from an address it is not allowed from.
pub async fn authenticate(cx: Cx, presented: Presented<'_>) -> Result<Cx> {
    if let Presented::ApiKey(secret) = presented
        && !cx.plane.config.key_prefixes.has_checksum(secret)
    {
        // A key that was mistyped or made up is refused without a look-up.
        return Err(Error::Unauthenticated);
    }
    let shown = Shown::of(presented);
    let principal = match cx.plane.credential_cache.credential(&shown) {
        Some(principal) => principal,
        None => {
            let mark = cx.plane.credential_cache.read_mark();
            let principal = look_up(&cx, presented).await?;
            cx.plane.credential_cache.keep_credential(&mark, shown, &principal);
            principal
        }
    };
    if principal.expires_at.is_some_and(|end| end <= cx.now.into()) {
        return Err(Error::Unauthenticated);
    }
    principal.admit(cx.client)?;
    if principal.kind == CredentialKind::ApiKey {
        let organization = principal.organization.unwrap_or(SERVER_SCOPE);
        cx.plane.usage.note(Used { organization, key: principal.credential }, cx.now);
    }
    Ok(cx.with_actor(Actor::User(Arc::new(principal))))
}

async fn look_up(cx: &Cx, presented: Presented<'_>) -> Result<Principal> {
    let count = || cx.plane.credential_lookups.fetch_add(1, Ordering::Relaxed);
    match presented {
        Presented::Bearer(token) if token.starts_with(tokens::ACCESS_PREFIX) => {
            // One that was cut or made up is refused without a look-up.
            if !tokens::is_access_token(token) {
                return Err(Error::Unauthenticated);
            }
            count();
            let hash = fingerprint(token);
            cx.read(async move |cx, tx| load_oauth_token(cx, tx, hash).await).await
        }
        Presented::Bearer(token) => {
            let claims = cx.plane.keys.verify(token, &cx.plane.config.public_url, cx.now)?;
            count();
            let session = claims.sid;
            let mut principal = cx.read(async move |_, tx| load_session(tx, SessionKey::Id(session)).await).await?;
            principal.expires_at = principal.expires_at.min(Some(claims.expires_at()?.into()));
            Ok(principal)
        }
        Presented::Cookie(cookie) => {
            count();
            let hash = fingerprint(cookie);
            cx.read(async move |_, tx| load_session(tx, SessionKey::Cookie(hash)).await).await
        }
        Presented::ApiKey(key) => {
            count();
            let is_users = key.split_once('_').is_some_and(|(prefix, _)| prefix == cx.plane.config.key_prefixes.of(key_format::Kind::User));
            let hash = fingerprint(key);
            cx.read(async move |cx, tx| load_api_key(cx, tx, hash, is_users).await).await
        }
    }
}

/// Reads a key by its id, for [`crate::credentials`]: its columns are those of an organization's key.
const USER_KEY_BY_ID: Statement = sql!(
    "SELECT user_api_keys.user_id, CAST(NULL AS text), user_api_keys.id, CAST(NULL AS uuid), CAST(NULL AS uuid), user_api_keys.scopes,
            user_api_keys.expires_at, user_api_keys.name, 'user', user_api_keys.is_active, user_api_keys.rate_limit_per_minute,
            user_api_keys.rate_limit_per_hour, user_api_keys.allowed_ips, user_api_keys.rotations, CAST(NULL AS uuid),
            user_api_keys.previous_until
     FROM user_api_keys JOIN users ON users.id = user_api_keys.user_id AND users.state = 'live'
     WHERE user_api_keys.id = $1"
);

/// The same by the hash of a secret that is good, and whether it is the one before the newest.
const USER_KEY_BY_HASH: Statement = sql!(
    "SELECT user_api_keys.user_id, CAST(NULL AS text), user_api_keys.id, CAST(NULL AS uuid), CAST(NULL AS uuid), user_api_keys.scopes,
            user_api_keys.expires_at, user_api_keys.name, 'user', user_api_keys.is_active, user_api_keys.rate_limit_per_minute,
            user_api_keys.rate_limit_per_hour, user_api_keys.allowed_ips, user_api_keys.rotations, CAST(NULL AS uuid),
            user_api_keys.previous_until, CASE WHEN user_api_keys.hash = $1 THEN 0 ELSE 1 END
     FROM user_api_keys JOIN users ON users.id = user_api_keys.user_id AND users.state = 'live'
     WHERE user_api_keys.hash = $1 OR (user_api_keys.previous_hash = $1 AND user_api_keys.previous_until > $2)"
);

/// What a session is read with: its columns, for [`session_from`].
const SESSION_BY_ID: Statement = sql!(
    "SELECT sessions.user_id, users.is_operator, sessions.id, sessions.organization_id, sessions.member_id, sessions.expires_at
     FROM sessions JOIN users ON users.id = sessions.user_id AND users.state = 'live'
     LEFT JOIN members ON members.organization_id = sessions.organization_id AND members.id = sessions.member_id
     LEFT JOIN organizations ON organizations.id = sessions.organization_id
     WHERE sessions.id = $1
       AND (sessions.organization_id IS NULL OR (members.state = 'live' AND organizations.state = 'live'))"
);

/// The statements that read a principal's credential again, by its id, and what it depends on: for [`read_again`].
pub(crate) fn questions(principal: &Principal) -> Vec<(Statement, Vec<Value>)> {
    std::iter::once(question(principal)).chain(makers::questions(principal)).collect()
}

fn question(principal: &Principal) -> (Statement, Vec<Value>) {
    let organization = principal.organization.unwrap_or_default();
    match principal.kind {
        CredentialKind::Session => (SESSION_BY_ID, vec![principal.credential.into()]),
        CredentialKind::ApiKey if principal.organization.is_none() => (USER_KEY_BY_ID, vec![principal.credential.into()]),
        CredentialKind::ApiKey => {
            let statement = sql!(
                "SELECT members.user_id, api_keys.role, api_keys.id, api_keys.organization_id, api_keys.member_id, api_keys.scopes,
                        api_keys.expires_at, api_keys.name, api_keys.kind, api_keys.is_active, api_keys.rate_limit_per_minute,
                        api_keys.rate_limit_per_hour, api_keys.allowed_ips, api_keys.rotations, api_keys.made_by, api_keys.previous_until
                 FROM api_keys
                 LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
                      AND members.state = 'live'
                 JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
                      AND organizations.archived_at IS NULL
                 WHERE api_keys.organization_id = $1 AND api_keys.id = $2"
            );
            (statement, vec![organization.into(), principal.credential.into()])
        }
        CredentialKind::OauthToken => {
            let statement = sql!(
                "SELECT members.user_id, oauth_tokens.id, oauth_tokens.app_id, oauth_tokens.organization_id, oauth_tokens.member_id,
                        oauth_tokens.access_scopes, oauth_apps.scopes, oauth_tokens.expires_at, oauth_apps.made_by
                 FROM oauth_tokens
                 JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
                      AND oauth_apps.state = 'live' AND oauth_apps.is_active
                 JOIN members ON members.organization_id = oauth_tokens.organization_id AND members.id = oauth_tokens.member_id
                      AND members.state = 'live'
                 JOIN organizations ON organizations.id = oauth_tokens.organization_id AND organizations.state = 'live'
                      AND organizations.archived_at IS NULL
                 WHERE oauth_tokens.organization_id = $1 AND oauth_tokens.id = $2"
            );
            (statement, vec![organization.into(), principal.credential.into()])
        }
    }
}

/// A principal as it is now, from the answers to its [`questions`]. What the credential ended by before it still does: an access token is good
/// for less long than its session.
///
/// # Errors
/// Those of [`authenticate`].
pub(crate) fn read_again(cx: &Cx, principal: &Principal, answers: Vec<Option<Row>>) -> Result<Principal> {
    let mut answers = answers.into_iter();
    let mut row = answers.next().flatten().ok_or(Error::Unauthenticated)?;
    let now = match principal.kind {
        CredentialKind::Session => session_from(row)?,
        CredentialKind::ApiKey => {
            let key = api_key_from(&mut row)?;
            let is_newest = key.principal.rotations == principal.rotations;
            let is_the_one_before = key.principal.rotations == principal.rotations.saturating_add(1);
            let is_good_still = is_the_one_before && key.previous_until.is_some_and(|end| end > cx.now);
            if !is_newest && !is_good_still {
                return Err(Error::Unauthenticated);
            }
            Principal { rotations: principal.rotations, ..key.principal }
        }
        CredentialKind::OauthToken => oauth_token_from(row)?.0,
    };
    let now = makers::read_again(cx, principal, now, answers)?;
    now.admit(cx.client)?;
    Ok(Principal { expires_at: earlier(principal.expires_at, now.expires_at), ..now })
}

enum SessionKey {
    Id(Uuid),
    Cookie(Fingerprint),
}

async fn load_session(tx: &mut Tx, key: SessionKey) -> Result<Principal> {
    let found = match key {
        SessionKey::Id(id) => tx.query_opt(SESSION_BY_ID, params![id]).await?,
        SessionKey::Cookie(hash) => {
            let statement = sql!(
                "SELECT sessions.user_id, users.is_operator, sessions.id, sessions.organization_id, sessions.member_id, sessions.expires_at
                 FROM sessions JOIN users ON users.id = sessions.user_id AND users.state = 'live'
                 LEFT JOIN members ON members.organization_id = sessions.organization_id AND members.id = sessions.member_id
                 LEFT JOIN organizations ON organizations.id = sessions.organization_id
                 WHERE sessions.cookie_hash = $1
                   AND (sessions.organization_id IS NULL OR (members.state = 'live' AND organizations.state = 'live'))"
            );
            tx.query_opt(statement, params![&hash[..]]).await?
        }
    };
    session_from(found.ok_or(Error::Unauthenticated)?)
}

fn session_from(mut row: Row) -> Result<Principal> {
    Ok(Principal {
        user: row.next()?,
        service_role: None,
        is_operator: row.next()?,
        credential: row.next()?,
        kind: CredentialKind::Session,
        rotations: 0,
        app: None,
        organization: row.next()?,
        member: row.next()?,
        scopes: None,
        expires_at: Some(row.next::<Timestamp>()?.into()),
        terms: None,
        own: None,
    })
}

async fn load_api_key(cx: &Cx, tx: &mut Tx, hash: Fingerprint, is_users: bool) -> Result<Principal> {
    let mut found = match is_users {
        true => tx.query_opt(USER_KEY_BY_HASH, params![&hash[..], cx.now]).await?,
        false => None,
    };
    if found.is_none() {
        // Among them are users' keys from before they were the person's, each bound to the organization it was made in.
        let statement = sql!(
            "SELECT members.user_id, api_keys.role, api_keys.id, api_keys.organization_id, api_keys.member_id, api_keys.scopes,
                    api_keys.expires_at, api_keys.name, api_keys.kind, api_keys.is_active, api_keys.rate_limit_per_minute,
                    api_keys.rate_limit_per_hour, api_keys.allowed_ips, api_keys.rotations, api_keys.made_by, api_keys.previous_until,
                    CASE WHEN api_keys.hash = $1 THEN 0 ELSE 1 END
             FROM api_keys
             LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
                  AND members.state = 'live'
             JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
                  AND organizations.archived_at IS NULL
             WHERE api_keys.hash = $1 OR (api_keys.previous_hash = $1 AND api_keys.previous_until > $2)"
        );
        found = tx.query_opt(statement, params![&hash[..], cx.now]).await?;
    }
    let mut row = found.ok_or(Error::Unauthenticated)?;
    let mut key = api_key_from(&mut row)?;
    if row.next::<i64>()? == 1 {
        // The secret before the newest has an end of its own.
        key.principal.rotations = key.principal.rotations.saturating_sub(1);
        key.principal.expires_at = earlier(key.principal.expires_at, key.previous_until.map(Expiry::from));
    }
    makers::join(cx, tx, key.principal, key.made_by).await
}

/// A key of an organization or a person as it was read.
struct FoundKey {
    /// As it comes with its newest secret.
    principal: Principal,
    made_by: Option<Uuid>,
    /// Until when the secret before that is good.
    previous_until: Option<Timestamp>,
}

fn api_key_from(row: &mut Row) -> Result<FoundKey> {
    let (user, service_role, credential): (Option<Uuid>, Option<Role>, Uuid) = (row.next()?, row.next()?, row.next()?);
    let user = match service_role {
        Some(_) => credential,
        // Its member is gone, or going.
        None => user.ok_or(Error::Unauthenticated)?,
    };
    let mut principal = Principal {
        user,
        service_role,
        // A key never has the powers of the people who run the server.
        is_operator: false,
        credential,
        kind: CredentialKind::ApiKey,
        rotations: 0,
        app: None,
        organization: row.next()?,
        member: row.next()?,
        scopes: Some(scopes(row)?),
        expires_at: row.next::<Option<Timestamp>>()?.map(Expiry::from),
        terms: None,
        own: None,
    };
    let (terms, own) = key_terms::terms_from(row)?;
    principal.terms = Some(terms);
    principal.own = own;
    principal.rotations = row.next::<i64>()?.try_into().unwrap_or(u32::MAX);
    Ok(FoundKey { principal, made_by: row.next()?, previous_until: row.next()? })
}

fn scopes(row: &mut Row) -> Result<policy::Scopes> {
    Ok(policy::Scopes::of(&key_terms::scopes_from(row.next()?)?))
}

async fn load_oauth_token(cx: &Cx, tx: &mut Tx, hash: Fingerprint) -> Result<Principal> {
    let statement = sql!(
        "SELECT members.user_id, oauth_tokens.id, oauth_tokens.app_id, oauth_tokens.organization_id, oauth_tokens.member_id,
                oauth_tokens.access_scopes, oauth_apps.scopes, oauth_tokens.expires_at, oauth_apps.made_by
         FROM oauth_tokens
         JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
              AND oauth_apps.state = 'live' AND oauth_apps.is_active
         JOIN members ON members.organization_id = oauth_tokens.organization_id AND members.id = oauth_tokens.member_id
              AND members.state = 'live'
         JOIN organizations ON organizations.id = oauth_tokens.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE oauth_tokens.access_hash = $1"
    );
    let (principal, made_by) = oauth_token_from(tx.query_opt(statement, params![&hash[..]]).await?.ok_or(Error::Unauthenticated)?)?;
    makers::join(cx, tx, principal, made_by).await
}

/// The token, and what made its app.
fn oauth_token_from(mut row: Row) -> Result<(Principal, Option<Uuid>)> {
    let principal = Principal {
        user: row.next()?,
        service_role: None,
        // An app acts as a member and never with the powers of the people who run the server.
        is_operator: false,
        credential: row.next()?,
        kind: CredentialKind::OauthToken,
        rotations: 0,
        app: Some(row.next()?),
        organization: row.next()?,
        member: row.next()?,
        // An app whose scopes were narrowed narrows the tokens that it has.
        scopes: Some(scopes(&mut row)?.common(scopes(&mut row)?)),
        expires_at: Some(row.next::<Timestamp>()?.into()),
        terms: None,
        own: None,
    };
    Ok((principal, row.next()?))
}

/// Those of these sessions that began within so many minutes. What a session is refreshed with does not make it younger.
pub(crate) async fn begun_within(tx: &mut Tx, sessions: &[Uuid], now: Timestamp, minutes: u32) -> Result<HashSet<Uuid>> {
    let since = before(now, Duration::from_secs(60 * u64::from(minutes)));
    let statement = sql!("SELECT id FROM sessions WHERE id = ANY($1) AND created_at >= $2");
    tx.query(statement, params![sessions, since]).await?.into_iter().map(|mut row| Ok(row.next()?)).collect()
}
