//! What ends a client command early: the exit code that scripts look at, and words for the person who typed it, or with `--json` a problem
//! document (RFC 9457) for the program that did.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::output::{clean, is_for_programs, report, text};

/// What the exit codes mean, for `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes of the client commands:
  0  done
  1  another failure: input that the server refused, an unexpected answer
  2  the command line is wrong, or a confirmation is missing or wrong
  3  not signed in, or not allowed
  4  not found
  5  a conflict, a blocker in a deletion's way, a precondition that no longer holds
  6  the server cannot be reached or is not available
  7  too many requests
With --json a failure is one JSON document on standard error and nothing else is written there: the problem as the server sent it (RFC 9457),
or one of the command's own with `title`, `detail`, `error_code` and `retryable`. Standard output then stays empty.";

pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// The exit codes; see [`EXIT_CODES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The reader of standard output has had enough. No failure.
    ReaderGone = 0,
    Other = 1,
    Usage = 2,
    NotAllowed = 3,
    NotFound = 4,
    Conflict = 5,
    Unavailable = 6,
    RateLimited = 7,
}

impl Code {
    /// `error_code` and `title` of a failure that is no server's answer.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Code::ReaderGone => ("reader_gone", "Nothing reads the output"),
            Code::Other => ("other", "Failed"),
            Code::Usage => ("usage", "Wrong command line"),
            Code::NotAllowed => ("not_allowed", "Not signed in"),
            Code::NotFound => ("not_found", "Not found"),
            Code::Conflict => ("conflict", "Conflict"),
            Code::Unavailable => ("unavailable", "Server unavailable"),
            Code::RateLimited => ("rate_limited", "Too many requests"),
        }
    }
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: Code,
    /// The problem document: the server's, or one of the command's own.
    problem: Json,
    /// The status of the answer, if the failure is one.
    status: Option<u16>,
    /// What else the person can do, a line each.
    hints: Vec<String>,
    /// When the server says to ask again.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(code: Code, words: impl Into<String>) -> Failure {
        let ((error_code, title), is_passing) = (code.named(), matches!(code, Code::Unavailable | Code::RateLimited));
        let words: String = words.into();
        let problem = json!({"title": title, "detail": words, "error_code": error_code, "retryable": is_passing});
        Failure { code, problem, status: None, hints: Vec::new(), retry_after: None }
    }

    /// The command line is wrong; the words name the remedy.
    pub(super) fn usage(words: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, words)
    }

    /// What the parser of command lines refused.
    pub(crate) fn of_command_line(error: &clap::Error) -> Failure {
        Failure::usage(error.render().to_string().trim())
    }

    /// What would be deleted is not confirmed, or not by its name.
    pub(super) fn unconfirmed(words: impl Into<String>) -> Failure {
        let mut failure = Failure::usage(words);
        failure.problem["title"] = "Not confirmed".into();
        failure.problem["error_code"] = "unconfirmed".into();
        failure
    }

    pub(super) fn other(words: impl Into<String>) -> Failure {
        Failure::new(Code::Other, words)
    }

    /// Something stands in the way of a deletion, as its plan or the refusal says.
    pub(super) fn blocked(words: &str, blockers: &Json) -> Failure {
        let mut failure = Failure::new(code_of_blockers(blockers), words);
        failure.problem["blockers"] = blockers.clone();
        failure
    }

    /// What an answer that is not a success comes to.
    pub(super) fn of_answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failure {
        let problem = serde_json::from_slice::<Json>(body).ok().filter(|problem| problem["detail"].is_string());
        let code = match (status, &problem) {
            (401 | 403, _) => Code::NotAllowed,
            (404 | 410, _) => Code::NotFound,
            (409, Some(problem)) => code_of_blockers(&problem["blockers"]),
            (409 | 412 | 428, _) => Code::Conflict,
            (408 | 502..=504, _) => Code::Unavailable,
            (429, _) => Code::RateLimited,
            _ => Code::Other,
        };
        match problem {
            Some(problem) => Failure { code, problem, status: Some(status), hints: Vec::new(), retry_after },
            None => {
                let words = format!("The answer was {status}, without a reason. Is there a Freehold server at this address?");
                Failure { retry_after, ..Failure::new(code, words) }
            }
        }
    }

    /// The same failure with a line more.
    pub(super) fn with(mut self, line: &str) -> Failure {
        self.hints.push(line.to_owned());
        self
    }

    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.code, Code::Unavailable | Code::RateLimited)
    }

    /// Tells the person or the program, and ends the process with this code.
    pub(crate) fn tell(&self) -> ExitCode {
        if self.code != Code::ReaderGone {
            match is_for_programs() {
                true => report(&self.document().to_string()),
                false => report(&format!("freehold: {}", self.words())),
            }
        }
        ExitCode::from(self.code as u8)
    }

    /// The problem document, with `hints` where there are some.
    fn document(&self) -> Json {
        let mut document = self.problem.clone();
        if !self.hints.is_empty() {
            document["hints"] = json!(self.hints);
        }
        document
    }

    /// The problem in lines: what was wrong, the fields, what stands in the way and what to do about it.
    pub(crate) fn words(&self) -> String {
        let problem = &self.problem;
        // The words of a command's own failure were written for the terminal, lines and all.
        let detail = match self.status {
            Some(_) => text(&problem["detail"]),
            None => problem["detail"].as_str().unwrap_or_default().to_owned(),
        };
        let mut lines = vec![detail];
        for error in problem["errors"].as_array().into_iter().flatten() {
            lines.push(format!("  {} ({}): {}", text(&error["field"]), text(&error["code"]), text(&error["message"])));
        }
        lines.extend(blockers(problem));
        if self.status == Some(401) {
            lines.push("Sign in with `freehold sign-in --email …`, or give an API key in FREEHOLD_API_KEY.".into());
        }
        if self.status.is_some_and(|status| status >= 500) {
            lines.push(format!("The server's operators find it in the log as request {}.", text(&problem["request_id"])));
        }
        lines.extend(self.hints.iter().cloned());
        lines.join("\n")
    }
}

/// A deletion that lacks nothing but its confirmation is unconfirmed; any other blocker is a conflict.
fn code_of_blockers(blockers: &Json) -> Code {
    let mut codes = blockers.as_array().into_iter().flatten().map(|blocker| &blocker["code"]).peekable();
    let is_unconfirmed = codes.peek().is_some() && codes.all(|code| code == "confirmation_required");
    if is_unconfirmed { Code::Usage } else { Code::Conflict }
}

/// A line for each entry of `blockers`, with its remedy.
fn blockers(record: &Json) -> Vec<String> {
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
