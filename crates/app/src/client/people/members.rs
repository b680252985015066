//! `freehold members`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] = &[("ID", "id"), ("EMAIL", "email"), ("NAME", "name"), ("ROLE", "role"), ("SINCE", "createdAt")];

#[derive(Args)]
pub(crate) struct MembersArgs {
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
    /// List the members, the longest-standing first.
    List {
        /// Only those with this role.
        #[arg(long)]
        role: Option<String>,
        /// Only those whose name or address has this in it.
        #[arg(long, value_name = "TEXT")]
        q: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a member.
    Show {
        /// The membership's id, as `list` shows it.
        member: String,
    },
    /// Invite a person. The invitation's secret is shown this once.
    Invite {
        /// The person's address.
        #[arg(long)]
        email: String,
        /// owner, admin, master, reseller, member, billing or viewer [default: member].
        #[arg(long)]
        role: Option<String>,
    },
    /// Give a member another role. It counts from the answer on.
    Role {
        /// The membership's id, as `list` shows it.
        member: String,
        /// owner, admin, master, reseller, member, billing or viewer.
        role: String,
    },
    /// Remove a member, or leave: access ends at once.
    Remove {
        /// The membership's id, as `list` shows it.
        member: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(crate) async fn run(args: MembersArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::List { role, q, limit } => {
            let call = Call::get(["api", "organizations", &organization, "members"]).with("role", role.as_deref()).with("q", q.as_deref());
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Role { member, role } => {
            let call = Call::put(["api", "organizations", &organization, "members", member, "role"], json!({"role": role}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Invite { email, role } => {
            let body = json!({"email": email, "role": role});
            let invitation = connection.ask(&Call::post(["api", "organizations", &organization, "members", "invite"], body)).await?;
            note("The token accepts the invitation. It is shown this once.");
            args.output.record(&invitation)
        }
        Command::Show { member } => {
            args.output.record(&connection.ask(&Call::get(["api", "organizations", &organization, "members", member])).await?)
        }
        Command::Remove { member, delete } => {
            let subject = Subject {
                given: member,
                name: "id",
                record: Call::get(["api", "organizations", &organization, "members", member]),
                plan: Call::get(["api", "organizations", &organization, "members", member, "deletion-plan"]),
                deletion: Call::delete(["api", "organizations", &organization, "members", member]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
