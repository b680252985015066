//! The shortest way through: an organization is made, seen and deleted.

use std::process::Stdio;

use reqwest::{Method, StatusCode};
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};

on_both_engines! {
    async fn an_organization_lives_and_dies(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        server.new_dependant(&organization, &customer, "devices", serde_json::json!({"name": "Laptop"})).await;
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let answer = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let deletion = header(&answer, "deletion-id").to_owned();
        let record = server.wait_for_completion(&deletion, &organization.owner.token).await;
        assert_eq!(record["counts"]["customers"], 1);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }
}

#[tokio::test]
async fn an_address_that_clients_cannot_use_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        "",
        "accounts.example.com",
        "ftp://accounts.example.com",
        "https://",
        "https://a b",
        "https://me@x.example",
        "https://x.example/base",
        "https://x.example/?a=b",
        "https://x.example/#a",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--public-url", wrong, "--data"]).arg(folder.path().join("data"));
        command.env_remove("FREEHOLD_DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && words.contains("--public-url"), "{wrong}: {words}");
    }
    assert!(!folder.path().join("data").exists());
}
