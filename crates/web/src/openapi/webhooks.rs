//! The section `webhooks`: what is sent to those who listen, event by event.

use plane::events::Event;
use serde_json::{Map, Value as Json, json};

use super::components::Components;
use crate::dialect::API;
use crate::shapes::{Shape, Way, events};

/// The tag of these operations: not the one of those that manage webhooks, or some generators write the two into one file.
pub(super) const TAG: &str = "webhook-events";

/// Every event, under its name.
pub(super) fn webhooks(components: &mut Components) -> Json {
    let told = Event::ALL.iter().map(|event| {
        let (about, shape) = events::told(*event);
        (event.name(), about, shape)
    });
    let described = told.chain([events::TEST]).map(|(name, about, shape)| (name.to_owned(), webhook(name, about, shape, components)));
    Json::Object(described.collect::<Map<_, _>>())
}

fn webhook(name: &str, about: &str, shape: &'static Shape, components: &mut Components) -> Json {
    let header = |name: &str, about: &str, schema: Json| json!({"name": name, "in": "header", "required": true, "description": about, "schema": schema});
    let [kind, timestamp] = &events::ENVELOPE;
    let data = components.of(shape, &API, Way::Out);
    // The envelope's own type, so that a client knows by it what the data is.
    let schema = json!({
        "type": "object",
        "description": about,
        "properties": {
            (kind.name): {"type": "string", "const": name, "description": kind.about},
            (timestamp.name): components.schema(timestamp.is, &API, Way::Out),
            "data": data,
        },
        "required": ["type", "timestamp", "data"],
    });
    let example = json!({"type": name, "timestamp": timestamp.is.sample(&API), "data": shape.example(&API)});
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
