//! What a token is good for, told to the app that was given it (RFC 7662).

use super::{App, Client, REFRESH_PREFIX, common, family_of, find, identify};
use crate::access::load_membership;
use crate::credentials::authenticate;
use crate::cx::Actor;
use crate::principal::{Presented, fingerprint};
use crate::tokens::ACCESS_PREFIX;
use crate::{Cx, Error, Result};
use jiff::Timestamp;
use uuid::Uuid;

/// What an app is told about a token of its organization.
#[derive(Debug, Clone)]
pub struct Introspection {
    /// The user it acts as.
    pub user: Uuid,
    /// The OAuth token, or the session behind a JWT.
    pub id: Uuid,
    /// The app it was given to.
    pub client_id: Option<String>,
    /// What it may be used for; none is everything that the user may do.
    pub scopes: Option<Vec<String>>,
    /// Whether it is an access token; else it is a refresh token.
    pub is_access: bool,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What there is to say about a token to an app of its organization (RFC 7662): nothing, unless it is good there now. Access tokens of
/// sessions are known here as well.
///
/// # Errors
/// [`Error::Oauth`] for a client that cannot prove who it is.
pub async fn introspect(cx: &Cx, client: &Client, token: &str) -> Result<Option<Introspection>> {
    let app = identify(cx, client).await?;
    if !token.starts_with(ACCESS_PREFIX) && !token.starts_with(REFRESH_PREFIX) {
        return introspect_session(cx, &app, token).await;
    }
    let Some(found) = find(cx, token).await?.filter(|found| found.app.organization == app.organization) else { return Ok(None) };
    let is_access = family_of(token).is_none();
    let (scopes, expires_at) = match is_access {
        true => (&found.access_scopes, found.expires_at),
        false => (&found.granted, found.refresh_expires_at),
    };
    let is_newest = is_access || found.refresh_hash == fingerprint(token);
    Ok((is_newest && expires_at > cx.now).then(|| Introspection {
        user: found.app.user,
        id: found.id,
        client_id: Some(found.client_id),
        scopes: Some(common(scopes, &found.app.scopes)),
        is_access,
        expires_at: Some(expires_at),
    }))
}

pub(crate) async fn introspect_session(cx: &Cx, app: &App, token: &str) -> Result<Option<Introspection>> {
    let anonymous = cx.clone().with_actor(Actor::Anonymous);
    let principal = match authenticate(anonymous, Presented::Bearer(token)).await {
        Ok(signed_in) => signed_in.principal()?.clone(),
        Err(Error::Unauthenticated) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_good_here = match principal.organization {
        Some(organization) => organization == app.organization,
        None => {
            let (user, organization) = (principal.user, app.organization);
            cx.read(async move |_, tx| load_membership(tx, user, organization).await).await?.is_some()
        }
    };
    let claims = cx.plane.keys.verify(token, &cx.plane.config.public_url, cx.now)?;
    Ok(is_good_here.then(|| Introspection {
        user: principal.user,
        id: claims.jti.and_then(|id| id.parse().ok()).unwrap_or(principal.credential),
        client_id: claims.client_id,
        scopes: None,
        is_access: true,
        expires_at: principal.expires_at.map(Timestamp::from),
    }))
}
