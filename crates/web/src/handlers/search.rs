//! What operators find.

use axum::http::StatusCode;
use plane::search::{self, Found, Sizes};
use serde_json::{Map, Value as Json};

use crate::dialect::{Dialect, time};
use crate::door::Door;
use crate::problem::Answer;
use crate::views;

pub(crate) async fn search(door: Door) -> Answer {
    let found = search::search(&door.cx, door.query.get("q").unwrap_or_default()).await?;
    let list: Vec<Json> = found.into_iter().map(|one| view(door.dialect, one)).collect();
    Ok(views::answer(StatusCode::OK, list.into()))
}

fn view(dialect: &Dialect, found: Found) -> Json {
    match found {
        Found::Organization { id, slug, name, state, sizes, created_at } => dialect.object(vec![
            ("kind", "organization".into()),
            ("id", dialect.id(id)),
            ("state", state.into()),
            ("slug", slug.into()),
            ("name", name.into()),
            ("sizes", counts(dialect, sizes)),
            ("created_at", time(created_at)),
        ]),
        Found::User { id, email, name, state, is_operator, memberships, sizes, created_at } => {
            let memberships = memberships.into_iter().map(|one| {
                dialect.object(vec![
                    ("organization_id", dialect.id(one.organization)),
                    ("slug", one.slug.into()),
                    ("role", one.role.into()),
                ])
            });
            dialect.object(vec![
                ("kind", "user".into()),
                ("id", dialect.id(id)),
                ("state", state.into()),
                ("name", name.into()),
                ("email", email.into()),
                ("is_operator", is_operator.into()),
                ("memberships", memberships.collect()),
                ("sizes", counts(dialect, sizes)),
                ("created_at", time(created_at)),
            ])
        }
        Found::Key { id, organization, user, name, hint, state, created_at } => {
            let mut fields = vec![
                ("kind", "api_key".into()),
                ("id", dialect.id(id)),
                ("state", state.into()),
                ("name", name.into()),
                ("hint", hint.into()),
                ("created_at", time(created_at)),
            ];
            fields.extend(organization.map(|organization| ("organization_id", dialect.id(organization))));
            fields.extend(user.map(|user| ("user_id", dialect.id(user))));
            dialect.object(fields)
        }
        Found::Entry { id, organization, action, outcome, created_at } => dialect.object(vec![
            ("kind", "audit_entry".into()),
            ("id", dialect.id(id)),
            ("state", outcome.into()),
            ("organization_id", dialect.id(organization)),
            ("action", action.into()),
            ("created_at", time(created_at)),
        ]),
    }
}

fn counts(dialect: &Dialect, sizes: Sizes) -> Json {
    Json::Object(sizes.into_iter().map(|(name, number)| (dialect.name(name), number.into())).collect::<Map<_, _>>())
}
