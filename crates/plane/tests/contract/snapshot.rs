//! Everything that is in the database at one moment, read beside the plane, and what of it is tied to a subject by the columns that
//! [`TABLES`](plane::deletion_rules::TABLES) says point at it.

use std::collections::{BTreeMap, BTreeSet};

use deletion::{Fate, Rule};
use futures_util::future::join_all;
use plane::deletions::Root;
use sql::{Column, Schema};
use uuid::Uuid;

use crate::leftovers::{links_to, rules_of};
use crate::stage::Stage;
use crate::world::Engine;

/// A row's columns by name, as text; ids as 32 digits.
pub(crate) type Cells = BTreeMap<String, Option<String>>;
/// A row's primary key.
pub(crate) type Key = Vec<Option<String>>;
/// Rows by table and key.
pub(crate) type Rows = BTreeMap<String, BTreeMap<Key, Cells>>;

/// All tables at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) rows: Rows,
}

/// What comes of the rows that are tied to a subject.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tied {
    pub(crate) erased: BTreeMap<&'static str, BTreeSet<Key>>,
    pub(crate) redacted: BTreeMap<&'static str, BTreeSet<Key>>,
}

impl Snapshot {
    pub(crate) async fn take(engine: &Engine, schema: &Schema) -> Snapshot {
        let tables = schema.tables.iter().map(async |(name, table)| {
            let rows = read(engine, name, &table.columns).await.into_iter().map(|cells| {
                let cells: Cells = table.columns.iter().map(|column| column.name.clone()).zip(cells).collect();
                (table.primary_key.iter().map(|column| cells[column].clone()).collect::<Key>(), cells)
            });
            (name.clone(), rows.collect())
        });
        Snapshot { rows: join_all(tables).await.into_iter().collect() }
    }

    /// The rows that deletions of all of these concern.
    pub(crate) fn tied_to_all(&self, subjects: &[(Root, Uuid)]) -> Tied {
        let mut all = Tied::default();
        for (root, subject) in subjects {
            let Tied { erased, redacted } = self.tied(*root, *subject);
            erased.into_iter().for_each(|(table, keys)| all.erased.entry(table).or_default().extend(keys));
            redacted.into_iter().for_each(|(table, keys)| all.redacted.entry(table).or_default().extend(keys));
        }
        all
    }

    /// The rows of a table.
    pub(crate) fn of(&self, table: &str) -> impl Iterator<Item = &Cells> {
        self.rows[table].values()
    }

    /// The rows that a deletion of this subject concerns.
    pub(crate) fn tied(&self, root: Root, subject: Uuid) -> Tied {
        let (mut tied, subject) = (Tied::default(), digits(subject));
        for (table, column) in links_to(root) {
            for rule in rules_of(root, table, column) {
                let mine = self.rows[table].iter().filter(|(_, cells)| cells[column].as_ref() == Some(&subject) && is_meant(rule, cells));
                match rule.fate {
                    Fate::Erase => tied.erased.entry(table).or_default().extend(mine.map(|(key, _)| key.clone())),
                    Fate::Redact(columns) => {
                        let undone = mine.filter(|(_, cells)| columns.iter().any(|(column, _)| cells[*column].is_some()));
                        tied.redacted.entry(table).or_default().extend(undone.map(|(key, _)| key.clone()));
                    }
                    Fate::Keep => {}
                }
            }
        }
        tied
    }
}

/// Whether a rule that is about some rows of a table only is about this one.
fn is_meant(rule: &Rule, cells: &Cells) -> bool {
    match rule.only {
        "" => true,
        "deletion_id IS NULL" => cells["deletion_id"].is_none(),
        "deletion_id IS NOT NULL" => cells["deletion_id"].is_some(),
        "member_id <> subject_id" => cells["member_id"] != cells["subject_id"],
        other => panic!("what does {other} mean?"),
    }
}

/// An id as the cells have it.
pub(crate) fn digits(id: Uuid) -> String {
    id.simple().to_string()
}

impl Stage {
    /// All rows of all tables as one text, or a digest of it: two moments are compared quickly by it.
    pub(crate) async fn everything(&self) -> String {
        let of_tables = self.schema.tables.iter().map(|(name, table)| {
            let columns: Vec<String> = table.columns.iter().map(|column| format!("quote({})", column.name)).collect();
            match &self.engine {
                Engine::Sqlite(_) => {
                    let rows = format!("SELECT {} AS texts FROM {name} ORDER BY texts", columns.join(" || ',' || "));
                    format!("coalesce((SELECT group_concat(texts) FROM ({rows})), '')")
                }
                Engine::Postgres(_) => format!("(SELECT md5(string_agg(texts::text, ',' ORDER BY texts::text)) FROM {name} AS texts)"),
            }
        });
        let of_tables: Vec<String> = of_tables.collect();
        match &self.engine {
            Engine::Sqlite(file) => {
                let query = format!("SELECT {}", of_tables.join(" || ';' || "));
                rusqlite::Connection::open(file).unwrap().query_row(&query, [], |row| row.get(0)).unwrap()
            }
            Engine::Postgres(client) => {
                client.query_one(&format!("SELECT concat_ws(';', {})", of_tables.join(", ")), &[]).await.unwrap().get(0)
            }
        }
    }

    /// Takes everything out of the database, beside the plane.
    pub(crate) async fn clear(&self) {
        let everything = ["organizations", "users", "audit_entries", "deletions", "exports"].map(|table| format!("DELETE FROM {table};"));
        self.engine.run(&everything.concat(), &everything.concat()).await.unwrap();
    }
}

async fn read(engine: &Engine, table: &str, columns: &[Column]) -> Vec<Vec<Option<String>>> {
    match engine {
        Engine::Sqlite(file) => {
            let spelled = columns.iter().map(|Column { name, kind, .. }| match kind.as_str() {
                "uuid" => format!("lower(hex(nullif({name}, '')))"),
                _ => format!("quote({name})"),
            });
            let spelled = columns.iter().zip(spelled).map(|(column, text)| format!("iif({} IS NULL, NULL, {text})", column.name));
            let connection = rusqlite::Connection::open(file).unwrap();
            let mut query = connection.prepare(&format!("SELECT {} FROM {table}", spelled.collect::<Vec<_>>().join(", "))).unwrap();
            let rows = query.query_map([], |row| (0..columns.len()).map(|place| row.get(place)).collect());
            rows.unwrap().map(Result::unwrap).collect()
        }
        Engine::Postgres(client) => {
            let spelled = columns.iter().map(|Column { name, kind, .. }| match kind.as_str() {
                "uuid" => format!("replace({name}::text, '-', '')"),
                _ => format!("{name}::text"),
            });
            let query = format!("SELECT {} FROM {table}", spelled.collect::<Vec<_>>().join(", "));
            let rows = client.query(&query, &[]).await.unwrap();
            rows.iter().map(|row| (0..columns.len()).map(|place| row.get(place)).collect()).collect()
        }
    }
}
