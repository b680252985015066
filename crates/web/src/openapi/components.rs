//! What operations share: the schemas that were referred to, and the answers that mean the same everywhere.

use serde_json::{Map, Value as Json, json};

use super::headers;
use super::responses::{Refusal, refusal_words};
use super::webhooks::pascal;
use crate::answers::{Pagination, Slice};
use crate::dialect::{API, Dialect};
use crate::problem::{More, Problem};
use crate::schema::Type;

/// Collects what is referred to, each under its name.
pub(super) struct Components<'a> {
    public_url: &'a str,
    schemas: Map<String, Json>,
    responses: Map<String, Json>,
}

impl<'a> Components<'a> {
    pub fn new(public_url: &'a str) -> Components<'a> {
        Components { public_url, schemas: Map::new(), responses: Map::new() }
    }

    /// A reference to a type.
    pub fn of(&mut self, known: &Type, dialect: &Dialect) -> Json {
        self.add(known.components(dialect));
        json!({"$ref": format!("#/components/schemas/{}", known.component(dialect))})
    }

    /// Adds schemas that are not there yet.
    pub fn add(&mut self, schemas: impl Iterator<Item = (String, Json)>) {
        for (name, schema) in schemas {
            self.schemas.entry(name).or_insert(schema);
        }
    }

    /// A list in its envelope.
    pub fn page(&mut self, record: &Type, dialect: &Dialect, is_sliced: bool) -> Json {
        let entry = self.of(record, dialect);
        let pagination = self.of(Type::written::<Pagination>(), dialect);
        let name = format!("{}Page", record.component(dialect));
        let pagination = match is_sliced {
            false => pagination,
            // Not `oneOf`: to generators that take a missing field for a null one, a page is a slice, too, and they refuse what is both.
            true => json!({"anyOf": [pagination, self.of(Type::written::<Slice>(), dialect)]}),
        };
        self.schemas.entry(name.clone()).or_insert_with(|| {
            json!({
                "type": "object",
                "description": "A part of a list.",
                "properties": {"data": {"type": "array", "items": entry, "maxItems": 100}, "pagination": pagination},
                "required": ["data", "pagination"],
            })
        });
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A reference to what webhooks are sent for an event.
    pub fn payload(&mut self, event: &str, schema: Json) -> Json {
        let name = format!("{}Payload", pascal(event));
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        self.schemas.insert(name, schema);
        reference
    }

    /// The error of a surface: what all have in common, and the surface's own members.
    pub fn problem(&mut self, dialect: &Dialect) -> Json {
        let name = problem_name(dialect);
        if !self.schemas.contains_key(name) {
            let common = self.of(Type::written::<Problem>(), &API);
            let more = Type::written::<More>();
            self.add(more.others(dialect));
            let mut properties: Map<String, Json> = more.fields(dialect).into_iter().map(|(name, schema, _)| (name, schema)).collect();
            let own: &[(&str, Json)] = match (dialect.nest_errors, dialect.success_errors) {
                (true, _) => &[
                    (
                        "statusCode",
                        json!({"type": "integer", "format": "int32", "minimum": 400, "maximum": 599, "description": "The same as `status`."}),
                    ),
                    ("message", json!({"type": "string", "maxLength": 100_000, "description": "The same as `detail`."})),
                    (
                        "error",
                        json!({"type": "string", "maxLength": 100, "description": "The same as `title`; at a token endpoint OAuth's code."}),
                    ),
                ],
                (_, true) => &[
                    ("success", json!({"type": "boolean", "description": "False."})),
                    ("message", json!({"type": "string", "maxLength": 100_000, "description": "The same as `detail`."})),
                ],
                _ => &[],
            };
            properties.extend(own.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())));
            let required: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
            let mut own = json!({"type": "object", "properties": properties});
            if !required.is_empty() {
                own["required"] = required.into();
            }
            self.schemas.insert(name.to_owned(), json!({"description": "An error of this surface.", "allOf": [common, own]}));
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// An error that means the same wherever it is answered.
    pub fn usual(&mut self, dialect: &Dialect, status: u16) -> Json {
        let refusal = Refusal { status, words: refusal_words(status) };
        let name = format!("{}{}", surface_name(dialect), refusal.title().replace(' ', ""));
        if !self.responses.contains_key(&name) {
            let response = self.refusal(dialect, refusal);
            self.responses.insert(name.clone(), response);
        }
        json!({"$ref": format!("#/components/responses/{name}")})
    }

    /// An error with words of its own.
    pub fn refusal(&mut self, dialect: &Dialect, refusal: Refusal) -> Json {
        let problem = self.problem(dialect);
        refusal.response(dialect, self.public_url, problem)
    }

    /// All that was collected.
    pub fn finish(mut self) -> Json {
        self.schemas.sort_keys();
        self.responses.sort_keys();
        json!({
            "schemas": self.schemas,
            "responses": self.responses,
            "headers": headers::all(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of a sign-in: a JWT, signed with ES256, its claims checked as RFC8725 says."},
                "APIKeyHeaderAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`<prefix>_<body>_<checksum>`"},
                "OAuthTokenAuth": {"type": "http", "scheme": "bearer", "description": "An access token of an OAuth app."},
                "SessionAuth": {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The cookie that a sign-in sets."},
            },
        })
    }
}

/// What the names of a surface's own components begin with.
fn surface_name(dialect: &Dialect) -> &'static str {
    match (dialect.nest_errors, dialect.success_errors) {
        (true, _) if dialect.error_type == "application/json" => "Oauth",
        (true, _) => "Organizations",
        (_, true) => "Customer",
        _ => "Account",
    }
}

fn problem_name(dialect: &Dialect) -> &'static str {
    match surface_name(dialect) {
        "Customer" => "CustomerProblem",
        "Account" => "AccountProblem",
        _ => "OrganizationsProblem",
    }
}
