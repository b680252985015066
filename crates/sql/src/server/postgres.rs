//! PostgreSQL: a pool of connections and one transaction on one of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode, Timeouts};
use futures_util::FutureExt;
use futures_util::future::{join, try_join_all};
use tokio::sync::Semaphore;
use tokio_postgres::error::Severity;

use crate::address::Address;
use crate::connecting::{Connector, PooledConnector};
use crate::database::Kind;
use crate::hooks::{Hook, panic_words, run_before, run_hooks};
use crate::server_lock::ServerLock;
use crate::survey;
use crate::{Connections, Error, Options, Result, Row, Tx, Value};

/// How long a caller waits for a free connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a statement of a request may take, and a transaction may rest between two. One that needs longer must not hold its
/// locks.
const STATEMENT: Duration = Duration::from_secs(5);
/// The same for background work and at a command line. The text is PostgreSQL's.
const LONG_STATEMENT: Duration = Duration::from_secs(20);
const LONG: &str = "; SET LOCAL statement_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '20s'";
/// How much longer than a statement's time its answer may take, which is PostgreSQL's refusal then. Where nothing comes PostgreSQL is frozen.
const ON_THE_WAY: Duration = Duration::from_secs(2);

type Connection = Object<PooledConnector>;

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool<PooledConnector>,
    connector: Arc<Connector>,
    /// How long an answer may take; without one when the address's `options` say that a statement may take any time.
    limit: Option<Duration>,
    /// How often a caller has waited for a free connection.
    waits: Arc<AtomicU64>,
    /// What keeps other servers from the database, if this is one.
    server_lock: Option<ServerLock>,
    /// Places for searches: a quarter of the connections, so that those of many callers leave the others to other work.
    searches: Arc<Semaphore>,
}

impl Postgres {
    pub(crate) async fn open(options: &Options) -> Result<Postgres> {
        let patience = if options.is_server { STATEMENT } else { LONG_STATEMENT };
        let mut connector = Connector::new(Address::parse(&options.url)?, patience)?;
        let limit = survey::look(&mut connector, options.schema.as_deref()).await?.statement_timeout.map(|limit| limit + ON_THE_WAY);
        let connector = Arc::new(connector);
        let pool: Pool<PooledConnector> = Pool::builder(PooledConnector(connector.clone()))
            .max_size(options.connections.max(1))
            // The one used last has its tables, plans and pages at hand.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        let server_lock = if options.is_server { Some(ServerLock::acquire(connector.clone()).await?) } else { None };
        let searches = Arc::new(Semaphore::new((pool.status().max_size / 4).max(1)));
        Ok(Postgres { pool, connector, limit, waits: Arc::default(), server_lock, searches })
    }

    /// Whether no other server uses the database, if this is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when that is not known, or another does.
    pub(crate) fn is_alone(&self) -> Result<()> {
        self.server_lock.as_ref().map_or(Ok(()), ServerLock::check)
    }

    /// Waits until another server has taken the database over from this one.
    pub(crate) async fn taken_over(&self) -> Error {
        match &self.server_lock {
            Some(server_lock) => server_lock.taken_over().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.pool.status().max_size
    }

    pub(crate) fn in_use(&self) -> Connections {
        let status = self.pool.status();
        Connections {
            used: status.size.saturating_sub(status.available) as u64,
            idle: status.available as u64,
            most: status.max_size as u64,
            waits: self.waits.load(Ordering::Relaxed),
        }
    }

    /// Ends connections that are free, and each other one when it comes back.
    pub(crate) fn close(&self) {
        self.pool.close();
        if let Some(server_lock) = &self.server_lock {
            server_lock.release();
        }
    }

    /// A connection that is free, when there is one.
    async fn connection(&self) -> Result<Connection> {
        let at_once = Timeouts { wait: Some(Duration::ZERO), ..self.pool.timeouts() };
        match self.pool.timeout_get(&at_once).await {
            Err(PoolError::Timeout(_)) => {
                self.waits.fetch_add(1, Ordering::Relaxed);
                Ok(self.pool.get().await?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// A caller that goes away rolls it back. When the commit was sent already, what was to be done on it is done before anything else.
    pub(crate) async fn transaction<T, E: From<Error>>(&self, work: &impl AsyncFn(&mut Tx) -> Result<T, E>, kind: Kind) -> Result<T, E> {
        let commit = !kind.is_read();
        if let Some(server_lock) = self.server_lock.as_ref().filter(|_| commit) {
            server_lock.is_not_taken_over()?;
        }
        let _place = match kind {
            Kind::Search => {
                let place = tokio::time::timeout(PATIENCE, self.searches.acquire()).await;
                let busy = || Error::Unavailable("too many searches are under way: try again in a few seconds".into());
                Some(place.map_err(|_| busy())?.map_err(|_| busy())?)
            }
            _ => None,
        };
        let client = self.connection().await?;
        let limit = if kind.is_long() { self.limit.map(|limit| limit.max(LONG_STATEMENT + ON_THE_WAY)) } else { self.limit };
        let client = PostgresTx {
            client: Some(client),
            connector: self.connector.clone(),
            server_lock: self.server_lock.clone(),
            limit,
            begin: Some(kind),
            open: false,
            is_committing: false,
            is_lost: false,
            hooks: Vec::new(),
            failure: None,
        };
        let mut tx = Tx::Postgres(client);
        let result = AssertUnwindSafe(work(&mut tx))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Err(Error::Statement(panic_words(Some(panic))).into()));
        let Tx::Postgres(client) = &mut tx else { unreachable!("the variant does not change") };
        let result = match client.failure.take() {
            // PostgreSQL would answer the COMMIT with a roll-back that looks like a success.
            Some(failure) if commit => result.and(Err(failure.into())),
            _ => result,
        };
        match result {
            Ok(value) if commit => {
                run_before(&mut client.hooks);
                client.is_committing = true;
                let fate = client.commit().await;
                client.is_committing = false;
                if matches!(fate, Ok(()) | Err(Error::Uncertain(_))) {
                    run_hooks(std::mem::take(&mut client.hooks), fate.is_ok());
                }
                fate?;
                Ok(value)
            }
            outcome => {
                // The statement that failed is the news; a connection that cannot even roll back is thrown away by `Drop`.
                let _ = client.end("ROLLBACK").await;
                outcome
            }
        }
    }
}

pub struct PostgresTx {
    client: Option<Connection>,
    connector: Arc<Connector>,
    server_lock: Option<ServerLock>,
    /// How long an answer may take.
    limit: Option<Duration>,
    /// Not begun yet: that goes with the first statement, in one way there and back.
    begin: Option<Kind>,
    open: bool,
    /// Whether its commit was asked for and not answered.
    is_committing: bool,
    /// Whether an answer has not come in time: on this connection none is waited for any more.
    is_lost: bool,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) failure: Option<Error>,
}

impl PostgresTx {
    fn client(&self) -> &Connection {
        match &self.client {
            Some(client) => client,
            None => unreachable!("the connection is only taken when the transaction is dropped"),
        }
    }

    /// Begins the transaction, if that has not been done, on the way of the first thing that is done in it.
    async fn within<T>(&mut self, first: impl AsyncFnOnce(&Connection) -> Result<T>) -> Result<T> {
        let Some(kind) = self.begin.take() else { return first(self.client()).await };
        self.open = true;
        let text = match kind {
            Kind::Read | Kind::Search | Kind::LongRead => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // Whatever the server's default is: who has waited for a lock sees what was done under it.
            Kind::Durable | Kind::LongDurable => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Kind::Lazy => "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO off",
        };
        let text = if kind.is_long() { format!("{text}{LONG}") } else { text.to_owned() };
        let client = self.client();
        // In this order: the server runs what comes first before what comes next.
        let (begun, done) = join(client.batch_execute(&text), first(client)).await;
        begun?;
        done
    }

    async fn commit(&mut self) -> Result<()> {
        if self.client().is_closed() {
            self.is_lost = true;
            return Err(Error::Unavailable("the connection was closed before the commit".into()));
        }
        if !self.open {
            return Ok(());
        }
        let told = self.answered(async |tx| Ok(tx.client().batch_execute("COMMIT").await)).await.map_err(Error::of_a_commit)?;
        match told {
            // PostgreSQL itself has said no. An error that ends the session may come after the commit.
            Err(error) if error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error)) => {
                self.open = false;
                Err(error.into())
            }
            Err(error) => Err(Error::from(error).of_a_commit()),
            Ok(()) => {
                self.open = false;
                Ok(())
            }
        }
    }

    async fn end(&mut self, text: &str) -> Result<()> {
        // One that was never begun has nothing to end.
        if self.open {
            self.answered(async |tx| Ok(tx.client().batch_execute(text).await?)).await?;
            self.open = false;
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, text: &str, params: &[Value]) -> Result<u64> {
        self.answered(async |tx| {
            let statement = tx.client().prepare_cached(text).await?;
            tx.within(async |client| Ok(client.execute_raw(&statement, params).await?)).await
        })
        .await
    }

    pub(crate) async fn query(&mut self, text: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.answered(async |tx| {
            tx.client().prepare_cached(text).await?;
            tx.within(async |client| rows_of(client, text, params).await).await
        })
        .await
    }

    /// All of them are on their way before the first is answered. They run in their order.
    pub(crate) async fn query_all(&mut self, statements: &[(&str, &[Value])]) -> Result<Vec<Vec<Row>>> {
        self.answered(async |tx| {
            // Prepared one after the other, and only once a connection.
            for (text, _) in statements {
                tx.client().prepare_cached(text).await?;
            }
            tx.within(async |client| try_join_all(statements.iter().map(|(text, params)| rows_of(client, text, params))).await).await
        })
        .await
    }

    pub(crate) async fn script(&mut self, text: &str) -> Result<()> {
        self.answered(async |tx| tx.within(async |client| Ok(client.batch_execute(text).await?)).await).await
    }

    pub(crate) async fn prepare(&mut self, text: &str) -> Result<()> {
        self.answered(async |tx| Ok(tx.client().prepare(text).await.map(drop)?)).await
    }

    /// The schema that the tables are in, in quotes.
    pub(crate) fn schema(&self) -> &str {
        self.connector.schema()
    }

    /// Takes the end off what follows in this transaction. A server still ends it with its lock.
    pub(crate) fn take_time(&mut self) {
        self.limit = None;
    }

    /// Waits for an answer, for as long as one may take. A connection without one is lost: PostgreSQL is frozen, or out of reach.
    async fn answered<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.is_lost {
            return Err(Error::Unavailable("the connection is lost".into()));
        }
        let outcome = if let Some(limit) = self.limit {
            tokio::time::timeout(limit, work(self)).await.map_err(|_| {
                Error::Unavailable(format!(
                    "PostgreSQL has not answered for {} seconds: it is frozen, or out of reach",
                    limit.as_secs_f32()
                ))
            })
        } else if let Some(server_lock) = self.server_lock.clone() {
            tokio::select! {
                outcome = work(self) => Ok(outcome),
                () = server_lock.lost() => Err(Error::Unavailable("the server's lock on the database was lost meanwhile".into())),
            }
        } else {
            Ok(work(self).await)
        };
        if outcome.is_err() || self.client().is_closed() {
            self.is_lost = true;
            self.connector.abandon(Object::metrics(self.client()).created);
        }
        outcome.and_then(|outcome| outcome)
    }
}

async fn rows_of(client: &Connection, text: &str, params: &[Value]) -> Result<Vec<Row>> {
    let statement = client.prepare_cached(text).await?;
    let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = params.iter().map(|value| value as _).collect();
    let found = client.query(&statement, &params).await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in found {
        let columns = (0..row.len()).map(|column| row.try_get::<_, Value>(column)).collect::<std::result::Result<_, _>>();
        rows.push(Row::new(columns?));
    }
    Ok(rows)
}

impl Drop for PostgresTx {
    /// A connection whose transaction did not end (a panic, a broken socket) must not go back to the pool.
    fn drop(&mut self) {
        if self.is_committing {
            // Its caller went away meanwhile: the commit's outcome is not known.
            run_hooks(std::mem::take(&mut self.hooks), false);
        }
        if let Some(client) = self.client.take().filter(|_| self.open || self.is_lost) {
            drop(Object::take(client));
        }
    }
}
