//! The doctor: looks over a database for what should not be there or should have happened, and says what to do about each.
//!
//! A check is one line of [`CHECKS`] and a function that reads. It works on set-based statements and slices, so that what it costs grows with
//! the database and never with one query a row, and each slice reads a snapshot of its own: a live server beside it is not held up.
//! [`repair`] is the only thing here that writes.

mod ahead;
mod archives;
mod checks;
mod files;
mod overdue;
mod repair;
mod residue;
mod secrets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use sql::{Database, Options, Schema, Statement};

pub use files::{Places, files};
pub use repair::{Repaired, repair};

use crate::retention_periods::Periods;
use crate::storage::Place;
use crate::{Clock, Error, MIGRATIONS, Plane, Result};

/// Ids that a finding shows at the most.
const MOST_SAMPLES: i64 = 5;

/// Something that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is, in a sentence.
    pub what: String,
    /// The table it is in; none when it is about the database as a whole.
    pub table: Option<String>,
    /// How many rows.
    pub rows: i64,
    /// What the ids of the sample are of, such as `deletions`.
    pub of: &'static str,
    /// Up to five of them.
    pub sample: Vec<String>,
    /// The command or call that puts it right.
    pub remedy: String,
}

/// What came of one check.
#[derive(Debug, Clone)]
pub struct CheckResult {
    /// The check's name.
    pub check: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// What it found.
    pub findings: Vec<Finding>,
    /// Why it could not be made or finished.
    pub failure: Option<String>,
}

/// What a person who waits wants to see: the check under way, and how far it is in words.
pub type Teller<'a> = dyn Fn(&'static str, &str) + Send + Sync + 'a;

/// A database under examination.
pub struct CheckContext {
    db: Database,
    clock: Clock,
    now: Timestamp,
    /// The file of an embedded one.
    path: PathBuf,
    schema: Schema,
    /// The tables that had rows when it was opened; all where that is not known. What asks for rows of others is not asked: most of what a check
    /// of a small database costs is to ask.
    filled: BTreeSet<String>,
    periods: Periods,
    exports: Place,
}

/// How a check says how far it is.
type Tell<'a> = &'a (dyn Fn(&str) + Send + Sync);
type Findings<'a> = Pin<Box<dyn Future<Output = Result<Vec<Finding>>> + Send + 'a>>;

/// One kind of thing to look for.
struct Check {
    name: &'static str,
    about: &'static str,
    /// Whether it reads tables as the program knows them. It is not made on a schema that differs.
    needs_schema: bool,
    run: for<'a> fn(&'a CheckContext, Tell<'a>) -> Findings<'a>,
}

/// Every check, in the order in which they are made. To add one, add its line and its function.
#[rustfmt::skip]
const CHECKS: &[Check] = &[
    Check { name: "migrations", about: "every migration of this program has run, and no other", needs_schema: false, run: checks::migrations },
    Check { name: "schema", about: "the live schema is the one that the rules of deletion know", needs_schema: false, run: checks::schema },
    Check { name: "integrity", about: "the file is undamaged, and every row hangs on one that exists", needs_schema: false, run: checks::integrity },
    Check { name: "residue", about: "nothing is left that a completed deletion should have erased or redacted", needs_schema: true, run: residue::residue },
    Check { name: "closed", about: "whatever is closed is being deleted", needs_schema: true, run: checks::closed },
    Check { name: "owners", about: "every organization has an owner", needs_schema: true, run: checks::owners },
    Check { name: "holds", about: "whatever is under a legal hold is there", needs_schema: true, run: checks::holds },
    Check { name: "stuck", about: "every open deletion makes progress", needs_schema: true, run: checks::stuck },
    Check { name: "overdue", about: "what is kept for a time is gone after it", needs_schema: true, run: overdue::overdue },
    Check { name: "ahead", about: "no time lies further in the future than it can", needs_schema: true, run: ahead::ahead },
    Check { name: "deliveries", about: "webhooks are told in time", needs_schema: true, run: checks::deliveries },
    Check { name: "effects", about: "what the server does outside comes to its end", needs_schema: true, run: checks::effects },
    Check { name: "secrets", about: "secrets are encrypted with a key that is not here", needs_schema: true, run: secrets::secrets },
    Check { name: "archives", about: "what was exported is there and whole, and nothing else is", needs_schema: true, run: archives::archives },
];

impl CheckContext {
    /// Opens a database that is there, on which things are kept for these periods and whose exports are in this place. Nothing is migrated or made.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none; the database's, also when a server holds the embedded one.
    pub async fn open(options: &Options, clock: &Clock, periods: Periods, exports: &Place) -> Result<CheckContext> {
        if let Some(path) = options.url.strip_prefix("sqlite:").map(Path::new).filter(|path| !path.is_file()) {
            return Err(Error::Malformed(format!("there is no database at {}: name its folder with --data", path.display())));
        }
        let db = Database::open(options).await?;
        let schema = db.schema(MIGRATIONS).await?;
        let filled = match db.filled(schema.tables.keys().map(String::as_str)).await {
            Ok(filled) => filled,
            // The checks tell what is damaged.
            Err(_) => tables_of(&schema),
        };
        Ok(CheckContext {
            db,
            now: clock.now(),
            clock: clock.clone(),
            path: path_of(options),
            schema,
            filled,
            periods,
            exports: exports.clone(),
        })
    }

    /// The database of a plane that has been opened.
    fn of(plane: &Arc<Plane>, schema: Schema) -> CheckContext {
        let (periods, exports) = (plane.config.retention.clone(), plane.config.exports.clone());
        let (clock, path) = (plane.clock.clone(), path_of(&plane.config.database));
        let filled = tables_of(&schema);
        CheckContext { db: plane.db.clone(), now: clock.now(), clock, path, schema, filled, periods, exports }
    }

    /// Whether there may be rows in a table.
    fn may_have(&self, table: &str) -> bool {
        self.filled.contains(table)
    }

    /// Lets go of the database, and leaves no file beside an embedded one.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// `"sqlite"` or `"postgresql"`.
    pub fn engine_name(&self) -> &'static str {
        self.db.engine_name()
    }

    /// Makes every check. One that fails does not keep the others from being made.
    pub async fn examine(&self, tell: &Teller<'_>) -> Vec<CheckResult> {
        let is_known = self.db.differences(MIGRATIONS).await.is_ok_and(|differences| differences.is_empty())
            && crate::deletion_rules::RULES.check(&self.schema).is_ok();
        let mut results = Vec::new();
        for Check { name, about, needs_schema, run } in CHECKS {
            tell(name, "");
            let outcome = match *needs_schema && !is_known {
                true => Err(Error::Malformed("not made: the schema is not the one that this program knows".into())),
                false => run(self, &|words| tell(name, words)).await,
            };
            let (findings, failure) = match outcome {
                Ok(findings) => (findings, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            results.push(CheckResult { check: name, about, findings, failure });
        }
        results
    }
}

fn tables_of(schema: &Schema) -> BTreeSet<String> {
    schema.tables.keys().cloned().collect()
}

/// A text as one word of a shell.
fn quoted(text: impl std::fmt::Display) -> String {
    format!("'{}'", text.to_string().replace('\'', "'\\''"))
}

/// Where an embedded database is, wherever a shell is when it is told of.
fn path_of(options: &Options) -> PathBuf {
    let path = Path::new(options.url.strip_prefix("sqlite:").unwrap_or_default());
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Every statement that is made from the rules, for the test that prepares them.
pub fn statements() -> Vec<Statement> {
    residue::statements().into_iter().chain(checks::statements()).chain(ahead::statements()).collect()
}
