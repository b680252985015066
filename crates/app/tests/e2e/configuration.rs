//! The configuration file: what goes before what, and all that is wrong with it at once.

use std::path::Path;

use reqwest::{Method, StatusCode};
use tokio::process::Command;

use crate::support::{Engine, Server};
use crate::tools::{answered, refused};

/// What the binary says with nothing in its environment but these.
async fn said(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The words of a setting's line: its value, and where that comes from.
fn told<'a>(table: &'a str, setting: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(setting));
    line.unwrap_or_else(|| panic!("no {setting}: {table}")).split_whitespace().skip(1).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_flag_goes_before_the_environment_that_before_the_file_and_that_before_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freehold.toml");
    let settings = "listen = \"127.0.0.1:4001\"\nrate-limit-per-day = 1\nrate-limit-per-minute = 0x10\n\
                    webhook-allow = [\"10.1.0.0/16\", \"127.0.0.0/8\"]\nmetrics-token = \"hunter2\"\n";
    std::fs::write(&file, settings).unwrap();
    let flag = ["check-config", "--config", text(&file), "--rate-limit-per-day=3"];
    let variables = [
        ("FREEHOLD_RATE_LIMIT_PER_DAY", "2"),
        ("FREEHOLD_RATE_LIMIT_PER_MINUTE", "2"),
        ("FREEHOLD_DATABASE_URL", "postgres://me:hunter2@h/d"),
    ];
    let (code, table, words) = said(&flag, &variables).await;
    assert_eq!((code, words.as_str()), (0, ""), "{table}");
    assert_eq!(told(&table, "rate-limit-per-day"), ["3", "--rate-limit-per-day"]);
    assert_eq!(told(&table, "rate-limit-per-minute"), ["2", "FREEHOLD_RATE_LIMIT_PER_MINUTE"]);
    assert_eq!(told(&table, "listen"), ["127.0.0.1:4001", &format!("{}:1", file.display())]);
    assert_eq!(told(&table, "webhook-allow")[0], "10.1.0.0/16,127.0.0.0/8");
    assert_eq!(told(&table, "export-hours"), ["72", "default"]);
    assert_eq!(told(&table, "public-url"), ["not", "set"]);
    // What is secret is named and not shown.
    assert_eq!(told(&table, "database-url"), ["(not", "shown)", "FREEHOLD_DATABASE_URL"]);
    assert_eq!(told(&table, "metrics-token"), ["(not", "shown)", &format!("{}:5", file.display())]);
    assert!(!table.contains("hunter2"), "{table}");

    let (code, table, _) = said(&["check-config"], &[("FREEHOLD_CONFIG", text(&file))]).await;
    assert_eq!((code, told(&table, "rate-limit-per-minute")[0]), (0, "16"));
    let (code, table, _) = said(&["check-config"], &[]).await;
    assert_eq!((code, told(&table, "listen")), (0, vec!["127.0.0.1:3001", "default"]));
    // Every setting can stand in the file under the name that it is listed by.
    for line in table.lines() {
        let name = line.split_whitespace().next().unwrap();
        std::fs::write(&file, format!("{name} = []")).unwrap();
        let (_, _, words) = said(&["check-config", "--config", text(&file)], &[]).await;
        assert!(!words.contains("no setting"), "{words}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_with_its_place_and_the_name_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freehold.toml");
    let settings = "public_url = \"https://accounts.example.com\"\n# a comment\nlisten = \"somewhere\"\nexport-hours = 0\ndemo = true\n\
                    log-format = \"xml\"\ncolour = \"red\"\nretention = { customers = 30 }\nlisten = \"127.0.0.1:1\"\ndata = = 1\n";
    std::fs::write(&file, settings).unwrap();
    let at = |line: usize| format!("{}:{line}: ", file.display());
    let (code, table, words) = said(&["check-config", "--config", text(&file)], &[("FREEHOLD_KEEP_ALIVE", "soon")]).await;
    assert_eq!((code, table.as_str()), (1, ""));
    let wanted = [
        (at(1), "public-url"),
        (at(3), "invalid socket address"),
        (at(4), "1..=720"),
        (at(5), "for the command line"),
        (at(6), "text, json"),
        (at(7), "freehold serve --help"),
        (at(8), "a text, a number, or a list"),
        (at(9), "duplicate"),
        (at(10), ""),
        ("FREEHOLD_KEEP_ALIVE: ".into(), "soon"),
    ];
    for (place, what) in wanted {
        assert!(words.lines().any(|line| line.starts_with(&place) && line.contains(what)), "{place}{what}: {words}");
    }
    // A server does not start on it, and says the same.
    for command in ["serve", "doctor", "backup there.db"] {
        let arguments: Vec<&str> = command.split(' ').chain(["--config", text(&file)]).collect();
        let (code, _, words) = said(&arguments, &[]).await;
        assert!(code == 2 && words.contains(&at(3)) && words.contains(&at(7)), "{words}");
    }
    std::fs::remove_file(&file).unwrap();
    let (code, _, words) = said(&["serve", "--config", text(&file)], &[]).await;
    assert!(code == 2 && words.contains("freehold.toml cannot be read"), "{words}");
    // Nothing of a secret, not even of one that cannot be read.
    std::fs::write(&file, "database-url = { password = \"hunter2\" }\n").unwrap();
    let (code, _, words) = said(&["check-config", "--config", text(&file)], &[]).await;
    assert!(code == 1 && words.contains(&at(1)) && !words.contains("hunter2"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_the_commands_beside_it_do_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("freehold.toml");
    std::fs::write(&file, "metrics-token = \"figures\"\n").unwrap();
    let mut server = Server::start(Engine::Sqlite, &["--config", text(&file)]).await;
    answered(server.request(Method::GET, "/metrics").bearer_auth("figures"), StatusCode::OK).await;
    refused(server.request(Method::GET, "/metrics").bearer_auth("other"), StatusCode::UNAUTHORIZED).await;
    server.stop().await;
    let data = server.database_file().parent().unwrap().to_owned();
    std::fs::write(&file, format!("data = \"{}\"\n", data.display())).unwrap();
    let (code, found, words) = said(&["doctor"], &[("FREEHOLD_CONFIG", text(&file))]).await;
    assert!(code == 0 && found.contains("Nothing was found"), "{found}{words}");
}
