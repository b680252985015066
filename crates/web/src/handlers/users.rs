//! Users: oneself, and those one knows from an organization.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::deletion::{Details, Subject};
use plane::page::PageRequest;
use plane::users::{self, UserChange};
use plane::{organizations, preferences};
use serde_json::{Map, Value as Json, json};

use super::auth::is_https;
use super::{deleted, deletions};
use crate::body::Form;
use crate::door::{Door, Segments};
use crate::problem::Answer;
use crate::views;

pub(crate) async fn me(door: Door) -> Answer {
    let user = users::me(&door.cx).await?;
    Ok(views::tagged(StatusCode::OK, &user.etag(), views::own_user(door.dialect, &user)))
}

pub(crate) async fn update_me(door: Door, mut form: Form) -> Answer {
    let change = UserChange { name: form.optional_text("name"), metadata: form.object("metadata") };
    form.finish()?;
    let user = users::update(&door.cx, change).await?;
    Ok(views::tagged(StatusCode::OK, &user.etag(), views::own_user(door.dialect, &user)))
}

pub(crate) async fn change_password(door: Door, mut form: Form) -> Answer {
    let (current, new) = (form.text("current_password"), form.text("new_password"));
    form.finish()?;
    users::change_password(&door.cx, current, new).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(crate) async fn delete_me(door: Door) -> Answer {
    let is_https = is_https(&door.cx);
    let deleting = users::delete(&door.cx, door.reason());
    deletions::order(&door, Subject::User, deleting, |dialect, deletion| views::with_cookie(deleted(dialect, deletion), "", 0, is_https))
        .await
}

pub(crate) async fn plan_of_me(door: Door) -> Answer {
    deletions::plan(&door, Subject::User, Details::default()).await
}

pub(crate) async fn read(door: Door, Segments(user): Segments<String>) -> Answer {
    let user = users::get(&door.cx, door.id("id", &user)?).await?;
    Ok(views::tagged(StatusCode::OK, &user.etag(), views::user(door.dialect, &user)))
}

pub(crate) async fn whoami(door: Door) -> Answer {
    let user = users::me(&door.cx).await?;
    let page = organizations::list_mine(&door.cx, &Map::new(), PageRequest::new(1, 100)).await?;
    let organizations: Vec<Json> = page.entries.into_iter().map(|one| json!({"id": door.dialect.id(one.id), "name": one.name})).collect();
    let body = vec![
        ("user_id", door.dialect.id(user.id)),
        ("email", user.email.as_str().into()),
        ("organizations", organizations.into()),
        ("metadata", user.metadata.clone()),
        ("api_key", views::own_api_key(door.dialect, door.cx.principal()?)),
    ];
    Ok(views::answer(StatusCode::OK, door.dialect.object(body)))
}

pub(crate) async fn preferences(door: Door) -> Answer {
    let taken = preferences::list(&door.cx).await?;
    let list: Vec<Json> = taken.into_iter().map(|one| views::preference(door.dialect, one)).collect();
    Ok(views::answer(StatusCode::OK, list.into()))
}
