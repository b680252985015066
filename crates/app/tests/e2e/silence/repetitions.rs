//! `Idempotency-Key` on every operation that changes something.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::access::catalogue::{Operation, operations};
use crate::access::world::{Caller, furnish};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};
use crate::tools::refused;

/// Operations after which the caller is unknown.
const FAREWELLS: [&str; 3] = ["signOut", "dashboardSignOut", "deleteMe"];

/// What others need goes last, and the organization itself at the very end.
fn rank(operation: &Operation) -> (bool, bool, std::cmp::Reverse<usize>) {
    let ends_all = operation.path.ends_with("/organizations/{id}") || operation.id == "archiveOrganization";
    // After a transfer the caller is an admin.
    let is_last = (operation.is_destructive() && ends_all) || operation.id == "transferOrganization";
    (is_last, operation.is_destructive(), std::cmp::Reverse(operation.path.len()))
}

on_both_engines! {
    async fn every_change_that_is_sent_twice_with_one_key_is_done_once(server: Server) {
        let organization = server.new_organization().await;
        let tenant = furnish(&server, &organization).await;
        let owner = Caller::with_token(&organization.owner.token);
        let mut changes = operations(&server).await;
        changes.retain(|operation| operation.method != Method::GET && !FAREWELLS.contains(&operation.id.as_str()));
        changes.sort_by_key(rank);
        let (mut done, mut wrong) = (0, Vec::new());
        for (number, operation) in changes.iter().enumerate() {
            let send = || operation.request(&server, &owner, &tenant).header("Idempotency-Key", format!("sweep-{number}")).send();
            let (first, second) = (send().await.unwrap(), send().await.unwrap());
            let (status, again) = (first.status(), second.status());
            let is_replayed = header(&second, "idempotency-replayed") == "true";
            let is_kept = status.is_success() || status.is_redirection() || [400, 413, 415, 422].contains(&status.as_u16());
            if status == StatusCode::CREATED {
                let location = header(&first, "location").to_owned();
                let there = server.request(Method::GET, &location).bearer_auth(&organization.owner.token);
                let there = there.header("X-Organization", &organization.id).send().await.unwrap().status();
                // Invitations and approvals are read in lists only.
                if !location.starts_with('/') || ![StatusCode::OK, StatusCode::METHOD_NOT_ALLOWED].contains(&there) {
                    wrong.push(format!("{} {}: made at {location:?}, where a GET is {there}", operation.method, operation.path));
                }
            }
            let bodies = (first.bytes().await.unwrap(), second.bytes().await.unwrap());
            done += usize::from(status.is_success());
            // What is refused for the state of things is asked for anew.
            if is_replayed != is_kept || (is_kept && (again != status || bodies.0 != bodies.1)) {
                wrong.push(format!("{} {}: {status}, then {again}, replayed: {is_replayed}", operation.method, operation.path));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), changes.len(), wrong.join("\n"));
        assert!(done > 45, "only {done} were done");
        eprintln!("repetition test: {} cells, {done} done once, {} refused", changes.len(), changes.len() - done);
    }

    async fn credits_and_screens_are_given_once(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
        let read = || server.request(Method::GET, &path).bearer_auth(token);
        for (at, body, field) in [("extend", json!({"credits": 1}), "expiresAt"), ("addscreen", json!({"passId": "p1"}), "screens")] {
            let path = format!("/customer/{at}/{customer}");
            let send = || {
                let request = server.request(Method::PATCH, &path).bearer_auth(token).header("X-Organization", &organization.id);
                request.json(&body).header("Idempotency-Key", at)
            };
            let first: Json = expect(send(), StatusCode::OK).await;
            let once = expect(read(), StatusCode::OK).await[field].clone();
            assert_eq!(expect(send(), StatusCode::OK).await, first);
            assert_eq!(expect(read(), StatusCode::OK).await[field], once, "{at}");
        }
    }

    async fn a_refusal_is_not_repeated_once_its_cause_is_gone(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        let subscription = server.new_dependant(&organization, &customer, "subscriptions", json!({"plan": "basic", "status": "active"})).await;
        let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
        let delete = || server.request(Method::DELETE, &path).bearer_auth(token).header("Idempotency-Key", "one");
        refused(delete(), StatusCode::CONFLICT).await;
        let cancel = server.request(Method::PATCH, &format!("{path}/subscriptions/{subscription}")).bearer_auth(token);
        expect(cancel.json(&json!({"status": "cancelled"})), StatusCode::OK).await;
        expect(delete(), StatusCode::NO_CONTENT).await;
        let again = delete().send().await.unwrap();
        assert_eq!((again.status(), header(&again, "idempotency-replayed")), (StatusCode::NO_CONTENT, "true"));
    }

    async fn what_is_routed_nowhere_takes_no_key(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}", organization.id);
        let send = |method: Method, path: &str| {
            server.request(method, path).bearer_auth(token).json(&json!({"name": "Test key"})).header("Idempotency-Key", "one")
        };
        refused(send(Method::POST, &format!("{base}/nothing")), StatusCode::NOT_FOUND).await;
        refused(send(Method::PUT, &format!("{base}/api-keys")), StatusCode::METHOD_NOT_ALLOWED).await;
        // Nor does what is not understood, before it is looked at.
        refused(send(Method::POST, &format!("{base}/api-keys?surprise=1")), StatusCode::BAD_REQUEST).await;
        expect(send(Method::POST, &format!("{base}/api-keys")), StatusCode::CREATED).await;
    }
}
