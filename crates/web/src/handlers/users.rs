//! Users: oneself.

use axum::http::StatusCode;
use plane::page::PageRequest;
use plane::{organizations, users};
use serde_json::{Value as Json, json};

use crate::door::Door;
use crate::problem::Answer;
use crate::views;

pub(crate) async fn me(door: Door) -> Answer {
    let user = users::me(&door.cx).await?;
    Ok(views::answer(StatusCode::OK, views::user(door.dialect, user)))
}

pub(crate) async fn whoami(door: Door) -> Answer {
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
