//! `freehold apps`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Call, ConnectionArgs, OrganizationArgs};
use super::deleting::{DeleteArgs, Subject};
use super::failure::Result;
use super::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] =
    &[("CLIENT ID", "clientId"), ("NAME", "name"), ("ACTIVE", "isActive"), ("CREATED", "createdAt"), ("SCOPES", "scopes")];

#[derive(Args)]
pub(crate) struct AppsArgs {
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
    /// Make an OAuth app that acts as you, within its scopes. Its secret is shown this once.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// What it may do, such as read:customers,write:customers.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// Where people come back to, one or several.
        #[arg(long, value_name = "URL", value_delimiter = ',')]
        redirect_uris: Vec<String>,
    },
    /// List the organization's apps, newest first, without their secrets.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show an app.
    Show {
        /// The app's client id.
        app: String,
    },
    /// Delete an app and revoke all of its tokens.
    Delete {
        /// The app's client id.
        app: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(super) async fn run(args: AppsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::Create { name, scopes, redirect_uris } => {
            let organization = args.organization.find(&mut connection).await?;
            let mut body = json!({"name": name, "scopes": scopes, "organizationId": organization});
            if !redirect_uris.is_empty() {
                body["redirectUris"] = json!(redirect_uris);
            }
            let app = connection.ask(&Call::post(["api", "oauth", "apps"], body)).await?;
            note("The secret is shown this once: keep it safe.");
            args.output.record(&app)
        }
        Command::List { limit } => {
            let organization = args.organization.find(&mut connection).await?;
            let apps = connection.list(&Call::get(["api", "oauth", "apps", "organization", &organization]), *limit).await?;
            args.output.list(apps, COLUMNS)
        }
        Command::Show { app } => args.output.record(&connection.ask(&Call::get(["api", "oauth", "apps", app])).await?),
        Command::Delete { app, delete } => {
            let subject = Subject {
                given: app,
                name: "clientId",
                record: Call::get(["api", "oauth", "apps", app]),
                plan: Call::get(["api", "oauth", "apps", app, "deletion-plan"]),
                deletion: Call::delete(["api", "oauth", "apps", app]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
