//! Pages, comments, messages and names are in plain English: words that make a sentence say less than it could are refused.
//!
//! Migrations are not read: a database holds their checksums, so their comments stay as they are. Nor are the literals of tests, which hold
//! the data of users.

use Between::{Comment, Literal, Raw};

use super::{in_the_repository, pages, pages_in, read};

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

/// What stands between two marks of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Comment,
    /// A literal in which a backslash takes its meaning from the character after it.
    Literal,
    /// A literal in which it takes none.
    Raw,
}

/// A mark, the one that ends it, and what is between them.
type Mark = (&'static str, &'static str, Between);

const RUST: [Mark; 8] = [
    ("//", "\n", Comment),
    ("/*", "*/", Comment),
    ("'\"'", "", Raw),
    ("'\\\"'", "", Raw),
    ("r##\"", "\"##", Raw),
    ("r#\"", "\"#", Raw),
    ("r\"", "\"", Raw),
    ("\"", "\"", Literal),
];
const PYTHON: [Mark; 4] = [("#", "\n", Comment), ("\"\"\"", "\"\"\"", Comment), ("\"", "\"", Literal), ("'", "'", Literal)];
const JAVASCRIPT: [Mark; 5] =
    [("//", "\n", Comment), ("/*", "*/", Comment), ("`", "`", Literal), ("\"", "\"", Literal), ("'", "'", Literal)];

/// The marks of a source's language; none of a file that is no source of this project.
fn marks(path: &str) -> Option<&'static [Mark]> {
    let (name, extension) = path.rsplit_once('.')?;
    match extension {
        "rs" => Some(&RUST),
        "py" => Some(&PYTHON),
        "ts" | "js" | "mjs" if !name.ends_with(".min") => Some(&JAVASCRIPT),
        _ => None,
    }
}

/// How long the text is that ends with this mark.
fn length(text: &str, end: &str, between: Between) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if !is_escaped && text[at..].starts_with(end) {
            return at;
        }
        is_escaped = between == Literal && character == '\\' && !is_escaped;
    }
    text.len()
}

/// The texts of a source in which words count: its comments, its names, and its literals of more than one word.
fn texts(source: &str, marks: &[Mark], has_messages: bool) -> Vec<String> {
    let (mut texts, mut code, mut rest) = (Vec::new(), String::new(), source);
    // Comments with nothing between them are one.
    let mut comment = String::new();
    while let Some(character) = rest.chars().next() {
        let mark = marks.iter().find(|(begin, _, _)| rest.starts_with(*begin));
        let Some(&(begin, end, between)) = mark else {
            code.push(character);
            rest = &rest[character.len_utf8()..];
            if !character.is_whitespace() && !comment.is_empty() {
                texts.push(std::mem::take(&mut comment));
            }
            continue;
        };
        let inside = &rest[begin.len()..];
        let (text, after) = inside.split_at(length(inside, end, between));
        rest = after.get(end.len()..).unwrap_or_default();
        code.push(' ');
        match between {
            Comment => comment.extend([text.trim_start_matches(['/', '!', ' ']), "\n"]),
            Literal | Raw if has_messages && text.contains(' ') => texts.push(text.to_owned()),
            Literal | Raw => {}
        }
    }
    texts.push(comment);
    texts.extend(code.split(|character: char| !character.is_alphanumeric() && character != '_').map(words_of_a_name));
    texts
}

/// `putBy`, `PutBy` and `put_by` are two words.
fn words_of_a_name(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && words.ends_with(char::is_lowercase) {
            words.push(' ');
        }
        words.push(if character == '_' { ' ' } else { character });
    }
    words
}

fn refused_in(source: &str, marks: &[Mark], has_messages: bool) -> Vec<String> {
    texts(source, marks, has_messages).iter().flat_map(|text| refused(text)).collect()
}

/// The files of a folder and of those in it, by their path in the repository.
pub(super) fn files_below(folder: &str, found: &mut Vec<String>) {
    for file in std::fs::read_dir(in_the_repository(folder)).unwrap().map(Result::unwrap) {
        let name = file.file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        match file.file_type().unwrap().is_dir() {
            true if name.starts_with('.') || ["node_modules", "target"].contains(&name.as_str()) => {}
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn no_source_has_a_word_that_says_less_than_another() {
    let (mut files, mut seen, mut wrong) = (Vec::new(), 0, Vec::new());
    files_below("crates", &mut files);
    for file in &files {
        let Some(marks) = marks(file) else { continue };
        let has_messages = !file.contains("/tests/");
        wrong.extend(refused_in(&read(file), marks, has_messages).into_iter().map(|what| format!("{file}: {what}")));
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "{seen} sources");
}

#[test]
fn a_word_is_refused_in_comments_names_and_messages_and_not_in_data() {
    let rust = |source: &str| refused_in(source, &RUST, true).len();
    for planted in [
        "//! Whoever asks.",
        "/// It was put\n/// by.",
        "let a = '\"'; // somebody",
        "/* whom */",
        "fn nobody_asks() {}",
        "enum Actor { Nobody }",
        "struct PutBy;",
        "let put_by = 1;",
        "fail(\"nobody \\\"asks\\\"\")",
        "r#\"a \" whom\"#",
    ] {
        assert_eq!(rust(planted), 1, "{planted}");
    }
    for sound in [
        "kind(\"nobody\")",
        "// It is `nobody`.",
        "// What is put\nlet a = 1;\n// by it",
        "map.put(by)",
        "let a = \"// a\"; nobodys",
        "// input bytes",
        "'\\\"' + whomsoever",
    ] {
        assert_eq!(rust(sound), 0, "{sound}");
    }
    assert_eq!(refused_in("fail(\"nobody asks\")", &RUST, false), Vec::<String>::new());
    for planted in ["a = 1  # whom", "def a():\n    \"\"\"Whoever asks.\"\"\"", "nobody = '#'"] {
        assert_eq!(refused_in(planted, &PYTHON, false).len(), 1, "{planted}");
    }
    for planted in ["const nobody = `// a`", "// whom", "/** somebody */", "const a = '//', nobodyElse = 1"] {
        assert_eq!(refused_in(planted, &JAVASCRIPT, false).len(), 1, "{planted}");
    }
    assert_eq!(refused_in("a = \"\"  # 'nobody'\nb = '// whom'", &PYTHON, false).len(), 1);
}

#[test]
fn no_page_has_a_word_that_says_less_than_another() {
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "UPGRADE.md"].map(str::to_owned);
    let printed = pages_in("docs").into_iter().filter(|page| page.ends_with(".md"));
    let every = pages().into_iter().chain(pages_in("docs/decisions")).chain(printed).chain(others);
    let wrong: Vec<String> = every.flat_map(|page| refused(&read(&page)).into_iter().map(move |what| format!("{page}: {what}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_word_is_refused_in_a_sentence_and_not_in_code_or_within_another() {
    assert_eq!(refused("Tell Whoever asks.").len(), 1);
    assert_eq!(refused("It was put\nby.").len(), 1);
    assert!(refused("`whoever` asks\n\n```text\nnobody\n```\n\nwhomsoever, input bytes").is_empty());
}
