//! The binary: `freehold serve`, `freehold operators`, `freehold doctor`, and the client commands for what is done by hand.

mod backups;
mod client;
mod connections;
mod demo;
mod doctor;
mod log;
mod operators;
mod serve;
mod settings;
mod timeouts;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use plane::encryption::{KeySource, SecretKeys};
use plane::ledger::LedgerPlace;
use plane::retention::{self, Periods, Retention};
use plane::storage::Place;

#[derive(Parser)]
#[command(version, about = "The account plane a SaaS product owns instead of rents.", after_help = format!("{}\n\n{}", client::BEGINNING, client::EXIT_CODES))]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Say what is wrong with the settings of `serve`, or what each is and where it comes from: flag, environment, configuration file, default.
    CheckConfig(serve::ServeArgs),
    /// The people who run this server: list, add, remove; and a new password for anybody. While no server uses the database.
    #[command(subcommand)]
    Operators(operators::Operators),
    /// What `serve --demo` made.
    #[command(subcommand)]
    Demo(demo::Demo),
    /// Write everything into a file, also while a server uses the database.
    Backup(backups::FileArgs),
    /// Put everything that a backup holds into a database that is empty or not there yet.
    Restore(backups::FileArgs),
    /// Put everything of one database into another one of either engine, which is empty or not there yet, while no server uses them.
    Move(backups::MoveArgs),
    /// Look a database over: schema, integrity, what deletions left, what is stuck or overdue. Every finding names its remedy.
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::DoctorArgs),
    #[command(flatten)]
    Client(client::Command),
}

/// Where the data is.
#[derive(Args)]
struct DatabaseArgs {
    /// PostgreSQL's address, such as postgres://user@host/database. Without it the embedded SQLite in the data folder is used.
    #[arg(long, env = "FREEHOLD_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The data folder of the embedded database. It is created.
    #[arg(long, env = "FREEHOLD_DATA", default_value = "data")]
    data: PathBuf,
    /// The folder of the ledger, which tells a database that was restored what was deleted since; `none` for none [default: ledger in the data
    /// folder of an embedded database, none for PostgreSQL]. Best on another disk than the database.
    #[arg(long, env = "FREEHOLD_LEDGER", value_name = "FOLDER")]
    ledger: Option<PathBuf>,
    // Read by settings.rs, before there are arguments.
    /// A file with settings in TOML, under the long names of the flags. Flags and environment variables go before it.
    #[arg(long, env = "FREEHOLD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The schema of a PostgreSQL database that has the tables. It is created [default: the one that has them; for a new database public, or
    /// freehold where others have put something there].
    #[arg(long, env = "FREEHOLD_SCHEMA", value_name = "NAME")]
    schema: Option<String>,
}

impl DatabaseArgs {
    fn options(&self) -> plane::DatabaseOptions {
        let url = self.database_url.clone().filter(|url| !url.is_empty());
        let url = url.unwrap_or_else(|| format!("sqlite:{}", self.data.join("freehold.db").display()));
        plane::DatabaseOptions { schema: self.schema.clone(), ..plane::DatabaseOptions::new(url) }
    }

    /// Where what has the database to itself keeps the ledger.
    fn ledger(&self) -> LedgerPlace {
        let is_embedded = self.options().url.starts_with("sqlite:");
        match &self.ledger {
            Some(folder) if folder == Path::new("none") => LedgerPlace::Nowhere,
            Some(folder) => LedgerPlace::Folder(folder.clone()),
            None if is_embedded => LedgerPlace::Folder(self.data.join("ledger")),
            None => LedgerPlace::Unsaid,
        }
    }
}

/// The keys that secrets in the database are encrypted with.
#[derive(Args)]
struct SecretKeyArgs {
    /// A file with the key that secrets in the database are encrypted with, 32 bytes in base64; of several the first encrypts [default: secret.key in
    /// the data folder, which is made for an embedded database].
    #[arg(long, env = "FREEHOLD_SECRET_KEY_FILE", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// The key itself, in the place of a file. Better in the environment: others see the command line.
    #[arg(long, env = "FREEHOLD_SECRET_KEY", hide_env_values = true, value_name = "KEY")]
    secret_key: Option<String>,
}

impl SecretKeyArgs {
    fn source(&self, database: &DatabaseArgs) -> Outcome<KeySource> {
        let text = self.secret_key.as_deref().filter(|text| !text.is_empty());
        Ok(match (&self.secret_key_file, text) {
            (Some(_), Some(_)) => return Err("name the secret key in one way: with --secret-key-file or with FREEHOLD_SECRET_KEY".into()),
            (Some(file), None) => KeySource::Keys(SecretKeys::read(file)?),
            (None, Some(text)) => KeySource::Keys(SecretKeys::parse(text).map_err(|error| format!("FREEHOLD_SECRET_KEY: {error}"))?),
            (None, None) => KeySource::in_folder(&database.data),
        })
    }
}

/// Where archives of exports are.
#[derive(Args)]
struct ExportsArgs {
    /// The folder for archives of exports, or a bucket like s3://bucket/prefix [default: exports in the data folder]. A folder is made, and is on this
    /// server's disk whatever the database. A bucket's endpoint, region and credentials are in the AWS_… variables of the environment.
    #[arg(long, env = "FREEHOLD_EXPORTS", value_name = "PLACE")]
    exports: Option<Place>,
}

impl ExportsArgs {
    fn place(&self, database: &DatabaseArgs) -> Place {
        self.exports.clone().unwrap_or_else(|| Place::Folder(database.data.join("exports")))
    }
}

/// How long things are kept.
#[derive(Args)]
struct RetentionArgs {
    #[arg(long, env = "FREEHOLD_RETENTION", value_name = "NAME=DAYS", value_delimiter = ',', help = Retention::help())]
    retention: Vec<retention::Setting>,
}

impl RetentionArgs {
    fn periods(&self) -> Periods {
        Periods::new(&self.retention)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// One line a record, for people.
    Text,
    /// One JSON object a record, for machines.
    Json,
}

/// How a server ends one of whose background jobs has ended too often: an internal error (`sysexits.h`).
const GAVE_UP: u8 = 70;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}"), ExitCode::FAILURE),
    };
    let code = runtime.block_on(run());
    // What still hangs now does not keep the process.
    runtime.shutdown_background();
    code
}

async fn run() -> ExitCode {
    let command = match settings::parse() {
        Ok(settings::Parsed::Command(cli)) => cli.command,
        Ok(settings::Parsed::Checked(code)) => return code,
        // Help is no failure; a command line that is wrong is told in the form that was asked for.
        Err(error) if error.use_stderr() && client::is_for_programs() => return client::Failure::of_command_line(&error).tell(),
        Err(error) => error.exit(),
    };
    let outcome = match command {
        // The second never comes here.
        Command::Serve(args) | Command::CheckConfig(args) => serve::run(args).await,
        Command::Backup(args) => backups::back_up(args).await,
        Command::Restore(args) => backups::restore(args).await,
        Command::Move(args) => backups::move_between(args).await,
        Command::Operators(command) => operators::run(command).await,
        Command::Demo(command) => demo::run(command).await,
        Command::Doctor(args) => return doctor::run(args).await,
        Command::Client(command) => {
            return match client::run(command).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => failure.tell(),
            };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The log says it already.
        Err(error) if error.is::<plane::jobs::GaveUp>() => GAVE_UP.into(),
        Err(error) => fail(&error.to_string(), ExitCode::FAILURE),
    }
}

/// Tells why the program ends. A reader that went away is not an error.
fn fail(words: &str, code: ExitCode) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "freehold: {words}");
    code
}

/// An error of the command line: its words are for the person who typed the command.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Writes a line to standard output. A reader that went away is not an error.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
