//! A file can be read at one sitting, and a folder at a glance.

use std::collections::BTreeMap;

use super::read;
use super::wording::files_below;

/// Lines of a source at the most, and of a test.
const MOST_LINES: [usize; 2] = [500, 600];
/// Sources of a folder at the most, with its `mod.rs` and beside its sub-folders.
const MOST_FILES: usize = 13;

fn sources() -> Vec<String> {
    let mut files = Vec::new();
    files_below("crates", &mut files);
    files.retain(|file| file.ends_with(".rs"));
    assert!(files.len() > 300, "{} sources", files.len());
    files
}

#[test]
fn no_source_is_longer_than_500_lines_and_no_test_than_600() {
    let most = |file: &str| MOST_LINES[usize::from(!file.contains("/src/"))];
    let lines = sources().into_iter().map(|file| (read(&file).lines().count(), file));
    let wrong: Vec<String> =
        lines.filter(|(lines, file)| *lines > most(file)).map(|(lines, file)| format!("{file}: {lines} lines")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_folder_has_more_sources_than_can_be_seen_at_once() {
    let mut folders: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources().into_iter().filter(|file| file.contains("/src/")) {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        *folders.entry(folder).or_default() += 1;
    }
    folders.retain(|_, files| *files > MOST_FILES);
    assert!(folders.is_empty(), "{folders:?}");
}
