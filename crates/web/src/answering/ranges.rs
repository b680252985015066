//! Parts of a file that a client asks for (RFC 9110, section 14): one range of bytes, if the file is the one that the client knows.

use std::ops::Range;

use axum::http::{HeaderMap, header};
use plane::{Error, Result};

/// What a request wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it. Several ranges, or what is no range of bytes, come to that too.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

/// Characters of a range or a tag at the most.
pub(crate) const MOST_CHARACTERS: usize = 200;

/// Refuses what the documents say is too long to be a range or a tag.
///
/// # Errors
/// [`Error::Malformed`], which names the header.
pub(crate) fn check(headers: &HeaderMap) -> Result<()> {
    for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MATCH] {
        if headers.get(&name).is_some_and(|value| !(1..=MOST_CHARACTERS).contains(&value.len())) {
            return Err(Error::Malformed(format!("The header {name} must have 1 to {MOST_CHARACTERS} characters.")));
        }
    }
    Ok(())
}

/// Reads what a request wants of a file of so many bytes that has this strong tag, if it has one.
pub(crate) fn wanted(headers: &HeaderMap, bytes: u64, tag: Option<&str>) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok()).map(str::trim);
    let Some(range) = text(header::RANGE) else { return Wanted::All };
    // A client that has the beginning of another file gets this one whole. By a date nothing is compared: the tag is better.
    if headers.contains_key(header::IF_RANGE) && (tag.is_none() || text(header::IF_RANGE) != tag) {
        return Wanted::All;
    }
    let parsed = match headers.get_all(header::RANGE).iter().count() {
        1 => parse(range, bytes),
        _ => None,
    };
    parsed.unwrap_or(Wanted::All)
}

fn parse(range: &str, bytes: u64) -> Option<Wanted> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes"))?;
    let (first, last) = (number(first)?, number(last)?);
    let range = match (first, last) {
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), last) => first..last.map_or(bytes, |last| last.saturating_add(1).min(bytes)),
        (None, Some(last)) => bytes.saturating_sub(last)..bytes,
        (None, None) => return None,
    };
    Some(if range.is_empty() { Wanted::Nothing } else { Wanted::Part(range) })
}

/// A number, or none where there is nothing. One that is too large is as large as any.
fn number(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(range: &'static str, condition: Option<&'static str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(range));
        headers.extend(condition.map(|condition| (header::IF_RANGE, HeaderValue::from_static(condition))));
        wanted(&headers, 100, Some("\"tag\""))
    }

    #[test]
    fn what_is_too_long_for_a_range_or_a_tag_is_refused() {
        let with = |name, value: &str| check(&HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())]));
        for name in [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MATCH] {
            assert!(with(name.clone(), &"0".repeat(200)).is_ok());
            assert!(with(name.clone(), &"0".repeat(201)).is_err() && with(name, "").is_err());
        }
    }

    #[test]
    fn one_range_is_read_as_the_standard_says() {
        for (range, wanted) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("BYTES = 5-", Wanted::Part(5..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=99-99999999999999999999999", Wanted::Part(99..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=9-5", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("rows=0-1", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes", Wanted::All),
        ] {
            assert_eq!(of(range, None), wanted, "{range}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 100, None), Wanted::All);
    }

    #[test]
    fn a_part_is_only_of_the_file_that_the_client_knows() {
        assert_eq!(of("bytes=0-9", Some("\"tag\"")), Wanted::Part(0..10));
        for other in ["\"other\"", "W/\"tag\"", "Mon, 30 Nov 2026 12:00:00 GMT"] {
            assert_eq!(of("bytes=0-9", Some(other)), Wanted::All, "{other}");
        }
    }
}
