//! What is left of a deleted organization: a marker is put into every text column of two tenants, found by reading the schema, and after the
//! completion it is gone for one, from the raw bytes of the SQLite file too, and untouched for the other.

use plane::deletions::Details;
use plane::ids::OrganizationRef;
use plane::organizations;
use plane::{Clock, Config, DatabaseOptions, Plane};
use sql::Schema;

use crate::engines::make_database;
use crate::stage::drain_all;
use crate::world::{Engine, furnish, sign_in};

/// Tables that outlive an organization: the rules keep them, and only their labels go.
const KEPT: [&str; 2] = ["audit_entries", "deletions"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_deleted_organization_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    let engine = Engine::Sqlite(file.clone());
    leave_nothing(&format!("sqlite:{}", file.display()), &engine).await;
    for name in ["test.db", "test.db-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap_or_default();
        let holds = |marker: &str| bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        assert!(!holds("marker-of-the-doomed"), "{name}");
        assert!(name != "test.db" || holds("marker-of-the-neighbour"), "the search finds what is there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_deleted_organization_on_postgresql() {
    let url = make_database().await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    leave_nothing(&url, &Engine::Postgres(client)).await;
}

async fn leave_nothing(url: &str, engine: &Engine) {
    let plane = Plane::open(Config::new(DatabaseOptions::new(url)), Clock::default()).await.unwrap();
    let owner = sign_in(&plane).await;
    let (doomed, neighbour) = (furnish(&owner, "doomed").await, furnish(&owner, "neighbour").await);
    let schema = plane.schema().await.unwrap();
    for (organization, name) in [(doomed, "doomed"), (neighbour, "neighbour")] {
        let marked = mark(engine, &schema, &organization.to_string(), &format!("marker-of-the-{name}")).await;
        assert!(marked > 25, "only {marked} columns were marked");
    }
    let before = cells_with(engine, &schema, "marker-of-the-neighbour").await;
    assert_eq!(before.len(), cells_with(engine, &schema, "marker-of-the-doomed").await.len());

    organizations::delete(&owner, &OrganizationRef::Id(doomed), Details::default()).await.unwrap();
    drain_all(&plane).await;

    assert_eq!(cells_with(engine, &schema, "marker-of-the-doomed").await, Vec::<String>::new());
    assert_eq!(cells_with(engine, &schema, "marker-of-the-neighbour").await, before);
    if let Engine::Sqlite(file) = engine {
        checkpoint(file);
    }
}

/// Moves everything from the log into the file. The server does so too, in a thread of its own: no one else can meanwhile.
pub(crate) fn checkpoint(file: &std::path::Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let is_busy = || connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap();
    while is_busy() {
        std::thread::yield_now();
    }
}

/// Writes the marker into every text and jsonb column of a tenant that takes it. Columns of fixed words refuse it.
async fn mark(engine: &Engine, schema: &Schema, organization: &str, marker: &str) -> usize {
    let mut marked = 0;
    for (name, table) in &schema.tables {
        let key = if name == "organizations" { "id" } else { "organization_id" };
        if !table.columns.iter().any(|column| column.name == key) || ["users", "signing_keys"].contains(&name.as_str()) {
            continue;
        }
        for column in table.columns.iter().filter(|column| ["text", "jsonb"].contains(&column.kind.as_str())) {
            if KEPT.contains(&name.as_str()) && column.name != "subject_label" {
                continue;
            }
            let value = if column.kind == "jsonb" { format!("'{{\"x\":\"{marker}\"}}'") } else { format!("'{marker}'") };
            let update = format!("UPDATE {name} SET {} = {value} WHERE {key} = ", column.name);
            let blob = format!("{update} x'{}'", organization.replace('-', ""));
            match engine.run(&blob, &format!("{update} '{organization}'")).await {
                Ok(()) => marked += 1,
                Err(words) => assert!(words.to_lowercase().contains("check"), "{name}.{}: {words}", column.name),
            }
        }
    }
    marked
}

/// The tables and columns in which the marker is found, once for each row.
pub(crate) async fn cells_with(engine: &Engine, schema: &Schema, marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, table) in &schema.tables {
        for column in &table.columns {
            let rows = engine.count(&format!("SELECT count(*) FROM {name} WHERE CAST({} AS text) LIKE '%{marker}%'", column.name)).await;
            found.extend((0..rows).map(|_| format!("{name}.{}", column.name)));
        }
    }
    found
}
