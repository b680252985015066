//! The secret of an API key: its documented form `<prefix>_<body>_<checksum>`, how one is made, and the cheap test before any look-up.
//!
//! The body is 32 random alphanumerics and the checksum its CRC-32, which notices every change of a single character of either. The prefix
//! is noticed too: the checksum of a new key leaves a remainder by 3 that is its kind's.

use std::str::FromStr;

use crate::Result;
use crate::tokens::alphanumeric;

/// Random characters in a key.
const BODY_LENGTH: usize = 32;
/// Hexadecimal digits of the CRC-32 at its end.
const CHECKSUM_LENGTH: usize = 8;

sql::words! {
    /// What a key is for, which shows in its prefix.
    #[derive(Default)]
    pub enum Kind {
        /// For an organization's own back end.
        #[default]
        Organization = "organization",
        /// For a person's own scripts.
        User = "user",
        /// May be published, so it only reads the organization's profile.
        Publishable = "publishable",
    }
}

/// What keys begin with: three words, for keys of organizations, of users and for publishable ones. Default `csb`, `csu` and `cpk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefixes([String; 3]);

impl Default for Prefixes {
    fn default() -> Prefixes {
        Prefixes(["csb", "csu", "cpk"].map(str::to_owned))
    }
}

impl FromStr for Prefixes {
    type Err = String;

    /// Reads three different words of 2 to 10 lower-case letters and digits with commas between them.
    fn from_str(text: &str) -> Result<Prefixes, String> {
        let is_word =
            |word: &String| (2..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
        match <[String; 3]>::try_from(words) {
            Ok(words) if words.iter().all(is_word) && words[0] != words[1] && words[0] != words[2] && words[1] != words[2] => {
                Ok(Prefixes(words))
            }
            _ => Err("must be three different words of 2 to 10 lower-case letters and digits, such as csb,csu,cpk".into()),
        }
    }
}

impl Prefixes {
    /// What keys of this kind begin with.
    pub fn of(&self, kind: Kind) -> &str {
        &self.0[kind as usize]
    }

    /// Whether a text has the form of a key, its checksum is right, and the checksum fits the prefix: the test before any look-up. Cheap,
    /// since anybody can make the server do it.
    pub(crate) fn has_checksum(&self, key: &str) -> bool {
        let Some((prefix, rest)) = key.split_once('_') else { return false };
        let Some(kind) = self.0.iter().position(|known| known == prefix) else { return false };
        let rest = rest.as_bytes();
        if rest.len() != BODY_LENGTH + 1 + CHECKSUM_LENGTH || rest[BODY_LENGTH] != b'_' {
            return false;
        }
        let (body, checksum) = (&rest[..BODY_LENGTH], &rest[BODY_LENGTH + 1..]);
        let sum = crc32fast::hash(body);
        body.iter().all(u8::is_ascii_alphanumeric) && digits(sum) == checksum && is_of_kind(sum, kind)
    }

    /// A new secret.
    pub(crate) fn make(&self, kind: Kind) -> Result<String> {
        loop {
            let body = alphanumeric(BODY_LENGTH)?;
            let sum = crc32fast::hash(body.as_bytes());
            if is_of_kind(sum, kind as usize) {
                return Ok(format!("{}_{body}_{sum:08x}", self.of(kind)));
            }
        }
    }
}

/// A third of all bodies is for each kind: a key whose prefix was changed for another known one is refused without a look-up too.
fn is_of_kind(sum: u32, kind: usize) -> bool {
    sum as usize % Kind::ALL.len() == kind
}

/// Eight lower-case hexadecimal digits.
fn digits(sum: u32) -> [u8; CHECKSUM_LENGTH] {
    std::array::from_fn(|place| b"0123456789abcdef"[(sum >> (28 - 4 * place) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_documented_form_and_any_change_of_a_character_is_noticed() {
        let prefixes = Prefixes::default();
        for kind in Kind::ALL {
            let key = prefixes.make(kind).unwrap();
            assert_eq!(key.len(), 3 + 1 + 32 + 1 + 8);
            assert!(prefixes.has_checksum(&key));
            for place in 0..key.len() {
                for byte in (0..128).filter(|byte| *byte != key.as_bytes()[place]) {
                    let mut changed = key.clone().into_bytes();
                    changed[place] = byte;
                    assert!(!prefixes.has_checksum(&String::from_utf8(changed).unwrap()), "{key}: {byte} at {place}");
                }
            }
        }
    }

    #[test]
    fn the_checksum_is_zlibs() {
        assert_eq!(&digits(crc32fast::hash(b"123456789")), b"cbf43926");
    }

    #[test]
    fn prefixes_can_be_chosen() {
        let prefixes: Prefixes = "acme, acmeu,pub1".parse().unwrap();
        let key = prefixes.make(Kind::User).unwrap();
        assert!(key.starts_with("acmeu_") && prefixes.has_checksum(&key) && !Prefixes::default().has_checksum(&key));
        for wrong in ["", "csb,csu", "csb,csb,cpk", "CSB,csu,cpk", "c_b,csu,cpk", "csb,csu,cpk,x", "c,csu,cpk"] {
            assert!(wrong.parse::<Prefixes>().is_err(), "{wrong}");
        }
    }
}
