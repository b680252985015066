//! Headers of answers: what each says, once, and which answers have which.

use axum::http::Method;
use serde_json::{Map, Value as Json, json};

use crate::catalogue::{Content, Operation};
use crate::conditional::has_tag;

/// What every answer may have.
const EVERYWHERE: [&str; 9] = [
    "RateLimit-Policy",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
    "Access-Control-Allow-Origin",
];

/// The headers of an answer: those of every answer, and these.
pub(super) fn and(more: &[&str]) -> Json {
    let names = EVERYWHERE.iter().chain(more);
    Json::Object(names.map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}))).collect())
}

/// The headers of an operation's success.
pub(super) fn of_success(operation: &Operation) -> Json {
    let has = [
        ("ETag", (operation.has_etag && operation.plan.is_none()) || (operation.method == Method::GET && has_tag(operation.content))),
        ("Accept-Ranges", matches!(operation.content, Content::File(_))),
        ("Deletion-Id", operation.plan.is_some()),
        ("Location", operation.plan.is_some() || operation.has_location || operation.status == 201),
        ("Set-Cookie", operation.sets_cookie),
        ("Idempotency-Replayed", operation.is_repeatable()),
    ];
    and(&has.into_iter().filter_map(|(name, has)| has.then_some(name)).collect::<Vec<_>>())
}

/// The headers of an error.
pub(super) fn of_refusal(status: u16) -> Json {
    match status {
        416 => and(&["Content-Range"]),
        401 | 403 => and(&["WWW-Authenticate"]),
        408 | 429 | 503 => and(&["Retry-After"]),
        _ => and(&[]),
    }
}

/// All of them, as components.
pub(super) fn all() -> Json {
    let number = || json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": 4_102_444_800_i64});
    let text = || json!({"type": "string", "maxLength": 2_000});
    let of = [
        ("RateLimit-Policy", "Every active window, such as `300;w=60, 10000;w=86400`.", text()),
        ("RateLimit-Limit", "Quota of the most restrictive window.", number()),
        ("RateLimit-Remaining", "Requests left in that window.", number()),
        ("RateLimit-Reset", "Seconds until that window resets.", number()),
        ("X-RateLimit-Limit", "The same as `RateLimit-Limit`.", number()),
        ("X-RateLimit-Remaining", "The same as `RateLimit-Remaining`.", number()),
        ("X-RateLimit-Reset", "Unix time at which that window resets.", number()),
        (
            "X-Request-Id",
            "The request's id, for the server's operators. One of yours is kept if it is 8 to 64 letters, digits, `-`, `_`.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$", "maxLength": 64}),
        ),
        (
            "Access-Control-Allow-Origin",
            "The `Origin` of the request, or `*`: only where scripts of that origin may read the answer.",
            text(),
        ),
        ("ETag", "The state of what was read, for `If-None-Match`; of a record its revision, for `If-Match`, too.", text()),
        ("Accept-Ranges", "That parts of it can be asked for with `Range`.", json!({"type": "string", "enum": ["bytes"]})),
        ("Content-Range", "Which bytes these are, and of how many: `bytes 0-99/1000`; `bytes */1000` where there are none.", text()),
        (
            "Deletion-Id",
            "The deletion's id; missing where nothing was deleted.",
            json!({"type": "string", "format": "uuid", "maxLength": 36}),
        ),
        (
            "Location",
            "Where the record is of what was made or begun.",
            json!({"type": "string", "format": "uri-reference", "maxLength": 2_000}),
        ),
        ("Retry-After", "Seconds after which the request may succeed.", number()),
        (
            "WWW-Authenticate",
            "The kind of credential that is needed, and what is wrong with the one that came (RFC 6750). With 403: the scope that it lacks, if it does.",
            text(),
        ),
        ("Set-Cookie", "The cookie `sessionid`: for browsers, as good as the access token; empty when the session has ended.", text()),
        (
            "Idempotency-Replayed",
            "`true` where this is the kept answer to an earlier request with the same `Idempotency-Key`.",
            json!({"type": "string", "enum": ["true"]}),
        ),
    ];
    let described = of.into_iter().map(|(name, about, schema)| (name.to_owned(), json!({"description": about, "schema": schema})));
    Json::Object(described.collect::<Map<_, _>>())
}
