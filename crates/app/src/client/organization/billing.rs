//! `freehold billing`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::changes::{changes, given};
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] = &[
    ("SUBSCRIPTION", "stripeSubscriptionId"),
    ("CUSTOMER", "customerId"),
    ("STATUS", "status"),
    ("PRICE", "price"),
    ("QUANTITY", "quantity"),
    ("PAID UNTIL", "currentPeriodEnd"),
    ("ENDS", "cancelAt"),
    ("ENDED", "endedAt"),
];

#[derive(Args)]
pub(crate) struct BillingArgs {
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
    /// Show the organization's own subscriptions at Stripe, and how they end when something is deleted.
    Show,
    /// Change how subscriptions end when something is deleted, and who counts as a seat: what is not given stays.
    Set {
        /// When they end.
        #[arg(long, value_parser = ["cancel_now", "cancel_at_period_end"])]
        on_deletion: Option<String>,
        /// Whether what was used and not billed yet is billed once more, where they end at once.
        #[arg(long, value_name = "BOOL")]
        final_invoice: Option<bool>,
        /// Whether what was paid for and not used is credited, where they end at once.
        #[arg(long, value_name = "BOOL")]
        prorate: Option<bool>,
        /// The roles of the members who count as seats, such as owner,admin,member; empty for none.
        #[arg(long, value_name = "ROLES", value_delimiter = ',')]
        seats: Option<Vec<String>>,
    },
    /// List the subscriptions of the organization and of its customers, newest first.
    Subscriptions {
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Begin a subscription: prints the address of a checkout at Stripe.
    Checkout {
        /// Stripe's id of the price.
        #[arg(long)]
        price: String,
        /// How many. Not where members are counted as seats.
        #[arg(long)]
        quantity: Option<i64>,
        /// Where Stripe sends the browser when it is done.
        #[arg(long, value_name = "URL")]
        success_url: String,
        /// Where Stripe sends the browser that gave it up.
        #[arg(long, value_name = "URL")]
        cancel_url: Option<String>,
    },
    /// Manage the subscription: prints the address of Stripe's portal.
    Portal {
        /// Where it leads back to.
        #[arg(long, value_name = "URL")]
        return_url: String,
    },
    /// Link a subscription that is there at Stripe. For operators.
    Link {
        /// Stripe's id, such as sub_1PqR.
        subscription: String,
        /// The customer that it is for, by its id [default: the organization itself].
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// End the link to a subscription, which goes on at Stripe. For operators.
    Unlink {
        /// Stripe's id.
        subscription: String,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: BillingArgs) -> Result {
    let mut connection = args.connection.open()?;
    let organization = args.organization.find(&mut connection).await?;
    let path = ["api", "organizations", &organization, "billing"];
    match &args.command {
        Command::Show => args.output.record(&connection.ask(&Call::get(path)).await?),
        Command::Set { on_deletion, final_invoice, prorate, seats } => {
            let seats = seats.as_ref().map(|roles| roles.iter().filter(|role| !role.is_empty()).cloned().collect::<Vec<String>>());
            let body = changes([
                ("onDeletion", given(on_deletion)),
                ("finalInvoice", given(final_invoice)),
                ("prorate", given(prorate)),
                ("seatRoles", given(&seats)),
            ])?;
            args.output.record(&connection.ask(&Call::patch(path, body)).await?)
        }
        Command::Subscriptions { limit } => {
            let call = Call::get(["api", "organizations", &organization, "billing", "subscriptions"]).along_cursor();
            args.output.list(connection.list(&call, *limit).await?, COLUMNS)
        }
        Command::Checkout { price, quantity, success_url, cancel_url } => {
            let body = json!({"price": price, "quantity": quantity, "successUrl": success_url, "cancelUrl": cancel_url});
            let call = Call::post(["api", "organizations", &organization, "billing", "checkout"], body);
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Portal { return_url } => {
            let call = Call::post(["api", "organizations", &organization, "billing", "portal"], json!({"returnUrl": return_url}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Link { subscription, customer, reason } => {
            let path = ["api", "operator", "organizations", &organization, "billing", "subscriptions", subscription];
            let call = Call::put(path, json!({"customerId": customer, "reason": reason}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Unlink { subscription, reason } => {
            let path = ["api", "operator", "organizations", &organization, "billing", "subscriptions", subscription];
            connection.tell(&Call::delete(path).with("reason", Some(reason))).await?;
            args.output.record(&json!({"stripeSubscriptionId": subscription}))
        }
    }
}
