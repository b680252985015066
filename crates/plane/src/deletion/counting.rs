//! How many rows hang on subjects that are to go, asked before anything is done to them.

use std::collections::HashMap;

use sql::{Row, Statement, Value};
use uuid::Uuid;

use super::rules::Rule;
use super::statements::{about, matching, subject_column};
use crate::Result;

/// What asks how many rows of each step there are, counted up to a limit each.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) statement: Statement,
    keys: usize,
    steps: usize,
    /// Whether it tells them by subject.
    is_by_subject: bool,
}

/// The rows of each step.
#[derive(Debug)]
pub(super) struct Counted {
    rows: Vec<i64>,
    /// The same of each subject, where that was asked.
    by_subject: Vec<HashMap<Uuid, i64>>,
}

impl Count {
    /// None for a root without steps.
    pub(super) fn generate(steps: &[&Rule], keys: usize, is_by_subject: bool) -> Option<Count> {
        let limit = keys + 1;
        let selects = steps.iter().enumerate().map(|(place, rule)| match is_by_subject {
            true => format!(
                "SELECT CAST({place} AS bigint), subject, count(*)
                 FROM (SELECT {} AS subject FROM {} LIMIT ${limit}) AS limited GROUP BY subject",
                subject_column(rule),
                matching(rule)
            ),
            false => format!("(SELECT count(*) FROM (SELECT 1 FROM {} LIMIT ${limit}) AS limited)", matching(rule)),
        });
        let selects: Vec<String> = selects.collect();
        let text = if is_by_subject { selects.join(" UNION ALL ") } else { format!("SELECT {}", selects.join(", ")) };
        (!steps.is_empty()).then(|| Count { statement: Statement::generated(text), keys, steps: steps.len(), is_by_subject })
    }

    /// Its parameters for these subjects.
    pub(super) fn about(&self, organization: Uuid, subjects: &[Uuid], limit: i64) -> Vec<Value> {
        let mut bound = about(organization, subjects, self.keys);
        bound.push(Value::from(limit));
        bound
    }

    /// Reads its answer.
    pub(super) fn read(&self, answer: Vec<Row>) -> Result<Counted> {
        let mut counted = Counted { rows: vec![0; self.steps], by_subject: Vec::new() };
        if self.is_by_subject {
            counted.by_subject.resize_with(self.steps, HashMap::new);
        }
        for mut row in answer {
            if !self.is_by_subject {
                counted.rows = (0..self.steps).map(|_| Ok(row.next()?)).collect::<Result<_>>()?;
                continue;
            }
            let (place, subject, rows): (i64, Uuid, i64) = (row.next()?, row.next()?, row.next()?);
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if let Some((all, each)) = counted.rows.get_mut(place).zip(counted.by_subject.get_mut(place)) {
                *all += rows;
                each.insert(subject, rows);
            }
        }
        Ok(counted)
    }
}

impl Counted {
    /// What there is where there are no steps.
    pub(super) fn nothing() -> Counted {
        Counted { rows: Vec::new(), by_subject: Vec::new() }
    }

    /// Rows of all steps.
    pub(super) fn sum(&self) -> i64 {
        self.rows.iter().sum()
    }

    /// Whether a step has anything to do.
    pub(super) fn has(&self, step: usize) -> bool {
        self.rows.get(step).is_some_and(|rows| *rows > 0)
    }

    /// Rows of a step by subject.
    pub(super) fn by_subject(&self, step: usize) -> HashMap<Uuid, i64> {
        self.by_subject.get(step).cloned().unwrap_or_default()
    }
}
