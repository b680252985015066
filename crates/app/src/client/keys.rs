//! `freehold keys`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Call, ConnectionArgs, OrganizationArgs};
use super::deleting::{DeleteArgs, Subject};
use super::failure::Result;
use super::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("KEY", "hint"),
    ("KIND", "kind"),
    ("CREATED", "createdAt"),
    ("EXPIRES", "expiresAt"),
    ("SCOPES", "scopes"),
];

#[derive(Args)]
pub(crate) struct KeysArgs {
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
    /// Make an API key that acts as you, within its scopes. It is shown this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do, such as read:customers,write:customers [default: reading].
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// Until when it is good, such as 2030-01-31T12:00:00Z [default: no end].
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// List the keys, newest first, without their secrets.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a key, without its secret.
    Show {
        /// The key's id.
        key: String,
    },
    /// Delete a key: it stops working at once.
    Delete {
        /// The key's id, as `list` shows it.
        key: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(super) async fn run(args: KeysArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::Create { name, scopes, expires_at } => {
            let body = json!({"name": name, "scopes": scopes, "expiresAt": expires_at});
            let key = connection.ask(&Call::post(["api", "organizations", &organization, "api-keys"], body)).await?;
            note("The key is shown this once: keep it safe.");
            args.output.record(&key)
        }
        Command::List { limit } => {
            let keys = connection.list(&Call::get(["api", "organizations", &organization, "api-keys"]), *limit).await?;
            args.output.list(keys, COLUMNS)
        }
        Command::Show { key } => {
            args.output.record(&connection.ask(&Call::get(["api", "organizations", &organization, "api-keys", key])).await?)
        }
        Command::Delete { key, delete } => {
            let subject = Subject {
                given: key,
                name: "id",
                record: Call::get(["api", "organizations", &organization, "api-keys", key]),
                plan: Call::get(["api", "organizations", &organization, "api-keys", key, "deletion-plan"]),
                deletion: Call::delete(["api", "organizations", &organization, "api-keys", key]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
