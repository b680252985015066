//! What a deletion waits for.

use std::time::Duration;

/// What keeps a deletion from going on, as its record holds it. The words for people are made where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// A stable machine-readable word: one of the nouns' own, or [`DATABASE`].
    pub kind: String,
    /// How many there are of what it waits for, if that is counted; or the words of a failure.
    pub detail: Option<String>,
}

/// What a deletion waits for whose last batch failed: the detail says why.
pub const DATABASE: &str = "database";

impl Waiting {
    /// For something that is not counted.
    pub fn of(kind: &str) -> Waiting {
        Waiting { kind: kind.to_owned(), detail: None }
    }

    /// For so many of something.
    pub fn counted(kind: &str, number: i64) -> Waiting {
        Waiting { kind: kind.to_owned(), detail: Some(number.to_string()) }
    }

    /// For the end of a failure.
    pub(crate) fn failed(words: String) -> Waiting {
        Waiting { kind: DATABASE.to_owned(), detail: Some(words) }
    }

    /// As the database holds it: the word, and after a space the detail.
    pub fn write(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{} {detail}", self.kind),
            None => self.kind.clone(),
        }
    }

    /// What the database holds.
    pub fn read(text: &str) -> Waiting {
        match text.split_once(' ') {
            Some((kind, detail)) => Waiting { kind: kind.to_owned(), detail: Some(detail.to_owned()) },
            None => Waiting::of(text),
        }
    }
}

/// Why a deletion cannot go on now, and for how long no worker needs to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What it waits for.
    pub waiting: Waiting,
    /// How long it is left alone, unless something wakes it.
    pub lasts: Duration,
}
