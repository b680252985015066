//! Keys of rows: what a drain walks along, and what a cursor holds.

use serde_json::Value as Json;
use sql::{FromRow, Row, Value};
use uuid::Uuid;

use crate::{Error, Result};

/// A column of a key, and its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumn {
    /// The column.
    pub name: &'static str,
    /// Its type.
    pub kind: KeyKind,
}

/// The types that a column of a key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// `uuid`.
    Uuid,
    /// `text`.
    Text,
    /// `bigint`.
    Integer,
}

impl KeyKind {
    /// PostgreSQL's name of the type.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            KeyKind::Uuid => "uuid",
            KeyKind::Text => "text",
            KeyKind::Integer => "bigint",
        }
    }
}

/// A column of type `uuid`.
pub const fn uuid(name: &'static str) -> KeyColumn {
    KeyColumn { name, kind: KeyKind::Uuid }
}

/// A column of type `text`.
pub const fn text(name: &'static str) -> KeyColumn {
    KeyColumn { name, kind: KeyKind::Text }
}

/// A column of type `bigint`.
pub const fn integer(name: &'static str) -> KeyColumn {
    KeyColumn { name, kind: KeyKind::Integer }
}

/// The value of a column of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of a column of type `uuid`.
    Uuid(Uuid),
    /// Of a column of type `text`.
    Text(String),
    /// Of a column of type `bigint`.
    Integer(i64),
}

/// How far a walk has come: the columns of the last row, in the order of the walk; as many as are known, the first ones.
pub type Cursor = Vec<Key>;

impl Key {
    pub(crate) fn read(row: &mut Row, kind: KeyKind) -> sql::Result<Key> {
        Ok(match kind {
            KeyKind::Uuid => Key::Uuid(FromRow::from_row(row)?),
            KeyKind::Text => Key::Text(FromRow::from_row(row)?),
            KeyKind::Integer => Key::Integer(FromRow::from_row(row)?),
        })
    }

    /// A key after which there is hardly any other: for estimates.
    pub(crate) fn greatest(kind: KeyKind) -> Key {
        match kind {
            KeyKind::Uuid => Key::Uuid(Uuid::max()),
            KeyKind::Text => Key::Text(char::MAX.to_string()),
            KeyKind::Integer => Key::Integer(i64::MAX),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Key::Uuid(id) => Json::from(id.to_string()),
            Key::Text(text) => Json::from(text.as_str()),
            Key::Integer(number) => Json::from(*number),
        }
    }

    fn from_json(json: &Json, kind: KeyKind) -> Option<Key> {
        Some(match kind {
            KeyKind::Uuid => Key::Uuid(json.as_str()?.parse().ok()?),
            KeyKind::Text => Key::Text(json.as_str()?.to_owned()),
            KeyKind::Integer => Key::Integer(json.as_i64()?),
        })
    }

    /// Its bytes, so that no two keys of one type have the same.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Key::Uuid(id) => id.as_bytes().to_vec(),
            Key::Text(text) => [text.as_bytes(), &[0]].concat(),
            Key::Integer(number) => number.to_be_bytes().to_vec(),
        }
    }

    /// The id, if it is one.
    pub fn uuid(&self) -> Option<Uuid> {
        match self {
            Key::Uuid(id) => Some(*id),
            Key::Text(_) | Key::Integer(_) => None,
        }
    }
}

impl From<Uuid> for Key {
    fn from(id: Uuid) -> Key {
        Key::Uuid(id)
    }
}

impl From<Key> for Value {
    fn from(key: Key) -> Value {
        match key {
            Key::Uuid(id) => Value::Uuid(id),
            Key::Text(text) => Value::Text(text),
            Key::Integer(number) => Value::Int(number),
        }
    }
}

/// A row of these columns and no others.
pub(crate) fn read_cursor(row: Row, columns: &[KeyColumn]) -> sql::Result<Cursor> {
    row.read_with(|row| columns.iter().map(|column| Key::read(row, column.kind)).collect())
}

/// A cursor as the database holds it.
pub(crate) fn cursor_to_json(cursor: &Cursor) -> Json {
    cursor.iter().map(Key::to_json).collect()
}

/// A cursor of a walk along these columns, from the database.
///
/// # Errors
/// [`Error::Internal`] for one of another walk.
pub(crate) fn cursor_from_json(json: &Json, columns: &[KeyColumn]) -> Result<Cursor> {
    let keys = json.as_array().filter(|keys| keys.len() <= columns.len());
    let cursor = keys.and_then(|keys| keys.iter().zip(columns).map(|(key, column)| Key::from_json(key, column.kind)).collect());
    cursor.ok_or_else(|| Error::Internal(format!("the cursor of a deletion does not fit its walk: {json}")))
}
