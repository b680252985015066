//! PostgreSQL: a pool of connections and one transaction on one of them.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime};
use futures_util::future::{join, try_join_all};

use crate::address::Address;
use crate::database::{Hook, Kind, run_hooks};
use crate::server_lock::ServerLock;
use crate::{Error, Options, Result, Row, Tx, Value, Work};

/// How long a caller waits for a free connection, and a connection attempt may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// No statement of this program needs longer than 30 s; one that does is a defect and must not hold its locks. Every statement has its index:
/// a plan that reads a whole table comes from statistics of a time when the table was empty, and stays when it no longer is.
const SETTINGS: &str = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s -c enable_seqscan=off";
/// A connection on which nothing has come for so long is asked whether it is still there: the pool's spare ones may rest for hours.
const MOST_SILENCE: Duration = Duration::from_secs(60);
/// How long what was sent may go unconfirmed by the other machine until the connection counts as lost: of one without power nothing else tells.
const MOST_UNCONFIRMED: Duration = Duration::from_secs(5);
/// The oldest release whose behaviour the tests have seen.
const OLDEST_SERVER: i64 = 150_000;

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
    /// What keeps other servers from the database, if this is one.
    server_lock: Option<ServerLock>,
}

impl Postgres {
    pub(crate) async fn open(options: &Options) -> Result<Postgres> {
        let mut address = Address::parse(&options.url)?;
        let config = &mut address.config;
        let extra = config.get_options().map_or_else(|| SETTINGS.to_owned(), |given| format!("{SETTINGS} {given}"));
        config.options(&extra).application_name("freehold").connect_timeout(PATIENCE);
        config.keepalives_idle(config.get_keepalives_idle().min(MOST_SILENCE));
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(MOST_UNCONFIRMED);
        }
        let manager = Manager::from_config(config.clone(), address.tls.clone(), ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(1))
            // The one used last has its tables, plans and pages at hand.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        let client = pool.get().await.map_err(|error| address.advise(error.into()))?;
        let version: i64 = client.query_one("SELECT current_setting('server_version_num')::bigint", &[]).await?.get(0);
        if version < OLDEST_SERVER {
            return Err(Error::Migration(format!("PostgreSQL {} is too old: 15 is the oldest supported", version / 10_000)));
        }
        drop(client);
        let server_lock = if options.is_server { Some(ServerLock::acquire(address).await?) } else { None };
        Ok(Postgres { pool, server_lock })
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

    /// Ends connections that are free, and each other one when it comes back.
    pub(crate) fn close(&self) {
        self.pool.close();
        if let Some(server_lock) = &self.server_lock {
            server_lock.release();
        }
    }

    pub(crate) async fn transaction<I, T, E>(
        &self,
        input: &I,
        work: &(impl for<'a> Fn(&'a mut Tx, &'a I) -> Work<'a, Result<T, E>> + Sync),
        kind: Kind,
    ) -> Result<T, E>
    where
        I: Sync,
        E: From<Error>,
    {
        let commit = kind != Kind::Read;
        if let Some(server_lock) = self.server_lock.as_ref().filter(|_| commit) {
            server_lock.is_not_taken_over()?;
        }
        let client = self.pool.get().await.map_err(Error::from)?;
        let client = PostgresTx { client: Some(client), begin: Some(kind), open: false, hooks: Vec::new(), failure: None };
        let mut tx = Tx::Postgres(client);
        let result = work(&mut tx, input).await;
        let Tx::Postgres(client) = &mut tx else { unreachable!("the variant does not change") };
        let result = match client.failure.take() {
            // PostgreSQL would answer the COMMIT with a roll-back that looks like a success.
            Some(failure) if commit => result.and(Err(failure.into())),
            _ => result,
        };
        match result {
            Ok(value) if commit => {
                let fate = client.end("COMMIT").await;
                if !fate.as_ref().is_err_and(Error::is_refusal) {
                    run_hooks(std::mem::take(&mut client.hooks));
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
    client: Option<Object>,
    /// Not begun yet: that goes with the first statement, in one way there and back.
    begin: Option<Kind>,
    open: bool,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) failure: Option<Error>,
}

impl PostgresTx {
    fn client(&self) -> &Object {
        match &self.client {
            Some(client) => client,
            None => unreachable!("the connection is only taken when the transaction is dropped"),
        }
    }

    /// Begins the transaction, if that has not been done, on the way of the first thing that is done in it.
    async fn within<T>(&mut self, first: impl AsyncFnOnce(&Object) -> Result<T>) -> Result<T> {
        let Some(kind) = self.begin.take() else { return first(self.client()).await };
        self.open = true;
        let text = match kind {
            Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            // Whatever the server's default is: who has waited for a lock sees what was done under it.
            Kind::Durable => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Kind::Lazy => "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO off",
        };
        let client = self.client();
        // In this order: the server runs what comes first before what comes next.
        let (begun, done) = join(client.batch_execute(text), first(client)).await;
        begun?;
        done
    }

    async fn end(&mut self, text: &str) -> Result<()> {
        // One that was never begun has nothing to end.
        if self.open {
            self.client().batch_execute(text).await?;
            self.open = false;
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, text: &str, params: &[Value]) -> Result<u64> {
        let statement = self.client().prepare_cached(text).await?;
        self.within(async |client| Ok(client.execute_raw(&statement, params).await?)).await
    }

    pub(crate) async fn query(&mut self, text: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.client().prepare_cached(text).await?;
        self.within(async |client| rows_of(client, text, params).await).await
    }

    /// All of them are on their way before the first is answered. They run in their order.
    pub(crate) async fn query_all(&mut self, statements: &[(&str, &[Value])]) -> Result<Vec<Vec<Row>>> {
        // Prepared one after the other, and only once a connection.
        for (text, _) in statements {
            self.client().prepare_cached(text).await?;
        }
        self.within(async |client| try_join_all(statements.iter().map(|(text, params)| rows_of(client, text, params))).await).await
    }

    pub(crate) async fn script(&mut self, text: &str) -> Result<()> {
        self.within(async |client| Ok(client.batch_execute(text).await?)).await
    }

    pub(crate) async fn prepare(&mut self, text: &str) -> Result<()> {
        self.client().prepare(text).await?;
        Ok(())
    }
}

async fn rows_of(client: &Object, text: &str, params: &[Value]) -> Result<Vec<Row>> {
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
        if let Some(client) = self.client.take().filter(|_| self.open) {
            drop(Object::take(client));
        }
    }
}
