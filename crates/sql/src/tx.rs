//! A transaction at hand, on either engine.

use crate::database::Statement;
use crate::postgres::PostgresTx;
use crate::sql;
use crate::sqlite_tx::SqliteTx;
use crate::{Error, FromRow, Result, Row, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One transaction on one engine. After its first failed statement it runs no other, whatever becomes of the error: PostgreSQL would
/// not, and code that works on one engine must not behave otherwise on the other.
pub enum Tx {
    #[doc(hidden)]
    Sqlite(SqliteTx),
    #[doc(hidden)]
    Postgres(PostgresTx),
}

pub(crate) const SHARE: Statement = sql!("SELECT 1 FROM pg_advisory_xact_lock_shared($1)");

pub(crate) const SEIZE: Statement = sql!("SELECT set_config('lock_timeout', '5s', true), CAST(pg_advisory_xact_lock($1) AS text)");

/// How a transaction keeps a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// With all others that share it.
    Shared,
    /// Alone.
    Alone,
}

impl Tx {
    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn execute(&mut self, statement: Statement, params: &[Value]) -> Result<u64> {
        self.refuse_after_failure()?;
        let outcome = match self {
            Tx::Sqlite(tx) => tx.execute(statement.text(), params),
            Tx::Postgres(tx) => tx.execute(statement.text(), params).await,
        };
        self.remember_failure(outcome)
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn query(&mut self, statement: Statement, params: &[Value]) -> Result<Vec<Row>> {
        self.refuse_after_failure()?;
        let outcome = match self {
            Tx::Sqlite(tx) => tx.query(statement.text(), params),
            Tx::Postgres(tx) => tx.query(statement.text(), params).await,
        };
        self.remember_failure(outcome)
    }

    /// Runs statements that do not need each other's answers, in their order, and returns the rows of each. Over a network they cost one way
    /// there and back together.
    ///
    /// # Errors
    /// The engine's error about the first that failed.
    pub async fn query_all(&mut self, statements: &[(Statement, &[Value])]) -> Result<Vec<Vec<Row>>> {
        self.refuse_after_failure()?;
        let outcome = match self {
            Tx::Sqlite(tx) => statements.iter().map(|(statement, params)| tx.query(statement.text(), params)).collect(),
            Tx::Postgres(tx) => {
                let texts: Vec<(&str, &[Value])> = statements.iter().map(|(statement, params)| (statement.text(), *params)).collect();
                tx.query_all(&texts).await
            }
        };
        self.remember_failure(outcome)
    }

    /// Runs a statement that returns one row at the most.
    ///
    /// # Errors
    /// The engine's error, or [`Error::Statement`] when there is a second row.
    pub async fn query_opt(&mut self, statement: Statement, params: &[Value]) -> Result<Option<Row>> {
        let mut rows = self.query(statement, params).await?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            _ => Err(Error::Statement("more than one row where one at the most was expected".into())),
        }
    }

    /// Runs a statement that returns exactly one row.
    ///
    /// # Errors
    /// The engine's error, or [`Error::Statement`] when there is not exactly one.
    pub async fn query_one(&mut self, statement: Statement, params: &[Value]) -> Result<Row> {
        self.query_opt(statement, params).await?.ok_or_else(|| Error::Statement("no row where one was expected".into()))
    }

    /// Runs a statement and reads its rows.
    ///
    /// # Errors
    /// The engine's error, or that of [`Row::read`].
    pub async fn read_all<T: FromRow>(&mut self, statement: Statement, params: &[Value]) -> Result<Vec<T>> {
        self.query(statement, params).await?.into_iter().map(Row::read).collect()
    }

    /// Runs a statement and reads its row, of which there is one at the most.
    ///
    /// # Errors
    /// Those of [`Tx::query_opt`] and [`Row::read`].
    pub async fn read_opt<T: FromRow>(&mut self, statement: Statement, params: &[Value]) -> Result<Option<T>> {
        self.query_opt(statement, params).await?.map(Row::read).transpose()
    }

    /// Runs a statement and reads its one row.
    ///
    /// # Errors
    /// Those of [`Tx::query_one`] and [`Row::read`].
    pub async fn read_one<T: FromRow>(&mut self, statement: Statement, params: &[Value]) -> Result<T> {
        self.query_one(statement, params).await?.read()
    }

    /// Whether no other transaction writes until this one ends, if it may write itself: what it has read stays true without a lock.
    pub fn is_alone(&self) -> bool {
        matches!(self, Tx::Sqlite(_))
    }

    /// Waits until no transaction has this key to itself, and keeps it with all who share it until the transaction ends.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn share(&mut self, key: Uuid) -> Result<()> {
        self.advise(SHARE, key).await
    }

    /// Shares this key like [`Tx::share`], unless a transaction has it to itself or waits for that. Returns whether it does.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn try_share(&mut self, key: Uuid) -> Result<bool> {
        match self {
            Tx::Sqlite(_) => Ok(true),
            Tx::Postgres(_) => self.read_one(sql!("SELECT pg_try_advisory_xact_lock_shared($1)"), &[half(key)]).await,
        }
    }

    /// Waits until no other transaction has or shares this key, and keeps it alone until the transaction ends. Transactions that want to
    /// share it meanwhile wait behind, so that many of them cannot keep this one from it. So that they do not wait for long, this
    /// transaction waits for 5 seconds at the most, for this and for every other lock.
    ///
    /// # Errors
    /// [`Error::Unavailable`] after that time; otherwise the engine's error.
    pub async fn seize(&mut self, key: Uuid) -> Result<()> {
        self.advise(SEIZE, key).await
    }

    /// The statements that take these keys, for [`Tx::query_all`] to run before others: each shared, or alone where that is asked for. All
    /// transactions that take their keys with one call wait for each other in no circle. A key that is asked for twice is taken once, alone if
    /// one of them asks for that; the wait for it is then bounded as in [`Tx::seize`]. Nothing on the embedded engine, where a writer is alone.
    pub fn locks(&self, keys: impl IntoIterator<Item = (Uuid, Hold)>) -> Vec<(Statement, Vec<Value>)> {
        if matches!(self, Tx::Sqlite(_)) {
            return Vec::new();
        }
        let mut wanted: BTreeMap<i64, Hold> = BTreeMap::new();
        for (key, hold) in keys {
            let wanted = wanted.entry(key.as_u128() as i64).or_insert(hold);
            *wanted = (*wanted).max(hold);
        }
        let statement = |(key, hold)| match hold {
            Hold::Shared => (SHARE, vec![Value::from(key)]),
            Hold::Alone => (SEIZE, vec![Value::from(key)]),
        };
        wanted.into_iter().map(statement).collect()
    }

    async fn advise(&mut self, lock: Statement, key: Uuid) -> Result<()> {
        match self {
            // The transaction that writes is alone.
            Tx::Sqlite(_) => Ok(()),
            Tx::Postgres(_) => self.execute(lock, &[half(key)]).await.map(drop),
        }
    }

    /// Runs a script of statements without parameters.
    pub(crate) async fn script(&mut self, text: &str) -> Result<()> {
        self.refuse_after_failure()?;
        let outcome = match self {
            Tx::Sqlite(tx) => tx.script(text),
            Tx::Postgres(tx) => tx.script(text).await,
        };
        self.remember_failure(outcome)
    }

    fn refuse_after_failure(&mut self) -> Result<()> {
        self.failure().clone().map_or(Ok(()), Err)
    }

    fn remember_failure<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            *self.failure() = Some(error.clone());
        }
        outcome
    }

    /// The error of the statement that has failed.
    pub(crate) fn failure(&mut self) -> &mut Option<Error> {
        match self {
            Tx::Sqlite(tx) => &mut tx.failure,
            Tx::Postgres(tx) => &mut tx.failure,
        }
    }

    pub(crate) async fn prepare(&mut self, statement: Statement) -> Result<()> {
        match self {
            Tx::Sqlite(tx) => tx.prepare(statement.text()),
            Tx::Postgres(tx) => tx.prepare(statement.text()).await,
        }
    }
}

/// The end of a UUID is what is random in it. Two keys that meet in it wait for each other, and that is all.
pub(crate) fn half(key: Uuid) -> Value {
    Value::from(key.as_u128() as i64)
}
