//! `/docs/errors/{code}`: the pages that the `type` of every problem points at.

use axum::http::StatusCode;

use crate::docs;
use crate::problem::describe;

/// What each status means and what to do about it.
const REMEDIES: [(u16, &str, &str); 17] = [
    (400, "The request cannot be understood.", "Read <code>detail</code> and <code>errors</code>, change the request, send it again."),
    (401, "No credential came with the request, or it is not good (any more).", "Sign in again, or use a key that was not revoked."),
    (
        403,
        "The credential is good, and does not allow this.",
        "Ask an owner of the organization for the role or the scope that <code>detail</code> names.",
    ),
    (404, "There is no such thing, or none that you may know of.", "Check the id and the organization."),
    (405, "The address exists and does not take this method.", "Use a method that the header <code>Allow</code> names."),
    (408, "The request did not arrive in time.", "Send it again, faster."),
    (409, "The state of things does not allow this now.", "Each entry of <code>blockers</code> names its <code>remedy</code>."),
    (410, "It was there and has had its time.", "Order it anew."),
    (
        412,
        "What the request was based on has changed.",
        "Read the current state and decide again. For a deletion that was bound to a plan <code>drift</code> names each table with what was \
         planned and what is there now.",
    ),
    (413, "The body is too large.", "Send 1 MiB at the most."),
    (
        415,
        "The body is of a type, a charset or a coding that is not read here.",
        "Send <code>Content-Type: application/json</code> in UTF-8, as it is or with <code>Content-Encoding: gzip</code>.",
    ),
    (416, "The file has none of the bytes that are asked for.", "Look at <code>Content-Range</code> for its size, and ask for less."),
    (417, "The header <code>Expect</code> asks for what this server does not do.", "Send the request without it."),
    (422, "Some fields are not acceptable.", "Each entry of <code>errors</code> names a field, a code and what it must be."),
    (
        429,
        "Too many requests.",
        "Wait for <code>retry_after_seconds</code>; the headers <code>RateLimit-*</code> tell before it comes to this.",
    ),
    (500, "A defect of this server.", "Tell its operators the <code>request_id</code>."),
    (503, "The server cannot do this at the moment.", "Send the request again after the seconds in <code>Retry-After</code>."),
];

/// Every error code, by its status.
pub(crate) fn codes() -> Vec<&'static str> {
    REMEDIES.iter().filter_map(|(status, ..)| StatusCode::from_u16(*status).ok()).map(|status| describe(status).0).collect()
}

/// The page of an error code.
pub(crate) fn page(code: &str) -> Option<String> {
    REMEDIES.iter().find_map(|(status, meaning, remedy)| {
        let (known, title, retryable) = StatusCode::from_u16(*status).ok().map(describe)?;
        (known == code).then(|| {
            let again = if retryable { "The same request may succeed later." } else { "The same request will fail again." };
            let body = format!("<h1>{status} {title}</h1><p><code>{known}</code></p><p>{meaning} {again}</p><p>{remedy}</p>");
            docs::page(known, &body)
        })
    })
}
