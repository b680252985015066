//! Normal forms of texts that identify a person or a thing: two spellings of one text have one form, and only forms are compared.
//!
//! Forms are made here and kept in columns of their own beside what was typed (`email_key`, `search_key`). SQL compares them as they are: what
//! `lower()` does depends on PostgreSQL's locale, and no engine knows of composed characters. Properties and mappings are those of ICU4X.

use std::borrow::Cow;
use std::fmt::Write;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, HangulSyllableType,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Bytes of an address' part before the `@` at the most (RFC 5321).
const MOST_LOCAL_BYTES: usize = 64;
/// Bytes of an address at the most (RFC 5321).
const MOST_EMAIL_BYTES: usize = 254;

/// Stands between the parts of a [`search_key`]. It is a control character, which no query has.
const BETWEEN: char = '\u{1f}';

/// A text without regard to case, composition and width, and without characters that are not to be seen: NFKC_Casefold of the Unicode
/// Standard, section 3.13. `ＪＯＳÉ`, `José` and `Jose\u{301}` have one form.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let once = |text: &str| {
        let visible: String = text.chars().filter(|character| !is_ignorable(*character)).collect();
        // Decomposed first: in `ͅ` and a few others the order of marks decides what they fold to.
        let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(&visible).into_owned();
        let folded = CaseMapper::new().fold_string(&decomposed).into_owned();
        ComposingNormalizerBorrowed::new_nfkc().normalize(&folded).into_owned()
    };
    // What one mapping brings about the next may map again; a few times are enough for all that Unicode has.
    let mut form = once(text);
    for _ in 0..3 {
        let next = once(&form);
        if next == form {
            break;
        }
        form = next;
    }
    form
}

/// A text whose case and width count, composed (NFC): for metadata and passes.
pub fn composed(text: &str) -> Cow<'_, str> {
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// The form by which an e-mail address is compared: both parts [`folded`], the domain as DNS has it (`xn--…`). What is no address has one
/// too, so that old records can be compared.
pub fn email_key(email: &str) -> String {
    let email = email.trim();
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", folded(local), domain_key(domain)),
        None => folded(email),
    }
}

/// The form by which a domain is compared: as DNS has it (UTS #46).
pub fn domain_key(domain: &str) -> String {
    ascii_domain(domain).unwrap_or_else(|| folded(domain))
}

fn ascii_domain(domain: &str) -> Option<String> {
    Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify).ok().map(Cow::into_owned)
}

/// Whether an address can belong to a person: `local@domain` without quotation marks, comments and literals, of printable characters, as
/// long as SMTP takes it (RFC 5321, RFC 6531).
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_atom_character);
    let is_local = |local: &str| local.len() <= MOST_LOCAL_BYTES && local.split('.').all(is_atom);
    let Some(ascii) = ascii_domain(domain) else { return false };
    let last = ascii.rsplit('.').next().unwrap_or_default();
    let key = folded(local);
    is_local(local)
        && is_local(&key)
        // The mapping leaves out characters that cannot be seen.
        && domain.chars().all(|character| character.is_ascii() || is_printable(character))
        // What ends in a number is no name.
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && text.len() <= MOST_EMAIL_BYTES
        && key.len() + 1 + ascii.len() <= MOST_EMAIL_BYTES
}

/// `atext` of RFC 5322 and RFC 6532.
fn is_atom_character(character: char) -> bool {
    match character.is_ascii() {
        true => character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character),
        false => is_printable(character),
    }
}

/// The form in which a record is searched: the forms of its names, and of its e-mail address as typed, as DNS has it, and as people read it.
/// A [`folded`] query is looked for in it.
pub fn search_key(names: &[&str], email: &str) -> String {
    let mut key = String::new();
    let mut forms: Vec<String> = names.iter().map(|name| folded(name)).collect();
    forms.push(folded(email));
    forms.push(email_key(email));
    if let Some((local, domain)) = email.trim().rsplit_once('@')
        && (!domain.is_ascii() || domain.contains("xn--"))
    {
        let (readable, _) = Uts46::new().to_unicode(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
        forms.push(format!("{}@{readable}", folded(local)));
    }
    for (at, form) in forms.iter().enumerate() {
        if !forms[..at].contains(form) {
            let _ = write!(key, "{form}{BETWEEN}");
        }
    }
    key
}

/// The form in which a password is hashed: OpaqueString of RFC 8265, which gives the same bytes whatever keyboard it was typed on. Any space
/// is a space, and composed characters are composed (NFC); case and width count.
pub fn password(text: &str) -> Cow<'_, str> {
    let is_other_space = |character: char| character != ' ' && category(character) == GeneralCategory::SpaceSeparator;
    match text.contains(is_other_space) {
        true => Cow::Owned(composed(&text.replace(is_other_space, " ")).into_owned()),
        false => composed(text),
    }
}

/// Whether all characters of a [`password`] can be typed again: no control characters and none that is not to be seen, as RFC 8264's
/// FreeformClass has it. What Unicode has not assigned yet, or never will, is let through.
pub fn is_password(normal: &str) -> bool {
    let mut before = None;
    normal.chars().all(|character| {
        // Joiners change letters in scripts whose vowel killer stands before them.
        let joins = matches!(character, '\u{200c}' | '\u{200d}') && before.is_some_and(is_virama);
        before = Some(character);
        let controls =
            matches!(category(character), GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator);
        joins || !(controls || is_ignorable(character))
    })
}

fn is_virama(character: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(character) == CanonicalCombiningClass::Virama
}

/// Whether there is something to see in a text: not only space, control characters and what is left out when it is shown. A line or paragraph
/// separator is seen by what it does.
pub fn is_visible(text: &str) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    text.chars().any(|character| {
        let is_blank = matches!(category(character), GeneralCategory::Control | GeneralCategory::SpaceSeparator);
        !is_blank && character != BRAILLE_BLANK && !is_ignorable(character)
    })
}

/// Whether a text turns the direction of what stands beside it: a name with such a character can look like another one.
pub fn turns_direction(text: &str) -> bool {
    text.chars().any(|character| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// A letter, mark, number, mark of punctuation or symbol that is shown as such.
fn is_printable(character: char) -> bool {
    const PRINTABLE: GeneralCategoryGroup = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    let syllable = CodePointMapData::<HangulSyllableType>::new().get(character);
    let is_old_jamo =
        matches!(syllable, HangulSyllableType::LeadingJamo | HangulSyllableType::VowelJamo | HangulSyllableType::TrailingJamo);
    PRINTABLE.contains(category(character)) && !is_ignorable(character) && !is_old_jamo
}

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}

fn is_ignorable(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use precis_profiles::OpaqueString;
    use precis_profiles::precis_core::profile::Profile;

    /// The blocks in which spellings differ, without ideographs and private use.
    fn characters() -> impl Iterator<Item = char> {
        [
            0..0x3400,
            0xa000..0xac10,
            0xd7a0..0xd800,
            0xf900..0x1_0000,
            0x1_0400..0x1_0500,
            0x1_d400..0x1_d500,
            0x1_e900..0x1_ee00,
            0x1_f100..0x1_f700,
        ]
        .into_iter()
        .flatten()
        .filter_map(char::from_u32)
    }

    #[test]
    fn spellings_of_one_text_have_one_form() {
        let spellings: [&[&str]; 12] = [
            &["José", "Jose\u{301}", "JOSÉ", "ＪＯＳÉ", "jo\u{ad}sé", "\u{200b}José\u{2060}"],
            &["Straße", "STRASSE", "STRAẞE", "straſſe"],
            &["ﬁn", "fin", "FIN"],
            &["Å", "Å", "A\u{30a}", "å"],
            &["Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"],
            &["İ", "i\u{307}"],
            &["한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"],
            &["ｶﾞ", "ガ", "カ\u{3099}"],
            &["Ⅳ", "iv"],
            &["q\u{307}\u{323}", "Q\u{323}\u{307}"],
            &["Nguyễn", "NGUYE\u{302}\u{303}N"],
            &["O\u{a0}K", "o k"],
        ];
        for spelling in spellings {
            for other in spelling {
                assert_eq!(folded(other), folded(spelling[0]), "{other:?} and {:?}", spelling[0]);
            }
        }
        for (one, other) in [("Jose", "José"), ("ı", "i"), ("о", "o"), ("a", "b")] {
            assert_ne!(folded(one), folded(other), "{one:?} and {other:?}");
        }
    }

    #[test]
    fn a_form_is_its_own_form() {
        for character in characters() {
            for text in [format!("{character}"), format!("a{character}\u{345}\u{301}")] {
                let form = folded(&text);
                assert_eq!(folded(&form), form, "{text:?}");
            }
        }
    }

    #[test]
    fn addresses_of_one_mailbox_have_one_form() {
        let spellings: [&[&str]; 5] = [
            &["Ada@Example.COM", " ada@example.com ", "ａｄａ@ｅｘａｍｐｌｅ。com"],
            &["jürgen@bücher.example", "JU\u{308}RGEN@BÜCHER.example", "jürgen@xn--bcher-kva.example", "Jürgen@XN--BCHER-KVA.EXAMPLE"],
            &["zoé@faß.example", "zoe\u{301}@xn--fa-hia.example"],
            &["a@日本語。jp", "a@日本語.jp", "A@xn--wgv71a119e.jp"],
            &["a..B@c", "A..b@C"],
        ];
        for spelling in spellings {
            for other in spelling {
                assert_eq!(email_key(other), email_key(spelling[0]), "{other:?} and {:?}", spelling[0]);
            }
        }
        assert_ne!(email_key("a@faß.example"), email_key("a@fass.example"), "they are two domains (IDNA 2008)");
        assert_ne!(email_key("a.b@c.example"), email_key("ab@c.example"));
        assert_ne!(email_key("a+b@c.example"), email_key("a@c.example"));
    }

    #[test]
    fn what_cannot_be_an_address_is_none() {
        let longest = format!("{}@{}.{}.{}.{}.example", "x".repeat(64), "b".repeat(60), "c".repeat(60), "d".repeat(50), "e".repeat(8));
        assert_eq!(longest.len(), 254);
        let good = [
            "o'brien+tag@sub.example",
            "a_b-c%d@example.co",
            "müller@bücher.example",
            "1@2.example",
            "a@b-c.example",
            "a@localhost",
            "用户@例え.jp",
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "a@xn--bcher-kva.example",
            "a@r3---sn.example",
            "अ@उदाहरण.example",
            &longest,
        ];
        for email in good {
            assert!(is_email(email), "{email}");
        }
        let too_long = longest.replace("@b", "@bb");
        let bad = [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a..b@c.example",
            ".a@b.example",
            "a.@b.example",
            "a@b..example",
            "a@.b.example",
            "a@b.example.",
            "a@-b.example",
            "a@b-.example",
            "a@b.example,",
            "a,b@c.example",
            "mailto:a@b.example",
            "<a@b.example>",
            "A <a@b.example>",
            "\u{200b}a@b.example",
            "a@b.example\u{2060}",
            "a@b\u{ad}.example",
            "a b@c.example",
            " a@b.example",
            "a@b.example ",
            "a\u{a0}@b.example",
            "a@b c.example",
            "a@b@c.example",
            "\"a b\"@c.example",
            "\"a\"@c.example",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@b.1",
            "a@b_c.example",
            "a(b)@c.example",
            "a;b@c.example",
            "a\\@b.example",
            "a\u{0}@b.example",
            "a\n@b.example",
            "a\u{202e}@b.example",
            "a．．b@c.example",
            "a＠b@c.example",
            "a@xn--a.example",
            "a@b/c.example",
            "a@b:25.example",
            "\u{3164}@b.example",
            "a\u{e000}@b.example",
            "a@b.example?subject=x",
            &too_long,
        ];
        for email in bad {
            assert!(!is_email(email), "{email:?}");
        }
        assert!(!is_email(&format!("{}@b.example", "x".repeat(65))) && !is_email(&format!("a@{}.example", "b".repeat(64))));
        assert!(!is_email(&format!("{}@b.example", "ü".repeat(33))), "bytes count");
    }

    #[test]
    fn a_record_is_found_by_each_spelling_of_what_it_holds() {
        let key = search_key(&["José Ångström", "user-1"], "Müller@xn--bcher-kva.example");
        for query in ["jose\u{301}", "ÅNGSTRÖM", "USER-1", "müller@bücher", "MU\u{308}LLER", "xn--bcher", "é å"] {
            assert!(key.contains(&folded(query)), "{query:?} in {key:?}");
        }
        assert!(!key.contains(&folded("jose a")) && !key.contains("strömuser"), "{key:?}");
        assert_eq!(search_key(&["Ada"], "ada@example.com"), "ada\u{1f}ada@example.com\u{1f}", "nothing is kept twice");
    }

    #[test]
    fn what_cannot_be_seen_is_not_visible() {
        let blank = [
            "",
            "   ",
            "\t\n",
            "\u{a0}\u{2003}\u{3000}",
            "\u{200b}\u{200b}",
            "\u{200d}\u{2060}\u{feff}",
            "\u{3164}\u{115f}\u{ffa0}",
            "\u{202e}\u{202c}",
            "\u{2066}\u{2069}\u{200e}\u{61c}",
            "\u{2800}",
            "\u{ad}",
            "\u{fe0f}",
            "\u{e0061}\u{e007f}",
            "\u{180e}",
            "\u{34f}",
            "\u{85}",
        ];
        for text in blank {
            assert!(!is_visible(text), "{text:?}");
        }
        for text in [
            "a",
            "\u{200d}a",
            "👩\u{200d}💻",
            "\u{202e}right to left",
            "e\u{301}",
            "\u{2028}\u{2029}",
            "=1+1",
            "\u{fffe}",
            ".",
            "ⵣ",
            "\u{e000}",
        ] {
            assert!(is_visible(text), "{text:?}");
        }
        assert!(turns_direction("a\u{202e}b") && turns_direction("\u{2067}x\u{2069}") && !turns_direction("עברית\u{200f}"));
    }

    /// The crate's tables are of Unicode 6.3, which knows no emoji of the last ten years: so it is the measure here, and not what passwords
    /// go through.
    #[test]
    fn passwords_have_the_form_of_rfc_8265() {
        let profile = OpaqueString::new();
        let mut compared = 0;
        for character in characters() {
            for text in [format!("pass{character}word"), format!("{character}\u{301}\u{323}"), format!("Q{character}")] {
                if let Ok(normal) = profile.enforce(text.as_str()) {
                    assert_eq!(password(&text), normal, "{text:?}");
                    assert!(is_password(&normal), "{text:?}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 20_000, "{compared}");
    }

    #[test]
    fn passwords_are_typed_alike_on_every_keyboard_and_case_counts() {
        let spellings: [&[&str]; 3] = [
            &["Pässwörter für alle", "Pa\u{308}sswo\u{308}rter fu\u{308}r\u{a0}alle", "Pässwörter\u{3000}für alle"],
            &["한글 비밀번호", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} 비밀번호"],
            &["correct horse 🤔🫠", "correct horse 🤔🫠"],
        ];
        for spelling in spellings {
            for other in spelling {
                assert_eq!(password(other), password(spelling[0]));
                assert!(is_password(&password(other)), "{other:?}");
            }
        }
        for (one, other) in [("Secret", "secret"), ("ｓ", "s"), ("ﬁ", "fi"), ("a b", "a  b")] {
            assert_ne!(password(one), password(other));
        }
        for bad in ["a\u{7}", "a\tb", "a\u{200b}b", "a\u{202e}", "a\u{2028}", "a\u{200d}b", "\u{3164}", "\u{e0061}"] {
            assert!(!is_password(&password(bad)), "{bad:?}");
        }
        assert!(is_password("क्\u{200d}ष"));
    }
}
