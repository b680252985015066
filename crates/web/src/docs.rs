//! The documentation that the binary serves: `/docs` for people, `/llms.txt` and one Markdown page an operation for machines. Made from the
//! catalogue; nothing is loaded from elsewhere.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::catalogue::{Catalogue, Content, Operation, Surface};
use crate::openapi;
use crate::schema::{Type, is_nullable, one_line};

/// The pages that do not change while the server runs.
pub(crate) struct Docs {
    pub home: String,
    pub index: String,
    pub llms: String,
}

impl Docs {
    pub fn new(catalogue: &Catalogue, public_url: &str) -> Docs {
        Docs { home: page("Freehold", HOME), index: index(catalogue), llms: llms(catalogue, public_url) }
    }
}

const HOME: &str = "<h1>Freehold</h1><p>The account plane of this product. Its doors:</p><ul>\
<li><code>/api</code>: organizations, members, invitations, customers, API keys, audit, deletions</li>\
<li><code>/account/api/v1</code>: who am I, organizations, members, API keys</li>\
<li><code>/customer</code>: customers of the credential's organization</li>\
<li><a href=\"/.well-known/oauth-authorization-server\"><code>/oauth2</code></a>: tokens of OAuth apps</li>\
<li><a href=\"/docs\">Documentation</a>, <a href=\"/openapi.json\">OpenAPI</a>, <a href=\"/llms.txt\"><code>/llms.txt</code></a></li>\
<li><a href=\"/health/ready\"><code>/health/ready</code></a>, <a href=\"/.well-known/jwks.json\"><code>/.well-known/jwks.json</code></a></li></ul>";

/// A page around a body.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><link rel=\"stylesheet\" href=\"/dashboard/assets/docs.css\"></head><body>{body}</body></html>",
        escape(title)
    )
}

/// Text inside HTML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn index(catalogue: &Catalogue) -> String {
    let mut body = String::from(
        "<h1>Documentation</h1><p>Every operation of this server. For machines: <a href=\"/openapi.json\">OpenAPI 3.1</a> \
         (of the <a href=\"/openapi/openapi-organizations.json\">organizations API</a>, the <a href=\"/openapi/openapi-account.json\">account \
         API</a>, the <a href=\"/openapi/openapi-customer.json\">customer API</a>), <a href=\"/llms.txt\">llms.txt</a>.</p>",
    );
    for (tag, operations) in by_tag(catalogue) {
        let _ = write!(body, "<h2>{}</h2>", escape(&tag));
        for (surface, operation) in operations {
            body.push_str(&entry(surface, operation));
        }
    }
    page("Freehold: documentation", &body)
}

fn by_tag(catalogue: &Catalogue) -> Vec<(String, Vec<(&Surface, &Operation)>)> {
    let mut tags: Vec<(String, Vec<(&Surface, &Operation)>)> = Vec::new();
    for surface in &catalogue.surfaces {
        for operation in &surface.operations {
            let tag = openapi::tag_of(surface, operation.tag);
            match tags.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, operations)) => operations.push((surface, operation)),
                None => tags.push((tag, vec![(surface, operation)])),
            }
        }
    }
    tags
}

fn entry(surface: &Surface, operation: &Operation) -> String {
    let mut body = format!(
        "<details id=\"{id}\"><summary><b>{method}</b> <code>{path}</code> {says}</summary>",
        id = operation.id,
        method = operation.method,
        path = escape(&format!("{}{}", surface.prefix, operation.path)),
        says = escape(operation.summary),
    );
    for paragraph in openapi::words(surface, operation).split("\n\n") {
        let _ = write!(body, "<p>{}</p>", inline(paragraph));
    }
    let taken = operation.body.as_ref().map(|body| body.example(surface.dialect));
    let answered = record(operation.content).map(|record| record.example(surface.dialect));
    for (title, example) in [("Body", taken), ("Answer", answered)] {
        if let Some(example) = example {
            let _ = write!(body, "<h4>{title}</h4><pre>{}</pre>", escape(&pretty(&example)));
        }
    }
    let _ = write!(body, "<table><tr><th>status<th>meaning</tr><tr><td>{}<td>{}</tr>", operation.status, inline(operation.answer));
    for (status, words) in &operation.refusals {
        let _ = write!(body, "<tr><td>{status}<td>{}</tr>", inline(words));
    }
    let _ = write!(body, "</table><p><a href=\"/docs/operations/{}.md\">As Markdown</a></p></details>", operation.id);
    body
}

/// The little Markdown of the catalogue's sentences: code between back-ticks, strong words between two asterisks.
fn inline(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in escape(text).split('`').enumerate() {
        if place % 2 == 1 {
            let _ = write!(html, "<code>{part}</code>");
            continue;
        }
        for (place, part) in part.split("**").enumerate() {
            let _ = if place % 2 == 1 { write!(html, "<strong>{part}</strong>") } else { write!(html, "{part}") };
        }
    }
    html
}

fn record(content: Content) -> Option<&'static Type> {
    match content {
        Content::One(shape) | Content::List(shape) | Content::Page(shape) | Content::Slices(shape) => Some(shape),
        Content::Nothing | Content::Html | Content::Text(_) | Content::Document | Content::File(_) => None,
    }
}

fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn llms(catalogue: &Catalogue, public_url: &str) -> String {
    let mut text = String::from(
        "# Freehold\n\n> The account plane of this product: organizations, members, invitations, customers, API keys and their deletion.\n\n\
         Authenticate with `Authorization: Bearer <token>` (from `POST /api/auth/sign-in`) or `X-API-Key: <key>`. Errors are problem details \
         (RFC 9457) whose `type` is a page with the remedy. A DELETE answers with `Deletion-Id` and `Location`, where its receipt is.\n",
    );
    for (tag, operations) in by_tag(catalogue) {
        let _ = write!(text, "\n## {tag}\n\n");
        for (surface, operation) in operations {
            let _ = writeln!(
                text,
                "- [{} {}{}]({public_url}/docs/operations/{}.md): {}",
                operation.method, surface.prefix, operation.path, operation.id, operation.summary
            );
        }
    }
    text
}

/// One operation as Markdown.
pub(crate) fn operation_page(catalogue: &Catalogue, public_url: &str, id: &str) -> Option<String> {
    let (surface, operation) = catalogue
        .surfaces
        .iter()
        .flat_map(|surface| surface.operations.iter().map(move |operation| (surface, operation)))
        .find(|(_, operation)| operation.id == id)?;
    let mut text = format!(
        "# {}\n\n`{} {public_url}{}{}`\n\n{}\n",
        operation.summary,
        operation.method,
        surface.prefix,
        operation.path,
        openapi::words(surface, operation)
    );
    if !operation.parameters.is_empty() {
        text.push_str("\n## Parameters\n\n");
        for parameter in &operation.parameters {
            let about = one_line(&parameter.schema()["description"]);
            let _ = writeln!(text, "- `{}`: {about}", parameter.name);
        }
    }
    if let Some(body) = &operation.body {
        let _ = write!(text, "\n## Body\n\n{}\n\n", body.about());
        fields(&mut text, surface, body);
        let _ = write!(text, "\n```json\n{}\n```\n", pretty(&body.example(surface.dialect)));
    }
    let _ = write!(text, "\n## Answer\n\n**{}** {}\n", operation.status, operation.answer);
    if let Some(record) = record(operation.content) {
        text.push('\n');
        fields(&mut text, surface, record);
        let _ = write!(text, "\n```json\n{}\n```\n", pretty(&record.example(surface.dialect)));
    }
    if !operation.refusals.is_empty() {
        text.push_str("\n## Errors\n\n");
        for (status, words) in &operation.refusals {
            let _ = writeln!(text, "- **{status}** {words}");
        }
    }
    Some(text)
}

fn fields(text: &mut String, surface: &Surface, known: &Type) {
    for (name, schema, is_required) in known.fields(surface.dialect) {
        let need = if is_required && !is_nullable(&schema) { "" } else { ", optional" };
        let about = schema["description"].as_str().unwrap_or_default();
        let _ = writeln!(text, "- `{name}` ({}{need}) {about}", known.kind_of(&schema));
    }
}
