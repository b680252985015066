//! Subscriptions whose provider fails in every way while the server is killed again and again: each ends once, each deletion waits for that, and
//! what was taken back goes on.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::chance::Chance;
use crate::on_both_engines;
use crate::stripe::Stripe;
use crate::support::{Engine, Organization, Server, expect};
use crate::waiting::until;

/// Customers that are made, linked and deleted before each kill, and after the last.
const CUSTOMERS: usize = 20;

/// Kills of the server on the way.
fn kills() -> usize {
    std::env::var("FREEHOLD_TEST_BILLING_KILLS").map_or(3, |number| number.parse().unwrap())
}

/// Sends a request until it is answered with success, and returns the answer's `Deletion-Id`.
async fn insist(request: impl Fn() -> reqwest::RequestBuilder, key: &str) -> String {
    loop {
        if let Ok(answer) = request().header("Idempotency-Key", key).send().await
            && answer.status().is_success()
        {
            return answer.headers().get("deletion-id").map_or_else(String::new, |id| id.to_str().unwrap().to_owned());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Makes a customer with a subscription and deletes it; every other one is taken back once before. Returns the deletion that counts.
async fn life(
    server: &Server,
    organization: &Organization,
    stripe: &Stripe,
    tokens: &(String, String),
    name: &str,
    is_taken_back: bool,
) -> String {
    let (owner, operator) = tokens;
    let (own, subscription) = (format!("/api/organizations/{}/customers", organization.id), format!("sub_{name}"));
    stripe.subscribe(&subscription, json!({}));
    let body = json!({"id": name, "name": "Ada", "email": "ada@example.com"});
    insist(|| server.request(Method::POST, &own).bearer_auth(owner).json(&body), &format!("make-{name}")).await;
    let link = format!("/api/operator/organizations/{}/billing/subscriptions/{subscription}", organization.id);
    let body = json!({"customerId": name, "reason": "They pay"});
    insist(|| server.request(Method::PUT, &link).bearer_auth(operator).json(&body), &format!("link-{name}")).await;
    let delete = || server.request(Method::DELETE, &format!("{own}/{name}")).bearer_auth(owner);
    let mut deletion = insist(delete, &format!("delete-{name}")).await;
    if is_taken_back {
        let restore = format!("/api/deletions/{deletion}/restore");
        insist(|| server.request(Method::POST, &restore).bearer_auth(owner), &format!("restore-{name}")).await;
        deletion = insist(delete, &format!("delete-again-{name}")).await;
    }
    deletion
}

on_both_engines! {
    async fn each_subscription_ends_once_through_a_failing_provider_and_kills(engine: Engine) {
        let stripe = Stripe::open_with(Some(Chance::new(43))).await;
        let arguments = stripe.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--public-url=http://localhost:3001"]).collect();
        let mut server = Server::start(engine, &arguments).await;
        let operator = server.new_operator().await;
        let (at_once, in_grace) = (server.new_organization().await, server.new_organization().await);
        let none = json!({"reasonRequired": false, "confirmationRequired": false, "freshMinutes": null, "approvalRequired": false, "graceDays": 0});
        let mut grace = none.clone();
        grace["graceDays"] = json!(1);
        let asked = json!({"organization": none, "member": none, "customer": grace});
        let path = format!("/api/organizations/{}/deletion-requirements", in_grace.id);
        expect(server.request(Method::PUT, &path).bearer_auth(&in_grace.owner.token).json(&asked), StatusCode::OK).await;
        let (mut ended, mut resting) = (Vec::new(), Vec::new());
        let kills = kills();
        for part in 0..=kills {
            let operator = server.sign_in(&operator.email, None).await;
            let (first, second) = (server.sign_in(&at_once.owner.email, None).await, server.sign_in(&in_grace.owner.email, None).await);
            let (first, second) = ((first, operator.clone()), (second, operator));
            let names: Vec<String> = (0..CUSTOMERS).map(|number| format!("{part}x{number}")).collect();
            let lives = names.iter().map(|name| life(&server, &at_once, &stripe, &first, name, false));
            let grace_names: Vec<String> = (0..CUSTOMERS / 4).map(|number| format!("{part}y{number}")).collect();
            let grace_lives = grace_names.iter().map(|name| life(&server, &in_grace, &stripe, &second, name, true));
            let (lives, grace_lives) = tokio::join!(join_all(lives), join_all(grace_lives));
            ended.extend(lives.into_iter().zip(names.clone()));
            resting.extend(grace_lives.into_iter().zip(grace_names.clone()));
            if part < kills {
                server.kill().await;
                server.start_again().await;
            }
        }
        let token = server.sign_in(&at_once.owner.email, None).await;
        for (deletion, name) in &ended {
            let record = server.wait_for_completion(deletion, &token).await;
            let billing = &record["effects"]["billing"];
            assert_eq!((&billing["confirmed"], &billing["givenUp"]), (&json!(1), &json!(0)), "{record}");
            let subscription = stripe.subscription(&format!("sub_{name}"));
            assert_eq!((subscription.status, subscription.changes.len()), ("canceled", 1), "{name}: {subscription:?}");
        }
        let token = server.sign_in(&in_grace.owner.email, None).await;
        for (deletion, name) in &resting {
            let path = format!("/api/deletions/{deletion}/effects");
            let is_done = async || {
                let page = expect(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
                page["data"].as_array().unwrap().iter().all(|effect| effect["state"] == "delivered")
            };
            until("the provider has confirmed the second deletion", is_done).await;
            let subscription = stripe.subscription(&format!("sub_{name}"));
            let changes = ["cancel_at_period_end true", "cancel_at_period_end false", "cancel_at_period_end true"];
            assert_eq!(subscription.changes, changes, "{name}: {subscription:?}");
        }
        let requests = stripe.requests().len();
        println!("{engine:?}: {} subscriptions ended once each, {} were taken back between two deletions, {kills} kills, {requests} requests", ended.len(), resting.len());
        server.stop().await;
    }
}
