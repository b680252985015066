//! Sign-up, sign-in, refresh, sign-out: how one gets the bearer token that the documents ask for.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::ids::OrganizationRef;
use plane::users::{self, NewUser};
use plane::wire::{KnownEmail, OrganizationName};
use plane::{sessions, signing_keys};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::body::Body as Given;
use crate::dialect::time;
use crate::door::{Door, Guest};
use crate::limits::{Attempts, Desk};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn sign_up(guest: Guest, Given(new): Given<NewUser>) -> Answer {
    guest.attempt(Desk::SignUp, Attempts::Here)?;
    users::sign_up(&guest.cx, new).await?;
    // The same words whether or not the address was free.
    let words = "If no account had this address, it has one now: sign in.";
    Ok(views::answer(StatusCode::ACCEPTED, json!({"message": words})))
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

pub(crate) async fn sign_in(guest: Guest, Given(SignIn { email, password, organization }): Given<SignIn>) -> Answer {
    let organization = organization.as_deref().and_then(OrganizationRef::parse);
    let signed_in = sessions::sign_in(&guest.cx, &email, password, organization).await?;
    Ok(views::signed_in(&signed_in, is_https(&guest.cx)))
}

/// A refresh token. `refresh_token`, as OAuth spells it, is read too.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Refresh {
    /// Good once.
    #[schemars(length(min = 1, max = 500), example = &"c0ffee", extend("x-either" = true, "x-secret" = true))]
    refresh_token: String,
}

pub(crate) async fn refresh(guest: Guest, Given(Refresh { refresh_token: token }): Given<Refresh>) -> Answer {
    // Only what fails counts: a product's back end may refresh the sessions of all its users from one address.
    guest.attempt(Desk::Refresh, Attempts::Here)?;
    let signed_in = sessions::refresh(&guest.cx, &token).await?;
    guest.give_back(Desk::Refresh, Attempts::Here);
    Ok(views::signed_in(&signed_in, is_https(&guest.cx)))
}

pub(crate) async fn sign_out(door: Door) -> Answer {
    sessions::sign_out(&door.cx).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(views::with_cookie(response, "", 0, is_https(&door.cx)))
}

pub(crate) async fn rotate_signing_key(door: Door) -> Answer {
    let key = signing_keys::rotate(&door.cx, door.query.flag("at_once")?).await?;
    let fields =
        vec![("kid", key.id.into()), ("created_at", time(key.created_at)), ("previous_until", key.previous_until.map_or(Json::Null, time))];
    Ok(views::answer(StatusCode::OK, door.dialect.object(fields)))
}

/// Whether clients see this server behind TLS, so that its cookie may say so.
pub(crate) fn is_https(cx: &plane::Cx) -> bool {
    cx.plane.config.public_url.starts_with("https://")
}
