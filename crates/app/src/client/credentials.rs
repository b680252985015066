//! The credentials file: what `freehold sign-in` leaves for the commands after it. Readable by its owner only, replaced as a whole, and
//! locked while tokens are renewed, because a refresh token is good once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Result};
use super::output::clean;

/// What the file holds.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The server that the tokens are for; they are sent to no other.
    pub server: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// Where the file is.
pub(super) struct CredentialsFile {
    path: PathBuf,
}

impl CredentialsFile {
    /// Below `$XDG_CONFIG_HOME`, or `~/.config`.
    pub fn find() -> Result<CredentialsFile> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        let folder = folder.ok_or_else(|| Failure::usage("There is no place for the credentials file: set HOME or XDG_CONFIG_HOME."))?;
        Ok(CredentialsFile { path: folder.join("freehold/credentials.json") })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is stored; none before a sign-in.
    pub fn load(&self) -> Result<Option<Stored>> {
        let shown = clean(&self.path.display().to_string());
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(Failure::other(format!("Cannot read {shown}: {error}."))),
        };
        if fs::metadata(&self.path)?.permissions().mode() & 0o077 != 0 {
            return Err(Failure::usage(format!("Others can read {shown}: take that away with `chmod 600 {shown}`.")));
        }
        match serde_json::from_str(&text) {
            Ok(stored) => Ok(Some(stored)),
            // The words of the error could quote a token.
            Err(_) => Err(Failure::other(format!("{shown} holds no credentials: remove it and sign in again."))),
        }
    }

    /// Replaces the file as a whole: a reader sees the old one or the new one.
    pub fn save(&self, stored: &Stored) -> Result {
        self.make_folder()?;
        let draft = self.path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let text = serde_json::to_string_pretty(stored).map_err(|_| Failure::other("The credentials cannot be written as JSON."))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        Ok(())
    }

    /// Forgets the credentials.
    pub fn remove(&self) -> Result {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Waits until no other command renews the tokens, and keeps others from it as long as the file is open.
    pub fn lock(&self) -> Result<File> {
        self.make_folder()?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn make_folder(&self) -> Result {
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        Ok(())
    }
}
