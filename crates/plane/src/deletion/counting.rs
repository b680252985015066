//! How many rows hang on subjects that are to go, asked before anything is done to them.

use std::collections::HashMap;

use sql::{Row, Statement, Value};
use uuid::Uuid;

use super::rules::Rule;
use super::statements::{about, matching, subject_column};
use crate::Result;

/// What asks how many rows of each step each subject has. Of all together no more are looked at than a limit says.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) statement: Statement,
    keys: usize,
    steps: usize,
}

/// The rows of each step, by subject.
#[derive(Debug, Default)]
pub(super) struct Counted(Vec<HashMap<Uuid, i64>>);

impl Count {
    /// None for a root without steps.
    pub(super) fn generate(steps: &[&Rule], keys: usize) -> Option<Count> {
        let rows = steps.iter().enumerate().map(|(place, rule)| {
            format!("SELECT CAST({place} AS bigint) AS place, {} AS subject FROM {}", subject_column(rule), matching(rule))
        });
        // One limit for all tables: what is large is known to be after so many rows of the first.
        let rows = rows.collect::<Vec<_>>().join(" UNION ALL ");
        let statement = Statement::generated(format!(
            "SELECT place, subject, count(*) FROM (SELECT place, subject FROM ({rows}) AS found LIMIT ${}) AS limited GROUP BY place, subject",
            keys + 1
        ));
        (!steps.is_empty()).then_some(Count { statement, keys, steps: steps.len() })
    }

    /// Its parameters for these subjects.
    pub(super) fn about(&self, organization: Uuid, subjects: &[Uuid], limit: i64) -> Vec<Value> {
        let mut bound = about(organization, subjects, self.keys);
        bound.push(Value::from(limit));
        bound
    }

    /// Reads its answer.
    pub(super) fn read(&self, answer: Vec<Row>) -> Result<Counted> {
        let mut counted = vec![HashMap::new(); self.steps];
        for mut row in answer {
            let (place, subject, rows): (i64, Uuid, i64) = (row.next()?, row.next()?, row.next()?);
            if let Some(step) = usize::try_from(place).ok().and_then(|place| counted.get_mut(place)) {
                step.insert(subject, rows);
            }
        }
        Ok(Counted(counted))
    }
}

impl Counted {
    /// Rows of all steps.
    pub(super) fn sum(&self) -> i64 {
        self.0.iter().flat_map(HashMap::values).sum()
    }

    /// Rows of a step by subject; none where it has nothing to do.
    pub(super) fn of(&self, step: usize) -> Option<&HashMap<Uuid, i64>> {
        self.0.get(step).filter(|rows| !rows.is_empty())
    }
}
