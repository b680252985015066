//! One table's part of a deletion: its statements, and how a batch of it is done.

use sql::{Statement, Tx, Value, params};
use uuid::Uuid;

use super::{keys, subject_column, tied, tied_to_any, undone};
use crate::Result;
use crate::cascade_groups::Parents;
use crate::key::{Cursor, KeyColumn, read_cursor};
use crate::rules::{Fate, Root, Rule, Rules};

/// One table's part of a deletion.
#[derive(Debug)]
pub struct Step {
    /// The table.
    pub table: &'static str,
    /// Whether its rows go with the subject's own row by their foreign key, and no transaction can add one between the count and that:
    /// erasing them first would have PostgreSQL look for them a second time.
    pub(super) is_carried: bool,
    keys: usize,
    pub(crate) walk: &'static [KeyColumn],
    /// The statements of a batch from the first row on, and those of one after a cursor.
    first: Statements,
    later: Statements,
    /// Returns the subject of every row it touched, unless it forgets it.
    pub(super) all: Statement,
    /// Whether what it redacts is what tied the row to the subject.
    pub(super) forgets_subject: bool,
    /// Where other rows hang on these.
    pub(super) parents: Option<Parents>,
}

/// The statements of a batch.
#[derive(Debug)]
struct Statements {
    /// The last row of the batch, if there are more after it.
    bound: Statement,
    up_to: Statement,
    rest: Statement,
    count_up_to: Statement,
    count_rest: Statement,
}

/// What one batch of a step came to.
#[derive(Debug)]
pub enum Advance {
    /// So many rows were touched, and there are more after these.
    Touched(i64, Option<Cursor>),
    /// Another transaction has hung something on rows that were to go, while their steps were done: those steps follow again.
    Overtaken,
}

impl Statements {
    /// Those of a batch that begins after a cursor or at the first row.
    fn generate(rule: &Rule, is_later: bool) -> Statements {
        let (table, ties, undone) = (rule.table, tied(rule), undone(rule));
        let walk = rule.walk.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let first = rule.by.len() + 1;
        let places = |from: usize| (from..from + rule.walk.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let (after, next) = match is_later {
            true => (format!(" AND ({walk}) > ({})", places(first)), first + rule.walk.len()),
            false => (String::new(), first),
        };
        let to = places(next);
        let verb = verb(rule);
        Statements {
            bound: Statement::generated(format!("SELECT {walk} FROM {table} WHERE {ties}{after} ORDER BY {walk} LIMIT 1 OFFSET ${next}")),
            up_to: Statement::generated(format!("{verb} WHERE {ties}{undone}{after} AND ({walk}) <= ({to})")),
            rest: Statement::generated(format!("{verb} WHERE {ties}{undone}{after}")),
            count_up_to: Statement::generated(format!("SELECT count(*) FROM {table} WHERE {ties}{undone}{after} AND ({walk}) <= ({to})")),
            count_rest: Statement::generated(format!("SELECT count(*) FROM {table} WHERE {ties}{undone}{after}")),
        }
    }

    fn all(&self) -> [Statement; 5] {
        [self.bound, self.up_to, self.rest, self.count_up_to, self.count_rest]
    }
}

fn verb(rule: &Rule) -> String {
    match rule.fate {
        Fate::Redact(columns) => {
            let changes: Vec<String> = columns.iter().map(|(column, literal)| format!("{column} = {literal}")).collect();
            format!("UPDATE {} SET {}", rule.table, changes.join(", "))
        }
        Fate::Erase | Fate::Keep => format!("DELETE FROM {}", rule.table),
    }
}

impl Step {
    pub(super) fn generate(rules: &Rules, root: &Root, rule: &Rule, is_carried: bool) -> Step {
        let subject = subject_column(rule);
        let parents = rules.parents.iter().find(|parents| rule.fate == Fate::Erase && parents.table == rule.table);
        Step {
            table: rule.table,
            is_carried,
            keys: rule.by.len(),
            walk: rule.walk,
            first: Statements::generate(rule, false),
            later: Statements::generate(rule, true),
            all: Statement::generated(format!("{} WHERE {}{} RETURNING {subject}", verb(rule), tied_to_any(rule), undone(rule))),
            forgets_subject: matches!(rule.fate, Fate::Redact(columns) if columns.iter().any(|(column, _)| *column == subject)),
            parents: parents.and_then(|parents| Parents::generate(rules, root, rule, *parents)),
        }
    }

    /// Does this step's work on up to `size` rows after the cursor, or from the first row on. Returns how many rows it touched, and where it
    /// came to if there is more.
    ///
    /// # Errors
    /// The database's.
    pub async fn advance(&self, tx: &mut Tx, tenant: Uuid, subject: Uuid, after: Option<&Cursor>, size: i64) -> Result<Advance> {
        let statements = if after.is_some() { &self.later } else { &self.first };
        let mut bound = self.bound(tenant, subject, after);
        if let Some(parents) = self.parents.as_ref().filter(|_| !tx.is_alone()) {
            tx.query(parents.claim[usize::from(after.is_some())], &[bound.as_slice(), params![size]].concat()).await?;
        }
        let next = self.next(tx, statements, &bound, size).await?;
        let end: Vec<Value> = next.iter().flatten().cloned().map(Value::from).collect();
        if let Some(parents) = &self.parents {
            let statement = parents.is_overtaken(after.is_some(), next.is_some());
            if tx.query_opt(statement, &[bound.as_slice(), end.as_slice()].concat()).await?.is_some() {
                return Ok(Advance::Overtaken);
            }
        }
        let statement = if next.is_some() { statements.up_to } else { statements.rest };
        bound.extend(end);
        Ok(Advance::Touched(tx.execute(statement, &bound).await? as i64, next))
    }

    /// Counts what this step would touch of up to `size` rows after the cursor, or from the first row on, and where that ends if there is more.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(
        &self,
        tx: &mut Tx,
        tenant: Uuid,
        subject: Uuid,
        after: Option<&Cursor>,
        size: i64,
    ) -> Result<(i64, Option<Cursor>)> {
        let statements = if after.is_some() { &self.later } else { &self.first };
        let mut bound = self.bound(tenant, subject, after);
        let next = self.next(tx, statements, &bound, size).await?;
        let statement = if next.is_some() { statements.count_up_to } else { statements.count_rest };
        bound.extend(next.iter().flatten().cloned().map(Value::from));
        Ok((tx.read_one(statement, &bound).await?, next))
    }

    fn bound(&self, tenant: Uuid, subject: Uuid, after: Option<&Cursor>) -> Vec<Value> {
        let mut bound = keys(tenant, subject, self.keys);
        bound.extend(after.into_iter().flatten().cloned().map(Value::from));
        bound
    }

    /// The last row of a batch, if there are more after it.
    async fn next(&self, tx: &mut Tx, statements: &Statements, bound: &[Value], size: i64) -> Result<Option<Cursor>> {
        let row = tx.query_opt(statements.bound, &[bound, params![size - 1]].concat()).await?;
        Ok(row.map(|row| read_cursor(row, self.walk)).transpose()?)
    }

    pub(super) fn statements(&self) -> impl Iterator<Item = Statement> {
        let of_parents = self.parents.iter().flat_map(Parents::statements);
        self.first.all().into_iter().chain(self.later.all()).chain([self.all]).chain(of_parents)
    }
}
