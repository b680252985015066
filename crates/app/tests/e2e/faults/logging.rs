//! The log is lost before anything waits for it.

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, StandardError, expect, header};
use crate::tools::refused;

const METRICS_TOKEN: &str = "metrics-token-of-this-test";

on_both_engines! {
    async fn nothing_waits_for_a_standard_error_that_cannot_be_written(engine: Engine) {
        for standard_error in [StandardError::Full, StandardError::Closed, StandardError::Unread] {
            let arguments = [&format!("--metrics-token={METRICS_TOKEN}"), "--log-level=trace"];
            let mut server = Server::start_with(engine, &arguments, standard_error).await;
            let organization = server.new_organization().await;
            let customer = server.new_customer(&organization, &organization.owner.token).await;
            let path = format!("/api/organizations/{}", organization.id);
            let read = || server.request(Method::GET, &format!("{path}/customers/{customer}")).bearer_auth(&organization.owner.token);
            // A pipe takes some, and so does the queue before it.
            while lost_lines(&server).await == 0 {
                expect(read(), StatusCode::OK).await;
            }
            // The jobs go on too.
            let deleted = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token).send().await.unwrap();
            assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
            let deletion = header(&deleted, "deletion-id").to_owned();
            server.wait_for_completion(&deletion, &organization.owner.token).await;
            expect(server.request(Method::GET, "/health/ready"), StatusCode::OK).await;
            server.stop().await;
        }
    }
}

async fn lost_lines(server: &Server) -> u64 {
    let text = server.request(Method::GET, "/metrics").bearer_auth(METRICS_TOKEN).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("freehold_log_lines_lost_total ")).expect("no such figure");
    line.parse().unwrap()
}

#[tokio::test]
async fn a_log_file_that_was_moved_is_opened_anew_at_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("freehold.log"), folder.path().join("freehold.log.1"));
    let mut server = Server::start(Engine::Sqlite, &[&format!("--log-file={}", log.display()), "--log-level=info"]).await;
    wait_for(&log, "listening").await;
    std::fs::rename(&log, &moved).unwrap();
    let id = server.process().id().unwrap().to_string();
    assert!(tokio::process::Command::new("kill").args(["-HUP", &id]).status().await.unwrap().success());
    // The file is there again with the first line that comes after the signal.
    while !log.exists() {
        let form = server.form("/api/oauth/token", &[]).basic_auth("nobody", Some("nothing"));
        form.send().await.unwrap();
    }
    server.stop().await;
    wait_for(&log, "stopped").await;
    assert!(!std::fs::read_to_string(&moved).unwrap().contains("stopped"));
}

#[tokio::test]
async fn the_log_says_who_asked_for_what_and_nothing_about_customers() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("freehold.log");
    let arguments = [&format!("--log-file={}", log.display()), "--log-level=info", "--log-format=json"];
    let mut server = Server::start(Engine::Sqlite, &arguments).await;
    let organization = server.new_organization().await;
    let token = &organization.owner.token;
    let customers = format!("/api/organizations/{}/customers", organization.id);
    let body = json!({"id": "reference-4711", "name": "Ada Lovelace", "email": "ada@example.com"});
    expect(server.request(Method::POST, &customers).bearer_auth(token).json(&body), StatusCode::CREATED).await;
    let (id, key) = server.new_api_key(&organization, token, &["read:customers"]).await;
    let found = server.request(Method::GET, &format!("{customers}?email=ada@example.com")).header("X-API-Key", &key);
    expect(found, StatusCode::OK).await;
    refused(server.request(Method::DELETE, "/customer/reference-4711").bearer_auth("nothing"), StatusCode::UNAUTHORIZED).await;
    let wrong = json!({"email": organization.owner.email, "password": "another horse battery staple"});
    refused(server.request(Method::POST, "/api/auth/sign-in").json(&wrong), StatusCode::UNAUTHORIZED).await;
    server.stop().await;
    let text = std::fs::read_to_string(&log).unwrap();
    // Nothing that ids in hexadecimal may happen to spell.
    for secret in ["reference-4711", "ada@example.com", "Lovelace", &organization.owner.email, &key, token, "horse"] {
        assert!(!text.contains(secret), "{secret} is in the log: {text}");
    }
    let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let read = lines.iter().find(|line| line["operation"] == "listCustomers").unwrap();
    let told = ["level", "message", "status", "client", "credential", "organization"].map(|name| read[name].clone());
    let wanted = [json!("INFO"), json!("request"), json!(200), json!("127.0.0.1"), json!(id), json!(organization.id)];
    assert_eq!(told, wanted, "{read}");
    let warned = lines.iter().find(|line| line["message"] == "a sign-in was refused").unwrap();
    assert_eq!((&warned["level"], &warned["operation"]), (&json!("WARN"), &json!("signIn")), "{warned}");
    let answered =
        lines.iter().find(|line| line["message"] == "request" && line["operation"] == "signIn" && line["status"] == 401).unwrap();
    assert_eq!(answered["error_code"], "unauthorized", "{answered}");
}

async fn wait_for(log: &Path, words: &str) {
    while !std::fs::read_to_string(log).is_ok_and(|text| text.contains(words)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
