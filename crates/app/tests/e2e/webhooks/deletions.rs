//! A deletion tells the organization's webhooks and is not completed before they heard it, or were given up.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::receiver::{Answer, Receiver};
use super::{ALLOW, listen, listen_to};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{deleted, refused};

on_both_engines! {
    async fn the_last_event_of_an_organization_is_signed_with_a_secret_that_dies_after_it(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        // It takes its time over the last events: nothing of the webhook may go meanwhile.
        let receiver = Receiver::open(&[]).await;
        let (_, secret) = listen(&server, &organization, &receiver.url).await;
        server.new_customer(&organization, token).await;
        receiver.event("customer.created").await;
        let path = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let record = server.wait_for_completion(&deletion, token).await;
        // The completion is the proof: whatever was told was told before it.
        let told: Vec<_> = receiver.all().into_iter().filter(|one| one.event()["data"].to_string().contains(&deletion)).collect();
        let mut names: Vec<_> = told.iter().map(|one| one.event()["type"].as_str().unwrap().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["deletion.started", "organization.deleted"]);
        for one in &told {
            one.verify(&secret);
            assert_eq!(one.event()["data"]["organizationId"], organization.id);
        }
        assert_eq!(record["effects"], json!({"webhooks": {"delivered": 2, "failed": 0}}));
        assert_eq!(record["counts"]["webhooks"], 1);
        assert!(record["counts"]["effects"].as_i64().unwrap() >= 4, "{record}");
    }

    async fn one_dead_endpoint_holds_up_its_own_deletion_and_no_other(engine: Engine) {
        let server = Server::start(engine, &[ALLOW]).await;
        let (stuck, other) = (server.new_organization().await, server.new_organization().await);
        let (silent, alive) = (Receiver::open(&[Answer::Silence, Answer::Silence, Answer::Silence]).await, Receiver::open(&[]).await);
        listen(&server, &stuck, &silent.url).await;
        let (_, secret) = listen(&server, &stuck, &alive.url).await;
        listen(&server, &other, &alive.url).await;
        let delete = |organization: &crate::support::Organization| {
            server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id)).bearer_auth(&organization.owner.token)
        };
        let first = deleted(delete(&stuck), StatusCode::NO_CONTENT).await;
        let second = deleted(delete(&other), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&second, &other.owner.token).await;
        assert_eq!(record["effects"]["webhooks"]["failed"], 0);
        let path = format!("/api/deletions/{first}");
        loop {
            let record = expect(server.request(Method::GET, &path).bearer_auth(&stuck.owner.token), StatusCode::OK).await;
            if let Some(words) = record["waitingFor"].as_str() {
                assert!(words.ends_with("webhook deliveries") && record["state"] == "draining", "{record}");
                break;
            }
        }
        // The living endpoint of the same organization has heard it all the same.
        for one in alive.events("organization.deleted", 2).await.iter().filter(|one| one.event()["data"]["organizationId"] == stuck.id) {
            one.verify(&secret);
        }
    }

    async fn a_deletion_is_completed_without_a_dead_endpoint_after_the_wait_and_says_what_was_not_delivered(engine: Engine) {
        let server = Server::start(engine, &[ALLOW, "--completion-wait=2"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let receiver = Receiver::open(&vec![Answer::Status(503); 100]).await;
        let events = ["customer.deleted", "deletion.started", "deletion.completed"];
        let (webhook, _) = listen_to(&server, &organization, &receiver.url, &events).await;
        let customer = server.new_customer(&organization, token).await;
        let own = format!("/api/organizations/{}", organization.id);
        let deletion = server.request(Method::DELETE, &format!("{own}/customers/{customer}")).bearer_auth(token);
        let deletion = deleted(deletion, StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!(record["effects"], json!({"webhooks": {"delivered": 0, "failed": 0, "pending": 2}}));
        let effects = format!("/api/deletions/{deletion}/effects");
        let list = async || expect(server.request(Method::GET, &effects).bearer_auth(token), StatusCode::OK).await["data"].clone();
        let waiting = list().await;
        assert_eq!(waiting.as_array().unwrap().len(), 2);
        assert!(waiting.as_array().unwrap().iter().all(|one| one["state"] == "pending" && one["to"] == *webhook), "{waiting}");
        assert_eq!(waiting[0]["responseStatus"], 503);
        // They are tried on, and the receipt is brought up to date.
        receiver.relent();
        for one in waiting.as_array().unwrap() {
            let again = format!("{own}/webhooks/{webhook}/deliveries/{}/resend", one["id"].as_str().unwrap());
            expect(server.request(Method::POST, &again).bearer_auth(token), StatusCode::ACCEPTED).await;
        }
        let told: Vec<_> = receiver.events("deletion.completed", 1).await;
        assert_eq!(told[0].event()["data"]["id"], deletion);
        let sequences: Vec<_> = receiver.all().iter().map(|one| one.event()["sequence"].as_i64().unwrap()).collect();
        assert!(sequences.is_sorted(), "in the order in which it happened: {sequences:?}");
        let path = format!("/api/deletions/{deletion}");
        loop {
            let record = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
            if record["effects"] == json!({"webhooks": {"delivered": 2, "failed": 0}}) {
                break;
            }
        }
        assert!(list().await.as_array().unwrap().iter().all(|one| one["state"] == "delivered"));
        // What they said is forgotten with that.
        let again = format!("{own}/webhooks/{webhook}/deliveries/{}/resend", waiting[0]["id"].as_str().unwrap());
        refused(server.request(Method::POST, &again).bearer_auth(token), StatusCode::CONFLICT).await;
    }

    async fn a_server_that_is_killed_on_the_way_tells_after_its_start(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let organization = server.new_organization().await;
        let receiver = Receiver::open(&[]).await;
        let (_, secret) = listen(&server, &organization, &receiver.url).await;
        receiver.event("webhook.created").await;
        let silent = Receiver::open(&[Answer::Silence, Answer::Silence]).await;
        let (_, silent_secret) = listen(&server, &organization, &silent.url).await;
        // It is silent: what follows is closed and not delivered.
        silent.event("webhook.created").await;
        let path = format!("/api/organizations/{}", organization.id);
        let deletion =
            deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        server.kill().await;
        silent.relent();
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        let record = server.wait_for_completion(&deletion, &token).await;
        assert_eq!(record["effects"], json!({"webhooks": {"delivered": 4, "failed": 0}}));
        for (receiver, secret) in [(receiver, secret), (silent, silent_secret)] {
            receiver.event("organization.deleted").await.verify(&secret);
            receiver.event("deletion.started").await.verify(&secret);
        }
    }
}
