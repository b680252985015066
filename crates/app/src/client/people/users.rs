//! `freehold users`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::changes::{changes, given, pairs};
use crate::client::connection::ConnectionArgs;
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::OutputArgs;
use crate::client::prompt;

#[derive(Args)]
pub(crate) struct UsersArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a user. The password is asked for, or read from standard input. The answer is the same when the address is taken.
    Create {
        /// The person's address.
        #[arg(long)]
        email: String,
        /// How the person wants to be called.
        #[arg(long)]
        name: Option<String>,
    },
    /// Show the user that the credential belongs to.
    Me,
    /// Show another user, of an organization whose members you may list.
    Show {
        /// The user's id.
        user: String,
    },
    /// Change your own profile: what is not given stays.
    UpdateMe {
        /// How you want to be called.
        #[arg(long)]
        name: Option<String>,
        /// A text among your metadata, several times for several; an empty one takes its key away.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// Change your own password: all other sessions of yours end. Both are asked for, or read from two lines of standard input.
    Password,
    /// Delete your own account, within ten minutes of signing in: every membership, key, app and session of yours. Your address confirms it.
    DeleteMe {
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(crate) async fn run(args: UsersArgs) -> Result {
    match args.command {
        Command::Create { email, name } => {
            let mut connection = args.connection.open_for_anybody()?;
            let body = json!({"email": email, "password": prompt::password(true)?, "name": name});
            args.output.record(&connection.ask(&Call::post(["api", "auth", "sign-up"], body)).await?)
        }
        Command::DeleteMe { delete } => {
            let mut connection = args.connection.open()?;
            let me = connection.ask(&Call::get(["api", "users", "me"])).await?;
            let subject = Subject {
                given: me["email"].as_str().unwrap_or_default(),
                name: "email",
                record: Call::get(["api", "users", "me"]),
                plan: Call::get(["api", "users", "me", "deletion-plan"]),
                deletion: Call::delete(["api", "users", "me"]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
        Command::Show { user } => args.output.record(&args.connection.open()?.ask(&Call::get(["api", "users", &user])).await?),
        Command::UpdateMe { name, metadata } => {
            let body = changes([("name", given(&name)), ("metadata", pairs(&metadata)?)])?;
            args.output.record(&args.connection.open()?.ask(&Call::patch(["api", "users", "me"], body)).await?)
        }
        Command::Password => {
            let mut connection = args.connection.open()?;
            let (current, new) = prompt::new_password()?;
            let body = json!({"currentPassword": current, "newPassword": new});
            connection.tell(&Call::post(["api", "users", "me", "password"], body)).await?;
            args.output.record(&json!({"message": "The new password counts from now on."}))
        }
        Command::Me => args.output.record(&args.connection.open()?.ask(&Call::get(["api", "users", "me"])).await?),
    }
}
