//! The lines of the ledger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::requirement_terms::ByKind;

/// What a line tells of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A deletion was ordered.
    Ordered(Order),
    /// A deletion was completed.
    Completed { deletion: Uuid, counts: Json },
    /// A deletion was taken back within its grace period.
    Restored(TakenBack),
    /// A purge was stopped.
    Stopped { deletion: Uuid },
    /// A customer's device or session was removed.
    Removed { organization: Uuid, customer: Uuid, kind: String, id: Uuid },
    /// A credential was changed: what it was before is good no longer.
    Changed {
        credential: Credential,
        organization: Option<Uuid>,
        id: Uuid,
        digest: String,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// A member has this role now.
    Role { organization: Uuid, member: Uuid, role: String, revision: i64 },
    /// A user is an operator, or none any more.
    Operator {
        user: Uuid,
        is_operator: bool,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// An organization was archived, or is none any more.
    Archived { organization: Uuid, is_archived: bool, revision: i64 },
    /// A customer has this manager now, is archived, or is no longer.
    Customer { organization: Uuid, customer: Uuid, managed_by: Option<Uuid>, is_archived: bool, revision: i64 },
    /// An organization asks this of those who delete.
    Asked {
        organization: Uuid,
        by_kind: ByKind,
        /// 0 in lines of older programs.
        #[serde(default)]
        revision: i64,
    },
    /// A legal hold was placed.
    Held { organization: Uuid, hold: Uuid, subject: String, subject_id: Uuid, until: Option<Timestamp> },
    /// A legal hold was released.
    Released { hold: Uuid },
    /// An invitation was accepted: it cannot be used again.
    Accepted { organization: Uuid, invitation: Uuid },
    /// The database is as new as this.
    Beat { beat: i64 },
}

/// What of a deletion can be told without telling of a person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) deletion: Uuid,
    pub(crate) organization: Uuid,
    pub(crate) root: String,
    pub(crate) subject: Uuid,
    pub(crate) actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor_id: Option<Uuid>,
    /// Until when it could be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reversible_until: Option<Timestamp>,
    /// Whether it waits for an export.
    pub(crate) export: bool,
    /// Whether a job ordered it, which does so again after a crash.
    pub(crate) by_job: bool,
    /// What it erased, if that was done at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Json>,
}

sql::columns! { Order {
    deletion: "id", organization: "organization_id", root, subject: "subject_id", actor, actor_id, reversible_until;
    export = false, by_job = false, counts = None,
} }

/// A deletion that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    pub(crate) deletion: Uuid,
    pub(crate) organization: Uuid,
    pub(crate) root: String,
    pub(crate) subject: Uuid,
}

sql::columns! { TakenBack { deletion: "id", organization: "organization_id", root, subject: "subject_id" } }

/// What opens something and can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// A user's password.
    Password,
    /// The secret and the scopes of an OAuth app.
    OauthApp,
    /// An organization's key.
    ApiKey,
    /// A person's own key.
    UserApiKey,
    /// Where a webhook leads to, what it is told, and whether it is told anything.
    Webhook,
    /// What a webhook's deliveries are signed with.
    WebhookSecret,
}

impl Entry {
    /// Whether the record of a deletion tells the same.
    pub(super) fn is_in_records(&self) -> bool {
        matches!(self, Entry::Ordered(_) | Entry::Completed { .. } | Entry::Restored(_) | Entry::Beat { .. })
    }
}

/// The revision of a credential that is gone.
pub(crate) const GONE: i64 = i64::MAX;
