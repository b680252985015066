//! What customers own: one set of adapters for all kinds.

use axum::Json as JsonBody;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use plane::dependants::{self, Dependant, Field, Holds, Kind};
use serde_json::{Map, Value as Json, json};

use crate::answers::{part, tagged};
use crate::body::Fields;
use crate::caller::Caller;
use crate::dialect::{Dialect, time};
use crate::problem::Answer;
use crate::schema::{Type, nullable};

/// The record of an entry of a kind, from its table of fields.
pub(crate) fn record(kind: &Kind, name: &str, about: &str) -> Type {
    let own = [("id", json!({"type": "string", "format": "uuid"})), ("created_at", json!({"type": "string", "format": "date-time"}))];
    let own = own.map(|(name, schema)| (name.to_owned(), schema));
    let can_be_null = |field: &Field| !field.required && !matches!(field.holds, Holds::Word(_));
    let fields = kind.fields.iter().map(|field| {
        let schema = schema_of(field, name, can_be_null(field), field.about);
        (field.name.to_owned(), with_usual_word(field, schema))
    });
    let properties: Map<String, Json> = own.into_iter().chain(fields).collect();
    let required: Vec<&String> = properties.keys().collect();
    let schema = json!({"type": "object", "description": about, "required": required, "properties": properties});
    Type::made(name.to_owned(), false, schema, words_of(kind, name))
}

/// What is given to make one.
pub(crate) fn new_entry(kind: &Kind, name: &str, about: &str) -> Type {
    let is_needed = |field: &Field| field.required && field.holds != Holds::Time;
    let properties = kind.fields.iter().map(|field| {
        let schema = match field.holds {
            Holds::Word(words) => schema_of(field, name, true, &format!("{} if missing.", words[0])),
            Holds::Time if field.required => schema_of(field, name, true, "Now if missing."),
            _ => schema_of(field, name, !field.required, field.about),
        };
        (field.name.to_owned(), with_usual_word(field, schema))
    });
    let required: Vec<&str> = kind.fields.iter().filter(|field| is_needed(field)).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "description": about, "properties": properties.collect::<Map<_, _>>()});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    Type::made(format!("New{name}"), true, schema, words_of(kind, name))
}

/// The same with the word of most entries as its example.
fn with_usual_word(field: &Field, mut schema: Json) -> Json {
    if let Holds::Word(words) = field.holds {
        schema["examples"] = json!([words[0]]);
    }
    schema
}

/// What is given to change one.
pub(crate) fn changed_entry(kind: &Kind, name: &str, one: &str) -> Type {
    let properties = kind.fields.iter().map(|field| {
        let can_be_emptied = !field.required && !matches!(field.holds, Holds::Word(_));
        let about = if can_be_emptied { "Null takes it away." } else { field.about };
        (field.name.to_owned(), schema_of(field, name, can_be_emptied, about))
    });
    let about = format!("What shall be changed about {one}. What is missing stays.");
    let schema = json!({"type": "object", "description": about, "properties": properties.collect::<Map<_, _>>()});
    Type::made(format!("{name}Change"), true, schema, words_of(kind, name))
}

fn schema_of(field: &Field, name: &str, is_nullable: bool, about: &str) -> Json {
    let mut schema = match field.holds {
        Holds::Text(most) => json!({"type": "string", "minLength": 1, "maxLength": most}),
        Holds::Word(_) => json!({"$ref": format!("#/components/schemas/{name}Status")}),
        Holds::Number => json!({"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX}),
        Holds::Time => json!({"type": "string", "format": "date-time"}),
    };
    if is_nullable {
        schema = nullable(schema);
    }
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    if !field.like.is_empty() {
        let like = field.like.parse::<i64>().map_or_else(|_| Json::from(field.like), Json::from);
        schema["examples"] = json!([like]);
    }
    schema
}

/// The set of words of a kind, if a field of it holds one.
fn words_of(kind: &Kind, name: &str) -> Map<String, Json> {
    let words = kind.fields.iter().filter_map(|field| match field.holds {
        Holds::Word(words) => Some((field, words)),
        _ => None,
    });
    let of_kind = words.map(|(field, words)| {
        let refusal = ["unknown_word".to_owned(), format!("must be one of {}", words.join(", "))];
        (format!("{name}Status"), json!({"type": "string", "description": field.about, "enum": words, "x-refusal": refusal}))
    });
    of_kind.collect()
}

/// An entry as it is shown: its own times are as they were given.
fn view(dialect: &Dialect, entry: Dependant) -> Json {
    let own = [("id", dialect.id(entry.id)), ("created_at", time(entry.created_at))];
    Json::Object(own.into_iter().chain(entry.fields).map(|(name, value)| (dialect.name(name), value)).collect())
}

fn answer(caller: &Caller, status: StatusCode, entry: Dependant) -> Response<Body> {
    let etag = entry.etag();
    tagged((status, JsonBody(view(caller.dialect, entry))).into_response(), &etag)
}

pub(crate) async fn list(kind: &'static Kind, caller: Caller, (organization, customer): (String, String)) -> Answer {
    let page = dependants::list(&caller.cx, &caller.organization(&organization)?, &customer, kind, caller.query.page()?).await?;
    Ok(part(caller.dialect, page, |entry| view(caller.dialect, entry)))
}

pub(crate) async fn create(
    kind: &'static Kind,
    caller: Caller,
    (organization, customer): (String, String),
    Fields(given): Fields,
) -> Answer {
    let dependant = dependants::create(&caller.cx, &caller.organization(&organization)?, &customer, kind, given).await?;
    Ok(answer(&caller, StatusCode::CREATED, dependant))
}

pub(crate) async fn read(kind: &'static Kind, caller: Caller, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (caller.organization(&organization)?, caller.id("id", &id)?);
    let dependant = dependants::get(&caller.cx, &organization, &customer, kind, id).await?;
    Ok(answer(&caller, StatusCode::OK, dependant))
}

pub(crate) async fn update(
    kind: &'static Kind,
    caller: Caller,
    (organization, customer, id): (String, String, String),
    given: Fields,
) -> Answer {
    let (organization, id) = (caller.organization(&organization)?, caller.id("id", &id)?);
    let dependant = dependants::update(&caller.cx, &organization, &customer, kind, id, given.0).await?;
    Ok(answer(&caller, StatusCode::OK, dependant))
}

pub(crate) async fn remove(kind: &'static Kind, caller: Caller, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (caller.organization(&organization)?, caller.id("id", &id)?);
    dependants::remove(&caller.cx, &organization, &customer, kind, id, caller.reason()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
