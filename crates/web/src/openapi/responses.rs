//! What an operation answers: its success, the plan of a deletion that is only looked at, and its errors.

use axum::http::{Method, StatusCode};
use plane::FieldError;
use serde_json::{Map, Value as Json, json};

use super::components::Components;
use super::headers;
use super::operations::Place;
use crate::answers::Pagination;
use crate::blocker_links::BlockerOut;
use crate::catalogue::{Access, Content, Operation};
use crate::conditional::has_tag;
use crate::dialect::Dialect;
use crate::problem::{self, Problem, describe};
use crate::schema::Type;

/// Characters of a page, or of a stream as long as it goes on.
const MOST_TEXT: i32 = i32::MAX;

/// What else a deletion may answer.
const PLANNED: &str = "With `validate_only`: what it would do. Nothing has been changed.";

/// Every answer of an operation, by its status.
pub(super) fn responses(Place { surface, operation, .. }: Place, components: &mut Components) -> Json {
    let dialect = surface.dialect;
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), success(dialect, operation, components));
    if let Some(plan) = operation.plan {
        let example = plan.example(dialect);
        let plan = components.of(plan, dialect);
        match responses.get_mut("200") {
            Some(deleted) => {
                // Each has fields that the other must not lack, so that no client takes one for the other.
                let content = &mut deleted["content"]["application/json"];
                let (schema, done) = (content["schema"].take(), content["example"].take());
                *content = json!({"schema": {"oneOf": [schema, plan]}, "examples": {
                    "deleted": {"summary": operation.answer, "value": done},
                    "planned": {"summary": PLANNED, "value": example},
                }});
            }
            None => {
                let content = json!({"application/json": {"schema": plan, "example": example}});
                responses.insert("200".into(), json!({"description": PLANNED, "headers": headers::and(&[]), "content": content}));
            }
        }
    }
    if operation.method == Method::GET && operation.status == 200 && has_tag(operation.content) {
        responses
            .insert("304".into(), json!({"description": "It is the one that `If-None-Match` names.", "headers": headers::and(&["ETag"])}));
    }
    if let Content::File(kind) = operation.content {
        let content = json!({kind: {"schema": {"type": "string", "format": "binary"}}});
        let headers = headers::and(&["Accept-Ranges", "Content-Range", "ETag"]);
        responses.insert("206".into(), json!({"description": "The bytes that `Range` names.", "headers": headers, "content": content}));
    }
    if let Some(when) = operation.redirects {
        responses.insert("303".into(), json!({"description": when, "headers": headers::and(&["Location"])}));
    }
    for (status, words) in &operation.refusals {
        let refusal = Refusal { status: *status, words };
        responses.entry(status.to_string()).or_insert_with(|| components.refusal(dialect, refusal));
    }
    for status in usual_refusals(dialect, operation) {
        responses.entry(status.to_string()).or_insert_with(|| components.usual(dialect, status));
    }
    let problem = components.problem(dialect);
    let content = json!({dialect.error_type: {"schema": problem}});
    responses.insert("default".into(), json!({"description": "Any other error.", "headers": headers::and(&[]), "content": content}));
    Json::Object(responses)
}

/// The statuses that follow from what an operation takes and who it is for.
fn usual_refusals(dialect: &Dialect, operation: &Operation) -> Vec<u16> {
    // What an operation does not know is refused by each, and so is what cannot be read: a body where it takes none, too.
    let mut statuses = vec![400, 408, 413, 415, 417];
    if operation.access != Access::Anybody {
        statuses.push(401);
    }
    if matches!(operation.access, Access::Operators | Access::May(_) | Access::MayOrOwn(..)) {
        statuses.push(403);
    }
    if !operation.path_parameters().is_empty() || operation.is_of_current {
        statuses.push(404);
    }
    // The first request with the same `Idempotency-Key` is still under way, or was another one.
    if operation.is_repeatable() {
        statuses.extend([409, 422]);
    }
    // A change of what has no tag meets no condition but the star; a read has one where its answer is comparable.
    if operation.method != Method::GET || (operation.status == 200 && has_tag(operation.content)) {
        statuses.push(412);
    }
    if dialect.invalid.as_u16() == 422 {
        statuses.push(422);
    }
    statuses.extend([429, 500]);
    statuses
}

/// An error that an operation may answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal<'a> {
    pub status: u16,
    /// What it means here.
    pub words: &'a str,
}

/// What a status means wherever no more is said.
pub(super) fn refusal_words(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be understood, or some fields are not acceptable.",
        401 => problem::UNAUTHORIZED,
        403 => "The credential is good, and does not allow this.",
        404 => "There is no such thing, or none that you may know of.",
        408 => "The body took too long to arrive.",
        409 => "The state of things does not allow this now.",
        412 => "What the request was based on has changed.",
        413 => "The body is too large.",
        415 => "The body is of a type, charset or coding that is not read.",
        417 => "The header `Expect` can only be `100-continue`.",
        422 => "Some fields are not acceptable, or the `Idempotency-Key` was used for another request.",
        429 => "Too many requests.",
        _ => "Something went wrong on the server's side.",
    }
}

impl Refusal<'_> {
    fn described(self) -> (&'static str, &'static str, bool) {
        describe(StatusCode::from_u16(self.status).unwrap_or_default())
    }

    /// The status in words.
    pub fn title(self) -> &'static str {
        self.described().1
    }

    pub fn response(self, dialect: &Dialect, public_url: &str, problem: Json) -> Json {
        let content = json!({dialect.error_type: {"schema": problem, "example": self.example(dialect, public_url)}});
        json!({"description": self.words, "headers": headers::of_refusal(self.status), "content": content, "x-error-code": self.described().0})
    }

    fn example(self, dialect: &Dialect, public_url: &str) -> Json {
        let (code, title, retryable) = self.described();
        let mut problem = Type::written::<Problem>().example(dialect);
        let said = [
            ("type", json!(format!("{public_url}/docs/errors/{code}"))),
            ("title", title.into()),
            ("status", self.status.into()),
            ("detail", self.words.into()),
            ("error_code", code.into()),
            ("retryable", retryable.into()),
        ];
        for (name, value) in said {
            problem[name] = value;
        }
        if dialect.nest_errors {
            problem["statusCode"] = self.status.into();
            problem["message"] = self.words.into();
            problem["error"] = title.into();
        }
        if dialect.success_errors {
            problem["success"] = false.into();
            problem["message"] = self.words.into();
        }
        let more = |known: &Type| json!([known.example(dialect)]);
        match self.status {
            status if status == dialect.invalid.as_u16() => problem["errors"] = more(Type::written::<FieldError>()),
            409 if self.words.contains("blockers") => problem["blockers"] = more(Type::written::<BlockerOut>()),
            429 => problem["retry_after_seconds"] = 12.into(),
            _ => {}
        }
        problem
    }
}

fn success(dialect: &'static Dialect, operation: &Operation, components: &mut Components) -> Json {
    let mut response = json!({"description": operation.answer, "headers": headers::of_success(operation)});
    let text = || json!({"type": "string", "maxLength": MOST_TEXT});
    let json_body = |schema: Json, example: Json| json!({"application/json": {"schema": schema, "example": example}});
    let content = match operation.content {
        Content::Nothing => None,
        Content::One(record) => Some(json_body(components.of(record, dialect), record.example(dialect))),
        Content::List(record) => {
            let schema = json!({"type": "array", "items": components.of(record, dialect), "maxItems": 10_000});
            Some(json_body(schema, json!([record.example(dialect)])))
        }
        Content::Page(record) | Content::Slices(record) => {
            let pagination = Type::written::<Pagination>().example(dialect);
            let example = json!({"data": [record.example(dialect)], "pagination": pagination});
            Some(json_body(components.page(record, dialect, matches!(operation.content, Content::Slices(_))), example))
        }
        Content::Html => Some(json!({"text/html": {"schema": text()}})),
        Content::Document => Some(json!({"application/json": {"schema": {"type": "object", "additionalProperties": true}}})),
        Content::File(kind) => Some(json!({kind: {"schema": {"type": "string", "format": "binary"}}})),
        Content::Text(kind) => Some(json!({kind: {"schema": text()}})),
    };
    if let Some(content) = content {
        response["content"] = content;
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
