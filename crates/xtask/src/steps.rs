//! The steps of `cargo xtask test` and `cargo xtask bless`: which commands run, in which order, and how their outcome is told.
//!
//! No step can be left out and no engine skipped: what passes here has passed on both.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Instant;

use clap::ValueEnum;
use tokio::process::Command;

use crate::Result;
use crate::outside;
use crate::postgres::{Cluster, TEST_VARIABLE};

/// One step, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Every file is formatted.
    Format,
    /// No lint has anything to say.
    Lint,
    /// The dependencies are what `deny.toml` allows.
    Dependencies,
    /// Every test passes on both engines.
    Test,
    /// Clients and tools of other people agree with the server.
    Outside,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Format => "format",
            Step::Lint => "lint",
            Step::Dependencies => "dependencies",
            Step::Test => "test",
            Step::Outside => "outside",
        }
    }
}

/// Runs every step, or the one asked for, and stops at the first that fails. What takes long is left out unless it is asked for.
pub(crate) async fn test(only: Option<Step>, long: bool) -> Result {
    let began = Instant::now();
    // What is downloaded for later steps does not have to wait for the processor.
    let mut prepared = only.is_none().then(|| tokio::spawn(outside::prepare()));
    for step in Step::value_variants().iter().filter(|step| only.is_none_or(|wanted| wanted == **step)) {
        if let (Step::Dependencies, Some(prepared)) = (step, prepared.take()) {
            prepared.await.map_err(|error| error.to_string())??;
        }
        run(*step, long).await?;
    }
    eprintln!("\n── all passed in {}", seconds(began));
    Ok(())
}

async fn run(step: Step, long: bool) -> Result {
    let name = step.name();
    let began = Instant::now();
    eprintln!("\n── {name}");
    let outcome = match step {
        Step::Format => cargo(&["fmt", "--all", "--check"], &[]).await,
        Step::Lint => cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[]).await,
        Step::Dependencies => outside::check_dependencies().await,
        Step::Test => {
            let backups = if long { "200" } else { "5" };
            on_postgres(&["test", "--workspace", "--locked"], &[("RUST_TEST_THREADS", &threads()), ("FREEHOLD_TEST_BACKUPS", backups)])
                .await
        }
        Step::Outside => outside::run(long).await,
    };
    match outcome {
        Ok(()) => {
            eprintln!("── {name}: passed in {}", seconds(began));
            Ok(())
        }
        Err(words) => Err(format!("the step `{name}` failed after {}: {words}", seconds(began))),
    }
}

/// What fails on purpose: in words, the test program, and which of its tests.
const FAULTS: [(&str, &str, &[&str]); 15] = [
    ("kills", "drills", &["crash::", "exports::", "overtaking::", "races::", "revocation::"]),
    ("power failures: only what was synced is left", "drills", &["disk::power"]),
    ("a disk that refuses: EIO, ENOSPC", "drills", &["disk::refusing"]),
    ("crashes and restarts of PostgreSQL", "drills", &["restarts::"]),
    ("webhooks whose receivers fail, and kills", "drills", &["telling::"]),
    ("a payment provider that fails, and kills", "drills", &["billing::"]),
    ("restores of older backups", "drills", &["restores::"]),
    ("full, read-only and lost databases", "e2e", &["faults::databases"]),
    ("frozen and replaced PostgreSQL", "e2e", &["faults::frozen"]),
    ("clocks that jump", "e2e", &["faults::clocks"]),
    ("a log that is full or not read", "e2e", &["faults::logging"]),
    ("stops", "e2e", &["faults::stopping"]),
    ("connections cut after a commit", "e2e", &["silence::lost"]),
    (
        "backups under load, the ledger, secrets, schemas",
        "e2e",
        &["faults::backups", "faults::ledger", "faults::secrets", "faults::schemas"],
    ),
    ("failures in each batch of a deletion", "contract", &[]),
];

/// Runs what fails on purpose, longer than in `test`, and says what was run and what it counted. All of them run, whatever fails before.
pub(crate) async fn faults() -> Result {
    let long = [
        ("FREEHOLD_TEST_BACKUPS", "200"),
        ("FREEHOLD_TEST_RESTORES", "40"),
        ("FREEHOLD_TEST_TELLING_KILLS", "50"),
        ("FREEHOLD_TEST_BILLING_KILLS", "50"),
        ("FREEHOLD_TEST_POWER_FAILURES", "40"),
        ("FREEHOLD_TEST_REFUSALS", "5"),
        ("FREEHOLD_TEST_POSTGRESQL_RESTARTS", "40"),
    ];
    let (mut figures, mut failed) = (Vec::new(), Vec::new());
    for (fault, program, filters) in FAULTS {
        let began = Instant::now();
        eprintln!("\n── {fault}");
        // The drills one after the other: each is to have the machine to itself.
        let threads = if program == "drills" { "--test-threads=1" } else { "--test-threads=2" };
        let words = [&["test", "--workspace", "--locked", "--test", program, "--"][..], filters, &["--nocapture", threads]].concat();
        match on_postgres(&words, &long).await {
            Ok(()) => figures.push(format!("   {fault}: passed in {}", seconds(began))),
            Err(words) => {
                eprintln!("{words}");
                figures.push(format!("   {fault}: failed after {}", seconds(began)));
                failed.push(fault);
            }
        }
    }
    eprintln!("\n{}", figures.join("\n"));
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join("; "))) }
}

/// Tests at a time: twice as many as there are processors, since most of them wait for a server half of their time.
fn threads() -> String {
    std::thread::available_parallelism().map_or(2, |processors| processors.get() * 2).to_string()
}

pub(crate) fn seconds(began: Instant) -> String {
    format!("{:.1} s", began.elapsed().as_secs_f64())
}

/// Runs the golden-file tests of all crates; each of them has `golden` in its name.
pub(crate) async fn bless() -> Result {
    on_postgres(&["test", "--workspace", "--locked", "golden"], &[("FREEHOLD_BLESS", "1")]).await
}

/// Runs cargo beside a PostgreSQL of its own.
pub(crate) async fn on_postgres(arguments: &[&str], variables: &[(&str, &str)]) -> Result {
    let cluster = Cluster::start()?;
    let url = cluster.url();
    let variables = [variables, &[(TEST_VARIABLE, url.as_str())]].concat();
    cargo(arguments, &variables).await.map_err(|words| format!("{words}\nthe last lines of PostgreSQL's log:\n{}", cluster.log_tail()))
}

/// Runs cargo in the workspace, its output going where this program's goes.
pub(crate) async fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let words = format!("cargo {}", arguments.join(" "));
    eprintln!("   {words}");
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(workspace())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| format!("cannot run `{words}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{words}` ended with {}", ending(status))) }
}

pub(crate) fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}
