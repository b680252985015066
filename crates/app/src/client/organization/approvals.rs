//! `freehold approvals`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("WHAT", "subject"),
    ("NAME", "subjectLabel"),
    ("SUBJECT ID", "subjectId"),
    ("APPROVED BY", "approvedBy"),
    ("UNTIL", "expiresAt"),
    ("REASON", "reason"),
];

#[derive(Args)]
pub(crate) struct ApprovalsArgs {
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
    /// Approve, as an owner who has signed in, that another member deletes the organization, a customer or a member, or asks for less.
    Give {
        /// Only this customer, by its id.
        #[arg(long, value_name = "ID", conflicts_with_all = ["member", "requirements"])]
        customer: Option<String>,
        /// Only this member, by the membership's id.
        #[arg(long, value_name = "ID", conflicts_with = "requirements")]
        member: Option<String>,
        /// Not a deletion, but that less is asked of those who delete.
        #[arg(long)]
        requirements: bool,
        /// Why, for the audit trail. No personal data, please.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List the approvals that can still be used, newest first.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Take an approval back.
    Withdraw {
        /// The approval's id.
        approval: String,
    },
}

pub(crate) async fn run(args: ApprovalsArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::Give { customer, member, requirements, reason } => {
            let body = json!({"reason": reason});
            let call = match (customer, member) {
                (Some(customer), _) => {
                    Call::post(["api", "organizations", &organization, "customers", customer, "deletion-approvals"], body)
                }
                (None, Some(member)) => Call::post(["api", "organizations", &organization, "members", member, "deletion-approvals"], body),
                (None, None) if *requirements => {
                    Call::post(["api", "organizations", &organization, "deletion-requirements", "approvals"], body)
                }
                (None, None) => Call::post(["api", "organizations", &organization, "deletion-approvals"], body),
            };
            args.output.record(&connection.ask(&call).await?)
        }
        Command::List { limit } => {
            let call = Call::get(["api", "organizations", &organization, "deletion-approvals"]);
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Withdraw { approval } => {
            connection.tell(&Call::delete(["api", "organizations", &organization, "deletion-approvals", approval])).await?;
            note("Taken back: it can no longer be used.");
            args.output.record(&json!({"id": approval}))
        }
    }
}
