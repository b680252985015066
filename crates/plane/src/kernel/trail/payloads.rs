//! What webhooks are told, event by event: ids and plain facts. The names in it are the same on every surface.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::key_format::Kind;
use crate::policy::Role;
use crate::wire::{BlockerCode, BlockerKind, OrganizationId, SubjectKind};

/// An organization.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    #[schemars(with = "OrganizationId")]
    pub(crate) id: Uuid,
}

impl OrganizationEvent {
    pub(crate) fn of(organization: Uuid) -> OrganizationEvent {
        OrganizationEvent { organization_id: organization, id: organization }
    }
}

/// An organization that is deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationDeletedEvent {
    #[serde(flatten)]
    pub(crate) organization: OrganizationEvent,
    /// The deletion; its record is at `/api/deletions/{id}`.
    pub(crate) deletion_id: Uuid,
}

/// A membership.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The membership's id.
    pub(crate) id: Uuid,
    /// The user's.
    pub(crate) user_id: Uuid,
    pub(crate) role: Role,
}

/// A membership that is deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRemovedEvent {
    #[serde(flatten)]
    pub(crate) member: MemberEvent,
    /// The deletion; its record is at `/api/deletions/{id}`.
    pub(crate) deletion_id: Uuid,
}

/// A membership and its new role.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRoleEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The membership's id.
    pub(crate) id: Uuid,
    pub(crate) role: Role,
}

/// An invitation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) role: Role,
}

/// An invitation and what it became.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvitationAcceptedEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
    /// The membership's id.
    pub(crate) member_id: Uuid,
}

/// A customer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerEvent<'a> {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The customer's id, as the API has it.
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    pub(crate) id: &'a str,
}

/// A customer that is deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerDeletedEvent<'a> {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The customer's id, as the API has it.
    #[schemars(length(min = 1, max = 100), example = &"user123")]
    pub(crate) id: Option<&'a str>,
    /// Whether it is erased; otherwise it is marked and kept for audit.
    pub(crate) permanent: bool,
    /// The deletion; its record is at `/api/deletions/{id}`.
    pub(crate) deletion_id: Uuid,
}

/// An OAuth app.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OauthAppEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
    #[schemars(length(min = 1, max = 100), example = &"app_0123456789abcdefGHIJKLMN")]
    pub(crate) client_id: String,
}

/// An OAuth app that is deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OauthAppRevokedEvent {
    #[serde(flatten)]
    pub(crate) app: OauthAppEvent,
    /// The deletion; its record is at `/api/deletions/{id}`.
    pub(crate) deletion_id: Uuid,
}

/// An API key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
    pub(crate) kind: Kind,
}

/// An API key that ends by itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyExpiringEvent {
    #[serde(flatten)]
    pub(crate) key: ApiKeyEvent,
    /// The end comes within so many days: 30, 7 or 1.
    #[schemars(range(min = 1, max = 30), example = 7)]
    pub(crate) days: i64,
    /// The end.
    #[schemars(with = "Timestamp")]
    pub(crate) expires_at: String,
}

/// Something that is deleted.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndedEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
    /// The deletion; its record is at `/api/deletions/{id}`.
    pub(crate) deletion_id: Uuid,
}

/// Something that was made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    pub(crate) id: Uuid,
}

/// A deletion.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionEvent {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The deletion's id.
    pub(crate) id: Uuid,
    /// The kind of what is deleted.
    #[schemars(with = "SubjectKind")]
    pub(crate) kind: &'static str,
    pub(crate) subject_id: Uuid,
}

/// A deletion that was refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionBlockedEvent<'a> {
    #[schemars(with = "OrganizationId")]
    pub(crate) organization_id: Uuid,
    /// The kind of what was to be deleted.
    #[schemars(length(min = 1, max = 50), example = &"customer")]
    pub(crate) kind: &'a str,
    pub(crate) subject_id: Option<Uuid>,
    /// The customer's id, as the API has it; null for others.
    #[schemars(length(min = 0, max = 200), example = &"user123")]
    pub(crate) id: Option<&'a str>,
    /// What stands in the way.
    pub(crate) blockers: Vec<EventBlocker>,
}

/// One reason why a deletion cannot happen now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventBlocker {
    #[schemars(with = "BlockerCode")]
    pub(crate) code: &'static str,
    #[schemars(with = "BlockerKind")]
    pub(crate) kind: &'static str,
    pub(crate) id: Uuid,
}
