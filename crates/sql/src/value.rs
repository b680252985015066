//! The values that cross the border to an engine, and the rows that come back.
//!
//! The schema uses PostgreSQL's native types. SQLite stores `uuid` as 16 bytes, `timestamptz` as microseconds since 1970, `boolean` as
//! 0 or 1 and `jsonb` as text; [`FromValue`] reads either form.

use jiff::Timestamp;
use serde_json::Value as Json;
use std::error::Error as StdError;
use tokio_postgres::types::{FromSql, IsNull, Type};
use uuid::Uuid;

use crate::{Error, Result};

/// A parameter of a statement or a column of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `bigint`.
    Int(i64),
    /// `text`.
    Text(String),
    /// `bytea`.
    Bytes(Vec<u8>),
    /// `uuid`.
    Uuid(Uuid),
    /// `timestamptz`, kept to the microsecond.
    Time(Timestamp),
    /// `jsonb`.
    Json(Json),
    /// `uuid[]`: only as a parameter, in `column = ANY($1)`.
    Uuids(Vec<Uuid>),
    /// `text[]`: only as a parameter, in `column = ANY($1)`.
    Texts(Vec<String>),
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// Converts, or says what was found instead.
    ///
    /// # Errors
    /// [`Error::Statement`] when the column holds another type.
    fn from_value(value: Value) -> Result<Self>;
}

fn mismatch<T>(wanted: &str, found: &Value) -> Result<T> {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Int(_) => "a number",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Uuid(_) => "a uuid",
        Value::Time(_) => "a time",
        Value::Json(_) => "json",
        Value::Uuids(_) | Value::Texts(_) => "a list",
    };
    Err(Error::Statement(format!("a column holds {kind} where {wanted} is read")))
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Int(number) => Ok(number),
            other => mismatch("a number", &other),
        }
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self> {
        let number = i64::from_value(value)?;
        u32::try_from(number).or_else(|_| mismatch("a number from 0 to 4,294,967,295", &Value::Int(number)))
    }
}

impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Bool(flag) => Ok(flag),
            Value::Int(number) => Ok(number != 0),
            other => mismatch("a boolean", &other),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Text(text) => Ok(text),
            other => mismatch("text", &other),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Bytes(bytes) => Ok(bytes),
            other => mismatch("bytes", &other),
        }
    }
}

impl FromValue for Uuid {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Uuid(id) => Ok(id),
            Value::Bytes(bytes) => Uuid::from_slice(&bytes).or_else(|_| mismatch("a uuid", &Value::Bytes(bytes))),
            other => mismatch("a uuid", &other),
        }
    }
}

impl FromValue for Timestamp {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Time(time) => Ok(time),
            Value::Int(micros) => Timestamp::from_microsecond(micros).or_else(|_| mismatch("a time", &Value::Int(micros))),
            other => mismatch("a time", &other),
        }
    }
}

impl FromValue for Json {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Json(json) => Ok(json),
            Value::Text(text) => serde_json::from_str(&text).or_else(|_| mismatch("json", &Value::Text(text))),
            Value::Bytes(bytes) => serde_json::from_slice(&bytes).or_else(|_| mismatch("json", &Value::Bytes(bytes))),
            other => mismatch("json", &other),
        }
    }
}

/// A list of texts in a column `jsonb`.
impl FromValue for Vec<String> {
    fn from_value(value: Value) -> Result<Self> {
        serde_json::from_value(Json::from_value(value)?)
            .map_err(|error| Error::Statement(format!("a column holds no list of texts: {error}")))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

macro_rules! into_value {
    ($($from:ty => |$name:ident| $value:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($name: $from) -> Value {
                $value
            }
        })*
    };
}

into_value! {
    bool => |flag| Value::Bool(flag);
    i64 => |number| Value::Int(number);
    String => |text| Value::Text(text);
    &String => |text| Value::Text(text.clone());
    &str => |text| Value::Text(text.to_owned());
    Vec<u8> => |bytes| Value::Bytes(bytes);
    &[u8] => |bytes| Value::Bytes(bytes.to_vec());
    Uuid => |id| Value::Uuid(id);
    Timestamp => |time| Value::Time(time);
    Json => |json| Value::Json(json);
    &Json => |json| Value::Json(json.clone());
    Vec<Uuid> => |ids| Value::Uuids(ids);
    &[Uuid] => |ids| Value::Uuids(ids.to_vec());
    Vec<String> => |texts| Value::Texts(texts);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// How many entries it has, if it is a list.
    pub(crate) fn entries(&self) -> Option<usize> {
        match self {
            Value::Uuids(ids) => Some(ids.len()),
            Value::Texts(texts) => Some(texts.len()),
            _ => None,
        }
    }
}

/// A parameter on its way to SQLite.
pub(crate) struct Bound<'a> {
    pub(crate) value: &'a Value,
    /// Whether a list goes as its only entry.
    pub(crate) is_alone: bool,
}

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, Value as Owned, ValueRef};
        Ok(match self.value {
            Value::Uuids(ids) if self.is_alone => {
                ToSqlOutput::Borrowed(ids.first().map_or(ValueRef::Null, |id| ValueRef::Blob(id.as_bytes())))
            }
            Value::Texts(texts) if self.is_alone => {
                ToSqlOutput::Borrowed(texts.first().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())))
            }
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Bool(flag) => ToSqlOutput::Borrowed(ValueRef::Integer(i64::from(*flag))),
            Value::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Value::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Value::Uuid(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
            Value::Time(time) => ToSqlOutput::Borrowed(ValueRef::Integer(time.as_microsecond())),
            // SQLite would take the text of a bare number for a number and store it as one, not always the same one.
            Value::Json(json) if json.is_number() => ToSqlOutput::Owned(Owned::Blob(json.to_string().into_bytes())),
            Value::Json(json) => ToSqlOutput::Owned(Owned::Text(json.to_string())),
            Value::Uuids(ids) => list(ids.iter().map(|id| Owned::Blob(id.as_bytes().to_vec()))),
            Value::Texts(texts) => list(texts.iter().map(|text| Owned::Text(text.clone()))),
        })
    }
}

/// A parameter of SQLite's table-valued function `rarray`.
fn list<'a>(values: impl Iterator<Item = rusqlite::types::Value>) -> rusqlite::types::ToSqlOutput<'a> {
    rusqlite::types::ToSqlOutput::from_rc(std::rc::Rc::new(values.collect::<Vec<_>>()), c"rarray")
}

/// Microseconds from 1970 to 2000, where PostgreSQL's clock starts.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl tokio_postgres::types::ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(flag) => flag.to_sql_checked(ty, out),
            Value::Int(number) => number.to_sql_checked(ty, out),
            Value::Text(text) => text.to_sql_checked(ty, out),
            Value::Bytes(bytes) => bytes.to_sql_checked(ty, out),
            Value::Uuid(id) => id.to_sql_checked(ty, out),
            Value::Json(json) => json.to_sql_checked(ty, out),
            Value::Uuids(ids) => ids.to_sql_checked(ty, out),
            Value::Texts(texts) => texts.to_sql_checked(ty, out),
            Value::Time(time) if *ty == Type::TIMESTAMPTZ => {
                out.extend_from_slice(&(time.as_microsecond() - POSTGRES_EPOCH_MICROS).to_be_bytes());
                Ok(IsNull::No)
            }
            Value::Time(_) => Err(format!("a time is bound where the statement has {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Value, Box<dyn StdError + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::Int(i16::from_sql(ty, raw)?.into()),
            Type::TEXT | Type::VARCHAR | Type::NAME => Value::Text(String::from_sql(ty, raw)?),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::UUID => Value::Uuid(Uuid::from_sql(ty, raw)?),
            Type::JSONB => Value::Json(Json::from_sql(ty, raw)?),
            Type::TIMESTAMPTZ => {
                let micros = i64::from_be_bytes(raw.try_into()?);
                Value::Time(Timestamp::from_microsecond(micros.saturating_add(POSTGRES_EPOCH_MICROS))?)
            }
            _ => return Err(format!("no value for the type {ty}").into()),
        })
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Value, Box<dyn StdError + Sync + Send>> {
        Ok(Value::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
