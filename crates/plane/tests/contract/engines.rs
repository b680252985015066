//! A migrated, empty database on each engine.

use plane::MIGRATIONS;
use sql::{Database, Options};
use tempfile::TempDir;
use uuid::Uuid;

/// Both engines, SQLite first, and the folder that must outlive it.
pub(crate) struct Engines {
    pub(crate) all: [Database; 2],
    _folder: TempDir,
}

impl Engines {
    pub(crate) async fn open() -> Engines {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Database::open(&Options::new(format!("sqlite:{}", folder.path().join("test.db").display()))).await.unwrap();
        let postgres = Database::open(&Options { connections: 2, ..Options::new(make_database().await) }).await.unwrap();
        let all = [sqlite, postgres];
        for database in &all {
            database.migrate(MIGRATIONS).await.unwrap();
        }
        Engines { all, _folder: folder }
    }
}

/// The address of a new, empty database on the PostgreSQL of the tests.
pub(crate) async fn make_database() -> String {
    let admin = std::env::var("FREEHOLD_TEST_POSTGRES")
        .expect("FREEHOLD_TEST_POSTGRES is not set: run `cargo xtask test`, or `cargo xtask postgres` and export the line it prints");
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let name = format!("test_{}", Uuid::from_bytes(deletion::random().unwrap()).simple());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
