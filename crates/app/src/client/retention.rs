//! `freehold retention`.

use clap::Args;

use super::connection::{Call, ConnectionArgs};
use super::failure::Result;
use super::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[("NAME", "name"), ("DAYS", "days"), ("WHAT", "what"), ("SINCE", "since")];

#[derive(Args)]
pub(crate) struct RetentionArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(args: RetentionArgs) -> Result {
    let periods = args.connection.open()?.ask(&Call::get(["api", "retention"])).await?;
    args.output.list(periods.as_array().cloned().unwrap_or_default(), COLUMNS)
}
