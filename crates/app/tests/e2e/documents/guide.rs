//! What people read is true of the program: commands are taken, flags and variables are there, and each alert has its figure and a line that says
//! what to do.

use std::collections::BTreeSet;
use std::process::Stdio;

use plane::billing::{CUSTOMER_KEY, ORGANIZATION_KEY};
use tokio::process::Command;

use super::read;

/// A flag that no command has. Behind a command that is right it is what is refused, so nothing is carried out.
const NO_FLAG: &str = "--no-such-flag";

/// What people read about the server.
fn pages() -> Vec<String> {
    super::pages().into_iter().chain(["UPGRADE.md".into(), "SECURITY.md".into()]).collect()
}

/// The lines of a page's blocks for a shell, and what stands between backticks elsewhere.
fn code(page: &str) -> (Vec<&str>, Vec<String>) {
    let (mut block, mut lines, mut prose) = (None, Vec::new(), String::new());
    for line in page.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(_), Some(_)) => block = None,
            (Some(language), None) => block = Some(language),
            (None, Some("sh" | "sh by-hand")) => lines.push(line),
            (None, Some(_)) => {}
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    let mut spans = Vec::new();
    for paragraph in prose.split("\n\n") {
        assert!(paragraph.matches('`').count() % 2 == 0, "a backtick is missing: {paragraph}");
        spans.extend(paragraph.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    (lines, spans)
}

/// The words after `freehold` in a line of a shell, where that stands at the beginning or behind a pipe.
fn command(line: &str) -> Option<Vec<String>> {
    let line = match line.strip_prefix("freehold ") {
        Some(rest) => rest,
        None => ["| freehold ", "<(freehold "].iter().find_map(|mark| line.split_once(mark)).map(|(_, rest)| rest)?,
    };
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            // The rest is the shell's.
            ('|' | ')' | '>' | ';' | '&', None) => break,
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Some(words)
}

/// What the binary says, with nothing in its environment.
async fn said(words: &[String], more: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(words).args(Some(more).filter(|more| !more.is_empty())).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Why a command is not taken up to its last word, if it is not. A flag at its end may lack its value where it is only named: `is_named`.
async fn refusal(words: &[String], is_named: bool) -> Option<String> {
    let (is_success, words_of_it) = said(words, NO_FLAG).await;
    let is_taken = match words.iter().any(|word| word == "--help" || word == "--version") {
        true => is_success,
        false => {
            words_of_it.contains(&format!("unexpected argument '{NO_FLAG}'")) || is_named && words_of_it.contains("a value is required for")
        }
    };
    (!is_taken).then(|| format!("freehold {}: {words_of_it}", words.join(" ")))
}

/// A flag that a command needs and does not have, if there is one.
async fn missing_flag(words: &[String]) -> Option<String> {
    let (_, help) = said(words, "--help").await;
    let usage = help.lines().find_map(|line| line.trim_start().strip_prefix("Usage: ")).unwrap_or_default();
    let is_given = |flag: &str| words.iter().any(|word| word.split('=').next() == Some(flag));
    let missing = usage.split_whitespace().find(|word| word.starts_with("--") && !is_given(word));
    missing.map(|flag| format!("freehold {}: it needs {flag}", words.join(" ")))
}

/// The longest names in a text that begin like this and go on with these characters.
fn names<'a>(text: &'a str, beginning: &str, goes_on: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    let name = |(start, _): (usize, &str)| {
        let rest = &text[start..];
        let end = rest[beginning.len()..].find(|character| !goes_on(character)).map_or(rest.len(), |end| beginning.len() + end);
        &rest[..end]
    };
    text.match_indices(beginning).map(name).collect()
}

fn figures(text: &str) -> BTreeSet<&str> {
    let all = names(text, "freehold_", |character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_');
    // A histogram has three of its own.
    let is_part = |figure: &&str| ["_bucket", "_sum", "_count"].iter().any(|ending| figure.ends_with(*ending));
    let parts: BTreeSet<&str> = all.iter().copied().filter(|figure| is_part(figure)).collect();
    let whole = parts.iter().filter_map(|figure| figure.rsplit_once('_')).map(|(whole, _)| whole);
    all.difference(&parts).copied().chain(whole).collect()
}

/// The figures that the server describes.
fn described() -> BTreeSet<String> {
    let source = read("crates/web/src/metrics.rs");
    let dense: String = source.split_whitespace().collect();
    let constants = source.lines().filter_map(|line| line.strip_prefix("const ")?.split_once(": &str = \""));
    let is_described =
        |name: &str| ["counter", "gauge", "histogram"].iter().any(|kind| dense.contains(&format!("describe_{kind}!({name},")));
    constants.filter(|constant| is_described(constant.0)).filter_map(|(_, value)| value.split('"').next().map(str::to_owned)).collect()
}

/// Each alert's name and expression.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let (mut alerts, mut name) = (Vec::new(), "");
    for line in rules.lines().map(str::trim) {
        if let Some(found) = line.strip_prefix("- alert: ") {
            name = found;
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            alerts.push((name, expression));
        }
    }
    assert_eq!(alerts.len(), rules.matches("- alert: ").count(), "an expression of more than one line");
    alerts
}

/// The lines of the runbook: what is seen, what it means, what to do.
fn runbook(guide: &str) -> Vec<Vec<&str>> {
    let (_, section) = guide.split_once("\n## When something is wrong\n").unwrap();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").collect::<Vec<_>>()).filter(|row| row.get(1) != Some(&"what it means")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_a_page_names_is_one() {
    let (mut asked, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = read(&page);
        let (lines, spans) = code(&text);
        for words in lines.into_iter().filter_map(command) {
            wrong.extend(refusal(&words, false).await.map(|why| format!("{page}: {why}")));
            wrong.extend(missing_flag(&words).await.map(|why| format!("{page}: {why}")));
            asked += 1;
        }
        for words in spans.iter().filter(|span| span.starts_with("freehold ")).filter_map(|span| command(span)) {
            wrong.extend(refusal(&words, true).await.map(|why| format!("{page}: {why}")));
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 50, "{asked} commands");
}

#[tokio::test]
async fn every_flag_and_variable_that_a_page_names_is_one() {
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let is_of_a_flag = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let is_of_a_variable = |character: char| character.is_ascii_uppercase() || character == '_';
    // What completes the commands knows each flag.
    let (_, completions) = said(&of(&["completions", "bash"]), "").await;
    let flags = names(&completions, "--", is_of_a_flag);
    let (_, of_the_server) = said(&of(&["serve"]), "--help").await;
    let (_, of_clients) = said(&of(&["customers", "list"]), "--help").await;
    let help = of_the_server + &of_clients;
    let variables = names(&help, "FREEHOLD_", is_of_a_variable);
    assert!(flags.len() > 60 && variables.len() > 30, "{} flags, {} variables", flags.len(), variables.len());

    let mut wrong = Vec::new();
    for page in pages().into_iter().chain(["packaging/freehold.service".into(), "packaging/Containerfile".into()]) {
        let text = read(&page);
        let named = names(&text, "FREEHOLD_", is_of_a_variable);
        wrong.extend(named.difference(&variables).map(|name| format!("{page}: {name}")));
        if !page.ends_with(".md") {
            continue;
        }
        for span in code(&text).1.iter().filter(|span| span.starts_with("--")) {
            // `--organization-…` stands for several.
            let unknown = names(span, "--", is_of_a_flag).into_iter().filter(|flag| !flag.ends_with('-') && !flags.contains(flag));
            wrong.extend(unknown.map(|flag| format!("{page}: {flag}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_figure_that_the_guide_and_the_alerts_name_is_one() {
    let described = described();
    assert!(described.len() > 20, "{described:?}");
    for page in super::pages().into_iter().chain(["packaging/alerts.yml".into()]) {
        let text = read(&page);
        // What stands in the metadata of subscriptions begins like a figure.
        let is_a_key = |figure: &&str| [ORGANIZATION_KEY, CUSTOMER_KEY, "freehold_deletion"].contains(figure);
        let unknown: Vec<&str> = figures(&text).into_iter().filter(|figure| !described.contains(*figure) && !is_a_key(figure)).collect();
        assert!(unknown.is_empty(), "{page}: {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_line_in_the_runbook_that_says_what_to_do() {
    let (rules, guide) = (read("packaging/alerts.yml"), read("docs/guide/operating.md"));
    let (alerts, runbook) = (alerts(&rules), runbook(&guide));
    assert!(alerts.len() > 10 && runbook.len() > 20, "{} alerts, {} lines", alerts.len(), runbook.len());
    for row in &runbook {
        assert!(row.len() == 3 && row.iter().all(|cell| !cell.trim().is_empty()), "{row:?}");
    }
    for (name, expression) in alerts {
        // Prometheus has one of its own: whether the server was there.
        let figure = figures(expression).into_iter().next().unwrap_or("up");
        // Not one that only begins so.
        let is_it = |span: &str| span == figure || span.strip_prefix(figure).is_some_and(|rest| rest.starts_with('{'));
        // By its name, which is what a pager shows, and by its figure.
        let spans = |row: &[&str]| row[0].split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let is_named =
            runbook.iter().map(|row| spans(row)).any(|spans| spans.iter().any(|span| span == name) && spans.iter().any(|span| is_it(span)));
        assert!(is_named, "{name}: no line of the runbook begins with `{name}` and `{figure}`");
    }
}
