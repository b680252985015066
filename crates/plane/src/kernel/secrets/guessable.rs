//! Which passwords are refused because others would guess them (OWASP ASVS 5.0, section 6.2): the common ones, and those that consist of what is
//! known about the person. Nothing is asked of the characters.

use std::ops::RangeInclusive;

use crate::fields::Check;

/// How many characters a new password has. Older ones that are longer go on.
pub(crate) const LENGTH: RangeInclusive<usize> = 8..=128;
/// Passwords that many people have, in lower case, one a line; where they come from is in the README beside them.
const COMMON: &str = include_str!("../../../data/common-passwords.txt");
/// The product's own name.
const PRODUCT: &str = "freehold";
/// Letters and digits of a name, or of a part of one, that count as a word.
const LEAST_OF_A_NAME: usize = 3;
const LEAST_OF_A_PART: usize = 4;

/// What others know about a person: words that do not count towards the length of their password.
pub(crate) struct Context(Vec<String>);

impl Context {
    /// What is known about everybody here: the product's name, and the server's.
    pub(crate) fn new(public_url: &str) -> Context {
        let mut context = Context(Vec::new());
        context.add(PRODUCT);
        let host = public_url.split_once("://").map_or(public_url, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
        context.add_domain(host);
        context
    }

    /// An e-mail address, whole and in its parts.
    pub(crate) fn email(mut self, email: &str) -> Context {
        let (name, domain) = email.rsplit_once('@').unwrap_or((email, ""));
        self.add(email);
        self.add(name);
        self.add_domain(domain);
        self
    }

    /// The name of the person or of an organization, or an organization's slug.
    pub(crate) fn name(mut self, name: &str) -> Context {
        self.add(name);
        self
    }

    fn add_domain(&mut self, domain: &str) {
        // The last label, such as `com`, is no word.
        self.add(domain.rsplit_once('.').map_or(domain, |(labels, _)| labels));
        self.add(domain);
    }

    fn add(&mut self, text: &str) {
        let parts = text.split(|character: char| !character.is_alphanumeric()).map(folded);
        let parts = parts.filter(|part| part.chars().count() >= LEAST_OF_A_PART);
        let whole = Some(folded(text)).filter(|whole| whole.chars().count() >= LEAST_OF_A_NAME);
        self.0.extend(parts.chain(whole));
    }

    /// How many characters of a password are no word of these; none when none of them is in it.
    fn rest(&self, password: &str) -> Option<usize> {
        let mut words: Vec<&String> = self.0.iter().collect();
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        let whole = folded(password);
        // What stands in the place of a word is none of the characters that were kept.
        let without = words.iter().fold(whole.clone(), |text, word| text.replace(word.as_str(), "\0"));
        let others = password.chars().filter(|character| !character.is_alphanumeric()).count();
        (without != whole).then(|| without.chars().filter(|character| *character != '\0').count() + others)
    }
}

/// Letters in lower case and digits, without what stands between them.
fn folded(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Refuses a new password, in its [form](crate::normal_forms::password), that is too short, too long, or that others would guess.
pub(crate) fn check(check: &mut Check, field: &str, password: &str, context: &Context) {
    check.password(field, password, LENGTH);
    let characters = password.chars().count();
    if !LENGTH.contains(&characters) {
        return;
    }
    if is_common(password) {
        check.refuse(field, "common_password", "is one of those that many people have: choose another");
    } else if context.rest(password).is_some_and(|rest| rest < *LENGTH.start()) {
        let words =
            "must have 8 or more characters besides what others know: your name and address, your organizations' names, and this product's";
        check.refuse(field, "guessable_password", words);
    }
}

/// Whether many people have it, whatever its capitals; or it is such a password with fewer than 8 other characters before and after it.
fn is_common(password: &str) -> bool {
    let known = |wanted: &str| COMMON.lines().any(|line| line == wanted);
    let lower = password.to_lowercase();
    let word = lower.trim_matches(|character: char| !character.is_alphabetic());
    let around = lower.chars().count() - word.chars().count();
    known(&lower) || (around > 0 && around < *LENGTH.start() && word.len() >= LEAST_OF_A_PART && known(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn context() -> Context {
        let context = Context::new("https://accounts.initech.example:8443/x").email("Jane.Doe@globex-corp.example");
        context.name("Jane Ödegård Doe").name("Umbrella & Sons").name("umbrella-sons")
    }

    fn code(password: &str) -> &'static str {
        let mut found = Check::new();
        check(&mut found, "password", password, &context());
        match found.finish() {
            Ok(()) => "",
            Err(Error::Invalid(errors)) => errors.first()[0].code,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_list_is_long_enough_for_the_standard_and_sorted() {
        // ASVS 5.0, 6.2.4: at least the 3,000 most common ones that meet the rest of the policy.
        assert!(COMMON.lines().filter(|line| LENGTH.contains(&line.len())).count() >= 3_000);
        assert!(COMMON.lines().is_sorted());
    }

    #[test]
    fn common_passwords_are_refused_whatever_is_done_to_them() {
        for password in
            ["password", "12345678", "PASSWORD1", "Qwertyuiop", "Password2026!", "!!sunshine!!", "qwerty-123", "iloveyou", "aaaaaaaa"]
        {
            assert_eq!(code(password), "common_password", "{password}");
        }
    }

    #[test]
    fn what_consists_of_what_is_known_about_the_person_is_refused() {
        for password in [
            "Freehold2026!",
            "free-hold-free-hold",
            "jane.doe1",
            "JaneDoeJaneDoe",
            "globexcorp",
            "globex-corp-99",
            "umbrella-sons",
            "UmbrellaSons1!",
            "initech123",
            "accounts-initech",
            "jane ödegård",
            "ödegård.77",
            "jane.doe@globex-corp.example",
        ] {
            assert_eq!(code(password), "guessable_password", "{password}");
        }
    }

    #[test]
    fn nothing_is_asked_of_the_characters() {
        for password in [
            "xkqvwzjh",
            "83920571",
            "ключ к замку",
            "correct horse battery staple",
            "jane likes correct horses",
            "umbrella in the rain",
            "freehold 83920571",
            &"x".repeat(128),
            "\u{1f511}\u{1f40e}\u{1f50b}\u{1f4ce}\u{1f511}\u{1f40e}\u{1f50b}\u{1f4ce}",
        ] {
            assert_eq!(code(password), "", "{password}");
        }
        assert_eq!((code("xkqvwzj"), code(&"x".repeat(129))), ("too_short", "too_long"));
    }
}
