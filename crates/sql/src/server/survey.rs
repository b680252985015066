//! What is found out about a PostgreSQL when it is opened: whether its release is known, in which schema the tables are or will be, how long a
//! statement may take, and whether a session stays the same from one transaction to the next.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connecting::{Connector, within};
use crate::{Error, Result};

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(20);
/// The oldest release whose behaviour the tests have seen.
const OLDEST_SERVER: i64 = 150_000;
/// Where a new database goes that is not empty.
const OWN_SCHEMA: &str = "freehold";
/// How often it is tried whether a session stays the same.
const TRIES: usize = 3;

/// Release, the milliseconds that a statement may take, the schema that a new table would come into, and whether it was chosen.
const ABOUT: &str = "SELECT current_setting('server_version_num')::bigint,
            (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'),
            current_schema()::text,
            (SELECT source <> 'default' FROM pg_catalog.pg_settings WHERE name = 'search_path')";
/// Whether a schema has our table of migrations, and another program's.
const MIGRATIONS: &str = "SELECT count(*) FILTER (WHERE is_ours) > 0, count(*) FILTER (WHERE NOT is_ours) > 0
     FROM (SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = found.oid AND attname = 'checksum') AS is_ours
           FROM pg_catalog.pg_class AS found
           WHERE relname = 'schema_migrations' AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)) AS tables";
/// Whether a schema has tables, views and the like that belong to no extension.
const IS_IN_USE: &str = "SELECT EXISTS (
         SELECT 1 FROM pg_catalog.pg_class AS found
         WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
           AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend
                           WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = found.oid AND deptype = 'e'))";

/// What was found out.
pub(crate) struct Survey {
    /// How long a statement may take; none is any time.
    pub(crate) statement_timeout: Option<Duration>,
}

/// Looks, and has the connector use the schema.
///
/// # Errors
/// [`Error::Unavailable`] when PostgreSQL cannot be reached, [`Error::Migration`] when it cannot be used, with the remedy.
pub(crate) async fn look(connector: &mut Connector, schema: Option<&str>) -> Result<Survey> {
    let (client, _task) = connector.connect().await.map_err(|error| connector.advise(error))?;
    within(PATIENCE, "looking at the database", async {
        if !is_session_kept(connector, &client).await? {
            return Err(Error::Migration(
                "PgBouncer, or another pooler, stands before PostgreSQL and gives every transaction another session, which keeps neither a lock \
                 nor a setting: put PostgreSQL's own address into the address of the database, or that of a pool in session mode"
                    .into(),
            ));
        }
        let about = client.query_one(ABOUT, &[]).await?;
        let (version, millis): (i64, i64) = (about.get(0), about.get(1));
        if version < OLDEST_SERVER {
            return Err(Error::Migration(format!("PostgreSQL {} is too old: 15 is the oldest supported", version / 10_000)));
        }
        let schema = match schema {
            Some(name) => named(&client, name).await?,
            None => found(&client, about.get(2), about.get(3)).await?,
        };
        connector.use_schema(&schema);
        let statement_timeout = u64::try_from(millis).ok().filter(|millis| *millis > 0).map(Duration::from_millis);
        Ok(Survey { statement_timeout })
    })
    .await
}

/// The schema that was asked for, if it can be used.
async fn named(client: &Client, name: &str) -> Result<String> {
    if name.is_empty() || name.len() > 63 || name.starts_with("pg_") || name.chars().any(char::is_control) {
        return Err(Error::Migration(format!(
            "--schema={name:?} is no name for a schema: it has 1 to 63 bytes and does not begin with pg_"
        )));
    }
    let row = client.query_one(MIGRATIONS, &[&name]).await?;
    match row.get(1) {
        true => Err(Error::Migration(format!(
            "the schema {name} has a table schema_migrations of another program: name another schema with --schema"
        ))),
        false => Ok(name.to_owned()),
    }
}

/// The schema in which the tables are; for a new database the one that tables come into, unless others have put something there.
async fn found(client: &Client, current: Option<String>, is_chosen: bool) -> Result<String> {
    let Some(current) = current else { return Ok(OWN_SCHEMA.into()) };
    let is_ours = client.query_one(MIGRATIONS, &[&current]).await?.get(0);
    if is_chosen || is_ours {
        return Ok(current);
    }
    let is_elsewhere = client.query_one(MIGRATIONS, &[&OWN_SCHEMA]).await?.get(0);
    match is_elsewhere || client.query_one(IS_IN_USE, &[&current]).await?.get(0) {
        true => Ok(OWN_SCHEMA.into()),
        false => Ok(current),
    }
}

/// Whether a session has the same process of PostgreSQL in each transaction, also while another session has a transaction open.
async fn is_session_kept(connector: &Connector, client: &Client) -> Result<bool> {
    let (other, _task) = connector.connect().await?;
    for _ in 0..TRIES {
        let before = process(client).await?;
        if let Err(error) = other.batch_execute("BEGIN").await {
            // PgBouncer says so when it lends its sessions for a statement.
            return if error.as_db_error().is_some_and(|error| error.message().contains("pooling")) {
                Ok(false)
            } else {
                Err(error.into())
            };
        }
        // Most likely the session that has just become free, if they are lent.
        if process(&other).await? == before || process(client).await? != before {
            return Ok(false);
        }
        other.batch_execute("ROLLBACK").await?;
    }
    Ok(true)
}

/// Asked for so that it leaves no prepared statement behind.
async fn process(client: &Client) -> Result<Option<String>> {
    let told = client.simple_query("SELECT pg_catalog.pg_backend_pid()").await?;
    Ok(told.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
