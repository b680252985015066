//! What a server of a test needs before it is one: a folder, a database, a process.

use std::fs::{OpenOptions, read_to_string};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{KEY, LOG, StandardError};

/// Makes a folder for the server's own user.
pub fn make_folder(path: &std::path::Path) {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(path).unwrap();
}

/// Puts a key for secrets into a data folder.
pub fn make_key(data: &std::path::Path) {
    let key = data.join(KEY);
    std::fs::write(&key, "bm90IG11Y2ggb2YgYSBzZWNyZXQsIGJ1dCAzMiBieXQ=\n").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Starts the binary, and waits until it listens.
pub async fn launch(
    folder: &TempDir,
    database_url: Option<&str>,
    arguments: &[String],
    standard_error: StandardError,
    variables: &[(String, String)],
) -> (Child, String, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.arg("serve").args(arguments).arg("--listen=127.0.0.1:0").arg("--data").arg(folder.path().join("data"));
    command.env_remove("FREEHOLD_DATABASE_URL").env("RUST_LOG", "warn").stdout(Stdio::piped()).kill_on_drop(true);
    command.env("FREEHOLD_LEDGER", folder.path().join("data/ledger")).envs(variables.iter().map(|(name, value)| (name, value)));
    match standard_error {
        StandardError::Kept => command.stderr(OpenOptions::new().create(true).append(true).open(folder.path().join(LOG)).unwrap()),
        StandardError::Full => command.stderr(OpenOptions::new().append(true).open("/dev/full").unwrap()),
        StandardError::Unread | StandardError::Closed => command.stderr(Stdio::piped()),
    };
    if let Some(url) = database_url {
        command.env("FREEHOLD_DATABASE_URL", url);
    }
    let mut child = command.spawn().unwrap();
    if standard_error == StandardError::Closed {
        drop(child.stderr.take());
    }
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let Some(first) = lines.next_line().await.unwrap() else {
        panic!("the server stopped before it listened: {}", read_to_string(folder.path().join(LOG)).unwrap_or_default());
    };
    let url = first.split_whitespace().nth(3).unwrap().replace("localhost", "127.0.0.1");
    let mut greeting = vec![first];
    if arguments.iter().any(|argument| argument == "--demo") {
        while greeting.iter().filter(|line| line.starts_with("curl")).count() < 4 {
            greeting.push(lines.next_line().await.unwrap().unwrap());
        }
    }
    (child, url, greeting)
}

/// Makes a database in the PostgreSQL of the tests, and returns its address.
pub async fn make_database() -> String {
    let admin = std::env::var("FREEHOLD_TEST_POSTGRES")
        .expect("FREEHOLD_TEST_POSTGRES is not set: run `cargo xtask test`, or `cargo xtask postgres` and export the line it prints");
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
