//! The rules of deletion, held against the live schema when the server starts: a table or column that no rule decides about stops it.

use std::fmt::Write;

use sql::Schema;

use super::family;
use super::rules::Fate::Erase;
use super::rules::Holds::Link;
use super::rules::{Kept, Root, TABLES};
use super::statements::Plan;
use crate::{Error, Result};

/// Holds the rules against the live schema.
///
/// # Errors
/// [`Error::Internal`] with every table and column that is not ruled, is ruled and does not exist, or is ruled in an order that cannot work.
pub fn check(schema: &Schema) -> Result<()> {
    let mut faults = String::new();
    check_columns(schema, &mut faults);
    for root in Root::ALL {
        check_links(root, &mut faults);
        check_order(root, schema, &mut faults);
        for rule in root.rules().iter().filter(|rule| (rule.fate == Erase) != (rule.kept == Kept::Unsaid)) {
            let _ = writeln!(
                faults,
                "- the rules of {}: {} is kept and no rule says for how long, or the other way round",
                root.name(),
                rule.table
            );
        }
        let own = root.rules().iter().find(|rule| rule.walk.is_empty()).map(|rule| rule.table);
        for table in Plan::of(root).carried_tables() {
            let live = schema.tables.get(table);
            if !live.is_some_and(|live| live.foreign_keys.iter().any(|key| key.cascades && own == Some(key.parent.as_str()))) {
                let _ =
                    writeln!(faults, "- the rules of {}: {table} has no foreign key by which it would go with its subject", root.name());
            }
        }
        for table in family::uncounted(root, schema) {
            let _ = writeln!(faults, "- the rules of {}: {table} goes with a parent and its rows would not be counted", root.name());
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Error::Internal(format!("the schema and the rules of deletion differ, see crates/plane/src/deletion/rules.rs:\n{faults}")))
    }
}

fn check_columns(schema: &Schema, faults: &mut String) {
    for (name, live) in &schema.tables {
        let Some(ruled) = TABLES.iter().find(|table| table.name == name) else {
            let _ = writeln!(faults, "- the table {name} is not in TABLES");
            continue;
        };
        for column in &live.columns {
            if !ruled.columns.iter().any(|(known, _)| *known == column.name) {
                let _ = writeln!(faults, "- the column {name}.{} is not in TABLES", column.name);
            }
        }
        for (known, _) in ruled.columns {
            if !live.columns.iter().any(|column| column.name == *known) {
                let _ = writeln!(faults, "- TABLES has the column {name}.{known}, which does not exist");
            }
        }
    }
    for table in TABLES.iter().filter(|table| !schema.tables.contains_key(table.name)) {
        let _ = writeln!(faults, "- TABLES has the table {}, which does not exist", table.name);
    }
}

fn check_links(root: Root, faults: &mut String) {
    for table in TABLES {
        for (column, holds) in table.columns {
            let points_here = matches!(holds, Link(roots) if roots.contains(&root));
            let is_ruled = root.rules().iter().any(|rule| rule.table == table.name && rule.by.contains(column));
            if points_here && !is_ruled {
                let _ =
                    writeln!(faults, "- {}.{column} points at a {} and its rules do not say what becomes of it", table.name, root.name());
            }
        }
    }
}

/// Children go before their parents, and each walk runs along an index.
fn check_order(root: Root, schema: &Schema, faults: &mut String) {
    let rules = root.rules();
    for (place, rule) in rules.iter().enumerate() {
        let Some(live) = schema.tables.get(rule.table) else {
            let _ = writeln!(faults, "- the rules of {} have the table {}, which does not exist", root.name(), rule.table);
            continue;
        };
        let goes_at_once = rule.walk == rule.by;
        let walk = if goes_at_once { &[] } else { rule.walk };
        let columns: Vec<String> = rule.by.iter().chain(walk).map(|column| (*column).to_owned()).collect();
        let names_rows = goes_at_once || live.primary_key.iter().all(|column| columns.contains(column));
        let is_indexed = live.indexes.iter().any(|index| index.columns.starts_with(&columns));
        if !names_rows || !is_indexed {
            let _ = writeln!(faults, "- the rules of {}: {} has no index along {}", root.name(), rule.table, columns.join(", "));
        }
        for (child, live) in &schema.tables {
            let hangs_on_it = live.foreign_keys.iter().any(|key| key.parent == rule.table);
            let goes_before = rules[..place].iter().any(|earlier| earlier.table == child && earlier.fate == Erase);
            // Of these there is none left by then.
            let is_awaited = rule.table == "members" && root.waits_for_memberships();
            if rule.fate == Erase && hangs_on_it && !goes_before && !is_awaited {
                let _ = writeln!(faults, "- the rules of {}: {child} hangs on {} and must be erased before it", root.name(), rule.table);
            }
        }
    }
}
