//! Every statement is one that both engines accept on the real schema: those in the source are found by reading it, the generated ones are
//! asked for.

use std::path::{Path, PathBuf};

use sql::Statement;

use crate::engines::Engines;

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_prepared_on_both_engines() {
    let mut statements = in_source("src");
    assert!(statements.len() > 50, "only {} statements were found in the source", statements.len());
    statements.extend(in_source("../deletion/src"));
    statements.extend(plane::deletion_rules::RULES.statements());
    statements.extend(plane::audit::statements());
    statements.extend(plane::purges::statements());
    statements.extend(plane::dependants::statements());
    statements.extend(plane::exports::statements());
    statements.extend(plane::doctor::statements());
    statements.extend(plane::retention::statements());
    let engines = Engines::open().await;
    for database in &engines.all {
        for statement in &statements {
            if let Err(error) = database.prepare(*statement).await {
                panic!("{} refuses: {error}\n{}", database.engine_name(), statement.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_fit_the_schema_is_noticed() {
    let engines = Engines::open().await;
    for database in &engines.all {
        assert!(database.prepare(sql::sql!("SELECT colour FROM customers")).await.is_err(), "{}", database.engine_name());
    }
}

/// What letters are the same is for the program to say: PostgreSQL's `lower` depends on its locale, SQLite's knows the letters from A to Z.
#[test]
fn no_statement_leaves_it_to_the_engine_which_spellings_are_one() {
    for statement in in_source("src") {
        let text = statement.text().to_lowercase();
        for word in ["lower(", "upper(", "initcap(", "ilike", "collate", "normalize(", "similar to", " ~ ", "~*"] {
            assert!(!text.contains(word), "{word}: compare a column that normal_forms.rs fills\n{text}");
        }
    }
}

/// All `sql!("…")` below a folder of this crate, with the columns of the records that they name. Each use of the macro must give a statement.
fn in_source(folder: &str) -> Vec<Statement> {
    let mut sources = Vec::new();
    read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    let declared: Vec<(&PathBuf, Declared)> =
        sources.iter().flat_map(|(path, source)| declared(source).into_iter().map(move |found| (path, found))).collect();
    let columns_of = |path: &PathBuf, record: &str| {
        let is_of = |(_, found): &&(&PathBuf, Declared)| found.record == record;
        let nearest = declared.iter().filter(is_of).find(|(beside, _)| *beside == path);
        let all: Vec<_> = declared.iter().filter(is_of).collect();
        assert!(
            nearest.is_some() || all.len() == 1,
            "{}: {} records {record} have columns, and none of them in this file",
            path.display(),
            all.len()
        );
        nearest.unwrap_or_else(|| all[0])
    };
    let mut statements = Vec::new();
    for (path, source) in &sources {
        let found = used(source);
        assert_eq!(found.len(), source.matches("sql!(").count(), "{}: a use of sql! without a plain literal", path.display());
        for (mut text, mut record) in found {
            while let Some(named) = record {
                let (_, declared) = columns_of(path, &named);
                text = text.replace("{columns}", &declared.columns);
                record = declared.other.clone();
            }
            assert!(!text.contains("{columns}"), "{}: {text}", path.display());
            statements.push(Statement::generated(text));
        }
    }
    statements
}

fn read_sources(folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            sources.push((path, source));
        }
    }
}

/// The literal of each `sql!`, and the record behind it.
fn used(source: &str) -> Vec<(String, Option<String>)> {
    let behind = source.split("sql!(").skip(1);
    let read = |behind| {
        let (text, rest) = literal(behind)?;
        let named = rest.trim_start().strip_prefix(',').and_then(|rest| word(rest.trim_start()));
        Some((text, named))
    };
    behind.filter_map(read).collect()
}

/// What a `columns!` declares.
struct Declared {
    record: String,
    other: Option<String>,
    columns: String,
}

fn declared(source: &str) -> Vec<Declared> {
    let behind = source.split("columns! { ").skip(1);
    let read = |behind: &str| {
        let (head, mut rest) = behind.split_once('{')?;
        let mut columns = Vec::new();
        while let Some(field) = word(rest.trim_start()) {
            rest = &rest.trim_start()[field.len()..];
            let (column, next) = rest.strip_prefix(':').and_then(literal).unwrap_or((field, rest));
            columns.push(column);
            // Which function makes a field of what its column holds is of no matter here.
            rest = next.trim_start_matches(|letter: char| letter.is_alphanumeric() || " =>_:".contains(letter));
            let Some(next) = rest.trim_start().strip_prefix(',') else { break };
            rest = next;
        }
        let other = head.split_once(" with ").and_then(|(_, other)| word(other));
        Some(Declared { record: word(head)?, other, columns: columns.join(", ") })
    };
    behind.filter_map(read).collect()
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The literal that a text begins with, and what is behind it.
fn literal(text: &str) -> Option<(String, &str)> {
    let rest = text.trim_start().strip_prefix('"')?;
    let mut literal = String::new();
    let mut characters = rest.char_indices();
    loop {
        match characters.next()? {
            (end, '"') => return Some((literal, &rest[end + 1..])),
            (_, '\\') => literal.push(characters.next()?.1),
            (_, character) => literal.push(character),
        }
    }
}
