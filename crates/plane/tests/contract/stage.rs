//! A plane on an engine of its own, for tests that run on both.

use std::sync::Arc;
use std::time::Duration;

use deletion::{Lease, Work};
use plane::customers::{self, Deleting};
use plane::deletions::{self, Deletion, Details};
use plane::drain;
use plane::ids::OrganizationRef;
use plane::organizations::{self, NewOrganization};
use plane::{Clock, Config, Cx, DatabaseOptions, Plane};
use sql::Schema;
use tempfile::TempDir;
use uuid::Uuid;

use crate::engines::make_database;
use crate::world::{Engine, listen, sign_in};

/// A plane with a signed-in owner, and an eye beside it.
pub(crate) struct Stage {
    pub(crate) plane: Arc<Plane>,
    pub(crate) engine: Engine,
    pub(crate) owner: Cx,
    pub(crate) schema: Schema,
    _folder: Option<TempDir>,
}

/// Takes whatever waits for a worker, as one of the two kinds would.
pub(crate) async fn take(plane: &Arc<Plane>) -> Option<Arc<Lease>> {
    match drain::take(plane, Work::Begin).await.unwrap() {
        Some(held) => Some(held),
        None => drain::take(plane, Work::GoOn).await.unwrap(),
    }
}

/// Works until neither kind of worker finds anything to do.
pub(crate) async fn drain_all(plane: &Arc<Plane>) {
    drain::end_grace(plane).await.unwrap();
    let mut throttle = drain::throttle(plane);
    while drain::work_a_turn(plane, Work::Begin, &mut throttle).await.unwrap()
        || drain::work_a_turn(plane, Work::GoOn, &mut throttle).await.unwrap()
    {}
}

/// Runs each test on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        $(mod $name {
            use $crate::stage::Stage;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::$name(Stage::on_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgresql() {
                super::$name(Stage::on_postgresql().await).await;
            }
        })*
    };
}

impl Stage {
    pub(crate) async fn on_sqlite() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        Stage::set(&format!("sqlite:{}", file.display()), Engine::Sqlite(file), Some(folder)).await
    }

    pub(crate) async fn on_postgresql() -> Stage {
        let url = make_database().await;
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Stage::set(&url, Engine::Postgres(client), None).await
    }

    async fn set(url: &str, engine: Engine, folder: Option<TempDir>) -> Stage {
        let plane = Plane::open(Config::new(DatabaseOptions::new(url)), Clock::default()).await.unwrap();
        let (owner, schema) = (sign_in(&plane).await, plane.schema().await.unwrap());
        let stage = Stage { plane, engine, owner, schema, _folder: folder };
        stage.keep_signed_in().await;
        stage
    }

    /// Lets the owner's session go on for a hundred years: a write asks whether it is there, and these tests move the clock.
    pub(crate) async fn keep_signed_in(&self) {
        let (on_sqlite, on_postgres) =
            ("UPDATE sessions SET expires_at = 4102444800000000", "UPDATE sessions SET expires_at = timestamptz '2100-01-01T00:00:00Z'");
        self.engine.run(on_sqlite, on_postgres).await.unwrap();
    }

    /// The owner at this moment: their own context is as old as the test.
    pub(crate) fn now(&self) -> Cx {
        Cx::new(&self.plane, "test").with_actor(self.owner.actor.clone())
    }

    /// An organization with so many webhooks that want every event.
    pub(crate) async fn found(&self, slug: &str, webhooks: usize) -> (Uuid, Vec<Uuid>) {
        let new = NewOrganization { name: "Organization".into(), slug: slug.into(), logo: None, metadata: serde_json::json!({}) };
        let organization = organizations::create(&self.now(), new).await.unwrap().id;
        let mut hooks = Vec::new();
        for _ in 0..webhooks {
            hooks.push(listen(&self.now(), organization).await);
        }
        (organization, hooks)
    }

    /// Drains until nothing is left to do but to wait. Naps are over at once.
    pub(crate) async fn drain(&self) {
        for _ in 0..3 {
            self.plane.clock.advance(Duration::from_millis(500));
            drain_all(&self.plane).await;
        }
    }

    /// Deletes a customer.
    pub(crate) async fn delete(&self, organization: Uuid, reference: &str, how: Deleting) -> plane::Result<Deletion> {
        customers::delete(&self.now(), &OrganizationRef::Id(organization), reference, how, Details::default()).await
    }

    /// The record of a deletion as it is now.
    pub(crate) async fn record(&self, deletion: &Deletion) -> Deletion {
        deletions::get(&self.owner, deletion.id).await.unwrap()
    }

    /// Rows of an organization in a table.
    pub(crate) async fn count(&self, table: &str, organization: Uuid) -> i64 {
        let query = format!("SELECT count(*) FROM {table} WHERE organization_id = {}", self.engine.uuid(organization));
        self.engine.count(&query).await
    }
}
