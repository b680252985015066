//! From what a caller presents to who they are: the one place where a credential is found good or not.
//!
//! A credential is good while it, its user, and the membership and organization it is bound to are alive. That is read from the database
//! once and from then on from memory, where it dies in the same step as the commit that ends any of them.

use std::num::NonZeroI64;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, params, sql};
use uuid::Uuid;

use crate::cx::{Actor, Cx};
use crate::liveness::{Fingerprint, Subjects};
use crate::usage::Used;
use crate::{Error, Result, api_keys, oauth_tokens, policy};

/// What came with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`: a JWT of this server, or an OAuth app's token.
    Bearer(&'a str),
    /// `X-API-Key: …`.
    ApiKey(&'a str),
    /// The cookie `sessionid`.
    Cookie(&'a str),
}

/// Who a good credential stands for.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The user.
    pub user: Uuid,
    /// Whether the user is one of the people who run this server.
    pub is_operator: bool,
    /// The session, API key or OAuth token; the OAuth app itself where it asks for a token.
    pub credential: Uuid,
    /// Which of them.
    pub kind: CredentialKind,
    /// The OAuth app that a token was given to.
    pub app: Option<Uuid>,
    /// The only organization the credential is good for, if it is bound to one.
    pub organization: Option<Uuid>,
    /// The membership it is bound to along with the organization.
    pub member: Option<Uuid>,
    /// The scopes it is limited to, if any.
    pub scopes: Option<policy::Scopes>,
    /// When it ends by itself.
    pub expires_at: Option<Expiry>,
    /// What an API key is bound to besides.
    pub terms: Option<api_keys::Terms>,
}

/// A time in whole microseconds since 1970: a third of the memory that a [`Timestamp`] takes where there may be none, for each credential that is
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(NonZeroI64);

impl From<Timestamp> for Expiry {
    fn from(time: Timestamp) -> Expiry {
        // Zero stands for none; what ends as 1970 begins is over either way.
        Expiry(NonZeroI64::new(time.as_microsecond()).unwrap_or(NonZeroI64::MIN))
    }
}

impl From<Expiry> for Timestamp {
    fn from(expiry: Expiry) -> Timestamp {
        Timestamp::from_microsecond(expiry.0.get()).unwrap_or(Timestamp::MIN)
    }
}

/// The kinds of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    /// A session, through its cookie or a token.
    Session,
    /// An API key.
    ApiKey,
    /// An OAuth app's token.
    OauthToken,
}

impl Principal {
    /// Everything whose end is the end of this credential.
    pub(crate) fn subjects(&self) -> Subjects {
        [Some(self.credential), Some(self.user), self.organization, self.member, self.app]
    }

    /// Whether it is an API key that anybody may have.
    pub(crate) fn is_publishable(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.kind == api_keys::Kind::Publishable)
    }

    /// Fails when the credential is limited to scopes that do not cover this one.
    pub(crate) fn needs(&self, scope: &str) -> Result<()> {
        match self.scopes {
            Some(scopes) if !scopes.covers(scope) => Err(Error::LacksScope(scope.to_owned())),
            _ => Ok(()),
        }
    }
}

/// SHA-256 of a secret: what the database and the memory hold in its place.
pub(crate) fn fingerprint(secret: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    fingerprint
}

/// What the memory knows a presented credential by: the same secret that comes another way is another one, so that what is good as a key is
/// not found good as a bearer token or a cookie because it came as a key before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shown(Fingerprint);

impl Shown {
    fn of(presented: Presented<'_>) -> Shown {
        let (way, secret) = match presented {
            Presented::Bearer(secret) => (b'b', secret),
            Presented::ApiKey(secret) => (b'k', secret),
            Presented::Cookie(secret) => (b'c', secret),
        };
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[way]);
        hash.update(secret.as_bytes());
        let mut shown = Fingerprint::default();
        shown.copy_from_slice(hash.finish().as_ref());
        Shown(shown)
    }
}

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
    let principal = match cx.plane.liveness.credential(&shown) {
        Some(principal) => principal,
        None => {
            let mark = cx.plane.liveness.read_mark();
            let principal = look_up(&cx, presented).await?;
            cx.plane.liveness.keep_credential(&mark, shown, &principal);
            principal
        }
    };
    if principal.expires_at.is_some_and(|end| end <= cx.now.into()) {
        return Err(Error::Unauthenticated);
    }
    if let (Some(terms), Some(organization)) = (&principal.terms, principal.organization) {
        terms.admit(cx.client)?;
        cx.plane.usage.note(Used { organization, key: principal.credential }, cx.now);
    }
    Ok(cx.with_actor(Actor::User(Arc::new(principal))))
}

async fn look_up(cx: &Cx, presented: Presented<'_>) -> Result<Principal> {
    let count = || cx.plane.credential_lookups.fetch_add(1, Ordering::Relaxed);
    match presented {
        Presented::Bearer(token) if token.starts_with(oauth_tokens::ACCESS_PREFIX) => {
            // One that was cut or made up is refused without a look-up.
            if !oauth_tokens::is_access_token(token) {
                return Err(Error::Unauthenticated);
            }
            count();
            cx.read(fingerprint(token), |_, tx, hash| Box::pin(load_oauth_token(tx, *hash))).await
        }
        Presented::Bearer(token) => {
            let claims = cx.plane.keys.verify(token, &cx.plane.config.public_url, cx.now)?;
            count();
            let mut principal = cx.read(claims.sid, |_, tx, session| Box::pin(load_session(tx, SessionKey::Id(*session)))).await?;
            principal.expires_at = principal.expires_at.min(Some(claims.expires_at()?.into()));
            Ok(principal)
        }
        Presented::Cookie(cookie) => {
            count();
            cx.read(fingerprint(cookie), |_, tx, hash| Box::pin(load_session(tx, SessionKey::Cookie(*hash)))).await
        }
        Presented::ApiKey(key) => {
            count();
            cx.read(fingerprint(key), |_, tx, hash| Box::pin(load_api_key(tx, *hash))).await
        }
    }
}

/// What a session is read with: its columns, for [`session_from`].
const SESSION_BY_ID: Statement = sql!(
    "SELECT sessions.user_id, users.is_operator, sessions.id, sessions.organization_id, sessions.member_id, sessions.expires_at
     FROM sessions JOIN users ON users.id = sessions.user_id AND users.state = 'live'
     LEFT JOIN members ON members.organization_id = sessions.organization_id AND members.id = sessions.member_id
     LEFT JOIN organizations ON organizations.id = sessions.organization_id
     WHERE sessions.id = $1
       AND (sessions.organization_id IS NULL OR (members.state = 'live' AND organizations.state = 'live'))"
);

/// The statement that reads a principal's credential again, by its id: for [`read_again`].
pub(crate) fn question(principal: &Principal) -> (Statement, Vec<Value>) {
    let organization = principal.organization.unwrap_or_default();
    match principal.kind {
        CredentialKind::Session => (SESSION_BY_ID, vec![principal.credential.into()]),
        CredentialKind::ApiKey => {
            let statement = sql!(
                "SELECT members.user_id, api_keys.id, api_keys.organization_id, api_keys.member_id, api_keys.scopes, api_keys.expires_at,
                        api_keys.name, api_keys.kind, api_keys.is_active, api_keys.rate_limit_per_minute, api_keys.rate_limit_per_hour,
                        api_keys.allowed_ips
                 FROM api_keys
                 JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id
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
                        oauth_tokens.access_scopes, oauth_apps.scopes, oauth_tokens.expires_at
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

/// A principal as it is now, from the answer to its [`question`]. What the credential ended by before it still does: an access token is good
/// for less long than its session.
///
/// # Errors
/// Those of [`authenticate`].
pub(crate) fn read_again(cx: &Cx, principal: &Principal, row: Option<Row>) -> Result<Principal> {
    let row = row.ok_or(Error::Unauthenticated)?;
    let now = match principal.kind {
        CredentialKind::Session => session_from(row)?,
        CredentialKind::ApiKey => api_key_from(row)?,
        CredentialKind::OauthToken => oauth_token_from(row)?,
    };
    if let Some(terms) = &now.terms {
        terms.admit(cx.client)?;
    }
    Ok(Principal { expires_at: principal.expires_at, ..now })
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
        is_operator: row.next()?,
        credential: row.next()?,
        kind: CredentialKind::Session,
        app: None,
        organization: row.next()?,
        member: row.next()?,
        scopes: None,
        expires_at: Some(row.next::<Timestamp>()?.into()),
        terms: None,
    })
}

async fn load_api_key(tx: &mut Tx, hash: Fingerprint) -> Result<Principal> {
    let statement = sql!(
        "SELECT members.user_id, api_keys.id, api_keys.organization_id, api_keys.member_id, api_keys.scopes, api_keys.expires_at,
                api_keys.name, api_keys.kind, api_keys.is_active, api_keys.rate_limit_per_minute, api_keys.rate_limit_per_hour,
                api_keys.allowed_ips
         FROM api_keys
         JOIN members ON members.organization_id = api_keys.organization_id AND members.id = api_keys.member_id AND members.state = 'live'
         JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE api_keys.hash = $1"
    );
    api_key_from(tx.query_opt(statement, params![&hash[..]]).await?.ok_or(Error::Unauthenticated)?)
}

fn api_key_from(mut row: Row) -> Result<Principal> {
    Ok(Principal {
        user: row.next()?,
        // A key acts as a member and never with the powers of the people who run the server.
        is_operator: false,
        credential: row.next()?,
        kind: CredentialKind::ApiKey,
        app: None,
        organization: row.next()?,
        member: row.next()?,
        scopes: Some(scopes(&mut row)?),
        expires_at: row.next::<Option<Timestamp>>()?.map(Expiry::from),
        terms: Some(api_keys::terms_from(&mut row)?),
    })
}

fn scopes(row: &mut Row) -> Result<policy::Scopes> {
    Ok(policy::Scopes::of(&api_keys::scopes_from(row.next()?)?))
}

async fn load_oauth_token(tx: &mut Tx, hash: Fingerprint) -> Result<Principal> {
    let statement = sql!(
        "SELECT members.user_id, oauth_tokens.id, oauth_tokens.app_id, oauth_tokens.organization_id, oauth_tokens.member_id,
                oauth_tokens.access_scopes, oauth_apps.scopes, oauth_tokens.expires_at
         FROM oauth_tokens
         JOIN oauth_apps ON oauth_apps.organization_id = oauth_tokens.organization_id AND oauth_apps.id = oauth_tokens.app_id
              AND oauth_apps.state = 'live' AND oauth_apps.is_active
         JOIN members ON members.organization_id = oauth_tokens.organization_id AND members.id = oauth_tokens.member_id
              AND members.state = 'live'
         JOIN organizations ON organizations.id = oauth_tokens.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE oauth_tokens.access_hash = $1"
    );
    oauth_token_from(tx.query_opt(statement, params![&hash[..]]).await?.ok_or(Error::Unauthenticated)?)
}

fn oauth_token_from(mut row: Row) -> Result<Principal> {
    Ok(Principal {
        user: row.next()?,
        // An app acts as a member and never with the powers of the people who run the server.
        is_operator: false,
        credential: row.next()?,
        kind: CredentialKind::OauthToken,
        app: Some(row.next()?),
        organization: row.next()?,
        member: row.next()?,
        // An app whose scopes were narrowed narrows the tokens that it has.
        scopes: Some(scopes(&mut row)?.common(scopes(&mut row)?)),
        expires_at: Some(row.next::<Timestamp>()?.into()),
        terms: None,
    })
}
