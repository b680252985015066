//! The client commands of the binary, run against a real server as a person at a terminal or a script runs them.

mod completions;
mod coverage;
mod deleting;
mod exports;
mod failures;
mod following;
mod holds;
mod life;
mod purging;
mod requirements;
mod sessions;

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::support::{PASSWORD, Server};

/// A person with a home of their own, and what is set in their environment.
pub struct Shell {
    home: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The one JSON document on standard output.
    pub fn json(&self) -> Json {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a line such as `slug  acme`.
    pub fn field(&self, label: &str) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        let line = self.out.lines().find_map(|line| line.strip_prefix(label).filter(|rest| rest.starts_with("  ")));
        line.unwrap_or_else(|| panic!("no {label}: {self:?}")).trim().to_owned()
    }
}

impl Shell {
    /// A person who has not signed in.
    pub fn new(server: &Server) -> Shell {
        Shell::at(&server.url)
    }

    /// A person who has not signed in to the server at this address.
    pub fn at(url: &str) -> Shell {
        Shell { home: tempfile::tempdir().unwrap(), variables: vec![("FREEHOLD_SERVER", url.to_owned())] }
    }

    /// A person with one more variable in the environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Shell {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    pub fn credentials_file(&self) -> PathBuf {
        self.home.path().join("freehold/credentials.json")
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(line.split_whitespace());
        self.dress(&mut command);
        command
    }

    fn dress(&self, command: &mut Command) {
        for name in ["FREEHOLD_API_KEY", "FREEHOLD_TOKEN", "FREEHOLD_ORGANIZATION", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.home.path()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    }

    /// Runs a command without a terminal. The words of the line have no spaces in them.
    pub async fn run(&self, line: &str) -> Said {
        told(self.command(line).output().await.unwrap())
    }

    /// Runs a command with something on its standard input.
    pub async fn run_with(&self, line: &str, input: &str) -> Said {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        told(child.wait_with_output().await.unwrap())
    }

    /// Runs a command at a terminal, where a person types a line. What it prints is all in `out`.
    pub async fn type_into(&self, line: &str, typed: &str) -> Said {
        let mut child = self.at_a_terminal(line).spawn().unwrap();
        let mut keyboard = child.stdin.take().unwrap();
        keyboard.write_all(typed.as_bytes()).await.unwrap();
        // The terminal stays open as long as the command runs.
        let said = told(child.wait_with_output().await.unwrap());
        drop(keyboard);
        said
    }

    /// The same, and something happens between the question and the answer to it.
    pub async fn type_after(&self, line: &str, question: &str, happening: impl Future<Output = ()>, typed: &str) -> Said {
        let mut child = self.at_a_terminal(line).spawn().unwrap();
        let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(question) {
            assert!(screen.read_buf(&mut shown).await.unwrap() > 0, "{}", String::from_utf8_lossy(&shown));
        }
        happening.await;
        keyboard.write_all(typed.as_bytes()).await.unwrap();
        screen.read_to_end(&mut shown).await.unwrap();
        let mut said = told(child.wait_with_output().await.unwrap());
        said.out = String::from_utf8(shown).unwrap();
        said
    }

    fn at_a_terminal(&self, line: &str) -> Command {
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &format!("{} {line}", env!("CARGO_BIN_EXE_freehold")), "/dev/null"]);
        self.dress(&mut command);
        command.stdin(Stdio::piped());
        command
    }

    /// Makes a user and signs them in, by hand.
    pub async fn sign_in(&self, email: &str) {
        let password = format!("{PASSWORD}\n");
        assert_eq!(self.run_with(&format!("users create --email {email}"), &password).await.code, 0);
        assert_eq!(self.run_with(&format!("sign-in --email {email}"), &password).await.code, 0);
    }
}

fn told(output: std::process::Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}
