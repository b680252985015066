//! Sign-up, sign-in, refresh, sign-out: how one gets the bearer token that the documents ask for.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::ids::OrganizationRef;
use plane::users::{self, NewUser};
use plane::{sessions, signing_keys};
use serde_json::{Value as Json, json};

use crate::body::Form;
use crate::dialect::time;
use crate::door::{Door, Guest};
use crate::limits::{Attempts, Desk};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn sign_up(guest: Guest, mut form: Form) -> Answer {
    let new = NewUser { email: form.text("email"), password: form.text("password"), name: form.optional_text("name"), is_operator: false };
    form.finish()?;
    guest.attempt(Desk::SignUp, Attempts::Here)?;
    users::sign_up(&guest.cx, new).await?;
    // The same words whether or not the address was free.
    let words = "If no account had this address, it has one now: sign in.";
    Ok(views::answer(StatusCode::ACCEPTED, json!({"message": words})))
}

pub(crate) async fn sign_in(guest: Guest, mut form: Form) -> Answer {
    let (email, password) = (form.text("email"), form.text("password"));
    let organization = form.optional("organization", "must be an organization's id or slug", OrganizationRef::parse);
    form.finish()?;
    let signed_in = sessions::sign_in(&guest.cx, &email, password, organization).await?;
    Ok(views::signed_in(&signed_in, is_https(&guest.cx)))
}

pub(crate) async fn refresh(guest: Guest, mut form: Form) -> Answer {
    let token = form.oauth_text("refresh_token");
    form.finish()?;
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
