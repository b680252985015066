//! What is read for an export: the tables that the rules of deletion name, their columns but the secret ones, and the statements for that.

use std::sync::OnceLock;

use deletion::{Holds, Rule};
use sql::{Statement, Value};
use uuid::Uuid;

use crate::deletion_rules::RULES;
use crate::deletions::Root;

/// Everything that an export of one root reads.
#[derive(Debug)]
pub(super) struct Plan {
    root: Root,
    /// Parents before children: in this order an archive can be read into a database again.
    pub(super) parts: Vec<Part>,
}

/// One table's part of an export.
#[derive(Debug)]
pub(super) struct Part {
    /// The rule of deletion that names it.
    pub(super) rule: Rule,
    /// What is exported, in the order of the schema.
    pub(super) columns: Vec<(&'static str, Holds)>,
    /// What is secret and left out.
    pub(super) left_out: Vec<&'static str>,
    /// Where in `columns` the columns of the walk are; empty for the root's own row.
    walk: Vec<usize>,
    pub(super) count: Statement,
    read: Statement,
}

impl Plan {
    pub(super) fn of(root: Root) -> &'static Plan {
        static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();
        let plans = PLANS.get_or_init(|| Root::ALL.into_iter().map(Plan::generate).collect());
        match plans.iter().find(|plan| plan.root == root) {
            Some(plan) => plan,
            None => unreachable!("a plan is made for every root"),
        }
    }

    fn generate(root: Root) -> Plan {
        let mut parts: Vec<Part> = Vec::new();
        for rule in root.rules().iter().rev() {
            // Rules that share a table share it out among them: an export has all of it.
            if !parts.iter().any(|part| part.rule.table == rule.table) {
                parts.push(Part::generate(rule));
            }
        }
        Plan { root, parts }
    }
}

impl Part {
    fn generate(rule: &Rule) -> Part {
        let all = RULES.table(rule.table).map_or(&[][..], |table| table.columns);
        let (secret, columns): (Vec<_>, Vec<_>) = all.iter().copied().partition(|(_, holds)| *holds == Holds::Secret);
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let walk: Vec<usize> = rule.walk.iter().filter_map(|wanted| names.iter().position(|name| *name == wanted.name)).collect();
        let ties: Vec<String> = rule.by.iter().enumerate().map(|(place, column)| format!("{column} = ${}", place + 1)).collect();
        let from = format!("FROM {} WHERE {}", rule.table, ties.join(" AND "));
        let first = rule.by.len() + 1;
        let along = match rule.walk {
            [] => format!("LIMIT ${first}"),
            walk => {
                let cursor: Vec<String> = (first..first + walk.len()).map(|place| format!("${place}")).collect();
                let walk = walk.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
                format!("AND ({walk}) > ({}) ORDER BY {walk} LIMIT ${}", cursor.join(", "), first + cursor.len())
            }
        };
        Part {
            rule: *rule,
            left_out: secret.iter().map(|(name, _)| *name).collect(),
            count: Statement::generated(format!("SELECT count(*) {from}")),
            read: Statement::generated(format!("SELECT {} {from} {along}", names.join(", "))),
            columns,
            walk,
        }
    }

    /// The name of the table's file in the archive.
    pub(super) fn file(&self) -> String {
        format!("{}.ndjson", self.rule.table)
    }

    /// The parameters that tie rows to the root.
    pub(super) fn keys(&self, organization: Uuid, subject: Uuid) -> Vec<Value> {
        [organization, subject][..self.rule.by.len().min(2)].iter().map(|id| Value::from(*id)).collect()
    }

    /// What reads up to `size` rows after the cursor.
    pub(super) fn question(&self, organization: Uuid, subject: Uuid, cursor: &[Value], size: i64) -> (Statement, Vec<Value>) {
        let mut bound = self.keys(organization, subject);
        bound.extend_from_slice(cursor);
        bound.push(Value::from(size));
        (self.read, bound)
    }

    /// The cursor before the first row.
    pub(super) fn start(&self) -> Vec<Value> {
        vec![Value::from(Uuid::nil()); self.walk.len()]
    }

    /// The cursor behind a row; none when there can be no other.
    pub(super) fn behind(&self, row: &[Value]) -> Option<Vec<Value>> {
        (!self.walk.is_empty()).then(|| self.walk.iter().filter_map(|place| row.get(*place).cloned()).collect())
    }
}

/// Every statement that is generated, for the test that prepares them.
pub fn statements() -> Vec<Statement> {
    let parts = [Root::Organization, Root::Customer].into_iter().flat_map(|root| &Plan::of(root).parts);
    parts.flat_map(|part| [part.count, part.read]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_that_the_rules_name_is_read_once_and_no_secret_column_of_it() {
        for root in [Root::Organization, Root::Customer] {
            let plan = Plan::of(root);
            for rule in root.rules() {
                let parts: Vec<&Part> = plan.parts.iter().filter(|part| part.rule.table == rule.table).collect();
                let [part] = parts.as_slice() else { panic!("{} is read {} times", rule.table, parts.len()) };
                assert_eq!(part.walk.len(), rule.walk.len(), "{}: a cursor needs what it walks along", rule.table);
                let known = RULES.table(rule.table).unwrap().columns;
                assert_eq!(part.columns.len() + part.left_out.len(), known.len());
                for (name, _) in known.iter().filter(|(_, holds)| *holds == Holds::Secret) {
                    let (selected, _) = part.read.text().split_once(" FROM ").unwrap();
                    let is_selected =
                        selected.split(|character: char| !(character.is_alphanumeric() || character == '_')).any(|word| word == *name);
                    assert!(part.left_out.contains(name) && !is_selected, "{}.{name}", rule.table);
                }
            }
        }
    }

    #[test]
    fn parents_come_before_their_children() {
        let tables: Vec<&str> = Plan::of(Root::Organization).parts.iter().map(|part| part.rule.table).collect();
        let place = |name: &str| tables.iter().position(|table| *table == name).unwrap();
        assert_eq!(place("organizations"), 0);
        assert!(place("customers") < place("devices") && place("members") < place("customers"), "{tables:?}");
    }
}
