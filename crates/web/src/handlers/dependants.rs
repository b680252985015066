//! What customers own: one set of adapters for all kinds.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use plane::dependants::{self, Field, Holds, Kind};
use serde_json::{Map, Value as Json, json};

use crate::body::Fields;
use crate::dialect::API;
use crate::door::Door;
use crate::problem::Answer;
use crate::schema::Type;
use crate::shapes::nullable;
use crate::shapes::words::{SUBSCRIPTION_STATUS, TRANSACTION_STATUS};
use crate::views;

/// What is given to make an entry of a kind, from its table of fields.
pub(crate) fn new_entry(kind: &Kind, name: &str, about: &str) -> Type {
    let is_needed = |field: &Field| field.required && field.holds != Holds::Time;
    let about_field = |field: &Field| match field.holds {
        Holds::Word(words) => format!("{} if missing.", words[0]),
        Holds::Time if field.required => "Now if missing.".to_owned(),
        _ => field.about.to_owned(),
    };
    let properties = kind.fields.iter().map(|field| {
        let mut schema = schema_of(field, name, !is_needed(field), about_field(field));
        if let Holds::Word(words) = field.holds {
            schema["examples"] = json!([words[0]]);
        }
        (field.name.to_owned(), schema)
    });
    let required: Vec<&str> = kind.fields.iter().filter(|field| is_needed(field)).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "description": about, "properties": properties.collect::<Map<_, _>>()});
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    Type::made(format!("New{name}"), schema, words_of(kind, name))
}

/// What is given to change one.
pub(crate) fn changed_entry(kind: &Kind, name: &str, one: &str) -> Type {
    let properties = kind.fields.iter().map(|field| {
        let can_be_emptied = !field.required && !matches!(field.holds, Holds::Word(_));
        let about = if can_be_emptied { "Null takes it away." } else { field.about };
        (field.name.to_owned(), schema_of(field, name, can_be_emptied, about.to_owned()))
    });
    let about = format!("What shall be changed about {one}. What is missing stays.");
    let schema = json!({"type": "object", "description": about, "properties": properties.collect::<Map<_, _>>()});
    Type::made(format!("{name}Change"), schema, words_of(kind, name))
}

fn schema_of(field: &Field, name: &str, is_nullable: bool, about: String) -> Json {
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
    let words = [&SUBSCRIPTION_STATUS, &TRANSACTION_STATUS].into_iter();
    let of_kind = words.map(|words| (words.component(&API), words.schema(&API))).filter(|(known, _)| *known == format!("{name}Status"));
    of_kind
        .map(|(known, mut schema)| {
            let all = kind.fields.iter().find_map(|field| if let Holds::Word(words) = field.holds { Some(words.join(", ")) } else { None });
            schema["x-refusal"] = json!(["unknown_word", format!("must be one of {}", all.unwrap_or_default())]);
            (known, schema)
        })
        .collect()
}

pub(crate) async fn list(kind: &'static Kind, door: Door, (organization, customer): (String, String)) -> Answer {
    let page = dependants::list(&door.cx, &door.organization(&organization)?, &customer, kind, door.query.page()?).await?;
    Ok(views::page(door.dialect, page, views::dependant))
}

pub(crate) async fn create(kind: &'static Kind, door: Door, (organization, customer): (String, String), Fields(given): Fields) -> Answer {
    let dependant = dependants::create(&door.cx, &door.organization(&organization)?, &customer, kind, given).await?;
    Ok(views::tagged(StatusCode::CREATED, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn read(kind: &'static Kind, door: Door, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    let dependant = dependants::get(&door.cx, &organization, &customer, kind, id).await?;
    Ok(views::tagged(StatusCode::OK, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn update(
    kind: &'static Kind,
    door: Door,
    (organization, customer, id): (String, String, String),
    given: Fields,
) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    let dependant = dependants::update(&door.cx, &organization, &customer, kind, id, given.0).await?;
    Ok(views::tagged(StatusCode::OK, &dependant.etag(), views::dependant(door.dialect, dependant)))
}

pub(crate) async fn remove(kind: &'static Kind, door: Door, (organization, customer, id): (String, String, String)) -> Answer {
    let (organization, id) = (door.organization(&organization)?, door.id("id", &id)?);
    dependants::remove(&door.cx, &organization, &customer, kind, id, door.reason()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
