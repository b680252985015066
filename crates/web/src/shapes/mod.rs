//! The shapes of bodies and records: what the documentation says about every field, and what development builds hold the program against.

pub(crate) mod events;
pub(crate) mod found;
pub(crate) mod keys;
pub(crate) mod oauth;
pub(crate) mod plans;
pub(crate) mod records;
pub(crate) mod requirements;
pub(crate) mod token_bodies;
pub(crate) mod words;

use serde_json::{Map, Value as Json, json};

use crate::catalogue::Parameter;
use crate::dialect::Dialect;
use plane::wire::NO_CONTROLS;
use uuid::Uuid;
use words::Words;

/// The fields of a body or a record.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name among the components of the OpenAPI document.
    pub name: &'static str,
    pub about: &'static str,
    own: &'static [Field],
    /// The shape whose fields come before its own.
    base: Option<&'static Shape>,
    /// Its names stay as they are on every surface: another document has fixed them.
    verbatim: bool,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// In snake case; a dialect spells it.
    pub name: &'static str,
    pub is: Is,
    pub need: Need,
    pub about: &'static str,
    /// What it may look like; made up from what it is if empty.
    pub example: &'static str,
}

/// Whether a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Always, with a value.
    Required,
    /// In records: always, and null when there is no value. In bodies: may be missing or null.
    Optional,
    /// In records: missing when there is no value.
    Sometimes,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Is {
    /// An id in the surface's form.
    Id,
    /// The id of an organization, which addresses take in other forms, too.
    OrganizationId,
    /// Text of so many characters. If it must not be empty, there is something to see in it.
    Text(usize, usize),
    /// A new password.
    Password,
    /// Text of this pattern, of so many characters at the most.
    Pattern(&'static str, usize),
    Email,
    Url,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of a set of words that has a name.
    Named(&'static Words),
    /// A time (RFC 3339).
    Time,
    /// A whole number in this range.
    Number(i64, i64),
    Flag,
    /// A list of up to so many texts.
    Texts(usize),
    /// A list of scopes.
    Scopes,
    /// An object of texts: so many keys, of such length, values of such length.
    Map(usize, usize, usize),
    /// An object of numbers.
    Counts,
    /// An object of anything.
    Anything,
    Objects(&'static Shape),
    /// An object that is null for some.
    Maybe(&'static Shape),
}

pub(crate) const fn required(name: &'static str, is: Is, about: &'static str) -> Field {
    Field { name, is, need: Need::Required, about, example: "" }
}

pub(crate) const fn optional(name: &'static str, is: Is, about: &'static str) -> Field {
    Field { name, is, need: Need::Optional, about, example: "" }
}

pub(crate) const fn sometimes(name: &'static str, is: Is, about: &'static str) -> Field {
    Field { name, is, need: Need::Sometimes, about, example: "" }
}

impl Field {
    /// The same with an example.
    pub const fn like(mut self, example: &'static str) -> Field {
        self.example = example;
        self
    }
}

/// Which page of a list.
pub(crate) const PAGE: [Parameter; 2] = [
    Parameter { name: "page", is: Is::Number(1, 1_000_000_000), about: "The page, from 1. One past the end is empty." },
    Parameter { name: "page_size", is: Is::Number(1, 100), about: "Entries on a page, 25 if missing. `pageSize` is read too." },
];

/// Where to go on in a long list.
pub(crate) const AFTER: [Parameter; 1] = [Parameter {
    name: "after",
    is: Is::Text(0, 100),
    about: "Reads the list along a cursor instead of by pages: empty for the first slice, then the `next_cursor` of the last one. \
            A slice costs the same wherever it is, and has no `total_count`.",
}];

/// Which members of a list.
pub(crate) const MEMBER_FILTER: [Parameter; 2] = [
    Parameter { name: "role", is: Is::Named(&words::ROLE), about: "Only members of this role." },
    Parameter { name: "q", is: Is::Text(0, 200), about: "Only members whose address or name contains this, in whatever case." },
];

/// Which deletions of a list.
pub(crate) const DELETION_FILTER: [Parameter; 2] = [
    Parameter { name: "organization", is: ORGANIZATION, about: "Only deletions of this organization, by its id or slug." },
    Parameter {
        name: "state",
        is: Is::Named(&words::DELETION_FILTER),
        about: "Only deletions in this state; `open` are those not sealed yet.",
    },
];

/// Which holds of a list.
pub(crate) const HOLD_FILTER: [Parameter; 1] =
    [Parameter { name: "state", is: Is::Named(&words::HOLD_STATE), about: "Only holds in this state; `active` are those in force." }];

/// Which customers of a list.
pub(crate) const CUSTOMER_FILTER: [Parameter; 3] = [
    Parameter { name: "q", is: Is::Text(0, 200), about: "Only customers whose name, address or id contains this, in whatever case." },
    Parameter { name: "email", is: Is::Text(0, 254), about: "Only customers with this address, in whatever case." },
    Parameter { name: "managedBy", is: Is::Id, about: "Only customers that this member manages." },
];

/// Why, for the audit trail.
pub(crate) const REASON: [Parameter; 1] = [Parameter {
    name: "reason",
    is: Is::Text(0, 500),
    about: "Why, in your words: kept in the audit trail and the deletion's record. No personal data, please.",
}];

/// What was typed to confirm.
pub(crate) const CONFIRM: [Parameter; 1] = [Parameter {
    name: "confirm",
    is: Is::Text(0, 100),
    about: "The organization's slug, typed again, where the organization asks for it (`readDeletionRequirements`).",
}];

/// Whether a purge is done or only looked at.
pub(crate) const PURGE: [Parameter; 4] = [
    Parameter {
        name: "count",
        is: Is::Number(0, i64::MAX),
        about: "How many customers you were told would be deleted: the order is refused with 412 if there are more or fewer by now.",
    },
    Parameter {
        name: "force",
        is: Is::Flag,
        about: "Deletes. Without it the customers are counted and nothing is changed. For a list; JSON may say it in the body.",
    },
    Parameter {
        name: "reason",
        is: Is::Text(0, 500),
        about: "Why, in your words. For a list; JSON may say it in the body. No personal data, please.",
    },
    Parameter { name: "validate_only", is: Is::Flag, about: "Deletes nothing, whatever `force` says. `validateOnly` is read too." },
];

/// Which items of a purge.
pub(crate) const ITEM_FILTER: [Parameter; 1] =
    [Parameter { name: "outcome", is: Is::Named(&words::PURGE_OUTCOME), about: "Only items with this outcome." }];

/// What would be said with a deletion that is only planned.
pub(crate) const SAID: [Parameter; 2] = [
    Parameter {
        name: "reason",
        is: Is::Text(0, 500),
        about: "The reason that the deletion would have: where the organization asks for one and there is none, that stands in the way.",
    },
    CONFIRM[0],
];

/// What a list is filtered by, text by text. In the address: `metadata[plan]=gold`.
pub(crate) const METADATA_FILTER: [Parameter; 1] = [Parameter {
    name: "metadata",
    is: Is::Map(plane::fields::MOST_METADATA_FILTERS, 40, 500),
    about: "Only entries with each of these texts among their metadata, `metadata[key]=text`: up to 10, compared exactly.",
}];

/// Whether those are meant who are there, or those who were softly deleted.
pub(crate) const CUSTOMER_STATE: [Parameter; 1] = [Parameter {
    name: "state",
    is: Is::Named(&words::CUSTOMER_STATE),
    about: "`deleted`: in the place of who is there who was softly deleted and is kept for audit; for those who may delete customers so.",
}];

/// How long a secret that is rotated goes on signing.
pub(crate) const OVERLAP: [Parameter; 1] = [Parameter {
    name: "overlap_hours",
    is: Is::Number(0, plane::webhooks::OVERLAP_HOURS),
    about: "Hours for which the secret before signs, too; 24 if missing, 0 ends it at once.",
}];

/// What becomes of the key before.
pub(crate) const AT_ONCE: [Parameter; 1] = [Parameter {
    name: "at_once",
    is: Is::Flag,
    about: "The key before ends at once, and all access tokens with it, as when it is known to others.",
}];

/// What a deletion is bound to, and whether it is only looked at.
pub(crate) const PLAN: [Parameter; 2] = [
    Parameter {
        name: "plan",
        is: Is::Pattern("^[A-Za-z0-9_-]{40,400}$", 400),
        about: "The `plan` of a deletion plan. If something else would go than that says, nothing does: 412, and `drift` names the difference, \
                table by table. Of up to 500 rows of a table each is recognized, of more their number. What the server writes down by \
                itself (audit trail, deliveries, kept answers) and sessions of members do not count.",
    },
    Parameter {
        name: "validate_only",
        is: Is::Flag,
        about: "Deletes nothing and answers 200 with the plan, for those who may delete. What stands in the way is part of it, and no error. \
                `validateOnly` is read too.",
    },
];

/// Whether all that a deletion will erase is exported first.
pub(crate) const EXPORT: [Parameter; 1] = [Parameter {
    name: "export",
    is: Is::Flag,
    about: "Access ends at once, and nothing is erased before an export of it is done: the deletion's record names it in `exportId`. Needs \
            the right to export. Only the person who ordered the deletion can download it, until it expires.",
}];

/// Whether a shape is for what comes in or what goes out: what `Optional` means differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

impl Shape {
    pub const fn new(name: &'static str, about: &'static str, own: &'static [Field]) -> Shape {
        Shape { name, about, own, base: None, verbatim: false }
    }

    /// The same with the fields of another before its own.
    pub const fn upon(mut self, base: &'static Shape) -> Shape {
        self.base = Some(base);
        self
    }

    /// The same with names that stay as they are on every surface.
    pub const fn verbatim(mut self) -> Shape {
        self.verbatim = true;
        self
    }

    /// A field's name on a surface.
    pub fn spell(&self, dialect: &Dialect, field: &Field) -> String {
        if self.verbatim { field.name.to_owned() } else { dialect.name(field.name) }
    }

    /// Its fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.base.into_iter().flat_map(|base| base.own).chain(self.own)
    }

    /// Its name among the components, which differ where a surface spells it differently.
    pub fn component(&self, dialect: &Dialect) -> String {
        if dialect.short_ids { format!("Account{}", self.name) } else { self.name.to_owned() }
    }

    /// As a JSON Schema (draft 2020-12, which OpenAPI 3.1 uses).
    pub fn schema(&self, dialect: &Dialect, way: Way) -> Json {
        let properties: Map<String, Json> = self.fields().map(|field| (self.spell(dialect, field), field.schema(dialect, way))).collect();
        let must = |field: &&Field| field.need == Need::Required || (way == Way::Out && field.need == Need::Optional);
        let required: Vec<String> = self.fields().filter(must).map(|field| self.spell(dialect, field)).collect();
        let mut schema = json!({"type": "object", "description": self.about, "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if way == Way::In {
            schema["additionalProperties"] = false.into();
        }
        schema["examples"] = json!([self.example(dialect)]);
        schema
    }

    /// What it may look like.
    pub fn example(&self, dialect: &Dialect) -> Json {
        Json::Object(self.fields().map(|field| (self.spell(dialect, field), field.sample(dialect))).collect())
    }

    /// What of a record differs from this shape: for development builds.
    pub fn differences(&self, dialect: &Dialect, record: &Json) -> Vec<String> {
        let Some(object) = record.as_object() else { return vec![format!("{} is no object: {record}", self.name)] };
        let mut differences = Vec::new();
        for field in self.fields() {
            let name = self.spell(dialect, field);
            match object.get(&name) {
                None if field.need == Need::Sometimes => {}
                None => differences.push(format!("{}.{name} is missing", self.name)),
                Some(Json::Null) if field.need != Need::Optional => differences.push(format!("{}.{name} is null", self.name)),
                Some(Json::Null) => {}
                Some(value) if !field.is.fits(dialect, value) => differences.push(format!("{}.{name} is {value}", self.name)),
                Some(_) => {}
            }
        }
        for name in object.keys().filter(|name| !self.fields().any(|field| self.spell(dialect, field) == **name)) {
            differences.push(format!("{}.{name} is not documented", self.name));
        }
        differences
    }
}

impl Field {
    fn schema(&self, dialect: &Dialect, way: Way) -> Json {
        let mut schema = match way {
            Way::In => self.is.schema_in(dialect),
            Way::Out => self.is.schema(dialect),
        };
        if self.need == Need::Optional {
            schema = nullable(schema);
        }
        if !self.about.is_empty() {
            schema["description"] = self.about.into();
        }
        schema
    }

    fn sample(&self, dialect: &Dialect) -> Json {
        if self.example.is_empty() {
            return self.is.sample(dialect);
        }
        match self.is {
            Is::Number(..) | Is::Flag | Is::Map(..) | Is::Counts | Is::Texts(_) | Is::Scopes | Is::Anything => {
                serde_json::from_str(self.example).unwrap_or_else(|_| Json::from(self.example))
            }
            _ => Json::from(self.example),
        }
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

/// A shortuuid as a pattern: the document's. What is larger than 128 bits fits it, and is refused all the same.
const SHORT_ID: &str = "^[23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz]{22}$";
/// Entries of a list of scopes or of events.
pub(crate) const MOST_WORDS: usize = 100;
/// Entries of a list of records inside another record.
pub(crate) const MOST_RECORDS: usize = 10_000;
/// The largest whole number that JavaScript has exactly, 2^53 - 1: no count comes near it.
pub(crate) const MOST_COUNTED: i64 = 9_007_199_254_740_991;
/// Characters of an entry of a list of texts.
pub(crate) const MOST_CHARACTERS: usize = 2_000;

/// Space but U+0020, and characters that are left out when a text is shown, for a class of characters in a pattern: see
/// `plane::normal_forms`. Those beyond U+FFFF are not among them: languages whose characters have 16 bits cannot read such a class.
const SPACES: &str = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000";
const UNSEEN: &str = "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\
                      \\ufeff\\uffa0\\ufff0-\\ufff8";

/// The pattern of texts of so many characters at least: if they must not be empty, there is something to see in them.
pub(crate) fn text_pattern(least: usize) -> String {
    let controls = r"\u0000-\u0008\u000b-\u001f\u007f-\u009f";
    match least {
        0 => NO_CONTROLS.to_owned(),
        _ => format!(r"^[^{controls}]*[^{controls}\u0009\u000a {SPACES}{UNSEEN}][^{controls}]*$"),
    }
}

/// How an organization is named where slugs are read: UUID, shortuuid or slug.
pub(crate) const ORGANIZATION: Is = Is::Pattern(
    "^([a-z0-9-]{3,50}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\
     [23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmn][23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz]{21})$",
    50,
);

/// A UUID as this server writes it.
const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";

/// The id in examples: the one of the reference documents.
const EXAMPLE_ID: Uuid = Uuid::from_u128(0x550e8400_e29b_41d4_a716_446655440000);

impl Is {
    /// As a JSON Schema.
    pub fn schema(&self, dialect: &Dialect) -> Json {
        match self {
            Is::Id if dialect.short_ids => json!({"type": "string", "format": "shortuuid", "minLength": 22, "maxLength": 22,
                "pattern": SHORT_ID}),
            Is::Id => json!({"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36}),
            // Of the type that it has in addresses, where it may be a slug: generated clients take `uuid` for another one.
            Is::OrganizationId if dialect.slugs => json!({"type": "string", "pattern": UUID, "minLength": 36, "maxLength": 36}),
            Is::OrganizationId => Is::Id.schema(dialect),
            Is::Text(least, most) => json!({"type": "string", "minLength": least, "maxLength": most}),
            Is::Password => json!({"type": "string", "minLength": 8, "maxLength": 128}),
            Is::Pattern(pattern, most) => json!({"type": "string", "pattern": pattern, "maxLength": most}),
            Is::Email => json!({"type": "string", "format": "email", "maxLength": 254}),
            Is::Url => json!({"type": "string", "format": "uri", "maxLength": 2_000}),
            Is::Word(words) => json!({"type": "string", "enum": words}),
            Is::Named(words) => words.reference(dialect),
            Is::Time => json!({"type": "string", "format": "date-time", "maxLength": 64}),
            Is::Number(least, most) => json!({"type": "integer", "format": "int64", "minimum": least, "maximum": most}),
            Is::Flag => json!({"type": "boolean"}),
            Is::Texts(most) => json!({"type": "array", "items": {"type": "string", "maxLength": MOST_CHARACTERS}, "maxItems": most}),
            Is::Scopes => json!({"type": "array", "items": words::SCOPE.reference(dialect), "maxItems": MOST_WORDS}),
            Is::Map(keys, key, value) => {
                json!({"type": "object", "maxProperties": keys, "propertyNames": {"minLength": 1, "maxLength": key},
                "additionalProperties": {"type": "string", "maxLength": value}})
            }
            Is::Counts => json!({"type": "object", "maxProperties": 100,
                "additionalProperties": {"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST_COUNTED}}),
            Is::Anything => json!({"type": "object", "additionalProperties": true}),
            Is::Maybe(shape) => reference(shape, dialect),
            Is::Objects(shape) => json!({"type": "array", "items": reference(shape, dialect), "maxItems": MOST_RECORDS}),
        }
    }

    /// The same for what comes in: texts have no control characters but tabs and ends of lines (see `plane::fields::Check::text`).
    pub fn schema_in(&self, dialect: &Dialect) -> Json {
        let mut schema = self.schema(dialect);
        match self {
            Is::Password => schema["pattern"] = format!("^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029{UNSEEN}]*$").into(),
            Is::Text(least, _) => schema["pattern"] = text_pattern(*least).into(),
            Is::Map(..) => {
                schema["propertyNames"]["pattern"] = NO_CONTROLS.into();
                schema["additionalProperties"]["pattern"] = NO_CONTROLS.into();
            }
            _ => {}
        }
        schema
    }

    /// What it may look like.
    pub fn sample(&self, dialect: &Dialect) -> Json {
        match self {
            Is::Id | Is::OrganizationId => dialect.id(EXAMPLE_ID),
            Is::Text(..) | Is::Password | Is::Pattern(..) => Json::from("text"),
            Is::Email => Json::from("ada@example.com"),
            Is::Url => Json::from("https://example.com/logo.png"),
            Is::Word(words) => Json::from(words[0]),
            Is::Named(words) => words.sample(dialect),
            Is::Time => Json::from("2026-01-20T14:45:00.000Z"),
            Is::Number(least, most) => Json::from((*least).max(1).min(*most)),
            Is::Flag => Json::from(true),
            Is::Texts(_) => json!(["text"]),
            Is::Scopes => json!(["read:organization", "read:customers"]),
            Is::Map(..) => json!({"key": "value"}),
            Is::Counts => json!({"customers": 1}),
            Is::Anything => json!({}),
            Is::Maybe(shape) => shape.example(dialect),
            Is::Objects(shape) => json!([shape.example(dialect)]),
        }
    }

    fn fits(&self, dialect: &Dialect, value: &Json) -> bool {
        match self {
            Is::Id | Is::OrganizationId | Is::Text(..) | Is::Password | Is::Pattern(..) | Is::Email | Is::Url | Is::Time => {
                value.is_string()
            }
            Is::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Is::Named(words) => value.as_str().is_some_and(|word| words.all(dialect).contains(&word)),
            Is::Number(..) => value.is_i64() || value.is_u64(),
            Is::Flag => value.is_boolean(),
            Is::Texts(_) | Is::Scopes => value.as_array().is_some_and(|list| list.iter().all(Json::is_string)),
            Is::Map(..) => value.as_object().is_some_and(|map| map.values().all(Json::is_string)),
            Is::Counts => value.as_object().is_some_and(|map| map.values().all(Json::is_number)),
            Is::Anything => value.is_object(),
            Is::Maybe(shape) => shape.differences(dialect, value).is_empty(),
            Is::Objects(shape) => {
                value.as_array().is_some_and(|list| list.iter().all(|record| shape.differences(dialect, record).is_empty()))
            }
        }
    }
}

/// A reference to a component.
pub(crate) fn reference(shape: &Shape, dialect: &Dialect) -> Json {
    json!({"$ref": format!("#/components/schemas/{}", shape.component(dialect))})
}
