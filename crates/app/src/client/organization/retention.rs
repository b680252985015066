//! `freehold retention`.

use clap::Args;

use crate::client::call::Call;
use crate::client::connection::ConnectionArgs;
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[("NAME", "name"), ("DAYS", "days"), ("WHAT", "what"), ("SINCE", "since")];

#[derive(Args)]
pub(crate) struct RetentionArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: RetentionArgs) -> Result {
    let periods = args.connection.open()?.ask(&Call::get(["api", "retention"])).await?;
    args.output.list(periods.as_array().cloned().unwrap_or_default(), COLUMNS)
}
