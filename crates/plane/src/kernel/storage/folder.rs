//! A folder on this machine, for the eyes of the server's own user.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use super::{Failure, Stored, absent_is_fine, on_disk};
use crate::Result;

/// Makes it, if it is missing.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    match folder.as_os_str().is_empty() {
        true => Ok(()),
        false => sql::make_folder(folder),
    }
}

pub(super) async fn list(folder: &Path) -> Result<Vec<String>, Failure> {
    let folder = folder.to_owned();
    on_disk(move || {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return Ok(absent_is_fine(error).map(|()| Vec::new())?),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    })
    .await
}

pub(super) async fn find(folder: &Path, name: &str) -> Result<Option<Stored>, Failure> {
    let path = folder.join(name);
    on_disk(move || match File::open(path) {
        Ok(file) => Ok(Some(Stored::File { bytes: file.metadata()?.len(), file })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

pub(super) async fn remove(folder: &Path, name: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    on_disk(move || Ok(fs::remove_file(path).or_else(absent_is_fine)?)).await
}
