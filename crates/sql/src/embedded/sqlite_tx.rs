//! A transaction at hand on the embedded engine.

use crate::hooks::Hook;
use crate::value::Bound;
use crate::{Error, Result, Row, Value};
use rusqlite::Connection;
use std::collections::HashMap;

/// Writes a statement's parameters as SQLite numbers them and its lists as it knows them, leaves out its locks, and leaves alone what is inside
/// quotes or a comment. Where every list has one entry, they are written as that: SQLite makes a table of each list first.
pub(crate) fn spell(text: &str, are_alone: bool) -> String {
    let mut spelled = String::with_capacity(text.len());
    let mut ends_with = None;
    for letter in text.chars() {
        match ends_with {
            Some(end) if letter == end => ends_with = None,
            Some(_) => {}
            None if letter == '\'' || letter == '"' => ends_with = Some(letter),
            None if letter == '-' && spelled.ends_with('-') => ends_with = Some('\n'),
            None => {}
        }
        spelled.push(if letter == '$' && ends_with.is_none() { '?' } else { letter });
    }
    // No text of this program holds these in quotes. The transaction that writes is alone with all rows.
    spelled.replace("= ANY(?", if are_alone { "= (?" } else { "IN rarray(?" }).replace(" FOR UPDATE", "")
}

/// Whether there are lists, and each has one entry.
pub(crate) fn are_alone(params: &[Value]) -> bool {
    let mut lists = params.iter().filter_map(Value::entries).peekable();
    lists.peek().is_some() && lists.all(|entries| entries == 1)
}

pub struct SqliteTx {
    pub(crate) connection: Connection,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) failure: Option<Error>,
    /// Each statement's text in SQLite's spelling, which numbers `?1` but only names `$1`, by where it lies, which is found sooner than what it
    /// says, and by whether its lists have one entry.
    pub(crate) spelled: HashMap<(usize, usize, bool), String>,
}

impl SqliteTx {
    pub(crate) fn new(connection: Connection) -> SqliteTx {
        SqliteTx { connection, hooks: Vec::new(), failure: None, spelled: HashMap::new() }
    }

    pub(crate) fn execute(&mut self, text: &'static str, params: &[Value]) -> Result<u64> {
        let are_alone = are_alone(params);
        let spelled = self.spelled.entry((text.as_ptr().addr(), text.len(), are_alone)).or_insert_with(|| spell(text, are_alone));
        let mut prepared = self.connection.prepare_cached(spelled)?;
        Ok(prepared.execute(rusqlite::params_from_iter(params.iter().map(|value| Bound { value, is_alone: are_alone })))? as u64)
    }

    pub(crate) fn query(&mut self, text: &'static str, params: &[Value]) -> Result<Vec<Row>> {
        use rusqlite::types::ValueRef;
        let are_alone = are_alone(params);
        let spelled = self.spelled.entry((text.as_ptr().addr(), text.len(), are_alone)).or_insert_with(|| spell(text, are_alone));
        let mut prepared = self.connection.prepare_cached(spelled)?;
        let width = prepared.column_count();
        let mut found = prepared.query(rusqlite::params_from_iter(params.iter().map(|value| Bound { value, is_alone: are_alone })))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let mut columns = Vec::with_capacity(width);
            for column in 0..width {
                columns.push(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => Value::Int(number),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                    ValueRef::Real(_) => return Err(Error::Statement("no column of this schema is a floating-point number".into())),
                });
            }
            rows.push(Row::new(columns));
        }
        Ok(rows)
    }

    pub(crate) fn script(&mut self, text: &str) -> Result<()> {
        Ok(self.connection.execute_batch(text)?)
    }

    pub(crate) fn prepare(&mut self, text: &str) -> Result<()> {
        self.connection.prepare(&spell(text, false))?;
        Ok(())
    }
}
