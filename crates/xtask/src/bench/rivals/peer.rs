//! The peer: better-auth, which a Node.js product would have in Freehold's place. What is started is `crates/xtask/peer/server.mjs`.

use std::ffi::OsString;
use std::process::Stdio;

use reqwest::Client;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Result;
use crate::bench::server::words;
use crate::freehold::target;
use crate::machine::{in_path, install};
use crate::outside::{copy, install_node};
use crate::steps::workspace;

/// What `package-lock.json` says it is.
pub(crate) const VERSION: &str = "better-auth 1.7.5, the newest that its API key plugin comes in, with better-sqlite3 12.9.0";

/// A running peer with its one owner. Killed when dropped, and its data with it.
pub(crate) struct Peer {
    /// Where it listens, without a slash at the end.
    pub(crate) url: String,
    /// The owner's session.
    pub(crate) cookie: String,
    /// The owner's API key.
    pub(crate) key: String,
    client: Client,
    _child: Child,
    _folder: TempDir,
}

/// Installs the peer where its locked versions are not there yet. Its engine is compiled here: what could be downloaded in its place is not
/// locked.
pub(crate) async fn prepare() -> Result {
    let tools = ["python3", "make", "g++"];
    if tools.iter().any(|tool| in_path(&[tool]).is_none()) {
        install(&tools, "Python 3, make and a C++ compiler are missing: install the packages `python3`, `make` and `g++`")?;
    }
    let folder = target().join("peer");
    copy(&workspace().join("crates/xtask/peer"), &folder)?;
    let mut variables: Vec<(&str, OsString)> = vec![("npm_config_build_from_source", "true".into())];
    // Where a package has brought node's headers along nothing has to be fetched.
    let beside = in_path(&["node"]).and_then(|programs| Some(programs.parent()?.to_owned()));
    if let Some(place) = beside.filter(|place| place.join("include/node/node.h").is_file()) {
        variables.push(("npm_config_nodedir", place.into()));
    }
    install_node(&folder, &variables).await
}

impl Peer {
    pub(crate) async fn start() -> Result<Peer> {
        let folder = tempfile::tempdir().map_err(words)?;
        let mut command = Command::new("node");
        command.arg("server.mjs").arg(folder.path().join("peer.db")).current_dir(target().join("peer")).env("NODE_ENV", "production");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(words)?;
        let output = child.stdout.take().ok_or("the peer has no output")?;
        let first = BufReader::new(output).lines().next_line().await.map_err(words)?.ok_or("the peer stopped before it listened")?;
        let url = first.strip_prefix("listening on ").ok_or("the peer did not say where it listens")?.to_owned();
        let mut peer = Peer { url, cookie: String::new(), key: String::new(), client: Client::new(), _child: child, _folder: folder };
        let owner = peer.post("/owner").await?;
        peer.cookie = text(&owner["cookie"])?;
        peer.key = text(&owner["key"])?;
        Ok(peer)
    }

    /// Asks for something to be prepared; see `server.mjs`.
    pub(crate) async fn post(&self, path: &str) -> Result<Json> {
        let answer = self.client.post(format!("{}{path}", self.url)).send().await.map_err(words)?;
        match answer.status() {
            status if status.is_success() => answer.json().await.map_err(words),
            status => Err(format!("the peer's {path}: {status}: {}", answer.text().await.unwrap_or_default())),
        }
    }
}

/// A text in the peer's answer.
pub(crate) fn text(value: &Json) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("the peer answered {value} where a text was expected"))
}
