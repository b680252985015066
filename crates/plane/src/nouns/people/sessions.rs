//! Sessions: what a sign-in makes, behind a cookie, access tokens and a refresh token, until sign-out or its end.

use crate::credentials::begun_within;
use std::time::Duration;

use deletion::after;
use jiff::Timestamp;
use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::access::{self, load_membership};
use crate::attempts::{Attempt, Counted};
use crate::audit::{self, Note};
use crate::authority::revoke;
use crate::cx::Actor;
use crate::ids::OrganizationRef;
use crate::ids::SERVER_SCOPE;
use crate::normal_forms::email_key;
use crate::passwords::Fit;
use crate::principal::Fingerprint;
use crate::principal::{CredentialKind, fingerprint};
use crate::tokens::{Claims, SIGN_IN, alphanumeric, secret};
use crate::{Cx, Error, Result};

/// Letters and digits of what the refresh tokens of a session share: 131 bits.
const FAMILY_LENGTH: usize = 22;
/// The same of what is each one's own: 256 bits.
const SECRET_LENGTH: usize = 43;

/// How long an answer with a new refresh token is held back: who comes with the used one meanwhile cannot know that it is, and is taken for
/// another window of the same browser and not for a thief.
const TOGETHER: Duration = Duration::from_millis(100);

/// For how many minutes after a sign-in its session serves for what a session that was left open somewhere must not do.
const FRESH_MINUTES: u32 = 10;

/// What a sign-in hands out. Only hashes of the secrets are kept.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The user.
    pub user: Uuid,
    /// A JWT for `Authorization: Bearer`.
    pub access_token: String,
    /// How long it is good.
    pub expires_in: Duration,
    /// Good for one new pair of tokens.
    pub refresh_token: String,
    /// The value of the cookie `sessionid`.
    pub cookie: String,
    /// How long session, cookie and refresh token are good.
    pub session_life: Duration,
}

/// Signs a user in. With an organization the session is bound to it: it is good nowhere else and ends with the membership.
///
/// # Errors
/// [`Error::TooManyAttempts`]; [`Error::Unauthenticated`] for an unknown address and for a wrong password alike, in the same time;
/// [`Error::Outsider`] or [`Error::NotFound`] for an organization the user is not a member of.
pub async fn sign_in(cx: &Cx, email: &str, password: String, organization: Option<OrganizationRef>) -> Result<SignedIn> {
    let key = email_key(email);
    let counted = Counted::attempt(cx.attempts.as_ref(), Attempt::SignIn(&key))?;
    let spelling = email.trim().to_lowercase();
    let found = cx
        .read(async move |_, tx| {
            // An account from before normal forms whose address an older one has in another spelling has its spelling as its key.
            let statement = sql!(
                "SELECT id, password_hash FROM users WHERE email_key IN ($1, $2) AND state = 'live'
                 ORDER BY CASE WHEN email_key = $2 THEN 0 ELSE 1 END LIMIT 1"
            );
            Ok(tx.read_opt::<(Uuid, String)>(statement, params![&key, &spelling]).await?)
        })
        .await?;
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
    let fit = cx.plane.hasher.verify(counted, password.clone(), hash.clone()).await?;
    let Some(user) = user.filter(|_| fit != Fit::None) else {
        audit::refused_sign_in(cx, user);
        return Err(Error::Unauthenticated);
    };
    let renewed = match fit {
        Fit::Typed => Some(cx.plane.hasher.hash(password).await?),
        Fit::Normal | Fit::None => None,
    };
    let organization = match organization {
        Some(reference) => Some(access::find(cx, &reference).await?),
        None => None,
    };
    let family = alphanumeric(FAMILY_LENGTH)?;
    let (cookie, refresh_token) = (secret()?, next_token(&family)?);
    let (cookie_hash, refresh_hash, family_hash) = (fingerprint(&cookie), fingerprint(&refresh_token), fingerprint(&family));
    let session = cx
        .write_as_server(async move |cx, tx| {
            // A password that was changed meanwhile opens nothing any more. Takes the user's lock: changing it ends this session too.
            let unchanged = sql!(
                "UPDATE users SET password_hash = coalesce($3, $2) WHERE id = $1 AND password_hash = $2 AND state = 'live'
                 RETURNING is_operator"
            );
            let found = tx.read_opt(unchanged, params![user, hash.as_deref(), renewed.as_deref()]).await?;
            let is_operator = found.ok_or(Error::Unauthenticated)?;
            let outsider = || Error::Outsider("User is not a member of this organization.".into());
            let member = match organization {
                Some(organization) => Some(load_membership(tx, user, organization).await?.ok_or_else(outsider)?.id),
                None => None,
            };
            let id = cx.new_id()?;
            let statement = sql!(
                "INSERT INTO sessions (id, user_id, organization_id, member_id, cookie_hash, refresh_hash, refresh_family_hash, created_at,
                                       expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            );
            let expires_at = after(cx.now, cx.plane.config.session_life);
            let values = params![id, user, organization, member, &cookie_hash[..], &refresh_hash[..], &family_hash[..], cx.now, expires_at];
            tx.execute(statement, values).await.map_err(|error| match error {
                sql::Error::ForeignKey(_) => outsider(),
                other => other.into(),
            })?;
            audit::signed_in(cx, tx, user, is_operator, id).await?;
            Ok(id)
        })
        .await?;
    hand_out(cx, user, session, organization, refresh_token, cookie)
}

/// Turns a refresh token into a new pair; the old one is used up. One that comes again after that was stolen, or stolen from: its session
/// ends at once, also for the holder of the newest one (RFC 9700, section 4.14.2). Requests that come before the first was answered are no such
/// thing: one of them is given the new pair, and the session goes on. A client whose answer was lost asks again with the same
/// `Idempotency-Key`.
///
/// # Errors
/// [`Error::Unauthenticated`] when it is unknown, used or past its end, or the session is no longer good.
pub async fn refresh(cx: &Cx, refresh_token: &str) -> Result<SignedIn> {
    let family = match family_of(refresh_token) {
        Some(family) => family.to_owned(),
        // A token of before there were families.
        None => alphanumeric(FAMILY_LENGTH)?,
    };
    let (cookie, next) = (secret()?, next_token(&family)?);

    let (used, family_hash) = (fingerprint(refresh_token), fingerprint(&family));
    let (next_hash, cookie_hash) = (fingerprint(&next), fingerprint(&cookie));
    let renewed = cx
        .write_as_server(async move |cx, tx| {
            let statement = sql!(
                "UPDATE sessions SET refresh_hash = $2, cookie_hash = $3, refresh_family_hash = $5
                 WHERE refresh_hash = $1 AND expires_at > $4
                   AND EXISTS (SELECT 1 FROM users WHERE users.id = user_id AND users.state = 'live')
                 RETURNING user_id, id, organization_id"
            );
            let found = tx.read_opt(statement, params![&used[..], &next_hash[..], &cookie_hash[..], cx.now, &family_hash[..]]).await?;
            let Some((user, session, organization)): Option<(Uuid, Uuid, Option<Uuid>)> = found else {
                end_reused(cx, tx, &used, &family_hash).await?;
                return Ok(None);
            };
            if let Some(organization) = organization {
                load_membership(tx, user, organization).await?.ok_or(Error::Unauthenticated)?;
            }
            // The old cookie must not live on in memory.
            revoke(cx, tx, session).await?;
            // Before the commit: a request with the same token that waits for it must not be taken for a thief's.
            cx.plane.refreshed.insert(session, Timestamp::MAX);
            Ok(Some((user, session, organization)))
        })
        .await?;
    let (user, session, organization) = renewed.ok_or(Error::Unauthenticated)?;
    tokio::time::sleep(TOGETHER).await;
    cx.plane.refreshed.insert(session, cx.plane.clock.now());
    hand_out(cx, user, session, organization, next, cookie)
}

/// Ends the session of a refresh token that was used before, unless the request was under way when that happened.
async fn end_reused(cx: &Cx, tx: &mut Tx, presented: &Fingerprint, family: &Fingerprint) -> Result<()> {
    let select = sql!("SELECT id, user_id FROM sessions WHERE refresh_family_hash = $1 AND refresh_hash <> $2");
    let found: Option<(Uuid, Uuid)> = tx.read_opt(select, params![&family[..], &presented[..]]).await?;
    let Some((session, user)) = found else { return Ok(()) };
    if cx.plane.refreshed.get(&session).is_some_and(|answered| cx.now <= answered) {
        return Ok(());
    }
    if tx.execute(sql!("DELETE FROM sessions WHERE id = $1"), params![session]).await? == 0 {
        return Ok(());
    }
    tracing::warn!(request_id = %cx.request_id, %session, "a used refresh token was presented: the session has ended");
    revoke(cx, tx, session).await?;
    // It is not known whether the person presented it or a thief.
    let cx = cx.clone().with_actor(Actor::System);
    let reason = Some("A used refresh token was presented.".to_owned());
    audit::record(&cx, tx, SERVER_SCOPE, &Note { reason, ..audit::about_user("session.end", user) }).await
}

/// The secret part that a refresh token shares with those before and after it.
fn family_of(token: &str) -> Option<&str> {
    let is_one = token.len() == FAMILY_LENGTH + SECRET_LENGTH && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| token.split_at(FAMILY_LENGTH).0)
}

fn next_token(family: &str) -> Result<String> {
    Ok(format!("{family}{}", alphanumeric(SECRET_LENGTH)?))
}

/// Fails when a session is older than ten minutes: one that was left open somewhere does not suffice for `what`.
///
/// # Errors
/// [`Error::Forbidden`].
pub(crate) async fn is_fresh(cx: &Cx, tx: &mut Tx, session: Uuid, what: &str) -> Result<()> {
    match begun_within(tx, &[session], cx.now, FRESH_MINUTES).await?.is_empty() {
        true => Err(Error::Forbidden(format!("Sign in again: {what} for {FRESH_MINUTES} minutes after signing in."))),
        false => Ok(()),
    }
}

/// Ends the session the caller came with: cookie, tokens and refresh token are no longer good.
///
/// # Errors
/// [`Error::Unauthenticated`] when the caller is not signed in; [`Error::Forbidden`] for a key or an app's token, which is no session.
pub async fn sign_out(cx: &Cx) -> Result<()> {
    let principal = cx.principal()?;
    if principal.kind != CredentialKind::Session {
        return Err(Error::Forbidden("An API key or an app's token has no session to end: revoke it instead.".into()));
    }
    let session = principal.credential;
    cx.write_own_ending(Some(principal.credential), async move |cx, tx| {
        tx.execute(sql!("DELETE FROM sessions WHERE id = $1"), params![session]).await?;
        revoke(cx, tx, session).await
    })
    .await
}

/// Ends every session of a user but one, in memory too.
pub(crate) async fn end_others(cx: &Cx, tx: &mut Tx, user: Uuid, kept: Uuid) -> Result<()> {
    let statement = sql!("DELETE FROM sessions WHERE user_id = $1 AND id <> $2 RETURNING id");
    for session in tx.read_all(statement, params![user, kept]).await? {
        revoke(cx, tx, session).await?;
    }
    Ok(())
}

fn hand_out(cx: &Cx, user: Uuid, session: Uuid, organization: Option<Uuid>, refresh_token: String, cookie: String) -> Result<SignedIn> {
    let config = &cx.plane.config;
    let claims = Claims {
        iss: config.public_url.clone(),
        aud: Some(config.public_url.clone()),
        jti: Some(cx.new_id()?.to_string()),
        client_id: Some(SIGN_IN.into()),
        sub: user,
        sid: session,
        org: organization,
        iat: cx.now.as_second(),
        exp: after(cx.now, config.access_token_life).as_second(),
    };
    Ok(SignedIn {
        user,
        access_token: cx.plane.keys.sign(&claims)?,
        expires_in: config.access_token_life,
        refresh_token,
        cookie,
        session_life: config.session_life,
    })
}
