//! `freehold users`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::connection::{Call, ConnectionArgs};
use super::deleting::{DeleteArgs, Subject};
use super::failure::Result;
use super::output::OutputArgs;
use super::prompt;

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
    /// Delete your own account, within ten minutes of signing in: every membership, key, app and session of yours. Your address confirms it.
    DeleteMe {
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(super) async fn run(args: UsersArgs) -> Result {
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
        Command::Me => args.output.record(&args.connection.open()?.ask(&Call::get(["api", "users", "me"])).await?),
    }
}
