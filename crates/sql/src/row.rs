//! Rows, and the records that are read from them.

use crate::{Error, FromValue, Result, Value};

/// One row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    columns: std::vec::IntoIter<Value>,
}

impl Row {
    pub(crate) fn new(columns: Vec<Value>) -> Row {
        Row { columns: columns.into_iter() }
    }

    /// What the row holds: a value, a tuple or a record.
    ///
    /// # Errors
    /// [`Error::Statement`] when a column is missing, left over or of another type.
    pub fn read<T: FromRow>(self) -> Result<T> {
        self.read_with(T::from_row)
    }

    /// The same for a row whose columns are not known before: each is read with [`FromRow::from_row`].
    ///
    /// # Errors
    /// Those of [`Row::read`].
    pub fn read_with<T, E: From<Error>>(mut self, read: impl FnOnce(&mut Row) -> Result<T, E>) -> Result<T, E> {
        let read = read(&mut self)?;
        match self.columns.len() {
            0 => Ok(read),
            _ => Err(Error::Statement("the row has more columns than are read".into()).into()),
        }
    }

    /// All columns as they are.
    pub fn rest(self) -> Vec<Value> {
        self.columns.collect()
    }
}

/// A type that a row, or a part of it, can be read as.
pub trait FromRow: Sized {
    /// Takes the next columns of a row.
    ///
    /// # Errors
    /// [`Error::Statement`] when there are too few, or one is of another type.
    fn from_row(row: &mut Row) -> Result<Self>;
}

impl<T: FromValue> FromRow for T {
    fn from_row(row: &mut Row) -> Result<T> {
        let value = row.columns.next().ok_or_else(|| Error::Statement("the row has fewer columns than are read".into()))?;
        T::from_value(value)
    }
}

macro_rules! tuples {
    ($(($($part:ident)*))*) => {
        $(impl<$($part: FromRow),*> FromRow for ($($part),*) {
            fn from_row(row: &mut Row) -> Result<Self> {
                Ok(($($part::from_row(row)?),*))
            }
        })*
    };
}

tuples! { (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

/// A type whose columns stand beside it, by [`columns!`](crate::columns).
pub trait Record: FromRow {
    /// Them, as a `SELECT` or a `RETURNING` names them.
    const COLUMNS: &'static str;
}

/// Declares the columns of a record, each once and by its field: `columns! { Customer { id, organization: "organization_id" } }`. This makes what
/// [`sql!`](crate::sql) puts into a statement for `{columns}`, and what reads the rows, in the same order.
///
/// - `field: "expression"` has a column of another name, or an expression.
/// - `field => function` is made by the function of what the column holds.
/// - `; field = value` is in no column.
/// - `Own(ApiKey) { … }` is a second list of columns for an `ApiKey`, read as the struct `Own` that holds one.
/// - `Watched with Deletion { deletion: "{columns}", … }` has the other record's columns among its own.
#[macro_export]
macro_rules! columns {
    (@column $field:ident) => { stringify!($field) };
    (@column $field:ident $column:literal) => { $column };
    (@list $first:ident $($first_column:literal)?, $($field:ident $($column:literal)?),*) => {
        concat!($crate::columns!(@column $first $($first_column)?) $(, ", ", $crate::columns!(@column $field $($column)?))*)
    };
    (@read $record:ident $whole:expr; $($field:ident $(=> $told:path)?),*; $($constant:ident = $value:expr),*) => {
        impl $crate::FromRow for $record {
            fn from_row(row: &mut $crate::Row) -> $crate::Result<Self> {
                $(let $field = $crate::FromRow::from_row(row)?; $(let $field = $told($field);)?)*
                $(let $constant = $value;)*
                Ok($whole)
            }
        }
    };
    ($record:ident $(with $other:ident)? {
        $($field:ident $(: $column:literal)? $(=> $told:path)?),* $(,)? $(; $($constant:ident = $value:expr),* $(,)?)?
    }) => {
        $crate::columns!(@read $record $record { $($field,)* $($($constant),*)? }; $($field $(=> $told)?),*; $($($constant = $value),*)?);
        impl $crate::Record for $record {
            const COLUMNS: &'static str = $crate::spliced!($crate::columns!(@list $($field $($column)?),*) $(, $other)?);
        }
    };
    ($record:ident($inner:ident) {
        $($field:ident $(: $column:literal)? $(=> $told:path)?),* $(,)? $(; $($constant:ident = $value:expr),* $(,)?)?
    }) => {
        $crate::columns!(@read $record $record($inner { $($field,)* $($($constant),*)? }); $($field $(=> $told)?),*; $($($constant = $value),*)?);
        impl $crate::Record for $record {
            const COLUMNS: &'static str = $crate::columns!(@list $($field $($column)?),*);
        }
    };
}

/// A text with the columns of a record for each `{columns}`, made by the compiler.
#[doc(hidden)]
#[macro_export]
macro_rules! spliced {
    ($text:expr) => {
        $text
    };
    ($text:expr, $record:ty) => {{
        const TEXT: &str = $text;
        const COLUMNS: &str = <$record as $crate::Record>::COLUMNS;
        const BYTES: [u8; $crate::splice::<0>(TEXT, COLUMNS).1] = $crate::splice(TEXT, COLUMNS).0;
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => panic!(),
        }
    }};
}

/// Replaces each `{columns}` of a text. Returns the first `N` bytes, and how many there are: with an `N` of 0 it only counts them.
#[doc(hidden)]
pub const fn splice<const N: usize>(text: &str, columns: &str) -> ([u8; N], usize) {
    let (mut bytes, mut length, mut rest) = ([0; N], 0, text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let (piece, next) = match rest {
            [b'{', b'c', b'o', b'l', b'u', b'm', b'n', b's', b'}', next @ ..] => (columns.as_bytes(), next),
            _ => (std::slice::from_ref(first), behind),
        };
        let mut place = 0;
        while place < piece.len() {
            if length < N {
                bytes[length] = piece[place];
            }
            (length, place) = (length + 1, place + 1);
        }
        rest = next;
    }
    (bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;

    #[derive(Debug, PartialEq)]
    struct Thing {
        id: i64,
        name: Option<String>,
        is_new: bool,
    }

    columns! { Thing { id: "things.id", name; is_new = true } }

    struct Place {
        floor: i64,
        thing: Thing,
    }

    columns! { Place with Thing { floor, thing: "{columns}" } }

    struct Renamed(Thing);

    columns! { Renamed(Thing) { name: "title", id => i64::abs, is_new } }

    fn row(columns: &[i64]) -> Row {
        Row::new(columns.iter().copied().map(Value::Int).collect())
    }

    #[test]
    fn a_column_that_is_missing_or_left_over_is_an_error() {
        assert_eq!(row(&[1, 2]).read::<(i64, i64)>().unwrap(), (1, 2));
        assert_eq!(row(&[1, 2, 3]).read::<((i64, i64), i64)>().unwrap(), ((1, 2), 3));
        for columns in [&[][..], &[1], &[1, 2, 3]] {
            assert!(matches!(row(columns).read::<(i64, i64)>(), Err(Error::Statement(_))), "{columns:?}");
        }
        assert!(matches!(row(&[1, 2]).read::<i64>(), Err(Error::Statement(_))));
        assert!(matches!(row(&[1]).read::<Thing>(), Err(Error::Statement(_))));
    }

    #[test]
    fn a_record_is_read_in_the_order_of_its_columns() {
        assert_eq!(sql!("SELECT {columns} FROM things UNION SELECT {columns} FROM old", Thing).text(), {
            "SELECT things.id, name FROM things UNION SELECT things.id, name FROM old"
        });
        assert_eq!(sql!("SELECT {columns}", Place).text(), "SELECT floor, things.id, name");
        assert_eq!(sql!("SELECT {columns}", Renamed).text(), "SELECT title, id, is_new");
        let columns = [Value::Int(3), Value::Int(1), Value::Null];
        let place: Place = Row::new(columns.to_vec()).read().unwrap();
        assert_eq!((place.floor, place.thing), (3, Thing { id: 1, name: None, is_new: true }));
        let Renamed(thing) = Row::new(vec!["a".into(), Value::Int(-1), Value::Int(0)]).read().unwrap();
        assert_eq!(thing, Thing { id: 1, name: Some("a".into()), is_new: false });
        assert!(Row::new([&columns[..], &columns].concat()).read::<Place>().is_err());
    }
}
