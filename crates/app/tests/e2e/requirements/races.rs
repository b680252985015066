//! An approval that ends while it is used: whichever comes first, the other is told so.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::{approve, ask, missing, two_owners, withdrawing};
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::{change_database, refused};

async fn after(start: Duration, request: RequestBuilder) -> StatusCode {
    tokio::time::sleep(start).await;
    request.send().await.unwrap().status()
}

/// Sends a request that must wait for a statement which another connection has run and not committed yet, and commits it then. The embedded
/// database has one writer: there it is committed before.
async fn send_into(server: &Server, statement: &str, request: RequestBuilder) -> reqwest::Response {
    let Some(url) = server.database_url() else {
        change_database(server, statement).await;
        return request.send().await.unwrap();
    };
    let (holder, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    holder.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
    let answer = tokio::spawn(async move { request.send().await.unwrap() });
    let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while holder.query(waits, &[]).await.unwrap().is_empty() {
        assert!(!answer.is_finished(), "it was answered without waiting for {statement}: {:?}", answer.await);
        // That a request waits is the event, and there is nothing else to wait on from outside.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    drop(holder);
    connection.await.unwrap().unwrap();
    answer.await.unwrap()
}

on_both_engines! {
    async fn either_an_approval_is_taken_back_or_it_is_used(server: Server) {
        let (organization, second) = two_owners(&server).await;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        for round in 0..40 {
            let customer = server.new_customer(&organization, &organization.owner.token).await;
            let approval = approve(&server, &organization, &format!("/customers/{customer}"), &second.token).await;
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            let delete = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token);
            let withdraw = withdrawing(&server, &organization, &approval, &second.token);
            let start = Duration::from_micros(round % 5 * 250);
            let (withdrawn, deleted) = match round % 2 {
                0 => tokio::join!(after(Duration::ZERO, withdraw), after(start, delete)),
                _ => tokio::join!(after(start, withdraw), after(Duration::ZERO, delete)),
            };
            let outcome = (withdrawn.as_u16(), deleted.as_u16());
            assert!(matches!(outcome, (204, 409) | (404, 204)), "round {round}: {outcome:?}");
        }
    }

    async fn what_ends_an_approval_is_waited_for_by_the_deletion_that_would_use_it(server: Server) {
        let (organization, second) = two_owners(&server).await;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        let of_second = format!("(SELECT id FROM users WHERE email = '{}')", second.email);
        for statement in [
            "DELETE FROM deletion_approvals".to_owned(),
            format!("UPDATE members SET role = 'admin' WHERE user_id = {of_second}"),
        ] {
            let customer = server.new_customer(&organization, &organization.owner.token).await;
            approve(&server, &organization, &format!("/customers/{customer}"), &second.token).await;
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            let delete = || server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token);
            let answer = send_into(&server, &statement, delete()).await;
            assert_eq!(answer.status(), StatusCode::CONFLICT, "{statement}");
            assert_eq!(missing(&refused(delete(), StatusCode::CONFLICT).await), ["approval_required"]);
        }
    }

    async fn an_approval_is_good_for_one_of_two_deletions_that_come_at_once(server: Server) {
        let (organization, second) = two_owners(&server).await;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        for _ in 0..20 {
            let customer = server.new_customer(&organization, &organization.owner.token).await;
            approve(&server, &organization, &format!("/customers/{customer}"), &second.token).await;
            // Softly, and for good.
            let delete = |query: &str| {
                let path = format!("/customer/{customer}{query}");
                after(Duration::ZERO, server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token))
            };
            let (softly, hard) = tokio::join!(delete(""), delete("?hard=true"));
            let outcome = (softly.as_u16(), hard.as_u16());
            assert!(matches!(outcome, (200, 409) | (404, 200)), "{outcome:?}");
        }
    }
}
