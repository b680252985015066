//! `freehold holds`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WHAT", "subject"),
    ("NAME", "subjectLabel"),
    ("SUBJECT ID", "subjectId"),
    ("STATE", "state"),
    ("PLACED", "placedAt"),
    ("UNTIL", "until"),
    ("REASON", "reason"),
];

#[derive(Args)]
pub(crate) struct HoldsArgs {
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
    /// Place a legal hold on the organization, on one customer, or on the user who is a member: nothing deletes it then.
    Place {
        /// Only this customer, by its id.
        #[arg(long, value_name = "ID", conflicts_with = "member")]
        customer: Option<String>,
        /// Only the user who is this member, by the membership's id.
        #[arg(long, value_name = "ID")]
        member: Option<String>,
        /// Why. Those who try to delete are told.
        #[arg(long)]
        reason: String,
        /// When it ends by itself, such as 2030-01-31T12:00:00Z [default: when it is released].
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// List an organization's holds, newest first: also those that are over.
    List {
        /// Only those in this state; active are those in force.
        #[arg(long, value_parser = ["active", "released", "expired"])]
        state: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a hold: who placed it, until when and why, and who released it.
    Show {
        /// The hold's id.
        hold: String,
    },
    /// Release a hold: what it stopped can be ordered again, and deletions that waited for it go on.
    Release {
        /// The hold's id.
        hold: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: HoldsArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::Place { customer, member, reason, until } => {
            let body = json!({"reason": reason, "until": until});
            let call = match (customer, member) {
                (Some(customer), _) => Call::post(["api", "organizations", &organization, "customers", customer, "holds"], body),
                (None, Some(member)) => Call::post(["api", "organizations", &organization, "members", member, "holds"], body),
                (None, None) => Call::post(["api", "organizations", &organization, "holds"], body),
            };
            args.output.record(&connection.ask(&call).await?)
        }
        Command::List { state, limit } => {
            let call = Call::get(["api", "organizations", &organization, "holds"]).with("state", state.clone());
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { hold } => {
            args.output.record(&connection.ask(&Call::get(["api", "organizations", &organization, "holds", hold])).await?)
        }
        Command::Release { hold, reason } => {
            let call = Call::post(["api", "organizations", &organization, "holds", hold, "release"], json!({"reason": reason}));
            args.output.record(&connection.ask(&call).await?)
        }
    }
}
