//! A clock that was ahead has left times that lie in the future.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Server, expect, header};

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
        let store = Store::open(&server).await;
        store
            .run(&format!(
                "UPDATE deletions SET state = 'draining', lease_until = updated_at + {day};
                 UPDATE exports SET state = 'running', finished_at = NULL, lease_until = created_at + {day};
                 UPDATE webhook_deliveries SET next_attempt_at = created_at + {day} WHERE state = 'pending'"
            ))
            .await;
        assert_eq!(store.number("SELECT count(*) FROM exports").await, 1);
        assert_eq!(store.number("SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'").await, 1);
        drop(store);
        let answering = tokio::spawn(async move {
            let (mut stream, _) = receiver.accept().await.unwrap();
            let mut request = [0; 16 * 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        });
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        server.wait_for_seal(&deletion, &token).await;
        answering.await.unwrap();
    }
}
