//! Every statement is one that both engines accept on the real schema: those in the source are found by reading it, the generated ones are
//! asked for.

use std::path::Path;

use sql::Statement;

use crate::engines::Engines;

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_prepared_on_both_engines() {
    let mut statements = in_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(statements.len() > 50, "only {} statements were found in the source", statements.len());
    statements.extend(in_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deletion/src")));
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
    for statement in in_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = statement.text().to_lowercase();
        for word in ["lower(", "upper(", "initcap(", "ilike", "collate", "normalize(", "similar to", " ~ ", "~*"] {
            assert!(!text.contains(word), "{word}: compare a column that normal_forms.rs fills\n{text}");
        }
    }
}

/// The literals of all `sql!("…")` below a folder. Each use of the macro must give one.
fn in_source(folder: &Path) -> Vec<Statement> {
    let mut statements = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            statements.extend(in_source(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = std::fs::read_to_string(&path).unwrap();
            let found = literals(&source);
            assert_eq!(found.len(), source.matches("sql!(").count(), "{}: a use of sql! without a plain literal", path.display());
            statements.extend(found.into_iter().map(Statement::generated));
        }
    }
    statements
}

fn literals(source: &str) -> Vec<String> {
    let starts = source.match_indices("sql!(").map(|(start, found)| start + found.len());
    starts
        .filter_map(|start| {
            let rest = source[start..].trim_start().strip_prefix('"')?;
            let mut text = String::new();
            let mut characters = rest.chars();
            loop {
                match characters.next()? {
                    '"' => return Some(text),
                    '\\' => text.push(characters.next()?),
                    character => text.push(character),
                }
            }
        })
        .collect()
}
