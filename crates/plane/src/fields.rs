//! Checks of what callers send: every field is looked at, and all that is wrong is said at once.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::{Error, FieldError, Result};

/// Collects what is wrong with the fields of one input.
#[derive(Debug, Default)]
pub struct Check {
    errors: Vec<FieldError>,
}

impl Check {
    /// An empty list.
    pub fn new() -> Check {
        Check::default()
    }

    /// Adds an error.
    pub fn refuse(&mut self, field: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, code, message));
    }

    /// A text must have a length in characters within `length`, and no control characters.
    pub fn text(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) -> &mut Check {
        let characters = value.chars().count();
        if characters < *length.start() {
            self.refuse(field, "too_short", format!("must have {} or more characters", length.start()));
        } else if characters > *length.end() {
            self.refuse(field, "too_long", format!("must have {} characters at the most", length.end()));
        } else if value.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
            self.refuse(field, "invalid", "must not contain control characters");
        }
        self
    }

    /// Like [`Check::text`], for a text that may be missing.
    pub fn optional(&mut self, field: &str, value: Option<&str>, length: RangeInclusive<usize>) -> &mut Check {
        if let Some(value) = value {
            self.text(field, value, length);
        }
        self
    }

    /// A number that may be missing must be within `range`.
    pub fn number(&mut self, field: &str, value: Option<u32>, range: RangeInclusive<u32>) -> &mut Check {
        if value.is_some_and(|number| !range.contains(&number)) {
            self.refuse(field, "out_of_range", format!("must be a number from {} to {}", range.start(), range.end()));
        }
        self
    }

    /// An e-mail address: something before and after one `@`, no spaces, 254 characters at the most (RFC 5321).
    pub fn email(&mut self, field: &str, value: &str) -> &mut Check {
        let well_formed = value.len() <= 254
            && !value.chars().any(|character| character.is_whitespace() || character.is_control())
            && value.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty() && !domain.contains('@'));
        if !well_formed {
            self.refuse(field, "invalid_email", "must be an e-mail address of 254 characters at the most");
        }
        self
    }

    /// Metadata: a flat object of texts, 50 keys at the most, keys of 1 to 40 and values of up to 500 characters.
    pub fn metadata(&mut self, field: &str, value: &Json) -> &mut Check {
        self.flat(field, value, 50, 40, 500)
    }

    /// A postal address: a flat object of texts.
    pub fn address(&mut self, field: &str, value: &Json) -> &mut Check {
        self.flat(field, value, 20, 40, 200)
    }

    fn flat(&mut self, field: &str, value: &Json, keys: usize, key_length: usize, value_length: usize) -> &mut Check {
        let Some(object) = value.as_object() else {
            self.refuse(field, "invalid_type", "must be an object of texts");
            return self;
        };
        if object.len() > keys {
            self.refuse(field, "too_many", format!("must have {keys} keys at the most"));
            return self;
        }
        for (key, value) in object {
            let path = format!("{field}.{}", key.chars().take(key_length).collect::<String>());
            self.text(&path, key, 1..=key_length);
            if let Some(text) = value.as_str() {
                self.text(&path, text, 0..=value_length);
            } else {
                self.refuse(&path, "invalid_type", "must be a text");
            }
        }
        self
    }

    /// All that was wrong, if anything was.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn finish(&mut self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(std::mem::take(&mut self.errors))) }
    }
}

/// Reads a time of RFC 3339 that both engines can hold and give back: in the years 1 to 9999, cut to the microsecond.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    // The last second that jiff reads has microseconds that it does not make a time from again.
    let time = Timestamp::from_microsecond(text.parse::<Timestamp>().ok()?.as_microsecond()).ok()?;
    (time.as_second() >= FIRST_SECOND).then_some(time)
}

/// The beginning of the year 1: PostgreSQL's times do not go back as far as jiff's.
const FIRST_SECOND: i64 = -62_135_596_800;

/// E-mail addresses are compared in lower case and without surrounding space.
pub fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}
