//! Files that other users of the machine can open. Looked at before the database is, which narrows those that it opens.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::process::geteuid;

use super::{CheckResult, Finding, MOST_SAMPLES, quoted};
use crate::exports::Found;

/// What of a server lies in files.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders in which the server keeps its files, such as those of the data, the ledger and the exports. What else is in them is not looked at.
    pub folders: Vec<PathBuf>,
    /// Files that only the server reads: the secret key.
    pub files: Vec<PathBuf>,
    /// A configuration file that holds a secret. Its group may read it.
    pub configuration: Option<PathBuf>,
}

/// Finds what other users of the machine can open. What is not there, cannot be looked at, or is another user's is not told of.
pub fn files(places: &Places) -> CheckResult {
    let mut findings = Vec::new();
    let user = geteuid();
    let is_wide = |found: io::Result<fs::Metadata>, bits: u32| {
        let Ok(found) = found else { return false };
        let mode = found.permissions().mode();
        // What everybody may write into, such as /tmp, or what is another user's is not this one's to close.
        mode & bits != 0 && mode & 0o1000 == 0 && !found.is_symlink() && (user.is_root() || found.uid() == user.as_raw())
    };
    // What is named is judged by what its link leads to.
    let wide = |path: &Path, bits: u32| is_wide(fs::metadata(path), bits);
    for folder in &places.folders {
        let mut found: Vec<PathBuf> = Some(folder.clone()).into_iter().filter(|folder| wide(folder, 0o077)).collect();
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = file.path();
            // One folder may lie in another.
            let is_its_own = !places.folders.contains(&path) && is_of_the_server(&file.file_name().to_string_lossy());
            if is_its_own && is_wide(fs::symlink_metadata(&path), 0o077) {
                found.push(path);
            }
        }
        found.sort();
        findings.extend(finding(found, format!("chmod -R go= {}", quoted(folder.display()))));
    }
    for file in places.files.iter().filter(|file| wide(file, 0o077)) {
        findings.extend(finding(vec![file.clone()], format!("chmod 600 {}", quoted(file.display()))));
    }
    if let Some(file) = places.configuration.as_ref().filter(|file| wide(file, 0o007)) {
        findings.extend(finding(vec![file.clone()], format!("chmod o= {}", quoted(file.display()))));
    }
    CheckResult { check: "files", about: "only the server's user can open its files", findings, failure: None }
}

/// Whether the server makes files of this name: those of its database, its key, its ledger and its exports.
fn is_of_the_server(name: &str) -> bool {
    name.starts_with("freehold.")
        || ["secret.key", "lock"].contains(&name)
        || name.ends_with(".ndjson")
        || Found::parse(name.into()).is_some()
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
