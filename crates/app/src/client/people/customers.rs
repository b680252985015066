//! `freehold customers`.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::client::call::Call;
use crate::client::changes::{changes, clearable, given, pairs};
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};
use crate::client::purging::PurgeArgs;

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
        /// Only those with this text among their metadata; of several, all must be there.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        /// Those who were softly deleted, in the place of those who are there.
        #[arg(long)]
        deleted: bool,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a customer.
    Show {
        /// The customer's id.
        customer: String,
        /// One who was softly deleted and is kept for audit.
        #[arg(long)]
        deleted: bool,
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
        /// A text among its metadata; several times for several.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// Change a customer: what is not given stays.
    Update(Box<UpdateArgs>),
    /// Add credits to a customer, 30 days each.
    Extend {
        /// The customer's id.
        customer: String,
        /// How many.
        #[arg(long)]
        credits: u32,
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

/// What changes of a customer.
#[derive(Args)]
struct UpdateArgs {
    /// The customer's id.
    customer: String,
    /// The customer's name.
    #[arg(long)]
    name: Option<String>,
    /// The customer's address.
    #[arg(long)]
    email: Option<String>,
    /// A telephone number; empty takes it away.
    #[arg(long)]
    phone: Option<String>,
    /// A tax id; empty takes it away.
    #[arg(long)]
    tax_id: Option<String>,
    /// A part of the postal address, several times for several. They take the place of the old address.
    #[arg(long, value_name = "KEY=VALUE")]
    address: Vec<String>,
    /// A text among its metadata, several times for several; an empty one takes its key away.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// The membership id of who manages the customer; empty for no manager.
    #[arg(long, value_name = "MEMBER")]
    managed_by: Option<String>,
}

impl UpdateArgs {
    fn body(&self) -> Result<Json> {
        changes([
            ("name", given(&self.name)),
            ("email", given(&self.email)),
            ("phone", clearable(&self.phone)),
            ("taxId", clearable(&self.tax_id)),
            ("address", pairs(&self.address)?),
            ("metadata", pairs(&self.metadata)?),
            ("managedBy", clearable(&self.managed_by)),
        ])
    }
}

pub(crate) async fn run(args: CustomersArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::List { q, metadata, deleted, limit } => {
            let call = Call::get(["api", "organizations", &organization, "customers"]).with("q", q.as_deref()).along_cursor();
            let call = call.with("state", deleted.then_some("deleted")).with_metadata(metadata)?;
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Show { customer, deleted } => {
            let call = Call::get(["api", "organizations", &organization, "customers", customer]);
            args.output.record(&connection.ask(&call.with("state", deleted.then_some("deleted"))).await?)
        }
        Command::Create { name, email, id, metadata } => {
            let body = json!({"id": id, "name": name, "email": email, "metadata": pairs(metadata)?});
            args.output.record(&connection.ask(&Call::post(["api", "organizations", &organization, "customers"], body)).await?)
        }
        Command::Update(update) => {
            let call = Call::patch(["api", "organizations", &organization, "customers", &update.customer], update.body()?);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Extend { customer, credits } => {
            let call = Call::patch(["customer", "extend", customer], json!({"credits": credits})).of_organization(&organization);
            args.output.record(&connection.ask(&call).await?)
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
