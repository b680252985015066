//! Users: oneself, and those one knows from an organization.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use jiff::Timestamp;
use plane::credentials::{CredentialKind, Principal};
use plane::deletions::Deletion;
use plane::organizations;
use plane::page::PageRequest;
use plane::plans::Subject;
use plane::preferences::{self, Preference};
use plane::users::{self, User, UserChange};
use plane::wire::{Metadata, OrganizationId, Password, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::answers::{Listed, One, OrPlan};
use crate::body::Body as Given;
use crate::caller::{Caller, Segments};
use crate::handlers::auth::without_cookie;
use crate::handlers::deletions::{self, DeletionPlan};
use crate::handlers::{Deleted, deleted};
use crate::problem::Answer;

pub(crate) async fn me(caller: Caller) -> Answer<One<User>> {
    let user = users::me(&caller.cx).await?;
    Ok(caller.tagged(&user.etag(), &user))
}

pub(crate) async fn update_me(caller: Caller, Given(change): Given<UserChange>) -> Answer<One<User>> {
    let user = users::update(&caller.cx, change).await?;
    Ok(caller.tagged(&user.etag(), &user))
}

/// A new password, and the one it replaces.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewPassword {
    #[schemars(length(min = 0, max = 1_000), example = &"my old password", extend("x-secret" = true))]
    current_password: String,
    #[schemars(with = "Password")]
    new_password: String,
}

pub(crate) async fn change_password(caller: Caller, Given(new): Given<NewPassword>) -> Answer {
    users::change_password(&caller.cx, new.current_password, new.new_password).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn delete_me(caller: Caller) -> Answer<OrPlan<Deleted>> {
    let done = |deletion: &Deletion| deleted(&caller, deletion).with(|response| without_cookie(response, &caller.cx));
    deletions::order(&caller, Subject::User, users::delete(&caller.cx, caller.reason()), done).await
}

pub(crate) async fn plan_of_me(caller: Caller) -> Answer<One<DeletionPlan>> {
    deletions::shown(&caller, Subject::User).await
}

/// A user.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(crate) struct KnownUser {
    id: Uuid,
    #[schemars(length(min = 1, max = 254))]
    email: String,
    #[schemars(length(min = 1, max = 100), example = &"Ada Lovelace")]
    name: String,
}

/// The key that the request came with.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OwnApiKey {
    id: Uuid,
    #[schemars(with = "Vec<Scope>")]
    scopes: Vec<String>,
    expires_at: Option<Timestamp>,
}

impl OwnApiKey {
    /// None for a request that came without.
    fn of(principal: &Principal) -> Option<OwnApiKey> {
        match (principal.kind, principal.scopes) {
            (CredentialKind::ApiKey, Some(scopes)) => {
                Some(OwnApiKey { id: principal.credential, scopes: scopes.names(), expires_at: principal.expires_at.map(Into::into) })
            }
            _ => None,
        }
    }
}

/// An organization's id and name.
#[derive(Serialize, JsonSchema)]
pub(crate) struct NamedOrganization {
    #[schemars(with = "OrganizationId")]
    id: Uuid,
    #[schemars(length(min = 3, max = 100), example = &"Acme")]
    name: String,
}

/// Who the credential stands for.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Whoami {
    user_id: Uuid,
    #[schemars(length(min = 1, max = 254))]
    email: String,
    /// Those the credential is good for.
    organizations: Vec<NamedOrganization>,
    #[schemars(with = "Metadata")]
    metadata: Json,
    api_key: Option<OwnApiKey>,
}

/// A user's stance on a trait.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Preference")]
pub(crate) struct PreferenceOut {
    /// For programs.
    #[schemars(length(min = 1, max = 50), example = &"peanuts")]
    r#trait: &'static str,
    /// For people.
    #[schemars(length(min = 1, max = 100), example = &"Peanuts")]
    trait_label: &'static str,
    #[schemars(extend("enum" = ["ALLERGEN", "DIETARY", "RELIGIOUS", "SOURCING", "OTHER"]))]
    category: &'static str,
    /// NEUTRAL when it was taken back.
    #[schemars(extend("enum" = ["AVOID", "REQUIRE", "PREFER", "NEUTRAL"]))]
    stance: &'static str,
}

impl From<Preference> for PreferenceOut {
    fn from(Preference { subject, stance }: Preference) -> PreferenceOut {
        PreferenceOut { r#trait: subject.name, trait_label: subject.label, category: subject.category.name(), stance: stance.name() }
    }
}

pub(crate) async fn read(caller: Caller, Segments(user): Segments<String>) -> Answer<One<KnownUser>> {
    let user = users::get(&caller.cx, caller.id("id", &user)?).await?;
    let etag = user.etag();
    Ok(caller.tagged(&etag, &KnownUser { id: user.id, email: user.email.clone(), name: user.name.clone() }))
}

pub(crate) async fn whoami(caller: Caller) -> Answer<One<Whoami>> {
    let user = users::me(&caller.cx).await?;
    let page = organizations::list_mine(&caller.cx, &Map::new(), PageRequest::new(1, 100)).await?;
    let whoami = Whoami {
        user_id: user.id,
        email: user.email.clone(),
        organizations: page.entries.into_iter().map(|one| NamedOrganization { id: one.id, name: one.name }).collect(),
        metadata: user.metadata.clone(),
        api_key: OwnApiKey::of(caller.cx.principal()?),
    };
    Ok(caller.one(StatusCode::OK, &whoami))
}

pub(crate) async fn preferences(caller: Caller) -> Answer<Listed<PreferenceOut>> {
    let taken: Vec<PreferenceOut> = preferences::list(&caller.cx).await?.into_iter().map(PreferenceOut::from).collect();
    Ok(caller.list(&taken))
}
