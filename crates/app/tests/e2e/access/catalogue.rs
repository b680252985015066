//! The operations as `/openapi.json` tells them, and the requests made from that alone.

use plane::policy::Action;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value as Json;

use super::world::{Caller, Tenant};
use crate::support::{Server, expect};

/// Who an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Anybody,
    Person,
    Operators,
    Members(Action),
}

/// One operation.
pub struct Operation {
    pub id: String,
    pub method: Method,
    pub path: String,
    pub access: Access,
    /// The names of its parameters behind the `?`.
    pub parameters: Vec<String>,
    /// Its body as JSON.
    pub body: Option<Json>,
    /// It reads a form of a page for people.
    pub takes_fields: bool,
}

/// Every operation of the server.
pub async fn operations(server: &Server) -> Vec<Operation> {
    let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
    let paths = document["paths"].as_object().unwrap();
    let each =
        paths.iter().flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, described)| (path, method, described)));
    each.map(|(path, method, described)| Operation {
        id: described["operationId"].as_str().unwrap().to_owned(),
        method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
        path: path.clone(),
        access: access(&described["x-access"]),
        parameters: described["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| {
                // One for each key of an object.
                let key = if parameter["style"] == "deepObject" { "[key]" } else { "" };
                format!("{}{key}", parameter["name"].as_str().unwrap())
            })
            .collect(),
        takes_fields: path.starts_with("/dashboard/") && method == "post",
        body: described["requestBody"]["content"].as_object().map(|content| content["application/json"]["example"].clone()),
    })
    .collect()
}

fn access(described: &Json) -> Access {
    match described["for"].as_str().unwrap() {
        "anybody" => Access::Anybody,
        "person" => Access::Person,
        "operators" => Access::Operators,
        _ => {
            let name = described["action"].as_str().unwrap();
            Access::Members(*Action::ALL.iter().find(|action| format!("{action:?}") == name).unwrap())
        }
    }
}

impl Operation {
    /// Whether its address names an organization, directly or through what belongs to one only.
    pub fn names_an_organization(&self) -> bool {
        self.path.contains("/organizations/") || self.path.contains("/organization/")
    }

    /// Whether it takes a body.
    pub fn has_a_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether it is about one customer.
    pub fn names_a_customer(&self) -> bool {
        self.path.contains("/customers/{") || (self.path.starts_with("/customer/") && self.path.contains('{'))
    }

    /// Whether what it is about may be missing or otherwise than it needs, though all ids are of what is there.
    pub fn names_what_may_be_missing(&self) -> bool {
        // Of what customers own there is a device.
        let owned = ["/subscriptions/{", "/transactions/{", "/sessions/{", "/activity/{"];
        if owned.iter().any(|part| self.path.contains(part)) {
            return true;
        }
        let named = [
            "acceptInvitation",
            "withdrawApproval",
            "restoreDeletion",
            "stopPurge",
            "deleteMe",
            "changePassword",
            "recoverOrganization",
            "addOperator",
            "removeOperator",
            "giveUpDelivery",
            // The server is not connected to Stripe.
            "beginCheckout",
            "openBillingPortal",
            "readEffect",
            "retryEffect",
            "giveUpEffect",
        ];
        named.contains(&self.id.as_str())
    }

    /// Whether it ends what its address names, or the keys of that.
    pub fn is_destructive(&self) -> bool {
        self.method == Method::DELETE || self.id == "archiveOrganization"
    }

    /// Its address for what a tenant has.
    pub fn address(&self, tenant: &Tenant) -> String {
        let mut path = String::new();
        let mut before = "";
        for segment in self.path.split('/').skip(1) {
            path.push('/');
            match segment.starts_with('{') {
                false => path.push_str(segment),
                true => {
                    let id = match self.path.starts_with("/api/users/me/api-keys/") {
                        true => Some(tenant.own_key.as_str()),
                        false => tenant.id_after(before, self.path.starts_with("/customer/")),
                    };
                    path.push_str(
                        id.unwrap_or_else(|| panic!("the access test does not know what stands in {} after {before}", self.path)),
                    );
                }
            }
            before = segment;
        }
        path
    }

    /// The request of a caller for what a tenant has.
    pub fn request(&self, server: &Server, caller: &Caller, tenant: &Tenant) -> RequestBuilder {
        let mut request = caller.sign(server.request(self.method.clone(), &self.address(tenant)));
        let organization_is_the_callers =
            !self.names_an_organization() && (self.path.starts_with("/customer") || self.path == "/api/deletions");
        if organization_is_the_callers {
            request = request.header("X-Organization", &tenant.organization);
        }
        match self.body.clone() {
            Some(mut body) => {
                if let Some(organization) = body.get_mut("organizationId") {
                    *organization = tenant.organization.as_str().into();
                }
                request.json(&body)
            }
            None => request,
        }
    }
}
