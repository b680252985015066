//! Fills an organization with customers and what they own, straight in the database: a million rows through the API would take all day.

use rusqlite::Connection;
use rusqlite::types::Value;
use tokio_postgres::NoTls;

use super::server::{Server, words};
use crate::Result;

/// Rows that come with each customer, itself included.
pub(super) const ROWS_A_CUSTOMER: u64 = 10;

/// The tables below a customer: how many rows each, and their own columns with a value.
const DEPENDANTS: [(&str, u64, &str, &str); 5] = [
    ("subscriptions", 1, "plan, status, starts_at", "'basic', 'expired', {time}"),
    ("transactions", 2, "amount, currency, status, description", "1999, 'EUR', 'settled', 'Invoice for a month of service'"),
    ("devices", 1, "name, platform", "'Laptop', 'linux'"),
    ("customer_sessions", 1, "ip_address, user_agent", "'192.0.2.7', 'Mozilla/5.0'"),
    ("activity_entries", 4, "kind, message", "'signed_in', 'signed in from a known device'"),
];

/// The statements, with `{organization}`, `{time}`, `{id:n}` left to the engine.
fn statements(customers: u64, each_with_dependants: bool) -> Vec<String> {
    let numbers = format!("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {customers})");
    let mut statements = vec![format!(
        "INSERT INTO customers (organization_id, id, reference, name, email, address, metadata, state, version, created_at, updated_at)
         {numbers} SELECT {{organization}}, {{id:n}}, 'bulk-' || n, 'Customer ' || n, 'customer' || n || '@example.com', '{{}}', '{{}}', 'live', 1,
                          {{time}}, {{time}} FROM numbers"
    )];
    for (table, each, columns, values) in DEPENDANTS.into_iter().filter(|_| each_with_dependants) {
        for copy in 0..each {
            statements.push(format!(
                "INSERT INTO {table} (organization_id, customer_id, id, created_at, {columns})
                 {numbers} SELECT {{organization}}, {{id:n}}, {{id:n * 10 + {copy}}}, {{time}}, {values} FROM numbers"
            ));
        }
    }
    statements
}

/// Replaces `{id:expression}` by the engine's way to make an id of a number.
fn spell(statement: &str, organization: &str, time: &str, id: impl Fn(&str) -> String) -> String {
    let mut spelled = statement.replace("{organization}", organization).replace("{time}", time);
    while let Some(start) = spelled.find("{id:") {
        let Some(length) = spelled[start..].find('}') else { break };
        let made = id(&spelled[start + 4..start + length]);
        spelled.replace_range(start..=start + length, &made);
    }
    spelled
}

/// Puts that many customers with their dependants into an organization.
pub(super) async fn fill(server: &Server, database_url: Option<&str>, organization: &str, customers: u64) -> Result {
    run(server, database_url, organization, statements(customers, true)).await
}

/// Puts that many customers who own nothing into an organization. Their ids are the numbers from 1.
pub(super) async fn fill_bare(server: &Server, database_url: Option<&str>, organization: &str, customers: u64) -> Result {
    run(server, database_url, organization, statements(customers, false)).await
}

async fn run(server: &Server, database_url: Option<&str>, organization: &str, statements: Vec<String>) -> Result {
    match database_url {
        Some(url) => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
            let connection = tokio::spawn(connection);
            for statement in statements {
                let id = |number: &str| format!("lpad(to_hex({number}), 32, '0')::uuid");
                client.batch_execute(&spell(&statement, &format!("'{organization}'::uuid"), "now()", id)).await.map_err(words)?;
            }
            // What a running database has done long before anybody deletes: without it the first statements plan on no statistics.
            client.batch_execute("ANALYZE; CHECKPOINT").await.map_err(words)?;
            drop(client);
            connection.await.map_err(words)?.map_err(words)
        }
        None => {
            let connection = Connection::open(server.freehold.folder.path().join("freehold.db")).map_err(words)?;
            connection.busy_timeout(std::time::Duration::from_secs(60)).map_err(words)?;
            connection.execute_batch("BEGIN IMMEDIATE").map_err(words)?;
            let blob = format!("x'{}'", organization.replace('-', ""));
            for statement in statements {
                let id = |number: &str| format!("unhex(printf('%032x', {number}))");
                connection.execute_batch(&spell(&statement, &blob, "1700000000000000", id)).map_err(words)?;
            }
            connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(words)
        }
    }
}

/// Every row of an organization in every table, as text in a fixed order; the organization's own row too.
pub(super) async fn contents(server: &Server, database_url: Option<&str>, organization: &str) -> Result<Vec<String>> {
    let tables: Vec<(String, &str)> = TENANT_TABLES
        .iter()
        .map(|table| (format!("SELECT * FROM {table} WHERE organization_id = {{organization}}"), *table))
        .chain([("SELECT * FROM organizations WHERE id = {organization}".to_owned(), "organizations")])
        .collect();
    let mut rows = Vec::new();
    match database_url {
        Some(url) => {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
            let connection = tokio::spawn(connection);
            for (query, table) in tables {
                let query = query
                    .replace("{organization}", &format!("'{organization}'::uuid"))
                    .replace('*', "found::text")
                    .replace(table, &format!("{table} AS found"));
                for row in client.query(&query, &[]).await.map_err(words)? {
                    rows.push(format!("{table}: {}", row.get::<_, String>(0)));
                }
            }
            drop(client);
            connection.await.map_err(words)?.map_err(words)?;
        }
        None => {
            let connection = Connection::open(server.freehold.folder.path().join("freehold.db")).map_err(words)?;
            let blob = format!("x'{}'", organization.replace('-', ""));
            for (query, table) in tables {
                let mut prepared = connection.prepare(&query.replace("{organization}", &blob)).map_err(words)?;
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
    "webhook_deliveries",
    "webhooks",
];
