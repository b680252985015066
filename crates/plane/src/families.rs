//! Statements that come in several sizes: about one thing, or about several at once, so that requests that wait together cost one round
//! trip together.
//!
//! The number of parameters is part of a statement's text on both engines, and a text that is not prepared yet costs more than it saves. So
//! there are four sizes; what lies between them repeats its last parameter, or is cut into pieces.

use sql::{Statement, Tx, Value};
use uuid::Uuid;

use crate::Result;

/// How many things one statement can be about.
const SIZES: [usize; 4] = [1, 4, 16, 64];
/// The most of them.
pub(crate) const MOST: usize = 64;

/// A statement about up to [`MOST`] things.
#[derive(Debug)]
pub(crate) struct Family {
    forms: [Statement; SIZES.len()],
}

impl Family {
    /// Makes the statement of every size. Their texts are never freed: make each family once and keep it.
    pub(crate) fn new(make: impl Fn(usize) -> String) -> Family {
        Family { forms: SIZES.map(|size| Statement::generated(make(size))) }
    }

    /// The statement that has places for this many things, and how many it has.
    fn fitting(&self, things: usize) -> (usize, Statement) {
        let at = SIZES.iter().position(|size| *size >= things).unwrap_or(SIZES.len() - 1);
        (SIZES[at], self.forms[at])
    }

    /// The statement about these things of one organization, and its parameters: the organization, then the things.
    pub(crate) fn within<T: Into<Value> + Clone>(&self, organization: Uuid, things: &[T]) -> (Statement, Vec<Value>) {
        let (statement, bound) = self.about(things);
        (statement, [Value::from(organization)].into_iter().chain(bound).collect())
    }

    /// The statement about these things, and its parameters.
    pub(crate) fn about<T: Into<Value> + Clone>(&self, things: &[T]) -> (Statement, Vec<Value>) {
        let (size, statement) = self.fitting(things.len());
        let again = things.last().into_iter().cycle();
        (statement, things.iter().chain(again).take(size).cloned().map(Into::into).collect())
    }

    /// Every form, for the test that prepares them.
    pub(crate) fn statements(&self) -> [Statement; SIZES.len()] {
        self.forms
    }
}

/// Places for so many parameters, from a number on: `$2, $3, $4`.
pub(crate) fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// An `INSERT` of any number of rows.
#[derive(Debug)]
pub(crate) struct Insert {
    width: usize,
    family: Family,
}

impl Insert {
    /// `into` is the text up to `VALUES`, `row` the places of one row of that many parameters.
    pub(crate) fn new(into: &str, row: &str, width: usize) -> Insert {
        let row_at = |number: usize| {
            let mut shifted = row.to_owned();
            // From the last to the first, so that `$1` is not found in `$12`.
            for place in (1..=width).rev() {
                shifted = shifted.replace(&format!("${place}"), &format!("#{}", place + number * width));
            }
            shifted.replace('#', "$")
        };
        Insert { width, family: Family::new(|rows| format!("{into} VALUES {}", (0..rows).map(row_at).collect::<Vec<_>>().join(", "))) }
    }

    /// Inserts rows, given one after the other.
    pub(crate) async fn run(&self, tx: &mut Tx, values: &[Value]) -> Result<()> {
        let mut left = values;
        while !left.is_empty() {
            let rows = left.len() / self.width;
            let at = SIZES.iter().rposition(|size| *size <= rows).unwrap_or(0);
            let (now, later) = left.split_at((SIZES[at] * self.width).min(left.len()));
            tx.execute(self.family.forms[at], now).await?;
            left = later;
        }
        Ok(())
    }

    /// Every form, for the test that prepares them.
    pub(crate) fn statements(&self) -> [Statement; SIZES.len()] {
        self.family.statements()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_repeats_its_last_parameter_in_the_places_that_are_left() {
        let family = Family::new(|things| format!("{things}: {}", places(2, things)));
        let bound = |things: &[i64]| family.about(things);
        assert_eq!(bound(&[7]), (family.forms[0], vec![Value::Int(7)]));
        assert_eq!(bound(&[7, 8]), (family.forms[1], vec![Value::Int(7), Value::Int(8), Value::Int(8), Value::Int(8)]));
        assert_eq!(bound(&[1; 17]).1.len(), 64);
        assert_eq!(family.forms[1].text(), "4: $2, $3, $4, $5");
    }

    #[test]
    fn an_insert_counts_the_places_of_its_rows_on() {
        let insert = Insert::new("INSERT INTO t (a, b)", "($1, coalesce($2, $1))", 2);
        assert_eq!(
            insert.family.forms[1].text(),
            "INSERT INTO t (a, b) VALUES ($1, coalesce($2, $1)), ($3, coalesce($4, $3)), ($5, coalesce($6, $5)), ($7, coalesce($8, $7))"
        );
    }
}
