//! Lists of ids as bodies: `text/csv` as spreadsheets save it, for what is asked for of thousands at once.
//!
//! The list says who is deleted. So it is read strictly (RFC 4180), and refused whole, with the number of the line, where it can be read in
//! two ways. The `csv` crate is not used because it never refuses: it reads `"ab"c` as `abc`, which may be another customer's id.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use plane::Error;
use plane::customers::is_reference;
use serde::de::DeserializeOwned;

use crate::body::Body;
use crate::content::media_type;
use crate::problem::Failure;

/// Bytes of a list at the most: as many of the longest ids as a list can have.
pub(crate) const MOST_BYTES: usize = 12 * 1024 * 1024;

pub(crate) const TOO_LARGE: Failure = Failure::Http(StatusCode::PAYLOAD_TOO_LARGE, "The list is too large: 12 MiB at the most.");

/// A JSON object, or a list of ids.
pub(crate) enum JsonOrCsv<T> {
    Body(T),
    List(Vec<String>),
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonOrCsv<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<JsonOrCsv<T>, Failure> {
        if media_type(request.headers())? != "text/csv" {
            return Body::from_request(request, state).await.map(|Body(body)| JsonOrCsv::Body(body));
        }
        let bytes = to_bytes(request.into_body(), MOST_BYTES).await.map_err(|_| TOO_LARGE)?;
        read(&bytes).map(JsonOrCsv::List).map_err(|words| Error::Malformed(words).into())
    }
}

/// One row that is not empty.
#[derive(Debug)]
struct Row {
    /// The number of its first line, from 1.
    line: usize,
    cells: Vec<String>,
}

/// The ids of a list: the column that its first row calls `id` or `customer_id`, or the only column there is.
///
/// # Errors
/// What cannot be read, with its line.
fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = decode(bytes)?;
    let (declared, text, first_line) = match separator_line(&text) {
        Some((separator, rest)) => (Some(separator), rest, 2),
        None => (None, text.as_str(), 1),
    };
    let separator = declared.or_else(|| separator_of_heading(text));
    let separator = separator.map_or_else(|| only_separator(text, first_line), Ok)?;
    let mut rows = rows(text, first_line, separator)?.into_iter().peekable();
    let heading = rows.next_if(|row| row.cells.iter().any(|cell| is_heading(cell))).map(|row| row.cells).unwrap_or_default();
    let mut named = heading.iter().enumerate().filter(|(_, cell)| is_heading(cell)).map(|(column, _)| column);
    let column = named.next().unwrap_or(0);
    if named.next().is_some() {
        return Err("The list's first row names two columns of ids: leave one of them out.".into());
    }
    rows.map(|row| id(row, column, &heading)).collect()
}

/// The id in a row. Other columns may hold something if the heading names them.
fn id(mut row: Row, column: usize, heading: &[String]) -> Result<String, String> {
    let line = row.line;
    let is_named = |at: usize| heading.get(at).is_some_and(|name| !name.is_empty());
    if row.cells.iter().enumerate().any(|(at, cell)| at != column && !cell.is_empty() && !is_named(at)) {
        return Err(format!(
            "Line {line} of the list has more than an id: put quotation marks around an id with a comma, semicolon or tab in it, or begin \
             the list with a row that names the columns, that of the ids `id`."
        ));
    }
    let text = if column < row.cells.len() { row.cells.swap_remove(column) } else { String::new() };
    if is_reference(&text) {
        return Ok(text);
    }
    Err(format!("Line {line} of the list has no id where one is expected: 1 to 100 visible ASCII characters without /, not . or .."))
}

fn is_heading(text: &str) -> bool {
    let squeezed: String = text.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-')).collect();
    ["id", "ids", "customerid", "customerids"].iter().any(|known| squeezed.eq_ignore_ascii_case(known))
}

/// The text of a file in UTF-8, or in UTF-16 that says so in its first two bytes.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let text = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => decode_utf8(rest)?,
        [0xFF, 0xFE, rest @ ..] => decode_utf16(rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => decode_utf16(rest, u16::from_be_bytes)?,
        _ => decode_utf8(bytes)?,
    };
    match text.find('\0') {
        Some(at) => Err(format!("Line {} of the list contains the character U+0000: save the list as “CSV UTF-8”.", line_at(&text[..at]))),
        None => Ok(text),
    }
}

fn decode_utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let line = line_at(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
        format!("Line {line} of the list is not UTF-8: save the list as “CSV UTF-8”.")
    })
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let pairs = bytes.chunks_exact(2);
    let is_cut = !pairs.remainder().is_empty();
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(pairs.map(|pair| unit([pair[0], pair[1]]))) {
        match character {
            Ok(character) => text.push(character),
            Err(_) => return Err(format!("Line {} of the list is not UTF-16: save the list as “CSV UTF-8”.", line_at(&text))),
        }
    }
    match is_cut {
        true => Err(format!("Line {} of the list ends within a character of UTF-16: send the whole file.", line_at(&text))),
        false => Ok(text),
    }
}

/// The number of the line that begins or goes on after a text.
fn line_at(before: &str) -> usize {
    1 + before.bytes().filter(|byte| *byte == b'\n').count() + before.replace("\r\n", "\n").bytes().filter(|byte| *byte == b'\r').count()
}

/// The separator that the first line names (`sep=;`, which spreadsheets write and read), and what comes after that line.
fn separator_line(text: &str) -> Option<(char, &str)> {
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    let line = text[..end].trim_matches('"');
    let mut named = line.get(..4).filter(|name| name.eq_ignore_ascii_case("sep=")).map(|_| line[4..].chars())?;
    let separator = named.next().filter(|_| named.next().is_none())?;
    let rest = &text[end..];
    Some((separator, rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\r', '\n'])).unwrap_or(rest)))
}

/// What spreadsheets put between cells.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// The separator that makes one of the first row's cells the heading of the ids.
fn separator_of_heading(text: &str) -> Option<char> {
    let first = text.split(['\r', '\n']).find(|line| !line.trim().is_empty())?;
    let has_heading = |separator: &char| first.split(*separator).any(|cell| is_heading(cell.trim().trim_matches('"')));
    SEPARATORS.into_iter().filter(|separator| first.contains(*separator)).find(has_heading)
}

/// The separator of a list that does not name it: the only kind that occurs outside of quotation marks. Of two kinds either could be a part
/// of the ids.
fn only_separator(text: &str, first_line: usize) -> Result<char, String> {
    let (mut known, mut line) = (None, first_line);
    let (mut begins_cell, mut is_quoted, mut was_closed, mut before) = (true, false, false, '\n');
    for character in text.chars() {
        line += usize::from(character == '\r' || (character == '\n' && before != '\r'));
        before = character;
        if is_quoted {
            is_quoted = character != '"';
            was_closed = !is_quoted;
            continue;
        }
        match character {
            // Two marks are one that is part of the cell.
            '"' if begins_cell || was_closed => is_quoted = true,
            '\r' | '\n' => begins_cell = true,
            _ if SEPARATORS.contains(&character) => {
                if known.is_some_and(|known| known != character) {
                    return Err(format!(
                        "Line {line} of the list has another separator than the lines before it: put quotation marks around the ids, or \
                         name the separator in a first line such as `sep=;`."
                    ));
                }
                (known, begins_cell) = (Some(character), true);
            }
            _ => begins_cell &= character == '=' || character.is_whitespace(),
        }
        was_closed = false;
    }
    Ok(known.unwrap_or(SEPARATORS[0]))
}

/// Splits a text into rows and cells (RFC 4180): lines end in CR, LF or both, cells may stand in quotation marks, and as `="…"`, which
/// spreadsheets are given so that they keep leading zeros. Space around cells, and rows without anything in them, are left out.
///
/// # Errors
/// A quotation mark that is not closed, or has something after it, with its line.
fn rows(text: &str, first_line: usize, separator: char) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let (mut line, mut rest) = (first_line, text);
    while !rest.is_empty() {
        let mut row = Row { line, cells: Vec::new() };
        loop {
            let (cell, after) = cell(rest, separator, line)?;
            line += line_at(&rest[..rest.len() - after.len()]) - 1;
            row.cells.push(cell);
            rest = after;
            match rest.strip_prefix(separator) {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\r', '\n'])).unwrap_or(rest);
        line += 1;
        if row.cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The cell that a text begins with, and what comes after it: a separator, the end of a line, or nothing.
fn cell(text: &str, separator: char, line: usize) -> Result<(String, &str), String> {
    let is_end = |character: char| character == separator || matches!(character, '\r' | '\n');
    let start = text.trim_start_matches(|character: char| character.is_whitespace() && !is_end(character));
    let Some(quoted) = start.strip_prefix("=\"").or_else(|| start.strip_prefix('"')) else {
        let end = start.find(is_end).unwrap_or(start.len());
        return Ok((start[..end].trim().to_owned(), &start[end..]));
    };
    let (mut inside, mut rest) = (String::new(), quoted);
    loop {
        let Some(end) = rest.find('"') else {
            return Err(format!("Line {line} of the list has a quotation mark that is not closed."));
        };
        inside.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(next) => {
                inside.push('"');
                rest = next;
            }
            None => break,
        }
    }
    let after = rest.trim_start_matches(|character: char| character.is_whitespace() && !is_end(character));
    if !after.is_empty() && !after.starts_with(is_end) {
        return Err(format!("Line {line} of the list has something after a quotation mark that closes a cell."));
    }
    let inside = inside.trim();
    let inside = inside.strip_prefix("=\"").and_then(|formula| formula.strip_suffix('"')).unwrap_or(inside);
    Ok((inside.to_owned(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["user1", "00123", "590ce6c56d04f840aa8438af"];

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    /// What spreadsheets save of a column with these ids.
    fn manners() -> Vec<(String, Vec<u8>)> {
        let mut manners = Vec::new();
        for (separated, separator) in [("commas", ","), ("semicolons", ";"), ("tabs", "\t")] {
            for (ended, end) in [("LF", "\n"), ("CRLF", "\r\n"), ("CR", "\r")] {
                for heading in ["", "id", "ID", "Id", "customer_id", "customerId", "Customer ID", "\"customer id\""] {
                    for (written, write) in WAYS {
                        for columns in [0, 1, 3] {
                            let tail = separator.repeat(columns);
                            let mut lines: Vec<String> = IDS.iter().map(|id| format!("{}{tail}", write(id))).collect();
                            if !heading.is_empty() {
                                lines.insert(0, format!("{heading}{tail}"));
                            }
                            lines.push(tail.clone());
                            for declares in [false, true] {
                                let first = if declares { format!("sep={separator}{end}") } else { String::new() };
                                let text = format!("{first}{}{end}{end}", lines.join(end));
                                let name =
                                    format!("{separated}, {ended}, heading {heading:?}, {written}, {columns} columns, sep={declares}");
                                manners.push((format!("{name}, UTF-8"), text.clone().into_bytes()));
                                manners.push((format!("{name}, UTF-8 with mark"), format!("\u{feff}{text}").into_bytes()));
                                manners.push((format!("{name}, UTF-16LE"), utf16(&text, u16::to_le_bytes)));
                                manners.push((format!("{name}, UTF-16BE"), utf16(&text, u16::to_be_bytes)));
                            }
                        }
                    }
                }
            }
        }
        manners
    }

    type Way = (&'static str, fn(&str) -> String);
    const WAYS: [Way; 5] = [
        ("plain", |id| id.to_owned()),
        ("quoted", |id| format!("\"{id}\"")),
        ("as a formula", |id| format!("=\"{id}\"")),
        ("as a quoted formula", |id| format!("\"=\"\"{id}\"\"\"")),
        ("with space", |id| format!(" {id} ")),
    ];

    #[test]
    fn a_list_is_read_in_every_manner_in_which_spreadsheets_save_it() {
        let manners = manners();
        assert_eq!(manners.len(), 3 * 3 * 8 * 5 * 3 * 2 * 4);
        for (name, bytes) in manners {
            assert_eq!(read(&bytes).as_deref(), Ok(&IDS.map(str::to_owned)[..]), "{name}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn the_column_that_is_called_id_is_read_among_others() {
        let tables = [
            "id,name,email\nuser1,Ada,ada@example.com\n00123,\"Lovelace, Ada\",\n",
            "name;customer_id;e-mail\nLovelace, Ada;user1;a\n;00123;\n",
            "Name\tID\nA,da;\tuser1\nÄda\t00123\t\n",
        ];
        for table in tables {
            assert_eq!(read(table.as_bytes()).unwrap(), ["user1", "00123"], "{table:?}");
        }
    }

    #[test]
    fn what_can_be_an_id_is_one() {
        let lists: [(&str, &[&str]); 9] = [
            ("user1\nid\n", &["user1", "id"]),
            ("\"user,2\"\n\"a;b\"\n\"a\"\"b\"\n", &["user,2", "a;b", "a\"b"]),
            ("a\"b\n", &["a\"b"]),
            ("sep=;\na,b\n", &["a,b"]),
            ("SEP=,\r\n\"x,1\",\r\n", &["x,1"]),
            ("'1\n=1\n-1\n1E+10\n", &["'1", "=1", "-1", "1E+10"]),
            ("", &[]),
            ("\u{feff}id\r\n", &[]),
            ("user1", &["user1"]),
        ];
        for (list, ids) in lists {
            assert_eq!(read(list.as_bytes()).unwrap(), ids, "{list:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        let lists: [(&[u8], usize); 22] = [
            (b"user1\nuser2,Ada\n", 2),
            (b"user1;Ada\r\nuser2;Eve\r\n", 1),
            (b"user1\r\n,user2\r\n", 2),
            (b"id,name\nuser1,Ada\n,Eve\n", 3),
            (b"user1,\nuser2;\n", 2),
            (b"id\nuser1,2\n", 2),
            (b"id,\nuser1,2\n", 2),
            (b"a\"b\nuser,2\n", 2),
            (b"user1\n\"user2\nuser3\n", 2),
            (b"user1\n\n\"user2\"x\n", 3),
            (b"user1\n\"us\"\"er\"2\n", 2),
            (b"user1\n\"user2\nuser3\"\nuser4\n", 2),
            (b"sep=;\nuser1\nuser2;Ada\n", 3),
            (b"user1\nAndr\xe9\n", 2),
            ("user1\rAndré\r".as_bytes(), 2),
            (b"user1\nuser 2\n", 2),
            (b"user1\nuser/2\n", 2),
            (b"user1\n..\n", 2),
            (b"user1\na\0b\n", 2),
            (b"u\0s\0\n\0", 1),
            (b"\xff\xfeu\0\n\0\x00\xd8u\0", 2),
            (b"\xff\xfeu\0\n\0u", 2),
        ];
        for (list, line) in lists {
            let words = read(list).unwrap_err();
            assert!(words.starts_with(&format!("Line {line} of the list ")), "{:?}: {words}", String::from_utf8_lossy(list));
        }
        assert!(read(b"id,customer_id\n1,2\n").unwrap_err().contains("two columns"));
        let long = format!("user1\n{}\n", "x".repeat(101));
        assert!(read(long.as_bytes()).unwrap_err().starts_with("Line 2 "));
    }
}
