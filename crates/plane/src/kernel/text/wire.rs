//! What fields of requests and answers hold: the schema of each kind that Rust has no type for, before a surface spells it, and how serde reads
//! what can be missing and null.
//!
//! Keywords that begin with `x-` are for the surfaces: `x-refusal` is the code and the words of an error, `x-several` an example of a list,
//! `x-roles` says that a surface may have other words, `x-unshown` that a field is left out of examples, `x-merged` that keys are counted later,
//! `x-deferred` that the plane tells what is wrong with the fields of a body, `x-secret` that only what a text opens says whether it is good.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::audit_actions::ACTIONS;
use crate::deletion_rules::Root;
use crate::events;
use crate::key_format::Kind;
use crate::policy::{Role, SCOPES, SERVICE_ROLES};

/// The pattern of texts without control characters but tabs and ends of lines (see [`crate::fields::Check::text`]).
pub const NO_CONTROLS: &str = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f]*$";

/// What a slug must be.
pub const SLUG: &str = "must be 3 to 50 of a-z, 0-9 and -, and must not read as an id";
/// What a customer's id must be.
pub const REFERENCE: &str = "must be 1 to 100 visible ASCII characters without /, and not . or ..";

macro_rules! kinds {
    ($($(#[doc = $about:literal])* $name:ident, $is_inline:literal, $schema:expr;)*) => {$(
        $(#[doc = $about])*
        #[derive(Debug)]
        pub struct $name;

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                $is_inline
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    )*};
}

kinds! {
    /// The id of a membership.
    MemberId, true, json_schema!({"type": "string", "format": "uuid", "x-refusal": ["invalid", "must be a member's id"]});
    /// The id of an organization, of the type that it has in addresses.
    OrganizationId, true, json_schema!({"type": "string", "format": "organization-id"});
    /// An organization in any of the forms in which addresses name it.
    OrganizationName, true, json_schema!({"type": "string", "format": "organization", "x-refusal": ["invalid", "must be an organization's id or slug"]});
    /// An address of e-mail.
    Email, true, json_schema!({"type": "string", "format": "email", "examples": ["ada@example.com"]});
    /// An address of e-mail that an account has, or has not.
    KnownEmail, true, json_schema!({"type": "string", "format": "known-email", "examples": ["ada@example.com"]});
    /// A new slug.
    Slug, true, json_schema!({"type": "string", "format": "slug", "x-refusal": ["invalid_slug", SLUG], "examples": ["acme"]});
    /// The id of a row, whatever the table.
    RowId, true, json_schema!({"type": "string", "format": "row-id"});
    /// A new customer's id.
    Reference, true, json_schema!({"type": "string", "format": "reference", "x-refusal": ["invalid_id", REFERENCE], "examples": ["user123"]});
    /// The address of a page or picture: see [`crate::destinations`].
    Link, true, json_schema!({"type": "string", "format": "link"});
    /// The address of something on the web.
    Url, true, json_schema!({"type": "string", "format": "uri"});
    /// A new password.
    Password, true, json_schema!({"type": "string", "format": "new-password", "examples": ["correct horse battery staple"]});
    /// A whole number, or a text.
    NumberOrText, true, json_schema!({"oneOf": [
        {"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX},
        {"type": "string", "minLength": 1, "maxLength": 100},
    ]});
    /// Texts by name. How many keys there are counts once they are [merged](crate::fields::merge_metadata).
    Metadata, true, texts(50, 500, true);
    /// Texts by name, of which an entry must have each.
    MetadataFilter, true, json_schema!({
        "type": "object",
        "maxProperties": crate::fields::MOST_METADATA_FILTERS,
        "propertyNames": {"minLength": 1, "maxLength": 40, "pattern": NO_CONTROLS},
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": NO_CONTROLS},
    });
    /// A postal address.
    Address, true, texts(20, 200, false);
    /// What a key or token may be used for, within its owner's role.
    Scope, false, named("What a key or token may be used for, within its owner's role.", &SCOPES, "unknown_scope", &["read:organization", "read:customers"]);
    /// Something that webhooks are told.
    Event, false, named("Something that webhooks are told.", &events::Event::ALL.map(events::Event::name), "unknown_event", &["customer.created", "customer.deleted"]);
    /// An object of anything.
    Anything, true, json_schema!({"type": "object", "additionalProperties": true, "examples": [{}]});
    /// How many there are, by name.
    Counts, true, json_schema!({
        "type": "object", "maxProperties": 100, "additionalProperties": {"type": "integer"}, "examples": [{"customers": 1}],
    });
    /// What a service account can be in its organization.
    ServiceRole, false, roles("What a service account can be in its organization.", &SERVICE_ROLES);
}

/// Schemas of words of which there is a fixed set.
macro_rules! sets {
    ($(#[doc = $about:literal] $name:ident, $all:expr, $like:literal;)*) => {
        $crate::wire::kinds! {$(
            #[doc = $about]
            $name, false, $crate::wire::set($about.trim(), $all, $like);
        )*}
    };
}

/// Declares an enum of [`sql::words`] that has a schema, by the name and with the example that are given.
macro_rules! words {
    ($(#[doc = $about:literal])* pub enum $name:ident as $schema:literal, like $like:literal { $($values:tt)* }) => {
        sql::words! {
            $(#[doc = $about])*
            pub enum $name { $($values)* }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<$name, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                $name::parse(&word).ok_or_else(|| serde::de::Error::custom(concat!("no ", $schema, " has this name")))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::wire::set(concat!($($about),*).trim(), &$name::ALL.map($name::name), $like)
            }
        }
    };
}

pub(crate) use {kinds, sets, words};

/// Every code of a blocker.
pub const BLOCKER_CODES: [&str; 10] = [
    "legal_hold",
    "last_owner",
    "last_operator",
    "active_subscription",
    "pending_transaction",
    "organization_archived",
    "reason_required",
    "confirmation_required",
    "reauthentication_required",
    "approval_required",
];

/// Every kind of what blocks.
pub const BLOCKER_KINDS: [&str; 9] =
    ["hold", "subscription", "transaction", "organization", "member", "customer", "customer_purge", "user", "requirements"];

sets! {
    /// Why something stands in a deletion's way.
    BlockerCode, &BLOCKER_CODES, "active_subscription";
    /// The kind of what stands in a deletion's way.
    BlockerKind, &BLOCKER_KINDS, "subscription";
    /// How far a deletion is.
    DeletionState, &deletion::State::ALL.map(deletion::State::name), "completed";
    /// What a deletion does with rows.
    RowFate, &["erased", "redacted", "kept"], "erased";
    /// The kind of what is deleted.
    SubjectKind, &subjects(), "customer";
    /// What acted: the kind of credential, or the server itself.
    Actor, &["nobody", "user", "api_key", "service_account", "oauth_app", "operator", "system"], "user";
    /// What was done or tried.
    AuditAction, ACTIONS, "customer.delete";
    /// What came of it.
    AuditOutcome, &["done", "refused", "not_found", "blocked", "invalid", "failed", "unauthenticated"], "done";
    /// Whether a customer is there, or was softly deleted and is kept.
    CustomerState, &["live", "deleted"], "live";
    /// A method of HTTP.
    Method, &["POST", "PUT", "PATCH", "DELETE"], "PATCH";
    /// How a token is presented (RFC 6750).
    TokenType, &["Bearer"], "Bearer";
}

impl JsonSchema for Role {
    fn schema_name() -> Cow<'static, str> {
        "Role".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        roles("What a member is in an organization.", &Role::ALL)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
        let name = String::deserialize(deserializer)?;
        Role::parse(&name).ok_or_else(|| serde::de::Error::custom("no role has this name"))
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "ApiKeyKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What a key begins with: `csb_`, `csu_`, `cpk_`.",
            "enum": Kind::ALL.map(Kind::name),
            "x-refusal": ["invalid", "must be organization, user or publishable"],
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        let name = String::deserialize(deserializer)?;
        Kind::parse(&name).ok_or_else(|| serde::de::Error::custom("no kind has this name"))
    }
}

fn roles(about: &str, all: &[Role]) -> Schema {
    let names: Vec<&str> = all.iter().map(|role| role.name()).collect();
    json_schema!({"type": "string", "description": about, "enum": names, "examples": ["member"], "x-roles": true})
}

fn named(about: &str, all: &[&str], code: &str, several: &[&str]) -> Schema {
    let words = format!("must be one of {}", all.join(", "));
    json_schema!({"type": "string", "description": about, "enum": all, "x-refusal": [code, words], "x-several": several})
}

pub(crate) fn set(about: &str, all: &[&str], like: &str) -> Schema {
    json_schema!({"type": "string", "description": about, "enum": all, "examples": [like]})
}

fn texts(keys: usize, most: usize, is_merged: bool) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": keys,
        "propertyNames": {"minLength": 1, "maxLength": 40, "pattern": NO_CONTROLS},
        "additionalProperties": {"type": "string", "maxLength": most},
        "x-merged": is_merged,
    })
}

/// An object of texts, which is empty if it is missing or null.
///
/// # Errors
/// The deserializer's.
pub fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    Option::<Map<String, Json>>::deserialize(deserializer).map(|object| Json::Object(object.unwrap_or_default()))
}

/// An object of texts that stays as it is when it is missing, and is emptied by null.
///
/// # Errors
/// The deserializer's.
pub fn emptied_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    object(deserializer).map(Some)
}

/// What [`object`] reads where there is none.
pub fn no_object() -> Json {
    Json::Object(Map::new())
}

/// What stays as it is when it is missing, and is emptied by null.
///
/// # Errors
/// Those of what it holds.
pub fn clearable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What stays as it is when it is missing, and is emptied by null, where empty is a value.
///
/// # Errors
/// Those of what it holds.
pub fn emptied<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<Option<T>, D::Error> {
    or_default(deserializer).map(Some)
}

/// What is its default when it is missing or null.
///
/// # Errors
/// Those of what it holds.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Writes JSON that is kept as a text.
///
/// # Errors
/// The serializer's.
pub fn json_text<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_ref().and_then(|text| serde_json::from_str::<Json>(text).ok()).serialize(serializer)
}

/// Writes a text that is null when it is empty.
///
/// # Errors
/// The serializer's.
pub fn not_empty<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    Some(text).filter(|text| !text.is_empty()).serialize(serializer)
}

/// Whether something is there.
///
/// # Errors
/// The deserializer's.
pub fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<serde::de::IgnoredAny>::deserialize(deserializer).map(|given| given.is_some())
}

/// True, or what was given.
///
/// # Errors
/// The deserializer's.
pub fn or_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::deserialize(deserializer).map(|given| given.unwrap_or(true))
}

/// What [`or_true`] reads where nothing is given.
pub fn yes() -> bool {
    true
}

impl JsonSchema for Root {
    fn schema_name() -> Cow<'static, str> {
        "DeletionRoot".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        set("The rules that a deletion follows.", &Root::ALL.map(Root::name), "organization")
    }
}

/// Two roots delete customers.
fn subjects() -> Vec<&'static str> {
    Root::ALL.into_iter().filter(|root| root.name() == root.noun()).map(Root::noun).collect()
}
