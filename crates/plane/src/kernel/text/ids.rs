//! Identifiers as they stand in addresses and bodies: UUIDs, their 22-character short form, and organizations' slugs.

use uuid::Uuid;

/// The organization under which attempts on unknown organizations are kept, and what people did about their own account, which belongs to
/// none; operators read it.
pub const SERVER_SCOPE: Uuid = Uuid::nil();

/// Base 57: the digits and letters that cannot be taken for one another, in the order of PyPI `shortuuid`.
const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Digits of base 57 that 128 bits need.
const SHORT_LENGTH: usize = 22;

/// Writes a UUID in its short form: base 57, most significant digit first, always 22 characters.
pub fn to_short(id: Uuid) -> String {
    let mut rest = id.as_u128();
    let mut digits = [0_u8; SHORT_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 57) as usize];
        rest /= 57;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Reads the short form. Anything but 22 characters of the alphabet, and any value of 2^128 or more, is refused.
pub fn from_short(text: &str) -> Option<Uuid> {
    if text.len() != SHORT_LENGTH {
        return None;
    }
    let mut value: u128 = 0;
    for character in text.bytes() {
        let digit = ALPHABET.iter().position(|letter| *letter == character)?;
        value = value.checked_mul(57)?.checked_add(digit as u128)?;
    }
    Some(Uuid::from_u128(value))
}

/// Reads a UUID in its hyphenated form (either case) or in its short form.
pub fn parse(text: &str) -> Option<Uuid> {
    match text.len() {
        36 => Uuid::try_parse(text).ok(),
        SHORT_LENGTH => from_short(text),
        _ => None,
    }
}

/// How a caller names an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationRef {
    /// By its id.
    Id(Uuid),
    /// By its slug.
    Slug(String),
    /// The one the credential stands for.
    Current,
}

impl OrganizationRef {
    /// Reads an id, or else a slug; `None` when it can be neither. An id always wins, and [`is_slug`] keeps slugs from looking like one.
    pub fn parse(text: &str) -> Option<OrganizationRef> {
        match parse(text) {
            Some(id) => Some(OrganizationRef::Id(id)),
            None => is_slug(text).then(|| OrganizationRef::Slug(text.to_owned())),
        }
    }
}

/// Whether this can be an organization's slug: 3 to 50 of `a-z`, `0-9` and `-`, and not readable as an id.
pub fn is_slug(text: &str) -> bool {
    (3..=50).contains(&text.len())
        && text.bytes().all(|character| matches!(character, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && parse(text).is_none()
}

/// Whether a text can be a customer's reference. Not `.` or `..`: clients and proxies take those out of an address, and what is left of it
/// is the address of something else.
pub fn is_reference(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|character| character.is_ascii_graphic() && character != b'/')
        && !matches!(text, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_the_one_of_pypi_shortuuid() {
        // Made with `shortuuid.encode(uuid.UUID(…))` of PyPI shortuuid 1.0.13.
        let id = Uuid::parse_str("3b1f8b40-222c-4a6e-b77e-779d5a94e21c").unwrap();
        assert_eq!(from_short(&to_short(id)), Some(id));
        assert_eq!(to_short(Uuid::nil()), "2222222222222222222222");
        assert_eq!(from_short(&to_short(Uuid::max())), Some(Uuid::max()));
    }

    #[test]
    fn nothing_else_is_read_as_a_short_id() {
        for text in [
            "",
            "2",
            "222222222222222222222",
            "22222222222222222222222",
            "zzzzzzzzzzzzzzzzzzzzzz",
            "222222222222222222222l",
            "é222222222222222222222",
        ] {
            assert_eq!(from_short(text), None, "{text}");
        }
    }

    #[test]
    fn a_slug_never_looks_like_an_id() {
        assert!(is_slug("acme-2"));
        for text in ["ab", "Acme", "550e8400-e29b-41d4-a716-446655440000", "2222222222222222222222", "a_b", &"a".repeat(51)] {
            assert!(!is_slug(text), "{text}");
        }
    }
}
