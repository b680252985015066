//! Enums whose values are words in the database and on the wire.

/// Declares an enum, each value of which has a word. The word is what a column of text holds, what `serde` writes, and what requests name.
///
/// What it makes: `ALL`, `name()`, `parse()`, [`FromValue`](crate::FromValue), a conversion into [`Value`](crate::Value) and
/// `serde::Serialize`, which the calling crate must depend on. A column that holds no word of the enum is an [`Error`](crate::Error).
#[macro_export]
macro_rules! words {
    ($(#[$about:meta])* $seen:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $seen enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            $seen const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            /// Its word.
            $seen const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// The value of this word.
            $seen fn parse(word: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|value| value.name() == word)
            }
        }

        impl $crate::FromValue for $name {
            fn from_value(value: $crate::Value) -> $crate::Result<$name> {
                let word = <String as $crate::FromValue>::from_value(value)?;
                let unknown = || $crate::Error::Statement(format!(concat!("a column holds {:?}, which is no ", stringify!($name)), word));
                $name::parse(&word).ok_or_else(unknown)
            }
        }

        impl From<$name> for $crate::Value {
            fn from(value: $name) -> $crate::Value {
                value.name().into()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
    };
}
