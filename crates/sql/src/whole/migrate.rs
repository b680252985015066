//! Migrations: numbered texts inside the binary, each run once, one runner at a time, refused when their text has changed since.

use std::collections::BTreeSet;

use aws_lc_rs::digest;

use crate::{Difference, Error, Result, Statement, Tx};

const APPLIED: Statement = crate::sql!("SELECT name, checksum FROM schema_migrations ORDER BY name");

/// One step of the schema.
#[derive(Debug)]
pub struct Migration {
    /// File name without its ending, such as `0001_foundation`: they run in this order.
    pub name: &'static str,
    /// Statements with PostgreSQL's native types, each ending in `;` at the end of a line.
    pub text: &'static str,
}

impl Migration {
    fn checksum(&self) -> String {
        digest::digest(&digest::SHA256, self.text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The tables that migrations leave, but for their own.
pub(crate) fn tables(migrations: &[Migration]) -> BTreeSet<&str> {
    let mut tables = BTreeSet::new();
    for line in migrations.iter().flat_map(|migration| migration.text.lines()) {
        let words: Vec<&str> =
            line.split(|letter: char| letter.is_whitespace() || "(;".contains(letter)).filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["CREATE", "TABLE", name, ..] => drop(tables.insert(name)),
            ["DROP", "TABLE", name, ..] => drop(tables.remove(name)),
            ["ALTER", "TABLE", former, "RENAME", "TO", name] => {
                tables.remove(former);
                tables.insert(name);
            }
            _ => {}
        }
    }
    tables
}

/// Writes a row as it is. What cannot be written says so.
///
/// # Errors
/// The engine's error.
pub(crate) async fn touch(tx: &mut Tx) -> Result<()> {
    let statement = crate::sql!("UPDATE schema_migrations SET name = name WHERE name = (SELECT min(name) FROM schema_migrations)");
    tx.execute(statement, &[]).await.map(drop)
}

pub(crate) async fn run(tx: &mut Tx, migrations: &[Migration]) -> Result<Vec<&'static str>> {
    // To rebuild a large table takes longer than any statement of a request may.
    tx.take_time().await?;
    if let Tx::Postgres(postgres) = tx {
        let schema = format!("CREATE SCHEMA IF NOT EXISTS {}", postgres.schema());
        // Who may not make schemas may well use one that is there.
        if tx.query_opt(crate::sql!("SELECT 1 WHERE current_schema() IS NULL"), &[]).await?.is_some() {
            tx.script(&schema).await.map_err(|error| match retry_first_meeting(error) {
                Error::Statement(words) => Error::Migration(format!(
                    "the tables' schema is not there and cannot be made ({words}): let an administrator run `{schema}`, and give it to this user"
                )),
                other => other,
            })?;
        }
    }
    // The lock makes every other runner wait here; on SQLite the write transaction itself does.
    let table = "CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, checksum text NOT NULL);";
    tx.script(table).await.map_err(retry_first_meeting)?;
    if let Tx::Postgres(_) = tx {
        tx.script("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE;").await?;
    }
    let applied: Vec<(String, String)> = tx.read_all(APPLIED, &[]).await?;
    for (name, checksum) in &applied {
        match migrations.iter().find(|migration| migration.name == name) {
            None => {
                return Err(Error::Migration(format!(
                    "this database has the migration {name}, which this program does not know: run a newer freehold"
                )));
            }
            Some(migration) if migration.checksum() != *checksum => {
                return Err(Error::Migration(format!(
                    "the migration {name} was changed after it ran here: restore its text and add a new migration instead"
                )));
            }
            Some(_) => {}
        }
    }
    let mut ran = Vec::new();
    for migration in migrations.iter().filter(|migration| applied.iter().all(|(name, _)| name != migration.name)) {
        let text = match tx {
            Tx::Sqlite(_) => cluster(migration.text),
            Tx::Postgres(_) => migration.text.to_owned(),
        };
        tx.script(&text).await.map_err(|error| Error::Migration(format!("the migration {} failed: {error}", migration.name)))?;
        tx.execute(
            crate::sql!("INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)"),
            crate::params![migration.name, migration.checksum()],
        )
        .await?;
        ran.push(migration.name);
    }
    if let Tx::Sqlite(_) = tx {
        assume_statistics(tx).await?;
    }
    Ok(ran)
}

/// How what ran here differs from what this program has, in the order of the names. Writes nothing, not even the table of migrations.
pub(crate) async fn compare(tx: &mut Tx, migrations: &[Migration]) -> Result<Vec<(String, Difference)>> {
    let table = match tx {
        Tx::Sqlite(_) => crate::sql!("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'"),
        Tx::Postgres(_) => crate::sql!(
            "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'schema_migrations' AND relnamespace = quote_ident(current_schema())::regnamespace"
        ),
    };
    let applied: Vec<(String, String)> = match tx.query_opt(table, &[]).await? {
        Some(_) => tx.read_all(APPLIED, &[]).await?,
        None => Vec::new(),
    };
    let mut differences: Vec<(String, Difference)> = Vec::new();
    for (name, checksum) in &applied {
        match migrations.iter().find(|migration| migration.name == name) {
            None => differences.push((name.clone(), Difference::Unknown)),
            Some(migration) if migration.checksum() != *checksum => differences.push((name.clone(), Difference::Changed)),
            Some(_) => {}
        }
    }
    let missing = migrations.iter().filter(|migration| applied.iter().all(|(name, _)| name != migration.name));
    differences.extend(missing.map(|migration| (migration.name.to_owned(), Difference::Missing)));
    differences.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(differences)
}

/// Tells SQLite's planner that an organization has many rows. Without statistics it believes in ten, and rather reads all of an organization
/// than goes to sixty-four of its customers; with those of one moment its plans would change with the next.
async fn assume_statistics(tx: &mut Tx) -> Result<()> {
    let indexes = crate::sql!(
        "SELECT found.name, CASE list.origin WHEN 'pk' THEN found.name ELSE list.name END,
                (SELECT group_concat(name, ',') FROM (SELECT name FROM pragma_index_info(list.name) ORDER BY seqno)), list.\"unique\"
         FROM sqlite_schema AS found, pragma_index_list(found.name) AS list
         WHERE found.type = 'table' AND found.name NOT LIKE 'sqlite%' AND list.partial = 0
           AND (list.origin <> 'pk' OR found.sql LIKE '%WITHOUT ROWID%')"
    );
    let found: Vec<(String, String, String, bool)> = tx.read_all(indexes, &[]).await?;
    // The smallest table there is: only for the table of statistics to be made.
    tx.script("ANALYZE schema_migrations; DELETE FROM sqlite_stat1").await?;
    for (table, index, columns, is_unique) in found {
        let columns: Vec<&str> = columns.split(',').collect();
        let mut statistics = String::from("10000000");
        for place in 1..=columns.len() {
            let rows = match (place, columns[0]) {
                (all, _) if is_unique && all == columns.len() => 1,
                (1, "organization_id") => 100_000,
                (1, _) => 100,
                (2, _) => 20,
                _ => 5,
            };
            statistics += &format!(" {rows}");
        }
        let insert = crate::sql!("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ($1, $2, $3)");
        tx.execute(insert, crate::params![table, index, statistics]).await?;
    }
    tx.script("ANALYZE sqlite_schema").await
}

/// Tells PostgreSQL's planner what SQLite's believes: that an organization has a hundredth of a table. Left alone it counts organizations and
/// divides; among thousands of small ones it reads the whole audit trail of a large one for each deletion there, which it takes for short.
pub(crate) async fn assume_few_organizations(tx: &mut Tx, migrations: &[Migration]) -> Result<()> {
    if let Tx::Sqlite(_) = tx {
        return Ok(());
    }
    let untold = crate::sql!(
        "SELECT attrelid::regclass::text, pg_relation_size(attrelid) > 0
         FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
         WHERE attname = 'organization_id' AND relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace
           AND relname::text = ANY($1) AND pg_has_role(relowner, 'USAGE') AND NOT 'n_distinct=100' = ANY(coalesce(attoptions, '{}'))
         ORDER BY 1"
    );
    // This does not wait for a transaction that cleans a table up: the next start tells it again.
    tx.take_time().await?;
    let mut script = String::from("SET LOCAL lock_timeout = '2s';");
    let own: Vec<String> = tables(migrations).into_iter().map(str::to_owned).collect();
    for (table, has_rows) in tx.read_all::<(String, bool)>(untold, crate::params![own]).await? {
        script += &format!("ALTER TABLE {table} ALTER COLUMN organization_id SET (n_distinct = 100);");
        if has_rows {
            script += &format!("ANALYZE {table};");
        }
    }
    tx.script(&script).await
}

/// PostgreSQL tells one of two runners that create the first table at once of a duplicate in its catalogue (`unique_violation`,
/// `duplicate_object`, `duplicate_table`); when it hears of it the other one has finished.
fn retry_first_meeting(error: Error) -> Error {
    match error {
        Error::Unique(words) => Error::Retry(words),
        Error::Statement(words) if words.starts_with("42710") || words.starts_with("42P07") => Error::Retry(words),
        other => other,
    }
}

/// On SQLite a table whose key leads with the organization is stored in that key's order: a tenant's rows lie together, and
/// deletions run 1.5 times as fast.
fn cluster(text: &str) -> String {
    // Also for a last statement whose line does not end.
    format!("{}\n", text.trim_end())
        .split_inclusive(";\n")
        .map(|statement| match (statement.contains("PRIMARY KEY (organization_id"), statement.rfind(");\n")) {
            (true, Some(end)) => format!("{}) WITHOUT ROWID;\n", &statement[..end]),
            _ => statement.to_owned(),
        })
        .collect()
}
