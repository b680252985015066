//! What a server of a test needs before it is one: a folder, a database, a process.

use std::fs::{OpenOptions, read_to_string};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;

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

/// Ends the sessions that a server leaves behind for a moment: a database with a session is no template.
const END_OTHERS: &str =
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Makes an empty database in the PostgreSQL of the tests, and returns its address.
pub async fn make_database() -> String {
    create("").await
}

/// The same, with the tables that a server makes at its first start, which takes longer than everything else of it.
pub async fn make_database_with_tables() -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(make_template).await;
    create(&format!(" TEMPLATE {template}")).await
}

/// Makes a copy of a database that no server uses any more, and returns its address.
pub async fn copy_database(url: &str) -> String {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.execute(END_OTHERS, &[]).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    create(&format!(" TEMPLATE {}", url.rsplit_once('/').unwrap().1)).await
}

/// Has a server make its tables, and takes out what else it has put there. Returns the database's name.
async fn make_template() -> String {
    let (url, folder) = (make_database().await, tempfile::tempdir().unwrap());
    make_folder(&folder.path().join("data"));
    make_key(&folder.path().join("data"));
    let (mut server, ..) = launch(&folder, Some(&url), &[], StandardError::Kept, &[]).await;
    server.kill().await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let tables = "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations'";
    let tables: String = client.query_one(tables, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("TRUNCATE {tables}")).await.unwrap();
    client.execute(END_OTHERS, &[]).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    url.rsplit_once('/').unwrap().1.to_owned()
}

async fn create(template: &str) -> String {
    let admin = std::env::var("FREEHOLD_TEST_POSTGRES")
        .expect("FREEHOLD_TEST_POSTGRES is not set: run `cargo xtask test`, or `cargo xtask postgres` and export the line it prints");
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    client.batch_execute(&format!("CREATE DATABASE {name}{template}")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
