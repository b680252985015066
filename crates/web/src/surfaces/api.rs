//! The organizations API, below `/api`: seeds 000, 002 and 004, and what a client of theirs needs besides.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, patch, post};
use plane::api_keys::{self, NewApiKey};
use plane::customers::{self, Deleting, NewCustomer};
use plane::deletion;
use plane::dependants::{self, Kind};
use plane::organizations::{self, NewOrganization};
use plane::policy::Role;
use plane::{Error, audit, invitations, members, users};
use serde_json::json;

use super::auth;
use crate::Doors;
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::handlers::oauth;
use crate::problem::Answer;
use crate::views;

/// Every address of this surface.
pub(crate) fn routes() -> Router<Arc<Doors>> {
    Router::new()
        .route("/auth/sign-up", post(auth::sign_up))
        .route("/auth/sign-in", post(auth::sign_in))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/sign-out", post(auth::sign_out))
        .route("/users/me", get(read_me))
        .route("/organizations", get(list_organizations).post(create_organization))
        .route("/organizations/{organization}", get(read_organization).delete(delete_organization))
        .route("/organizations/{organization}/members", get(list_members))
        .route("/organizations/{organization}/members/invite", post(create_invitation))
        .route("/organizations/{organization}/members/{member}", delete(remove_member))
        .route("/organizations/{organization}/invites", get(list_invitations))
        .route("/organizations/{organization}/invites/{invitation}", delete(cancel_invitation))
        .route("/organizations/{organization}/customers", get(list_customers).post(create_customer))
        .route("/organizations/{organization}/customers/{customer}", get(read_customer).delete(delete_customer))
        .route("/organizations/{organization}/customers/{customer}/{kind}", get(list_dependants).post(create_dependant))
        .route("/organizations/{organization}/customers/{customer}/{kind}/{id}", patch(set_status))
        .route("/organizations/{organization}/api-keys", get(list_api_keys).post(create_api_key))
        .route("/organizations/{organization}/api-keys/{key}", delete(revoke_api_key))
        .route("/organizations/{organization}/audit", get(list_audit))
        .route("/invites/accept", post(accept_invitation))
        .route("/oauth/apps", post(oauth::create_app))
        .route("/oauth/apps/organization/{organization}", get(oauth::list_apps))
        .route("/oauth/apps/{client}", get(oauth::read_app).put(oauth::update_app).delete(oauth::delete_app))
        .route("/oauth/apps/{client}/secret", post(oauth::rotate_secret))
        .route("/oauth/token", post(oauth::documented_token))
        .route("/oauth/token/refresh", post(oauth::documented_refresh))
        .route("/oauth/token/{token}", delete(oauth::revoke_token))
        .route("/deletions", get(list_deletions))
        .route("/deletions/{deletion}", get(read_deletion))
}

async fn read_me(door: Door) -> Answer {
    let user = users::me(&door.cx).await?;
    Ok(views::answer(StatusCode::OK, views::user(door.dialect, user)))
}

pub(super) async fn list_organizations(door: Door) -> Answer {
    let page = organizations::list_mine(&door.cx, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::organization))
}

pub(super) async fn create_organization(door: Door, mut form: Form) -> Answer {
    let new = NewOrganization { name: form.text("name"), slug: form.text("slug"), logo: form.optional_text("logo") };
    form.finish()?;
    let organization = organizations::create(&door.cx, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::organization(door.dialect, organization)))
}

pub(super) async fn read_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = organizations::get(&door.cx, &door.organization("organization_id", &organization)?).await?;
    Ok(views::answer(StatusCode::OK, views::organization(door.dialect, organization)))
}

async fn delete_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = door.organization("id", &organization)?;
    Ok(views::no_content(&organizations::delete(&door.cx, &organization, door.reason()).await?))
}

async fn list_members(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = members::list(&door.cx, &door.organization("organization_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::member))
}

async fn remove_member(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, member) = (door.organization("organization_id", &organization)?, door.id("member_id", &member)?);
    Ok(views::no_content(&members::remove(&door.cx, &organization, member, door.reason()).await?))
}

async fn create_invitation(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let email = form.text("email");
    let roles: Vec<&str> = Role::ALL.into_iter().map(|role| door.dialect.role(role)).collect();
    let role = form.optional("role", &format!("must be one of {}", roles.join(", ")), |name| door.dialect.parse_role(name));
    form.finish()?;
    let organization = door.organization("organization_id", &organization)?;
    let (invitation, token) = invitations::create(&door.cx, &organization, &email, role.unwrap_or(Role::Member)).await?;
    Ok(views::answer(StatusCode::CREATED, views::new_invitation(door.dialect, invitation, token)))
}

async fn list_invitations(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = invitations::list(&door.cx, &door.organization("organization_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::invitation))
}

async fn cancel_invitation(door: Door, Segments((organization, invitation)): Segments<(String, String)>) -> Answer {
    let (organization, invitation) = (door.organization("organization_id", &organization)?, door.id("invite_id", &invitation)?);
    Ok(views::no_content(&invitations::cancel(&door.cx, &organization, invitation, door.reason()).await?))
}

async fn accept_invitation(door: Door, mut form: Form) -> Answer {
    let token = form.text("token");
    form.finish()?;
    let (organization, member) = invitations::accept(&door.cx, &token).await?;
    let body = vec![("organization_id", door.dialect.id(organization)), ("member_id", door.dialect.id(member))];
    Ok(views::answer(StatusCode::OK, door.dialect.object(body)))
}

async fn list_customers(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = customers::list(&door.cx, &door.organization("organization_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::customer))
}

async fn create_customer(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let managed_by = form.optional("managed_by", "must be a member's id", plane::ids::parse);
    let (name, legal_name) = (form.optional_text("name"), form.optional_text("legal_name"));
    let new = NewCustomer {
        reference: form.optional_text("id"),
        name: name.or(legal_name).unwrap_or_default(),
        email: form.text("email"),
        phone: form.optional_text("phone"),
        tax_id: form.optional_text("tax_id"),
        address: form.object("address"),
        metadata: form.object("metadata"),
        managed_by,
    };
    form.finish()?;
    let customer = customers::create(&door.cx, &door.organization("organization_id", &organization)?, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::customer(door.dialect, customer)))
}

async fn read_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let customer = customers::get(&door.cx, &door.organization("organization_id", &organization)?, &customer).await?;
    Ok(views::answer(StatusCode::OK, views::customer(door.dialect, customer)))
}

async fn delete_customer(door: Door, Segments((organization, customer)): Segments<(String, String)>) -> Answer {
    let organization = door.organization("organization_id", &organization)?;
    Ok(views::no_content(&customers::delete(&door.cx, &organization, &customer, Deleting::Permanently, door.reason()).await?))
}

async fn list_dependants(door: Door, Segments((organization, customer, kind)): Segments<(String, String, String)>) -> Answer {
    let (organization, kind) = (door.organization("organization_id", &organization)?, find_kind(&kind)?);
    let page = dependants::list(&door.cx, &organization, &customer, kind, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::dependant))
}

async fn create_dependant(door: Door, Segments((organization, customer, kind)): Segments<(String, String, String)>, form: Form) -> Answer {
    let (organization, kind) = (door.organization("organization_id", &organization)?, find_kind(&kind)?);
    let dependant = dependants::create(&door.cx, &organization, &customer, kind, form.all()).await?;
    Ok(views::answer(StatusCode::CREATED, views::dependant(door.dialect, dependant)))
}

async fn set_status(
    door: Door,
    Segments((organization, customer, kind, id)): Segments<(String, String, String, String)>,
    mut form: Form,
) -> Answer {
    let status = form.text("status");
    form.finish()?;
    let (organization, kind, id) = (door.organization("organization_id", &organization)?, find_kind(&kind)?, door.id("id", &id)?);
    dependants::set_status(&door.cx, &organization, &customer, kind, id, status.clone()).await?;
    Ok(views::answer(StatusCode::OK, json!({"id": id, "status": status})))
}

fn find_kind(path: &str) -> Result<&'static Kind, Error> {
    Kind::at(path).ok_or(Error::NotFound("Resource"))
}

pub(super) async fn list_api_keys(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = api_keys::list(&door.cx, &door.organization("organization_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::api_key))
}

pub(super) async fn create_api_key(door: Door, Segments(organization): Segments<String>, mut form: Form) -> Answer {
    let kind = form.optional("kind", "must be organization, user or publishable", api_keys::Kind::parse);
    let new = NewApiKey {
        kind: kind.unwrap_or(api_keys::Kind::Organization),
        name: form.text("name"),
        description: form.optional_text("description"),
        scopes: form.optional_texts("scopes"),
        expires_at: form.optional_time("expires_at"),
    };
    form.finish()?;
    let (key, secret) = api_keys::create(&door.cx, &door.organization("organization_id", &organization)?, new).await?;
    Ok(views::answer(StatusCode::CREATED, views::new_api_key(door.dialect, key, secret)))
}

async fn revoke_api_key(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    let (organization, key) = (door.organization("organization_id", &organization)?, door.id("key_id", &key)?);
    Ok(views::no_content(&api_keys::revoke(&door.cx, &organization, key, door.reason()).await?))
}

async fn list_audit(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = audit::list(&door.cx, &door.organization("organization_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::audit_entry))
}

async fn list_deletions(door: Door) -> Answer {
    let page = deletion::list(&door.cx, &door.current_organization()?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::deletion))
}

async fn read_deletion(door: Door, Segments(deletion): Segments<String>) -> Answer {
    let deletion = deletion::get(&door.cx, door.id("id", &deletion)?).await?;
    Ok(views::answer(StatusCode::OK, views::deletion(door.dialect, deletion)))
}
