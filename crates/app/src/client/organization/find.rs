//! `freehold find`.

use clap::Args;

use crate::client::call::Call;
use crate::client::connection::ConnectionArgs;
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[
    ("KIND", "kind"),
    ("STATE", "state"),
    ("SLUG", "slug"),
    ("NAME", "name"),
    ("EMAIL", "email"),
    ("KEY", "hint"),
    ("ACTION", "action"),
    ("ID", "id"),
    ("ORGANIZATION", "organizationId"),
    ("USER", "userId"),
    ("MEMBERSHIPS", "memberships"),
    ("SIZES", "sizes"),
];

#[derive(Args)]
pub(crate) struct FindArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// The id of an organization, a user or a key, a slug, a person's address, the last four characters of a key, or a request's id.
    text: String,
}

pub(crate) async fn run(args: FindArgs) -> Result {
    let call = Call::get(["api", "operator", "search"]).with("q", Some(args.text.clone()));
    let found = args.connection.open()?.ask(&call).await?;
    let found = found.as_array().cloned().unwrap_or_default();
    // Most columns are of one kind of thing.
    let is_used = |column: &&Column| found.iter().any(|one| !one[column.1].is_null());
    let columns: Vec<Column> = COLUMNS.iter().filter(is_used).copied().collect();
    args.output.list(found, &columns)
}
