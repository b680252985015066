//! Billing, with a counterpart of Stripe: subscriptions end with what they are for, nothing is erased before that, and Stripe's events are heard.

mod ending;
mod events;
mod pages;
mod terms;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::stripe::Stripe;
use crate::support::{Engine, Organization, Person, Server, expect};

/// A server that uses a counterpart of Stripe, an operator, and an organization.
pub async fn found(engine: Engine, stripe: &Stripe) -> (Server, Person, Organization) {
    let arguments = stripe.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Server::start(engine, &arguments).await;
    let operator = server.new_operator().await;
    let organization = server.new_organization().await;
    (server, operator, organization)
}

/// Links a subscription to an organization, or to one of its customers.
pub async fn link(server: &Server, operator: &Person, organization: &Organization, subscription: &str, customer: Option<&str>) -> Json {
    let path = format!("/api/operator/organizations/{}/billing/subscriptions/{subscription}", organization.id);
    let body = json!({"customerId": customer, "reason": "They pay"});
    expect(server.request(Method::PUT, &path).bearer_auth(&operator.token).json(&body), StatusCode::OK).await
}

/// Asks for a record until it is as it shall be.
pub async fn until(server: &Server, path: &str, token: &str, is_so: impl Fn(&Json) -> bool) -> Json {
    for _ in 0..4_000 {
        let record = expect(server.request(Method::GET, path).bearer_auth(token), StatusCode::OK).await;
        if is_so(&record) {
            return record;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{path} never came to be so");
}
