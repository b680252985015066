//! A clock that was ahead has left times that lie in the future.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Server, expect, header};
use crate::tools::deleted;

on_both_engines! {
    async fn what_a_clock_that_was_a_day_ahead_has_begun_goes_on_at_once(engine: Engine) {
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Server::start(engine, &["--webhook-allow=127.0.0.0/8"]).await;
        let organization = server.new_organization().await;
        let token = organization.owner.token.clone();
        let path = format!("/api/organizations/{}", organization.id);
        let address = receiver.local_addr().unwrap();
        let webhook = json!({"url": format!("http://{address}/"), "events": ["organization.deleted"]});
        expect(server.request(Method::POST, &format!("{path}/webhooks")).bearer_auth(&token).json(&webhook), StatusCode::CREATED).await;
        let deleted = server.request(Method::DELETE, &format!("{path}?export=true")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
        let deletion = header(&deleted, "deletion-id").to_owned();
        // It waits for its export and for the receiver, which does not answer yet.
        drop(receiver.accept().await.unwrap());
        server.kill().await;
        let day = match engine {
            Engine::Sqlite => "86400000000",
            Engine::Postgresql => "interval '1 day'",
        };
        let store = Store::open_to_change(&server).await;
        store
            .run(&format!(
                "UPDATE deletions SET state = 'draining', lease_until = updated_at + {day};
                 UPDATE exports SET state = 'running', finished_at = NULL, lease_until = created_at + {day};
                 UPDATE effects SET next_attempt_at = created_at + {day} WHERE state = 'pending'"
            ))
            .await;
        assert_eq!(store.number("SELECT count(*) FROM exports").await, 1);
        assert_eq!(store.number("SELECT count(*) FROM effects WHERE state = 'pending'").await, 1);
        drop(store);
        let answering = tokio::spawn(async move {
            let (mut stream, _) = receiver.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        });
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        server.wait_for_completion(&deletion, &token).await;
        answering.await.unwrap();
    }

    async fn a_clock_that_is_far_ahead_erases_nothing_without_an_operators_word(engine: Engine) {
        let mut server = Server::start(engine, &["--metrics-token=figures", "--retention-brake=5"]).await;
        let organization = server.new_organization().await;
        let customers = format!("/api/organizations/{}/customers", organization.id);
        let token = organization.owner.token.clone();
        for number in 0..30 {
            let body = json!({"id": format!("retired-{number}"), "name": "Ada", "email": "ada@example.com"});
            expect(server.request(Method::POST, &customers).bearer_auth(&token).json(&body), StatusCode::CREATED).await;
            let path = format!("/customer/retired-{number}");
            let completed = deleted(server.request(Method::DELETE, &path).bearer_auth(&token), StatusCode::OK).await;
            server.wait_for_completion(&completed, &token).await;
        }
        server.stop().await;
        // To the server it is the same whether its clock is ahead or all of this is long ago.
        let long_ago = match engine {
            Engine::Sqlite => "1000000",
            Engine::Postgresql => "'1970-01-01T00:00:01Z'",
        };
        let store = Store::open_to_change(&server).await;
        store.run(&format!("UPDATE customers SET deleted_at = {long_ago}; UPDATE audit_entries SET created_at = {long_ago}")).await;
        let left = async || store.number("SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM audit_entries)").await;
        let before = left().await;
        server.start_again().await;
        let braked = async |server: &Server| {
            let text = server.request(Method::GET, "/metrics").bearer_auth("figures").send().await.unwrap().text().await.unwrap();
            let figure = text.lines().find_map(|line| line.strip_prefix("freehold_retention_braked ")).expect("no such figure").to_owned();
            figure.parse::<i64>().unwrap()
        };
        while braked(&server).await != before {
            assert!(!server.log().contains("could not all be erased"), "{}", server.log());
            tokio::task::yield_now().await;
        }
        assert_eq!(left().await, before);
        let token = server.sign_in(&organization.owner.email, None).await;
        expect(server.request(Method::GET, &customers).bearer_auth(&token), StatusCode::OK).await;
        server.stop().await;
        let (code, found, _) = server.doctor(&[]).await;
        assert!(code == 1 && found.contains("overdue"), "{found}");
        server.start_again_with(&["--retention-brake=100"]).await;
        while store.number("SELECT count(*) FROM customers").await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(braked(&server).await, 0);
    }
}
