//! What stands in the way of a customer's deletion: all of it is said at once, each with its id and its remedy, and following the remedies
//! opens the way.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{answered, new_customer, refused};

on_both_engines! {
    async fn all_blockers_are_listed_and_their_remedies_open_the_way(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let subscription = json!({"plan": "basic"});
        let transaction = |status: &str| json!({"amount": 1999, "currency": "EUR", "status": status});
        let first = server.new_dependant(&organization, "user123", "subscriptions", subscription.clone()).await;
        let second = server.new_dependant(&organization, "user123", "subscriptions", subscription).await;
        let pending = server.new_dependant(&organization, "user123", "transactions", transaction("pending")).await;
        for (kind, body) in [
            ("subscriptions", json!({"plan": "old", "status": "expired"})),
            ("transactions", transaction("settled")),
            ("transactions", transaction("failed")),
        ] {
            server.new_dependant(&organization, "user123", kind, body).await;
        }

        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let requests = || {
            [&path, "/customer/user123", "/customer/user123?hard=true"].map(|path| server.request(Method::DELETE, path).bearer_auth(token))
        };
        let wanted = |blockers: &Json| -> Vec<(String, String, String)> {
            let text = |blocker: &Json, name: &str| blocker[name].as_str().unwrap().to_owned();
            blockers.as_array().unwrap().iter().map(|one| (text(one, "code"), text(one, "kind"), text(one, "id"))).collect()
        };
        let blocker = |code: &str, kind: &str, id: &str| (code.to_owned(), kind.to_owned(), id.to_owned());
        let (one, two) = (blocker("active_subscription", "subscription", &first), blocker("active_subscription", "subscription", &second));
        let three = blocker("pending_transaction", "transaction", &pending);
        for request in requests() {
            let body = refused(request, StatusCode::CONFLICT).await;
            assert_eq!(wanted(&body["blockers"]), [one.clone(), two.clone(), three.clone()]);
            for blocker in body["blockers"].as_array().unwrap() {
                let remedy = blocker["remedy"].as_str().unwrap();
                assert!(remedy.contains("PATCH") && remedy.contains("status"), "{remedy}");
                assert!(body["detail"].as_str().unwrap().contains(blocker["detail"].as_str().unwrap()), "{body}");
            }
        }

        let remedy = |place: String, status: &str| {
            server.request(Method::PATCH, &format!("{path}/{place}")).bearer_auth(token).json(&json!({"status": status}))
        };
        expect(remedy(format!("subscriptions/{first}"), "cancelled"), StatusCode::OK).await;
        expect(remedy(format!("transactions/{pending}"), "settled"), StatusCode::OK).await;
        for request in requests() {
            let body = refused(request, StatusCode::CONFLICT).await;
            assert_eq!(wanted(&body["blockers"]), std::slice::from_ref(&two));
        }
        expect(remedy(format!("subscriptions/{second}"), "cancelled"), StatusCode::OK).await;
        answered(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
    }

    async fn a_blocked_deletion_changes_nothing(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        for (kind, body) in [("subscriptions", json!({"plan": "basic"})), ("devices", json!({"name": "Laptop"})), ("sessions", json!({}))] {
            server.new_dependant(&organization, "user123", kind, body).await;
        }
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let before = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        refused(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::CONFLICT).await;
        refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::CONFLICT).await;
        assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await, before);
        for kind in ["subscriptions", "devices", "sessions"] {
            let list = expect(server.request(Method::GET, &format!("{path}/{kind}")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(list["pagination"]["totalCount"], 1, "{kind}");
        }
        let deletions = expect(server.request(Method::GET, "/api/deletions").bearer_auth(token), StatusCode::OK).await;
        assert_eq!(deletions["data"], json!([]));
    }

    async fn a_caller_who_may_not_delete_does_not_learn_what_stands_in_the_way(server: Server) {
        let organization = server.new_organization().await;
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        new_customer(&server, &organization, "user123", None).await;
        server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let body = refused(server.request(Method::DELETE, "/customer/user123").bearer_auth(&viewer.token), StatusCode::FORBIDDEN).await;
        assert_eq!(body.get("blockers"), None);
    }

    async fn an_organization_goes_whatever_its_customers_owe(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let request = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id));
        answered(request.bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
    }
}
