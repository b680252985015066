//! `freehold deletions`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value as Json;

use super::connection::{Call, Connection, ConnectionArgs, OrganizationArgs};
use super::failure::Result;
use super::output::{Column, OutputArgs, cell, note, text};

const COLUMNS: &[Column] =
    &[("ID", "id"), ("WHAT", "root"), ("NAME", "subjectLabel"), ("STATE", "state"), ("BEGAN", "createdAt"), ("SEALED", "sealedAt")];

/// How long to wait between two looks at a deletion.
const PACE: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct DeletionsArgs {
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
    /// List an organization's deletions, newest first.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a deletion: how far it is, and its receipt.
    Show {
        /// The deletion's id.
        deletion: String,
    },
    /// Wait until a deletion is sealed, that is until nothing is left, and show its receipt. The progress goes to standard error.
    Watch {
        /// The deletion's id.
        deletion: String,
    },
}

pub(super) async fn run(args: DeletionsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::List { limit } => {
            let organization = args.organization.find(&mut connection).await?;
            let call = Call::get(["api", "deletions"]).of_organization(&organization);
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { deletion } => args.output.record(&connection.ask(&Call::get(["api", "deletions", deletion])).await?),
        Command::Watch { deletion } => args.output.record(&watch(&mut connection, deletion).await?),
    }
}

/// Looks at a deletion until it is sealed. A line for each change.
pub(super) async fn watch(connection: &mut Connection, deletion: &str) -> Result<Json> {
    let call = Call::get(["api", "deletions", deletion]);
    let mut told = String::new();
    loop {
        let record = connection.ask_patiently(&call).await?;
        let progress = progress(&record);
        if progress != told {
            note(&progress);
            told = progress;
        }
        if record["state"] == "sealed" {
            return Ok(record);
        }
        tokio::time::sleep(PACE).await;
    }
}

fn progress(record: &Json) -> String {
    let rows: i64 = record["counts"].as_object().into_iter().flatten().filter_map(|(_, rows)| rows.as_i64()).sum();
    let waiting = record["waitingFor"].as_str().map_or_else(String::new, |_| format!(", waiting for {}", text(&record["waitingFor"])));
    format!("{}: {rows} rows in {} batches{waiting}", cell(&record["state"]), cell(&record["batches"]))
}
