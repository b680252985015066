//! The section `webhooks`: what is sent to those who listen, event by event.

use plane::events::Event;
use plane::payloads::{
    ApiKeyEvent, ApiKeyExpiringEvent, CustomerDeletedEvent, CustomerEvent, DeletionBlockedEvent, DeletionEvent, EndedEvent,
    InvitationAcceptedEvent, InvitationEvent, MemberEvent, MemberRemovedEvent, MemberRoleEvent, OauthAppEvent, OauthAppRevokedEvent,
    OrganizationDeletedEvent, OrganizationEvent, RecordEvent,
};
use serde_json::{Map, Value as Json, json};

use super::components::Components;
use crate::dialect::API;
use crate::schema::{EXAMPLE_TIME, Type};

/// The tag of these operations: not the one of those that manage webhooks, or some generators write the two into one file.
pub(super) const TAG: &str = "webhook-events";

/// The event that a test sends, which no webhook subscribes to.
const TEST: &str = "webhook.test";

/// What an event means, and what its data holds.
fn told(event: Event) -> (&'static str, &'static Type) {
    match event {
        Event::OrganizationCreated => ("An organization was made.", Type::written::<OrganizationEvent>()),
        Event::OrganizationUpdated => ("An organization's profile was changed.", Type::written::<OrganizationEvent>()),
        Event::OrganizationArchived => ("An organization was made read-only.", Type::written::<OrganizationEvent>()),
        Event::OrganizationRestored => {
            ("An organization was made writable again, or its deletion was taken back.", Type::written::<OrganizationEvent>())
        }
        Event::OrganizationDeleted => {
            ("An organization was deleted. The last event of its webhooks.", Type::written::<OrganizationDeletedEvent>())
        }
        Event::MemberAdded => ("A person became a member.", Type::written::<MemberEvent>()),
        Event::MemberRemoved => ("A member was removed, or left.", Type::written::<MemberRemovedEvent>()),
        Event::MemberRoleUpdated => ("A member has another role.", Type::written::<MemberRoleEvent>()),
        Event::InviteCreated => ("A person was invited.", Type::written::<InvitationEvent>()),
        Event::InviteAccepted => ("An invitation was accepted.", Type::written::<InvitationAcceptedEvent>()),
        Event::InviteCancelled => ("An invitation was cancelled.", Type::written::<EndedEvent>()),
        Event::CustomerCreated => ("A customer was made.", Type::written::<CustomerEvent>()),
        Event::CustomerUpdated => ("A customer was changed.", Type::written::<CustomerEvent>()),
        Event::CustomerDeleted => ("A customer was deleted, softly or for good.", Type::written::<CustomerDeletedEvent>()),
        Event::OauthAppCreated => ("An OAuth app was made.", Type::written::<OauthAppEvent>()),
        Event::OauthAppRevoked => ("An OAuth app was deleted with its tokens.", Type::written::<OauthAppRevokedEvent>()),
        Event::ApiKeyCreated => ("An API key was made.", Type::written::<ApiKeyEvent>()),
        Event::ApiKeyRevoked => ("An API key was revoked.", Type::written::<EndedEvent>()),
        Event::ApiKeyExpiring => {
            ("An API key ends by itself in 30, 7 or 1 days; each is told once.", Type::written::<ApiKeyExpiringEvent>())
        }
        Event::WebhookCreated => ("A webhook was made.", Type::written::<RecordEvent>()),
        Event::WebhookDisabled => (
            "A webhook was switched off: its receiver answered 410, or took nothing for five days. The other webhooks are told.",
            Type::written::<RecordEvent>(),
        ),
        Event::DeletionStarted => ("A deletion was ordered: access has ended.", Type::written::<DeletionEvent>()),
        Event::DeletionCompleted => ("A deletion was completed: nothing is left.", Type::written::<DeletionEvent>()),
        Event::DeletionRestored => ("A deletion was taken back in its grace period.", Type::written::<DeletionEvent>()),
        Event::DeletionBlocked => ("A deletion was refused because something stands in its way.", Type::written::<DeletionBlockedEvent>()),
    }
}

/// Every event, under its name.
pub(super) fn webhooks(components: &mut Components) -> Json {
    let all = Event::ALL.iter().map(|event| (event.name(), told(*event)));
    let described = all.chain([(TEST, ("A test was asked for.", Type::written::<RecordEvent>()))]);
    Json::Object(described.map(|(name, told)| (name.to_owned(), webhook(name, told, components))).collect::<Map<_, _>>())
}

fn webhook(name: &str, (about, known): (&str, &'static Type), components: &mut Components) -> Json {
    let header = |name: &str, about: &str, schema: Json| json!({"name": name, "in": "header", "required": true, "description": about, "schema": schema});
    let data = components.of(known, &API);
    // The envelope's own type, so that a client knows by it what the data is.
    let schema = json!({
        "type": "object",
        "description": about,
        "properties": {
            "type": {"type": "string", "const": name, "description": "What happened."},
            "timestamp": {"type": "string", "format": "date-time", "maxLength": 64},
            "sequence": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": 9_007_199_254_740_991_i64,
                "description": "Events about the same thing have rising numbers: one that is lower than what is known already came late, and can be dropped.",
            },
            "data": data,
        },
        "required": ["type", "timestamp", "sequence", "data"],
    });
    let example = json!({"type": name, "timestamp": EXAMPLE_TIME, "sequence": 1_796_059_956_000_000_i64, "data": known.example(&API)});
    let payload = components.payload(name, schema);
    json!({"post": {
        "operationId": format!("on{}", pascal(name)),
        "tags": [TAG],
        "summary": about,
        "description": "Sent to each webhook that wants it; with ids and plain facts, and no personal data. Verify the signature before \
                        you believe it. Any 2xx within 10 seconds takes it.",
        "security": [],
        "parameters": [
            header("webhook-id", "The event's id: the same for every attempt.", json!({"type": "string", "format": "uuid", "maxLength": 36})),
            header("webhook-timestamp", "When this attempt was made, in seconds since 1970.", json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_102_444_800_i64})),
            header(
                "webhook-signature",
                "`v1,` and the HMAC-SHA256, in Base64, of id, timestamp and body with full stops between, made with the webhook's secret.",
                json!({"type": "string", "maxLength": 1_000}),
            ),
            header(
                "x-webhook-signature",
                "`sha256=` and the HMAC-SHA256, in hexadecimal, of the body alone, made with the webhook's present secret: for receivers that know \
                 only this. It does not tell when it was made.",
                json!({"type": "string", "maxLength": 71}),
            ),
        ],
        "requestBody": {"required": true, "content": {"application/json": {"schema": payload, "example": example}}},
        "responses": {"2XX": {"description": "It was taken."}, "default": {"description": "It is tried again."}},
    }})
}

/// `member.role_updated` as `MemberRoleUpdated`.
pub(super) fn pascal(name: &str) -> String {
    let words = name.split(['.', '_']);
    words.map(|word| word.chars().take(1).map(|first| first.to_ascii_uppercase()).chain(word.chars().skip(1)).collect::<String>()).collect()
}
