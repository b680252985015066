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

use plane::Result;
use plane::deletions::Deletion;
use plane::plans::Subject;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan};
use crate::door::Door;
use crate::problem::Answer;

/// A deletion that was ordered: access has ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// The deletion's id, as in the header `Deletion-Id`: its record is at `/api/deletions/{id}`.
    deletion_id: Uuid,
}

/// Has a subject deleted, in the surface's way; or tells what would become of it.
async fn delete_or_plan(door: &Door, subject: Subject, deleting: impl Future<Output = Result<Deletion>>) -> Answer<OrPlan<Deleted>> {
    deletions::order(door, subject, deleting, |deletion| deleted(door, deletion)).await
}

/// The answer to a deletion that succeeded, in the surface's way.
fn deleted(door: &Door, deletion: &Deletion) -> One<Deleted> {
    door.ended(&Deleted { deletion_id: deletion.id })
}
