//! The release build of the server, started on a database of its own, and one signed-in owner who uses it.

use std::path::PathBuf;
use std::process::Stdio;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Result;

/// A running server. Killed when dropped.
pub(super) struct Server {
    pub(super) folder: TempDir,
    pub(super) client: Client,
    pub(super) token: String,
    url: String,
    _child: Child,
}

/// Builds the binary that is measured.
pub(super) fn build() -> Result {
    println!("building the release binary …");
    cargo(std::process::Command::new(env!("CARGO")).args(["build", "--release", "--locked", "--package", "freehold"]))
}

/// Starts this very command anew from an optimised build.
pub(super) fn measure_with_a_release_build() -> Result {
    let mut command = std::process::Command::new(env!("CARGO"));
    cargo(command.args(["run", "--release", "--locked", "--package", "xtask", "--"]).args(std::env::args_os().skip(1)))
}

fn cargo(command: &mut std::process::Command) -> Result {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("cargo could not be started: {error}")),
    }
}

fn binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("release/freehold")
}

pub(super) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Server {
    pub(super) async fn start(database_url: Option<&str>, arguments: &[&str]) -> Result<Server> {
        let folder = tempfile::tempdir().map_err(words)?;
        let mut command = Command::new(binary());
        command
            .args(["serve", "--listen=127.0.0.1:0", "--rate-limit-per-minute=0", "--rate-limit-per-day=0", "--attempt-limit-per-minute=0"])
            .args(arguments);
        command.arg("--data").arg(folder.path()).env_remove("FREEHOLD_DATABASE_URL").env("RUST_LOG", "warn");
        if let Some(url) = database_url {
            command.env("FREEHOLD_DATABASE_URL", url);
        }
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(words)?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let first = BufReader::new(output).lines().next_line().await.map_err(words)?.ok_or("the server stopped before it listened")?;
        let url = first.split_whitespace().nth(3).ok_or("the server did not say where it listens")?.replace("localhost", "127.0.0.1");
        let client = Client::builder().pool_max_idle_per_host(512).build().map_err(words)?;
        let mut server = Server { folder, client, token: String::new(), url, _child: child };
        let person = json!({"email": "bench@example.com", "password": "correct horse battery staple"});
        server.send(Method::POST, "/api/auth/sign-up", Some(&person)).await?;
        let signed_in: Json = server.send(Method::POST, "/api/auth/sign-in", Some(&person)).await?.json().await.map_err(words)?;
        server.token = signed_in["access_token"].as_str().ok_or("no token")?.to_owned();
        Ok(server)
    }

    /// Sends a request as the owner and expects it to succeed.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(words)?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(format!("{path}: {status}: {}", answer.text().await.unwrap_or_default())),
        }
    }

    /// Makes an organization and returns its id.
    pub(super) async fn new_organization(&self, slug: &str) -> Result<String> {
        let made = self.send(Method::POST, "/api/organizations", Some(&json!({"name": "Bench", "slug": slug}))).await?;
        let made: Json = made.json().await.map_err(words)?;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| "an organization without id".into())
    }

    /// Reads a deletion's record.
    pub(super) async fn deletion(&self, id: &str) -> Result<Json> {
        self.send(Method::GET, &format!("/api/deletions/{id}"), None).await?.json().await.map_err(words)
    }

    /// The header that leads to a deletion.
    pub(super) fn deletion_id(answer: &Response) -> Result<String> {
        let id = answer.headers().get("deletion-id").and_then(|id| id.to_str().ok());
        id.map(str::to_owned).ok_or_else(|| format!("{} without Deletion-Id", StatusCode::NO_CONTENT))
    }
}
