//! A file can be read at one sitting.

use super::read;
use super::wording::files_below;

/// Lines of a source at the most.
const MOST_LINES: usize = 600;

#[test]
fn no_source_is_longer_than_600_lines() {
    let mut files = Vec::new();
    files_below("crates", &mut files);
    files.retain(|file| file.ends_with(".rs"));
    assert!(files.len() > 300, "{} sources", files.len());
    let lines = files.iter().map(|file| (read(file).lines().count(), file));
    let wrong: Vec<String> = lines.filter(|(lines, _)| *lines > MOST_LINES).map(|(lines, file)| format!("{file}: {lines} lines")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
