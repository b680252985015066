//! The server itself, built from this source and started on a database of its own.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Result;
use crate::machine::run;

/// A running server. Killed when dropped, and its data with it.
pub(crate) struct Freehold {
    pub(crate) folder: TempDir,
    /// Where it listens, without a slash at the end.
    pub(crate) url: String,
    child: Child,
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    crate::steps::workspace().join(target)
}

impl Freehold {
    /// Starts the binary of a profile (`debug` or `release`), which is built already, without rate limits unless the arguments set some.
    pub(crate) async fn start(profile: &str, database_url: Option<&str>, arguments: &[&str]) -> Result<Freehold> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder for the server's data: {error}"))?;
        Freehold::start_in(folder, profile, database_url, arguments).await
    }

    /// Starts it on a data folder, such as one that was in use before.
    pub(crate) async fn start_in(folder: TempDir, profile: &str, database_url: Option<&str>, arguments: &[&str]) -> Result<Freehold> {
        let words = |error: std::io::Error| format!("the server does not start: {error}");
        let mut command = Command::new(target().join(profile).join("freehold"));
        command.args(["serve", "--listen=127.0.0.1:0"]).args(arguments).arg("--data").arg(folder.path());
        for unlimited in ["--rate-limit-per-minute", "--rate-limit-per-day", "--attempt-limit-per-minute"] {
            if !arguments.iter().any(|argument| argument.starts_with(unlimited)) {
                command.arg(format!("{unlimited}=0"));
            }
        }
        command.env_remove("FREEHOLD_DATABASE_URL").env("RUST_LOG", "error");
        if let Some(url) = database_url {
            command.env("FREEHOLD_DATABASE_URL", url);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(words)?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let first = BufReader::new(output).lines().next_line().await.map_err(words)?.ok_or("the server stopped before it listened")?;
        let url = first.split_whitespace().nth(3).ok_or("the server did not say where it listens")?.replace("localhost", "127.0.0.1");
        Ok(Freehold { folder, url, child })
    }

    /// The id of its process, while that runs.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Lets it stop by itself, as after an operator's signal, and returns its data folder.
    pub(crate) async fn stop(mut self) -> Result<TempDir> {
        let process = self.process_id().ok_or("the server has stopped before it was told to")?;
        run(std::process::Command::new("kill").arg(process.to_string()))?;
        let status = self.child.wait().await.map_err(|error| error.to_string())?;
        if status.success() { Ok(self.folder) } else { Err(format!("the server ended with {status}")) }
    }
}
