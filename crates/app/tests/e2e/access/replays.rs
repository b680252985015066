//! A kept answer is for those only who would be let in now: a caller who has lost role, scope, or organization since is refused like all
//! others.

use plane::policy::{Action, Role, Verdict, decide};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::catalogue::{Access, Operation, operations};
use super::world::{Caller, Credential, Standing, Tenant, caller, furnish};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect, header};
use crate::tools::change_database;

/// What would leave nothing for the others to be about, or keep them from being done.
const LEFT_OUT: [&str; 5] = [
    "OrganizationsController_delete",
    "accountDeleteOrganization",
    "archiveOrganization",
    "transferOrganization",
    "replaceDeletionRequirements",
];

/// An operation that is repeated, and who may have it done.
struct Repeated<'a> {
    operation: &'a Operation,
    action: Action,
    key: String,
}

impl Repeated<'_> {
    async fn send(&self, server: &Server, sender: &Caller, tenant: &Tenant) -> Response {
        self.operation.request(server, sender, tenant).header("Idempotency-Key", &self.key).send().await.unwrap()
    }
}

/// Sends every operation once, and returns those that were done.
async fn send_all<'a>(server: &Server, operations: &'a [Operation], sender: &Caller, tenant: &Tenant) -> Vec<Repeated<'a>> {
    let mut done = Vec::new();
    // What takes something away comes after what is done with it.
    let (last, first): (Vec<_>, Vec<_>) = operations.iter().partition(|operation| operation.is_destructive());
    for operation in first.into_iter().chain(last) {
        let Access::Members(action) = operation.access else { continue };
        if operation.method == Method::GET || LEFT_OUT.contains(&operation.id.as_str()) || decide(Role::Owner, action) != Verdict::Yes {
            continue;
        }
        let repeated = Repeated { operation, action, key: format!("{}-{}", sender.name.replace(' ', "-"), operation.id) };
        let answer = repeated.send(server, sender, tenant).await;
        if answer.status().is_success() {
            done.push(repeated);
        }
    }
    done
}

async fn is_replayed(server: &Server, repeated: &Repeated<'_>, sender: &Caller, tenant: &Tenant) -> Option<StatusCode> {
    let answer = repeated.send(server, sender, tenant).await;
    (!header(&answer, "idempotency-replayed").is_empty()).then(|| answer.status())
}

fn bearer(name: &str, token: String) -> Caller {
    caller(name, Standing::Unknown, Credential::Bearer(token))
}

on_both_engines! {
    async fn an_answer_is_given_again_only_to_those_who_would_be_let_in_now(server: Server) {
        let operations = operations(&server).await;
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "owner").await;
        let mut cells = 0;
        let mut told = Vec::new();

        // Role, organization, membership.
        let tenant = furnish(&server, &organization).await;
        let sender = bearer("second owner", person.token.clone());
        let done = send_all(&server, &operations, &sender, &tenant).await;
        assert!(done.len() >= 15, "only {} operations were done: {:?}", done.len(), done.iter().map(|one| &one.operation.id).collect::<Vec<_>>());
        for repeated in &done {
            assert!(is_replayed(&server, repeated, &sender, &tenant).await.is_some(), "{} is done twice", repeated.operation.id);
        }
        let elsewhere = server.found_organization(&person).await;
        let bound = bearer("session of another organization", server.sign_in(&person.email, Some(&elsewhere.slug)).await);
        give(&server, &organization, &member, "viewer").await;
        for repeated in &done {
            cells += 2;
            if decide(Role::Viewer, repeated.action) == Verdict::No && is_replayed(&server, repeated, &sender, &tenant).await.is_some() {
                told.push(format!("{} to a member who was demoted", repeated.operation.id));
            }
            if is_replayed(&server, repeated, &bound, &tenant).await.is_some() {
                told.push(format!("{} to a session of another organization", repeated.operation.id));
            }
        }
        give(&server, &organization, &member, "owner").await;
        assert!(is_replayed(&server, &done[0], &sender, &tenant).await.is_some(), "who has the role again hears the answer again");
        // Of what was done some stands in the way of a removal.
        change_database(&server, "UPDATE holds SET released_at = placed_at").await;
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        expect(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        for repeated in &done {
            cells += 1;
            if is_replayed(&server, repeated, &sender, &tenant).await.is_some() {
                told.push(format!("{} to a member who was removed", repeated.operation.id));
            }
        }

        // Scopes.
        let tenant = furnish(&server, &organization).await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["admin:all", "read:user"]).await;
        let token = async |scope: &str| {
            let form = [("grant_type", "client_credentials"), ("client_id", &app.client_id), ("client_secret", &app.secret), ("scope", scope)];
            expect(server.form("/oauth2/token", &form), StatusCode::OK).await["access_token"].as_str().unwrap().to_owned()
        };
        let (wide, narrow) = (bearer("app", token("admin:all").await), bearer("app", token("read:user").await));
        for repeated in send_all(&server, &operations, &wide, &tenant).await {
            cells += 1;
            if is_replayed(&server, &repeated, &narrow, &tenant).await.is_some() {
                told.push(format!("{} to a token without its scope", repeated.operation.id));
            }
        }
        assert!(told.is_empty(), "{} of {cells} answers are told to those who have lost what was asked for:\n{}", told.len(), told.join("\n"));
        eprintln!("replays: {cells} cells");
    }

    async fn who_leaves_hears_that_it_is_done_when_they_ask_again(server: Server) {
        let organization = server.new_organization().await;
        let (Person { token, .. }, member) = server.new_member(&organization, "admin").await;
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        let leave = || server.request(Method::DELETE, &path).bearer_auth(&token).header("Idempotency-Key", "one").send();
        let (first, second) = (leave().await.unwrap(), leave().await.unwrap());
        assert_eq!((first.status(), second.status()), (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT));
        assert_eq!(header(&first, "deletion-id"), header(&second, "deletion-id"));
        assert_eq!(header(&second, "idempotency-replayed"), "true");
    }

    async fn an_app_that_is_gone_is_not_told_its_token_again(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let app = server.new_oauth_app(&organization, token, &["read:user"]).await;
        let form = [("grant_type", "client_credentials"), ("client_id", &app.client_id), ("client_secret", &app.secret)];
        let ask = || server.form("/oauth2/token", &form).header("Idempotency-Key", "one").send();
        assert_eq!(ask().await.unwrap().text().await.unwrap(), ask().await.unwrap().text().await.unwrap());
        let path = format!("/api/oauth/apps/{}", app.client_id);
        expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        assert_eq!(ask().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
}

async fn give(server: &Server, organization: &Organization, member: &str, role: &str) {
    let path = format!("/api/organizations/{}/members/{member}/role", organization.id);
    expect(server.request(Method::PUT, &path).bearer_auth(&organization.owner.token).json(&json!({"role": role})), StatusCode::OK).await;
}
