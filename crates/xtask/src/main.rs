//! The developers' commands, run as `cargo xtask …`: check everything, bless golden files, start a PostgreSQL to test against.
//!
//! Nothing of the product lives here, and no product crate is linked: what a command checks, it checks from the outside.

#[expect(clippy::print_stdout, reason = "figures are what this command is for")]
mod bench;
mod freehold;
mod machine;
mod outside;
mod postgres;
mod release;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::steps::Step;

/// What every command returns: nothing, or the words for the developer.
type Result<T = ()> = std::result::Result<T, String>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Freehold")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone)]
enum Command {
    /// Checks formatting and lints, then runs every test on SQLite and on a throw-away PostgreSQL. What the build server runs.
    Test {
        /// Runs one step alone.
        #[arg(long, value_name = "NAME")]
        only: Option<Step>,
        /// Also runs what takes long, as a build server does at night: schemathesis with several seeds and credentials, 200 backups under load.
        #[arg(long)]
        long: bool,
    },
    /// Kills, power failures, full disks, wrong clocks, frozen and lost databases, restores: runs the fault tests at length and prints what they
    /// counted. Their short forms are in `test`.
    Faults,
    /// Runs the golden-file tests and lets them write what they found: review the difference before you commit it.
    Bless,
    /// Measures the server and prints ratios.
    Bench(bench::BenchArgs),
    /// What the bench holds the server against.
    #[command(hide = true)]
    Bare(bench::BareArgs),
    /// Builds a binary for any Linux of this architecture, whatever its C library, into target/dist.
    Release,
    /// Starts a throw-away PostgreSQL for single runs of `cargo test`; ends with Ctrl-C or the end of its input.
    Postgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let outcome = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => until_stopped(command, interrupt, terminate).await,
        (Err(error), _) | (_, Err(error)) => Err(format!("cannot listen for signals: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("xtask: {words}");
            ExitCode::FAILURE
        }
    }
}

/// A signal drops the running command, and with it its child processes and its PostgreSQL.
async fn until_stopped(command: Command, mut interrupt: Signal, mut terminate: Signal) -> Result {
    tokio::select! {
        biased;
        _ = interrupt.recv() => stopped(&command),
        _ = terminate.recv() => stopped(&command),
        outcome = run(command.clone()) => outcome,
    }
}

fn stopped(command: &Command) -> Result {
    match command {
        Command::Postgres | Command::Bare(_) => Ok(()),
        Command::Test { .. } | Command::Faults | Command::Bless | Command::Bench(_) | Command::Release => {
            Err("stopped by a signal before the end".into())
        }
    }
}

async fn run(command: Command) -> Result {
    match command {
        Command::Test { only, long } => steps::test(only, long).await,
        Command::Faults => steps::faults().await,
        Command::Bless => steps::bless().await,
        Command::Bench(arguments) => bench::run(arguments).await,
        Command::Bare(arguments) => bench::bare(arguments).await,
        Command::Release => release::release().await,
        Command::Postgres => postgres::serve().await,
    }
}
