//! `freehold webhooks`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::changes::{changes, given};
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] = &[("ID", "id"), ("URL", "url"), ("ACTIVE", "isActive"), ("CREATED", "createdAt"), ("EVENTS", "events")];
const DELIVERIES: &[Column] = &[
    ("HAPPENED", "createdAt"),
    ("EVENT", "event"),
    ("STATE", "state"),
    ("ATTEMPTS", "attempts"),
    ("ANSWER", "responseStatus"),
    ("ID", "id"),
    ("ERROR", "error"),
];

#[derive(Args)]
pub(crate) struct WebhooksArgs {
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
    /// Make a webhook. Its secret is shown this once.
    Create {
        /// Where deliveries go: an https address.
        #[arg(long)]
        url: String,
        /// What it is told, such as customer.created,customer.deleted.
        #[arg(long, value_delimiter = ',', required = true)]
        events: Vec<String>,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
    },
    /// List the webhooks, newest first, without their secrets.
    List {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a webhook.
    Show {
        /// The webhook's id.
        webhook: String,
    },
    /// Change a webhook: what is not given stays.
    Update {
        /// The webhook's id.
        webhook: String,
        /// Where deliveries go: an https address.
        #[arg(long)]
        url: Option<String>,
        /// What it is told, such as customer.created,customer.deleted.
        #[arg(long, value_delimiter = ',')]
        events: Option<Vec<String>>,
        /// What it is for; empty takes it away.
        #[arg(long)]
        description: Option<String>,
        /// Whether it is told anything.
        #[arg(long, value_name = "BOOL")]
        active: Option<bool>,
    },
    /// List what a webhook was told and is still to be told, newest first.
    Deliveries {
        /// The webhook's id.
        webhook: String,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Send deliveries again: one, or all that were given up, or those of a range.
    Resend {
        /// The webhook's id.
        webhook: String,
        /// The delivery's id: that one alone.
        #[arg(conflicts_with_all = ["delivered", "since", "until"])]
        delivery: Option<String>,
        /// Those that were delivered, in the place of those that were given up.
        #[arg(long)]
        delivered: bool,
        /// Those of events at this time or later, such as 2026-12-01T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Those of events before this time.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Give a delivery up: it is tried no more, and no deletion waits for it.
    GiveUp {
        /// The webhook's id.
        webhook: String,
        /// The delivery's id.
        delivery: String,
    },
    /// Send a webhook a test event.
    Test {
        /// The webhook's id.
        webhook: String,
    },
    /// Give a webhook a new secret, which is shown this once. The old one signs beside it for a while.
    Rotate {
        /// The webhook's id.
        webhook: String,
        /// Hours for which the old secret signs, too: 0 ends it at once [default: 24].
        #[arg(long, value_name = "HOURS")]
        overlap: Option<u32>,
    },
    /// End the secret that was rotated before its time: only the present one signs then.
    EndOldSecret {
        /// The webhook's id.
        webhook: String,
    },
    /// Delete a webhook.
    Delete {
        /// The webhook's id.
        webhook: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(crate) async fn run(args: WebhooksArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    match &args.command {
        Command::Create { url, events, description } => {
            let body = json!({"url": url, "events": events, "description": description});
            let webhook = connection.ask(&Call::post(["api", "organizations", &organization, "webhooks"], body)).await?;
            note("The secret is shown this once: keep it safe.");
            args.output.record(&webhook)
        }
        Command::List { limit } => {
            let webhooks = connection.list(&Call::get(["api", "organizations", &organization, "webhooks"]), *limit).await?;
            args.output.list(webhooks, COLUMNS)
        }
        Command::Show { webhook } => {
            args.output.record(&connection.ask(&Call::get(["api", "organizations", &organization, "webhooks", webhook])).await?)
        }
        Command::Update { webhook, url, events, description, active } => {
            let body = changes([
                ("url", given(url)),
                ("events", given(events)),
                ("description", given(description)),
                ("isActive", given(active)),
            ])?;
            args.output.record(&connection.ask(&Call::put(["api", "organizations", &organization, "webhooks", webhook], body)).await?)
        }
        Command::Deliveries { webhook, limit } => {
            let call = Call::get(["api", "organizations", &organization, "webhooks", webhook, "deliveries"]).along_cursor();
            args.output.list(connection.list(&call, *limit).await?, DELIVERIES)
        }
        Command::Resend { webhook, delivery: Some(delivery), .. } => {
            let call = ["api", "organizations", &organization, "webhooks", webhook, "deliveries", delivery, "resend"];
            args.output.record(&connection.ask(&Call::post_nothing(call)).await?)
        }
        Command::Resend { webhook, delivery: None, delivered, since, until } => {
            let state = if *delivered { "delivered" } else { "failed" };
            let body = json!({"state": state, "since": since, "until": until});
            let call = ["api", "organizations", &organization, "webhooks", webhook, "deliveries", "resend"];
            args.output.record(&connection.ask(&Call::post(call, body)).await?)
        }
        Command::GiveUp { webhook, delivery } => {
            let call = ["api", "organizations", &organization, "webhooks", webhook, "deliveries", delivery, "give-up"];
            args.output.record(&connection.ask(&Call::post_nothing(call)).await?)
        }
        Command::Test { webhook } => {
            let call = Call::post_nothing(["api", "organizations", &organization, "webhooks", webhook, "test"]);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Rotate { webhook, overlap } => {
            let call = Call::post_nothing(["api", "organizations", &organization, "webhooks", webhook, "rotate"]);
            let rotated = connection.ask(&call.with("overlap_hours", overlap.map(|hours| hours.to_string()))).await?;
            note("The secret is shown this once: keep it safe.");
            args.output.record(&rotated)
        }
        Command::EndOldSecret { webhook } => {
            connection.tell(&Call::delete(["api", "organizations", &organization, "webhooks", webhook, "old-secret"])).await?;
            args.output.record(&json!({"id": webhook}))
        }
        Command::Delete { webhook, delete } => {
            let subject = Subject {
                given: webhook,
                name: "id",
                record: Call::get(["api", "organizations", &organization, "webhooks", webhook]),
                plan: Call::get(["api", "organizations", &organization, "webhooks", webhook, "deletion-plan"]),
                deletion: Call::delete(["api", "organizations", &organization, "webhooks", webhook]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
