//! What an operator or an owner does by hand: commands that talk HTTP to a running server, each group in a file of its own.

mod call;
mod changes;
mod completions;
mod connection;
mod credentials;
mod deleting;
mod failure;
mod organization;
mod output;
mod people;
pub(crate) mod prompt;
mod records;

use people::{apps, customers, deletions, invites, keys, members, purging, sessions, users};

use organization::{approvals, audit, billing, effects, exports, find, holds, organizations, requirements, retention, webhooks};

use clap::Subcommand;

pub(crate) use failure::{EXIT_CODES, Failure};
pub(crate) use output::is_for_programs;

/// How the client commands find server and credential, for `--help`.
pub(crate) const BEGINNING: &str = "\
The commands from `sign-in` on talk to a running server. Begin with `freehold sign-in --email …`, or set FREEHOLD_API_KEY;
name the server with --server or FREEHOLD_SERVER, and the organization with --organization or FREEHOLD_ORGANIZATION.";

/// The client commands.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Sign in and keep the session for the commands after it. The password is asked for, or read from standard input.
    #[command(after_help = EXIT_CODES)]
    SignIn(sessions::SignInArgs),
    /// End the session that `sign-in` began.
    #[command(after_help = EXIT_CODES)]
    SignOut(sessions::SignOutArgs),
    /// Users: make one, show one, change or delete oneself.
    #[command(after_help = EXIT_CODES)]
    Users(users::UsersArgs),
    /// Organizations: make, list, show, change, archive, hand over, recover, delete.
    #[command(after_help = EXIT_CODES)]
    Organizations(organizations::OrganizationsArgs),
    /// Members of an organization: list, show, invite, give another role, remove.
    #[command(after_help = EXIT_CODES)]
    Members(members::MembersArgs),
    /// Invitations: list, cancel, accept.
    #[command(after_help = EXIT_CODES)]
    Invites(invites::InvitesArgs),
    /// Customers of an organization: make, list, show, change, archive, delete.
    #[command(after_help = EXIT_CODES)]
    Customers(customers::CustomersArgs),
    /// What a customer owns (subscriptions, transactions, devices, sessions, activity): add, list, show, change, delete.
    #[command(after_help = EXIT_CODES)]
    Records(records::RecordsArgs),
    /// API keys: make, list, show, change, try, delete. And a new key to sign access tokens.
    #[command(after_help = EXIT_CODES)]
    Keys(keys::KeysArgs),
    /// Webhooks: make, list, show, change, try, delete, and what they were told.
    #[command(after_help = EXIT_CODES)]
    Webhooks(webhooks::WebhooksArgs),
    /// OAuth apps: make, list, show, change, give another secret, delete.
    #[command(after_help = EXIT_CODES)]
    Apps(apps::AppsArgs),
    /// Deletions: list, show, watch to the end, take back.
    #[command(after_help = EXIT_CODES)]
    Deletions(deletions::DeletionsArgs),
    /// Billing: subscriptions at Stripe, how they end with what they are for, who counts as a seat.
    #[command(after_help = EXIT_CODES)]
    Billing(billing::BillingArgs),
    /// What the server does outside by itself: list, show, try again, give up. For operators.
    #[command(after_help = EXIT_CODES)]
    Effects(effects::EffectsArgs),
    /// Exports: order, list, show, download, delete.
    #[command(after_help = EXIT_CODES)]
    Exports(exports::ExportsArgs),
    /// Legal holds: place, list, show, release.
    #[command(after_help = EXIT_CODES)]
    Holds(holds::HoldsArgs),
    /// What is asked of those who delete: show, set.
    #[command(after_help = EXIT_CODES)]
    Requirements(requirements::RequirementsArgs),
    /// Approvals of what another member deletes: give, list, withdraw.
    #[command(after_help = EXIT_CODES)]
    Approvals(approvals::ApprovalsArgs),
    /// How long things are kept before the server erases them by itself.
    #[command(after_help = EXIT_CODES)]
    Retention(retention::RetentionArgs),
    /// Organizations, people and keys of the whole server, by what a person names. For operators.
    #[command(after_help = EXIT_CODES)]
    Find(find::FindArgs),
    /// The audit trail: its newest entries, and those that come.
    #[command(after_help = EXIT_CODES)]
    Audit(audit::AuditArgs),
    /// Print a script that completes these commands in a shell.
    Completions(completions::CompletionsArgs),
}

/// Runs a command.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::SignIn(args) => sessions::sign_in(args).await,
        Command::SignOut(args) => sessions::sign_out(args).await,
        Command::Users(args) => users::run(args).await,
        Command::Organizations(args) => organizations::run(args).await,
        Command::Members(args) => members::run(args).await,
        Command::Invites(args) => invites::run(args).await,
        Command::Customers(args) => customers::run(args).await,
        Command::Records(args) => records::run(args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::Webhooks(args) => webhooks::run(args).await,
        Command::Apps(args) => apps::run(args).await,
        Command::Deletions(args) => deletions::run(args).await,
        Command::Billing(args) => billing::run(args).await,
        Command::Effects(args) => effects::run(args).await,
        Command::Exports(args) => exports::run(args).await,
        Command::Holds(args) => holds::run(args).await,
        Command::Requirements(args) => requirements::run(args).await,
        Command::Approvals(args) => approvals::run(args).await,
        Command::Retention(args) => retention::run(args).await,
        Command::Find(args) => find::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Completions(args) => completions::run(&args),
    }
}
