//! Files that other users of the machine can open. Looked at before the database is, which narrows those that it opens.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Examined, Finding, MOST_SAMPLES};

/// What of a server lies in files.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders whose every file is the server's, such as those of the data, the ledger and the exports.
    pub folders: Vec<PathBuf>,
    /// Files that only the server reads: the secret key.
    pub files: Vec<PathBuf>,
    /// A configuration file that holds a secret. Its group may read it.
    pub configuration: Option<PathBuf>,
}

/// Finds what other users of the machine can open. What is not there, or cannot be looked at, is not told of.
pub fn files(places: &Places) -> Examined {
    let mut findings = Vec::new();
    let wide = |path: &Path, bits: u32| {
        let mode = fs::symlink_metadata(path).map(|found| found.permissions().mode()).unwrap_or_default();
        // What everybody may write into, such as /tmp, is not the server's to close.
        mode & bits != 0 && mode & 0o1000 == 0 && mode & 0o170_000 != 0o120_000
    };
    for folder in &places.folders {
        // One folder may lie in another.
        let mut found = vec![folder.clone()];
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            found.push(file.path());
        }
        found.retain(|path| wide(path, 0o077) && (path == folder || !places.folders.contains(path)));
        found.sort();
        findings.extend(finding(found, format!("chmod -R go= {}", quoted(folder))));
    }
    for file in places.files.iter().filter(|file| wide(file, 0o077)) {
        findings.extend(finding(vec![file.clone()], format!("chmod 600 {}", quoted(file))));
    }
    if let Some(file) = places.configuration.as_ref().filter(|file| wide(file, 0o007)) {
        findings.extend(finding(vec![file.clone()], format!("chmod o= {}", quoted(file))));
    }
    Examined { check: "files", about: "only the server's user can open its files", findings, failure: None }
}

fn finding(paths: Vec<PathBuf>, remedy: String) -> Option<Finding> {
    let rows = i64::try_from(paths.len()).unwrap_or(i64::MAX);
    let sample = paths.iter().take(MOST_SAMPLES as usize).map(|path| path.display().to_string()).collect();
    (rows > 0).then(|| Finding {
        what: "other users of this machine can open what has secrets, or all that the server knows".into(),
        table: None,
        rows,
        of: "files",
        sample,
        remedy,
    })
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
