//! Archives of exports and backups in a bucket: the server beside moto of PyPI, on both engines. `cargo xtask test` runs it in its step `outside`,
//! where it installs moto.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "these tests need a part of what the black-box tests share")]
mod support;

mod backups;
mod exports;
mod failures;
mod large;
mod moto;
mod pages;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use rusqlite::Connection;
use serde_json::Value as Json;
use support::{Engine, Organization, Server, expect};

/// Where exports are put.
pub const EXPORTS: &str = "--exports=s3://bucket/kept/here";

/// The SHA-256 of these bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Orders an export of an organization.
pub async fn order(server: &Server, organization: &Organization) -> String {
    let path = format!("/api/organizations/{}/exports", organization.id);
    let ordered = expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token), StatusCode::ACCEPTED).await;
    ordered["id"].as_str().unwrap().to_owned()
}

/// Reads the record of an export.
pub async fn read(server: &Server, export: &str, token: &str) -> Json {
    expect(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(token), StatusCode::OK).await
}

/// Reads the record of an export until it is like this.
pub async fn wait_until(server: &Server, export: &str, token: &str, is_it: impl Fn(&Json) -> bool) -> Json {
    for _ in 0..3_000 {
        let record = read(server, export, token).await;
        if is_it(&record) {
            return record;
        }
        // The record is the event: there is nothing else to wait on from outside.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{}", read(server, export, token).await)
}

/// Waits until an export is done, and returns its record.
pub async fn wait_until_done(server: &Server, export: &str, token: &str) -> Json {
    wait_until(server, export, token, |record| record["state"] == "done").await
}

/// Asks for the archive of an export.
pub fn download(server: &Server, export: &str, token: &str) -> RequestBuilder {
    server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(token)
}

/// What `/metrics` says of a figure.
pub async fn figure(server: &Server, name: &str) -> f64 {
    let text = server.request(Method::GET, "/metrics").bearer_auth("metrics").send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} is not in {text}"));
    line.trim().parse().unwrap()
}

/// Changes the database behind the server's back.
pub async fn change_database(server: &Server, statement: &str) {
    server.note_altered();
    match server.engine {
        Engine::Sqlite => {
            let connection = Connection::open(server.database_file()).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.execute_batch(statement).unwrap();
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(statement).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        }
    }
}
