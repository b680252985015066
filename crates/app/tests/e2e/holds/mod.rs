//! Legal holds: what they stop and what they do not, who may place and release them, and what is written down about it.

mod access;
mod blocking;
mod life;
mod races;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Organization, Server, expect};

/// The request that places a hold on something in an organization, such as `/customers/user123`; on itself where that is empty.
pub fn placing(server: &Server, organization: &Organization, place: &str, token: &str) -> RequestBuilder {
    let path = format!("/api/organizations/{}{place}/holds", organization.id);
    server.request(Method::POST, &path).bearer_auth(token).json(&json!({"reason": "Case 2026-17"}))
}

/// The request that releases one.
pub fn releasing(server: &Server, organization: &Organization, hold: &str, token: &str) -> RequestBuilder {
    let path = format!("/api/organizations/{}/holds/{hold}/release", organization.id);
    server.request(Method::POST, &path).bearer_auth(token).json(&json!({"reason": "The case is closed"}))
}

/// Places a hold as the owner, and returns its id.
pub async fn hold(server: &Server, organization: &Organization, place: &str) -> String {
    let placed = expect(placing(server, organization, place, &organization.owner.token), StatusCode::CREATED).await;
    placed["id"].as_str().unwrap().to_owned()
}

/// Releases a hold as the owner.
pub async fn release(server: &Server, organization: &Organization, hold: &str) -> Json {
    expect(releasing(server, organization, hold, &organization.owner.token), StatusCode::OK).await
}

/// Codes and ids of what stands in the way.
pub fn blockers(body: &Json) -> Vec<(&str, &str)> {
    let text = |blocker: &'_ Json, name: &str| blocker[name].as_str().map(str::to_owned);
    let all = body["blockers"].as_array().unwrap();
    assert!(all.iter().all(|one| text(one, "detail").is_some() && text(one, "remedy").is_some()), "{body}");
    all.iter().map(|one| (one["code"].as_str().unwrap(), one["id"].as_str().unwrap())).collect()
}
