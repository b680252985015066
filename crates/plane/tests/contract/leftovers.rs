//! What is left of a deleted subject, found without the engine's statements: by the columns that [`RULES.tables`] says point at such a subject.

use deletion::{Fate, Holds, Rule};
use plane::deletion_rules::RULES;
use plane::deletions::Root;
use uuid::Uuid;

use crate::stage::Stage;

/// The table of a root's own row, if that goes with it.
pub(crate) fn own_table(root: Root) -> Option<&'static str> {
    root.rules().iter().find(|rule| rule.walk.is_empty() && rule.fate == Fate::Erase).map(|rule| rule.table)
}

/// Every column that points at a subject of this kind.
pub(crate) fn links_to(root: Root) -> impl Iterator<Item = (&'static str, &'static str)> {
    let columns = RULES.tables.iter().flat_map(|table| table.columns.iter().map(move |(column, holds)| (table.name, *column, *holds)));
    columns
        .filter(move |(.., holds)| matches!(holds, Holds::Link(roots) if roots.contains(&root.name())))
        .map(|(table, column, _)| (table, column))
}

/// The rule about a table's rows that a column ties to a root. A table with two of them has one that keeps.
pub(crate) fn rules_of(root: Root, table: &str, column: &str) -> Vec<&'static Rule> {
    root.rules().iter().filter(|rule| rule.table == table && rule.by.contains(&column)).collect()
}

impl Stage {
    /// Where something is left that should be gone or redacted.
    pub(crate) async fn leftovers(&self, root: Root, subject: Uuid) -> Vec<String> {
        let mut found = Vec::new();
        for (table, column) in links_to(root) {
            for rule in rules_of(root, table, column) {
                let undone = match rule.fate {
                    Fate::Erase => "true".to_owned(),
                    Fate::Keep => continue,
                    Fate::Redact(columns) => {
                        columns.iter().map(|(column, _)| format!("{column} IS NOT NULL")).collect::<Vec<_>>().join(" OR ")
                    }
                };
                let only = if rule.only.is_empty() { "true" } else { rule.only };
                let query =
                    format!("SELECT count(*) FROM {table} WHERE {column} = {} AND ({undone}) AND {only}", self.engine.uuid(subject));
                match self.engine.count(&query).await {
                    0 => {}
                    rows => found.push(format!("{rows} rows of {table}.{column}")),
                }
            }
        }
        found
    }
}
