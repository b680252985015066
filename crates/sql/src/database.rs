//! The database as the rest of the program sees it: read and write transactions, whatever the engine.

use crate::tx::Tx;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::outage::Outage;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::{Error, HasDatabaseError, Load, Migration, Options, Result, Schema, Static};

/// A statement's text, parameters written `$1`, `$2`, … Made by [`sql!`](crate::sql), so that a test can find every one of them in the
/// source and prepare it on both engines, or generated once from a table of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    text: &'static str,
}

impl Statement {
    #[doc(hidden)]
    pub const fn from_source(text: &'static str) -> Statement {
        Statement { text }
    }

    /// A statement put together at start-up. Its text is never freed: generate each one once and keep it.
    pub fn generated(text: String) -> Statement {
        Statement { text: Box::leak(text.into_boxed_str()) }
    }

    /// The text, as it goes to PostgreSQL.
    pub fn text(self) -> &'static str {
        self.text
    }
}

/// A [`Statement`] from a literal; with the columns of a [`Record`](crate::Record) for each `{columns}` in it, if one is named behind it.
#[macro_export]
macro_rules! sql {
    ($text:literal $(, $record:ty)?) => {
        $crate::Statement::from_source($crate::spliced!($text $(, $record)?))
    };
}

/// The parameters of a statement, each converted into a [`Value`].
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::Value::from($value)),*] };
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    prompt: Arc<AtomicU64>,
    outage: Arc<Outage>,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It reads a snapshot.
    Read,
    /// The same for what goes through many rows while its caller waits.
    Search,
    /// The same for background work.
    LongRead,
    /// It is durable when its caller has the answer.
    Durable,
    /// The same for background work.
    LongDurable,
    /// It is durable some time later; its caller does not wait for that.
    Lazy,
}

impl Kind {
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Kind::Read | Kind::Search | Kind::LongRead)
    }

    /// Whether its statements may take longer than those of requests.
    pub(crate) fn is_long(self) -> bool {
        matches!(self, Kind::LongRead | Kind::LongDurable | Kind::Lazy)
    }
}

/// How often a transaction that met a concurrent one is run again before its error is passed on.
const RETRIES: u32 = 8;

impl Database {
    /// Opens the database, creating an embedded one that is not there yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be reached, [`Error::Migration`] when the engine is too old or the address is of no known kind.
    pub async fn open(options: &Options) -> Result<Database> {
        let engine = if options.url.starts_with("postgres://") || options.url.starts_with("postgresql://") {
            Engine::Postgres(Postgres::open(options).await?)
        } else if options.schema.is_some() {
            return Err(Error::Migration("--schema is for PostgreSQL: the embedded database has none".into()));
        } else if let Some(path) = options.url.strip_prefix("sqlite:") {
            Engine::Sqlite(Sqlite::open(PathBuf::from(path), options)?)
        } else {
            return Err(Error::Migration("the database address must start with postgres:// or sqlite:".into()));
        };
        Ok(Database { engine, prompt: Arc::default(), outage: Arc::default() })
    }

    /// `"sqlite"` or `"postgresql"`.
    pub fn engine_name(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgresql",
        }
    }

    /// How many transactions can write at once: one on SQLite, one a connection on PostgreSQL.
    pub fn writers(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(postgres) => postgres.connections(),
        }
    }

    /// How many reads one of many callers should have under way at a time, so that none keeps the others from reading: as many as there are
    /// processors for the embedded engine, which reads on this machine's; a quarter of the connections to the other.
    pub fn fair_share(&self) -> usize {
        match &self.engine {
            Engine::Sqlite(_) => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            Engine::Postgres(postgres) => (postgres.connections() / 4).max(1),
        }
    }

    /// How many writes a caller has waited for since the start: long work that sees this number move should step back. Reads wait for no
    /// write on either engine, and are not counted.
    pub fn prompt_writes(&self) -> u64 {
        self.prompt.load(Ordering::Relaxed)
    }

    /// Whether it answers, and takes writes: tried with one that changes nothing when the last has failed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason.
    pub async fn check(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.log.check()?,
            Engine::Postgres(postgres) => postgres.is_alone()?,
        }
        self.read(async move |tx| tx.query_one(sql!("SELECT 1"), &[]).await.map(drop)).await?;
        self.probe_outage().await;
        self.outage.words().map_or(Ok(()), |words| Err(Error::Unavailable(format!("it takes no writes: {words}"))))
    }

    /// Finds out whether what writes have met is over, with one that changes nothing but must be written down: others may succeed because they
    /// find nothing to change. Once a second at the most.
    async fn probe_outage(&self) {
        if self.outage.is_due() {
            let tried = self.write_as(Kind::Durable, async move |tx| crate::migrate::touch(tx).await).await;
            match tried {
                Ok(()) => self.outage.end(),
                Err::<(), Error>(error) => self.outage.note(&error.to_string()),
            }
        }
    }

    /// Waits until another server has taken a PostgreSQL database over from this one, which must end then.
    pub async fn taken_over(&self) -> Error {
        match &self.engine {
            Engine::Sqlite(_) => std::future::pending().await,
            Engine::Postgres(postgres) => postgres.taken_over().await,
        }
    }

    /// Ends it: waits for what was asked for, copies the embedded engine's log into its file, and closes all connections. What is asked for
    /// afterwards is refused.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }

    /// Runs `work` in one transaction and returns when it is durable. `Err` rolls back. A deadlock runs it again, so `work` must have no effect but
    /// through its [`Tx`]. A transaction in which a statement has failed is never committed, even when `work` returns `Ok`. One whose caller goes
    /// away is kept whole or not at all: a caller that must see it through is a task of its own.
    ///
    /// # Errors
    /// What `work` returned, or the engine's error.
    pub async fn write<T, E>(&self, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        self.prompt.fetch_add(1, Ordering::Relaxed);
        self.noted(self.write_as(Kind::Durable, work).await).await
    }

    /// Like [`Database::write`], for a step of long work that no caller waits for. One that `may_be_lost` returns before it is durable: a
    /// crash of the machine may undo it, though never it alone: whatever was written after it is undone too, and what is durable later
    /// makes it so.
    ///
    /// # Errors
    /// Those of [`Database::write`].
    pub async fn write_behind<T, E>(
        &self,
        may_be_lost: bool,
        work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        self.noted(self.write_as(if may_be_lost { Kind::Lazy } else { Kind::LongDurable }, work).await).await
    }

    /// Keeps what the outcome of a write says about the database.
    async fn noted<T, E: HasDatabaseError>(&self, outcome: Result<T, E>) -> Result<T, E> {
        match outcome.as_ref().map_err(HasDatabaseError::database_error) {
            Err(Some(error)) if error.is_of_the_database() => self.outage.note(&error.to_string()),
            Err(_) => {}
            Ok(_) => self.probe_outage().await,
        }
        outcome
    }

    async fn write_as<T, E>(&self, kind: Kind, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.write(kind, work).await,
            Engine::Postgres(postgres) => {
                // In a box, here and for reads: a transaction is large, and each caller's future would carry its room.
                let mut attempt = 0;
                loop {
                    match Box::pin(postgres.transaction(&work, kind)).await {
                        Err(error) if matches!(error.database_error(), Some(Error::Retry(_))) && attempt < RETRIES => attempt += 1,
                        outcome => return outcome,
                    }
                }
            }
        }
    }

    /// Runs `work` on a snapshot. It sees everything committed before the call.
    ///
    /// # Errors
    /// What `work` returned, or the engine's error.
    pub async fn read<T, E>(&self, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        self.read_as(Kind::Read, work).await
    }

    /// Like [`Database::read`], for background work: its statements may take 20 seconds on PostgreSQL, not 5.
    ///
    /// # Errors
    /// Those of [`Database::read`].
    pub async fn read_behind<T, E>(&self, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        self.read_as(Kind::LongRead, work).await
    }

    /// Like [`Database::read`], for what goes through many rows. On the embedded engine it takes no reader and no processor away from other
    /// reads.
    ///
    /// # Errors
    /// Those of [`Database::read`].
    pub async fn search<T, E>(&self, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        self.read_as(Kind::Search, work).await
    }

    async fn read_as<T, E>(&self, kind: Kind, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + Sync + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + HasDatabaseError + Send + 'static,
    {
        let outcome = match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.read(kind, work).await,
            Engine::Postgres(postgres) => Box::pin(postgres.transaction(&work, kind)).await,
        };
        match outcome.as_ref().map_err(HasDatabaseError::database_error) {
            Err(Some(Error::ReadOnly(words))) => Err(Error::Statement(words.clone()).into()),
            _ => outcome,
        }
    }

    /// Brings the schema up to date, one runner at a time, and returns the names of the migrations that ran.
    ///
    /// # Errors
    /// [`Error::Migration`] when an applied migration is unknown here or its text has changed since.
    pub async fn migrate(&self, migrations: &'static [Migration]) -> Result<Vec<&'static str>> {
        let all = Static(migrations);
        let ran = self.write(async move |tx| crate::migrate::run(tx, &all).await).await?;
        // After the migrations, whose locks are long gone by now.
        if let Err::<(), Error>(error) = self.write(async move |tx| crate::migrate::assume_few_organizations(tx, &all).await).await {
            tracing::warn!(%error, "PostgreSQL could not be told how large organizations are, and may choose slow plans until the next start");
        }
        if let Engine::Sqlite(sqlite) = &self.engine {
            sqlite.mark()?;
        }
        Ok(ran)
    }

    /// Reads the live schema back from the engine: the tables that these migrations have made. Others may have put theirs beside them.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn schema(&self, migrations: &[Migration]) -> Result<Schema> {
        let own = crate::migrate::tables(migrations);
        let mut schema = self.read(async move |tx| crate::schema::read(tx).await).await?;
        schema.tables.retain(|name, _| own.contains(name.as_str()));
        Ok(schema)
    }

    /// How much of the database is in use at the moment.
    pub fn load(&self) -> Load {
        match &self.engine {
            Engine::Sqlite(sqlite) => Load { connections: None, files: sqlite.files() },
            Engine::Postgres(postgres) => Load { connections: Some(postgres.in_use()), files: None },
        }
    }

    /// Prepares a statement without running it.
    ///
    /// # Errors
    /// [`Error::Statement`] with the engine's words when the text does not fit the schema.
    pub async fn prepare(&self, statement: Statement) -> Result<()> {
        self.read(async move |tx| tx.prepare(statement).await).await
    }
}
