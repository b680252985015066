//! The account API, below `/account/api/v1`: seed 003, and what a client of it needs besides.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use plane::page::PageRequest;
use plane::{api_keys, members, organizations, users};
use serde_json::{Value as Json, json};

use super::api;
use crate::Doors;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

/// Every address of this surface.
pub(crate) fn routes() -> Router<Arc<Doors>> {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/organizations", get(api::list_organizations).post(api::create_organization))
        .route("/organizations/{organization}", get(api::read_organization).delete(delete_organization))
        .route("/organizations/{organization}/members", get(list_members))
        .route("/organizations/{organization}/members/{member}", delete(remove_member))
        .route("/organizations/{organization}/api-keys", get(api::list_api_keys).post(api::create_api_key))
        .route("/organizations/{organization}/api-keys/{key}", delete(revoke_api_key))
}

async fn whoami(door: Door) -> Answer {
    let user = users::me(&door.cx).await?;
    let page = organizations::list_mine(&door.cx, PageRequest { page: 1, size: 100 }).await?;
    let organizations: Vec<Json> = page.entries.into_iter().map(|one| json!({"id": door.dialect.id(one.id), "name": one.name})).collect();
    let body = vec![
        ("user_id", door.dialect.id(user.id)),
        ("email", user.email.into()),
        ("organizations", organizations.into()),
        ("metadata", json!({})),
        ("api_key", views::own_api_key(door.dialect, door.cx.principal()?)),
    ];
    Ok(views::answer(StatusCode::OK, door.dialect.object(body)))
}

async fn delete_organization(door: Door, Segments(organization): Segments<String>) -> Answer {
    let organization = door.organization("org_id", &organization)?;
    let deletion = organizations::delete(&door.cx, &organization, door.reason()).await?;
    Ok(views::with_deletion(views::answer(StatusCode::OK, json!({})), &deletion))
}

async fn list_members(door: Door, Segments(organization): Segments<String>) -> Answer {
    let page = members::list(&door.cx, &door.organization("org_id", &organization)?, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::member_out))
}

async fn remove_member(door: Door, Segments((organization, member)): Segments<(String, String)>) -> Answer {
    let (organization, member) = (door.organization("org_id", &organization)?, door.id("member_id", &member)?);
    let deletion = members::remove(&door.cx, &organization, member, door.reason()).await?;
    Ok(views::with_deletion(views::answer(StatusCode::OK, json!({})), &deletion))
}

async fn revoke_api_key(door: Door, Segments((organization, key)): Segments<(String, String)>) -> Answer {
    let (organization, key) = (door.organization("org_id", &organization)?, door.id("key_id", &key)?);
    let deletion = api_keys::revoke(&door.cx, &organization, key, door.reason()).await?;
    Ok(views::with_deletion(views::answer(StatusCode::OK, json!({})), &deletion))
}
