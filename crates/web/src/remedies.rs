//! Which request takes away what stands in a deletion's way: the remedy of a blocker as a call, with the ids of the case at hand.
//!
//! All of them are addresses of the organizations API, which has the most of them, whichever surface the deletion was asked of.

use plane::Cx;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::dialect::{API, Dialect};

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

    /// The request; null where it takes more than one, or it is not known whose.
    pub fn call(self, dialect: &Dialect, code: &str, kind: &str, id: Uuid) -> Json {
        match self.request(code, kind, id) {
            // On other surfaces a customer is deleted in other ways: no remedy leads from a gentler one to this.
            Some(("DELETE", _)) if kind == "customer" && !std::ptr::eq(dialect, &API) => Json::Null,
            Some((method, path)) => dialect.object(vec![("method", method.into()), ("path", path.into())]),
            None => Json::Null,
        }
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
