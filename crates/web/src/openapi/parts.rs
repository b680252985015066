//! The documents that are served: the whole, and one for each documented surface, as its reference document describes it.

use crate::catalogue::Surface;

/// One document.
#[derive(Debug)]
pub(crate) struct Part {
    /// Where it is served.
    pub path: &'static str,
    pub title: &'static str,
    pub version: &'static str,
    pub summary: &'static str,
    pub introduction: &'static str,
    /// What the addresses of the one surface that it is about begin with; all surfaces if there is none.
    surface: Option<&'static str>,
    /// What its servers' addresses end with, and those of its operations therefore do not begin with.
    pub base: &'static str,
    /// Whether it says what webhooks are sent.
    pub has_webhooks: bool,
}

/// Every document, the whole first.
pub(crate) static PARTS: [Part; 4] = [
    Part {
        path: "/openapi.json",
        title: "Freehold",
        version: env!("CARGO_PKG_VERSION"),
        summary: "The account plane a SaaS product owns instead of rents.",
        introduction: INTRODUCTION,
        surface: None,
        base: "",
        has_webhooks: true,
    },
    Part {
        path: "/openapi/openapi-organizations.json",
        title: "Organizations API",
        version: "1.0",
        summary: "Organizations, members, customers, webhooks and OAuth apps.",
        introduction: ORGANIZATIONS,
        surface: Some("/api"),
        base: "/api",
        has_webhooks: true,
    },
    Part {
        path: "/openapi/openapi-account.json",
        title: "Account API",
        version: "1.0.0",
        summary: "Users, their organizations, members and API keys.",
        introduction: ACCOUNTS,
        surface: Some("/account/api/v1"),
        base: "",
        has_webhooks: false,
    },
    Part {
        path: "/openapi/openapi-customer.json",
        title: "Customer API",
        version: "1.0.0",
        summary: "Customers of the credential's organization.",
        introduction: CUSTOMERS,
        surface: Some("/customer"),
        base: "",
        has_webhooks: false,
    },
];

impl Part {
    /// Whether a surface is in it. What is no documented surface is in the whole only.
    pub fn has(&self, surface: &Surface) -> bool {
        self.surface.is_none_or(|prefix| prefix == surface.prefix)
    }

    /// Whether it is about everything.
    pub fn is_whole(&self) -> bool {
        self.surface.is_none()
    }
}

const INTRODUCTION: &str = "Organizations, members, invitations, customers, API keys and their deletion, on three surfaces: the organizations \
API below `/api`, the account API below `/account/api/v1`, the customer API below `/customer`. Each has a document of its own, too: \
`/openapi/openapi-organizations.json`, `/openapi/openapi-account.json`, `/openapi/openapi-customer.json`.\n\n\
**Credentials**: a bearer token of a sign-in or of an OAuth app, an API key in `X-API-Key`, or the cookie `sessionid`.\n\n\
**Errors** are problem details (RFC 9457). **Rate limits** are told in `RateLimit-*` on every answer. **Lists** come in pages \
(`page`, `page_size`) and, where they grow long, in slices (`after`). **Safe repeats**: send an `Idempotency-Key` with a POST or DELETE. \
**Lost updates**: send the `ETag` of what you read in `If-Match`. **Plans**: a DELETE with `validate_only` answers what it would do, and with \
the `plan` of that answer it does this or nothing.";

const ORGANIZATIONS: &str = "Manages organizations, their members, customers, API keys, webhooks and OAuth apps, and deletes them. Send a bearer \
token of a sign-in or of an OAuth app, or an API key in `X-API-Key`. Errors are problem details (RFC 9457) that also carry `statusCode`, \
`message` and `error`.";

const ACCOUNTS: &str = "Tells who is signed in, and manages organizations, members and API keys.\n\n\
## Authentication\n\n\
Send an API key in the header `X-API-Key`; its form is `csb_<body>_<checksum>`. Keys are made here, below `API Keys`. The bearer token of a \
sign-in or of an OAuth app and the cookie `sessionid` are taken, too.\n\n\
## Rate limits\n\n\
300 requests a minute and 10,000 a day, unless the server's operators or a key's own limits say otherwise. `RateLimit-Policy`, \
`RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` (seconds) are on every answer; `X-RateLimit-*` say the same, with \
`X-RateLimit-Reset` as Unix time. Beyond the limit the answer is 429 with `Retry-After`, and `retry_after_seconds` in its body.\n\n\
## Pagination\n\n\
Lists come as `data` and `pagination` (`page`, `page_size`, `total_count`, `total_pages`, `has_next`, `has_previous`). Ask for a page with \
`?page=2&page_size=50`; 100 entries at the most.\n\n\
## Errors\n\n\
Problem details (RFC 9457), as `application/problem+json`, with `error_code`: `unauthorized` (401), `forbidden` (403), `not_found` (404), \
`validation_error` (422), `rate_limited` (429), `internal_error` (500) and others, each with a page at `/docs/errors/{error_code}`.";

const CUSTOMERS: &str = "Manages the customers of the credential's organization, or of the one in `X-Organization`, and deletes them. Send a bearer \
token (JWT) of a sign-in; OAuth tokens and API keys are taken, too.\n\n\
ADMIN and MASTER delete every customer, RESALE those under their own management. A customer that was deleted is marked and kept for audit; \
with `hard=true`, for ADMIN only, it is erased. Every attempt is in the audit trail, also one that was refused. Errors are problem details \
(RFC 9457) with `success: false` and `message`.";
