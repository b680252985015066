//! `freehold exports`.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value as Json, json};

use crate::client::call::Call;
use crate::client::connection::{Connection, ConnectionArgs, OrganizationArgs};
use crate::client::failure::{Code, Failure, Result};
use crate::client::output::{Column, OutputArgs, cell, note, shows_progress, text};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WHAT", "root"),
    ("NAME", "subjectLabel"),
    ("STATE", "state"),
    ("ROWS", "rowsDone"),
    ("BYTES", "bytes"),
    ("ORDERED", "createdAt"),
    ("EXPIRES", "expiresAt"),
];

/// How long to wait between two looks at an export.
const PACE: Duration = Duration::from_millis(250);
const ROWS: &str = "{bar:30} {pos} of {len} rows, {elapsed}";
const BYTES: &str = "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}";

#[derive(Args)]
pub(crate) struct ExportsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    organization: OrganizationArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Order an export of the organization, or of one customer.
    Create {
        /// Only this customer, by its id.
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Wait until it can be downloaded. The progress goes to standard error.
        #[arg(long)]
        wait: bool,
    },
    /// List an organization's exports, newest first.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show an export: how far it is, and until when it can be downloaded.
    Show {
        /// The export's id.
        export: String,
        /// Wait until it can be downloaded. The progress goes to standard error.
        #[arg(long)]
        wait: bool,
    },
    /// Download an export's archive into a file.
    Download {
        /// The export's id.
        export: String,
        /// The file, or the folder to put it into [default: freehold-export-ID.zip here].
        #[arg(long, short, value_name = "PATH")]
        to: Option<PathBuf>,
        /// Overwrite a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Delete an export's archive before its time, or stop one that is being made.
    Delete {
        /// The export's id.
        export: String,
    },
}

pub(crate) async fn run(args: ExportsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::Create { customer, wait } => {
            let organization = args.organization.find(&mut connection).await?;
            let call = match customer {
                None => Call::post_nothing(["api", "organizations", &organization, "exports"]),
                Some(customer) => Call::post_nothing(["api", "organizations", &organization, "customers", customer, "exports"]),
            };
            let ordered = connection.ask(&call).await?;
            let export = text(&ordered["id"]);
            args.output.record(&if *wait { watch(&mut connection, &export).await? } else { ordered })
        }
        Command::List { limit } => {
            let organization = args.organization.find(&mut connection).await?;
            let call = Call::get(["api", "organizations", &organization, "exports"]);
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { export, wait: true } => args.output.record(&watch(&mut connection, export).await?),
        Command::Show { export, wait: false } => args.output.record(&connection.ask(&Call::get(["api", "exports", export])).await?),
        Command::Delete { export } => {
            connection.tell(&Call::delete(["api", "exports", export])).await?;
            args.output.record(&json!({"id": export}))
        }
        Command::Download { export, to, force } => {
            let path = target(to.as_deref(), export);
            let bytes = download(&mut connection, export, &path, *force).await?;
            args.output.record(&json!({"file": path.display().to_string(), "bytes": bytes}))
        }
    }
}

/// Looks at an export until it can be downloaded or never will be.
async fn watch(connection: &mut Connection, export: &str) -> Result<Json> {
    let call = Call::get(["api", "exports", export]);
    let bar = bar(ROWS);
    let mut told = String::new();
    loop {
        let record = connection.ask_patiently(&call).await?;
        let state = cell(&record["state"]);
        if let Some(total) = record["rowsTotal"].as_u64() {
            bar.set_length(total);
        }
        bar.set_position(record["rowsDone"].as_u64().unwrap_or_default());
        // Without a terminal there is no bar: a line for each change of state.
        if bar.is_hidden() && state != told {
            note(&format!("{state}: {} rows", cell(&record["rowsDone"])));
            told.clone_from(&state);
        }
        match state.as_str() {
            "waiting" | "running" => tokio::time::sleep(PACE).await,
            "done" => {
                bar.finish_and_clear();
                return Ok(record);
            }
            _ => {
                bar.finish_and_clear();
                return Err(Failure::other(format!("The export is {state}: {}.", cell(&record["error"]))));
            }
        }
    }
}

/// A progress bar on standard error, hidden when that is no terminal.
fn bar(template: &str) -> ProgressBar {
    let target = if shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, target).with_style(style)
}

fn target(to: Option<&Path>, export: &str) -> PathBuf {
    // What is no id was refused by the server before a file is made; here it must not lead to another folder either.
    let name: String = export.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect();
    let name = format!("freehold-export-{name}.zip");
    match to {
        None => PathBuf::from(name),
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(file) => file.to_owned(),
    }
}

/// Downloads into a draft beside the file, so that a download that broke off is never taken for an archive.
async fn download(connection: &mut Connection, export: &str, path: &Path, force: bool) -> Result<u64> {
    let exists = || {
        Failure::new(
            Code::Usage,
            format!("{} is there already: name another file with --to, or overwrite it with --force.", path.display()),
        )
    };
    if !force && path.exists() {
        return Err(exists());
    }
    let mut answer = connection.receive(&Call::get(["api", "exports", export, "download"]).for_a_file()).await?;
    let bar = bar(BYTES);
    if let Some(length) = answer.length() {
        bar.set_length(length);
    }
    let draft = Draft(path.with_file_name(format!("{}.part-{}", path.file_name().unwrap_or_default().display(), std::process::id())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft.0)?;
    let mut written = 0;
    while let Some(piece) = answer.next().await? {
        let piece = piece.as_ref();
        file.write_all(piece)?;
        written += piece.len() as u64;
        bar.set_position(written);
    }
    bar.finish_and_clear();
    file.sync_all()?;
    if force {
        fs::rename(&draft.0, path)?;
        return Ok(written);
    }
    // A link is made only where nothing is: what came there meanwhile stays.
    match fs::hard_link(&draft.0, path) {
        Ok(()) => Ok(written),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        // A file system without links.
        Err(_) => {
            fs::rename(&draft.0, path)?;
            Ok(written)
        }
    }
}

/// A file that does not outlive the command.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
