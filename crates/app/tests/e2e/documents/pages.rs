//! What the pages for people show is what happens: every block for a shell is run in its order, as a reader pastes it, and every answer that stands
//! under one has the fields and the words of the answer that came.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Map, Value as Json};
use tokio::process::Command;
use tokio::time::timeout;

use super::{pages, read};
use crate::on_both_engines;
use crate::support::{Engine, Server};

/// The page whose blocks those with a line that begins with [`USES`] go on from.
const START: &str = "docs/guide/getting-started.md";
const USES: &str = "Uses from [Getting started](getting-started.md): ";
/// What [`START`] defines: how a block uses it, and how [`USES`] names it.
const DEFINED: [(&str, &str); 5] =
    [("$api", "`$api`"), ("$TOKEN", "`$TOKEN`"), ("request ", "`request`"), ("field ", "`field`"), ("sign_in\n", "`sign_in`")];
/// What stands for the rest, in an answer that is shortened.
const REST: &str = "…";
/// The address that pages name, and the server of a test takes the place of.
const ADDRESS: &str = "localhost:3001";
/// The receiver that pages name, and an address of this machine takes the place of, where no one listens.
const RECEIVER: (&str, &str) = ("https://example.com", "http://127.0.0.1:9");
/// The limits that a server has by itself, with which pages must work, and leave to tell webhooks at [`RECEIVER`].
const ARGUMENTS: [&str; 4] =
    ["--rate-limit-per-minute=300", "--rate-limit-per-day=10000", "--attempt-limit-per-minute=10", "--webhook-allow=127.0.0.0/8"];
/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(120);
const BY_HAND: &str = "sh by-hand";
/// The blocks that need a place of their own: the page, how the block begins, and what runs it, or why nothing does.
const ELSEWHERE: [(&str, &str, &str); 14] = [
    ("README.md", "cargo run --profile demo", "builds the program"),
    ("README.md", "cargo run --profile demo", "the same, and these tests"),
    ("docs/guide/billing.md", "export FREEHOLD_STRIPE", "needs an account at Stripe"),
    ("docs/guide/billing.md", "freehold billing checkout", "`billing/pages.rs`"),
    ("docs/guide/billing.md", "freehold billing link", "`billing/pages.rs`"),
    ("docs/guide/billing.md", "freehold effects list", "`billing/pages.rs`"),
    ("docs/guide/command-line.md", "echo 'a long password'", "`by_hand.rs`"),
    ("docs/guide/getting-started.md", "cargo run --profile demo", "builds the program"),
    ("docs/guide/operating.md", "curl localhost:3001/api/operator", "`by_hand.rs`"),
    ("docs/guide/operating.md", "freehold backup /backups", "`by_hand.rs`"),
    ("docs/guide/operating.md", "freehold organizations limits", "`by_hand.rs`"),
    ("docs/guide/operating.md", "freehold serve --exports", "the tests with a bucket, `storage/pages.rs`"),
    ("docs/guide/operating.md", "systemctl stop", "needs systemd"),
    ("docs/guide/retention.md", "freehold serve", "`by_hand.rs`"),
];

/// A fenced block of a page.
struct Block {
    info: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut all, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => all.extend(open.take()),
            (Some(info), None) => open = Some(Block { info: info.to_owned(), text: String::new() }),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that is not closed");
    all
}

fn for_a_shell(blocks: &[Block]) -> impl Iterator<Item = &Block> {
    blocks.iter().filter(|block| block.info == "sh")
}

/// The names of [`START`] that a page uses and does not say it uses.
fn unnamed(text: &str, blocks: &[Block]) -> Vec<&'static str> {
    let named = text.lines().find(|line| line.starts_with(USES)).unwrap_or_default();
    let script: String = for_a_shell(blocks).map(|block| block.text.as_str()).collect();
    let is_used = |(usage, _): &&(&str, &str)| script.contains(usage) && !script.contains(&format!("{}()", usage.trim_end()));
    let is_its_own = |usage: &str| usage.strip_prefix('$').is_some_and(|name| script.contains(&format!("{name}=")));
    let used = DEFINED.iter().filter(is_used).filter(|(usage, _)| !is_its_own(usage));
    used.map(|(_, name)| *name).filter(|name| !named.contains(name)).collect()
}

/// Runs what a page has for a shell, after what it goes on from, and says what is not as the page shows it.
async fn follow(engine: Engine, page: &str) -> Vec<String> {
    let text = read(page);
    let own = blocks(&text);
    let before = if text.lines().any(|line| line.starts_with(USES)) { blocks(&read(START)) } else { Vec::new() };
    let (skipped, all) = (for_a_shell(&before).count(), for_a_shell(&before).chain(for_a_shell(&own)).collect::<Vec<_>>());
    if all.is_empty() {
        return Vec::new();
    }
    let (server, home) = (Server::start(engine, &ARGUMENTS).await, tempfile::tempdir().unwrap());
    let mut script = "set -euo pipefail\n".to_owned();
    for (number, block) in all.iter().enumerate() {
        write!(script, "exec >\"$HOME/said.{number}\" 2>&1\n{}", block.text).unwrap();
    }
    let script = script.replace(ADDRESS, server.url.strip_prefix("http://").unwrap()).replace(RECEIVER.0, RECEIVER.1);
    let code = run(&script, &server, home.path()).await;

    let said: Vec<String> =
        (0..all.len()).map_while(|number| std::fs::read_to_string(home.path().join(format!("said.{number}"))).ok()).collect();
    let said: Vec<String> = said.into_iter().map(|said| said.replace(RECEIVER.1, RECEIVER.0)).collect();
    if code != Some(0) {
        let (block, words) = (all[said.len() - 1], said.last().unwrap());
        return vec![format!("{page}: the shell ended with {code:?} at\n{}\nand had said\n{words}", block.text)];
    }
    let mut said = said.into_iter().skip(skipped);
    let mut wrong = Vec::new();
    for (number, block) in own.iter().enumerate().filter(|(_, block)| block.info == "sh") {
        let said = said.next().unwrap();
        let answer = own.get(number + 1);
        let found = match answer.map(|answer| answer.info.as_str()) {
            Some("json") => compare_json(&answer.unwrap().text, &said),
            Some("text") => compare_lines(&answer.unwrap().text, &said),
            _ => Vec::new(),
        };
        wrong.extend(found.into_iter().map(|what| format!("{page}: {what}: what is under\n{}\nwhich said\n{said}", block.text)));
        let is_shown = answer.is_some_and(|answer| answer.text.contains("\"status\": 4"));
        let refusals = said.matches("\"error_code\":").count();
        if refusals != usize::from(is_shown) {
            wrong.push(format!(
                "{page}: {refusals} refusals, {is_shown} that one is shown: what is under\n{}\nwhich said\n{said}",
                block.text
            ));
        }
    }
    wrong
}

async fn run(script: &str, server: &Server, home: &Path) -> Option<i32> {
    let binary = Path::new(env!("CARGO_BIN_EXE_freehold")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.env_clear().env("PATH", path).env("HOME", home).env("LANG", "C.UTF-8").env("FREEHOLD_SERVER", &server.url);
    // None is of a signal, and of a page that does not end.
    timeout(PATIENCE, command.status()).await.ok()?.unwrap().code()
}

/// Where the last answer of what was said is not as it is shown.
fn compare_json(shown: &str, said: &str) -> Vec<String> {
    let Ok(shown) = serde_json::from_str::<Json>(shown) else { return vec![format!("{shown} is not JSON")] };
    let whole = serde_json::from_str::<Json>(said).ok();
    let Some(real) = whole.or_else(|| said.lines().rev().find_map(|line| serde_json::from_str(line).ok())) else {
        return vec!["nothing that is JSON was said".into()];
    };
    let mut wrong = Vec::new();
    differences(&shown, &real, "", &mut wrong);
    wrong
}

fn differences(shown: &Json, real: &Json, at: &str, wrong: &mut Vec<String>) {
    match (shown, real) {
        (Json::Object(shown), Json::Object(real)) => {
            for (name, value) in shown.iter().filter(|(name, _)| *name != REST) {
                match real.get(name) {
                    Some(real) => differences(value, real, &format!("{at}/{name}"), wrong),
                    None => wrong.push(format!("{at}/{name} is not there")),
                }
            }
            let is_left_out = |name: &&String| !Map::contains_key(shown, *name) && !shown.contains_key(REST);
            wrong.extend(real.keys().filter(is_left_out).map(|name| format!("{at}/{name} is not shown")));
        }
        (Json::Array(shown), Json::Array(real)) => {
            let (rest, elements): (Vec<&Json>, Vec<&Json>) = shown.iter().partition(|element| *element == REST);
            if elements.len() > real.len() || rest.is_empty() && elements.len() < real.len() {
                wrong.push(format!("{at} has {} elements", real.len()));
            }
            for (number, (shown, real)) in elements.into_iter().zip(real).enumerate() {
                differences(shown, real, &format!("{at}/{number}"), wrong);
            }
        }
        // An id, a time or a token is another each time; so is what is left out of a text.
        (Json::String(shown), Json::String(real)) if shown == real || shown.contains(REST) || has_digit(shown) && has_digit(real) => {}
        (shown, real) if shown == real || shown == REST => {}
        (shown, real) => wrong.push(format!("{at} is {real}, not {shown}")),
    }
}

/// The lines that are shown and were not said, in their order.
fn compare_lines(shown: &str, said: &str) -> Vec<String> {
    let mut said = said.lines();
    let shown = shown.lines().filter(|line| !line.trim().is_empty() && *line != REST);
    shown.filter(|line| !said.any(|real| is_like(line, real))).map(|line| format!("`{line}` was not said")).collect()
}

/// Whether two lines have the same words. An id or a time is another each time, and columns are as wide as they must be.
fn is_like(shown: &str, real: &str) -> bool {
    let (mut shown, mut real) = (shown.split_whitespace(), real.split_whitespace());
    loop {
        match (shown.next(), real.next()) {
            (None, None) | (Some(REST), _) => return true,
            (Some(shown), Some(real)) if shown == real || has_digit(shown) && has_digit(real) && !is_number(shown) => {}
            _ => return false,
        }
    }
}

fn has_digit(word: &str) -> bool {
    word.contains(|character: char| character.is_ascii_digit())
}

fn is_number(word: &str) -> bool {
    word.chars().all(|character| character.is_ascii_digit())
}

on_both_engines! {
    async fn every_block_of_a_page_runs_and_answers_what_stands_under_it(engine: Engine) {
        let all = pages();
        assert!(all.len() > 12, "{all:?}");
        let wrong: Vec<Vec<String>> = futures_util::stream::iter(&all).map(|page| follow(engine, page)).buffer_unordered(3).collect().await;
        let wrong = wrong.concat();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

#[test]
fn every_page_says_what_it_goes_on_from_and_every_block_that_is_run_elsewhere_or_not_is_known() {
    let mut elsewhere = Vec::new();
    for page in pages() {
        let text = read(&page);
        let blocks = blocks(&text);
        assert!(unnamed(&text, &blocks).is_empty(), "{page} does not say that it uses {:?}", unnamed(&text, &blocks));
        for block in &blocks {
            assert!(["sh", BY_HAND, "json", "text", "toml"].contains(&block.info.as_str()), "{page}: a block of {}", block.info);
        }
        let by_hand = blocks.into_iter().filter(|block| block.info == BY_HAND);
        elsewhere.extend(by_hand.map(|block| (page.clone(), block.text)));
    }
    elsewhere.sort();
    assert_eq!(elsewhere.len(), ELSEWHERE.len(), "{elsewhere:?}");
    for ((page, text), (known, beginning, _)) in elsewhere.iter().zip(ELSEWHERE) {
        assert!(page == known && text.starts_with(beginning), "{page}: this is not on the list of what is run elsewhere or not:\n{text}");
    }
}

#[test]
fn what_is_shown_is_told_from_what_was_said() {
    let said = "{\"id\":\"7\",\"name\":\"Ada\",\"rows\":[1,2],\"until\":null}\n";
    for right in [r#"{"id": "8", "name": "Ada", "rows": [1, 2], "until": null}"#, r#"{"name": "A…", "rows": [1, "…"], "…": "…"}"#] {
        assert!(compare_json(right, said).is_empty(), "{right}");
    }
    for wrong in [
        r#"{"id": "8", "name": "Ada", "rows": [1, 2]}"#,
        r#"{"names": "Ada", "…": "…"}"#,
        r#"{"name": "Bob", "…": "…"}"#,
        r#"{"rows": [1], "…": "…"}"#,
        r#"{"rows": [2, "…"], "…": "…"}"#,
        r#"{"until": "2030-01-31T12:00:00Z", "…": "…"}"#,
    ] {
        assert!(!compare_json(wrong, said).is_empty(), "{wrong}");
    }
    assert!(compare_lines("…\nstate  completed\nid  a7 …\n", "root  organization\nstate     completed\nid  b8 more\n").is_empty());
    for wrong in ["state  open\n", "state  completed now\n", "HTTP/1.1 204 No Content\n", "state  completed\nroot  organization\n"] {
        assert!(!compare_lines(wrong, "root  organization\nstate     completed\nHTTP/1.1 200 OK\n").is_empty(), "{wrong}");
    }
}
