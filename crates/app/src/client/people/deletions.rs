//! `freehold deletions`.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;

use crate::client::call::Call;
use crate::client::connection::{Connection, ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, cell, note, shows_progress, text};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WHAT", "root"),
    ("NAME", "subjectLabel"),
    ("STATE", "state"),
    ("STAGE", "stage"),
    ("ROWS", "rowsDone"),
    ("WAITS FOR", "waitingFor"),
    ("BEGAN", "createdAt"),
    ("COMPLETED", "completedAt"),
];

const ITEM_COLUMNS: &[Column] =
    &[("NUMBER", "number"), ("CUSTOMER", "customerId"), ("OUTCOME", "outcome"), ("WHY", "detail"), ("DELETION", "deletionId")];

const EFFECT_COLUMNS: &[Column] = &[
    ("TO", "to"),
    ("ACTION", "action"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("ANSWER", "responseStatus"),
    ("ID", "id"),
    ("ERROR", "error"),
];

/// An item that was blocked says so in its blockers: for a table, in its detail too.
fn with_reason(mut item: Json) -> Json {
    let blockers: Vec<String> = item["blockers"].as_array().into_iter().flatten().map(|blocker| text(&blocker["detail"])).collect();
    if !blockers.is_empty() && item["detail"].is_null() {
        item["detail"] = blockers.join(" ").into();
    }
    item
}

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

/// The states of a list. The word of before is taken as well.
fn states() -> PossibleValuesParser {
    let words = ["reversible", "closed", "draining", "completed", "restored", "open"].map(PossibleValue::new);
    PossibleValuesParser::new(words.map(|word| if word.get_name() == "completed" { word.alias("sealed") } else { word }))
}

#[derive(Subcommand)]
enum Command {
    /// List deletions, newest first: of the organization named, otherwise of all whose deletions one may read.
    List {
        /// Only those in this state; open are those neither completed nor taken back.
        #[arg(long, value_parser = states())]
        state: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a deletion: how far it is, what it waits for and what would let it go on, and its receipt.
    Show {
        /// The deletion's id.
        deletion: String,
    },
    /// Take a deletion back that is in its grace period: what it deleted is there again as it was, but for keys, tokens and sessions.
    Restore {
        /// The deletion's id.
        deletion: String,
    },
    /// Stop a purge: who was deleted stays deleted, and no one else is.
    Stop {
        /// The deletion's id.
        deletion: String,
    },
    /// List what became of each customer of a purge.
    Items {
        /// The deletion's id.
        deletion: String,
        /// Only those of this outcome.
        #[arg(long, value_parser = ["deleted", "blocked", "refused", "not_found", "repeated", "stopped"])]
        outcome: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// List what a deletion does outside: what it tells webhooks and changes at the payment provider, and what came of it.
    Effects {
        /// The deletion's id.
        deletion: String,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Wait until a deletion is completed, that is until nothing is left, and show its receipt. The progress goes to standard error.
    Watch {
        /// The deletion's id.
        deletion: String,
    },
}

pub(crate) async fn run(args: DeletionsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::List { state, limit } => {
            let call = Call::get(["api", "deletions"]).with("organization", args.organization.named()).with("state", state.clone());
            let call = call.along_cursor();
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { deletion } => args.output.record(&connection.ask(&Call::get(["api", "deletions", deletion])).await?),
        Command::Restore { deletion } => {
            args.output.record(&connection.ask(&Call::post_nothing(["api", "deletions", deletion, "restore"])).await?)
        }
        Command::Stop { deletion } => {
            args.output.record(&connection.ask(&Call::post_nothing(["api", "deletions", deletion, "stop"])).await?)
        }
        Command::Items { deletion, outcome, limit } => {
            let call = Call::get(["api", "deletions", deletion, "items"]).with("outcome", outcome.clone()).along_cursor();
            let items = connection.list(&call, *limit).await?;
            let items = if args.output.json { items } else { items.into_iter().map(with_reason).collect() };
            args.output.list(items, ITEM_COLUMNS)
        }
        Command::Effects { deletion, limit } => {
            let effects = connection.list(&Call::get(["api", "deletions", deletion, "effects"]), *limit).await?;
            args.output.list(effects, EFFECT_COLUMNS)
        }
        Command::Watch { deletion } => args.output.record(&watch(&mut connection, deletion).await?),
    }
}

/// Looks at a deletion until it is completed, or taken back: a bar at a terminal, otherwise a line for each change.
pub(crate) async fn watch(connection: &mut Connection, deletion: &str) -> Result<Json> {
    let call = Call::get(["api", "deletions", deletion]);
    let mut screen = Screen::new();
    loop {
        let record = match connection.ask_patiently(&call).await {
            Ok(record) => record,
            Err(failure) => {
                screen.wipe();
                return Err(failure);
            }
        };
        screen.show(&record);
        if is_over(&record) {
            screen.wipe();
            return Ok(record);
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Where a person sees how far it is: standard error, as a terminal or as lines.
struct Screen {
    bar: Option<ProgressBar>,
    told: String,
}

impl Screen {
    fn new() -> Screen {
        Screen { bar: shows_progress().then(ProgressBar::no_length), told: String::new() }
    }

    fn show(&mut self, record: &Json) {
        let Some(bar) = &self.bar else {
            let progress = progress(record);
            if progress != self.told {
                note(&progress);
                self.told = progress;
            }
            return;
        };
        let done = record["rowsDone"].as_u64().unwrap_or(0);
        let template = match record["rowsToDo"].as_u64() {
            Some(left) => {
                bar.set_length(done + left);
                "{bar:30} {human_pos}/{human_len} rows {msg}"
            }
            None => "{spinner} {human_pos} rows {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(speed(record) + &conditions(record));
        bar.set_position(done);
    }

    /// Leaves the terminal to what comes next.
    fn wipe(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn progress(record: &Json) -> String {
    let ahead = record["rowsToDo"].as_u64().filter(|_| !is_over(record)).map(|left| format!(" of about {}", left + rows(record)));
    let ahead = ahead.unwrap_or_default();
    format!("{}: {} rows{ahead} in {} batches{}", cell(&record["state"]), rows(record), cell(&record["batches"]), conditions(record))
}

fn is_over(record: &Json) -> bool {
    record["state"] == "completed" || record["state"] == "restored"
}

fn rows(record: &Json) -> u64 {
    record["rowsDone"].as_u64().unwrap_or(0)
}

fn speed(record: &Json) -> String {
    let stage = record["stage"].as_str().map_or_else(String::new, |_| format!("at {}", text(&record["stage"])));
    let rate = record["rate"].as_u64().map_or_else(String::new, |rate| format!(", {rate} a second"));
    let end = record["etaSeconds"].as_u64().map_or_else(String::new, |seconds| format!(", {seconds} s to go"));
    stage + &rate + &end
}

/// What it waits for, and what would let it go on.
fn conditions(record: &Json) -> String {
    let told = |condition: &Json| {
        format!(" — waits since {}: {} {}", text(&condition["since"]), text(&condition["detail"]), text(&condition["remedy"]))
    };
    record["conditions"].as_array().into_iter().flatten().map(told).collect()
}
