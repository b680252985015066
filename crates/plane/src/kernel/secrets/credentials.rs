//! From what a caller presents to who they are: the one place where a credential is found good or not.
//!
//! A credential is good while it, its user, and the membership and organization it is bound to are alive. That is read from the database
//! once and from then on from memory, where it dies in the same step as the commit that ends any of them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, columns, params, sql};
use uuid::Uuid;

use crate::cx::{Actor, Cx};
use crate::ids::SERVER_SCOPE;
use crate::key_format::Kind;
use crate::key_terms::{OwnTerms, Terms};
use crate::policy::{Role, Scopes};
use crate::principal::Fingerprint;
use deletion::before;
use std::collections::HashSet;
use std::time::Duration;

use crate::usage::Used;

pub use crate::principal::{CredentialKind, Expiry, Presented, Principal};
use crate::principal::{Shown, earlier, fingerprint};
use crate::{Error, Result, key_format, key_terms, makers, tokens};

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

/// A key as its row has it.
struct Key {
    user: Option<Uuid>,
    role: Option<Role>,
    credential: Uuid,
    organization: Option<Uuid>,
    member: Option<Uuid>,
    scopes: Scopes,
    expires_at: Option<Expiry>,
    name: String,
    kind: Kind,
    is_active: bool,
    rate_limit_per_minute: Option<u32>,
    rate_limit_per_hour: Option<u32>,
    allowed_ips: Vec<String>,
    rotations: u32,
    made_by: Option<Uuid>,
    /// Until when the secret before the present one is good.
    previous_until: Option<Timestamp>,
}

columns! { Key {
    user: "members.user_id", role: "api_keys.role", credential: "api_keys.id", organization: "api_keys.organization_id",
    member: "api_keys.member_id", scopes: "api_keys.scopes", expires_at: "api_keys.expires_at", name: "api_keys.name", kind: "api_keys.kind",
    is_active: "api_keys.is_active", rate_limit_per_minute: "api_keys.rate_limit_per_minute",
    rate_limit_per_hour: "api_keys.rate_limit_per_hour", allowed_ips: "api_keys.allowed_ips", rotations: "api_keys.rotations",
    made_by: "api_keys.made_by", previous_until: "api_keys.previous_until",
} }

/// A person's key.
struct OwnKey(Key);

columns! { OwnKey(Key) {
    user: "user_api_keys.user_id", credential: "user_api_keys.id", scopes: "user_api_keys.scopes", expires_at: "user_api_keys.expires_at",
    name: "user_api_keys.name", is_active: "user_api_keys.is_active", rate_limit_per_minute: "user_api_keys.rate_limit_per_minute",
    rate_limit_per_hour: "user_api_keys.rate_limit_per_hour", allowed_ips: "user_api_keys.allowed_ips",
    rotations: "user_api_keys.rotations", previous_until: "user_api_keys.previous_until";
    role = None, organization = None, member = None, kind = Kind::User, made_by = None,
} }

struct Session(Principal);

columns! { Session(Principal) {
    user: "sessions.user_id", is_operator: "users.is_operator", credential: "sessions.id", organization: "sessions.organization_id",
    member: "sessions.member_id", expires_at: "sessions.expires_at";
    service_role = None, kind = CredentialKind::Session, rotations = 0, app = None, scopes = None, terms = None, own = None,
} }

/// A token of an app, which acts as a member and never with the powers of the people who run the server.
struct AppToken(Principal);

columns! { AppToken(Principal) {
    user: "members.user_id", credential: "oauth_tokens.id", app: "oauth_tokens.app_id", organization: "oauth_tokens.organization_id",
    member: "oauth_tokens.member_id", scopes: "oauth_tokens.access_scopes", expires_at: "oauth_tokens.expires_at";
    service_role = None, is_operator = false, kind = CredentialKind::OauthToken, rotations = 0, terms = None, own = None,
} }

/// What a session is read with.
const SESSION_BY_ID: Statement = sql!(
    "SELECT {columns} FROM sessions JOIN users ON users.id = sessions.user_id AND users.state = 'live'
     LEFT JOIN members ON members.organization_id = sessions.organization_id AND members.id = sessions.member_id
     LEFT JOIN organizations ON organizations.id = sessions.organization_id
     WHERE sessions.id = $1
       AND (sessions.organization_id IS NULL OR (members.state = 'live' AND organizations.state = 'live'))",
    Session
);

/// The statements that read a principal's credential again, by its id, and what it depends on: for [`read_again`].
pub(crate) fn questions(principal: &Principal) -> Vec<(Statement, Vec<Value>)> {
    std::iter::once(question(principal)).chain(makers::questions(principal)).collect()
}

fn question(principal: &Principal) -> (Statement, Vec<Value>) {
    let organization = principal.organization.unwrap_or_default();
    match principal.kind {
        CredentialKind::Session => (SESSION_BY_ID, vec![principal.credential.into()]),
        CredentialKind::ApiKey if principal.organization.is_none() => {
            let statement = sql!(
                "SELECT {columns} FROM user_api_keys JOIN users ON users.id = user_api_keys.user_id AND users.state = 'live'
                 WHERE user_api_keys.id = $1",
                OwnKey
            );
            (statement, vec![principal.credential.into()])
        }
        CredentialKind::ApiKey => {
            let statement = sql!(
                "SELECT {columns} FROM api_keys
                 LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
                      AND members.state = 'live'
                 JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
                      AND organizations.archived_at IS NULL
                 WHERE api_keys.organization_id = $1 AND api_keys.id = $2",
                Key
            );
            (statement, vec![organization.into(), principal.credential.into()])
        }
        CredentialKind::OauthToken => {
            let statement = sql!(
                "SELECT {columns}, oauth_apps.scopes, oauth_apps.made_by FROM oauth_tokens
                 JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
                      AND oauth_apps.state = 'live' AND oauth_apps.is_active
                 JOIN members ON members.organization_id = oauth_tokens.organization_id AND members.id = oauth_tokens.member_id
                      AND members.state = 'live'
                 JOIN organizations ON organizations.id = oauth_tokens.organization_id AND organizations.state = 'live'
                      AND organizations.archived_at IS NULL
                 WHERE oauth_tokens.organization_id = $1 AND oauth_tokens.id = $2",
                AppToken
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
    let row = answers.next().flatten().ok_or(Error::Unauthenticated)?;
    let now = match principal.kind {
        CredentialKind::Session => row.read::<Session>()?.0,
        CredentialKind::ApiKey => {
            let key = if principal.organization.is_none() { row.read::<OwnKey>()?.0 } else { row.read()? };
            let is_newest = key.rotations == principal.rotations;
            let is_the_one_before = key.rotations == principal.rotations.saturating_add(1);
            let is_good_still = is_the_one_before && key.previous_until.is_some_and(|end| end > cx.now);
            if !is_newest && !is_good_still {
                return Err(Error::Unauthenticated);
            }
            Principal { rotations: principal.rotations, ..key.principal()? }
        }
        CredentialKind::OauthToken => app_token(row.read()?).0,
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
    let found: Option<Session> = match key {
        SessionKey::Id(id) => tx.read_opt(SESSION_BY_ID, params![id]).await?,
        SessionKey::Cookie(hash) => {
            let statement = sql!(
                "SELECT {columns} FROM sessions JOIN users ON users.id = sessions.user_id AND users.state = 'live'
                 LEFT JOIN members ON members.organization_id = sessions.organization_id AND members.id = sessions.member_id
                 LEFT JOIN organizations ON organizations.id = sessions.organization_id
                 WHERE sessions.cookie_hash = $1
                   AND (sessions.organization_id IS NULL OR (members.state = 'live' AND organizations.state = 'live'))",
                Session
            );
            tx.read_opt(statement, params![&hash[..]]).await?
        }
    };
    found.map(|Session(principal)| principal).ok_or(Error::Unauthenticated)
}

async fn load_api_key(cx: &Cx, tx: &mut Tx, hash: Fingerprint, is_users: bool) -> Result<Principal> {
    let mut found: Option<(Key, i64)> = None;
    if is_users {
        let statement = sql!(
            "SELECT {columns}, CASE WHEN user_api_keys.hash = $1 THEN 0 ELSE 1 END
             FROM user_api_keys JOIN users ON users.id = user_api_keys.user_id AND users.state = 'live'
             WHERE user_api_keys.hash = $1 OR (user_api_keys.previous_hash = $1 AND user_api_keys.previous_until > $2)",
            OwnKey
        );
        let own: Option<(OwnKey, i64)> = tx.read_opt(statement, params![&hash[..], cx.now]).await?;
        found = own.map(|(OwnKey(key), is_former)| (key, is_former));
    }
    if found.is_none() {
        // Among them are users' keys from before they were the person's, each bound to the organization it was made in.
        let statement = sql!(
            "SELECT {columns},
                    CASE WHEN api_keys.hash = $1 THEN 0 ELSE 1 END
             FROM api_keys
             LEFT JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
                  AND members.state = 'live'
             JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
                  AND organizations.archived_at IS NULL
             WHERE api_keys.hash = $1 OR (api_keys.previous_hash = $1 AND api_keys.previous_until > $2)",
            Key
        );
        found = tx.read_opt(statement, params![&hash[..], cx.now]).await?;
    }
    let (mut key, is_former) = found.ok_or(Error::Unauthenticated)?;
    if is_former == 1 {
        // The secret before the newest has an end of its own.
        key.rotations = key.rotations.saturating_sub(1);
        key.expires_at = earlier(key.expires_at, key.previous_until.map(Expiry::from));
    }
    let made_by = key.made_by;
    makers::join(cx, tx, key.principal()?, made_by).await
}

impl Key {
    /// The principal that it stands for, as it comes with its newest secret.
    fn principal(self) -> Result<Principal> {
        let own = OwnTerms {
            rate_limit_per_minute: self.rate_limit_per_minute.and_then(NonZeroU32::new),
            rate_limit_per_hour: self.rate_limit_per_hour.and_then(NonZeroU32::new),
            allowed_ips: key_terms::networks_from(&self.allowed_ips)?,
            makers: Vec::new(),
        };
        Ok(Principal {
            user: match self.role {
                Some(_) => self.credential,
                // Its member is gone, or going.
                None => self.user.ok_or(Error::Unauthenticated)?,
            },
            service_role: self.role,
            // A key never has the powers of the people who run the server.
            is_operator: false,
            credential: self.credential,
            kind: CredentialKind::ApiKey,
            rotations: self.rotations,
            app: None,
            organization: self.organization,
            member: self.member,
            scopes: Some(self.scopes),
            expires_at: self.expires_at,
            terms: Some(Terms { name: self.name.into(), kind: self.kind, is_active: self.is_active }),
            own: own.kept(),
        })
    }
}

async fn load_oauth_token(cx: &Cx, tx: &mut Tx, hash: Fingerprint) -> Result<Principal> {
    let statement = sql!(
        "SELECT {columns}, oauth_apps.scopes, oauth_apps.made_by FROM oauth_tokens
         JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
              AND oauth_apps.state = 'live' AND oauth_apps.is_active
         JOIN members ON members.organization_id = oauth_tokens.organization_id AND members.id = oauth_tokens.member_id
              AND members.state = 'live'
         JOIN organizations ON organizations.id = oauth_tokens.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE oauth_tokens.access_hash = $1",
        AppToken
    );
    let (principal, made_by) = app_token(tx.read_opt(statement, params![&hash[..]]).await?.ok_or(Error::Unauthenticated)?);
    makers::join(cx, tx, principal, made_by).await
}

/// The token, and what made its app. An app whose scopes were narrowed narrows the tokens that it has.
fn app_token((AppToken(token), scopes, made_by): (AppToken, Scopes, Option<Uuid>)) -> (Principal, Option<Uuid>) {
    (Principal { scopes: token.scopes.map(|own| own.common(scopes)), ..token }, made_by)
}

/// Those of these sessions that began within so many minutes. What a session is refreshed with does not make it younger.
pub(crate) async fn begun_within(tx: &mut Tx, sessions: &[Uuid], now: Timestamp, minutes: u32) -> Result<HashSet<Uuid>> {
    let since = before(now, Duration::from_secs(60 * u64::from(minutes)));
    let statement = sql!("SELECT id FROM sessions WHERE id = ANY($1) AND created_at >= $2");
    Ok(tx.read_all(statement, params![sessions, since]).await?.into_iter().collect())
}
