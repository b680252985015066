//! `freehold records`: what customers own.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::call::Call;
use super::connection::{ConnectionArgs, OrganizationArgs};
use super::failure::{Failure, Result};
use super::output::{Column, OutputArgs, fields, note, report, text};
use super::prompt::{confirm, will_ask};

const KINDS: [&str; 5] = ["subscriptions", "transactions", "devices", "sessions", "activity"];

#[derive(Args)]
pub(crate) struct RecordsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    organization: OrganizationArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The customer's id.
    #[arg(long, value_name = "ID", global = true)]
    customer: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List one kind of what a customer owns, newest first.
    List {
        #[command(flatten)]
        kind: Kind,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show an entry.
    Show {
        #[command(flatten)]
        kind: Kind,
        /// The entry's id.
        id: String,
    },
    /// Add an entry.
    Create {
        #[command(flatten)]
        kind: Kind,
        /// Its fields, such as '{"name":"Laptop"}': /docs lists them.
        #[arg(long, value_name = "JSON")]
        data: String,
    },
    /// Change an entry: what is missing stays.
    Update {
        #[command(flatten)]
        kind: Kind,
        /// The entry's id.
        id: String,
        /// Its fields, such as '{"name":"Laptop"}': /docs lists them.
        #[arg(long, value_name = "JSON")]
        data: String,
    },
    /// Disconnect a device or end a session: the entry is erased at once.
    Delete {
        /// What it is.
        #[arg(value_parser = REMOVABLE)]
        kind: String,
        /// The entry's id.
        id: String,
        /// Confirms without asking: the entry's id, exactly.
        #[arg(long, value_name = "ID")]
        yes: Option<String>,
        /// Why, for the audit trail. No personal data, please.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// What can be removed of a customer.
const REMOVABLE: [&str; 2] = ["devices", "sessions"];

#[derive(Args)]
struct Kind {
    /// What the customer owns.
    #[arg(value_parser = KINDS)]
    kind: String,
}

pub(super) async fn run(args: RecordsArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    let customer = args.customer.as_deref().ok_or_else(|| Failure::usage("Name the customer with --customer."))?;
    match &args.command {
        Command::List { kind: Kind { kind }, limit } => {
            let entries = connection.list(&Call::get(["api", "organizations", &organization, "customers", customer, kind]), *limit).await?;
            args.output.list(entries, columns(kind))
        }
        Command::Show { kind: Kind { kind }, id } => {
            let call = Call::get(["api", "organizations", &organization, "customers", customer, kind, id]);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Create { kind: Kind { kind }, data } => {
            let call = Call::post(["api", "organizations", &organization, "customers", customer, kind], body(data)?);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Update { kind: Kind { kind }, id, data } => {
            let call = Call::patch(["api", "organizations", &organization, "customers", customer, kind, id], body(data)?);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Delete { kind, id, yes, reason } => {
            let path = ["api", "organizations", &organization, "customers", customer, kind, id];
            let record = connection.ask(&Call::get(path)).await?;
            let describe = if will_ask(yes.as_deref()) { report } else { note };
            describe("To be deleted:");
            fields(&record).into_iter().for_each(|line| describe(&format!("  {line}")));
            confirm(&[text(&record["id"]), id.clone()], yes.as_deref())?;
            connection.tell(&Call::delete(path).with("reason", reason.as_deref())).await?;
            args.output.record(&json!({"id": id}))
        }
    }
}

fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "subscriptions" => &[("ID", "id"), ("PLAN", "plan"), ("STATUS", "status"), ("STARTS", "startsAt"), ("ENDS", "endsAt")],
        "transactions" => &[("ID", "id"), ("AMOUNT", "amount"), ("CURRENCY", "currency"), ("STATUS", "status"), ("MADE", "createdAt")],
        "devices" => &[("ID", "id"), ("NAME", "name"), ("PLATFORM", "platform"), ("ADDED", "createdAt")],
        "sessions" => &[("ID", "id"), ("ADDRESS", "ipAddress"), ("CLIENT", "userAgent"), ("BEGAN", "createdAt")],
        _ => &[("ID", "id"), ("KIND", "kind"), ("MESSAGE", "message"), ("HAPPENED", "createdAt")],
    }
}

fn body(data: &str) -> Result<Json> {
    match serde_json::from_str(data) {
        Ok(fields @ Json::Object(_)) => Ok(fields),
        _ => Err(Failure::usage("--data must be a JSON object, such as '{\"name\":\"Laptop\"}'.")),
    }
}
