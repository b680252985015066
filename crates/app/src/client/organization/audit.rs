//! `freehold audit`.

use std::collections::HashSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::client::call::Call;
use crate::client::connection::{Connection, ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{OutputArgs, cell, line, print, text};

/// How long to wait between two looks at the trail.
const PACE: Duration = Duration::from_secs(1);
/// Entries to look at each time: what is committed late stands among the newest, and not always at the top.
const WINDOW: usize = 100;
/// The narrowest that time, outcome, action and subject may be, so that lines which come later stand below the others.
const WIDTHS: [usize; 4] = [24, 9, 22, 30];

#[derive(Args)]
pub(crate) struct AuditArgs {
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
    /// Show the newest entries, the newest last.
    Tail {
        /// Go on with those that come, until interrupted. With --json: one object a line.
        #[arg(long, short)]
        follow: bool,
        /// Entries to begin with.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
}

pub(crate) async fn run(args: AuditArgs) -> Result {
    let Command::Tail { follow, limit } = args.command;
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    let call = Call::get(["api", "organizations", &organization, "audit"]).along_cursor();
    let mut newest = connection.list(&call, Some(if follow { limit.max(WINDOW) } else { limit })).await?;
    let seen: HashSet<String> = newest.iter().map(id).collect();
    newest.truncate(limit);
    newest.reverse();
    if !follow && args.output.json {
        return args.output.document(&json!({"data": newest}));
    }
    show(&args.output, &newest)?;
    if follow { go_on(&mut connection, &call, &args.output, seen).await } else { Ok(()) }
}

/// Shows what comes, until its reader has had enough.
async fn go_on(connection: &mut Connection, call: &Call<'_>, output: &OutputArgs, mut seen: HashSet<String>) -> Result {
    loop {
        tokio::time::sleep(PACE).await;
        let window = since(connection, call, &seen).await?;
        let fresh: Vec<Json> = window.iter().rev().filter(|entry| !seen.contains(&id(entry))).cloned().collect();
        show(output, &fresh)?;
        seen = window.iter().map(id).collect();
    }
}

fn id(entry: &Json) -> String {
    text(&entry["id"])
}

/// The newest entries, down to some that have been seen.
async fn since(connection: &mut Connection, call: &Call<'_>, seen: &HashSet<String>) -> Result<Vec<Json>> {
    let mut size = WINDOW;
    loop {
        let window = connection.list_patiently(call, size).await?;
        let has_met = window.len() < size || window.last().is_none_or(|oldest| seen.contains(&id(oldest)));
        if has_met || seen.is_empty() {
            return Ok(window);
        }
        size *= 2;
    }
}

fn show(output: &OutputArgs, entries: &[Json]) -> Result {
    for entry in entries {
        match output.json {
            true => print(&entry.to_string())?,
            false => print(&told(entry))?,
        }
    }
    Ok(())
}

/// When, with which outcome, what, to which subject, by which actor and why.
fn told(entry: &Json) -> String {
    let name = if entry["subjectLabel"].is_null() { &entry["subjectId"] } else { &entry["subjectLabel"] };
    let subject = format!("{} {}", cell(&entry["subject"]), cell(name));
    let mut row = vec![cell(&entry["createdAt"]), cell(&entry["outcome"]), cell(&entry["action"]), subject];
    row.push(format!("{} {}", cell(&entry["actor"]), text(&entry["actorId"])));
    row.extend(["reason", "detail"].into_iter().filter(|field| entry[*field].is_string()).map(|field| text(&entry[field])));
    let widths: Vec<usize> = WIDTHS.into_iter().chain(std::iter::repeat(0)).take(row.len()).collect();
    line(&row, &widths)
}
