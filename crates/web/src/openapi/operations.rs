//! One operation in the words of OpenAPI: what it takes, who it is for.

use plane::policy::{Action, Role, Verdict, decide, operator_may};
use serde_json::{Value as Json, json};

use super::Part;
use super::components::Components;
use super::responses::responses;
use crate::catalogue::{Access, Content, Operation, Surface};
use crate::dialect::Dialect;
use crate::ranges::MOST_CHARACTERS;
use crate::schema;

/// An operation, where it stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub part: &'a Part,
    pub surface: &'a Surface,
    pub operation: &'a Operation,
}

/// Where all surfaces stand together, tags of the account and customer surfaces say whose they are.
pub(crate) fn tag_of(surface: &Surface, tag: &str) -> String {
    match surface.name {
        "" => tag.to_owned(),
        name => format!("{name}: {tag}"),
    }
}

pub(super) fn describe(place: Place, components: &mut Components) -> Json {
    let Place { part, surface, operation } = place;
    let dialect = surface.dialect;
    let tag = if part.is_whole() { tag_of(surface, operation.tag) } else { operation.tag.to_owned() };
    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "description": words(surface, operation),
        "security": security(surface, operation),
        "responses": responses(place, components),
        "x-access": access_data(operation.access),
    });
    let mut parameters: Vec<Json> = path_parameters(dialect, operation).collect();
    for parameter in &operation.parameters {
        components.add(parameter.of.others(dialect));
        let mut schema = parameter.of.field(&parameter.name, dialect);
        let about = schema["description"].take();
        if let Some(keywords) = schema.as_object_mut() {
            keywords.shift_remove("description");
        }
        let mut described = json!({"name": parameter.name, "in": "query", "required": false, "description": about, "schema": schema});
        if parameter.is_object() {
            // One parameter a member: `metadata[key]=text`.
            described["style"] = "deepObject".into();
            described["explode"] = true.into();
        }
        parameters.push(described);
    }
    parameters.extend(header_parameters(operation));
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        let schema = components.of(body, dialect);
        let content = json!({"schema": schema, "example": body.example(dialect)});
        described["requestBody"] = json!({"required": true, "description": body.about(), "content": {"application/json": content}});
        if operation.takes_forms {
            described["requestBody"]["content"]["application/x-www-form-urlencoded"] = content;
        }
        if operation.takes_lists {
            // Of no type: whatever the body is, it is text with lines.
            let schema = json!({"description": LIST});
            described["requestBody"]["content"]["text/csv"] = json!({"schema": schema, "example": "id\nuser123\nuser124\n"});
        }
    }
    described
}

const LIST: &str = "One id on each line, up to 100,000 of them and 12 MiB; a first line `id` is a heading.";

/// The operation's own words, then who may use it.
pub(crate) fn words(surface: &Surface, operation: &Operation) -> String {
    let mut words = String::from(operation.description);
    if !words.is_empty() {
        words.push_str("\n\n");
    }
    words.push_str(&access_words(surface.dialect, operation.access));
    words
}

fn access_words(dialect: &Dialect, access: Access) -> String {
    match access {
        Access::Anybody => "For everybody: no credential is needed.".into(),
        Access::Person => "For everybody who has signed in.".into(),
        Access::Operators => "For the operators of the server.".into(),
        Access::May(action) => format!("{} Scope: `{}`.", roles(dialect, action), action.scope()),
        Access::MayOrOwn(action, own) => {
            format!("{} What is one's own: {} Scope: `{}`.", roles(dialect, action), roles(dialect, own).to_lowercase(), action.scope())
        }
    }
}

fn roles(dialect: &Dialect, action: Action) -> String {
    let mut roles: Vec<String> = Vec::new();
    for role in Role::ALL {
        match decide(role, action) {
            Verdict::Yes => roles.push(dialect.role(role).into()),
            Verdict::Managed => roles.push(format!("{} (customers under their own management)", dialect.role(role))),
            Verdict::No => {}
        }
    }
    let operators = if operator_may(action) { " Operators of the server may too." } else { "" };
    match roles.len() {
        0 => format!("For no one.{operators}"),
        all if all == Role::ALL.len() => format!("For every member.{operators}"),
        _ => format!("For {}.{operators}", roles.join(", ")),
    }
}

fn access_data(access: Access) -> Json {
    match access {
        Access::Anybody => json!({"for": "anybody"}),
        Access::Person => json!({"for": "person"}),
        Access::Operators => json!({"for": "operators"}),
        Access::May(action) => json!({"for": "members", "action": format!("{action:?}"), "scope": action.scope()}),
        Access::MayOrOwn(action, own) => {
            json!({"for": "members", "action": format!("{action:?}"), "own": format!("{own:?}"), "scope": action.scope()})
        }
    }
}

fn security(surface: &Surface, operation: &Operation) -> Json {
    match (operation.access, surface.dialect.short_ids) {
        (Access::Anybody, _) => json!([]),
        (_, true) => json!([{"APIKeyHeaderAuth": []}, {"OAuthTokenAuth": []}, {"SessionAuth": []}]),
        (_, false) => json!([{"bearer": []}, {"APIKeyHeaderAuth": []}, {"OAuthTokenAuth": []}, {"SessionAuth": []}]),
    }
}

fn path_parameters<'a>(dialect: &'a Dialect, operation: &'a Operation) -> impl Iterator<Item = Json> + 'a {
    operation.path_parameters().into_iter().map(move |name| {
        let (mut schema, about) = path_parameter(dialect, operation, name);
        if dialect.short_ids {
            schema["title"] = title(name).into();
            schema["description"] = about.into();
        }
        json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
    })
}

/// `org_id` as a title: `Org Id`.
fn title(name: &str) -> String {
    let words = name
        .split('_')
        .map(|word| word.chars().take(1).map(|first| first.to_ascii_uppercase()).chain(word.chars().skip(1)).collect::<String>());
    words.collect::<Vec<_>>().join(" ")
}

/// What a part of an address holds, by its name and place.
fn path_parameter(dialect: &Dialect, operation: &Operation, name: &str) -> (Json, &'static str) {
    let id = schema::id(dialect);
    let text = |least: usize| json!({"type": "string", "minLength": least, "maxLength": 100});
    let before = operation.path.split(&format!("{{{name}}}")).next().unwrap_or_default();
    match before.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default() {
        "organizations" | "organization" if dialect.slugs => (schema::organization(), "The organization's UUID, shortuuid or slug."),
        "organizations" | "organization" => (id, "UUID of the organization, as a shortuuid."),
        "customers" | "customer" | "extend" | "addscreen" | "" => (text(1), "The customer's id: an opaque string."),
        "members" if dialect.short_ids => (id, "UUID of the membership record, as a shortuuid."),
        "members" => (id, "UUID of the membership record, not the user's."),
        "apps" => (text(1), "The app's client id."),
        "errors" => (text(0), "An error code."),
        "operations" => (text(0), "An operation's id, with `.md`."),
        _ => (id, "Its id."),
    }
}

/// The headers that an operation looks at beside the credential.
fn header_parameters(operation: &Operation) -> impl Iterator<Item = Json> {
    let header = |name: &str, about: &str, schema: Json| json!({"name": name, "in": "header", "required": false, "description": about, "schema": schema});
    let text = |pattern: &str, most: usize| json!({"type": "string", "pattern": pattern, "maxLength": most});
    let short = || text(&format!("^[ -~]{{1,{MOST_CHARACTERS}}}$"), MOST_CHARACTERS);
    let organization = operation.is_of_current.then(|| {
        header(
            "X-Organization",
            "The organization that is meant, by its UUID, shortuuid or slug: for a credential that is good for several.",
            schema::organization(),
        )
    });
    let idempotency = operation.is_repeatable().then(|| {
        header(
            "Idempotency-Key",
            "The same key with the same request gets the same answer for 24 hours, unless the server is set to more days, and nothing is done twice.",
            text("^[!-~]{1,255}$", 255),
        )
    });
    let precondition =
        operation.is_conditional().then(|| header("If-Match", "The `ETag` of what you read: 412 if it has changed since.", short()));
    let ranges = matches!(operation.content, Content::File(_)).then(|| {
        let range = header("Range", "Only these bytes, such as `bytes=1000-`; several ranges come to the whole.", short());
        let condition = header("If-Range", "Only if it is the one with this `ETag`; otherwise the whole.", short());
        let known = header("If-None-Match", "The `ETag` of what you have: 304 if it is the same.", short());
        let wanted = header("If-Match", "The `ETag` of what you want: 412 if it is another.", short());
        [range, condition, known, wanted]
    });
    organization.into_iter().chain(idempotency).chain(precondition).chain(ranges.into_iter().flatten())
}
