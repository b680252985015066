//! `freehold doctor`: prints what the doctor of `plane` found in a database, for people or for machines, and says it in its exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use plane::doctor::{self, CheckContext, CheckResult, Finding, Places, Repaired};
use plane::ledger::LedgerPlace;
use plane::{Clock, Config, Plane};
use serde_json::{Value as Json, json};

use crate::{DatabaseArgs, ExportsArgs, Outcome, RetentionArgs, SecretKeyArgs, say, settings};

/// What the doctor looks at and what its exit codes mean, for `--help`.
pub(crate) const HELP: &str = "\
It reads and changes nothing, unless --repair says so, also beside a running server. With --repair no server may use an embedded database.

Exit codes:
  0  nothing was found
  1  something was found: each finding names its remedy
  2  it could not be looked at, or not at all of it";

/// How often a reader who is not at a terminal hears how far it is.
const PACE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    secret_key: SecretKeyArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    exports: ExportsArgs,
    /// Print one JSON document instead of lines for people.
    #[arg(long)]
    json: bool,
    /// First order again what did not come to its end: completed deletions that left something are opened, what is closed and not being deleted
    /// gets its deletion. A server carries them out. Runs missing migrations, as a server does. Nothing else is changed.
    #[arg(long)]
    repair: bool,
}

pub(crate) async fn run(args: DoctorArgs) -> ExitCode {
    match look(&args).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "freehold: {error}");
            ExitCode::from(2)
        }
    }
}

async fn look(args: &DoctorArgs) -> Outcome<ExitCode> {
    let (mut options, clock, exports) = (args.database.options(), Clock::default(), args.exports.place(&args.database));
    options.reads_beside = !args.repair;
    // Before the database is opened, which narrows its own files.
    let files = doctor::files(&places(args));
    // Before anything is made or migrated: a wrong folder is to be noticed.
    let open = || CheckContext::open(&options, &clock, args.retention.periods(), &exports);
    let found = open().await?;
    let (context, repaired) = match args.repair {
        false => (found, None),
        true => {
            found.close().await;
            // It holds the file's lock.
            drop(found);
            let repaired = repair(args, &clock).await?;
            (open().await?, Some(repaired))
        }
    };
    let progress = Progress::new(&clock);
    let mut results = vec![files];
    results.extend(context.examine(&|check, words| progress.tell(check, words)).await);
    progress.wipe();
    context.close().await;
    if args.json {
        say(&format!("{:#}", document(context.engine_name(), repaired, &results)));
    } else {
        lines(context.engine_name(), repaired, &results).iter().for_each(|line| say(line));
    }
    let has_found = results.iter().any(|check| !check.findings.is_empty());
    let is_whole = results.iter().all(|check| check.failure.is_none());
    Ok(ExitCode::from(match (has_found, is_whole) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => 0,
    }))
}

async fn repair(args: &DoctorArgs, clock: &Clock) -> Outcome<Repaired> {
    let mut config = Config::new(args.database.options());
    config.secret_keys = args.secret_key.source(&args.database)?;
    let plane = Plane::open(config, clock.clone()).await?;
    Ok(doctor::repair(&plane).await?)
}

/// The files of the server whose settings these are.
fn places(args: &DoctorArgs) -> Places {
    let data = &args.database.data;
    let mut folders = vec![data.join("exports")];
    match args.database.ledger() {
        LedgerPlace::Folder(ledger) => folders.push(ledger),
        LedgerPlace::Nowhere | LedgerPlace::Unsaid => {}
    }
    // A backup that is looked at lies where it lies.
    let is_in_data = args.database.options().url == format!("sqlite:{}", data.join("freehold.db").display());
    if is_in_data || data.join("secret.key").exists() {
        folders.push(data.clone());
    }
    Places {
        folders,
        files: args.secret_key.secret_key_file.clone().into_iter().collect(),
        configuration: args.database.config.clone().filter(|file| settings::holds_secrets(file)),
    }
}

fn lines(engine: &str, repaired: Option<Repaired>, results: &[CheckResult]) -> Vec<String> {
    let mut lines = vec![format!("The doctor looked at a database of {engine}.")];
    lines.extend(repaired.map(|repaired| {
        format!("Repaired: {} deletions are open again, {} were ordered. A server carries them out.", repaired.reopened, repaired.ordered)
    }));
    for check in results {
        let word = match (&check.failure, check.findings.is_empty()) {
            (Some(_), _) => "UNKNOWN",
            (None, true) => "ok",
            (None, false) => "FOUND",
        };
        lines.push(format!("{word:<8} {:<11} {}", check.check, check.about));
        lines.extend(check.failure.iter().map(|words| format!("    could not be checked: {words}")));
        lines.extend(check.findings.iter().flat_map(told));
    }
    let findings: usize = results.iter().map(|check| check.findings.len()).sum();
    lines.push(match findings {
        0 if results.iter().all(|check| check.failure.is_none()) => "Nothing was found.".into(),
        0 => "Not everything could be checked.".into(),
        1 => "There is 1 finding.".into(),
        several => format!("There are {several} findings."),
    });
    lines
}

fn told(finding: &Finding) -> Vec<String> {
    let place = finding.table.as_ref().map_or_else(String::new, |table| format!(" in {table}"));
    let mut lines = vec![format!("    {}{place}: {}", finding.rows, finding.what)];
    if !finding.sample.is_empty() {
        let more = if (finding.sample.len() as i64) < finding.rows { ", …" } else { "" };
        lines.push(format!("      {}: {}{more}", finding.of, finding.sample.join(", ")));
    }
    lines.push(format!("      remedy: {}", finding.remedy));
    lines
}

fn document(engine: &str, repaired: Option<Repaired>, results: &[CheckResult]) -> Json {
    let finding = |finding: &Finding| json!({"what": finding.what, "table": finding.table, "rows": finding.rows, "of": finding.of, "sample": finding.sample, "remedy": finding.remedy});
    let check = |check: &CheckResult| {
        json!({
            "check": check.check,
            "about": check.about,
            "failure": check.failure,
            "findings": check.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    };
    let repaired = repaired.map(|repaired| json!({"reopened": repaired.reopened, "ordered": repaired.ordered}));
    json!({"engine": engine, "repaired": repaired, "checks": results.iter().map(check).collect::<Vec<_>>()})
}

/// Tells on standard error how far it is: at a terminal in one line, otherwise now and then if it takes long.
struct Progress {
    is_terminal: bool,
    clock: Clock,
    last: Mutex<plane::Stopwatch>,
}

impl Progress {
    fn new(clock: &Clock) -> Progress {
        Progress { is_terminal: std::io::stderr().is_terminal(), clock: clock.clone(), last: Mutex::new(clock.stopwatch()) }
    }

    fn tell(&self, check: &str, words: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut err = std::io::stderr().lock();
        if self.is_terminal {
            let _ = write!(err, "\r\u{1b}[2K{check} {words}");
            let _ = err.flush();
        } else if last.elapsed() >= PACE {
            let _ = writeln!(err, "{check} {words}");
            *last = self.clock.stopwatch();
        }
    }

    fn wipe(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\u{1b}[2K");
        }
    }
}
