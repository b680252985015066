//! `/openapi.json`: the catalogue as an OpenAPI 3.1 document, made once when the server starts.

use plane::policy::{Action, Role, Verdict, decide, operator_may};
use serde_json::{Map, Value as Json, json};

use crate::catalogue::{Access, Catalogue, Content, Operation, Surface};
use crate::dialect::Dialect;
use crate::problem::describe;
use crate::shapes::{Shape, Way, records, reference};

/// The whole document.
pub(crate) fn document(catalogue: &Catalogue, public_url: &str) -> Json {
    let mut components = Components::default();
    let mut paths: Map<String, Json> = Map::new();
    let mut tags: Vec<Json> = Vec::new();
    for surface in &catalogue.surfaces {
        for operation in &surface.operations {
            let path = format!("{}{}", surface.prefix, operation.path);
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[operation.method.as_str().to_lowercase()] = describe_operation(surface, operation, &mut components);
            let tag = tag_of(surface, operation);
            if !tags.iter().any(|known| known["name"] == tag) {
                tags.push(json!({"name": tag, "description": surface.about}));
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The account plane a SaaS product owns instead of rents.",
            "description": INTRODUCTION,
            "contact": {"name": "The operators of this server", "url": public_url},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url, "description": "This server"}],
        "security": [{"bearer": []}],
        "tags": tags,
        "externalDocs": {"description": "The same for people", "url": format!("{public_url}/docs")},
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "headers": headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of a sign-in."},
                "APIKeyHeaderAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`<prefix>_<body>_<checksum>`"},
                "OAuthTokenAuth": {"type": "http", "scheme": "bearer", "description": "An access token of an OAuth app."},
                "SessionAuth": {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The cookie that a sign-in sets."},
            },
        },
    })
}

const INTRODUCTION: &str = "Organizations, members, invitations, customers, API keys and their deletion, on three surfaces: the organizations \
API below `/api`, the account API below `/account/api/v1`, the customer API below `/customer`.\n\n\
**Credentials**: a bearer token of a sign-in or of an OAuth app, an API key in `X-API-Key`, or the cookie `sessionid`.\n\n\
**Errors** are problem details (RFC 9457). **Rate limits** are told in `RateLimit-*` on every answer. **Lists** come in pages \
(`page`, `page_size`) and, where they grow long, in slices (`after`). **Safe repeats**: send an `Idempotency-Key` with a POST or DELETE. \
**Lost updates**: send the `ETag` of what you read in `If-Match`. **Plans**: a DELETE with `validate_only` answers what it would do, and with \
the `plan` of that answer it does this or nothing.";

/// The shapes that were referred to, under the names they have there.
#[derive(Default)]
struct Components {
    schemas: Map<String, Json>,
}

impl Components {
    fn of(&mut self, shape: &'static Shape, dialect: &'static Dialect, way: Way) -> Json {
        let name = shape.component(dialect);
        if !self.schemas.contains_key(&name) {
            self.schemas.insert(name, shape.schema(dialect, way));
            for inner in shape.inner() {
                self.of(inner, dialect, way);
            }
        }
        reference(shape, dialect)
    }

    fn page(&mut self, shape: &'static Shape, dialect: &'static Dialect, is_sliced: bool) -> Json {
        let entry = self.of(shape, dialect, Way::Out);
        let pagination = self.of(&records::PAGINATION, dialect, Way::Out);
        let name = format!("{}Page", shape.component(dialect));
        let pagination = match is_sliced {
            false => pagination,
            true => json!({"anyOf": [pagination, self.of(&records::SLICE, dialect, Way::Out)]}),
        };
        self.schemas.entry(name.clone()).or_insert_with(|| {
            json!({
                "type": "object",
                "description": "A part of a list.",
                "properties": {"data": {"type": "array", "items": entry}, "pagination": pagination},
                "required": ["data", "pagination"],
            })
        });
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn problem(&mut self, dialect: &'static Dialect) -> Json {
        let name = problem_name(dialect);
        if !self.schemas.contains_key(name) {
            let mut schema = records::PROBLEM.schema(dialect, Way::Out);
            for (extra, is) in records::PROBLEM_EXTRAS {
                schema["properties"][extra] = is.schema(dialect);
                if let crate::shapes::Is::Objects(inner) = is {
                    self.of(inner, dialect, Way::Out);
                }
            }
            let mut also = |member: &str, kind: &str| {
                schema["properties"][member] = json!({"type": kind});
                if let Some(required) = schema["required"].as_array_mut() {
                    required.push(member.into());
                }
            };
            if dialect.nest_errors {
                also("statusCode", "integer");
                also("message", "string");
                also("error", "string");
            }
            if dialect.success_errors {
                also("success", "boolean");
                also("message", "string");
            }
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("examples");
            }
            self.schemas.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn problem_name(dialect: &Dialect) -> &'static str {
    match (dialect.nest_errors, dialect.success_errors) {
        (true, _) => "Problem",
        (_, true) => "CustomerProblem",
        _ => "AccountProblem",
    }
}

/// Tags of the account and customer surfaces say whose they are.
pub(crate) fn tag_of(surface: &Surface, operation: &Operation) -> String {
    match surface.name {
        "" => operation.tag.to_owned(),
        name => format!("{name}: {}", operation.tag),
    }
}

fn describe_operation(surface: &Surface, operation: &Operation, components: &mut Components) -> Json {
    let dialect = surface.dialect;
    let mut described = json!({
        "operationId": operation.id,
        "tags": [tag_of(surface, operation)],
        "summary": operation.summary,
        "description": words(surface, operation),
        "security": security(surface, operation),
        "responses": responses(surface, operation, components),
        "x-access": access_data(operation.access),
    });
    let parameters: Vec<Json> =
        path_parameters(dialect, operation).chain(query_parameters(dialect, operation)).chain(header_parameters(operation)).collect();
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = operation.body {
        let schema = components.of(body, dialect, Way::In);
        let content = json!({"schema": schema, "example": body.example(dialect)});
        described["requestBody"] = json!({"required": true, "description": body.about, "content": {"application/json": content}});
        if operation.takes_forms {
            described["requestBody"]["content"]["application/x-www-form-urlencoded"] = content;
        }
        if operation.takes_lists {
            let schema = json!({"type": "string", "description": LIST});
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
        0 => format!("For nobody.{operators}"),
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
        let (schema, about) = path_parameter(dialect, operation, name);
        json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
    })
}

/// What a part of an address holds, by its name and place.
fn path_parameter(dialect: &Dialect, operation: &Operation, name: &str) -> (Json, &'static str) {
    let id = crate::shapes::Is::Id.schema(dialect);
    let before = operation.path.split(&format!("{{{name}}}")).next().unwrap_or_default();
    match before.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default() {
        "organizations" | "organization" if dialect.slugs => {
            (crate::shapes::ORGANIZATION.schema(dialect), "The organization's UUID, shortuuid or slug.")
        }
        "organizations" | "organization" => (id, "UUID of the organization, as a shortuuid."),
        "customers" | "customer" | "extend" | "addscreen" | "" => {
            (json!({"type": "string", "minLength": 1, "maxLength": 100}), "The customer's id: an opaque string.")
        }
        "members" if dialect.short_ids => (id, "UUID of the membership record."),
        "members" => (id, "UUID of the membership record, not the user's."),
        "apps" => (json!({"type": "string", "minLength": 1, "maxLength": 100}), "The app's client id."),
        "errors" => (json!({"type": "string", "maxLength": 100}), "An error code."),
        "operations" => (json!({"type": "string", "maxLength": 100}), "An operation's id, with `.md`."),
        _ => (id, "Its id."),
    }
}

fn query_parameters<'a>(dialect: &'a Dialect, operation: &'a Operation) -> impl Iterator<Item = Json> + 'a {
    operation.parameters.iter().map(move |parameter| {
        json!({"name": parameter.name, "in": "query", "required": false, "description": parameter.about, "schema": parameter.is.schema_in(dialect)})
    })
}

fn header_parameters(operation: &Operation) -> impl Iterator<Item = Json> {
    let header = |name: &str, about: &str, pattern: &str| json!({"name": name, "in": "header", "required": false, "description": about, "schema": {"type": "string", "pattern": pattern}});
    let repeats = matches!(operation.method, axum::http::Method::POST | axum::http::Method::DELETE);
    let changes = operation.is_conditional();
    let idempotency = repeats.then(|| {
        header(
            "Idempotency-Key",
            "The same key with the same request gets the same answer for 24 hours, unless the server is set to more days, and nothing is done twice.",
            "^[!-~]{1,255}$",
        )
    });
    let precondition = changes.then(|| header("If-Match", "The `ETag` of what you read: 412 if it has changed since.", "^[ -~]{1,200}$"));
    idempotency.into_iter().chain(precondition)
}

fn responses(surface: &Surface, operation: &Operation, components: &mut Components) -> Json {
    let dialect = surface.dialect;
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), success(surface, operation, components));
    if operation.deletes {
        let plan = components.of(operation.plan, dialect, Way::Out);
        match responses.get_mut("200") {
            Some(deleted) => {
                let schema = &mut deleted["content"]["application/json"]["schema"];
                *schema = json!({"anyOf": [schema.take(), plan]});
                deleted["description"] = format!("{} {PLANNED}", operation.answer).into();
            }
            None => {
                let example = operation.plan.example(dialect);
                let content = json!({"application/json": {"schema": plan, "example": example}});
                responses.insert("200".into(), json!({"description": PLANNED, "headers": limit_headers(), "content": content}));
            }
        }
    }
    let problem = components.problem(dialect);
    let mut refuse = |status: u16, words: &str| {
        let (code, ..) = describe(axum::http::StatusCode::from_u16(status).unwrap_or_default());
        let about = if words.is_empty() { refusal_words(status) } else { words };
        responses.entry(status.to_string()).or_insert_with(|| {
            json!({"description": about, "headers": limit_headers(), "content": {dialect.error_type: {"schema": problem.clone()}},
                   "x-error-code": code})
        });
    };
    for (status, words) in &operation.refusals {
        refuse(*status, words);
    }
    for status in usual_refusals(dialect, operation) {
        refuse(status, "");
    }
    responses.insert(
        "default".into(),
        json!({"description": "Any other error.", "headers": limit_headers(), "content": {dialect.error_type: {"schema": problem}}}),
    );
    Json::Object(responses)
}

/// The statuses that follow from what an operation takes and whom it is for.
pub(crate) fn usual_refusals(dialect: &Dialect, operation: &Operation) -> Vec<u16> {
    let mut statuses = Vec::new();
    let takes_input = operation.body.is_some() || !operation.parameters.is_empty() || !operation.path_parameters().is_empty();
    if operation.body.is_some() || (takes_input && dialect.invalid.as_u16() == 400) {
        statuses.push(400);
    }
    if operation.access != Access::Anybody {
        statuses.push(401);
    }
    if matches!(operation.access, Access::Operators | Access::May(_) | Access::MayOrOwn(..)) {
        statuses.push(403);
    }
    if !operation.path_parameters().is_empty() {
        statuses.push(404);
    }
    if operation.is_conditional() || (operation.deletes && operation.method == axum::http::Method::DELETE) {
        statuses.push(412);
    }
    if takes_input && dialect.invalid.as_u16() == 422 {
        statuses.push(422);
    }
    statuses.push(429);
    statuses
}

/// What else a deletion may answer.
const PLANNED: &str = "With `validate_only`: what it would do. Nothing has been changed.";

fn refusal_words(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be understood, or some fields are not acceptable.",
        401 => "Authentication required. Provide a valid bearer token.",
        403 => "The credential is good, and does not allow this.",
        404 => "There is no such thing, or none that you may know of.",
        409 => "The state of things does not allow this now.",
        412 => "What the request was based on has changed.",
        422 => "Some fields are not acceptable.",
        _ => "Too many requests.",
    }
}

fn success(surface: &Surface, operation: &Operation, components: &mut Components) -> Json {
    let dialect = surface.dialect;
    let mut response = json!({"description": operation.answer, "headers": limit_headers()});
    let json_body = |schema: Json, example: Json| json!({"application/json": {"schema": schema, "example": example}});
    let content = match operation.content {
        Content::Nothing => None,
        Content::One(shape) => Some(json_body(components.of(shape, dialect, Way::Out), shape.example(dialect))),
        Content::List(shape) => {
            Some(json_body(json!({"type": "array", "items": components.of(shape, dialect, Way::Out)}), json!([shape.example(dialect)])))
        }
        Content::Page(shape) | Content::Slices(shape) => {
            let example = json!({"data": [shape.example(dialect)], "pagination": records::PAGINATION.example(dialect)});
            Some(json_body(components.page(shape, dialect, matches!(operation.content, Content::Slices(_))), example))
        }
        Content::Html => Some(json!({"text/html": {"schema": {"type": "string"}}})),
        Content::Text("application/json") => Some(json!({"application/json": {"schema": {"type": "object"}}})),
        Content::File(kind) => Some(json!({kind: {"schema": {"type": "string", "format": "binary"}}})),
        // Its schema is that of each event.
        Content::Text(kind @ "text/event-stream") => Some(json!({kind: {"schema": {
            "type": "object",
            "required": ["event", "data"],
            "properties": {"event": {"type": "string"}, "data": {"type": "string", "contentMediaType": "application/json"}},
        }}})),
        Content::Text(kind) => Some(json!({kind: {"schema": {"type": "string"}}})),
    };
    if let Some(content) = content {
        response["content"] = content;
    }
    if operation.has_etag && !operation.deletes {
        response["headers"]["ETag"] = json!({"$ref": "#/components/headers/ETag"});
    }
    if operation.deletes {
        response["headers"]["Deletion-Id"] = json!({"$ref": "#/components/headers/Deletion-Id"});
    }
    if operation.deletes || operation.has_location {
        response["headers"]["Location"] = json!({"$ref": "#/components/headers/Location"});
    }
    let links: Map<String, Json> = operation
        .links
        .iter()
        .map(|link| {
            let parameters: Map<String, Json> =
                link.with.iter().map(|(name, place)| ((*name).to_owned(), Json::from(expression(place)))).collect();
            (link.to.to_owned(), json!({"operationId": link.to, "parameters": parameters}))
        })
        .collect();
    if !links.is_empty() {
        response["links"] = Json::Object(links);
    }
    response
}

/// `body.id` or `path.organizationId` as an OpenAPI runtime expression.
fn expression(place: &str) -> String {
    match place.split_once('.') {
        Some(("body", rest)) => format!("$response.body#/{}", rest.replace('.', "/")),
        Some((_, name)) => format!("$request.path.{name}"),
        None => place.to_owned(),
    }
}

const LIMIT_HEADERS: [&str; 8] = [
    "RateLimit-Policy",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
];

fn limit_headers() -> Json {
    Json::Object(LIMIT_HEADERS.iter().map(|name| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}))).collect())
}

fn headers() -> Json {
    let header = |about: &str, schema: Json| json!({"description": about, "schema": schema});
    json!({
        "RateLimit-Policy": header("Every active window, such as `300;w=60, 10000;w=86400`.", json!({"type": "string"})),
        "RateLimit-Limit": header("Quota of the most restrictive window.", json!({"type": "integer"})),
        "RateLimit-Remaining": header("Requests left in that window.", json!({"type": "integer"})),
        "RateLimit-Reset": header("Seconds until that window resets.", json!({"type": "integer"})),
        "X-RateLimit-Limit": header("The same as `RateLimit-Limit`.", json!({"type": "integer"})),
        "X-RateLimit-Remaining": header("The same as `RateLimit-Remaining`.", json!({"type": "integer"})),
        "X-RateLimit-Reset": header("Unix time at which that window resets.", json!({"type": "integer"})),
        "X-Request-Id": header("The request's id, for the server's operators. One of yours is kept if it is 8 to 64 letters, digits, `-`, `_`.", json!({"type": "string"})),
        "ETag": header("The record's revision, for `If-Match`.", json!({"type": "string"})),
        "Deletion-Id": header("The deletion's id.", json!({"type": "string", "format": "uuid"})),
        "Location": header("Where the record is of what was begun.", json!({"type": "string", "format": "uri-reference"})),
    })
}
