//! `freehold invites`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};
use crate::client::prompt;

const COLUMNS: &[Column] =
    &[("ID", "id"), ("EMAIL", "email"), ("ROLE", "role"), ("STATUS", "status"), ("MADE", "createdAt"), ("EXPIRES", "expiresAt")];

#[derive(Args)]
pub(crate) struct InvitesArgs {
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
    /// List the invitations, newest first: also those that can no longer be accepted.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Cancel an invitation: it stays in the list and can no longer be accepted. `members invite` makes another.
    Cancel {
        /// The invitation's id, as `list` shows it.
        invitation: String,
        /// Why, for the audit trail. No personal data, please.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Cancel nothing: show what it would do.
        #[arg(long)]
        validate_only: bool,
    },
    /// Accept an invitation to your address and become a member. Needs a session, not a key.
    Accept {
        /// The invitation's secret [default: asked for, or read from standard input: others can see a command line].
        secret: Option<String>,
    },
}

pub(crate) async fn run(args: InvitesArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::List { limit } => {
            let organization = args.organization.find(&mut connection).await?;
            let invitations = connection.list(&Call::get(["api", "organizations", &organization, "invites"]), *limit).await?;
            args.output.list(invitations, COLUMNS)
        }
        Command::Cancel { invitation, validate_only: true, .. } => {
            let organization = args.organization.find(&mut connection).await?;
            let call = Call::get(["api", "organizations", &organization, "invites", invitation, "deletion-plan"]);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Cancel { invitation, reason, validate_only: false } => {
            let organization = args.organization.find(&mut connection).await?;
            let call = Call::delete(["api", "organizations", &organization, "invites", invitation]).with("reason", reason.as_deref());
            args.output.record(&json!({"deletionId": connection.delete(&call).await?}))
        }
        Command::Accept { secret } => {
            let secret = match secret {
                Some(secret) => secret.clone(),
                None => prompt::secret("Secret of the invitation: ")?,
            };
            args.output.record(&connection.ask(&Call::post(["api", "invites", "accept"], json!({"token": secret}))).await?)
        }
    }
}
