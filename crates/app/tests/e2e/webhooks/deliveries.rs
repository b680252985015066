//! What receivers get: signed, tried again when they fail, and never sent where a redirect points.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::receiver::{Answer, Receiver};
use super::{ALLOW, attempted, history, listen, listen_to, make};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::refused;

on_both_engines! {
    async fn everything_that_happens_is_told_signed_and_without_personal_data(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&[]).await;
        let (webhook, secret) = listen(&server, &organization, &receiver.url).await;
        let (_, member) = server.new_member(&organization, "viewer").await;
        let customer = server.new_customer(&organization, token).await;
        let base = format!("/api/organizations/{}", organization.id);
        let put = async |path: String, body: serde_json::Value| {
            expect(server.request(Method::PUT, &path).bearer_auth(token).json(&body), StatusCode::OK).await
        };
        put(base.clone(), json!({"name": "Renamed"})).await;
        put(format!("{base}/members/{member}/role"), json!({"role": "billing"})).await;
        put(format!("{base}/customers/{customer}"), json!({"phone": "12345"})).await;
        let app = json!({"organizationId": organization.id, "name": "App", "redirectUris": [], "scopes": ["read:customers"]});
        let app = expect(server.request(Method::POST, "/api/oauth/apps").bearer_auth(token).json(&app), StatusCode::CREATED).await;
        for verb in ["archive", "unarchive"] {
            expect(server.request(Method::POST, &format!("{base}/{verb}")).bearer_auth(token), StatusCode::OK).await;
        }
        // The keys of an archive end with the archiving.
        let (key, _) = server.new_api_key(&organization, token, &["read:user"]).await;
        // What is not delivered when its customer is deleted goes with the customer.
        receiver.event("customer.created").await;
        receiver.event("customer.updated").await;
        let app = app["clientId"].as_str().unwrap();
        expect(server.request(Method::DELETE, &format!("/api/oauth/apps/{app}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        for path in [format!("{base}/api-keys/{key}"), format!("{base}/members/{member}"), format!("{base}/customers/{customer}")] {
            expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        }
        receiver.events("deletion.completed", 4).await;
        let ids = [
            ("webhook.created", &webhook),
            ("member.added", &member),
            ("member.role_updated", &member),
            ("member.removed", &member),
            ("organization.updated", &organization.id),
            ("organization.archived", &organization.id),
            ("organization.restored", &organization.id),
            ("customer.updated", &customer),
            ("customer.created", &customer),
            ("customer.deleted", &customer),
            ("api_key.created", &key),
            ("api_key.revoked", &key),
        ];
        for (name, id) in ids {
            let event = receiver.event(name).await.event();
            assert_eq!((&event["data"]["id"], &event["data"]["organizationId"]), (&json!(id), &json!(organization.id)), "{event}");
        }
        for name in ["invite.created", "invite.accepted"] {
            receiver.event(name).await;
        }
        for name in ["oauth_app.created", "oauth_app.revoked"] {
            assert_eq!(receiver.event(name).await.event()["data"]["clientId"], app);
        }
        receiver.events("deletion.started", 4).await;
        let all = receiver.all();
        for delivery in &all {
            delivery.verify(&secret);
            for personal in ["@example.com", "Ada", "Person", "Test key", "12345", "Renamed"] {
                assert!(!delivery.body.contains(personal), "{}", delivery.body);
            }
        }
        let mut ids: Vec<&str> = all.iter().map(|delivery| delivery.header("webhook-id")).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all.len(), "every event has an id of its own");
    }

    async fn a_receiver_that_fails_is_tried_again_after_one_and_five_seconds(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let receiver = Receiver::open(&[Answer::Status(500), Answer::Status(404)]).await;
        let made = make(&server, &organization, json!({"url": receiver.url, "events": ["customer.created"]})).await;
        let (webhook, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
        server.new_customer(&organization, &organization.owner.token).await;
        let first = attempted(&server, &organization, webhook, "customer.created", 1).await;
        assert_eq!((&first["state"], &first["responseStatus"]), (&json!("pending"), &json!(500)));
        assert_eq!(first["error"], "the answer was not a success (2xx)");
        assert!(first["nextAttemptAt"].is_string() && first["finishedAt"].is_null());
        let attempts = receiver.events("customer.created", 3).await;
        // Never before its time; how much later is the machine's business.
        assert!(attempts[1].after(&attempts[0]) >= Duration::from_secs(1));
        assert!(attempts[2].after(&attempts[1]) >= Duration::from_secs(5));
        for attempt in &attempts {
            attempt.verify(secret);
            assert_eq!((attempt.header("webhook-id"), &attempt.body), (attempts[0].header("webhook-id"), &attempts[0].body));
        }
        assert_ne!(attempts[0].header("webhook-timestamp"), attempts[2].header("webhook-timestamp"), "each attempt is signed anew");
        let last = attempted(&server, &organization, webhook, "customer.created", 3).await;
        assert_eq!((&last["state"], &last["responseStatus"], &last["error"]), (&json!("delivered"), &json!(204), &json!(null)));
    }

    async fn a_receiver_that_is_gone_is_called_no_more(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&[Answer::Status(410)]).await;
        let made = make(&server, &organization, json!({"url": receiver.url, "events": ["customer.created"]})).await;
        let (webhook, etag) = (made["id"].as_str().unwrap(), made["updatedAt"].clone());
        server.new_customer(&organization, token).await;
        let told = attempted(&server, &organization, webhook, "customer.created", 1).await;
        assert_eq!((&told["state"], &told["responseStatus"]), (&json!("failed"), &json!(410)));
        assert!(told["error"].as_str().unwrap().contains("410 Gone"), "{told}");
        let path = format!("/api/organizations/{}/webhooks/{webhook}", organization.id);
        let off = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(off["isActive"], json!(false));
        assert_ne!(off["updatedAt"], etag);
        server.new_customer(&organization, token).await;
        let trail = format!("/api/organizations/{}/audit", organization.id);
        let trail = expect(server.request(Method::GET, &trail).bearer_auth(token), StatusCode::OK).await;
        let entry = trail["data"].as_array().unwrap().iter().find(|entry| entry["action"] == "webhook.switch_off").unwrap();
        assert_eq!((&entry["subjectId"], &entry["actor"]), (&json!(webhook), &json!("system")), "{entry}");
        // Switched on again it is called again.
        let on = server.request(Method::PUT, &path).bearer_auth(token).json(&json!({"isActive": true}));
        expect(on, StatusCode::OK).await;
        server.new_customer(&organization, token).await;
        receiver.events("customer.created", 2).await;
        assert_eq!(receiver.all().len(), 2);
    }

    async fn what_was_given_up_is_sent_again_alone_or_with_all_others(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&[Answer::Status(500), Answer::Status(500), Answer::Status(500)]).await;
        let (webhook, secret) = listen_to(&server, &organization, &receiver.url, &["customer.created"]).await;
        let deliveries = format!("/api/organizations/{}/webhooks/{webhook}/deliveries", organization.id);
        let post = |path: &str| server.request(Method::POST, &format!("{deliveries}{path}")).bearer_auth(token);
        for _ in 0..3 {
            server.new_customer(&organization, token).await;
        }
        receiver.events("customer.created", 3).await;
        let mut given_up = Vec::new();
        for delivery in history(&server, &organization, &webhook).await {
            let id = delivery["id"].as_str().unwrap().to_owned();
            let record = expect(post(&format!("/{id}/give-up")), StatusCode::OK).await;
            assert_eq!((&record["state"], &record["error"]), (&json!("failed"), &json!("given up by a member")));
            refused(post(&format!("/{id}/give-up")), StatusCode::CONFLICT).await;
            given_up.push(id);
        }
        receiver.relent();
        let before = receiver.all().len();
        expect(post(&format!("/{}/resend", given_up[0])), StatusCode::ACCEPTED).await;
        let told = attempted(&server, &organization, &webhook, "customer.created", 1).await;
        assert_eq!((&told["id"], &told["state"]), (&json!(given_up[0]), &json!("delivered")));
        let again = expect(post("/resend").json(&json!({})), StatusCode::ACCEPTED).await;
        assert_eq!(again, json!({"count": 2}));
        let all = receiver.events("customer.created", before + 3).await;
        for one in &all[before..] {
            one.verify(&secret);
            let first = all[..before].iter().find(|first| first.header("webhook-id") == one.header("webhook-id")).unwrap();
            assert_eq!(one.body, first.body, "the same, and signed anew");
            assert!(one.has_signed_body(&secret));
        }
        // Of a range: none is that old, and all are that young.
        let until = json!({"state": "delivered", "until": "2020-01-01T00:00:00Z"});
        assert_eq!(expect(post("/resend").json(&until), StatusCode::ACCEPTED).await["count"], 0);
        for wrong in [json!({"state": "pending"}), json!({"since": "yesterday"}), json!({"sinse": "2020-01-01T00:00:00Z"})] {
            refused(post("/resend").json(&wrong), StatusCode::BAD_REQUEST).await;
        }
        // One that is switched off is sent nothing.
        let path = format!("/api/organizations/{}/webhooks/{webhook}", organization.id);
        expect(server.request(Method::PUT, &path).bearer_auth(token).json(&json!({"isActive": false})), StatusCode::OK).await;
        refused(post("/resend").json(&json!({"state": "delivered"})), StatusCode::CONFLICT).await;
        refused(post(&format!("/{}/resend", given_up[0])), StatusCode::CONFLICT).await;
    }

    async fn a_receivers_pause_is_heeded_and_what_an_allowed_network_says_is_not_kept(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let busy = Answer::Busy { pause: "3600".into(), body: format!("later\0\u{7}{}", "é".repeat(5_000)) };
        let receiver = Receiver::open(&[busy]).await;
        let (webhook, _) = listen_to(&server, &organization, &receiver.url, &["customer.created"]).await;
        server.new_customer(&organization, &organization.owner.token).await;
        let told = attempted(&server, &organization, &webhook, "customer.created", 1).await;
        assert_eq!((&told["state"], &told["responseStatus"]), (&json!("pending"), &json!(429)));
        assert!(told["responseBody"].is_null(), "a network that the operator allowed is not read through a webhook: {told}");
        let time = |name: &str| told[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let pause = time("nextAttemptAt").duration_since(time("createdAt")).as_secs();
        assert!((3_600..3_660).contains(&pause), "{told}");
        assert_eq!(time("retryUntil").duration_since(time("createdAt")).as_hours(), 72);
    }

    async fn a_redirect_is_not_followed(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let inside = Receiver::open(&[]).await;
        let receiver = Receiver::open(&[Answer::Redirect(inside.url.clone())]).await;
        let (webhook, _) = listen(&server, &organization, &receiver.url).await;
        let told = attempted(&server, &organization, &webhook, "webhook.created", 1).await;
        assert_eq!((&told["state"], &told["responseStatus"]), (&json!("pending"), &json!(307)));
        assert!(told["error"].as_str().unwrap().contains("register the address it leads to"));
        assert_eq!(inside.all().len(), 0);
    }

    async fn a_host_without_an_answer_tells_nothing_but_that(engine: Engine) {
        let server = Server::start(engine, &["--webhook-allow=127.0.0.2,10.99.0.0/16"]).await;
        let organization = server.new_organization().await;
        // A name that leads inside and one that leads nowhere come to the same words.
        let receiver = Receiver::open(&[]).await;
        let port = receiver.url.rsplit(':').next().unwrap();
        for url in [format!("http://127.0.0.2:{port}"), "http://nowhere.invalid/".to_owned()] {
            let made = make(&server, &organization, json!({"url": url, "events": ["customer.created"]})).await;
            server.new_customer(&organization, &organization.owner.token).await;
            let told = attempted(&server, &organization, made["id"].as_str().unwrap(), "customer.created", 1).await;
            assert!(told["error"].as_str().unwrap().starts_with("no connection: the host has no public address"), "{told}");
            assert_eq!((&told["responseStatus"], &told["state"]), (&json!(null), &json!("pending")));
        }
        assert_eq!(receiver.all().len(), 0);
    }

    async fn a_test_event_comes_whatever_the_webhook_wants_and_not_while_it_is_off(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&[]).await;
        let made = make(&server, &organization, json!({"url": receiver.url, "events": ["member.removed"]})).await;
        let path = format!("/api/organizations/{}/webhooks/{}", organization.id, made["id"].as_str().unwrap());
        let test = expect(server.request(Method::POST, &format!("{path}/test")).bearer_auth(token), StatusCode::ACCEPTED).await;
        let received = receiver.event("webhook.test").await;
        received.verify(made["secret"].as_str().unwrap());
        assert_eq!(received.header("webhook-id"), test["id"]);
        expect(server.request(Method::PUT, &path).bearer_auth(token).json(&json!({"isActive": false})), StatusCode::OK).await;
        let test = expect(server.request(Method::POST, &format!("{path}/test")).bearer_auth(token), StatusCode::ACCEPTED).await;
        loop {
            let told = attempted(&server, &organization, made["id"].as_str().unwrap(), "webhook.test", 0).await;
            if told["state"] != "pending" {
                assert_eq!((&told["id"], &told["error"]), (&test["id"], &json!("the webhook is switched off")));
                break;
            }
        }
        assert_eq!(receiver.all().len(), 1);
    }
}
