//! An organization deleted by plain SQL: one DELETE that cascades, or batches of customers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::Result;
use crate::bench::load::Store;
use crate::bench::rusqlite_floor;
use crate::bench::server::words;

/// Customers in a naive batch.
const BATCH: u64 = 5_000;

/// A connection of a program that has no server between itself and its database.
#[derive(Clone)]
pub(crate) enum Hand {
    Postgres(Arc<Client>),
    /// The one connection that all who write share; it goes to who has waited longest.
    Sqlite(Arc<Mutex<Connection>>),
}

/// A way to delete an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `DELETE FROM organizations`, and the foreign keys do the rest in the same transaction.
    Cascade,
    /// So many customers with all they own in a transaction, again and again, then the organization.
    Batches,
}

/// What it came to.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) seconds: f64,
    /// Of the longest transaction.
    pub(crate) longest_millis: f64,
}

impl Hand {
    pub(crate) async fn open(store: &Store) -> Result<Hand> {
        match store {
            Store::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
                // It ends when the client is dropped, and what goes wrong in it the client hears.
                tokio::spawn(connection);
                Ok(Hand::Postgres(Arc::new(client)))
            }
            Store::Sqlite(path) => Ok(Hand::Sqlite(Arc::new(Mutex::new(rusqlite_floor::open(path)?)))),
        }
    }

    /// Runs a statement in a transaction of its own. Returns how many rows it touched, and how long it took, without the time in which others
    /// had the connection.
    pub(crate) async fn execute(&self, statement: &str) -> Result<(u64, Duration)> {
        match self {
            Hand::Postgres(client) => {
                let sent = Instant::now();
                let touched = client.execute(statement, &[]).await.map_err(words)?;
                Ok((touched, sent.elapsed()))
            }
            Hand::Sqlite(connection) => {
                let (connection, statement) = (connection.clone().lock_owned().await, statement.to_owned());
                let work = move || -> rusqlite::Result<(u64, Duration)> {
                    let sent = Instant::now();
                    let touched = connection.execute(&statement, [])?;
                    Ok((touched as u64, sent.elapsed()))
                };
                tokio::task::spawn_blocking(work).await.map_err(words)?.map_err(words)
            }
        }
    }

    /// Deletes an organization.
    pub(crate) async fn delete(&self, way: Way, store: &Store, organization: &str) -> Result<Plain> {
        let batch = format!(
            "DELETE FROM customers WHERE organization_id = {{organization}}
             AND id IN (SELECT id FROM customers WHERE organization_id = {{organization}} LIMIT {BATCH})"
        );
        let batch = store.spell(&batch, organization);
        let begun = Instant::now();
        let mut longest = Duration::ZERO;
        if way == Way::Batches {
            loop {
                let (touched, took) = self.execute(&batch).await?;
                longest = longest.max(took);
                if touched == 0 {
                    break;
                }
            }
        }
        let (_, took) = self.execute(&store.spell("DELETE FROM organizations WHERE id = {organization}", organization)).await?;
        Ok(Plain { seconds: begun.elapsed().as_secs_f64(), longest_millis: longest.max(took).as_secs_f64() * 1e3 })
    }
}
