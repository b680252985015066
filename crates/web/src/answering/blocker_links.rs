//! Which request takes away what stands in a deletion's way: the remedy of a blocker as a call, with the ids of the case at hand.
//!
//! All of them are addresses of the organizations API, which has the most of them, whichever surface the deletion was asked of.

use plane::Cx;
use plane::deletions::Blocker;
use plane::wire::{BlockerCode, BlockerKind, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::dialect::{API, Dialect};

/// One reason why a deletion cannot happen now.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Blocker")]
pub(crate) struct BlockerOut {
    /// Stable and machine-readable.
    #[schemars(with = "BlockerCode")]
    code: String,
    /// The kind of what blocks.
    #[schemars(with = "BlockerKind")]
    kind: String,
    id: Uuid,
    /// For people.
    #[schemars(length(min = 1, max = 1_000), example = &"The subscription is active.")]
    detail: String,
    /// What to do about it.
    #[schemars(length(min = 1, max = 500), example = &"Cancel the subscription.")]
    remedy: String,
    /// The request that does it; null if that takes more than one.
    call: Option<Call>,
}

/// A request of the organizations API.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Call {
    #[schemars(with = "Method")]
    method: String,
    #[schemars(length(min = 1, max = 1_000), example = &"/api/organizations/acme/customers/user123/subscriptions/550e8400-e29b-41d4-a716-446655440000")]
    path: String,
}

/// What the address of a remedy is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    organization: Option<Uuid>,
    customer: Option<&'a str>,
}

impl<'a> Case<'a> {
    /// The organization that the work turned out to be about, and the customer as the caller named it.
    pub fn of(cx: &Cx, customer: Option<&'a str>) -> Case<'a> {
        Case { organization: cx.noted_organization(), customer }
    }

    /// A customer of an organization.
    pub fn within(organization: Uuid, customer: Option<&'a str>) -> Case<'a> {
        Case { organization: Some(organization), customer }
    }

    /// What blocks, each with the request that takes it away.
    pub fn blockers(self, dialect: &Dialect, blockers: &[Blocker]) -> Vec<BlockerOut> {
        self.kept_blockers(dialect, blockers.iter().filter_map(|blocker| serde_json::to_value(blocker).ok()))
    }

    /// The same of those that are kept as JSON.
    pub fn kept_blockers(self, dialect: &Dialect, blockers: impl IntoIterator<Item = Json>) -> Vec<BlockerOut> {
        let read = blockers.into_iter().filter_map(|blocker| serde_json::from_value(blocker).ok());
        read.map(|blocker: BlockerOut| BlockerOut { call: self.call(dialect, &blocker), ..blocker }).collect()
    }

    /// The request; none where it takes more than one, or it is not known whose.
    fn call(self, dialect: &Dialect, BlockerOut { code, kind, id, .. }: &BlockerOut) -> Option<Call> {
        let (method, path) = self.request(code, kind, *id)?;
        // On other surfaces a customer is deleted in other ways: no remedy leads from a gentler one to this.
        let is_gentler = method == "DELETE" && kind == "customer" && !std::ptr::eq(dialect, &API);
        (!is_gentler).then(|| Call { method: method.to_owned(), path })
    }

    fn request(self, code: &str, kind: &str, id: Uuid) -> Option<(&'static str, String)> {
        if (code, kind) == ("last_owner", "organization") {
            return Some(("POST", format!("/api/organizations/{id}/transfer")));
        }
        // What is in no organization has the nil one.
        let organization = format!("/api/organizations/{}", self.organization.filter(|id| !id.is_nil())?);
        let owned = |kind: &str| Some(("PATCH", format!("{organization}/customers/{}/{kind}/{}", encode(self.customer?), id)));
        match code {
            "active_subscription" => owned("subscriptions"),
            "pending_transaction" => owned("transactions"),
            "legal_hold" => Some(("POST", format!("{organization}/holds/{id}/release"))),
            "reason_required" => self.again(organization, (kind, id), "reason"),
            "confirmation_required" => self.again(organization, (kind, id), "confirm"),
            "reauthentication_required" => Some(("POST", "/api/auth/sign-in".to_owned())),
            "approval_required" if kind == "requirements" => Some(("POST", format!("{organization}/deletion-requirements/approvals"))),
            "approval_required" => Some(("POST", format!("{}/deletion-approvals", self.address(organization, (kind, id))?))),
            "last_owner" => Some(("POST", format!("{organization}/transfer"))),
            "organization_archived" => Some(("POST", format!("{organization}/unarchive"))),
            _ => None,
        }
    }
}

impl Case<'_> {
    /// The same deletion with what was missing, which only the caller can fill in.
    fn again(self, organization: String, subject: (&str, Uuid), parameter: &str) -> Option<(&'static str, String)> {
        match subject {
            ("customer_purge", _) => Some(("POST", format!("{organization}/customers:purge?force=true&{parameter}="))),
            _ => Some(("DELETE", format!("{}?{parameter}=", self.address(organization, subject)?))),
        }
    }

    /// The address of what is to be deleted.
    fn address(self, organization: String, subject: (&str, Uuid)) -> Option<String> {
        match subject {
            ("organization", _) => Some(organization),
            ("member", id) => Some(format!("{organization}/members/{id}")),
            ("customer", _) => Some(format!("{organization}/customers/{}", encode(self.customer?))),
            _ => None,
        }
    }
}

/// A segment of a path (RFC 3986).
fn encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
