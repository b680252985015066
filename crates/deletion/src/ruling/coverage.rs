//! The rules of deletion, held against the live schema when the server starts: a table or column that no rule decides about stops it.

use std::fmt::Write;

use sql::Schema;

use crate::cascade_groups::uncounted;
use crate::counting::beside_indexes;
use crate::rules::Fate::Erase;
use crate::rules::Holds::Link;
use crate::rules::{Fate, Kept, Root, Rule, Rules};
use crate::{Error, Result};

impl Rules {
    /// Holds the rules against the live schema.
    ///
    /// # Errors
    /// [`Error::Internal`] with every table and column that is not ruled, is ruled and does not exist, or is ruled in an order that cannot work.
    pub fn check(&'static self, schema: &Schema) -> Result<()> {
        let faults = faults(self, schema);
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::Internal(format!("the schema and the rules of deletion differ, see {}:\n{faults}", self.source))),
        }
    }
}

fn faults(rules: &'static Rules, schema: &Schema) -> String {
    let mut faults = String::new();
    check_columns(rules, schema, &mut faults);
    check_names(rules, &mut faults);
    for root in rules.roots {
        check_links(rules, root, &mut faults);
        check_order(root, schema, &mut faults);
        for rule in root.rules.iter().filter(|rule| (rule.fate == Erase) != (rule.kept == Kept::Unsaid)) {
            let _ = writeln!(
                faults,
                "- the rules of {}: {} is kept and no rule says for how long, or the other way round",
                root.name, rule.table
            );
        }
        let own = root.own().map(|rule| rule.table);
        for table in rules.plan(root).carried_tables() {
            let live = schema.tables.get(table);
            if !live.is_some_and(|live| live.foreign_keys.iter().any(|key| key.cascades && own == Some(key.parent.as_str()))) {
                let _ = writeln!(faults, "- the rules of {}: {table} has no foreign key by which it would go with its subject", root.name);
            }
        }
        // Where rows are found by tenant and subject.
        let is_counted = |rule: &&Rule| rule.fate != Fate::Keep && !rule.is_own() && root.own().is_some_and(|own| own.by.len() > 1);
        for rule in root.rules.iter().filter(is_counted) {
            let column = beside_indexes(rules, rule.table);
            let live = schema.tables.get(rule.table).into_iter().flat_map(|live| &live.columns);
            if !live.into_iter().any(|live| live.required && column == Some(live.name.as_str())) {
                let _ = writeln!(
                    faults,
                    "- {} has no created_at, updated_at or placed_at that is never null, which its rows are counted by",
                    rule.table
                );
            }
        }
        for table in uncounted(rules, root, schema) {
            let _ = writeln!(faults, "- the rules of {}: {table} goes with a parent and its rows would not be counted", root.name);
        }
    }
    faults
}

fn check_columns(rules: &Rules, schema: &Schema, faults: &mut String) {
    for (name, live) in &schema.tables {
        let Some(ruled) = rules.table(name) else {
            let _ = writeln!(faults, "- the table {name} has no rule");
            continue;
        };
        for column in &live.columns {
            if !ruled.columns.iter().any(|(known, _)| *known == column.name) {
                let _ = writeln!(faults, "- the column {name}.{} has no rule", column.name);
            }
        }
        for (known, _) in ruled.columns {
            if !live.columns.iter().any(|column| column.name == *known) {
                let _ = writeln!(faults, "- the rules have the column {name}.{known}, which does not exist");
            }
        }
    }
    for table in rules.tables.iter().filter(|table| !schema.tables.contains_key(table.name)) {
        let _ = writeln!(faults, "- the rules have the table {}, which does not exist", table.name);
    }
}

/// What is said of tables by their names is said of tables that there are.
fn check_names(rules: &Rules, faults: &mut String) {
    let of_roots = rules.roots.iter().flat_map(|root| {
        let cascades = root.cascades.map(|parents| parents.table);
        [root.waits_before, root.awaits, cascades].into_iter().flatten().chain(root.credentials.iter().copied())
    });
    let parents = rules.parents.iter().map(|parents| parents.table);
    for name in of_roots.chain(parents).chain(rules.unbound.iter().copied()).filter(|name| rules.table(name).is_none()) {
        let _ = writeln!(faults, "- the rules name the table {name}, of which they have no columns");
    }
}

fn check_links(rules: &Rules, root: &Root, faults: &mut String) {
    for table in rules.tables {
        for (column, holds) in table.columns {
            let points_here = matches!(holds, Link(roots) if roots.contains(&root.name));
            let is_ruled = root.rules.iter().any(|rule| rule.table == table.name && rule.by.contains(column));
            if points_here && !is_ruled {
                let _ = writeln!(faults, "- {}.{column} points at a {} and its rules do not say what becomes of it", table.name, root.name);
            }
        }
    }
}

/// Children go before their parents, and each walk runs along an index.
fn check_order(root: &Root, schema: &Schema, faults: &mut String) {
    let rules = root.rules;
    for (place, rule) in rules.iter().enumerate() {
        let Some(live) = schema.tables.get(rule.table) else {
            let _ = writeln!(faults, "- the rules of {} have the table {}, which does not exist", root.name, rule.table);
            continue;
        };
        let goes_at_once = rule.goes_at_once();
        let walk = if goes_at_once { &[] } else { rule.walk };
        let columns: Vec<String> = rule.by.iter().copied().chain(walk.iter().map(|column| column.name)).map(str::to_owned).collect();
        let names_rows = goes_at_once || live.primary_key.iter().all(|column| columns.contains(column));
        let is_indexed = live.indexes.iter().any(|index| index.columns.starts_with(&columns));
        if !names_rows || !is_indexed {
            let _ = writeln!(faults, "- the rules of {}: {} has no index along {}", root.name, rule.table, columns.join(", "));
        }
        let ties = rule.by.iter().map(|column| (*column, "uuid"));
        for (name, kind) in ties.chain(rule.walk.iter().map(|column| (column.name, column.kind.sql()))) {
            if live.columns.iter().any(|column| column.name == name && column.kind != kind) {
                let _ = writeln!(faults, "- the rules of {}: {}.{name} is no {kind}", root.name, rule.table);
            }
        }
        for (child, live) in &schema.tables {
            let hangs_on_it = live.foreign_keys.iter().any(|key| key.parent == rule.table);
            let goes_before = rules[..place].iter().any(|earlier| earlier.table == child && earlier.fate == Erase);
            // Of these there is none left by then.
            let is_awaited = root.awaits == Some(rule.table);
            if rule.fate == Erase && hangs_on_it && !goes_before && !is_awaited {
                let _ = writeln!(faults, "- the rules of {}: {child} hangs on {} and must be erased before it", root.name, rule.table);
            }
        }
    }
}
