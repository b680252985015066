//! `freehold organizations`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::call::Call;
use crate::client::changes::{changes, clearable, given, pairs};
use crate::client::connection::ConnectionArgs;
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::{Failure, Result};
use crate::client::output::{Column, OutputArgs};

const COLUMNS: &[Column] =
    &[("SLUG", "slug"), ("NAME", "name"), ("PLAN", "plan"), ("SUBSCRIPTION", "subscriptionStatus"), ("CREATED", "createdAt"), ("ID", "id")];

#[derive(Args)]
pub(crate) struct OrganizationsArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an organization. You are its owner.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// Its name in addresses: lower-case letters, digits and dashes; unique and unchanging.
        #[arg(long)]
        slug: String,
        /// The address of a picture.
        #[arg(long, value_name = "URL")]
        logo: Option<String>,
        /// A text among its metadata; several times for several.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// List the organizations that the credential is good for.
    List {
        /// Only those with this text among their metadata; of several, all must be there.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show an organization.
    Show {
        /// Its slug or id.
        organization: String,
    },
    /// Change an organization's profile. Its slug never changes.
    Update {
        /// Its slug or id.
        organization: String,
        /// What people call it.
        #[arg(long)]
        name: Option<String>,
        /// The address of a picture; empty takes it away.
        #[arg(long, value_name = "URL")]
        logo: Option<String>,
        /// A text among its metadata, several times for several; an empty one takes its key away.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// Archive an organization: read-only, and nothing lost but its keys and tokens. For owners.
    Archive {
        /// Its slug or id.
        organization: String,
    },
    /// Make an archived organization writable again. Keys and tokens do not come back.
    Unarchive {
        /// Its slug or id.
        organization: String,
    },
    /// Hand an organization over: the member becomes an owner and you an admin, in one step.
    Transfer {
        /// Its slug or id.
        organization: String,
        /// The new owner's membership id, as `members list` shows it.
        #[arg(long, value_name = "MEMBER")]
        to: String,
    },
    /// Make a person an owner of an organization whose owners are gone or cannot sign in. For operators who have just signed in.
    Recover {
        /// Its slug or id.
        organization: String,
        /// The address of the person's account.
        #[arg(long, value_name = "EMAIL")]
        owner: String,
        /// Why, for the audit trails of the organization and the server.
        #[arg(long)]
        reason: String,
    },
    /// Show how many requests an organization may make where that is otherwise than for all, or change it. For operators.
    Limits {
        /// Its slug or id.
        organization: String,
        /// Requests in a day of each of its keys and apps; 0 is no limit, and `default` is as for all.
        #[arg(long, value_name = "NUMBER", requires = "reason")]
        requests_per_day: Option<String>,
        /// Requests in a minute of all its callers together; 0 is no limit, and `default` is as for all.
        #[arg(long, value_name = "NUMBER", requires = "reason")]
        requests_per_minute: Option<String>,
        /// Why, for the audit trails of the organization and the server.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Delete an organization and everything in it, for good.
    Delete {
        /// Its slug or id.
        organization: String,
        /// Erase nothing before an export of all of it is there to be fetched.
        #[arg(long)]
        export: bool,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

pub(crate) async fn run(args: OrganizationsArgs) -> Result {
    let mut connection = args.connection.open()?;
    match &args.command {
        Command::Create { name, slug, logo, metadata } => {
            let call =
                Call::post(["api", "organizations"], json!({"name": name, "slug": slug, "logo": logo, "metadata": pairs(metadata)?}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Update { organization, name, logo, metadata } => {
            let body = changes([("name", given(name)), ("logo", clearable(logo)), ("metadata", pairs(metadata)?)])?;
            args.output.record(&connection.ask(&Call::put(["api", "organizations", organization], body)).await?)
        }
        Command::Archive { organization } => {
            args.output.record(&connection.ask(&Call::post_nothing(["api", "organizations", organization, "archive"])).await?)
        }
        Command::Unarchive { organization } => {
            args.output.record(&connection.ask(&Call::post_nothing(["api", "organizations", organization, "unarchive"])).await?)
        }
        Command::Transfer { organization, to } => {
            let call = Call::post(["api", "organizations", organization, "transfer"], json!({"memberId": to}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Recover { organization, owner, reason } => {
            let call = Call::post(["api", "organizations", organization, "recover"], json!({"email": owner, "reason": reason}));
            args.output.record(&connection.ask(&call).await?)
        }
        Command::Limits { organization, requests_per_day, requests_per_minute, reason } => {
            let path = ["api", "operator", "organizations", organization, "limits"];
            let call = match reason {
                None => Call::get(path),
                Some(reason) => {
                    let fields = [("requestsPerDay", requests_per_day), ("requestsPerMinute", requests_per_minute)];
                    let mut body = json!({"reason": reason});
                    for (name, given) in fields {
                        match given.as_deref() {
                            None => {}
                            Some("default") => body[name] = json!(null),
                            Some(number) => {
                                let number: u32 =
                                    number.parse().map_err(|_| Failure::usage(format!("{name}: {number} is no whole number")))?;
                                body[name] = number.into();
                            }
                        }
                    }
                    Call::patch(path, body)
                }
            };
            args.output.record(&connection.ask(&call).await?)
        }
        Command::List { metadata, limit } => {
            let organizations = connection.list(&Call::get(["api", "organizations"]).with_metadata(metadata)?, *limit).await?;
            args.output.list(organizations, COLUMNS)
        }
        Command::Show { organization } => args.output.record(&connection.ask(&Call::get(["api", "organizations", organization])).await?),
        Command::Delete { organization, export, delete } => {
            let subject = Subject {
                given: organization,
                name: "slug",
                record: Call::get(["api", "organizations", organization]),
                plan: Call::get(["api", "organizations", organization, "deletion-plan"]),
                deletion: Call::delete(["api", "organizations", organization]).with("export", export.then_some("true")),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
