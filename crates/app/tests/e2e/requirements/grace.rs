//! The grace period that an organization grants: who can take a deletion back, until when, and what comes back.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{ask, two_owners};
use crate::client::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, OTHER_ROLES, answered, change_database, deleted, new_customer, refused};

const MONTH: &str = r#"{"organization": {"graceDays": 30}, "member": {"graceDays": 30}, "customer": {"graceDays": 30}}"#;

fn month() -> Json {
    serde_json::from_str(MONTH).unwrap()
}

on_both_engines! {
    async fn the_plan_says_until_when_a_deletion_can_be_taken_back_and_its_record_too(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let plan = async || expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(plan().await["reversibleUntil"], Json::Null);
        ask(&server, &organization, month()).await;
        assert!(plan().await["reversibleUntil"].is_string());
        let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = expect(server.request(Method::GET, &format!("/api/deletions/{id}")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&record["state"], &record["conditions"][0]["type"]), (&json!("reversible"), &json!("grace_period")));
        assert!(record["reversibleUntil"].is_string() && record["rowsDone"] == 0, "{record}");
        let list = format!("/api/deletions?state=reversible&organization={}", organization.id);
        let list = expect(server.request(Method::GET, &list).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["data"][0]["id"], record["id"]);
        // The id stays taken, and says so.
        let again = server.request(Method::POST, &format!("/api/organizations/{}/customers", organization.id)).bearer_auth(token);
        refused(again.json(&json!({"id": "user123", "name": "Ada", "email": "ada@example.com"})), StatusCode::CONFLICT).await;
    }

    async fn only_owners_and_admins_take_back_what_is_in_the_organization(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let token = &organization.owner.token;
        ask(&server, organization, month()).await;
        for (number, role) in OTHER_ROLES.into_iter().enumerate() {
            let reference = format!("user{number}");
            new_customer(&server, organization, &reference, None).await;
            let path = format!("/api/organizations/{}/customers/{reference}", organization.id);
            let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
            let restore = |token: &str| server.request(Method::POST, &format!("/api/deletions/{id}/restore")).bearer_auth(token);
            refused(restore(&cast.outsider.token), StatusCode::NOT_FOUND).await;
            let request = restore(cast.token(role));
            let is_admin = role == "admin";
            let there = server.request(Method::GET, &path).bearer_auth(token);
            match is_admin {
                true => assert_eq!(expect(request, StatusCode::OK).await["state"], "restored"),
                // Who may not even read deletions does not learn that there is one.
                false => drop(refused(request, StatusCode::NOT_FOUND).await),
            }
            answered(there, if is_admin { StatusCode::OK } else { StatusCode::NOT_FOUND }).await;
        }
    }

    async fn an_owner_who_was_removed_is_given_back_by_owners_only(server: Server) {
        let (organization, _) = two_owners(&server).await;
        let token = &organization.owner.token;
        let (_, member) = server.new_member(&organization, "owner").await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        ask(&server, &organization, month()).await;
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let restore = |token: &str| server.request(Method::POST, &format!("/api/deletions/{id}/restore")).bearer_auth(token);
        refused(restore(&admin.token), StatusCode::FORBIDDEN).await;
        assert_eq!(expect(restore(token), StatusCode::OK).await["state"], "restored");
        let back = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(back["role"], "owner");
    }

    async fn an_organization_is_taken_back_by_its_owners_and_by_operators(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (second, _) = server.new_member(&organization, "owner").await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let (_, key) = server.new_api_key(&organization, token, &["read:organization"]).await;
        ask(&server, &organization, month()).await;
        let path = format!("/api/organizations/{}", organization.id);
        for restorer in [&second.token, &operator.token] {
            let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
            for person in [token, &second.token, &admin.token] {
                answered(server.request(Method::GET, &path).bearer_auth(person), StatusCode::NOT_FOUND).await;
            }
            // The other owner finds it among the deletions, although the organization is gone for everybody.
            let list = expect(server.request(Method::GET, "/api/deletions?state=reversible").bearer_auth(&second.token), StatusCode::OK).await;
            assert_eq!(list["data"][0]["id"], json!(id));
            let restore = |token: &str| server.request(Method::POST, &format!("/api/deletions/{id}/restore")).bearer_auth(token);
            refused(restore(&admin.token), StatusCode::NOT_FOUND).await;
            assert_eq!(expect(restore(restorer), StatusCode::OK).await["state"], "restored");
            answered(server.request(Method::GET, &path).bearer_auth(&admin.token), StatusCode::OK).await;
            answered(server.request(Method::GET, &path).header("X-API-Key", &key), StatusCode::UNAUTHORIZED).await;
        }
    }

    async fn what_is_over_is_completed_by_itself_and_cannot_be_taken_back(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        ask(&server, &organization, month()).await;
        let (_, member) = server.new_member(&organization, "viewer").await;
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let over = match server.engine {
            Engine::Sqlite => "UPDATE deletions SET reversible_until = 0 WHERE state = 'reversible'",
            Engine::Postgresql => "UPDATE deletions SET reversible_until = now() WHERE state = 'reversible'",
        };
        change_database(&server, over).await;
        server.wait_for_completion(&id, token).await;
        let problem = refused(server.request(Method::POST, &format!("/api/deletions/{id}/restore")).bearer_auth(token), StatusCode::CONFLICT).await;
        assert_eq!(problem["detail"], "Its grace period is over: what it deletes is being erased or is gone.");
    }

    async fn a_deletion_without_a_grace_period_says_that_it_had_none(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let id = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let problem = refused(server.request(Method::POST, &format!("/api/deletions/{id}/restore")).bearer_auth(token), StatusCode::CONFLICT).await;
        assert!(problem["detail"].as_str().unwrap().starts_with("It had no grace period"), "{problem}");
    }

    async fn a_deletion_is_taken_back_from_a_terminal(server: Server) {
        let organization = server.new_organization().await;
        ask(&server, &organization, month()).await;
        new_customer(&server, &organization, "user123", None).await;
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &organization.owner.token).with("FREEHOLD_ORGANIZATION", &organization.slug);
        let said = shell.run("customers delete user123 --yes user123").await;
        assert!(said.code == 0 && said.err.contains("It could be taken back until"), "{said:?}");
        let id = said.field("deletion id");
        assert_eq!(shell.run("customers show user123").await.code, 4);
        assert_eq!(shell.run(&format!("deletions restore {id}")).await.field("state"), "restored");
        assert_eq!(shell.run("customers show user123").await.code, 0);
    }
}
