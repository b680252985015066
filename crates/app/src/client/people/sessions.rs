//! `freehold sign-in` and `freehold sign-out`.

use clap::Args;

use crate::client::connection::{Connection, ServerArgs};
use crate::client::failure::Result;
use crate::client::output::{OutputArgs, note};
use crate::client::prompt;

#[derive(Args)]
pub(crate) struct SignInArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The address of the person who signs in.
    #[arg(long)]
    email: String,
}

#[derive(Args)]
pub(crate) struct SignOutArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn sign_in(args: SignInArgs) -> Result {
    let mut connection = args.server.open()?;
    let session = connection.sign_in(&args.email, &prompt::password(false)?).await?;
    args.output.record(&session)
}

pub(crate) async fn sign_out(args: SignOutArgs) -> Result {
    let session = Connection::sign_out().await?;
    note("Signed out.");
    args.output.record(&session)
}
