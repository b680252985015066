//! What commands print: aligned tables and fields for people, or with `--json` the server's JSON. Standard output carries nothing else, and
//! with `--json` standard error carries nothing but the problem document of a failure.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use clap::Args;
use serde_json::{Value as Json, json};

use super::failure::Result;

/// How to print.
#[derive(Args)]
pub(crate) struct OutputArgs {
    /// Print the server's JSON instead of tables: one document. A failure is one too, on standard error.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A column of a table: its heading, and the field it shows.
pub(super) type Column = (&'static str, &'static str);

impl OutputArgs {
    /// A list: `{"data": […]}`, or a table.
    pub(super) fn list(&self, rows: Vec<Json>, columns: &[Column]) -> Result {
        if self.json {
            return self.document(&json!({"data": rows}));
        }
        if rows.is_empty() {
            note("There are none.");
            return Ok(());
        }
        print(&table(&rows, columns).join("\n"))
    }

    /// A record: the document, or a line for each field that has a value.
    pub(super) fn record(&self, record: &Json) -> Result {
        if self.json {
            return self.document(record);
        }
        print(&fields(record).join("\n"))
    }

    /// A JSON document.
    pub(super) fn document(&self, value: &Json) -> Result {
        print(&format!("{value:#}"))
    }
}

/// The lines of a table, headings first.
pub(super) fn table(rows: &[Json], columns: &[Column]) -> Vec<String> {
    let mut table: Vec<Vec<String>> = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    table.extend(rows.iter().map(|row| columns.iter().map(|(_, field)| cell(&row[*field])).collect()));
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    table.iter().map(|row| line(row, &widths)).collect()
}

/// A line for each field of a record that has a value.
pub(super) fn fields(record: &Json) -> Vec<String> {
    let told = record.as_object().into_iter().flatten().filter(|(_, value)| !is_empty(value));
    let told: Vec<(String, String)> = told.map(|(name, value)| (label(name), text(value))).collect();
    let width = told.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    told.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect()
}

/// One row of a table whose columns have these widths.
pub(super) fn line(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// A field of a table: what is missing is a dash.
pub(super) fn cell(value: &Json) -> String {
    if is_empty(value) { "-".into() } else { text(value) }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(entries) => entries.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A value for people, on one line.
pub(super) fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => clean(text),
        Json::Array(entries) => entries.iter().map(text).collect::<Vec<_>>().join(", "),
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{}={}", clean(name), text(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A text that came from elsewhere and goes to a terminal: what would move its cursor or change its colours is replaced.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|character| if is_steering(character) { '\u{fffd}' } else { character }).collect()
}

/// Control characters, and those that turn the direction of writing around.
fn is_steering(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `createdAt` as `created at`.
fn label(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for character in clean(name).chars() {
        match character {
            '_' => words.push(' '),
            _ if character.is_ascii_uppercase() => {
                words.push(' ');
                words.push(character.to_ascii_lowercase());
            }
            _ => words.push(character),
        }
    }
    words
}

/// Writes to standard output and makes sure it is written.
pub(super) fn print(text: &str) -> Result {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Whether a program reads what is printed. This is asked of the command line itself, since one that cannot be parsed is told in JSON too.
pub(crate) fn is_for_programs() -> bool {
    static JSON: LazyLock<bool> =
        LazyLock::new(|| std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json"));
    *JSON
}

/// Whether progress is drawn on standard error: at a terminal, for people.
pub(super) fn shows_progress() -> bool {
    io::stderr().is_terminal() && !is_for_programs()
}

/// Writes a line for people to standard error. With `--json` there are none.
pub(super) fn note(line: &str) {
    if !is_for_programs() {
        report(line);
    }
}

/// Writes a line to standard error. That it cannot be written is no reason to stop.
pub(super) fn report(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fields, table};

    #[test]
    fn what_steers_a_terminal_is_not_printed() {
        let record = json!({"na\u{1b}me": "A\u{1b}[31md\na\u{202e}", "tags": ["\u{7}"]});
        let steering = |line: &String| line.chars().any(|character| character.is_control() || character == '\u{202e}');
        assert!(!fields(&record).iter().chain(&table(&[record], &[("TAGS", "tags")])).any(steering));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [json!({"id": "user123", "name": "Ada"}), json!({"id": "u", "name": null})];
        assert_eq!(table(&rows, &[("ID", "id"), ("NAME", "name")]), ["ID       NAME", "user123  Ada", "u        -"]);
    }
}
