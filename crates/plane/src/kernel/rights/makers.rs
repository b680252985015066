//! What an API key or an OAuth token makes ends with it: keys and OAuth apps remember which one made them. What a person made remembers none.
//!
//! A credential is good while all of its line are: what made it, what made that, and the app that a token was given to. That is found along
//! with the credential, in [`crate::credentials`]; here is how. What has lost its maker for good opens nothing, and goes in the next round of maintenance.

use std::sync::Arc;

use jiff::Timestamp;
use sql::{Row, Statement, Tx, Value, columns, params, sql};
use uuid::Uuid;

use crate::policy::Scopes;
use crate::principal::{CredentialKind, Principal, earlier};
use crate::{Cx, Error, Result};

/// How long a line can be, the apps of tokens counted.
const MOST: usize = 8;

/// Reads a key of an organization or a person, a token or an app, if it is good: what made it, when it ends by itself and what it allows. An
/// app made its tokens.
const MAKER: Statement = sql!(
    "SELECT {columns} FROM api_keys WHERE organization_id = $1 AND id = $2 AND is_active
     UNION ALL
     SELECT app_id, expires_at, access_scopes FROM oauth_tokens WHERE organization_id = $1 AND id = $2
     UNION ALL
     SELECT made_by, NULL, scopes FROM oauth_apps WHERE organization_id = $1 AND id = $2 AND state = 'live' AND is_active
     UNION ALL
     SELECT NULL, expires_at, scopes FROM user_api_keys WHERE id = $2 AND is_active",
    Maker
);

/// One of a line.
struct Maker {
    made_by: Option<Uuid>,
    expires_at: Option<Timestamp>,
    scopes: Scopes,
}

columns! { Maker { made_by, expires_at, scopes } }

/// What is remembered as the maker of what an actor makes now: their key or token, none for a person.
///
/// # Errors
/// [`Error::Forbidden`] at the end of too long a line.
pub(crate) fn maker(cx: &Cx) -> Result<Option<Uuid>> {
    let principal = cx.principal()?;
    match principal.kind {
        CredentialKind::Session => Ok(None),
        // A token comes with its app.
        CredentialKind::ApiKey | CredentialKind::OauthToken if principal.makers().len() + 2 > MOST => Err(Error::Forbidden(
            "Access denied. This credential was made by one that was made by another, and so on: have a person make what you need.".into(),
        )),
        CredentialKind::ApiKey | CredentialKind::OauthToken => Ok(Some(principal.credential)),
    }
}

/// Fails unless all of a line are good, of which the first is given.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn are_good(cx: &Cx, tx: &mut Tx, organization: Uuid, made_by: Option<Uuid>) -> Result<()> {
    line(cx, tx, organization, made_by).await.map(drop)
}

/// What a key, a token or an app allows that is good, with its line; none when it is not.
pub(crate) async fn allowed(cx: &Cx, tx: &mut Tx, organization: Uuid, credential: Uuid) -> Result<Option<Scopes>> {
    match line(cx, tx, organization, Some(credential)).await {
        Ok(line) => Ok(line.into_iter().map(|(_, maker)| maker.scopes).reduce(Scopes::common)),
        Err(Error::Unauthenticated) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn line(cx: &Cx, tx: &mut Tx, organization: Uuid, made_by: Option<Uuid>) -> Result<Vec<(Uuid, Maker)>> {
    let mut line = Vec::new();
    let mut next = made_by;
    while let Some(id) = next {
        let maker = tx.read_opt::<Maker>(MAKER, params![organization, id]).await?.ok_or(Error::Unauthenticated)?;
        if line.len() >= MOST || maker.expires_at.is_some_and(|end| end <= cx.now) {
            return Err(Error::Unauthenticated);
        }
        next = maker.made_by;
        line.push((id, maker));
    }
    Ok(line)
}

/// A principal with its line: it depends on all of them, ends with the first that does, and is allowed what all are.
///
/// # Errors
/// [`Error::Unauthenticated`] when one of them is not good.
pub(crate) async fn join(cx: &Cx, tx: &mut Tx, mut principal: Principal, made_by: Option<Uuid>) -> Result<Principal> {
    let (Some(organization), Some(_)) = (principal.organization, made_by) else { return Ok(principal) };
    let line = line(cx, tx, organization, made_by).await?;
    let mut own = principal.own.as_deref().cloned().unwrap_or_default();
    for (id, maker) in line {
        own.makers.push(id);
        narrow(&mut principal, &maker);
    }
    principal.own = Some(Arc::new(own));
    Ok(principal)
}

fn narrow(principal: &mut Principal, maker: &Maker) {
    principal.scopes = principal.scopes.map(|scopes| scopes.common(maker.scopes));
    principal.expires_at = earlier(principal.expires_at, maker.expires_at.map(Into::into));
}

/// The statements that read a principal's line again, for [`read_again`].
pub(crate) fn questions(principal: &Principal) -> impl Iterator<Item = (Statement, Vec<Value>)> {
    let organization = principal.organization.unwrap_or_default();
    principal.makers().iter().map(move |maker| (MAKER, vec![organization.into(), (*maker).into()]))
}

/// Like [`join`], from the answers to the [`questions`].
///
/// # Errors
/// Those of [`join`].
pub(crate) fn read_again(cx: &Cx, before: &Principal, mut now: Principal, answers: impl Iterator<Item = Option<Row>>) -> Result<Principal> {
    if before.makers().is_empty() {
        return Ok(now);
    }
    for answer in answers {
        let maker = answer.ok_or(Error::Unauthenticated)?.read::<Maker>()?;
        if maker.expires_at.is_some_and(|end| end <= cx.now) {
            return Err(Error::Unauthenticated);
        }
        narrow(&mut now, &maker);
    }
    let mut own = now.own.as_deref().cloned().unwrap_or_default();
    own.makers = before.makers().to_vec();
    now.own = Some(Arc::new(own));
    Ok(now)
}
