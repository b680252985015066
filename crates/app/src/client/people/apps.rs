//! `freehold apps`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::changes::{changes, given};
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, note};

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
    /// Change an app: what is not given stays.
    Update {
        /// The app's client id.
        app: String,
        /// What people call it.
        #[arg(long)]
        name: Option<String>,
        /// What it may do, such as read:customers,write:customers.
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// Where people come back to, one or several.
        #[arg(long, value_name = "URL", value_delimiter = ',')]
        redirect_uris: Option<Vec<String>>,
        /// Whether it gets tokens and those it has are good.
        #[arg(long, value_name = "BOOL")]
        active: Option<bool>,
    },
    /// Give an app a new secret: the old one stops working. It is shown this once.
    RotateSecret {
        /// The app's client id.
        app: String,
    },
    /// Revoke one token of an app, by the token's id.
    RevokeToken {
        /// The token's id, as the audit trail shows it.
        token: String,
        /// Why, for the audit trail. No personal data, please.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Revoke nothing: show what it would do.
        #[arg(long)]
        validate_only: bool,
    },
    /// Delete an app and revoke all of its tokens.
    Delete {
        /// The app's client id.
        app: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(crate) async fn run(args: AppsArgs) -> Result {
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
        Command::Update { app, name, scopes, redirect_uris, active } => {
            let body = changes([
                ("name", given(name)),
                ("scopes", given(scopes)),
                ("redirectUris", given(redirect_uris)),
                ("isActive", given(active)),
            ])?;
            args.output.record(&connection.ask(&Call::put(["api", "oauth", "apps", app], body)).await?)
        }
        Command::RotateSecret { app } => {
            let rotated = connection.ask(&Call::post_nothing(["api", "oauth", "apps", app, "secret"])).await?;
            note("The secret is shown this once: keep it safe.");
            args.output.record(&rotated)
        }
        Command::RevokeToken { token, validate_only: true, .. } => {
            args.output.record(&connection.ask(&Call::get(["api", "oauth", "token", token, "deletion-plan"])).await?)
        }
        Command::RevokeToken { token, reason, validate_only: false } => {
            let call = Call::delete(["api", "oauth", "token", token]).with("reason", reason.as_deref());
            args.output.record(&json!({"deletionId": connection.delete(&call).await?}))
        }
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
