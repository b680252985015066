//! What an organization asks of those who delete: on every surface, told with everything else that stands in the way, and not to be had
//! with a stolen session of one owner.

mod approvals;
mod asking;
mod grace;
mod purging;
mod races;
mod weakening;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Engine, Organization, Person, Server, expect};
use crate::tools::change_database;

/// An organization with a second owner.
async fn two_owners(server: &Server) -> (Organization, Person) {
    let organization = server.new_organization().await;
    let (second, _) = server.new_member(&organization, "owner").await;
    (organization, second)
}

/// The request that asks for this and nothing else.
fn asking(server: &Server, organization: &Organization, token: &str, wanted: &Json) -> RequestBuilder {
    let path = format!("/api/organizations/{}/deletion-requirements", organization.id);
    server.request(Method::PUT, &path).bearer_auth(token).json(wanted)
}

/// Asks for this and nothing else, as the first owner.
pub async fn ask(server: &Server, organization: &Organization, wanted: Json) -> Json {
    expect(asking(server, organization, &organization.owner.token, &wanted), StatusCode::OK).await
}

/// The request that approves of the deletion of something in an organization, such as `/customers/user123`; of its own where that is empty.
fn approving(server: &Server, organization: &Organization, place: &str, token: &str) -> RequestBuilder {
    let path = match place {
        "requirements" => format!("/api/organizations/{}/deletion-requirements/approvals", organization.id),
        place => format!("/api/organizations/{}{place}/deletion-approvals", organization.id),
    };
    server.request(Method::POST, &path).bearer_auth(token).json(&json!({"reason": "Asked for in writing"}))
}

/// Approves, and returns the approval's id.
async fn approve(server: &Server, organization: &Organization, place: &str, token: &str) -> String {
    let approval = expect(approving(server, organization, place, token), StatusCode::CREATED).await;
    approval["id"].as_str().unwrap().to_owned()
}

/// The request that takes an approval back.
fn withdrawing(server: &Server, organization: &Organization, approval: &str, token: &str) -> RequestBuilder {
    let path = format!("/api/organizations/{}/deletion-approvals/{approval}", organization.id);
    server.request(Method::DELETE, &path).bearer_auth(token)
}

/// The codes of what stands in the way, each of which has its remedy.
fn missing(body: &Json) -> Vec<&str> {
    let all = body["blockers"].as_array().unwrap_or_else(|| panic!("no blockers in {body}"));
    assert!(all.iter().all(|one| one["detail"].is_string() && one["remedy"].is_string()), "{body}");
    all.iter().map(|one| one["code"].as_str().unwrap()).collect()
}

/// Lets so many minutes pass for every session there is.
async fn age_sessions(server: &Server, minutes: u32) {
    let statement = match server.engine {
        Engine::Sqlite => format!("UPDATE sessions SET created_at = created_at - {minutes} * 60000000"),
        Engine::Postgresql => format!("UPDATE sessions SET created_at = created_at - interval '{minutes} minutes'"),
    };
    change_database(server, &statement).await;
}
