//! Exports: what is in the archive and what never is, who gets it, and how long it is there.

mod access;
mod contents;
mod first;
mod life;
mod places;

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

pub use crate::support::archive::Archive;
use crate::support::{Organization, Server, expect, header};
use crate::tools::answered;

/// Orders an export of an organization, and returns its id.
pub async fn order(server: &Server, organization: &Organization) -> String {
    order_at(server, organization, &format!("/api/organizations/{}/exports", organization.id)).await
}

/// Orders an export of a customer, and returns its id.
pub async fn order_customer(server: &Server, organization: &Organization, customer: &str) -> String {
    order_at(server, organization, &format!("/api/organizations/{}/customers/{customer}/exports", organization.id)).await
}

async fn order_at(server: &Server, organization: &Organization, path: &str) -> String {
    let answer = answered(server.request(Method::POST, path).bearer_auth(&organization.owner.token), StatusCode::ACCEPTED).await;
    let location = header(&answer, "location").to_owned();
    let record: Json = answer.json().await.unwrap();
    let id = record["id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/api/exports/{id}"));
    id
}

/// Waits until an export is done, and returns its record.
pub async fn wait_until_done(server: &Server, export: &str, token: &str) -> Json {
    loop {
        let request = server.request(Method::GET, &format!("/api/exports/{export}"));
        let record = expect(request.bearer_auth(token), StatusCode::OK).await;
        match record["state"].as_str().unwrap() {
            "done" => return record,
            // The record is the event: there is nothing else to wait on from outside.
            "waiting" | "running" => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => panic!("{record}"),
        }
    }
}

/// Orders an export of the organization, and waits until it is done.
pub async fn made(server: &Server, organization: &Organization) -> String {
    let export = order(server, organization).await;
    wait_until_done(server, &export, &organization.owner.token).await;
    export
}

pub async fn download(server: &Server, export: &str, token: &str) -> Archive {
    let request = server.request(Method::GET, &format!("/api/exports/{export}/download"));
    let answer = answered(request.bearer_auth(token), StatusCode::OK).await;
    Archive::unpack(answer.bytes().await.unwrap().to_vec())
}

/// Waits until a file is gone.
pub async fn wait_until_gone(path: &Path) {
    for _ in 0..500 {
        if !path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is still there", path.display());
}
