//! Types of Rust as schemas, and the one place where a surface spells them: names, forms of ids, words for roles, and the limits that follow
//! from what a field holds.

use std::any::TypeId;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jiff::Timestamp;
use plane::ids;
use plane::policy::Role;
use plane::wire::NO_CONTROLS;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::dialect::{Dialect, time};

/// A shortuuid as a pattern: the document's. What is larger than 128 bits fits it, and is refused all the same.
const SHORT_ID: &str = "^[23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz]{22}$";
/// A UUID as this server writes it.
const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";
/// How an organization is named where slugs are read: UUID, shortuuid or slug.
const ORGANIZATION: &str = "^([a-z0-9-]{3,50}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\
     [23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmn][23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz]{21})$";
/// Entries of a list of scopes or of events.
pub(crate) const MOST_WORDS: usize = 100;
/// Entries of a list of records inside another record.
const MOST_RECORDS: usize = 10_000;
/// The largest whole number that JavaScript has exactly, 2^53 - 1: no count comes near it.
const MOST_COUNTED: i64 = 9_007_199_254_740_991;
/// Characters of an entry of a list of texts.
const MOST_CHARACTERS: usize = 2_000;
/// The id in examples: the one of the reference documents.
const EXAMPLE_ID: Uuid = Uuid::from_u128(0x550e8400_e29b_41d4_a716_446655440000);

/// The time in examples.
pub(crate) const EXAMPLE_TIME: &str = "2026-01-20T14:45:00.000Z";

/// Space but U+0020, and characters that are left out when a text is shown, for a class of characters in a pattern: see
/// `plane::normal_forms`. Those beyond U+FFFF are not among them: languages whose characters have 16 bits cannot read such a class.
const SPACES: &str = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000";
const UNSEEN: &str = "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\
                      \\ufeff\\uffa0\\ufff0-\\ufff8";

/// Where components stand in the documents.
const COMPONENTS: &str = "#/components/schemas/";

/// A type that bodies are read into or answers are made from: its name, and the schemas of it and of all that it refers to, in snake case.
#[derive(Debug, Clone)]
pub(crate) struct Type {
    name: String,
    /// Whether it is read.
    is_read: bool,
    definitions: Arc<Map<String, Json>>,
    /// Reads what has passed.
    #[cfg(test)]
    pub reads: fn(Json) -> Result<(), String>,
}

impl Type {
    /// One that is read by serde.
    pub fn read<T: JsonSchema + DeserializeOwned>() -> Type {
        Type {
            #[cfg(test)]
            reads: |body| serde_json::from_value::<T>(body).map(drop).map_err(|error| error.to_string()),
            ..Type::of::<T>()
        }
    }

    /// One that is read otherwise.
    pub fn of<T: JsonSchema>() -> Type {
        Type::generated::<T>(SchemaSettings::draft2020_12(), true)
    }

    /// One that serde writes. Made once.
    pub fn written<T: Written>() -> &'static Type {
        static KNOWN: OnceLock<RwLock<HashMap<TypeId, &'static Type>>> = OnceLock::new();
        let known = KNOWN.get_or_init(RwLock::default);
        let found = known.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).copied();
        found.unwrap_or_else(|| {
            let new = Box::leak(Box::new(Type::generated::<T>(SchemaSettings::draft2020_12().for_serialize(), false)));
            known.write().unwrap_or_else(PoisonError::into_inner).entry(TypeId::of::<T>()).or_insert(new)
        })
    }

    fn generated<T: JsonSchema>(settings: SchemaSettings, is_read: bool) -> Type {
        let mut generator = settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator();
        generator.subschema_for::<T>();
        Type {
            name: T::schema_name().into_owned(),
            is_read,
            definitions: Arc::new(generator.take_definitions(true)),
            #[cfg(test)]
            reads: |_| Ok(()),
        }
    }

    /// One that no Rust type stands for.
    pub fn made(name: String, is_read: bool, schema: Json, others: Map<String, Json>) -> Type {
        let definitions = std::iter::once((name.clone(), schema)).chain(others).collect();
        Type {
            name,
            is_read,
            definitions: Arc::new(definitions),
            #[cfg(test)]
            reads: |_| Ok(()),
        }
    }

    /// Its own schema.
    pub fn schema(&self) -> &Json {
        self.definition(&self.name)
    }

    /// What a schema means that may refer to another, or be null: that other one, and what is said besides.
    pub fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        static NULL: OnceLock<Json> = OnceLock::new();
        let null = NULL.get_or_init(|| json!({"type": "null"}));
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(COMPONENTS)) {
            return self.definition(name);
        }
        let branches = schema["anyOf"].as_array().into_iter().flatten();
        branches.filter(|branch| *branch != null).map(|branch| self.resolve(branch)).next().unwrap_or(schema)
    }

    fn definition(&self, name: &str) -> &Json {
        self.definitions.get(name).unwrap_or(&Json::Null)
    }

    /// What it is, for people.
    pub fn about(&self) -> String {
        one_line(&self.schema()["description"])
    }

    /// Its name among the components.
    pub fn component(&self, dialect: &Dialect) -> String {
        component(&self.name, self.schema(), dialect)
    }

    /// All components that it is made of, each as a surface spells it.
    pub fn components(&self, dialect: &Dialect) -> impl Iterator<Item = (String, Json)> {
        self.definitions.iter().map(|(name, schema)| (component(name, schema, dialect), self.spelled(schema, dialect)))
    }

    /// The same without its own.
    pub fn others(&self, dialect: &Dialect) -> impl Iterator<Item = (String, Json)> {
        let own = self.component(dialect);
        self.components(dialect).filter(move |(name, _)| *name != own)
    }

    /// One of its fields as a surface spells it.
    pub fn field(&self, name: &str, dialect: &Dialect) -> Json {
        self.spelled(&self.schema()["properties"][name], dialect)
    }

    /// Its fields as a surface spells them, each with its schema and whether it must be there.
    pub fn fields(&self, dialect: &Dialect) -> Vec<(String, Json, bool)> {
        let schema = self.spelled(self.schema(), dialect);
        let is_required = |name: &String| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.map(|(name, property)| (name.clone(), property.clone(), is_required(name))).collect()
    }

    /// The type of a field, as its schema is spelled.
    pub fn kind_of<'a>(&'a self, field: &'a Json) -> &'a str {
        match kind(self.resolve(field)) {
            // Components are objects, but for sets of words, which no surface names like an object.
            "" if field.get("oneOf").is_some() => "object",
            "" => "string",
            kind => kind,
        }
    }

    /// What a body may look like.
    pub fn example(&self, dialect: &Dialect) -> Json {
        self.sample(self.schema(), dialect)
    }

    /// What a field may look like, shown or not.
    #[cfg(test)]
    pub fn example_of(&self, property: &Json, dialect: &Dialect) -> Json {
        self.sample(property, dialect)
    }

    fn sample(&self, schema: &Json, dialect: &Dialect) -> Json {
        let resolved = self.resolve(schema);
        if resolved["x-roles"] == true {
            let role = resolved["examples"][0].as_str().and_then(Role::parse);
            return role.map_or(Json::Null, |role| dialect.role(role).into());
        }
        if let Some(example) = schema["examples"].get(0).or_else(|| resolved["examples"].get(0)) {
            return example.clone();
        }
        if let Some(properties) = resolved["properties"].as_object() {
            let shown = properties.iter().filter(|(_, property)| property["readOnly"] != true && property["x-unshown"] != true);
            return Json::Object(shown.map(|(name, property)| (spell(resolved, name, dialect), self.sample(property, dialect))).collect());
        }
        if let Some(word) = resolved["enum"].get(0) {
            return word.clone();
        }
        match (kind(resolved), resolved["format"].as_str()) {
            ("string", Some("uuid" | "organization-id")) => dialect.id(EXAMPLE_ID),
            ("string", Some("date-time")) => EXAMPLE_TIME.into(),
            ("string", _) => "text".into(),
            ("integer", _) => resolved["minimum"].as_i64().unwrap_or_default().max(1).into(),
            ("array", _) => {
                let items = self.resolve(&resolved["items"]);
                items.get("x-several").cloned().unwrap_or_else(|| json!([self.sample(items, dialect)]))
            }
            ("object", _) => json!({"key": "value"}),
            ("boolean", _) => true.into(),
            _ => 1.into(),
        }
    }

    /// A value of this schema as a surface spells it: names of fields, but not those of maps, ids, times and roles.
    fn write(&self, schema: &Json, value: Json, dialect: &Dialect) -> Json {
        match value {
            Json::Object(fields) => {
                let schema = self.resolve(schema);
                let Some(properties) = schema["properties"].as_object() else { return Json::Object(fields) };
                let written = fields.into_iter().map(|(name, value)| match properties.get(&name) {
                    Some(property) => (spell(schema, &name, dialect), self.write(property, value, dialect)),
                    None => (name, value),
                });
                Json::Object(written.collect())
            }
            Json::Array(entries) => {
                let items = &self.resolve(schema)["items"];
                entries.into_iter().map(|entry| self.write(items, entry, dialect)).collect()
            }
            Json::String(text) => {
                let schema = self.resolve(schema);
                let written = match schema["format"].as_str() {
                    Some("uuid" | "organization-id" | "row-id") if dialect.short_ids => ids::parse(&text).map(|id| dialect.id(id)),
                    Some("date-time") => text.parse::<Timestamp>().ok().map(time),
                    None if schema["x-roles"] == true => Role::parse(&text).map(|role| dialect.role(role).into()),
                    _ => None,
                };
                written.unwrap_or(Json::String(text))
            }
            other => other,
        }
    }

    /// A schema as a surface spells it.
    fn spelled(&self, schema: &Json, dialect: &Dialect) -> Json {
        let Some(keywords) = schema.as_object() else { return schema.clone() };
        let is_nullable = is_nullable(schema);
        let mut spelled = self.limited(schema, dialect);
        for (keyword, value) in keywords {
            let value = match (keyword.as_str(), value) {
                ("title" | "default" | "examples" | "type" | "format" | "x-unshown", _) => continue,
                (own, _)
                    if ["x-refusal", "x-several", "x-roles", "x-merged", "x-null", "x-verbatim", "x-either", "x-secret", "x-deferred"]
                        .contains(&own) =>
                {
                    continue;
                }
                // What goes out was looked at when it came in.
                ("propertyNames", names) if !self.is_read => json!({"minLength": names["minLength"], "maxLength": names["maxLength"]}),
                ("description", about) => one_line(about).into(),
                ("$ref", Json::String(reference)) => {
                    let name = reference.strip_prefix(COMPONENTS).unwrap_or_default();
                    format!("{COMPONENTS}{}", component(name, self.definition(name), dialect)).into()
                }
                ("enum", Json::Array(words)) if schema["x-roles"] == true => {
                    words.iter().filter_map(|word| Some(dialect.role(Role::parse(word.as_str()?)?))).collect()
                }
                ("enum", Json::Array(words)) => words.iter().filter(|word| !word.is_null()).cloned().collect(),
                ("properties", Json::Object(properties)) => {
                    let spelled = properties.iter().map(|(name, one)| (spell(schema, name, dialect), self.spelled(one, dialect)));
                    Json::Object(spelled.collect())
                }
                ("required", Json::Array(names)) => {
                    names.iter().filter_map(Json::as_str).map(|name| spell(schema, name, dialect)).collect()
                }
                ("items" | "additionalProperties", one) => self.spelled(one, dialect),
                ("anyOf" | "oneOf", Json::Array(all)) => all.iter().map(|one| self.spelled(one, dialect)).collect(),
                (_, other) => other.clone(),
            };
            spelled.insert(keyword.clone(), value);
        }
        if schema.get("properties").is_some() {
            if self.is_read {
                spelled.insert("additionalProperties".into(), false.into());
            }
            spelled.insert("examples".into(), json!([self.sample(schema, dialect)]));
        }
        let description = if is_nullable { spelled.shift_remove("description") } else { None };
        let mut spelled = Json::Object(spelled);
        if is_nullable && schema.get("anyOf").is_none() {
            spelled = nullable(spelled);
        }
        if let Some(description) = description {
            spelled["description"] = description;
        }
        spelled
    }

    /// What follows from the type and the format: what the other keywords are added to.
    fn limited(&self, schema: &Json, dialect: &Dialect) -> Map<String, Json> {
        let has = |keyword: &str| schema.get(keyword).is_some();
        let limits = match (kind(schema), schema["format"].as_str()) {
            // Of the type that it has in addresses, where it may be a slug: generated clients take `uuid` for another one.
            ("string", Some("organization-id")) if dialect.slugs => patterned(UUID, 36..=36),
            ("string", Some("uuid" | "organization-id")) => id(dialect),
            ("string", Some("organization")) => organization(),
            ("string", Some("new-password")) => patterned(&format!("^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029{UNSEEN}]*$"), 8..=128),
            ("string", Some("email" | "known-email")) => json!({"type": "string", "format": "email", "maxLength": 254}),
            ("string", Some("uri" | "link")) => json!({"type": "string", "format": "uri", "maxLength": 2_000}),
            ("string", Some("slug")) => json!({"type": "string", "pattern": "^[a-z0-9-]{3,50}$", "maxLength": 50}),
            ("string", Some("reference")) => json!({"type": "string", "pattern": "^[!-.0-~]{1,100}$", "maxLength": 100}),
            ("string", Some("date-time")) => json!({"type": "string", "format": "date-time", "maxLength": 64}),
            ("string", _) if has("enum") || has("const") || has("pattern") => json!({"type": "string"}),
            ("string", _) if has("maxLength") && !self.is_read => json!({"type": "string"}),
            ("string", _) if has("maxLength") => {
                json!({"type": "string", "pattern": text_pattern(schema["minLength"].as_u64().unwrap_or_default() as usize)})
            }
            ("string", _) => json!({"type": "string", "maxLength": MOST_CHARACTERS}),
            ("integer", _) => json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST_COUNTED}),
            ("array", _) => {
                let is_of_words = self.resolve(&schema["items"]).get("enum").is_some();
                json!({"type": "array", "maxItems": if is_of_words { MOST_WORDS } else { MOST_RECORDS }})
            }
            ("", _) => json!({}),
            (kind, _) => json!({"type": kind}),
        };
        match limits {
            Json::Object(limits) => limits,
            _ => Map::new(),
        }
    }
}

/// An id.
pub(crate) fn id(dialect: &Dialect) -> Json {
    match dialect.short_ids {
        true => json!({"type": "string", "format": "shortuuid", "minLength": 22, "maxLength": 22, "pattern": SHORT_ID}),
        false => json!({"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}),
    }
}

/// How an organization is named where slugs are read.
pub(crate) fn organization() -> Json {
    json!({"type": "string", "pattern": ORGANIZATION, "maxLength": 50})
}

fn patterned(pattern: &str, length: RangeInclusive<usize>) -> Json {
    json!({"type": "string", "pattern": pattern, "minLength": length.start(), "maxLength": length.end()})
}

/// The pattern of texts of so many characters at least: if they must not be empty, there is something to see in them.
fn text_pattern(least: usize) -> String {
    let controls = r"\u0000-\u0008\u000b-\u001f\u007f-\u009f";
    match least {
        0 => NO_CONTROLS.to_owned(),
        _ => format!(r"^[^{controls}]*[^{controls}\u0009\u000a {SPACES}{UNSEEN}][^{controls}]*$"),
    }
}

/// The same, or null. Null is never one of the words of a set: generators make types of those, and some linters take them for texts.
pub(crate) fn nullable(mut schema: Json) -> Json {
    match schema.get("type").and_then(Json::as_str) {
        Some(kind) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

/// What answers are made from.
pub(crate) trait Written: Serialize + JsonSchema + 'static {}

impl<T: Serialize + JsonSchema + 'static> Written for T {}

/// A record as a surface spells it.
pub(crate) fn write<T: Written>(dialect: &Dialect, record: &T) -> Json {
    let known = Type::written::<T>();
    known.write(known.schema(), serde_json::to_value(record).unwrap_or_default(), dialect)
}

/// The type that a schema names, null aside.
pub(crate) fn kind(schema: &Json) -> &str {
    let kinds = schema["type"].as_array();
    kinds
        .into_iter()
        .flatten()
        .find_map(|kind| kind.as_str().filter(|kind| *kind != "null"))
        .or(schema["type"].as_str())
        .unwrap_or_default()
}

/// Whether null is among what a schema takes.
pub(crate) fn is_nullable(schema: &Json) -> bool {
    let any = schema["anyOf"].as_array().into_iter().flatten().any(|branch| branch["type"] == "null");
    any || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"))
}

/// A name of an object's schema as a surface spells it: as it is where another document has fixed it.
pub(crate) fn spell(schema: &Json, name: &str, dialect: &Dialect) -> String {
    if schema["x-verbatim"] == true { name.to_owned() } else { dialect.name(name) }
}

/// A name among the components, which differ where a surface spells them differently.
fn component(name: &str, schema: &Json, dialect: &Dialect) -> String {
    let differs = schema.get("properties").is_some() || schema["x-roles"] == true;
    if differs && dialect.short_ids { format!("Account{name}") } else { name.to_owned() }
}

/// A description without the ends of lines of its comment.
pub(crate) fn one_line(about: &Json) -> String {
    about.as_str().unwrap_or_default().replace('\n', " ")
}
