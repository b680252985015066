//! Sign-up, sign-in, refresh, sign-out: how one gets the bearer token that the documents ask for.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use plane::ids::OrganizationRef;
use plane::signing_key_rotation::{self, SigningKey};
use plane::users::{self, NewUser};
use plane::wire::{KnownEmail, OrganizationName, TokenType};
use plane::{Cx, sessions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answers::{One, with_cookie};
use crate::body::Body as Given;
use crate::caller::{Anonymous, Caller};
use crate::limits::{Attempts, LimitClass};
use crate::problem::Answer;

/// A sentence for people.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Message {
    #[schemars(length(min = 0, max = 500))]
    message: &'static str,
}

pub(crate) async fn sign_up(anonymous: Anonymous, Given(new): Given<NewUser>) -> Answer<One<Message>> {
    anonymous.attempt(LimitClass::SignUp, Attempts::Here)?;
    users::sign_up(&anonymous.cx, new).await?;
    // The same words whether or not the address was free.
    let message = "If no account had this address, it has one now: sign in.";
    Ok(anonymous.one(StatusCode::ACCEPTED, &Message { message }))
}

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct SignIn {
    #[schemars(with = "KnownEmail")]
    email: String,
    #[schemars(length(min = 0, max = 1_000), example = &"correct horse battery staple", extend("x-secret" = true))]
    password: String,
    /// Binds the session to this organization (UUID, shortuuid or slug): it is good nowhere else, and addresses without an organization mean it.
    #[schemars(with = "Option<OrganizationName>", example = &"acme")]
    organization: Option<String>,
}

/// Tokens, in OAuth's spelling (RFC 6749). The answer also sets the cookie `sessionid`.
#[derive(Serialize, JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct SignedIn {
    /// A JWT for `Authorization: Bearer`.
    #[schemars(length(min = 1, max = 2_000))]
    access_token: String,
    #[schemars(with = "TokenType")]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schemars(example = 900)]
    expires_in: u64,
    /// Good for one new pair.
    #[schemars(length(min = 1, max = 500))]
    refresh_token: String,
}

fn signed_in(anonymous: &Anonymous, signed_in: sessions::SignedIn) -> One<SignedIn> {
    let sessions::SignedIn { access_token, refresh_token, cookie, .. } = signed_in;
    let expires_in = signed_in.expires_in.as_secs();
    let record = anonymous.one(StatusCode::OK, &SignedIn { access_token, token_type: "Bearer", expires_in, refresh_token });
    record.with(|response| with_cookie(response, &cookie, signed_in.session_life.as_secs(), &anonymous.cx))
}

pub(crate) async fn sign_in(anonymous: Anonymous, Given(SignIn { email, password, organization }): Given<SignIn>) -> Answer<One<SignedIn>> {
    let organization = organization.as_deref().and_then(OrganizationRef::parse);
    Ok(signed_in(&anonymous, sessions::sign_in(&anonymous.cx, &email, password, organization).await?))
}

/// A refresh token. `refresh_token`, as OAuth spells it, is read too.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Refresh {
    /// Good once.
    #[schemars(length(min = 1, max = 500), example = &"c0ffee", extend("x-either" = true, "x-secret" = true))]
    refresh_token: String,
}

pub(crate) async fn refresh(anonymous: Anonymous, Given(Refresh { refresh_token: token }): Given<Refresh>) -> Answer<One<SignedIn>> {
    // Only what fails counts: a product's back end may refresh the sessions of all its users from one address.
    anonymous.attempt(LimitClass::Refresh, Attempts::Here)?;
    let refreshed = sessions::refresh(&anonymous.cx, &token).await?;
    anonymous.give_back(LimitClass::Refresh, Attempts::Here);
    Ok(signed_in(&anonymous, refreshed))
}

pub(crate) async fn sign_out(caller: Caller) -> Answer {
    sessions::sign_out(&caller.cx).await?;
    Ok(without_cookie(StatusCode::NO_CONTENT.into_response(), &caller.cx))
}

/// Takes the session's cookie back.
pub(crate) fn without_cookie(response: Response<Body>, cx: &Cx) -> Response<Body> {
    with_cookie(response, "", 0, cx)
}

pub(crate) async fn rotate_signing_key(caller: Caller) -> Answer<One<SigningKey>> {
    Ok(caller.one(StatusCode::OK, &signing_key_rotation::rotate(&caller.cx, caller.query.flag("at_once")?).await?))
}
