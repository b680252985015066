//! Adapters: five lines from a request to an operation of `plane` and back, one file a noun. Which address leads to which stands in
//! `surfaces/`.

pub(crate) mod customers;
pub(crate) mod deletions;
pub(crate) mod dependants;
pub(crate) mod effects;
mod organization;
mod people;
pub(crate) mod purges;

pub(crate) use people::{api_keys, auth, invitations, members, oauth, users};

pub(crate) use organization::{billing, exports, holds, operators, organizations, requirements, retention, search, webhooks};

use plane::Result;
use plane::deletions::Deletion;
use plane::plans::Subject;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::answers::{One, OrPlan};
use crate::caller::Caller;
use crate::problem::Answer;

/// A deletion that was ordered: access has ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// The deletion's id, as in the header `Deletion-Id`: its record is at `/api/deletions/{id}`.
    deletion_id: Uuid,
}

/// Has a subject deleted, in the surface's way; or tells what would become of it.
async fn delete_or_plan(caller: &Caller, subject: Subject, deleting: impl Future<Output = Result<Deletion>>) -> Answer<OrPlan<Deleted>> {
    deletions::order(caller, subject, deleting, |deletion| deleted(caller, deletion)).await
}

/// The answer to a deletion that succeeded, in the surface's way.
fn deleted(caller: &Caller, deletion: &Deletion) -> One<Deleted> {
    caller.ended(&Deleted { deletion_id: deletion.id })
}
