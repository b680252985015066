//! The drills' own eye on the database: a connection of its own that knows nothing of the program's statements and rules, and finds
//! every table and column by introspection.

use std::collections::BTreeMap;

use rusqlite::config::DbConfig;
use uuid::Uuid;

use crate::support::{Engine, Server};

/// Tables that outlive what they speak of.
const MEMORIES: [&str; 2] = ["audit_entries", "deletions"];

/// A connection beside the server's, whether or not that runs.
pub enum Store {
    Sqlite(rusqlite::Connection),
    Postgresql(tokio_postgres::Client),
}

/// A column of the live schema.
pub struct Column {
    pub name: String,
    pub kind: String,
}

/// A table's rows, each as one text.
pub type Rows = BTreeMap<String, Vec<String>>;

impl Store {
    /// To look at it, which the doctor does afterwards as well.
    pub async fn open(server: &Server) -> Store {
        let store = Store::open_to_write(server).await;
        store
            .run(match server.engine {
                Engine::Sqlite => "PRAGMA query_only = ON",
                Engine::Postgresql => "SET default_transaction_read_only = on",
            })
            .await;
        store
    }

    /// To change what the server has, in which the doctor may find something then.
    pub async fn open_to_change(server: &Server) -> Store {
        server.note_altered();
        Store::open_to_write(server).await
    }

    /// To do what leaves nothing.
    pub async fn open_to_write(server: &Server) -> Store {
        match server.engine {
            Engine::Sqlite => {
                let connection = rusqlite::Connection::open(server.database_file()).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
                // The last one out would otherwise tidy up the write-ahead log that a killed server left for its next start.
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
                connection.pragma_update(None, "foreign_keys", true).unwrap();
                Store::Sqlite(connection)
            }
            Engine::Postgresql => {
                let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                Store::Postgresql(client)
            }
        }
    }

    /// Runs one statement or several.
    pub async fn run(&self, statements: &str) {
        match self {
            Store::Sqlite(connection) => connection.execute_batch(statements).unwrap(),
            Store::Postgresql(client) => client.batch_execute(statements).await.unwrap(),
        }
    }

    /// The rows of a query whose columns are all texts.
    pub async fn texts<const WIDTH: usize>(&self, query: &str) -> Vec<[String; WIDTH]> {
        match self {
            Store::Sqlite(connection) => {
                let mut prepared = connection.prepare(query).unwrap();
                let rows = prepared.query_map([], |row| Ok(std::array::from_fn(|column| row.get(column).unwrap()))).unwrap();
                rows.map(Result::unwrap).collect()
            }
            Store::Postgresql(client) => {
                let rows = client.query(query, &[]).await.unwrap();
                rows.iter().map(|row| std::array::from_fn(|column| row.get(column))).collect()
            }
        }
    }

    /// The only number that a query returns.
    pub async fn number(&self, query: &str) -> i64 {
        match self {
            Store::Sqlite(connection) => connection.query_row(query, [], |row| row.get(0)).unwrap(),
            Store::Postgresql(client) => client.query_one(query, &[]).await.unwrap().get(0),
        }
    }

    /// Every table with its columns in their order.
    pub async fn tables(&self) -> BTreeMap<String, Vec<Column>> {
        let query = match self {
            Store::Sqlite(_) => {
                "SELECT tables.name, columns.name, lower(columns.type)
                 FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
                 WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%' ORDER BY tables.name, columns.cid"
            }
            Store::Postgresql(_) => {
                "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
                 WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"
            }
        };
        let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
        for [table, name, kind] in self.texts(query).await {
            tables.entry(table).or_default().push(Column { name, kind });
        }
        assert!(tables.len() >= 15, "the introspection finds the tables");
        tables
    }

    /// Rows of each table that belong to an organization, by the column `organization_id`.
    pub async fn counts(&self, organization: Uuid) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for (table, columns) in self.tables().await {
            if columns.iter().any(|column| column.name == "organization_id") {
                let id = self.uuid(organization);
                let count = self.number(&format!("SELECT count(*) FROM {table} WHERE organization_id = {id}")).await;
                counts.insert(table, count);
            }
        }
        counts
    }

    /// The internal id of the live customer with this reference.
    pub async fn customer(&self, reference: &str) -> Uuid {
        let id = match self {
            Store::Sqlite(_) => "lower(hex(id))",
            Store::Postgresql(_) => "id::text",
        };
        let query = format!("SELECT {id} FROM customers WHERE reference = '{reference}' AND state = 'live'");
        let [[id]] = self.texts::<1>(&query).await.try_into().unwrap();
        id.parse().unwrap()
    }

    /// Every place, but the tables that outlive their subjects, where an id stands in a column of the type `uuid`.
    pub async fn mentions(&self, id: Uuid) -> Vec<String> {
        let mut found = Vec::new();
        for (table, columns) in self.tables().await {
            for column in columns.iter().filter(|column| column.kind == "uuid" && !MEMORIES.contains(&table.as_str())) {
                let query = format!("SELECT count(*) FROM {table} WHERE {} = {}", column.name, self.uuid(id));
                let count = self.number(&query).await;
                if count > 0 {
                    found.push(format!("{table}.{} ({count} rows)", column.name));
                }
            }
        }
        found
    }

    /// All rows of all tables but those of some organizations, byte for byte and sorted. What the server knows of its ledger belongs to no
    /// organization.
    pub async fn rows_outside(&self, organizations: &[Uuid]) -> Rows {
        let mut all = Rows::new();
        for (table, columns) in self.tables().await.into_iter().filter(|(table, _)| !table.starts_with("ledger")) {
            let tie = match table.as_str() {
                "organizations" => Some("id"),
                _ => columns.iter().any(|column| column.name == "organization_id").then_some("organization_id"),
            };
            let ids: Vec<String> = organizations.iter().map(|id| self.uuid(*id)).collect();
            let condition = match tie {
                Some(tie) if !ids.is_empty() => format!("WHERE {tie} IS NULL OR {tie} NOT IN ({})", ids.join(", ")),
                _ => String::new(),
            };
            let row = match self {
                Store::Sqlite(_) => columns.iter().map(|column| format!("quote({})", column.name)).collect::<Vec<_>>().join(" || ',' || "),
                Store::Postgresql(_) => format!("{table}::text"),
            };
            let mut rows: Vec<String> =
                self.texts(&format!("SELECT {row} FROM {table} {condition}")).await.into_iter().map(|[row]| row).collect();
            rows.sort();
            all.insert(table, rows);
        }
        all
    }

    /// A uuid as this engine's SQL writes it.
    pub fn uuid(&self, id: Uuid) -> String {
        match self {
            Store::Sqlite(_) => format!("x'{}'", id.simple()),
            Store::Postgresql(_) => format!("'{id}'::uuid"),
        }
    }
}

/// Fails with the first differences when two sets of rows are not the same.
pub fn assert_same(before: &Rows, after: &Rows) {
    for (table, rows) in before {
        let now = &after[table];
        if rows != now {
            let gone: Vec<_> = rows.iter().filter(|row| !now.contains(row)).take(3).collect();
            let new: Vec<_> = now.iter().filter(|row| !rows.contains(row)).take(3).collect();
            panic!("{table} had {} rows and has {}; gone: {gone:?}; new: {new:?}", rows.len(), now.len());
        }
    }
    assert_eq!(before.len(), after.len());
}
