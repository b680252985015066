//! API keys as they are shown, asked for and changed.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::Kind;
use crate::policy::Role;
use crate::revisions::derived;

/// An API key without its secret.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// The member it acts as; null for a service account, and for a person's own key, which acts as them in all their organizations.
    #[serde(rename = "member_id")]
    pub member: Option<Uuid>,
    /// What a service account is in the organization; null for other keys.
    #[schemars(with = "Option<crate::wire::ServiceRole>")]
    pub role: Option<Role>,
    /// The member who made a service account, who may know its secret; null when they have left.
    pub created_by: Option<Uuid>,
    /// What it is for.
    pub kind: Kind,
    /// What people call it.
    #[schemars(length(min = 3, max = 50), example = &"Back end")]
    pub name: String,
    /// What it is for.
    #[schemars(length(min = 0, max = 200), example = &"Nightly import")]
    pub description: Option<String>,
    /// Prefix and last characters, to tell keys apart.
    #[schemars(length(min = 1, max = 20), example = &"csb_…81f2")]
    pub hint: String,
    /// What it may be used for.
    #[schemars(with = "Vec<crate::wire::Scope>")]
    pub scopes: Vec<String>,
    /// Requests a minute of its own.
    #[schemars(range(min = 1, max = 1_000_000), example = 600)]
    pub rate_limit_per_minute: Option<u32>,
    /// Requests an hour of its own.
    #[schemars(range(min = 1, max = 60_000_000), example = 10_000)]
    pub rate_limit_per_hour: Option<u32>,
    /// Addresses and networks it may be used from; anywhere if there are none.
    #[schemars(length(max = 50), example = ["192.0.2.7", "10.0.0.0/8"])]
    pub allowed_ips: Vec<String>,
    /// Texts by name.
    #[schemars(with = "crate::wire::Metadata")]
    pub metadata: Json,
    /// Whether it is switched on.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// The key or token that made it, with which it ends; null if a person did.
    pub made_by: Option<Uuid>,
    /// Until when the secret is good that it had before its last rotation.
    pub previous_until: Option<Timestamp>,
}

sql::columns! { ApiKey {
    id, member: "member_id", kind, name, description, hint, scopes, rate_limit_per_minute, rate_limit_per_hour, allowed_ips, metadata,
    is_active, created_at, expires_at, last_used_at, made_by, previous_until, role, created_by,
} }

impl ApiKey {
    /// The tag of this state. Its uses are none of it.
    pub fn etag(&self) -> String {
        derived(self.id, &ApiKey { last_used_at: None, ..self.clone() })
    }
}

/// A new API key. It acts as the member who makes it, or with a role of its own as a service account, within its scopes.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewApiKey {
    /// What it is for.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(
        with = "Option<Kind>",
        description = "organization (`csb_…`) if missing; publishable `cpk_…`; user `csu_…`: your own, good in all your organizations and listed with you."
    )]
    pub kind: Kind,
    /// Makes it a service account: the organization's own key, which acts as itself with this role and outlives the member who made it. Giving a
    /// role needs its scopes.
    #[schemars(with = "Option<crate::wire::ServiceRole>")]
    pub role: Option<Role>,
    /// What people call it.
    #[schemars(length(min = 3, max = 50), example = &"Back end")]
    pub name: String,
    /// What it is for.
    #[schemars(length(min = 0, max = 200), example = &"Nightly import")]
    pub description: Option<String>,
    /// Reading its maker, organization, members and customers if missing.
    #[schemars(with = "Option<Vec<crate::wire::Scope>>")]
    pub scopes: Option<Vec<String>>,
    /// Requests a minute, in the place of the server's limit. 100 at the most for a publishable key.
    #[schemars(range(min = 1, max = 1_000_000), example = 600)]
    pub rate_limit_per_minute: Option<u32>,
    /// Requests an hour, beside the limits for the minute and the day.
    #[schemars(range(min = 1, max = 60_000_000), example = 10_000)]
    pub rate_limit_per_hour: Option<u32>,
    /// Addresses and networks the key may be used from; anywhere if there are none.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Vec<String>>", length(max = 50), example = ["192.0.2.7", "10.0.0.0/8"])]
    pub allowed_ips: Vec<String>,
    /// In the future.
    #[schemars(example = &"2030-01-31T12:00:00Z")]
    pub expires_at: Option<Timestamp>,
    /// Texts by name.
    #[serde(default = "crate::wire::no_object", deserialize_with = "crate::wire::object")]
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Json,
}

impl NewApiKey {
    /// A key of this kind and name that has the usual scopes and no terms.
    pub fn new(kind: Kind, name: impl Into<String>) -> NewApiKey {
        NewApiKey {
            kind,
            role: None,
            name: name.into(),
            description: None,
            scopes: None,
            rate_limit_per_minute: None,
            rate_limit_per_hour: None,
            allowed_ips: Vec::new(),
            expires_at: None,
            metadata: json!({}),
        }
    }
}

/// What is to be changed of an API key. What is missing stays; null empties what may be empty.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[schemars(rename = "ChangeApiKey")]
pub struct Change {
    /// What people call it.
    #[schemars(length(min = 3, max = 50), example = &"Back end")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(length(min = 0, max = 200), example = &"Nightly import")]
    pub description: Option<Option<String>>,
    /// None that the credential lacks itself; only `read:organization` for a publishable key.
    #[schemars(with = "Option<Vec<crate::wire::Scope>>")]
    pub scopes: Option<Vec<String>>,
    /// Requests a minute, in the place of the server's limit. 100 at the most for a publishable key.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(range(min = 1, max = 1_000_000), example = 600)]
    pub rate_limit_per_minute: Option<Option<u32>>,
    /// Requests an hour, beside the limits for the minute and the day.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(range(min = 1, max = 60_000_000), example = 10_000)]
    pub rate_limit_per_hour: Option<Option<u32>>,
    /// Addresses and networks the key may be used from; anywhere if there are none.
    #[serde(default, deserialize_with = "crate::wire::emptied")]
    #[schemars(with = "Option<Vec<String>>", length(max = 50), example = ["192.0.2.7", "10.0.0.0/8"])]
    pub allowed_ips: Option<Vec<String>>,
    /// In the future.
    #[serde(default, deserialize_with = "crate::wire::clearable")]
    #[schemars(example = &"2030-01-31T12:00:00Z")]
    pub expires_at: Option<Option<Timestamp>>,
    /// A key that is switched off is refused with 401 until it is switched on again.
    pub is_active: Option<bool>,
    /// Merged into what is there; an empty text takes a key away.
    #[schemars(with = "Option<crate::wire::Metadata>")]
    pub metadata: Option<Json>,
}
