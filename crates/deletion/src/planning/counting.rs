//! How many rows hang on subjects that are to go, asked before anything is done to them.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};
use sql::{Row, Statement, Value};
use uuid::Uuid;

use crate::Result;
use crate::plan::{about, matching, subject_column};
use crate::rules::{Rule, Rules};

/// What asks how many rows of each step each subject has. Of all together no more are looked at than a limit says.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) statement: Statement,
    keys: usize,
    steps: usize,
}

/// The rows of each step, by subject.
#[derive(Debug, Default)]
pub struct Counted(Vec<HashMap<Uuid, i64>>);

impl Count {
    /// None for a root without steps.
    pub(crate) fn generate(rules: &Rules, steps: &[&Rule], keys: usize) -> Option<Count> {
        let limit = keys + 1;
        let rows = steps.iter().enumerate().map(|(place, rule)| {
            // What is found by one key alone, such as all rows of a tenant, is a whole part of an index.
            let at = if keys == 1 { "1" } else { beside_indexes(rules, rule.table).unwrap_or("1") };
            let (subject, rows) = (subject_column(rule), matching(rule));
            // Without a limit here PostgreSQL makes up its mind about all of a table before it takes the first row.
            let limited = format!("SELECT {subject} AS subject, {at} AS at FROM {rows} LIMIT ${limit}");
            format!("SELECT CAST({place} AS bigint) AS place, subject, at FROM ({limited}) AS of_table")
        });
        // One limit for all tables: what is large is known to be after so many rows of the first.
        let rows = rows.collect::<Vec<_>>().join(" UNION ALL ");
        let statement = Statement::generated(format!(
            "SELECT place, subject, count(at) FROM (SELECT place, subject, at FROM ({rows}) AS found LIMIT ${limit}) AS limited
             GROUP BY place, subject"
        ));
        (!steps.is_empty()).then_some(Count { statement, keys, steps: steps.len() })
    }

    /// Its parameters for these subjects.
    pub(crate) fn about(&self, tenant: Uuid, subjects: &[Uuid], limit: i64) -> Vec<Value> {
        let mut bound = about(tenant, subjects, self.keys);
        bound.push(Value::from(limit));
        bound
    }

    /// Reads its answer.
    pub(crate) fn read(&self, answer: Vec<Row>) -> Result<Counted> {
        let mut counted = vec![HashMap::new(); self.steps];
        for row in answer {
            let (place, subject, rows): (i64, Uuid, i64) = row.read()?;
            if let Some(step) = usize::try_from(place).ok().and_then(|place| counted.get_mut(place)) {
                step.insert(subject, rows);
            }
        }
        Ok(Counted(counted))
    }
}

impl Counted {
    /// Rows of all steps.
    pub fn sum(&self) -> i64 {
        self.0.iter().flat_map(HashMap::values).sum()
    }

    /// Rows of a step by subject; none where it has nothing to do.
    pub(crate) fn of(&self, step: usize) -> Option<&HashMap<Uuid, i64>> {
        self.0.get(step).filter(|rows| !rows.is_empty())
    }
}

/// The columns by which rows of several subjects are counted: each table has one of them, it is never null, and no index of the subjects has
/// it. Of the columns of an index alone PostgreSQL would rather go over a tenant's whole part of it than look for each subject, wherever it
/// takes the tenant for a small one.
const BESIDE_INDEXES: [&str; 3] = ["created_at", "updated_at", "placed_at"];

/// The column by which rows of this table are counted; none where it has none.
pub(crate) fn beside_indexes(rules: &Rules, table: &str) -> Option<&'static str> {
    let table = rules.table(table)?;
    BESIDE_INDEXES.into_iter().find(|column| table.has(column))
}

/// Counts of a record with so many rows of a table more.
pub fn add(counts: Json, table: &str, rows: i64) -> Json {
    let mut counts: Map<String, Json> = counts.as_object().cloned().unwrap_or_default();
    let before = counts.get(table).and_then(Json::as_i64).unwrap_or(0);
    if before + rows > 0 {
        counts.insert(table.to_owned(), Json::from(before + rows));
    }
    Json::Object(counts)
}
