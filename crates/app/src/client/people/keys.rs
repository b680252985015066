//! `freehold keys`: API keys, and the one that signs access tokens.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::client::call::Call;
use crate::client::changes::{changes, clearable, given, pairs};
use crate::client::connection::{ConnectionArgs, OrganizationArgs};
use crate::client::deleting::{DeleteArgs, Subject};
use crate::client::failure::Result;
use crate::client::output::{Column, OutputArgs, note};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("KEY", "hint"),
    ("KIND", "kind"),
    ("ROLE", "role"),
    ("CREATED", "createdAt"),
    ("EXPIRES", "expiresAt"),
    ("SCOPES", "scopes"),
];

#[derive(Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    organization: OrganizationArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Keys of your own, good in all your organizations, in the place of an organization's.
    #[arg(long, global = true)]
    mine: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an API key that acts as you, or as a service account with a role of its own, within its scopes. It is shown this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// Makes it a service account with this role: admin, master, member, billing or viewer. It is the organization's, and outlives your membership.
        #[arg(long, conflicts_with = "mine")]
        role: Option<String>,
        /// What it may do, such as read:customers,write:customers [default: reading].
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
        /// Until when it is good, such as 2030-01-31T12:00:00Z [default: no end].
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        limits: LimitArgs,
        /// A text among its metadata; several times for several.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
    },
    /// List the keys, newest first, without their secrets.
    List {
        /// Only those with this text among their metadata; of several, all must be there.
        #[arg(long, value_name = "KEY=VALUE")]
        metadata: Vec<String>,
        /// Entries to show at the most.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Show a key, without its secret.
    Show {
        /// The key's id.
        key: String,
    },
    /// Change a key, with effect from the next request: what is not given stays.
    Update(Box<UpdateArgs>),
    /// Find out whether the key of --api-key or FREEHOLD_API_KEY is good.
    Validate,
    /// Give a key a new secret. It is shown this once; the one before it is good for a while.
    Rotate {
        /// The key's id.
        key: String,
        /// Seconds for which the secret before it is good still, up to 604800 [default: 86400].
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u32>,
    },
    /// Make the server sign access tokens with a new key, as one of its operators. The one before it verifies until its tokens have ended.
    RotateSigning {
        /// End the one before it at once, with all access tokens, as when it is known to others. Sessions get new ones by themselves.
        #[arg(long)]
        at_once: bool,
    },
    /// Delete a key: it stops working at once.
    Delete {
        /// The key's id, as `list` shows it.
        key: String,
        #[command(flatten)]
        delete: DeleteArgs,
    },
}

/// What bounds a key.
#[derive(Args)]
struct LimitArgs {
    /// What it is for, in more words.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Requests a minute, in the place of the server's limit.
    #[arg(long, value_name = "NUMBER")]
    rate_limit_per_minute: Option<u32>,
    /// Requests an hour, beside the limits for the minute and the day.
    #[arg(long, value_name = "NUMBER")]
    rate_limit_per_hour: Option<u32>,
    /// Addresses and networks it may be used from, such as 192.0.2.7,10.0.0.0/8.
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    allowed_ips: Option<Vec<String>>,
}

/// What changes of a key.
#[derive(Args)]
struct UpdateArgs {
    /// The key's id, as `list` shows it.
    key: String,
    /// What it is for.
    #[arg(long)]
    name: Option<String>,
    /// What it may do, such as read:customers,write:customers.
    #[arg(long, value_delimiter = ',')]
    scopes: Option<Vec<String>>,
    /// Until when it is good; empty for no end.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Whether it is good at all: it can be switched off and on again.
    #[arg(long, value_name = "BOOL")]
    active: Option<bool>,
    #[command(flatten)]
    limits: LimitArgs,
    /// A text among its metadata, several times for several; an empty one takes its key away.
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

impl UpdateArgs {
    fn body(&self) -> Result<Json> {
        changes([
            ("name", given(&self.name)),
            ("description", given(&self.limits.description)),
            ("scopes", given(&self.scopes)),
            ("rateLimitPerMinute", given(&self.limits.rate_limit_per_minute)),
            ("rateLimitPerHour", given(&self.limits.rate_limit_per_hour)),
            ("allowedIps", given(&self.limits.allowed_ips)),
            ("expiresAt", clearable(&self.expires_at)),
            ("isActive", given(&self.active)),
            ("metadata", pairs(&self.metadata)?),
        ])
    }
}

pub(crate) async fn run(args: KeysArgs) -> Result {
    let mut connection = args.connection.open()?;
    // What belongs to no organization, or to that of the key itself.
    let call = match args.command {
        Command::Validate => Some(Call::post_nothing(["api", "api-keys", "validate"])),
        Command::RotateSigning { at_once } => {
            Some(Call::post_nothing(["api", "auth", "signing-keys", "rotate"]).with("at_once", at_once.then_some("true")))
        }
        _ => None,
    };
    if let Some(call) = call {
        return args.output.record(&connection.ask(&call).await?);
    }
    let organization = if args.mine { String::new() } else { args.organization.find(&mut connection).await? };
    let [api, within, whose, keys] =
        if args.mine { ["api", "users", "me", "api-keys"] } else { ["api", "organizations", &organization, "api-keys"] };
    match &args.command {
        Command::Create { name, role, scopes, expires_at, limits, metadata } => {
            let mut body = json!({
                "name": name,
                "description": limits.description,
                "scopes": scopes,
                "rateLimitPerMinute": limits.rate_limit_per_minute,
                "rateLimitPerHour": limits.rate_limit_per_hour,
                "allowedIps": limits.allowed_ips,
                "expiresAt": expires_at,
                "metadata": pairs(metadata)?,
            });
            if let Some(role) = role {
                body["role"] = role.as_str().into();
            }
            let key = connection.ask(&Call::post([api, within, whose, keys], body)).await?;
            note("The key is shown this once: keep it safe.");
            args.output.record(&key)
        }
        Command::List { metadata, limit } => {
            let listed = connection.list(&Call::get([api, within, whose, keys]).with_metadata(metadata)?, *limit).await?;
            args.output.list(listed, COLUMNS)
        }
        Command::Show { key } => args.output.record(&connection.ask(&Call::get([api, within, whose, keys, key])).await?),
        Command::Update(update) => {
            let call = Call::patch([api, within, whose, keys, &update.key], update.body()?);
            args.output.record(&connection.ask(&call).await?)
        }
        // Answered above.
        Command::Validate | Command::RotateSigning { .. } => Ok(()),
        Command::Rotate { key, overlap } => {
            let body = json!({"overlapSeconds": overlap});
            let key = connection.ask(&Call::post([api, within, whose, keys, key, "rotate"], body)).await?;
            note("The key is shown this once: keep it safe.");
            args.output.record(&key)
        }
        Command::Delete { key, delete } if args.mine => {
            delete.run_without_plan(&mut connection, &args.output, key, Call::delete([api, within, whose, keys, key])).await
        }
        Command::Delete { key, delete } => {
            let subject = Subject {
                given: key,
                name: "id",
                record: Call::get([api, within, whose, keys, key]),
                plan: Call::get([api, within, whose, keys, key, "deletion-plan"]),
                deletion: Call::delete([api, within, whose, keys, key]),
            };
            delete.run(&mut connection, &args.output, subject).await
        }
    }
}
