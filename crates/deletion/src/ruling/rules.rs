//! The form of the rules: what a deletion does, table by table, as values that nouns hand to the engine.
//!
//! [`Rules::tables`] says of every column what it holds; [`Root::rules`] says of every root what happens to every table that hangs on it or
//! points at it. [`Rules::check`] holds both against the live schema when a program starts: a table or column that no rule decides about stops
//! it.

use std::sync::OnceLock;

use crate::key::KeyColumn;
use crate::plan::Plan;
use crate::record::RecordStatements;
use crate::{Error, Result};

/// Everything that the engine knows of what it deletes.
#[derive(Debug)]
pub struct Rules {
    /// The column that says in every table, and in the table `deletions` of the engine itself, which tenant a row is of.
    pub tenant: &'static str,
    /// What can be deleted.
    pub roots: &'static [Root],
    /// Every column of every table.
    pub tables: &'static [TableColumns],
    /// Tables whose rows others hang on.
    pub parents: &'static [ParentTable],
    /// Tables in which rows come by themselves: no deletion that is bound to a plan is refused for these.
    pub unbound: &'static [&'static str],
    /// Where these values stand, for the words of [`Rules::check`].
    pub source: &'static str,
    plans: OnceLock<Vec<Plan>>,
    record: OnceLock<RecordStatements>,
}

/// What can be deleted. Each has rules of its own.
#[derive(Debug)]
pub struct Root {
    /// Its name in the database.
    pub name: &'static str,
    /// The kind of subject: several roots may delete the same kind in different ways.
    pub noun: &'static str,
    /// What happens to each table, children before parents, the root's own row last.
    pub rules: &'static [Rule],
    /// How the root's row is marked when access ends, `{now}` standing for the time. From then on no reader finds it. None where nothing
    /// hangs on a subject: it always goes at once.
    pub mark: Option<&'static str>,
    /// How the mark is taken off again, and the state in which the row must be for that. None for roots without a grace period.
    pub unmark: Option<(&'static str, &'static str)>,
    /// The tables of what opens something: it does not come back when the subject does.
    pub credentials: &'static [&'static str],
    /// The table that is not touched before [`Nouns::effects`](crate::Nouns::effects) says that all was told, because it holds what is to be
    /// told. The completion of every deletion waits for that anyway.
    pub waits_before: Option<&'static str>,
    /// The table whose rows go first, each by a deletion of its own that was ordered with this one.
    pub awaits: Option<&'static str>,
    /// Whether those who order it have locked its row against everything that could be hung on it, and not only against changes.
    pub is_locked_when_ordered: bool,
    /// Whether its batches lock its row, because another root deletes the same rows and counts them.
    pub locks_each_batch: bool,
    /// Whether what it deletes are subjects of deletions of their own, which the drain has the nouns order one after the other: how such a
    /// subject is called in progress.
    pub orders_others: Option<&'static str>,
    /// The parents that go together with what hangs on them, where that is little.
    pub cascades: Option<ParentTable>,
    /// What stands in the way of the deletion, for people.
    pub guards: &'static str,
}

/// What happens to the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The rows go.
    Erase,
    /// The rows stay and these columns get these SQL literals.
    Redact(&'static [(&'static str, &'static str)]),
    /// The rows stay as they are.
    Keep,
}

/// How long the rows stay that a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// No rule says: right for what is erased, and stops the program for anything else.
    Unsaid,
    /// They live on, and are none of what is deleted.
    Alive,
    /// For the period of this name.
    For(&'static str),
}

/// One table's fate under one root.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The table.
    pub table: &'static str,
    /// The columns of type `uuid` that tie a row to the root: the first holds the tenant, the second the subject; one alone holds the subject.
    pub by: &'static [&'static str],
    /// The columns that, after `by`, order the rows along an index: the drain walks along them. Empty for the root's own row; see
    /// [`Rule::goes_at_once`] for tables with few rows.
    pub walk: &'static [KeyColumn],
    /// An SQL condition on the rows that the rule is about; empty for all that `by` ties to the root. The rules of a table exclude each other.
    pub only: &'static str,
    /// What happens.
    pub fate: Fate,
    /// How long what stays does.
    pub kept: Kept,
    /// Why, for people.
    pub why: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing about a person.
    Plain,
    /// Something about a person.
    Personal,
    /// A secret or the hash of one.
    Secret,
    /// The id of a row whose deletion, by each of the roots of these names, must have a rule for this table.
    Link(&'static [&'static str]),
}

/// A table and what its columns hold.
#[derive(Debug)]
pub struct TableColumns {
    /// The table.
    pub name: &'static str,
    /// Every column.
    pub columns: &'static [(&'static str, Holds)],
}

/// A parent table and the tables whose rows go with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentTable {
    /// The parents.
    pub table: &'static str,
    /// The column in which each child names its parent.
    pub by: &'static str,
    /// The parents' own key beside the tenant.
    pub key: KeyColumn,
}

impl Rule {
    /// A rule for all rows that `by` ties to the root.
    pub const fn new(table: &'static str, by: &'static [&'static str], walk: &'static [KeyColumn], fate: Fate, why: &'static str) -> Rule {
        Rule { table, by, walk, only: "", fate, kept: Kept::Unsaid, why }
    }

    /// The same for the rows of which this is true.
    pub const fn only(self, condition: &'static str) -> Rule {
        Rule { only: condition, ..self }
    }

    /// The same, with what stays kept for so long.
    pub const fn kept(self, kept: Kept) -> Rule {
        Rule { kept, ..self }
    }

    /// Whether it is about the root's own row.
    pub fn is_own(&self) -> bool {
        self.walk.is_empty()
    }

    /// Whether there are so few rows that all of a subject's go at once: its walk is along `by`.
    pub fn goes_at_once(&self) -> bool {
        self.walk.iter().map(|column| column.name).eq(self.by.iter().copied())
    }
}

impl TableColumns {
    /// A table with these columns.
    pub const fn new(name: &'static str, columns: &'static [(&'static str, Holds)]) -> TableColumns {
        TableColumns { name, columns }
    }

    /// Whether it has a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| *name == column)
    }
}

impl Root {
    /// The rule of the root's own row.
    pub fn own(&self) -> Option<&'static Rule> {
        self.rules.iter().find(|rule| rule.is_own())
    }
}

impl PartialEq for Root {
    fn eq(&self, other: &Root) -> bool {
        self.name == other.name
    }
}

impl Rules {
    /// Rules made of these values.
    pub const fn new(
        tenant: &'static str,
        roots: &'static [Root],
        tables: &'static [TableColumns],
        parents: &'static [ParentTable],
        unbound: &'static [&'static str],
        source: &'static str,
    ) -> Rules {
        Rules { tenant, roots, tables, parents, unbound, source, plans: OnceLock::new(), record: OnceLock::new() }
    }

    /// The root of this name.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is none: for names that a record holds.
    pub fn root(&'static self, name: &str) -> Result<&'static Root> {
        let found = self.roots.iter().find(|root| root.name == name);
        found.ok_or_else(|| Error::Internal(format!("a deletion has the unknown root {name}")))
    }

    /// How a root is deleted: its statements, generated once.
    pub fn plan(&'static self, root: &Root) -> &'static Plan {
        let plans = self.plans.get_or_init(|| self.roots.iter().map(|root| Plan::generate(self, root)).collect());
        match plans.iter().find(|plan| plan.root == root) {
            Some(plan) => plan,
            None => unreachable!("a plan is made for every root"),
        }
    }

    /// A table and its columns.
    pub fn table(&self, name: &str) -> Option<&'static TableColumns> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether a plan is bound to the rows of this rule.
    pub fn is_bound(&self, rule: &Rule) -> bool {
        !self.unbound.contains(&rule.table)
    }

    pub(crate) fn record(&'static self) -> &'static RecordStatements {
        self.record.get_or_init(|| RecordStatements::generate(self.tenant))
    }

    /// Every statement that is generated, for a test that prepares them.
    pub fn statements(&'static self) -> Vec<sql::Statement> {
        let of_roots = self.roots.iter().flat_map(|root| self.plan(root).statements());
        of_roots.chain(self.record().all()).collect()
    }
}
