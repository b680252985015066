//! Who asks, and what there is to ask for.

use plane::policy::Role;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::catalogue::Operation;
use crate::support::{OauthApp, Organization, Person, Server, expect};

/// Whose ids a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Of the organization that most callers belong to.
    Own,
    /// Of another that exists.
    Foreign,
    /// Of nothing that ever was.
    Unknown,
    /// Of what was there and has been deleted.
    Deleted,
}

impl Target {
    pub const ALL: [Target; 4] = [Target::Own, Target::Foreign, Target::Unknown, Target::Deleted];
}

/// How a caller stands to the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No credential that is good.
    Unknown,
    /// Nothing to do with any.
    Stranger,
    /// A member of the organization that is their home, a stranger elsewhere.
    Member(Role),
    /// A service account of the organization that is its home, with this role.
    Service(Role),
    /// A key of the owner with a scope that no operation of an organization needs.
    WrongScope,
    Operator,
}

pub enum Credential {
    None,
    Bearer(String),
    Key(String),
    Cookie(String),
}

/// One who asks.
pub struct Caller {
    pub name: String,
    pub standing: Standing,
    /// Whose member they are.
    pub home: Target,
    credential: Credential,
}

pub fn caller(name: &str, standing: Standing, credential: Credential) -> Caller {
    Caller { name: name.to_owned(), standing, home: Target::Own, credential }
}

impl Caller {
    /// An owner with an API key.
    pub fn with_key(key: &str) -> Caller {
        caller("owner's key", Standing::Member(Role::Owner), Credential::Key(key.to_owned()))
    }

    /// An owner with an access token.
    pub fn with_token(token: &str) -> Caller {
        caller("owner", Standing::Member(Role::Owner), Credential::Bearer(token.to_owned()))
    }

    pub fn has_a_key(&self) -> bool {
        matches!(self.credential, Credential::Key(_))
    }

    pub fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credential {
            Credential::None => request,
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Key(key) => request.header("X-API-Key", key),
            Credential::Cookie(cookie) => request.header("Cookie", format!("sessionid={cookie}")),
        }
    }
}

/// The ids of one organization and of what is in it.
#[derive(Clone)]
pub struct Tenant {
    pub organization: String,
    pub member: String,
    pub user: String,
    pub customer: String,
    pub dependant: String,
    pub key: String,
    /// A key of the owner's own.
    pub own_key: String,
    pub invitation: String,
    pub deletion: String,
    pub export: String,
    pub hold: String,
    pub approval: String,
    pub webhook: String,
    pub delivery: String,
    pub app: String,
    pub token: String,
    /// Stands in the names of what is in it.
    pub marker: String,
}

/// Everybody and everything.
pub struct World {
    pub callers: Vec<Caller>,
    own: Tenant,
    foreign: Tenant,
    deleted: Tenant,
    owner: Person,
}

impl World {
    pub async fn make(server: &mut Server) -> World {
        // First, because the server is started again for it.
        let operator = server.new_operator().await;
        let own = server.new_organization().await;
        let foreign = server.new_organization().await;
        let doomed = server.new_organization().await;
        let mut callers = vec![
            caller("unknown caller", Standing::Unknown, Credential::None),
            caller("outsider", Standing::Stranger, Credential::Bearer(server.new_person().await.token)),
            caller("operator", Standing::Operator, Credential::Bearer(operator.token)),
        ];
        for role in Role::ALL {
            let person = match role {
                Role::Owner => own.owner.clone(),
                _ => server.new_member(&own, role.name()).await.0,
            };
            let token = server.sign_in(&person.email, Some(&own.slug)).await;
            callers.push(caller(role.name(), Standing::Member(role), Credential::Bearer(token)));
        }
        let (removed, member) = server.new_member(&own, "admin").await;
        let token = server.sign_in(&removed.email, Some(&own.slug)).await;
        let path = format!("/api/organizations/{}/members/{member}", own.id);
        expect(server.request(Method::DELETE, &path).bearer_auth(&own.owner.token), StatusCode::NO_CONTENT).await;
        callers.push(caller("removed member", Standing::Unknown, Credential::Bearer(token)));
        let (_, key) = server.new_api_key(&own, &own.owner.token, &["write:user"]).await;
        callers.push(caller("owner's key without the scope", Standing::WrongScope, Credential::Key(key)));
        let (_, key) = server.new_api_key(&foreign, &foreign.owner.token, &["admin:organization"]).await;
        callers.push(Caller { home: Target::Foreign, ..caller("other tenant's key", Standing::Member(Role::Owner), Credential::Key(key)) });
        callers.push(caller(
            "service account",
            Standing::Service(Role::Admin),
            Credential::Key(new_service_account(server, &own, "admin").await.1),
        ));
        let owner = own.owner.clone();
        let tenants = [furnish(server, &own).await, furnish(server, &foreign).await, furnish(server, &doomed).await];
        let path = format!("/api/organizations/{}", doomed.id);
        expect(server.request(Method::DELETE, &path).bearer_auth(&doomed.owner.token), StatusCode::NO_CONTENT).await;
        let [own, foreign, deleted] = tenants;
        World { callers, own, foreign, deleted, owner }
    }
}

impl World {
    /// What a request is about, and who sends it when that is not the caller: one that is let in to delete deletes nothing that others need.
    pub async fn case(&self, server: &Server, operation: &Operation, target: Target, is_let_in: bool) -> (Tenant, Option<Caller>) {
        let tenant = match target {
            Target::Own => self.own.clone(),
            Target::Foreign => self.foreign.clone(),
            Target::Deleted => self.deleted.clone(),
            Target::Unknown => Tenant::unknown(),
        };
        if !is_let_in || !operation.is_destructive() {
            return (tenant, None);
        }
        if !["/organizations/{id}", "/organizations/{id}/archive"].iter().any(|end| operation.path.ends_with(end)) {
            return (Tenant { organization: tenant.organization, ..Tenant::unknown() }, None);
        }
        let doomed = server.found_organization(&self.owner).await;
        let token = server.sign_in(&self.owner.email, Some(&doomed.slug)).await;
        let owner = caller("owner of another", Standing::Member(Role::Owner), Credential::Bearer(token));
        (Tenant { organization: doomed.id, ..tenant }, Some(owner))
    }
}

impl Tenant {
    pub fn unknown() -> Tenant {
        let id = || Uuid::new_v4().to_string();
        Tenant {
            organization: id(),
            member: id(),
            user: id(),
            customer: id(),
            dependant: id(),
            key: id(),
            own_key: id(),
            invitation: id(),
            deletion: id(),
            export: id(),
            hold: id(),
            approval: id(),
            webhook: id(),
            delivery: id(),
            app: format!("app_{}", &Uuid::new_v4().simple().to_string()[..24]),
            token: id(),
            marker: id(),
        }
    }
}

/// A key of the organization's own with this role and all scopes: its id and the key.
pub async fn new_service_account(server: &Server, organization: &Organization, role: &str) -> (String, String) {
    let path = format!("/api/organizations/{}/api-keys", organization.id);
    let body = json!({"name": "Service account", "role": role, "scopes": ["admin:all"]});
    let made = expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

/// One of everything, each with the organization's marker in its name.
pub async fn furnish(server: &Server, organization: &Organization) -> Tenant {
    let token = &organization.owner.token;
    let marker = format!("marker-{}", &Uuid::new_v4().simple().to_string()[..12]);
    let make = async |path: &str, body: serde_json::Value| {
        let path = format!("/api{}", path.replace("{organization}", &organization.id));
        expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let customer = text(&make("/organizations/{organization}/customers", json!({"name": &marker, "email": "a@example.com"})).await["id"]);
    let device = make(&format!("/organizations/{{organization}}/customers/{customer}/devices"), json!({"name": &marker})).await;
    // An admin's, since a key that acts as an owner is for owners to change.
    let admin = server.new_member(organization, "admin").await.0;
    let path = format!("/api/organizations/{}/api-keys", organization.id);
    let request = server.request(Method::POST, &path).bearer_auth(&admin.token).json(&json!({"name": &marker}));
    let key = expect(request, StatusCode::CREATED).await;
    let hook = json!({"url": format!("https://example.com/{marker}"), "events": ["oauth_app.revoked"]});
    let webhook = text(&make("/organizations/{organization}/webhooks", hook).await["id"]);
    let path = format!("/api/organizations/{}/webhooks/{webhook}/test", organization.id);
    let delivery = expect(server.request(Method::POST, &path).bearer_auth(token), StatusCode::ACCEPTED).await;
    let invitation =
        make("/organizations/{organization}/members/invite", json!({"email": format!("{marker}@example.com"), "role": "viewer"})).await;
    let app = make("/oauth/apps", json!({"name": &marker, "scopes": ["admin:all"], "organizationId": organization.id})).await;
    let app = OauthApp { id: text(&app["id"]), client_id: text(&app["clientId"]), secret: text(&app["clientSecret"]) };
    let gone = server.new_customer(organization, token).await;
    let path = format!("/api/organizations/{}/customers/{gone}", organization.id);
    let deletion = server.request(Method::DELETE, &path).bearer_auth(token).send().await.unwrap();
    let path = format!("/api/organizations/{}/customers/{customer}/exports", organization.id);
    let export = expect(server.request(Method::POST, &path).bearer_auth(token), StatusCode::ACCEPTED).await;
    // Over, so that what it is on can be deleted.
    let hold = make(&format!("/organizations/{{organization}}/customers/{customer}/holds"), json!({"reason": &marker})).await;
    let path = format!("/api/organizations/{}/holds/{}/release", organization.id, text(&hold["id"]));
    expect(server.request(Method::POST, &path).bearer_auth(token).json(&json!({"reason": &marker})), StatusCode::OK).await;
    let approval = make("/organizations/{organization}/deletion-approvals", json!({"reason": &marker})).await;
    let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
    Tenant {
        organization: organization.id.clone(),
        member: server.new_member(organization, "viewer").await.1,
        user: text(&me["id"]),
        customer,
        dependant: text(&device["id"]),
        key: text(&key["id"]),
        own_key: text(&make("/users/me/api-keys", json!({"name": "Own key"})).await["id"]),
        invitation: text(&invitation["id"]),
        deletion: deletion.headers()["deletion-id"].to_str().unwrap().to_owned(),
        export: text(&export["id"]),
        hold: text(&hold["id"]),
        approval: text(&approval["id"]),
        webhook,
        delivery: text(&delivery["id"]),
        token: server.new_oauth_token(&app).await.id,
        app: app.client_id,
        marker,
    }
}
