//! What was asked of the sender of a request: kept with an answer that is given again, and asked again before it is.

use serde_json::{Value as Json, json};
use sql::{params, sql};
use uuid::Uuid;

use crate::cx::Actor;
use crate::cx::Demand;
use crate::ids::OrganizationRef;
use crate::policy::{self, Action, SCOPES};
use crate::principal::Fingerprint;
use crate::{Cx, Error, OauthRefusal, Result, access, makers};

impl Demand {
    /// Fails unless the actor still has it, with the error that the request would get if it was sent for the first time now.
    async fn check(&self, cx: &Cx) -> Result<()> {
        match *self {
            Demand::Scope(scope) => cx.principal()?.needs(scope),
            Demand::GoodIn(organization) => match cx.principal()?.organization {
                Some(own) if own != organization => Err(Error::Outsider("User is not a member of this organization.".into())),
                _ => Ok(()),
            },
            Demand::Action { organization, action, managed_only } => {
                let tenant = access::enter(cx, &OrganizationRef::Id(organization), action).await?;
                match tenant.only_managed_by() {
                    Some(_) if !managed_only => Err(Error::Forbidden(policy::refusal(action).into())),
                    _ => Ok(()),
                }
            }
            Demand::Client { app, secret } => still_has(cx, app, secret).await,
        }
    }

    fn write(&self) -> Json {
        match self {
            Demand::Scope(scope) => json!({"scope": scope}),
            Demand::GoodIn(organization) => json!({"good_in": organization}),
            Demand::Action { organization, action, managed_only } => {
                json!({"organization": organization, "action": format!("{action:?}"), "managed_only": managed_only})
            }
            Demand::Client { app, secret } => json!({"app": app, "secret": secret}),
        }
    }

    fn read(written: &Json) -> Option<Demand> {
        let id = |name: &str| written[name].as_str().and_then(|text| Uuid::parse_str(text).ok());
        if let Some(scope) = written["scope"].as_str() {
            return SCOPES.into_iter().find(|known| *known == scope).map(Demand::Scope);
        }
        if let Some(organization) = id("good_in") {
            return Some(Demand::GoodIn(organization));
        }
        if let Some(app) = id("app") {
            let bytes: Vec<u8> = serde_json::from_value(written["secret"].clone()).ok()?;
            return Some(Demand::Client { app, secret: bytes.try_into().ok()? });
        }
        let action = Action::ALL.iter().find(|action| written["action"] == format!("{action:?}"))?;
        Some(Demand::Action { organization: id("organization")?, action: *action, managed_only: written["managed_only"].as_bool()? })
    }
}

/// What will be asked of those who want the answer to this request again. An answer that tells of an organization is for those only who
/// still have all that was asked. One that does not, to a deletion, is also for a sender who lost it by the request itself: a member who
/// left, or deleted the organization, may hear that it is done.
pub(crate) async fn to_ask(cx: &Cx, tells: bool) -> Result<Vec<Demand>> {
    let noted = cx.noted_demands();
    if !matches!(cx.actor, Actor::User(_)) {
        // An OAuth client does not sign in with each request; what the app then did was asked of its member.
        return Ok(noted.into_iter().filter(|demand| matches!(demand, Demand::Client { .. })).collect());
    }
    let mut asked = Vec::new();
    for demand in noted {
        match (demand, tells) {
            (Demand::Action { organization, action, .. }, false) if is_lost(demand.check(cx).await)? => {
                asked.extend([Demand::Scope(action.scope()), Demand::GoodIn(organization)]);
            }
            _ => asked.push(demand),
        }
    }
    Ok(asked)
}

fn is_lost(checked: Result<()>) -> Result<bool> {
    match checked {
        Ok(()) => Ok(false),
        Err(error @ (Error::Storage(_) | Error::Internal(_) | Error::Overloaded(_))) => Err(error),
        Err(_) => Ok(true),
    }
}

/// Fails unless the actor still has all of it.
pub(crate) async fn check(cx: &Cx, asked: &[Demand]) -> Result<()> {
    for demand in asked {
        demand.check(cx).await?;
    }
    Ok(())
}

/// An answer with what is asked before it is given.
pub(crate) fn pack(asked: &[Demand], answer: &[u8]) -> Vec<u8> {
    let written = Json::from(asked.iter().map(Demand::write).collect::<Vec<_>>()).to_string();
    [&(written.len() as u32).to_be_bytes()[..], written.as_bytes(), answer].concat()
}

/// The parts of what was packed; none for what cannot be read, such as an action that is known no more.
pub(crate) fn unpack(packed: &[u8]) -> Option<(Vec<Demand>, Vec<u8>)> {
    let (length, rest) = packed.split_first_chunk()?;
    let (written, answer) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let written: Vec<Json> = serde_json::from_slice(written).ok()?;
    Some((written.iter().map(Demand::read).collect::<Option<_>>()?, answer.to_vec()))
}

/// Fails unless an app that proved who it is would do so again with the same secret.
async fn still_has(cx: &Cx, app: Uuid, secret: Fingerprint) -> Result<()> {
    cx.read(async move |cx, tx| {
        let statement = sql!(
            "SELECT oauth_apps.organization_id, oauth_apps.made_by FROM oauth_apps
             JOIN members ON members.organization_id = oauth_apps.organization_id AND members.id = oauth_apps.member_id
                  AND members.state = 'live'
             JOIN organizations ON organizations.id = oauth_apps.organization_id AND organizations.state = 'live'
                  AND archived_at IS NULL
             WHERE oauth_apps.id = $1 AND oauth_apps.secret_hash = $2 AND oauth_apps.state = 'live' AND oauth_apps.is_active"
        );
        let (organization, made_by) = tx.read_opt(statement, params![app, &secret[..]]).await?.ok_or_else(unknown_client)?;
        match makers::are_good(cx, tx, organization, made_by).await {
            Err(Error::Unauthenticated) => Err(unknown_client()),
            outcome => outcome,
        }
    })
    .await
}

/// The refusal of a client whose secret is not the right one.
pub(crate) fn unknown_client() -> Error {
    Error::Oauth(OauthRefusal::InvalidClient, "The client is unknown, or its secret is not the right one.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demand_is_read_as_it_was_written() {
        let organization = Uuid::from_u128(7);
        let actions = Action::ALL
            .iter()
            .flat_map(|action| [true, false].map(|managed_only| Demand::Action { organization, action: *action, managed_only }));
        let others = [Demand::GoodIn(organization), Demand::Client { app: Uuid::from_u128(8), secret: [9; 32] }];
        let all: Vec<Demand> = SCOPES.into_iter().map(Demand::Scope).chain(actions).chain(others).collect();
        assert_eq!(unpack(&pack(&all, b"answer")), Some((all, b"answer".to_vec())));
        assert_eq!(unpack(&pack(&[], b"")), Some((Vec::new(), Vec::new())));
        assert_eq!(unpack(b"\0\0\0\x15[{\"scope\":\"read:moon\"}]"), None);
    }
}
