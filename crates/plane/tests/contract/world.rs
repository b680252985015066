//! A small world to delete from, made through the plane, and an eye on the database that knows nothing of the plane.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::people::uncounted;
use plane::api_keys::{self, Kind, NewApiKey};
use plane::approvals;
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, NewCustomer};
use plane::events::Event;
use plane::holds::{self, NewHold};
use plane::ids::OrganizationRef;
use plane::oauth_apps::{self, NewOauthApp};
use plane::oauth_tokens::{self, Client};
use plane::organizations::{self, NewOrganization};
use plane::outbox::{self, Attempt, UnderWay};
use plane::policy::Role;
use plane::requirements::{self, ByKind, Requirements};
use plane::users::{self, NewUser};
use plane::webhooks::{self, NewWebhook};
use plane::{Cx, Plane, dependants, exports, invitations, sessions};
use serde_json::{Map, Value as Json, json};
use sql::Schema;
use uuid::Uuid;

pub(crate) async fn sign_in(plane: &Arc<Plane>) -> Cx {
    let anonymous = Cx::new(plane, "test");
    let new = NewUser { email: "owner@example.com".into(), password: "correct horse".into(), name: None, is_operator: false };
    users::sign_up(&anonymous, new).await.unwrap();
    let signed_in = sessions::sign_in(&uncounted(&anonymous), "owner@example.com", "correct horse".into(), None).await.unwrap();
    authenticate(anonymous, Presented::Bearer(&signed_in.access_token)).await.unwrap()
}

/// An organization with one of everything. More customers than a deletion does at once, so that it is drained.
pub(crate) async fn furnish(owner: &Cx, slug: &str) -> Uuid {
    let new = NewOrganization {
        name: "Organization".into(),
        slug: slug.into(),
        logo: Some("https://example.com/logo.png".into()),
        metadata: json!({}),
    };
    let id = organizations::create(owner, new).await.unwrap().id;
    let organization = OrganizationRef::Id(id);
    listen(owner, id).await;
    invitations::create(owner, &organization, "invited@example.com", Role::Viewer).await.unwrap();
    let key = NewApiKey { description: Some("Key".into()), ..NewApiKey::new(Kind::Organization, "Key") };
    api_keys::create(owner, &organization, key).await.unwrap();
    let app = NewOauthApp {
        name: "App".into(),
        description: Some("App".into()),
        redirect_uris: vec!["https://example.com".into()],
        scopes: vec!["read:user".into()],
    };
    let (app, secret) = oauth_apps::create(owner, &organization, app).await.unwrap();
    oauth_tokens::issue(owner, &Client { client_id: app.client_id, secret }, None, None).await.unwrap();
    sessions::sign_in(&uncounted(owner), "owner@example.com", "correct horse".into(), Some(organization.clone())).await.unwrap();
    new_customer(owner, id, "customer").await;
    exports::of_customer(owner, &organization, "customer").await.unwrap();
    let hold = NewHold { reason: "Case".into(), until: None };
    let hold = holds::place(owner, &organization, holds::Subject::Organization, hold).await.unwrap();
    holds::release(owner, &organization, hold.id, "Closed".into()).await.unwrap();
    let by_kind = ByKind { member: Requirements { fresh_minutes: Some(1_440), ..Requirements::default() }, ..ByKind::default() };
    requirements::replace(owner, &organization, by_kind).await.unwrap();
    approvals::give(owner, &organization, approvals::Subject::Customer("customer".into()), Some("Agreed".into())).await.unwrap();
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

/// A customer with everything filled in.
pub(crate) async fn new_customer(owner: &Cx, organization: Uuid, reference: &str) {
    let new = NewCustomer {
        reference: Some(reference.into()),
        name: "Customer".into(),
        email: "customer@example.com".into(),
        phone: Some("1".into()),
        tax_id: Some("1".into()),
        address: json!({}),
        metadata: json!({}),
        managed_by: None,
    };
    customers::create(owner, &OrganizationRef::Id(organization), new).await.unwrap();
}

/// Makes a webhook that wants every event. No webhook sender runs here: what it is told stays in its queue until [`deliver`].
pub(crate) async fn listen(owner: &Cx, organization: Uuid) -> Uuid {
    let events = Event::ALL.iter().map(|event| event.name().to_owned()).collect();
    let new = NewWebhook { url: "https://example.com/hook".into(), description: Some("Hook".into()), events, is_active: true };
    webhooks::create(owner, &OrganizationRef::Id(organization), new).await.unwrap().0.id
}

/// Carries everything that is due, as a webhook sender that gets this status from every webhook. Returns how many there were.
pub(crate) async fn deliver(plane: &Arc<Plane>, status: u16) -> usize {
    let mut carried = 0;
    loop {
        let due = outbox::take(plane, &UnderWay::default()).await.unwrap().due;
        if due.is_empty() {
            return carried;
        }
        for due in due {
            carried += 1;
            let error = due.undeliverable.or((status != 200).then_some("refused"));
            outbox::finish(plane, due, Attempt { status: Some(status), error, ..Attempt::default() }).await.unwrap();
        }
    }
}

/// What a trigger calls to stop the transaction that sets it off while the advisory lock 1 is taken. PostgreSQL only.
pub(crate) const STAND_STILL: &str = "CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN PERFORM pg_advisory_xact_lock(1); RETURN coalesce(NEW, OLD); END $$";

/// Where the test looks, beside the plane: straight into the engine.
pub(crate) enum Engine {
    Sqlite(PathBuf),
    Postgres(tokio_postgres::Client),
}

impl Engine {
    pub(crate) async fn run(&self, on_sqlite: &str, on_postgres: &str) -> Result<(), String> {
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

    pub(crate) async fn count(&self, query: &str) -> i64 {
        match self {
            Engine::Sqlite(file) => rusqlite::Connection::open(file).unwrap().query_row(query, [], |row| row.get(0)).unwrap(),
            Engine::Postgres(client) => client.query_one(query, &[]).await.unwrap().get(0),
        }
    }

    /// How many in this database wait for locks whose kind is like this. PostgreSQL only.
    pub(crate) async fn waiters(&self, kind: &str) -> i64 {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event LIKE '{kind}'"
        );
        self.count(&query).await
    }

    /// The only id that a query finds.
    pub(crate) async fn id(&self, query: &str) -> Uuid {
        match self {
            Engine::Sqlite(file) => {
                let bytes: [u8; 16] = rusqlite::Connection::open(file).unwrap().query_row(query, [], |row| row.get(0)).unwrap();
                Uuid::from_bytes(bytes)
            }
            Engine::Postgres(client) => client.query_one(query, &[]).await.unwrap().get(0),
        }
    }

    /// All rows of all tables, each as one text, sorted.
    pub(crate) async fn rows(&self, schema: &Schema) -> BTreeMap<String, Vec<String>> {
        self.rows_of(schema, |_, _| true).await
    }

    /// The same of those columns alone that are wanted.
    pub(crate) async fn rows_of(&self, schema: &Schema, is_wanted: impl Fn(&str, &str) -> bool) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for (name, table) in &schema.tables {
            let columns: Vec<&str> =
                table.columns.iter().map(|column| column.name.as_str()).filter(|column| is_wanted(name, column)).collect();
            if columns.is_empty() {
                continue;
            }
            let mut rows: Vec<String> = match self {
                Engine::Sqlite(file) => {
                    let row: Vec<String> = columns.iter().map(|column| format!("quote({column})")).collect();
                    let connection = rusqlite::Connection::open(file).unwrap();
                    let mut query = connection.prepare(&format!("SELECT {} FROM {name}", row.join(" || ',' || "))).unwrap();
                    query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
                }
                Engine::Postgres(client) => {
                    let rows = client.query(&format!("SELECT ROW({})::text FROM {name}", columns.join(", ")), &[]).await.unwrap();
                    rows.iter().map(|row| row.get(0)).collect()
                }
            };
            rows.sort();
            all.insert(name.clone(), rows);
        }
        all
    }

    /// A uuid as this engine's SQL writes it.
    pub(crate) fn uuid(&self, id: Uuid) -> String {
        match self {
            Engine::Sqlite(_) => format!("x'{}'", id.simple()),
            Engine::Postgres(_) => format!("'{id}'"),
        }
    }
}
