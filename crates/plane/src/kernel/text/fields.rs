//! Checks of what callers send: every field is looked at, and all that is wrong is said at once.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::destinations::check_link;
use crate::normal_forms::{composed, folded, is_email, is_password, is_visible, turns_direction};
use crate::policy::SCOPES;
use crate::{FieldError, FieldErrors, Result};

/// Collects what is wrong with the fields of one input.
#[derive(Debug, Default)]
pub struct Check {
    errors: FieldErrors,
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

    /// Adds an error about a field that is not one of those known here.
    pub fn unknown<'a>(&mut self, field: &str, known: impl IntoIterator<Item = &'a str>) {
        self.refuse(field, "unknown_field", not_a_field(field, known));
    }

    /// Scopes must be known. One error for all that are not: what is known is said once.
    pub fn scopes(&mut self, field: &str, scopes: &[String]) -> &mut Check {
        if let Some((place, _)) = scopes.iter().enumerate().find(|(_, scope)| !SCOPES.contains(&scope.as_str())) {
            self.refuse(&format!("{field}.{place}"), "unknown_scope", format!("must be one of {}", SCOPES.join(", ")));
        }
        self
    }

    /// A text must have a length in characters within `length`, and no control characters. If it must not be empty, there must be something
    /// to see in it.
    pub fn text(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) -> &mut Check {
        let characters = value.chars().count();
        if characters < *length.start() {
            self.refuse(field, "too_short", format!("must have {} or more characters", length.start()));
        } else if characters > *length.end() {
            self.refuse(field, "too_long", format!("must have {} characters at the most", length.end()));
        } else if value.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
            self.refuse(field, "invalid", "must not contain control characters");
        } else if *length.start() > 0 && !is_visible(value) {
            self.refuse(field, "blank", "must contain something that can be seen");
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

    /// The address of a page or picture on the web, which may be missing: see [`check_link`].
    pub fn link(&mut self, field: &str, value: Option<&str>) -> &mut Check {
        if let Some(error) = value.and_then(|value| check_link(field, value).err()) {
            self.errors.push(error);
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

    /// An e-mail address that a person can have: see [`is_email`].
    pub fn email(&mut self, field: &str, value: &str) -> &mut Check {
        if !is_email(value) {
            let words = "must be an e-mail address such as ada@example.com, of 64 bytes before the @ and 254 in all at the most";
            self.refuse(field, "invalid_email", words);
        }
        self
    }

    /// The [form](crate::normal_forms::password) of a new password: so many characters, none of which is a control character or not to be seen.
    pub fn password(&mut self, field: &str, normal: &str, length: RangeInclusive<usize>) -> &mut Check {
        let known = self.errors.total();
        self.text(field, normal, length);
        if self.errors.total() == known && !is_password(normal) {
            self.refuse(field, "invalid", "must not contain control characters, or characters that are not to be seen (RFC 8265)");
        }
        self
    }

    /// The name by which people know an organization, a person or an app apart: a [text](Check::text) that does not turn the direction of
    /// what is written beside it, to look like another name.
    pub fn name(&mut self, field: &str, value: &str, length: RangeInclusive<usize>) -> &mut Check {
        self.text(field, value, length);
        if turns_direction(value) {
            self.refuse(
                field,
                "invalid",
                "must not contain characters that turn the direction of text (U+202A to U+202E, U+2066 to U+2069)",
            );
        }
        self
    }

    /// What shall be written into metadata: a flat object of texts, keys of 1 to 40 and values of up to 500 characters. How many keys there
    /// are counts once they are [merged](merge_metadata).
    pub fn metadata(&mut self, field: &str, value: &Json) -> &mut Check {
        self.flat(field, value, usize::MAX, 40, 500)
    }

    /// A postal address: a flat object of texts.
    pub fn address(&mut self, field: &str, value: &Json) -> &mut Check {
        self.flat(field, value, 20, 40, 200)
    }

    /// A flat object of texts: so many keys at the most, of such length, and values of such length.
    pub fn flat(&mut self, field: &str, value: &Json, keys: usize, key_length: usize, value_length: usize) -> &mut Check {
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

    /// How much was wrong so far.
    pub fn total(&self) -> usize {
        self.errors.total()
    }

    /// All that was wrong, if anything was.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn finish(&mut self) -> Result<()> {
        std::mem::take(&mut self.errors).finish()
    }
}

/// The words about a field that is not one of those known here: they name the one that was most likely meant, and not all there are.
pub fn not_a_field<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(known) => format!("is not a field here; the nearest is `{known}`"),
        None => "is not a field here; the documentation names those there are".to_owned(),
    }
}

/// The name among the known ones that is spelled most like this one, if any is spelled like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Characters of a name that are looked at: none of this program's own is longer.
    const LOOKED_AT: usize = 60;
    /// Two thirds of the letters in their places.
    const ALIKE: f64 = 0.66;
    let folded = |name: &str| name.chars().take(LOOKED_AT).flat_map(char::to_lowercase).collect::<String>();
    let name = folded(name);
    let likeness = known.into_iter().map(|known| (strsim::normalized_damerau_levenshtein(&name, &folded(known)), known));
    likeness.filter(|(likeness, _)| *likeness >= ALIKE).max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known)
}

/// Keys of metadata at the most.
const MOST_METADATA_KEYS: usize = 50;

/// Metadata after a write: keys that are given take the place of their old values, an empty text takes the key away, all others stay. Two
/// spellings of one key are one key, which stays as it was first written.
///
/// # Errors
/// [`Error::Invalid`] when there would be more than 50 keys.
pub fn merge_metadata(field: &str, old: &Json, given: &Json) -> Result<Json> {
    let mut merged = old.as_object().cloned().unwrap_or_default();
    for (key, value) in given.as_object().into_iter().flatten() {
        let known = merged.keys().find(|known| composed(known) == composed(key)).cloned();
        let key = known.as_ref().unwrap_or(key);
        match value.as_str() {
            Some("") => drop(merged.shift_remove(key)),
            _ => drop(merged.insert(key.clone(), value.clone())),
        }
    }
    if merged.len() > MOST_METADATA_KEYS {
        let words = format!("must have {MOST_METADATA_KEYS} keys at the most: give those that are not needed any more an empty text");
        return Err(FieldError::new(field, "too_many", words).into());
    }
    Ok(Json::Object(merged))
}

/// Texts that the metadata of what is listed must have, at the most.
pub const MOST_METADATA_FILTERS: usize = 10;

/// What a list is filtered by: the object of texts that metadata must contain; none where nothing was given.
///
/// # Errors
/// [`Error::Invalid`] for more than [`MOST_METADATA_FILTERS`] texts, and for a key or text that no metadata can have.
pub fn metadata_filter(given: &Map<String, Json>) -> Result<Option<Json>> {
    let mut check = Check::new();
    if given.len() > MOST_METADATA_FILTERS {
        check.refuse("metadata", "too_many", format!("must be {MOST_METADATA_FILTERS} filters at the most"));
    } else {
        for (key, text) in given {
            let field = format!("metadata[{}]", key.chars().take(40).collect::<String>());
            check.text(&field, key, 1..=40).text(&field, text.as_str().unwrap_or_default(), 1..=500);
        }
    }
    check.finish()?;
    Ok((!given.is_empty()).then(|| Json::Object(given.clone())))
}

/// The pattern of SQL's `LIKE … ESCAPE '!'` that finds a text's [form](folded) within a `search_key`; none for a text that is missing or
/// empty.
///
/// # Errors
/// [`Error::Invalid`] when the text is longer than 200 characters or has control characters.
pub fn containing(field: &str, text: Option<&str>) -> Result<Option<String>> {
    let mut check = Check::new();
    check.optional(field, text, 0..=200);
    let form = text.map(folded);
    if form.as_ref().is_some_and(String::is_empty) && text.is_some_and(|text| !text.is_empty()) {
        check.refuse(field, "blank", "must contain something that can be seen, or be left out");
    }
    check.finish()?;
    Ok(form.filter(|form| !form.is_empty()).map(|form| {
        let escaped = form.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        format!("%{escaped}%")
    }))
}

/// Reads a time of RFC 3339 that both engines can hold and give back: in the years 1 to 9999, cut to the microsecond.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    // The last second that jiff reads has microseconds that it does not make a time from again.
    let time = Timestamp::from_microsecond(text.parse::<Timestamp>().ok()?.as_microsecond()).ok()?;
    (time.as_second() >= FIRST_SECOND).then_some(time)
}

/// The beginning of the year 1: PostgreSQL's times do not go back as far as jiff's.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Checks the reason of a deletion.
///
/// # Errors
/// [`Error::Invalid`] when it is longer than 500 characters or has control characters.
pub fn check_reason(reason: Option<&str>) -> Result<()> {
    Check::new().optional("reason", reason, 0..=500).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_merges_and_an_empty_text_takes_a_key_away() {
        let old = json!({"a": "1", "b": "2"});
        let merged = merge_metadata("metadata", &old, &json!({"b": "", "c": "3", "d": ""})).unwrap();
        assert_eq!(merged, json!({"a": "1", "c": "3"}));
    }

    #[test]
    fn two_spellings_of_a_key_of_metadata_are_one() {
        let merged = merge_metadata("metadata", &json!({"café": "1"}), &json!({"cafe\u{301}": "2"})).unwrap();
        assert_eq!(merged, json!({"café": "2"}));
        assert_eq!(merge_metadata("metadata", &merged, &json!({"cafe\u{301}": ""})).unwrap(), json!({}));
    }

    #[test]
    fn a_text_that_must_not_be_empty_has_something_to_see() {
        let refused = |text: &str, length| Check::new().text("name", text, length).finish().is_err();
        assert!(refused("   ", 1..=5) && refused("\u{200b}\u{2060}", 1..=5) && refused("\u{3164}", 1..=5));
        assert!(!refused("   ", 0..=5) && !refused(" a ", 1..=5));
        assert!(Check::new().name("name", "gpj.\u{202e}exe", 1..=20).finish().is_err());
    }

    #[test]
    fn the_keys_of_metadata_are_counted_after_the_merge() {
        let all: serde_json::Map<String, Json> = (0..50).map(|number| (number.to_string(), json!("x"))).collect();
        let full = Json::Object(all);
        assert!(merge_metadata("metadata", &full, &json!({"more": "x"})).is_err());
        assert!(merge_metadata("metadata", &full, &json!({"more": "x", "0": ""})).is_ok());
    }

    #[test]
    fn a_name_is_taken_for_the_one_that_is_spelled_most_like_it() {
        let known = ["email", "name", "managed_by", "validate_only", "createdBefore"];
        let cases = [
            ("emial", Some("email")),
            ("Name", Some("name")),
            ("managedBy", Some("managed_by")),
            ("validate-only", Some("validate_only")),
            ("createdbefore", Some("createdBefore")),
            ("x", None),
            ("", None),
        ];
        for (name, meant) in cases {
            assert_eq!(nearest(name, known), meant, "{name}");
        }
        assert_eq!(nearest(&"email".repeat(100_000), known), None);
    }

    #[test]
    fn what_a_pattern_means_by_itself_is_escaped() {
        assert_eq!(containing("q", Some("50%_!")).unwrap().as_deref(), Some("%50!%!_!!%"));
        assert_eq!(containing("q", Some("")).unwrap(), None);
        assert_eq!(containing("q", Some("JOSE\u{301}")).unwrap().as_deref(), Some("%josé%"));
        assert!(containing("q", Some("\0")).is_err() && containing("q", Some("\u{200b}")).is_err());
    }
}
