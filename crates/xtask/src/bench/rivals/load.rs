//! Fills an organization with customers and what they own, straight in the database: a million rows through the API would take all day.

use std::path::PathBuf;

use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::task::block_in_place;
use tokio_postgres::NoTls;

use crate::Result;
use crate::bench::server::{Server, words};

/// The database under a server, reached directly.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// Its address.
    Postgres(String),
    /// Its file.
    Sqlite(PathBuf),
}

/// What an organization is filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk {
    /// Customers. The id and the reference of each are made from its number.
    pub(crate) customers: u64,
    /// The number of the first.
    pub(crate) first: u64,
    /// Rows that each customer has in the tables of [`DEPENDANTS`].
    pub(crate) each: [u64; 5],
}

/// Nothing hangs on a customer.
pub(crate) const BARE: [u64; 5] = [0; 5];
/// One of each kind hangs on a customer.
pub(crate) const FIVE: [u64; 5] = [1; 5];
/// Nine rows hang on a customer, as they come in life: more entries than subscriptions.
pub(crate) const NINE: [u64; 5] = [1, 2, 1, 1, 4];

/// The tables below a customer, with columns of their own and a value for each. None of it stands in a deletion's way.
pub(crate) const DEPENDANTS: [(&str, &str, &str); 5] = [
    ("subscriptions", "plan, status, starts_at", "'basic', 'expired', {time}"),
    ("transactions", "amount, currency, status, description", "1999, 'EUR', 'settled', 'Invoice for a month of service'"),
    ("devices", "name, platform", "'Laptop', 'linux'"),
    ("customer_sessions", "ip_address, user_agent", "'192.0.2.7', 'Mozilla/5.0'"),
    ("activity_entries", "kind, message", "'signed_in', 'signed in from a known device'"),
];

impl Bulk {
    /// That many customers from number 1, with so many rows each.
    pub(crate) fn new(customers: u64, each: [u64; 5]) -> Bulk {
        Bulk { customers, first: 1, each }
    }

    /// All rows, the customers' own included.
    pub(crate) fn rows(&self) -> u64 {
        self.customers * (1 + self.each.iter().sum::<u64>())
    }

    /// The statements, with `{organization}`, `{time}`, `{id:n}` left to the engine.
    fn statements(&self) -> Vec<String> {
        let (first, last) = (self.first, self.first + self.customers - 1);
        let numbers = format!("WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})");
        let mut statements = vec![format!(
            "INSERT INTO customers (organization_id, id, reference, name, email, address, metadata, state, version, created_at, updated_at,
                                    email_key, search_key)
             {numbers} SELECT {{organization}}, {{id:n}}, 'bulk-' || n, 'Customer ' || n, 'customer' || n || '@example.com', '{{}}', '{{}}', 'live', 1,
                              {{time}}, {{time}}, 'customer' || n || '@example.com',
                              'customer ' || n || ' bulk-' || n || ' customer' || n || '@example.com' FROM numbers"
        )];
        for ((table, columns, values), each) in DEPENDANTS.into_iter().zip(self.each).filter(|(_, each)| *each > 0) {
            // In the order of the primary key: a customer's rows together.
            statements.push(format!(
                "INSERT INTO {table} (organization_id, customer_id, id, created_at, {columns})
                 WITH RECURSIVE copies (n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM copies WHERE n < {end})
                 SELECT {{organization}}, {{id:n / {each}}}, {{id:n}}, {{time}}, {values} FROM copies",
                start = first * each,
                end = (last + 1) * each - 1,
            ));
        }
        statements
    }
}

impl Store {
    /// The database of a server that was started with this address, or with none.
    pub(crate) fn of(server: &Server, database_url: Option<&str>) -> Store {
        match database_url {
            Some(url) => Store::Postgres(url.into()),
            None => Store::Sqlite(server.freehold.folder.path().join("freehold.db")),
        }
    }

    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Store::Postgres(_) => "PostgreSQL",
            Store::Sqlite(_) => "SQLite",
        }
    }

    /// Writes an organization's id and what else the engines spell differently: `{organization}`, `{time}` for a time, `{id:n}` for the id made
    /// of a number.
    pub(crate) fn spell(&self, statement: &str, organization: &str) -> String {
        let (organization, time) = match self {
            Store::Postgres(_) => (format!("'{organization}'::uuid"), "now()"),
            Store::Sqlite(_) => (format!("x'{}'", organization.replace('-', "")), "1700000000000000"),
        };
        let mut spelled = statement.replace("{organization}", &organization).replace("{time}", time);
        while let Some(start) = spelled.find("{id:") {
            let Some(length) = spelled[start..].find('}') else { break };
            let number = &spelled[start + 4..start + length];
            let id = match self {
                Store::Postgres(_) => format!("lpad(to_hex({number}), 32, '0')::uuid"),
                Store::Sqlite(_) => format!("unhex(printf('%032x', {number}))"),
            };
            spelled.replace_range(start..=start + length, &id);
        }
        spelled
    }

    /// Puts rows into an organization.
    pub(crate) async fn fill(&self, organization: &str, bulk: Bulk) -> Result {
        let statements = bulk.statements().iter().map(|statement| self.spell(statement, organization)).collect::<Vec<_>>().join(";\n");
        // The parents are there: they need not be looked for a million times.
        match self {
            Store::Postgres(_) => {
                self.run(&format!("BEGIN;\nSET LOCAL session_replication_role = replica;\n{statements};\nCOMMIT")).await?
            }
            Store::Sqlite(_) => self.run(&format!("PRAGMA foreign_keys = OFF;\nBEGIN IMMEDIATE;\n{statements};\nCOMMIT")).await?,
        }
        self.settle().await
    }

    /// Does what a running database has done long before anybody deletes: a checkpoint, and on PostgreSQL statistics, without which the first
    /// statements would be planned for an empty database.
    pub(crate) async fn settle(&self) -> Result {
        match self {
            Store::Postgres(_) => {
                self.run("ANALYZE").await?;
                self.run("CHECKPOINT").await
            }
            Store::Sqlite(_) => self.run("PRAGMA wal_checkpoint(TRUNCATE)").await,
        }
    }

    /// Runs statements on a connection of their own.
    pub(crate) async fn run(&self, statements: &str) -> Result {
        match self {
            Store::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
                let connection = tokio::spawn(connection);
                client.batch_execute(statements).await.map_err(words)?;
                drop(client);
                connection.await.map_err(words)?.map_err(words)
            }
            Store::Sqlite(path) => block_in_place(|| {
                let connection = Connection::open(path).map_err(words)?;
                connection.busy_timeout(std::time::Duration::from_secs(60)).map_err(words)?;
                connection.execute_batch(statements).map_err(words)
            }),
        }
    }

    /// The whole numbers that a query with one column returns.
    pub(crate) async fn numbers(&self, query: &str) -> Result<Vec<i64>> {
        match self {
            Store::Postgres(url) => {
                let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
                let connection = tokio::spawn(connection);
                let rows = client.query(query, &[]).await.map_err(words)?;
                drop(client);
                connection.await.map_err(words)?.map_err(words)?;
                rows.iter().map(|row| row.try_get(0).map_err(words)).collect()
            }
            Store::Sqlite(path) => block_in_place(|| {
                let connection = Connection::open(path).map_err(words)?;
                let mut prepared = connection.prepare(query).map_err(words)?;
                let found = prepared.query_map([], |row| row.get(0)).map_err(words)?;
                found.collect::<rusqlite::Result<Vec<i64>>>().map_err(words)
            }),
        }
    }

    /// How many rows of a table are an organization's, and `also`, such as `AND state = 'live'`.
    pub(crate) async fn count(&self, table: &str, organization: &str, also: &str) -> Result<usize> {
        let query = self.spell(&format!("SELECT count(*) FROM {table} WHERE organization_id = {{organization}} {also}"), organization);
        let counted = self.numbers(&query).await?;
        counted.first().and_then(|count| usize::try_from(*count).ok()).ok_or_else(|| "a count without a number".into())
    }
}

impl Store {
    /// Bytes written so far, to compare with a later call: PostgreSQL's log, or what a process has handed to the file system.
    pub(crate) async fn written(&self, process: Option<u32>) -> Result<i64> {
        match self {
            Store::Postgres(_) => {
                let log = self.numbers("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").await?;
                log.first().copied().ok_or_else(|| "no place in the log".into())
            }
            Store::Sqlite(_) => {
                let process = process.ok_or("the process has ended")?;
                let told = std::fs::read_to_string(format!("/proc/{process}/io")).map_err(words)?;
                let bytes = told.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
                bytes.ok_or_else(|| "the kernel does not say what was written".into())
            }
        }
    }

    /// The present size of SQLite's write-ahead log.
    pub(crate) fn log_bytes(&self) -> u64 {
        match self {
            Store::Postgres(_) => 0,
            Store::Sqlite(path) => path.with_extension("db-wal").metadata().map_or(0, |file| file.len()),
        }
    }

    /// From the request for a deletion to its completion.
    pub(crate) async fn deletion_seconds(&self, id: &str) -> Result<f64> {
        // The id is spelled as an organization's is.
        let query = self.spell(&format!("SELECT {} FROM deletions WHERE id = {{organization}}", self.age()), id);
        let found = self.numbers(&query).await?;
        found.first().map(|micros| *micros as f64 / 1e6).ok_or_else(|| "the deletion has no record".into())
    }

    /// Milliseconds from the request to the completion of the deletions of an organization's customers up to a number.
    pub(crate) async fn deletion_millis(&self, organization: &str, last: u64) -> Result<Vec<f64>> {
        let query =
            format!("SELECT {} FROM deletions WHERE organization_id = {{organization}} AND subject_id <= {{id:{last}}}", self.age());
        Ok(self.numbers(&self.spell(&query, organization)).await?.into_iter().map(|micros| micros as f64 / 1e3).collect())
    }

    /// The microseconds of a deletion.
    fn age(&self) -> &'static str {
        match self {
            Store::Postgres(_) => "(extract(epoch FROM completed_at - created_at) * 1000000)::bigint",
            Store::Sqlite(_) => "completed_at - created_at",
        }
    }
}

/// Every row of an organization in every table, as text in a fixed order; the organization's own row too.
pub(crate) async fn contents(store: &Store, organization: &str) -> Result<Vec<String>> {
    let tables: Vec<(String, &str)> = TENANT_TABLES
        .iter()
        .map(|table| (format!("SELECT * FROM {table} WHERE organization_id = {{organization}}"), *table))
        .chain([("SELECT * FROM organizations WHERE id = {organization}".to_owned(), "organizations")])
        .collect();
    let mut rows = Vec::new();
    match store {
        Store::Postgres(url) => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
            let connection = tokio::spawn(connection);
            for (query, table) in tables {
                let query = store.spell(&query, organization).replace('*', "found::text").replace(table, &format!("{table} AS found"));
                for row in client.query(&query, &[]).await.map_err(words)? {
                    rows.push(format!("{table}: {}", row.get::<_, String>(0)));
                }
            }
            drop(client);
            connection.await.map_err(words)?.map_err(words)?;
        }
        Store::Sqlite(path) => {
            let connection = Connection::open(path).map_err(words)?;
            for (query, table) in tables {
                let mut prepared = connection.prepare(&store.spell(&query, organization)).map_err(words)?;
                let width = prepared.column_count();
                let mut found = prepared.query([]).map_err(words)?;
                while let Some(row) = found.next().map_err(words)? {
                    let columns =
                        (0..width).map(|column| row.get::<_, Value>(column)).collect::<rusqlite::Result<Vec<_>>>().map_err(words)?;
                    rows.push(format!("{table}: {columns:?}"));
                }
            }
        }
    }
    rows.sort();
    Ok(rows)
}

/// The tables whose rows must all be gone when their organization is.
const TENANT_TABLES: [&str; 15] = [
    "activity_entries",
    "api_keys",
    "customer_sessions",
    "customers",
    "devices",
    "invitations",
    "members",
    "oauth_apps",
    "oauth_tokens",
    "screens",
    "sessions",
    "subscriptions",
    "transactions",
    "effects",
    "webhooks",
];
