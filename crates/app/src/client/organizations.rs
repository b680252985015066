//! `freehold organizations`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Call, ConnectionArgs};
use super::deleting::{DeleteArgs, Subject};
use super::failure::Result;
use super::output::{Column, OutputArgs};

const COLUMNS: &[Column] =
    &[("SLUG", "slug"), ("NAME", "name"), ("PLAN", "plan"), ("SUBSCRIPTION", "subscriptionStatus"), ("CREATED", "createdAt"), ("ID", "id")];

#[derive(Args)]
pub(crate) struct OrganizationsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an organization. You are its owner.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// Its name in addresses: lower-case letters, digits and dashes; unique and unchanging.
        #[arg(long)]
        slug: String,
    },
    /// List the organizations that the credential is good for.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show an organization.
    Show {
        /// Its slug or id.
        organization: String,
    },
    /// Delete an organization and everything in it, for good.
    Delete {
        /// Its slug or id.
        organization: String,
        /// Erase nothing before an export of all of it is there to be fetched.
        #[arg(long)]
        export: bool,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(super) async fn run(args: OrganizationsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::Create { name, slug } => {
            let call = Call::post(["api", "organizations"], json!({"name": name, "slug": slug}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::List { limit } => {
            let organizations = connection.list(&Call::get(["api", "organizations"]), *limit).await?;
            args.output.list(organizations, COLUMNS)
        }
        Command::Show { organization } => args.output.record(&connection.ask(&Call::get(["api", "organizations", organization])).await?),
        Command::Delete { organization, export, delete } => {
            let subject = Subject {
                given: organization,
                name: "slug",
                record: Call::get(["api", "organizations", organization]),
                plan: Call::get(["api", "organizations", organization, "deletion-plan"]),
                deletion: Call::delete(["api", "organizations", organization]).with("export", export.then_some("true")),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
