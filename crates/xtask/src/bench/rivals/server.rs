//! The release build of the server, started on a database of its own, and one signed-in owner who uses it.

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::Result;
use crate::freehold::Freehold;

/// A running server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) freehold: Freehold,
    pub(crate) client: Client,
    pub(crate) token: String,
}

/// Builds the binary that is measured.
pub(crate) fn build() -> Result {
    println!("building the release binary …");
    cargo(std::process::Command::new(env!("CARGO")).args(["build", "--release", "--locked", "--package", "freehold"]))
}

/// Starts this very command anew from an optimised build.
pub(crate) fn measure_with_a_release_build() -> Result {
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

pub(crate) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Server {
    pub(crate) async fn start(database_url: Option<&str>, arguments: &[&str]) -> Result<Server> {
        let freehold = Freehold::start("release", database_url, arguments).await?;
        let client = Client::builder().pool_max_idle_per_host(512).build().map_err(words)?;
        let mut server = Server { freehold, client, token: String::new() };
        let person = Server::person();
        server.send(Method::POST, "/api/auth/sign-up", Some(&person)).await?;
        let signed_in: Json = server.send(Method::POST, "/api/auth/sign-in", Some(&person)).await?.json().await.map_err(words)?;
        server.token = signed_in["access_token"].as_str().ok_or("no token")?.to_owned();
        Ok(server)
    }

    /// What the owner signs in with.
    pub(crate) fn person() -> Json {
        json!({"email": "bench@example.com", "password": "correct horse battery staple"})
    }

    /// Sends a request as the owner and expects it to succeed.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.freehold.url)).bearer_auth(&self.token);
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
    pub(crate) async fn new_organization(&self, slug: &str) -> Result<String> {
        let made = self.send(Method::POST, "/api/organizations", Some(&json!({"name": "Bench", "slug": slug}))).await?;
        let made: Json = made.json().await.map_err(words)?;
        made["id"].as_str().map(str::to_owned).ok_or_else(|| "an organization without id".into())
    }

    /// Reads a deletion's record.
    pub(crate) async fn deletion(&self, id: &str) -> Result<Json> {
        self.send(Method::GET, &format!("/api/deletions/{id}"), None).await?.json().await.map_err(words)
    }

    /// The header that leads to a deletion.
    pub(crate) fn deletion_id(answer: &Response) -> Result<String> {
        let id = answer.headers().get("deletion-id").and_then(|id| id.to_str().ok());
        id.map(str::to_owned).ok_or_else(|| format!("{} without Deletion-Id", StatusCode::NO_CONTENT))
    }
}
