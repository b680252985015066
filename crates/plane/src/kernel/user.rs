//! A user as they see themselves: read often, and kept in memory with the credentials.

use crate::revisions::derived;
use serde_json::Value as Json;
use uuid::Uuid;

/// A user as they see themselves.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "OwnUser")]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// The address.
    #[schemars(length(min = 1, max = 254))]
    pub email: String,
    /// The name.
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    pub name: String,
    /// What the user says about themselves.
    #[schemars(with = "crate::wire::Metadata")]
    pub metadata: Json,
}

sql::columns! { User { id, email, name, metadata } }

impl User {
    /// The tag of this state: of what users say about themselves.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}
