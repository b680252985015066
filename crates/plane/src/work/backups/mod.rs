//! Backups: everything that a database holds, in a file that is itself an embedded database, whichever engine it comes from and goes back to.
//! Those in a bucket are in `remote.rs`.
//!
//! The archives of exports lie beside the database and are not in it; they have their time anyway. What the server takes by itself, and when, is
//! `schedule.rs`.

mod remote;
mod schedule;

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

pub use remote::{back_up_to_bucket, restore_from_bucket};
pub use schedule::run;
pub use sql::Contents;
use sql::{Database, Options};

pub use crate::plane::BackupSchedule;
use crate::{Error, MIGRATIONS, Result, exports, ledger_replay};

/// Says which table a copy is at, and how many of its rows are there.
pub type Teller<'a> = dyn Fn(&str, u64) + Sync + 'a;

/// What a file is called after its name until it is whole.
const UNFINISHED: &str = ".unfinished";

/// Writes everything into a new file, as it is at one moment, also while a server uses the database.
///
/// # Errors
/// [`Error::Malformed`] when the file is there already or the database is not; the database's.
pub async fn back_up(from: &Options, file: &Path, tell: &Teller<'_>) -> Result<Contents> {
    if file.exists() {
        return Err(Error::Malformed(format!("{} is there already: name a new file", file.display())));
    }
    // Under its name only when it is whole.
    let unfinished = beside(file, UNFINISHED);
    remove(&unfinished)?;
    let written = write(from, &unfinished, tell).await;
    let contents = match written {
        Ok(contents) => contents,
        Err(error) => {
            let _ = remove(&unfinished);
            return Err(error);
        }
    };
    let kept = std::fs::File::open(&unfinished)
        .and_then(|written| written.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, file))
        .and_then(|()| sql::sync_name(file));
    kept.map_err(|error| Error::Malformed(format!("cannot write {}: {error}", file.display())))?;
    Ok(contents)
}

async fn write(from: &Options, file: &Path, tell: &Teller<'_>) -> Result<Contents> {
    if let Some(path) = from.url.strip_prefix("sqlite:").map(Path::new) {
        if from.missing_file().is_some() {
            return Err(Error::Malformed(format!("there is no database at {}: name its folder with --data", path.display())));
        }
        let (path, copy) = (path.to_owned(), file.to_owned());
        let copied = tokio::task::spawn_blocking(move || sql::copy_file(&path, &copy)).await;
        copied.map_err(|error| Error::Internal(format!("copying the database: {error}")))??;
        let copy = Database::open(&at(file)).await?;
        let contents = copy.contents(MIGRATIONS).await;
        copy.close().await;
        remove(&file.with_extension("lock"))?;
        return Ok(contents?);
    }
    let (source, target) = (Database::open(from).await?, Database::open(&at(file)).await?);
    is_of_this_program(&source).await?;
    target.migrate(MIGRATIONS).await?;
    let copied = target.copy_from(&source, MIGRATIONS, tell).await;
    target.close().await;
    remove(&file.with_extension("lock"))?;
    Ok(copied?)
}

/// Puts everything that a backup holds into a database that is empty or not there yet, and brings its schema up to date first.
///
/// # Errors
/// [`Error::Malformed`] when the file is no backup, or there is something in the database; the database's.
pub async fn restore(file: &Path, to: &Options, tell: &Teller<'_>) -> Result<Contents> {
    if !file.is_file() {
        return Err(Error::Malformed(format!("there is no backup at {}", file.display())));
    }
    // A copy: the backup stays as it is, whatever the schema of this program is by now.
    let folder = std::env::temp_dir().join(format!("freehold-restore-{}", std::process::id()));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| Error::Malformed(format!("cannot make the folder {}: {error}", folder.display())))?;
    let restored = restore_copy(file, &folder.join("freehold.db"), to, tell).await;
    let _ = std::fs::remove_dir_all(&folder);
    restored
}

async fn restore_copy(file: &Path, copy: &Path, to: &Options, tell: &Teller<'_>) -> Result<Contents> {
    sql::copy_file(file, copy).map_err(|error| Error::Malformed(format!("{} is no backup: {error}", file.display())))?;
    let source = Database::open(&at(copy)).await?;
    is_known(&source).await?;
    source.migrate(MIGRATIONS).await?;
    // The copy has to catch up with the ledger before it is served.
    ledger_replay::mark_restored(&source).await?;
    exports::become_another(&source).await?;
    let copied = move_all(&source, to, tell).await;
    source.close().await;
    copied
}

/// Puts everything of one database into another one that is empty or not there yet, of either engine. No server may use the first meanwhile.
///
/// # Errors
/// Those of [`restore`].
pub async fn move_between(from: &Options, to: &Options, tell: &Teller<'_>) -> Result<Contents> {
    if let Some(missing) = from.missing_file() {
        return Err(Error::Malformed(format!("there is no database at {}", missing.display())));
    }
    let source = Database::open(&Options { is_server: true, ..from.clone() }).await?;
    is_of_this_program(&source).await?;
    let copied = move_all(&source, to, tell).await;
    source.close().await;
    copied
}

async fn move_all(source: &Database, to: &Options, tell: &Teller<'_>) -> Result<Contents> {
    let target = Database::open(&Options { is_server: true, ..to.clone() }).await?;
    target.migrate(MIGRATIONS).await?;
    let copied = target.copy_from(source, MIGRATIONS, tell).await;
    target.close().await;
    Ok(copied?)
}

/// An embedded database in a file that is made if it is missing.
fn at(file: &Path) -> Options {
    let mut options = Options::new(format!("sqlite:{}", file.display()));
    options.may_begin_anew = true;
    options
}

/// Fails unless every migration of this program has run, and no other.
async fn is_of_this_program(database: &Database) -> Result<()> {
    match database.differences(MIGRATIONS).await?.is_empty() {
        true => Ok(()),
        false => Err(Error::Malformed(
            "the database is of another version of this program: start the server on it once, or use that version".into(),
        )),
    }
}

/// Fails unless the database has run migrations of this program, and none that it does not know.
async fn is_known(database: &Database) -> Result<()> {
    let differences = database.differences(MIGRATIONS).await?;
    let are_missing = differences.iter().filter(|(_, difference)| *difference == sql::Difference::Missing).count();
    match are_missing == differences.len() && are_missing < MIGRATIONS.len() {
        true => Ok(()),
        false => Err(Error::Malformed("it is no backup of this program, or one of a newer version of it".into())),
    }
}

fn beside(file: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Malformed(format!("cannot remove {}: {error}", file.display())))
        }
        _ => Ok(()),
    }
}
