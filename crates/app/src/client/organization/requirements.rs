//! `freehold requirements`.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::client::call::Call;
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[
    ("TO DELETE", "kind"),
    ("REASON", "reasonRequired"),
    ("SLUG", "confirmationRequired"),
    ("SIGN-IN WITHIN", "freshMinutes"),
    ("APPROVAL", "approvalRequired"),
    ("GRACE DAYS", "graceDays"),
];
const KINDS: [&str; 3] = ["organization", "member", "customer"];

#[derive(Args)]
pub(crate) struct RequirementsArgs {
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
    /// Show what is asked of those who delete, by the kind of what is deleted.
    Show,
    /// Ask for this, and nothing else, of those who delete one kind; the other kinds stay as they are.
    Set {
        /// The kind of what is deleted.
        #[arg(value_parser = KINDS)]
        kind: String,
        /// That they say why.
        #[arg(long)]
        reason: bool,
        /// That they type the organization's slug.
        #[arg(long)]
        confirmation: bool,
        /// That they have signed in within so many minutes.
        #[arg(long, value_name = "MINUTES")]
        fresh: Option<u32>,
        /// That another owner has approved it.
        #[arg(long)]
        approval: bool,
        /// Days until what is deleted is erased.
        #[arg(long, value_name = "DAYS", default_value_t = 0)]
        grace: u32,
    },
}

pub(crate) async fn run(args: RequirementsArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    let path = ["api", "organizations", &organization, "deletion-requirements"];
    let (mut asked, tag) = connection.ask_with_tag(&Call::get(path)).await?;
    if let Command::Set { kind, reason, confirmation, fresh, approval, grace } = &args.command {
        asked[kind] = json!({
            "reasonRequired": reason,
            "confirmationRequired": confirmation,
            "freshMinutes": fresh,
            "approvalRequired": approval,
            "graceDays": grace,
        });
        let all: Json = KINDS.into_iter().map(|kind| (kind.to_owned(), asked[kind].take())).collect::<serde_json::Map<_, _>>().into();
        // What another owner asks for in this moment is not lost.
        asked = connection.ask(&Call::put(path, all).unless_changed(tag)).await?;
    }
    let rows = KINDS.into_iter().map(|kind| {
        let mut row = json!({"kind": kind});
        if let (Some(row), Json::Object(of_kind)) = (row.as_object_mut(), asked[kind].take()) {
            row.extend(of_kind);
        }
        row
    });
    args.output.list(rows.collect(), COLUMNS)
}
