//! `INSERT`s of several rows at once, so that requests that wait together cost one round trip together.
//!
//! The number of rows is part of a statement's text on both engines, and a text that is not prepared yet costs more than it saves. So there
//! are a few sizes, and what lies between them is cut into pieces.

use sql::{Statement, Value};

/// Rows that one statement can have.
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// An `INSERT` of any number of rows.
#[derive(Debug)]
pub struct Insert {
    width: usize,
    forms: [Statement; SIZES.len()],
}

impl Insert {
    /// `into` is the text up to `VALUES`, `row` the places of one row of `width` parameters. The texts are never freed: make each of these
    /// once and keep it.
    pub fn new(into: &str, row: &str, width: usize) -> Insert {
        let row_at = |number: usize| {
            let mut shifted = row.to_owned();
            // From the last to the first, so that `$1` is not found in `$12`.
            for place in (1..=width).rev() {
                shifted = shifted.replace(&format!("${place}"), &format!("#{}", place + number * width));
            }
            shifted.replace('#', "$")
        };
        let form = |rows| Statement::generated(format!("{into} VALUES {}", (0..rows).map(row_at).collect::<Vec<_>>().join(", ")));
        Insert { width, forms: SIZES.map(form) }
    }

    /// The statements that insert rows whose values are given one after the other.
    pub fn of<'a>(&self, values: &'a [Value]) -> Vec<(Statement, &'a [Value])> {
        let (mut left, mut statements) = (values, Vec::new());
        while !left.is_empty() {
            let rows = left.len() / self.width;
            let at = SIZES.iter().rposition(|size| *size <= rows).unwrap_or(0);
            let (now, later) = left.split_at((SIZES[at] * self.width).min(left.len()));
            statements.push((self.forms[at], now));
            left = later;
        }
        statements
    }

    /// Every form, for the test that prepares them.
    pub fn statements(&self) -> [Statement; SIZES.len()] {
        self.forms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insert_counts_the_places_of_its_rows_on() {
        let insert = Insert::new("INSERT INTO t (a, b)", "($1, coalesce($2, $1))", 2);
        assert_eq!(insert.forms[1].text(), "INSERT INTO t (a, b) VALUES ($1, coalesce($2, $1)), ($3, coalesce($4, $3))");
    }

    #[test]
    fn rows_are_cut_into_the_sizes_there_are() {
        let insert = Insert::new("INSERT INTO t (a, b)", "($1, $2)", 2);
        let values: Vec<Value> = (0..2 * 75).map(Value::from).collect();
        let pieces = insert.of(&values);
        assert_eq!(pieces.iter().map(|(_, values)| values.len() / 2).collect::<Vec<_>>(), [64, 8, 2, 1]);
        assert_eq!(pieces.iter().flat_map(|(_, values)| values.iter().cloned()).collect::<Vec<_>>(), values);
    }
}
