//! What webhooks are sent, event by event. The names in it are the same on every surface.

use plane::events::Event;
use serde_json::Value as Json;

use super::Is::{Flag, Id, Named, Number, Objects, OrganizationId, Text, Time};
use super::words::{BLOCKER_CODE, BLOCKER_KIND, EVENT, KEY_KIND, ROLE, SUBJECT};
use super::{Field, Shape, optional, required};
use crate::dialect::API;

const ORGANIZATION_ID: Field = required("organization_id", OrganizationId, "");
const DELETION_ID: Field = required("deletion_id", Id, "The deletion; its record is at `/api/deletions/{id}`.");
const CUSTOMER_ID: Field = required("id", Text(1, 100), "The customer's id, as the API has it.").like("user123");
const ROLE_NOW: Field = required("role", Named(&ROLE), "");

/// The envelope of every event, as Standard Webhooks has it.
pub(crate) static ENVELOPE: [Field; 2] = [required("type", Named(&EVENT), "What happened."), required("timestamp", Time, "When.")];

static ORGANIZATION: Shape = Shape::new("OrganizationEvent", "An organization.", &[ORGANIZATION_ID, required("id", OrganizationId, "")]);

static ORGANIZATION_DELETED: Shape =
    Shape::new("OrganizationDeletedEvent", "An organization that is deleted.", &[DELETION_ID]).upon(&ORGANIZATION);

static MEMBER_ADDED: Shape = Shape::new(
    "MemberEvent",
    "A membership.",
    &[ORGANIZATION_ID, required("id", Id, "The membership's id."), required("user_id", Id, "The user's."), ROLE_NOW],
);

static MEMBER_REMOVED: Shape = Shape::new("MemberRemovedEvent", "A membership that is deleted.", &[DELETION_ID]).upon(&MEMBER_ADDED);

static MEMBER_ROLE: Shape = Shape::new(
    "MemberRoleEvent",
    "A membership and its new role.",
    &[ORGANIZATION_ID, required("id", Id, "The membership's id."), ROLE_NOW],
);

static INVITATION: Shape = Shape::new("InvitationEvent", "An invitation.", &[ORGANIZATION_ID, required("id", Id, ""), ROLE_NOW]);

static INVITATION_ACCEPTED: Shape = Shape::new(
    "InvitationAcceptedEvent",
    "An invitation and what it became.",
    &[ORGANIZATION_ID, required("id", Id, ""), required("member_id", Id, "The membership's id.")],
);

static CUSTOMER: Shape = Shape::new("CustomerEvent", "A customer.", &[ORGANIZATION_ID, CUSTOMER_ID]);

static CUSTOMER_DELETED: Shape = Shape::new(
    "CustomerDeletedEvent",
    "A customer that is deleted.",
    &[
        ORGANIZATION_ID,
        optional("id", Text(1, 100), "The customer's id, as the API has it.").like("user123"),
        required("permanent", Flag, "Whether it is erased; otherwise it is marked and kept for audit."),
        DELETION_ID,
    ],
);

static APP: Shape = Shape::new(
    "OauthAppEvent",
    "An OAuth app.",
    &[ORGANIZATION_ID, required("id", Id, ""), required("client_id", Text(1, 100), "").like("app_0123456789abcdefGHIJKLMN")],
);

static APP_REVOKED: Shape = Shape::new("OauthAppRevokedEvent", "An OAuth app that is deleted.", &[DELETION_ID]).upon(&APP);

static API_KEY: Shape =
    Shape::new("ApiKeyEvent", "An API key.", &[ORGANIZATION_ID, required("id", Id, ""), required("kind", Named(&KEY_KIND), "")]);

static API_KEY_EXPIRING: Shape = Shape::new(
    "ApiKeyExpiringEvent",
    "An API key that ends by itself.",
    &[
        required("days", Number(1, 30), "The end comes within so many days: 30, 7 or 1.").like("7"),
        required("expires_at", Time, "The end."),
    ],
)
.upon(&API_KEY);

static ENDED: Shape = Shape::new("EndedEvent", "Something that is deleted.", &[ORGANIZATION_ID, required("id", Id, ""), DELETION_ID]);

static RECORD: Shape = Shape::new("RecordEvent", "Something that was made.", &[ORGANIZATION_ID, required("id", Id, "")]);

static DELETION: Shape = Shape::new(
    "DeletionEvent",
    "A deletion.",
    &[
        ORGANIZATION_ID,
        required("id", Id, "The deletion's id."),
        required("kind", Named(&SUBJECT), "The kind of what is deleted."),
        required("subject_id", Id, ""),
    ],
);

static BLOCKED: Shape = Shape::new(
    "DeletionBlockedEvent",
    "A deletion that was refused.",
    &[
        ORGANIZATION_ID,
        required("kind", Text(1, 50), "The kind of what was to be deleted.").like("customer"),
        optional("subject_id", Id, ""),
        optional("id", Text(0, 200), "The customer's id, as the API has it; null for others.").like("user123"),
        required("blockers", Objects(&BLOCKER), "What stands in the way."),
    ],
);

static BLOCKER: Shape = Shape::new(
    "EventBlocker",
    "One reason why a deletion cannot happen now.",
    &[required("code", Named(&BLOCKER_CODE), ""), required("kind", Named(&BLOCKER_KIND), ""), required("id", Id, "")],
);

/// What an event means, and what its data holds.
pub(crate) fn told(event: Event) -> (&'static str, &'static Shape) {
    match event {
        Event::OrganizationCreated => ("An organization was made.", &ORGANIZATION),
        Event::OrganizationUpdated => ("An organization's profile was changed.", &ORGANIZATION),
        Event::OrganizationArchived => ("An organization was made read-only.", &ORGANIZATION),
        Event::OrganizationRestored => ("An organization was made writable again, or its deletion was taken back.", &ORGANIZATION),
        Event::OrganizationDeleted => ("An organization was deleted. The last event of its webhooks.", &ORGANIZATION_DELETED),
        Event::MemberAdded => ("A person became a member.", &MEMBER_ADDED),
        Event::MemberRemoved => ("A member was removed, or left.", &MEMBER_REMOVED),
        Event::MemberRoleUpdated => ("A member has another role.", &MEMBER_ROLE),
        Event::InviteCreated => ("A person was invited.", &INVITATION),
        Event::InviteAccepted => ("An invitation was accepted.", &INVITATION_ACCEPTED),
        Event::InviteCancelled => ("An invitation was cancelled.", &ENDED),
        Event::CustomerCreated => ("A customer was made.", &CUSTOMER),
        Event::CustomerUpdated => ("A customer was changed.", &CUSTOMER),
        Event::CustomerDeleted => ("A customer was deleted, softly or for good.", &CUSTOMER_DELETED),
        Event::OauthAppCreated => ("An OAuth app was made.", &APP),
        Event::OauthAppRevoked => ("An OAuth app was deleted with its tokens.", &APP_REVOKED),
        Event::ApiKeyCreated => ("An API key was made.", &API_KEY),
        Event::ApiKeyRevoked => ("An API key was revoked.", &ENDED),
        Event::ApiKeyExpiring => ("An API key ends by itself in 30, 7 or 1 days; each is told once.", &API_KEY_EXPIRING),
        Event::WebhookCreated => ("A webhook was made.", &RECORD),
        Event::DeletionStarted => ("A deletion was ordered: access has ended.", &DELETION),
        Event::DeletionCompleted => ("A deletion was sealed: nothing is left.", &DELETION),
        Event::DeletionRestored => ("A deletion was taken back in its grace period.", &DELETION),
        Event::DeletionBlocked => ("A deletion was refused because something stands in its way.", &BLOCKED),
    }
}

/// The event that a test sends, which no webhook subscribes to.
pub(crate) const TEST: (&str, &str, &Shape) = ("webhook.test", "A test was asked for.", &RECORD);

/// What of a payload differs from its documentation: for development builds.
pub(crate) fn differences(payload: &str) -> Vec<String> {
    let payload: Json = serde_json::from_str(payload).unwrap_or_default();
    let name = payload["type"].as_str().unwrap_or_default();
    let shape = match Event::parse(name) {
        Some(event) => told(event).1,
        None if name == TEST.0 => TEST.2,
        None => return vec![format!("{name} is no event")],
    };
    let mut differences = shape.differences(&API, &payload["data"]);
    if !payload["timestamp"].is_string() || payload.as_object().is_none_or(|envelope| envelope.len() != 3) {
        differences.push("the envelope is another one".to_owned());
    }
    differences
}
