//! What can be wrong with a database without any statement failing: migrations that are missing, a damaged file, rows whose parent is gone.
//! Reads only.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{Database, Migration, Result, Statement, Static, Tx, Value, migrate, sql};

/// How a migration differs between this program and a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It has not run there yet.
    Missing,
    /// It ran there, and this program does not know it.
    Unknown,
    /// It ran there with another text.
    Changed,
}

/// Rows whose parent does not exist, along one foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphans {
    /// The table they are in.
    pub table: String,
    /// The table that their parents should be in.
    pub parent: String,
    /// The columns that point there.
    pub columns: Vec<String>,
    /// How many.
    pub rows: i64,
    /// Some of the parents that are missing, by the columns that point at them.
    pub sample: Vec<String>,
}

/// A foreign key of the live schema.
struct Tie {
    table: String,
    columns: Vec<String>,
    parent: String,
    parent_columns: Vec<String>,
}

/// Lines of a damage report at the most.
const MOST_FAULTS: usize = 20;

impl Database {
    /// Holds the migrations that ran here against those this program has.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn differences(&self, migrations: &'static [Migration]) -> Result<Vec<(String, Difference)>> {
        let all = Static(migrations);
        self.read(async move |tx| migrate::compare(tx, &all).await).await
    }

    /// What the engine says is damaged in its file. PostgreSQL has no such check to ask for over a connection: nothing is found there.
    ///
    /// # Errors
    /// The engine's error, which damage can cause too.
    pub async fn damage(&self) -> Result<Vec<String>> {
        self.read(async move |tx| {
            if let Tx::Postgres(_) = tx {
                return Ok(Vec::new());
            }
            let lines: Vec<String> = tx.read_all(sql!("SELECT quick_check FROM pragma_quick_check"), &[]).await?;
            Ok(lines.into_iter().filter(|line| line != "ok").take(MOST_FAULTS).collect())
        })
        .await
    }

    /// Which of these tables have rows.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn filled(&self, tables: impl IntoIterator<Item = &str>) -> Result<BTreeSet<String>> {
        let look = |table: &str| format!("SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})");
        let looks: Vec<String> = tables.into_iter().map(look).collect();
        if looks.is_empty() {
            return Ok(BTreeSet::new());
        }
        // A look at the whole database asks this once.
        let statement = Statement::generated(looks.join(" UNION ALL "));
        self.read(async move |tx| {
            tx.take_time().await?;
            Ok(tx.read_all(statement, &[]).await?.into_iter().collect())
        })
        .await
    }

    /// Rows that hang on nothing, along every foreign key of these tables, with up to `most` of them by name.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn orphans(&self, tables: &BTreeSet<String>, most: i64) -> Result<Vec<Orphans>> {
        let (ties, mut found) = (self.read(async move |tx| ties(tx).await).await?, Vec::new());
        for tie in ties.into_iter().filter(|tie| tables.contains(&tie.table)) {
            // One at a time: a snapshot that is held for long keeps PostgreSQL from cleaning up.
            found.extend(self.read(async move |tx| along(tx, &tie, most).await).await?);
        }
        Ok(found)
    }
}

impl Tx {
    /// For a check of everything that no request waits for: lifts the limits that keep requests short.
    ///
    /// # Errors
    /// The engine's error.
    pub async fn take_time(&mut self) -> Result<()> {
        match self {
            Tx::Sqlite(_) => Ok(()),
            Tx::Postgres(tx) => {
                tx.take_time();
                self.script(
                    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL enable_seqscan = on;",
                )
                .await
            }
        }
    }
}

async fn ties(tx: &mut Tx) -> Result<Vec<Tie>> {
    let statement = match tx {
        Tx::Sqlite(_) => sql!(
            "SELECT child, parent, group_concat(\"from\", ','), group_concat(\"to\", ',')
             FROM (SELECT found.name AS child, list.id AS number, list.\"table\" AS parent, list.\"from\", list.\"to\"
                   FROM sqlite_schema AS found, pragma_foreign_key_list(found.name) AS list
                   WHERE found.type = 'table' ORDER BY found.name, list.id, list.seq)
             GROUP BY child, number ORDER BY child, number"
        ),
        Tx::Postgres(_) => sql!(
            "SELECT child.relname, parent.relname,
                    (SELECT string_agg(attname::text, ',' ORDER BY place)
                     FROM unnest(conkey) WITH ORDINALITY AS part (number, place)
                     JOIN pg_catalog.pg_attribute ON attrelid = conrelid AND attnum = number),
                    (SELECT string_agg(attname::text, ',' ORDER BY place)
                     FROM unnest(confkey) WITH ORDINALITY AS part (number, place)
                     JOIN pg_catalog.pg_attribute ON attrelid = confrelid AND attnum = number)
             FROM pg_catalog.pg_constraint AS held
             JOIN pg_catalog.pg_class AS child ON child.oid = conrelid
             JOIN pg_catalog.pg_class AS parent ON parent.oid = confrelid
             WHERE contype = 'f' AND child.relnamespace = quote_ident(current_schema())::regnamespace
             ORDER BY 1, 3"
        ),
    };
    let names = |list: String| list.split(',').map(str::to_owned).collect();
    let read = |(table, parent, columns, parents)| Tie { table, parent, columns: names(columns), parent_columns: names(parents) };
    Ok(tx.read_all(statement, &[]).await?.into_iter().map(read).collect())
}

async fn along(tx: &mut Tx, tie: &Tie, most: i64) -> Result<Option<Orphans>> {
    tx.take_time().await?;
    let Tie { table, columns, parent, parent_columns } = tie;
    let present: Vec<String> = columns.iter().map(|column| format!("child.{column} IS NOT NULL")).collect();
    let same: Vec<String> =
        columns.iter().zip(parent_columns).map(|(column, referred)| format!("parent.{referred} = child.{column}")).collect();
    let orphaned = format!(
        "FROM {table} AS child WHERE {} AND NOT EXISTS (SELECT 1 FROM {parent} AS parent WHERE {})",
        present.join(" AND "),
        same.join(" AND ")
    );
    // A check of the whole database makes each of these once: there are as many as foreign keys.
    let rows: i64 = tx.read_one(Statement::generated(format!("SELECT count(*) {orphaned}")), &[]).await?;
    if rows == 0 {
        return Ok(None);
    }
    // By the parent that is missing: that is what tells where they come from.
    let name = columns.iter().map(|column| format!("child.{column}")).collect::<Vec<_>>().join(", ");
    let statement = Statement::generated(format!("SELECT DISTINCT {name} {orphaned} ORDER BY {name} LIMIT {most}"));
    let sample = tx.query(statement, &[]).await?.into_iter();
    let sample = sample.map(|row| row.rest().iter().map(spell).collect::<Vec<_>>().join("/")).collect();
    Ok(Some(Orphans { table: table.clone(), parent: parent.clone(), columns: columns.clone(), rows, sample }))
}

/// A value for people, ids of either engine as ids.
fn spell(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bytes(bytes) => Uuid::from_slice(bytes).map_or_else(|_| format!("{} bytes", bytes.len()), |id| id.to_string()),
        Value::Uuid(id) => id.to_string(),
        Value::Time(time) => time.to_string(),
        Value::Json(json) => json.to_string(),
        Value::Uuids(_) | Value::Texts(_) => "a list".into(),
    }
}
