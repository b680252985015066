//! Webhooks, with real receivers: who may have them, where they may lead, what they are told, and that a deletion tells them first.

mod deletions;
mod deliveries;
pub mod receiver;
mod records;
mod rotation;

use plane::events::Event;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Organization, Server, expect};

/// What lets a server call receivers on this machine.
pub const ALLOW: &str = "--webhook-allow=127.0.0.0/8";

/// Makes a webhook that wants every event. Returns its id and its secret.
pub async fn listen(server: &Server, organization: &Organization, url: &str) -> (String, String) {
    let events: Vec<&str> = Event::ALL.iter().map(|event| event.name()).collect();
    listen_to(server, organization, url, &events).await
}

/// Makes a webhook that wants these events. Returns its id and its secret.
pub async fn listen_to(server: &Server, organization: &Organization, url: &str, events: &[&str]) -> (String, String) {
    let made = make(server, organization, json!({"url": url, "events": events})).await;
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

async fn make(server: &Server, organization: &Organization, body: Json) -> Json {
    let path = format!("/api/organizations/{}/webhooks", organization.id);
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await
}

/// The history of a webhook, newest first.
async fn history(server: &Server, organization: &Organization, webhook: &str) -> Vec<Json> {
    let path = format!("/api/organizations/{}/webhooks/{webhook}/deliveries?pageSize=100", organization.id);
    let page = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
    page["data"].as_array().unwrap().clone()
}

/// Waits until the newest delivery of an event has had so many attempts, and returns it.
async fn attempted(server: &Server, organization: &Organization, webhook: &str, event: &str, attempts: u64) -> Json {
    loop {
        let found = history(server, organization, webhook).await.into_iter().find(|delivery| delivery["event"] == event);
        if let Some(delivery) = found.filter(|delivery| delivery["attempts"].as_u64().unwrap() >= attempts) {
            return delivery;
        }
        // What the receiver got is not yet what the server has written down, and the record is the event.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
