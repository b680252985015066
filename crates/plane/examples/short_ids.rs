//! Writes ids in their short form and reads them, line by line, so that another implementation can be compared with this one:
//! `encode <UUID>` and `decode <short form>` on standard input, the result or `refused` on standard output.

use std::io::{BufRead, BufWriter, Write, stdin, stdout};

use plane::ids::{from_short, to_short};

fn main() -> std::io::Result<()> {
    let mut results = BufWriter::new(stdout().lock());
    for line in stdin().lock().lines() {
        let line = line?;
        let result = match line.split_once(' ') {
            Some(("encode", id)) => uuid::Uuid::try_parse(id).ok().map(to_short),
            Some(("decode", text)) => from_short(text).map(|id| id.to_string()),
            _ => None,
        };
        writeln!(results, "{}", result.as_deref().unwrap_or("refused"))?;
    }
    results.flush()
}
