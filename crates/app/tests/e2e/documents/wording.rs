//! The pages for people are in plain English: words that make a sentence say less than it could are refused.

use super::{pages, pages_in, read};

/// Each word with what says the same.
const REFUSED: [(&str, &str); 6] = [
    ("whoever", "the person who, those who"),
    ("whomever", "those who"),
    ("whom", "who, or another sentence"),
    ("nobody", "no person, no one, not … any"),
    ("somebody", "a person, someone"),
    ("put by", "set aside, postponed"),
];

/// The words of a page outside of code, in lower case, with one space between them.
fn prose(page: &str) -> String {
    let (mut is_code, mut lines) = (false, String::new());
    for line in page.lines() {
        match line.starts_with("```") {
            true => is_code = !is_code,
            false if !is_code => lines.extend([line, "\n"]),
            false => {}
        }
    }
    let outside = lines.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase();
    let words: Vec<&str> = outside.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!(" {} ", words.join(" "))
}

fn refused(page: &str) -> Vec<String> {
    let prose = prose(page);
    let found = REFUSED.iter().filter(|(word, _)| prose.contains(&format!(" {word} ")));
    found.map(|(word, better)| format!("\"{word}\": write {better}")).collect()
}

#[test]
fn no_page_has_a_word_that_says_less_than_another() {
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "UPGRADE.md"].map(str::to_owned);
    let every = pages().into_iter().chain(pages_in("docs/decisions")).chain(others);
    let wrong: Vec<String> = every.flat_map(|page| refused(&read(&page)).into_iter().map(move |what| format!("{page}: {what}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_word_is_refused_in_a_sentence_and_not_in_code_or_within_another() {
    assert_eq!(refused("Tell Whoever asks.").len(), 1);
    assert_eq!(refused("It was put\nby.").len(), 1);
    assert!(refused("`whoever` asks\n\n```text\nnobody\n```\n\nwhomsoever, input bytes").is_empty());
}
