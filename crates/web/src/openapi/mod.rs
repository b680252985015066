//! The OpenAPI documents: the catalogue in the words of OpenAPI 3.1, each document made when it is first asked for.

mod components;
mod headers;
mod operations;
mod parts;
mod responses;
mod serving;
mod webhooks;

use serde_json::{Map, Value as Json, json};

pub(crate) use operations::{tag_of, words};
pub(crate) use parts::{PARTS, Part};
pub(crate) use serving::Documents;

use crate::catalogue::Catalogue;
use components::Components;
use operations::{Place, describe};

/// One of the documents.
pub(crate) fn document(part: &Part, catalogue: &Catalogue, public_url: &str) -> Json {
    let mut components = Components::new(public_url);
    let mut paths: Map<String, Json> = Map::new();
    for surface in catalogue.surfaces.iter().filter(|surface| part.has(surface)) {
        for operation in &surface.operations {
            let address = format!("{}{}", surface.prefix, operation.path);
            let path = address.strip_prefix(part.base).unwrap_or(&address);
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[operation.method.as_str().to_lowercase()] = describe(Place { part, surface, operation }, &mut components);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": part.title,
            "version": part.version,
            "summary": part.summary,
            "description": part.introduction,
            "contact": {"name": "The operators of this server", "url": public_url},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": servers(part, public_url),
        // Each operation says which credentials it takes.
        "security": [],
        "tags": tags(part, catalogue),
        "externalDocs": {"description": "The same for people", "url": format!("{public_url}/docs")},
        "paths": paths,
    });
    if part.has_webhooks {
        document["webhooks"] = webhooks::webhooks(&mut components);
    }
    document["components"] = components.finish();
    document
}

/// This server, and the default address of one that runs where it is developed against.
fn servers(part: &Part, public_url: &str) -> Json {
    const LOCAL: &str = "http://localhost:3001";
    const ABOUT_LOCAL: &str = "Local development";
    let about = if public_url.starts_with("http://localhost") { ABOUT_LOCAL } else { "Production" };
    let server = |url: &str, about: &str| json!({"url": format!("{url}{}", part.base), "description": about, "x-internal": false});
    match public_url {
        LOCAL => json!([server(LOCAL, about)]),
        _ => json!([server(public_url, about), server(LOCAL, ABOUT_LOCAL)]),
    }
}

/// The tags of the operations, each with its description.
fn tags(part: &Part, catalogue: &Catalogue) -> Vec<Json> {
    let surfaces = catalogue.surfaces.iter().filter(|surface| part.has(surface));
    let mut tags: Vec<Json> = Vec::new();
    for (surface, (tag, about)) in surfaces.flat_map(|surface| surface.tags.iter().map(move |tag| (surface, tag))) {
        let name = if part.is_whole() { tag_of(surface, tag) } else { (*tag).to_owned() };
        if !tags.iter().any(|known| known["name"] == name) {
            tags.push(json!({"name": name, "description": about}));
        }
    }
    if part.has_webhooks {
        tags.push(json!({"name": webhooks::TAG, "description": "What is sent to your webhooks."}));
    }
    tags
}
