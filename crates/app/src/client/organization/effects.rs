//! `freehold effects`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::connection::ConnectionArgs;
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("ACTION", "action"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("ANSWER", "responseStatus"),
    ("NEXT ATTEMPT", "nextAttemptAt"),
    ("DELETION", "deletionId"),
    ("ERROR", "error"),
];

#[derive(Args)]
pub(crate) struct EffectsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List what the server does outside by itself and has not done yet, newest first.
    List {
        /// Those in this state.
        #[arg(long, value_parser = ["pending", "delivered", "failed"])]
        state: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show one, with its last error and what would let it go on.
    Show {
        /// The effect's id.
        effect: String,
    },
    /// Have one tried again at once, and for three days from now.
    Retry {
        /// The effect's id.
        effect: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// Give one up: the deletion that waits for it goes on without it. Do by hand first what it was to do.
    GiveUp {
        /// The effect's id.
        effect: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: EffectsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::List { state, limit } => {
            let call = Call::get(["api", "operator", "effects"]).with("state", state.clone()).along_cursor();
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { effect } => args.output.record(&connection.ask(&Call::get(["api", "operator", "effects", effect])).await?),
        Command::Retry { effect, reason } => {
            let call = Call::post(["api", "operator", "effects", effect, "retry"], json!({"reason": reason}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::GiveUp { effect, reason } => {
            let call = Call::post(["api", "operator", "effects", effect, "give-up"], json!({"reason": reason}));
            args.output.record(&connection.ask(&call).await?)
        }
    }
}
