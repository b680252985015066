//! What ends a client command early: the exit code that scripts look at, and words for the person who typed it.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value as Json;

use super::output::{clean, text};

/// What the exit codes mean, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes of the client commands:
  0  done
  1  another failure: input that the server refused, an answer nobody expected
  2  the command line is wrong, or a confirmation is missing
  3  not signed in, or not allowed
  4  not found
  5  a conflict, a blocker in a deletion's way, a precondition that no longer holds
  6  the server cannot be reached or is not available
  7  too many requests";

pub(super) type Result<T = ()> = std::result::Result<T, Failure>;

/// The exit codes; see [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Whoever read standard output has had enough. No failure.
    ReaderGone = 0,
    Other = 1,
    Usage = 2,
    NotAllowed = 3,
    NotFound = 4,
    Conflict = 5,
    Unavailable = 6,
    RateLimited = 7,
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: Code,
    words: String,
    /// When the server says to ask again.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(code: Code, words: impl Into<String>) -> Failure {
        Failure { code, words: words.into(), retry_after: None }
    }

    /// The command line is wrong; the words name the remedy.
    pub(super) fn usage(words: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, words)
    }

    pub(super) fn other(words: impl Into<String>) -> Failure {
        Failure::new(Code::Other, words)
    }

    /// What an answer that is not a success comes to.
    pub(super) fn of_answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let code = match status {
            401 | 403 => Code::NotAllowed,
            404 | 410 => Code::NotFound,
            409 | 412 | 428 => Code::Conflict,
            408 | 502..=504 => Code::Unavailable,
            429 => Code::RateLimited,
            _ => Code::Other,
        };
        let words = match serde_json::from_slice::<Json>(body) {
            Ok(problem) if problem["detail"].is_string() => tell(status, &problem),
            _ => format!("The answer was {status}, without a reason. Is there a Freehold server at this address?"),
        };
        Failure { code, words, retry_after }
    }

    /// The same failure with a line more.
    pub(super) fn with(mut self, line: &str) -> Failure {
        self.words = format!("{}\n{line}", self.words);
        self
    }

    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.code, Code::Unavailable | Code::RateLimited)
    }

    /// Tells the person, and ends the process with this code.
    pub(crate) fn tell(&self) -> ExitCode {
        if self.code != Code::ReaderGone {
            super::output::note(&format!("freehold: {}", self.words));
        }
        ExitCode::from(self.code as u8)
    }
}

/// A problem (RFC 9457) in lines: what was wrong, the fields, what stands in the way and what to do about it.
fn tell(status: u16, problem: &Json) -> String {
    let mut lines = vec![text(&problem["detail"])];
    for error in problem["errors"].as_array().into_iter().flatten() {
        lines.push(format!("  {} ({}): {}", text(&error["field"]), text(&error["code"]), text(&error["message"])));
    }
    lines.extend(blockers(problem));
    if status == 401 {
        lines.push("Sign in with `freehold sign-in --email …`, or give an API key in FREEHOLD_API_KEY.".into());
    }
    if status >= 500 {
        lines.push(format!("The server's operators find it in the log as request {}.", text(&problem["request_id"])));
    }
    lines.join("\n")
}

/// A line for each entry of `blockers`, with its remedy.
pub(super) fn blockers(record: &Json) -> Vec<String> {
    let line = |blocker: &Json| {
        let [code, kind, id, detail, remedy] = ["code", "kind", "id", "detail", "remedy"].map(|name| text(&blocker[name]));
        format!("  {code} ({kind} {id}): {detail} {remedy}")
    };
    record["blockers"].as_array().into_iter().flatten().map(line).collect()
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Code::ReaderGone, ""),
            _ => Failure::other(clean(&error.to_string())),
        }
    }
}
