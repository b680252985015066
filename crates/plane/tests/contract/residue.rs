//! What is left of a deleted organization: a marker is put into every text column of two tenants, found by reading the schema, and after the
//! seal it is gone for one, from the raw bytes of the SQLite file too, and untouched for the other.

use std::path::PathBuf;
use std::sync::Arc;

use plane::api_keys::{self, Kind, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, NewCustomer};
use plane::deletion::drain;
use plane::ids::OrganizationRef;
use plane::organizations::{self, NewOrganization};
use plane::policy::Role;
use plane::users::{self, NewUser};
use plane::{Clock, Config, Cx, DatabaseOptions, Plane, dependants, invitations, sessions};
use serde_json::{Map, Value as Json, json};
use sql::Schema;

use crate::engines::make_database;

/// Tables that outlive an organization: the rules keep them, and only their labels go.
const KEPT: [&str; 2] = ["audit_entries", "deletions"];

/// Where the test looks, beside the plane: straight into the engine.
enum Engine {
    Sqlite(PathBuf),
    Postgres(tokio_postgres::Client),
}

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

    organizations::delete(&owner, &OrganizationRef::Id(doomed), None).await.unwrap();
    while drain::work_a_turn(&plane, &mut 50).await.unwrap() {}

    assert_eq!(cells_with(engine, &schema, "marker-of-the-doomed").await, Vec::<String>::new());
    assert_eq!(cells_with(engine, &schema, "marker-of-the-neighbour").await, before);
    engine.run("PRAGMA wal_checkpoint(TRUNCATE)", "SELECT 1").await.unwrap();
}

async fn sign_in(plane: &Arc<Plane>) -> Cx {
    let nobody = Cx::new(plane, "residue");
    let new = NewUser { email: "owner@example.com".into(), password: "correct horse".into(), name: None, is_operator: false };
    users::sign_up(&nobody, new).await.unwrap();
    let signed_in = sessions::sign_in(&nobody, "owner@example.com", "correct horse".into(), None).await.unwrap();
    authenticate(nobody, Presented::Bearer(&signed_in.access_token)).await.unwrap()
}

/// An organization with one of everything. More customers than a deletion does at once, so that it is drained.
async fn furnish(owner: &Cx, slug: &str) -> uuid::Uuid {
    let new = NewOrganization { name: "Organization".into(), slug: slug.into(), logo: Some("logo".into()) };
    let id = organizations::create(owner, new).await.unwrap().id;
    let organization = OrganizationRef::Id(id);
    invitations::create(owner, &organization, "invited@example.com", Role::Viewer).await.unwrap();
    let key = NewApiKey { kind: Kind::User, name: "Key".into(), description: Some("Key".into()), scopes: None, expires_at: None };
    api_keys::create(owner, &organization, key).await.unwrap();
    sessions::sign_in(owner, "owner@example.com", "correct horse".into(), Some(organization.clone())).await.unwrap();
    let new = NewCustomer {
        reference: Some("customer".into()),
        name: "Customer".into(),
        email: "customer@example.com".into(),
        phone: Some("1".into()),
        tax_id: Some("1".into()),
        address: json!({}),
        metadata: json!({}),
        managed_by: None,
    };
    customers::create(owner, &organization, new).await.unwrap();
    let things = [
        ("subscriptions", json!({"plan": "basic"})),
        ("transactions", json!({"amount": 1, "currency": "EUR", "description": "x"})),
        ("devices", json!({"name": "x", "platform": "x"})),
        ("sessions", json!({"ip_address": "x", "user_agent": "x"})),
        ("activity", json!({"kind": "x", "message": "x"})),
    ];
    for (path, fields) in things {
        for _ in 0..50 {
            let fields: Map<String, Json> = fields.as_object().cloned().unwrap();
            dependants::create(owner, &organization, "customer", dependants::Kind::at(path).unwrap(), fields).await.unwrap();
        }
    }
    id
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
async fn cells_with(engine: &Engine, schema: &Schema, marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, table) in &schema.tables {
        for column in &table.columns {
            let rows = engine.count(&format!("SELECT count(*) FROM {name} WHERE CAST({} AS text) LIKE '%{marker}%'", column.name)).await;
            found.extend((0..rows).map(|_| format!("{name}.{}", column.name)));
        }
    }
    found
}

impl Engine {
    async fn run(&self, on_sqlite: &str, on_postgres: &str) -> Result<(), String> {
        match self {
            Engine::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
                connection.pragma_update(None, "secure_delete", true).unwrap();
                connection.execute_batch(on_sqlite).map_err(|error| error.to_string())
            }
            Engine::Postgres(client) => client.batch_execute(on_postgres).await.map_err(|error| format!("{error:?}")),
        }
    }

    async fn count(&self, query: &str) -> i64 {
        match self {
            Engine::Sqlite(file) => rusqlite::Connection::open(file).unwrap().query_row(query, [], |row| row.get(0)).unwrap(),
            Engine::Postgres(client) => client.query_one(query, &[]).await.unwrap().get(0),
        }
    }
}
