//! OAuth apps as records, and what is said of a new or changed one.

use crate::policy::Scopes;
use crate::revisions::derived;
use jiff::Timestamp;
use uuid::Uuid;

/// An app without its secret.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct OauthApp {
    /// In the audit trail and in deletions.
    pub id: Uuid,
    /// The organization it belongs to.
    #[serde(rename = "organization_id")]
    #[schemars(with = "crate::wire::OrganizationId")]
    pub organization: Uuid,
    /// The member it acts as.
    #[serde(rename = "member_id")]
    pub member: Uuid,
    /// How it is named everywhere else.
    #[schemars(regex(pattern = "^app_[0-9A-Za-z]{24}$"), length(max = 28), example = &"app_0123456789abcdefGHIJKLMN")]
    pub client_id: String,
    /// What people call it.
    #[schemars(length(min = 1, max = 100), example = &"My Integration")]
    pub name: String,
    /// What it is for.
    #[schemars(length(min = 0, max = 500), example = &"Integration for managing organization data")]
    pub description: Option<String>,
    /// Where it wants people to be sent back to. Kept for a flow that does that.
    #[schemars(length(max = 10), example = ["https://example.com/callback"])]
    pub redirect_uris: Vec<String>,
    /// What its tokens can be used for at the most.
    #[schemars(with = "Vec<crate::wire::Scope>")]
    pub scopes: Vec<String>,
    /// Whether it gets tokens and those it has are good.
    pub is_active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

sql::columns! { OauthApp {
    id, organization: "organization_id", member: "member_id", client_id, name, description, redirect_uris, scopes, is_active, created_at,
    updated_at,
} }

impl OauthApp {
    /// The tag of this state. A new secret is a new state.
    pub fn etag(&self) -> String {
        derived(self.id, self)
    }
}

/// A new app.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct NewOauthApp {
    /// What people call it.
    #[schemars(length(min = 1, max = 100), example = &"My Integration")]
    pub name: String,
    /// What it is for.
    #[schemars(length(min = 0, max = 500), example = &"Integration for managing organization data")]
    pub description: Option<String>,
    /// One or more; none wider than the credential that makes it.
    #[schemars(with = "Vec<crate::wire::Scope>", length(min = 1))]
    pub scopes: Vec<String>,
    /// The same as `redirectUri`, several.
    #[serde(default, deserialize_with = "crate::wire::or_default")]
    #[schemars(with = "Option<Vec<String>>", length(max = 10), description = "The same, several.", example = ["https://example.com/callback"])]
    pub redirect_uris: Vec<String>,
}

/// What shall change; none stays as it is.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
pub struct OauthAppChanges {
    /// What people call it.
    #[schemars(length(min = 1, max = 100), example = &"Updated Integration Name")]
    pub name: Option<String>,
    /// What it is for.
    #[schemars(length(min = 0, max = 500))]
    pub description: Option<String>,
    /// One or more. Tokens that the app has are narrowed with it. Only the member who made the app can widen them.
    #[schemars(with = "Option<Vec<crate::wire::Scope>>", length(min = 1))]
    pub scopes: Option<Vec<String>>,
    /// The same as `redirectUri`, several.
    #[schemars(length(max = 10), description = "The same, several.", example = ["https://example.com/callback"])]
    pub redirect_uris: Option<Vec<String>>,
    /// Whether it gets tokens and those it has are good. Only the member who made the app can turn it on again.
    pub is_active: Option<bool>,
}

impl OauthAppChanges {
    pub(super) fn apply(&self, app: &OauthApp) -> OauthApp {
        let changes = self.clone();
        OauthApp {
            name: changes.name.unwrap_or_else(|| app.name.clone()),
            description: changes.description.or_else(|| app.description.clone()),
            redirect_uris: changes.redirect_uris.unwrap_or_else(|| app.redirect_uris.clone()),
            scopes: changes.scopes.map_or_else(|| app.scopes.clone(), |scopes| Scopes::of(&scopes).names()),
            is_active: changes.is_active.unwrap_or(app.is_active),
            ..app.clone()
        }
    }

    /// Whether more is possible with the app afterwards than before.
    pub(super) fn give(&self, app: &OauthApp) -> bool {
        let widen = self.scopes.iter().flatten().any(|scope| !Scopes::of(&app.scopes).covers(scope));
        widen || (self.is_active == Some(true) && !app.is_active)
    }

    pub(super) fn only_take(&self, app: &OauthApp) -> bool {
        self.name.is_none() && self.description.is_none() && self.redirect_uris.is_none() && !self.give(app)
    }
}
