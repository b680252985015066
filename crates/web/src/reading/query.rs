//! The parameters behind the `?`, and what is encoded like them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use plane::ids;
use plane::page::PageRequest;
use plane::{Error, FieldError, FieldErrors, Result};
use serde_json::{Map, Value as Json};

use crate::addresses::is_escaped_well;

/// The parameters behind the `?`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// What is refused that is none of these words.
pub(crate) fn must_be(words: &[&str]) -> String {
    let (last, others) = words.split_last().unwrap_or((&"", &[]));
    format!("must be {} or {last}", others.join(", "))
}

impl Query {
    /// Reads what stands behind the `?`, or a form.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an escape that is none and for what is not valid UTF-8.
    pub fn parse(query: Option<&str>) -> Result<Query> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((Query::decode(name)?, Query::decode(value)?))
        });
        let pairs: Option<Vec<(String, String)>> = pairs.collect();
        let broken = || Error::Malformed("A parameter is not percent-encoded UTF-8: write %25 for the sign % itself.".into());
        pairs.map(|pairs| Query { pairs }).ok_or_else(broken)
    }

    /// Decodes a name or a value of a form; none if it is not encoded as one.
    pub fn decode(text: &str) -> Option<String> {
        let text = is_escaped_well(text).then(|| text.replace('+', " "))?;
        percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
    }

    /// The names of all parameters, to be spelled otherwise.
    pub fn names_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.pairs.iter_mut().map(|(name, _)| name)
    }

    /// All parameters, in their order.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.pairs
    }

    /// The first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All parameters, in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first parameter of this name, if it is not empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The members of an object, `name[key]=text` each.
    pub fn texts(&self, name: &'static str) -> Result<Map<String, Json>> {
        let mut texts = Map::new();
        for (given, text) in &self.pairs {
            let Some(rest) = given.strip_prefix(name) else { continue };
            match rest.strip_prefix('[').and_then(|key| key.strip_suffix(']')) {
                Some(key) if texts.insert(key.to_owned(), text.as_str().into()).is_some() => {
                    return Err(FieldError::new(name, "repeated", "has a key more than once").into());
                }
                Some(_) => {}
                None if rest.is_empty() => {
                    return Err(FieldError::new(name, "invalid", format!("must be given as {name}[key]=text")).into());
                }
                None => {}
            }
        }
        Ok(texts)
    }

    /// The first parameter of this name as `read` understands it.
    pub fn read<T>(&self, name: &'static str, wanted: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| FieldError::new(name, "invalid", wanted).into())
    }

    /// `true` or `1`, `false` or `0`; false if missing.
    pub fn flag(&self, name: &'static str) -> Result<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(_) => Err(FieldError::new(name, "invalid", "must be true or false").into()),
        }
    }

    /// Like [`Query::page`], for a list that can be read along a cursor too: `after`, empty for the first slice.
    pub fn part(&self) -> Result<PageRequest> {
        let request = self.page()?;
        let after = match self.get("after") {
            None => None,
            Some("") => Some(PageRequest::FIRST),
            Some(text) => Some(ids::parse(text).ok_or_else(|| {
                Error::from(FieldError::new("after", "invalid_cursor", "must be empty, or the next_cursor of the slice before"))
            })?),
        };
        Ok(PageRequest { after, ..request })
    }

    /// `page` from 1, `page_size` from 1 to 100.
    pub fn page(&self) -> Result<PageRequest> {
        let mut errors = FieldErrors::default();
        let mut number = |name: &'static str, default: i64, most: i64| {
            let Some(text) = self.get(name) else { return default };
            match text.parse::<i64>().ok().filter(|number| (1..=most).contains(number)) {
                Some(number) => number,
                None => {
                    errors.push(FieldError::new(name, "out_of_range", format!("must be a number from 1 to {most}")));
                    default
                }
            }
        };
        let request = PageRequest::new(number("page", 1, 1_000_000_000), number("page_size", 25, 100));
        errors.finish().map(|()| request)
    }
}
