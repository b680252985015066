//! `freehold customers`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Call, ConnectionArgs, OrganizationArgs};
use super::deleting::{DeleteArgs, Subject};
use super::failure::Result;
use super::output::{Column, OutputArgs};
use super::purging::PurgeArgs;

const COLUMNS: &[Column] = &[("ID", "id"), ("NAME", "name"), ("EMAIL", "email"), ("PHONE", "phone"), ("CREATED", "createdAt")];

#[derive(Args)]
pub(crate) struct CustomersArgs {
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
    /// List the customers.
    List {
        /// Only those whose name, email or id has this in it.
        #[arg(long, value_name = "TEXT")]
        q: Option<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a customer.
    Show {
        /// The customer's id.
        customer: String,
    },
    /// Make a customer.
    Create {
        /// The customer's name.
        #[arg(long)]
        name: String,
        /// The customer's address.
        #[arg(long)]
        email: String,
        /// An id of your own, unique in the organization [default: made up].
        #[arg(long)]
        id: Option<String>,
    },
    /// Make a customer read-only. Its sessions and devices go; all else is kept.
    Archive {
        /// The customer's id.
        customer: String,
    },
    /// Make an archived customer writable again.
    Unarchive {
        /// The customer's id.
        customer: String,
    },
    /// Delete a customer: marked as deleted, no longer readable, kept for audit.
    Delete {
        /// The customer's id.
        customer: String,
        /// Erase the customer for good instead, with everything it owns.
        #[arg(long)]
        hard: bool,
        /// Erase nothing before an export of all of it is there to be fetched.
        #[arg(long)]
        export: bool,
        #[command(flatten)]
        delete: DeleteArgs,
    },
    /// Delete many customers at once, for good: those that meet all criteria given, or those of a list. Without --force they are counted.
    Purge(Box<PurgeArgs>),
}

pub(super) async fn run(args: CustomersArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::List { q, limit } => {
            let call = Call::get(["api", "organizations", &organization, "customers"]).with("q", q.as_deref()).along_cursor();
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { customer } => {
            args.output.record(&connection.ask(&Call::get(["api", "organizations", &organization, "customers", customer])).await?)
        }
        Command::Create { name, email, id } => {
            let body = json!({"id": id, "name": name, "email": email});
            args.output.record(&connection.ask(&Call::post(["api", "organizations", &organization, "customers"], body)).await?)
        }
        Command::Archive { customer } => args
            .output
            .record(&connection.ask(&Call::post_nothing(["api", "organizations", &organization, "customers", customer, "archive"])).await?),
        Command::Unarchive { customer } => args.output.record(
            &connection.ask(&Call::post_nothing(["api", "organizations", &organization, "customers", customer, "unarchive"])).await?,
        ),
        Command::Delete { customer, hard, export, delete } => {
            let hard = hard.then_some("true");
            let subject = Subject {
                given: customer,
                name: "id",
                record: Call::get(["customer", customer]).of_organization(&organization),
                plan: Call::get(["customer", customer, "deletion-plan"]).of_organization(&organization).with("hard", hard),
                deletion: Call::delete(["customer", customer])
                    .of_organization(&organization)
                    .with("hard", hard)
                    .with("export", export.then_some("true")),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
        Command::Purge(purge) => purge.run(&mut connection, &args.output, &organization).await,
    }
}
