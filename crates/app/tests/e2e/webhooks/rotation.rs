//! Rotation of a webhook's secret: both sign for a while, and the old one ends by itself, on request, or with the next rotation.

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use super::receiver::{Received, Receiver};
use super::{ALLOW, listen};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{answered, change_database, refused};

on_both_engines! {
    async fn both_secrets_sign_after_a_rotation_until_the_old_one_ends(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&[]).await;
        let (webhook, first) = listen(&server, &organization, &receiver.url).await;
        let path = format!("/api/organizations/{}/webhooks/{webhook}", organization.id);
        let rotate = async |query: &str| {
            let rotated = expect(server.request(Method::POST, &format!("{path}/rotate{query}")).bearer_auth(token), StatusCode::OK).await;
            (rotated["secret"].as_str().unwrap().to_owned(), rotated["oldSecretUntil"].clone())
        };
        let mut tests = 0;
        let mut test = async || -> Received {
            expect(server.request(Method::POST, &format!("{path}/test")).bearer_auth(token), StatusCode::ACCEPTED).await;
            tests += 1;
            receiver.events("webhook.test", tests).await.pop().unwrap()
        };
        let read = async || expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await["oldSecretUntil"].clone();
        let signed = |received: &Received, secrets: &[&String], others: &[&String]| {
            assert_eq!(received.header("webhook-signature").split(' ').count(), secrets.len());
            secrets.iter().for_each(|secret| received.verify(secret));
            assert!(others.iter().all(|secret| !received.is_signed_with(secret)));
        };
        signed(&test().await, &[&first], &[]);
        assert_eq!(read().await, Json::Null);

        let (second, until) = rotate("").await;
        let hours = (until.as_str().unwrap().parse::<Timestamp>().unwrap() - Timestamp::now()).total(jiff::Unit::Hour).unwrap();
        assert!((23.9..=24.0).contains(&hours), "{hours}");
        assert_eq!(read().await, until);
        signed(&test().await, &[&second, &first], &[]);
        // A third makes an end of the first.
        let (third, _) = rotate("?overlap_hours=1").await;
        signed(&test().await, &[&third, &second], &[&first]);
        // On request.
        for _ in 0..2 {
            answered(server.request(Method::DELETE, &format!("{path}/old-secret")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        }
        assert_eq!(read().await, Json::Null);
        signed(&test().await, &[&third], &[&second]);
        let (fourth, until) = rotate("?overlap_hours=0").await;
        assert_eq!(until, Json::Null);
        signed(&test().await, &[&fourth], &[&third]);
        // By itself.
        let (fifth, _) = rotate("").await;
        let past = match engine {
            Engine::Sqlite => "UPDATE webhooks SET old_secret_until = 1000000",
            Engine::Postgresql => "UPDATE webhooks SET old_secret_until = '2000-01-01 00:00:00+00'",
        };
        change_database(&server, past).await;
        assert_eq!(read().await, Json::Null);
        signed(&test().await, &[&fifth], &[&fourth]);

        for query in ["?overlap_hours=25", "?overlap_hours=-1", "?overlap_hours=soon"] {
            refused(server.request(Method::POST, &format!("{path}/rotate{query}")).bearer_auth(token), StatusCode::BAD_REQUEST).await;
        }
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        refused(server.request(Method::POST, &format!("{path}/rotate")).bearer_auth(&viewer.token), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::DELETE, &format!("{path}/old-secret")).bearer_auth(&viewer.token), StatusCode::FORBIDDEN).await;
        let trail = expect(server.request(Method::GET, &format!("/api/organizations/{}/audit", organization.id)).bearer_auth(token), StatusCode::OK).await;
        for action in ["webhook.rotate_secret", "webhook.end_old_secret"] {
            assert!(trail["data"].as_array().unwrap().iter().any(|entry| entry["action"] == action), "{action}");
        }
    }
}
