//! Adapters: five lines from a request to an operation of `plane` and back, one file a noun. Which address leads to which stands in
//! `surfaces/`.

pub(crate) mod api_keys;
pub(crate) mod auth;
pub(crate) mod customers;
pub(crate) mod deletions;
pub(crate) mod dependants;
pub(crate) mod exports;
pub(crate) mod holds;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod oauth;
pub(crate) mod operators;
pub(crate) mod organizations;
pub(crate) mod purges;
pub(crate) mod requirements;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod users;
pub(crate) mod webhooks;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use plane::Result;
use plane::deletion::{Deletion, Subject};
use serde_json::Value as Json;

use crate::dialect::Dialect;
use crate::door::Door;
use crate::problem::Answer;
use crate::views;

/// Has a subject deleted, in the surface's way; or tells what would become of it.
async fn delete_or_plan(door: &Door, subject: Subject, deleting: impl Future<Output = Result<Deletion>>) -> Answer {
    deletions::order(door, subject, deleting, deleted).await
}

/// The answer to a deletion that succeeded, in the surface's way: 204, or 200 with the deletion's id.
fn deleted(dialect: &Dialect, deletion: &Deletion) -> Response<Body> {
    let mut response = match dialect.empty_success {
        true => Response::new(Body::empty()),
        false => views::answer(StatusCode::OK, dialect.object(vec![("deletion_id", dialect.id(deletion.id))])),
    };
    if dialect.empty_success {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    views::with_deletion(response, deletion)
}

/// The answer to what took something away without a deletion's record.
fn success(dialect: &Dialect) -> Response<Body> {
    if !dialect.empty_success {
        return views::answer(StatusCode::OK, dialect.object(vec![("deletion_id", Json::Null)]));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
