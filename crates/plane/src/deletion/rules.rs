//! What a deletion does, table by table: the only place.
//!
//! [`TABLES`] says of every column what it holds; [`Root::rules`] says of every root what happens to every table that hangs on it or points
//! at it. [`check`] holds both against the live schema when the server starts: a table or column that no rule decides about stops it.

pub use super::coverage::check;
use super::family::Kin;
use crate::events::Event;
use crate::retention::Retention;
use crate::{Error, Result};
use Fate::{Erase, Keep, Redact};
use Holds::{Link, Personal, Plain, Secret};
use Kept::For;

/// What can be deleted. Each has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// An organization with everything in it.
    Organization,
    /// A membership.
    Member,
    /// A customer, for good.
    Customer,
    /// A customer, marked as deleted and kept.
    RetiredCustomer,
    /// An API key.
    ApiKey,
    /// An invitation.
    Invitation,
    /// A webhook endpoint.
    Webhook,
    /// An OAuth app with its tokens.
    OauthApp,
    /// An OAuth token.
    OauthToken,
    /// A user's account.
    User,
    /// Many customers at once, each deleted as a customer.
    CustomerPurge,
}

/// What happens to the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The rows go.
    Erase,
    /// The rows stay and these columns get these SQL literals.
    Redact(&'static [(&'static str, &'static str)]),
    /// The rows stay as they are.
    Keep,
}

/// How long the rows stay that a rule keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// No rule says: right for what is erased, and stops the server for anything else.
    Unsaid,
    /// They live on, and are none of what is deleted.
    Alive,
    /// Until the archive expires that they tell of.
    Archive,
    /// For this period.
    For(Retention),
}

/// One table's fate under one root.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The table.
    pub table: &'static str,
    /// The columns that tie a row to the root: the first holds the organization, the second the subject; one alone holds the subject.
    pub by: &'static [&'static str],
    /// The columns that, after `by`, order the rows along an index: the drain walks along them. Empty for the root's own row; the same as `by`
    /// where there are so few rows that all of a subject's go at once.
    pub walk: &'static [&'static str],
    /// An SQL condition on the rows that the rule is about; empty for all that `by` ties to the root. The rules of a table exclude each other.
    pub only: &'static str,
    /// What happens.
    pub fate: Fate,
    /// How long what stays does.
    pub kept: Kept,
    /// Why, for the people who read `docs/deletion.md`.
    pub why: &'static str,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing about a person.
    Plain,
    /// Something about a person.
    Personal,
    /// A secret or the hash of one.
    Secret,
    /// The id of a row whose deletion must have a rule for this table.
    Link(&'static [Root]),
}

/// A table and what its columns hold.
#[derive(Debug)]
pub struct TableColumns {
    /// The table.
    pub name: &'static str,
    /// Every column.
    pub columns: &'static [(&'static str, Holds)],
}

const ORGANIZATION: Holds = Link(&[Root::Organization]);
const MEMBER: Holds = Link(&[Root::Member]);
const CUSTOMER: Holds = Link(&[Root::Customer, Root::RetiredCustomer]);
const APPROVED: Holds = Link(&[Root::Customer, Root::RetiredCustomer, Root::Member]);
const WEBHOOK: Holds = Link(&[Root::Webhook]);
const OAUTH_APP: Holds = Link(&[Root::OauthApp]);
const USER: Holds = Link(&[Root::User]);
const PURGE: Holds = Link(&[Root::CustomerPurge]);

const fn table(name: &'static str, columns: &'static [(&'static str, Holds)]) -> TableColumns {
    TableColumns { name, columns }
}

/// Every column of every table.
#[rustfmt::skip]
pub const TABLES: &[TableColumns] = &[
    table("users", &[("id", USER), ("email", Personal), ("name", Personal), ("password_hash", Secret), ("is_operator", Plain), ("operator_revision", Plain), ("created_at", Plain), ("metadata", Personal), ("state", Plain), ("email_key", Personal), ("search_key", Personal), ("credential_revision", Plain)]),
    table("ledger", &[("id", Plain), ("position", Plain), ("position_at", Plain), ("beat", Plain), ("is_restored", Plain)]),
    table("ledger_lines", &[("id", Plain), ("at", Plain), ("entry", Plain)]),
    table("signing_keys", &[("id", Plain), ("private_key", Secret), ("created_at", Plain), ("retires_at", Plain)]),
    table("installation", &[("id", Plain), ("former_id", Plain), ("created_at", Plain)]),
    table("secret_keys", &[("id", Plain), ("created_at", Plain)]),
    table("sessions", &[
        ("id", Plain), ("user_id", USER), ("organization_id", ORGANIZATION), ("member_id", MEMBER), ("cookie_hash", Secret),
        ("refresh_hash", Secret), ("created_at", Plain), ("expires_at", Plain), ("refresh_family_hash", Secret),
    ]),
    table("organizations", &[
        ("id", ORGANIZATION), ("slug", Plain), ("name", Plain), ("logo", Plain), ("plan", Plain), ("subscription_status", Plain),
        ("stripe_customer_id", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain), ("updated_at", Plain), ("archived_at", Plain),
        ("revision", Plain), ("metadata", Plain), ("requests_per_day", Plain), ("requests_per_minute", Plain),
        ("requirements_revision", Plain),
    ]),
    table("members", &[
        ("organization_id", ORGANIZATION), ("id", MEMBER), ("user_id", USER), ("role", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain),
        ("revision", Plain),
    ]),
    table("invitations", &[
        ("organization_id", ORGANIZATION), ("id", Link(&[Root::Invitation])), ("email", Personal), ("role", Plain), ("token_hash", Secret),
        ("status", Plain), ("invited_by", MEMBER), ("created_at", Plain), ("expires_at", Plain), ("invited_with", Plain),
        ("credential_id", Plain), ("email_key", Personal),
    ]),
    table("customers", &[
        ("organization_id", ORGANIZATION), ("id", CUSTOMER), ("reference", Personal), ("name", Personal), ("email", Personal), ("phone", Personal),
        ("tax_id", Personal), ("address", Personal), ("metadata", Personal), ("managed_by", MEMBER), ("state", Plain), ("version", Plain),
        ("created_at", Plain), ("updated_at", Plain), ("deleted_at", Plain), ("revision", Plain), ("expires_at", Plain),
        ("archived_at", Plain), ("email_key", Personal), ("search_key", Personal),
    ]),
    table("subscriptions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("plan", Plain), ("status", Plain), ("starts_at", Plain),
        ("ends_at", Plain), ("created_at", Plain),
    ]),
    table("transactions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("amount", Plain), ("currency", Plain), ("status", Plain),
        ("description", Personal), ("created_at", Plain),
    ]),
    table("devices", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("name", Personal), ("platform", Plain), ("created_at", Plain),
    ]),
    table("customer_sessions", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("ip_address", Personal), ("user_agent", Personal), ("created_at", Plain),
    ]),
    table("activity_entries", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("kind", Plain), ("message", Personal), ("created_at", Plain),
    ]),
    table("api_keys", &[
        ("organization_id", ORGANIZATION), ("id", Link(&[Root::ApiKey])), ("member_id", MEMBER), ("kind", Plain), ("name", Plain),
        ("description", Plain), ("hint", Plain), ("hash", Secret), ("scopes", Plain), ("created_at", Plain), ("expires_at", Plain),
        ("is_active", Plain), ("rate_limit_per_minute", Plain), ("rate_limit_per_hour", Plain), ("allowed_ips", Plain), ("last_used_at", Plain),
        ("metadata", Plain), ("made_by", Plain), ("rotations", Plain), ("previous_hash", Secret), ("previous_until", Plain), ("told_days", Plain),
        ("role", Plain), ("created_by", MEMBER), ("credential_revision", Plain),
    ]),
    table("screens", &[
        ("organization_id", ORGANIZATION), ("customer_id", CUSTOMER), ("id", Plain), ("pass_id", Plain), ("created_at", Plain),
    ]),
    table("webhooks", &[
        ("organization_id", ORGANIZATION), ("id", WEBHOOK), ("url", Plain), ("description", Plain), ("events", Plain), ("secret", Secret),
        ("is_active", Plain), ("state", Plain), ("version", Plain), ("created_at", Plain), ("updated_at", Plain), ("old_secret", Secret),
        ("old_secret_until", Plain), ("credential_revision", Plain),
    ]),
    table("webhook_deliveries", &[
        ("organization_id", ORGANIZATION), ("webhook_id", WEBHOOK), ("id", Plain), ("event", Plain), ("subject_id", CUSTOMER),
        ("deletion_id", Plain), ("payload", Personal), ("state", Plain), ("attempts", Plain), ("response_status", Plain), ("error", Plain),
        ("next_attempt_at", Plain), ("created_at", Plain), ("finished_at", Plain),
    ]),
    table("oauth_apps", &[
        ("organization_id", ORGANIZATION), ("id", OAUTH_APP), ("member_id", MEMBER), ("client_id", Plain), ("secret_hash", Secret), ("name", Plain),
        ("description", Plain), ("redirect_uris", Plain), ("scopes", Plain), ("is_active", Plain), ("state", Plain), ("version", Plain),
        ("created_at", Plain), ("updated_at", Plain), ("made_by", Plain), ("credential_revision", Plain),
    ]),
    table("oauth_tokens", &[
        ("organization_id", ORGANIZATION), ("id", Link(&[Root::OauthToken])), ("app_id", OAUTH_APP), ("member_id", MEMBER), ("access_hash", Secret),
        ("refresh_hash", Secret), ("refresh_family_hash", Secret), ("scopes", Plain), ("access_scopes", Plain), ("created_at", Plain),
        ("expires_at", Plain), ("refresh_expires_at", Plain),
    ]),
    table("user_api_keys", &[
        ("id", Plain), ("user_id", USER), ("name", Plain), ("description", Plain), ("hint", Plain), ("hash", Secret), ("scopes", Plain),
        ("rate_limit_per_minute", Plain), ("rate_limit_per_hour", Plain), ("allowed_ips", Plain), ("is_active", Plain), ("created_at", Plain),
        ("expires_at", Plain), ("last_used_at", Plain), ("metadata", Plain), ("rotations", Plain), ("previous_hash", Secret),
        ("previous_until", Plain), ("credential_revision", Plain),
    ]),
    table("preferences", &[("user_id", USER), ("trait", Personal), ("stance", Personal), ("updated_at", Plain)]),
    table("idempotent_answers", &[
        ("id", Plain), ("organization_id", ORGANIZATION), ("request_hash", Secret), ("worker", Plain), ("answer", Secret), ("created_at", Plain),
    ]),
    table("audit_entries", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("action", Plain), ("outcome", Plain), ("subject", Plain),
        ("subject_id", CUSTOMER), ("subject_label", Personal), ("actor", Plain), ("actor_id", Plain), ("credential_id", Plain),
        ("reason", Plain), ("detail", Plain), ("deletion_id", Plain), ("request_id", Plain), ("created_at", Plain),
    ]),
    table("client_addresses", &[("id", Plain), ("user_id", USER), ("address", Personal), ("created_at", Plain)]),
    table("deletions", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("root", Plain), ("subject_id", CUSTOMER), ("subject_label", Personal), ("state", Plain),
        ("actor", Plain), ("actor_id", Plain), ("reason", Plain), ("request_id", Plain), ("stage", Plain), ("cursor", Plain), ("counts", Plain),
        ("effects", Plain), ("batches", Plain), ("longest_batch_us", Plain), ("fence", Plain), ("lease_until", Plain), ("waiting_for", Plain), ("created_at", Plain),
        ("updated_at", Plain), ("sealed_at", Plain), ("waiting_since", Plain), ("rows_expected", Plain), ("reversible_until", Plain),
        ("restored_at", Plain), ("stopped_at", Plain),
    ]),
    table("exports", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("root", Plain), ("subject_id", CUSTOMER), ("subject_label", Personal),
        ("deletion_id", Plain), ("state", Plain), ("actor", Plain), ("actor_id", Plain), ("request_id", Plain), ("counts", Plain),
        ("rows_done", Plain), ("rows_total", Plain), ("bytes", Plain), ("error", Plain), ("attempts", Plain), ("fence", Plain),
        ("lease_until", Plain), ("created_at", Plain), ("finished_at", Plain), ("expires_at", Plain), ("sha256", Plain),
    ]),
    table("holds", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("subject", Plain), ("subject_id", CUSTOMER), ("reason", Plain), ("until", Plain),
        ("placed_by", Plain), ("placed_by_id", Plain), ("placed_at", Plain), ("released_by", Plain), ("released_by_id", Plain),
        ("released_at", Plain), ("release_reason", Plain),
    ]),
    table("requirements", &[
        ("organization_id", ORGANIZATION), ("kind", Plain), ("reason_required", Plain), ("confirmation_required", Plain), ("fresh_minutes", Plain),
        ("approval_required", Plain), ("grace_days", Plain), ("updated_at", Plain),
    ]),
    table("deletion_approvals", &[
        ("organization_id", ORGANIZATION), ("id", Plain), ("subject", Plain), ("subject_id", APPROVED), ("member_id", MEMBER), ("reason", Plain),
        ("created_at", Plain), ("expires_at", Plain),
    ]),
    table("purges", &[
        ("organization_id", ORGANIZATION), ("id", PURGE), ("criteria", Personal), ("subjects", Plain), ("only_managed_by", Plain),
        ("credential_id", Plain), ("created_at", Plain),
    ]),
    table("purge_items", &[
        ("organization_id", ORGANIZATION), ("purge_id", PURGE), ("id", Plain), ("number", Plain), ("customer_id", CUSTOMER), ("outcome", Plain), ("created_at", Plain),
        ("detail", Plain), ("blockers", Plain), ("deletion_id", Plain),
    ]),
];

const fn rule(table: &'static str, by: &'static [&'static str], walk: &'static [&'static str], fate: Fate, why: &'static str) -> Rule {
    Rule { table, by, walk, only: "", fate, kept: Kept::Unsaid, why }
}

impl Rule {
    /// The same for the rows of which this is true.
    const fn only(self, condition: &'static str) -> Rule {
        Rule { only: condition, ..self }
    }

    /// The same, with what stays kept for so long.
    const fn kept(self, kept: Kept) -> Rule {
        Rule { kept, ..self }
    }
}

const BY_ORGANIZATION: &[&str] = &["organization_id"];
const BY_USER: &[&str] = &["user_id"];
const BY_CUSTOMER: &[&str] = &["organization_id", "customer_id"];
const BY_MEMBER: &[&str] = &["organization_id", "member_id"];
const BY_ID: &[&str] = &["organization_id", "id"];
const BY_SUBJECT: &[&str] = &["organization_id", "subject_id"];
/// Of exports: whether a deletion was ordered with it.
const ON_ITS_OWN: &str = "deletion_id IS NULL";
const OF_A_DELETION: &str = "deletion_id IS NOT NULL";
/// Of approvals: whether its maker is another member than the one whose removal it is about.
const OF_ANOTHER: &str = "member_id <> subject_id";
const FETCHED: &str = "what was ordered with the deletion is there to be fetched after it; row and file are erased when it expires";
const NO_LABEL: Fate = Redact(&[("subject_label", "NULL")]);

#[rustfmt::skip]
const ORGANIZATION_RULES: &[Rule] = &[
    rule("activity_entries", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("customer_sessions", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("devices", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("screens", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("transactions", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("subscriptions", BY_ORGANIZATION, &["customer_id", "id"], Erase, "belongs to a customer"),
    rule("customers", BY_ORGANIZATION, &["id"], Erase, "belongs to the organization"),
    rule("api_keys", BY_ORGANIZATION, &["id"], Erase, "opens nothing any more"),
    rule("oauth_tokens", BY_ORGANIZATION, &["id"], Erase, "opens nothing any more"),
    rule("oauth_apps", BY_ORGANIZATION, &["id"], Erase, "belongs to the organization"),
    rule("sessions", BY_ORGANIZATION, &["member_id", "id"], Erase, "bound to a membership of the organization"),
    rule("invitations", BY_ORGANIZATION, &["id"], Erase, "leads nowhere any more"),
    rule("requirements", BY_ORGANIZATION, BY_ORGANIZATION, Erase, "what the organization asks of those who delete"),
    rule("deletion_approvals", BY_ORGANIZATION, &["id"], Erase, "approves nothing any more; who approved what was done is in the audit trail"),
    rule("members", BY_ORGANIZATION, &["id"], Erase, "belongs to the organization; the people's accounts stay theirs"),
    rule("webhook_deliveries", BY_ORGANIZATION, &["webhook_id", "id"], Erase, "the history of the organization's webhooks, once the last of them was told"),
    rule("webhooks", BY_ORGANIZATION, &["id"], Erase, "belongs to the organization; its secret goes with it"),
    rule("idempotent_answers", BY_ORGANIZATION, &["id"], Erase, "what was answered about the organization, kept for repeated requests"),
    rule("exports", BY_ORGANIZATION, &["id"], Erase, "holds what is being deleted; its file goes within seconds").only(ON_ITS_OWN),
    rule("exports", BY_ORGANIZATION, &["id"], Keep, FETCHED).only(OF_A_DELETION).kept(Kept::Archive),
    rule("holds", BY_ORGANIZATION, &["id"], Erase, "over, or it would not be deleted; who placed and released each, and why, is in the audit trail"),
    rule("purge_items", BY_ORGANIZATION, &["purge_id", "id"], Erase, "what became of each customer of a purge; the customers' own receipts stay"),
    rule("purges", BY_ORGANIZATION, &["id"], Erase, "purges under way, whose customers go with the organization"),
    rule("audit_entries", BY_ORGANIZATION, &["id"], NO_LABEL, "shows who did what, to operators, after the organization is gone; holds only ids once the labels are removed").kept(For(Retention::Audit)),
    rule("deletions", BY_ORGANIZATION, &["id"], NO_LABEL, "the receipts; they hold only ids and counts once the labels are removed").kept(For(Retention::Receipts)),
    rule("organizations", &["id"], &[], Erase, "the organization itself; its slug is free again"),
];

#[rustfmt::skip]
const MEMBER_RULES: &[Rule] = &[
    rule("api_keys", BY_MEMBER, &["id"], Erase, "a key acts as the member who made it"),
    rule("api_keys", &["organization_id", "created_by"], &["id"], Redact(&[("created_by", "NULL")]), "a service account is the organization's and outlives who made it: give it a new secret if they know the one it has").kept(Kept::Alive),
    rule("oauth_tokens", BY_MEMBER, &["id"], Erase, "a token acts as the member who made its app"),
    rule("oauth_apps", BY_MEMBER, &["id"], Erase, "an app acts as the member who made it"),
    rule("sessions", BY_MEMBER, &["id"], Erase, "a session bound to the membership ends with it"),
    rule("customers", &["organization_id", "managed_by"], &["id"], Redact(&[("managed_by", "NULL")]), "customers outlive their manager").kept(Kept::Alive),
    rule("invitations", &["organization_id", "invited_by"], &["id"], Redact(&[("invited_by", "NULL")]), "stays listed, and is good no more: no member stands for its role").kept(Kept::Alive),
    rule("deletion_approvals", BY_MEMBER, &["id"], Erase, "an approval counts while its maker is an owner"),
    rule("deletion_approvals", BY_SUBJECT, &["id"], Erase, "approves the removal that is done with this").only(OF_ANOTHER),
    rule("members", BY_ID, &[], Erase, "the membership itself"),
];

#[rustfmt::skip]
const CUSTOMER_RULES: &[Rule] = &[
    rule("activity_entries", BY_CUSTOMER, &["id"], Erase, "belongs to the customer"),
    rule("customer_sessions", BY_CUSTOMER, &["id"], Erase, "the customer's sessions end"),
    rule("devices", BY_CUSTOMER, &["id"], Erase, "the customer's devices are disconnected"),
    rule("screens", BY_CUSTOMER, &["id"], Erase, "belongs to the customer"),
    rule("transactions", BY_CUSTOMER, &["id"], Erase, "belongs to the customer"),
    rule("subscriptions", BY_CUSTOMER, &["id"], Erase, "belongs to the customer"),
    rule("webhook_deliveries", BY_SUBJECT, &["webhook_id", "id"], Erase, "speaks of the customer; what was not delivered yet no longer is"),
    rule("exports", BY_SUBJECT, &["id"], Erase, "holds what is being deleted; its file goes within seconds").only(ON_ITS_OWN),
    rule("exports", BY_SUBJECT, &["id"], Keep, FETCHED).only(OF_A_DELETION).kept(Kept::Archive),
    rule("deletion_approvals", BY_SUBJECT, &["id"], Erase, "approves the deletion that is done with this"),
    rule("holds", BY_SUBJECT, &["id"], Keep, "over, or it would not be deleted; shows who held the customer, until when and why").kept(For(Retention::Holds)),
    rule("purge_items", BY_CUSTOMER, &["purge_id", "id"], Keep, "what became of the customer in a purge; holds only ids").kept(For(Retention::Receipts)),
    rule("audit_entries", BY_SUBJECT, &["id"], NO_LABEL, "shows who did what; holds only ids once the label is removed").kept(For(Retention::Audit)),
    rule("deletions", BY_SUBJECT, &["id"], NO_LABEL, "the receipt; holds only ids and counts once the label is removed").kept(For(Retention::Receipts)),
    rule("customers", BY_ID, &[], Erase, "the customer; the id is free again"),
];

#[rustfmt::skip]
const RETIRED_CUSTOMER_RULES: &[Rule] = &[
    rule("customer_sessions", BY_CUSTOMER, &["id"], Erase, "the customer's sessions end"),
    rule("devices", BY_CUSTOMER, &["id"], Erase, "the customer's devices are disconnected"),
    rule("screens", BY_CUSTOMER, &["id"], Keep, "kept with the customer; a pass is used once").kept(For(Retention::Customers)),
    rule("activity_entries", BY_CUSTOMER, &["id"], Keep, "kept for audit until the customer goes for good").kept(For(Retention::Customers)),
    rule("transactions", BY_CUSTOMER, &["id"], Keep, "kept for the books until the customer goes for good").kept(For(Retention::Customers)),
    rule("subscriptions", BY_CUSTOMER, &["id"], Keep, "kept for the books until the customer goes for good").kept(For(Retention::Customers)),
    rule("webhook_deliveries", BY_SUBJECT, &["webhook_id", "id"], Keep, "the history of the organization's webhooks").kept(For(Retention::Deliveries)),
    rule("exports", BY_SUBJECT, &["id"], Erase, "holds what is no longer readable; its file goes within seconds").only(ON_ITS_OWN),
    rule("exports", BY_SUBJECT, &["id"], Keep, FETCHED).only(OF_A_DELETION).kept(Kept::Archive),
    rule("deletion_approvals", BY_SUBJECT, &["id"], Erase, "approves the deletion that is done with this"),
    rule("holds", BY_SUBJECT, &["id"], Keep, "shows who holds the customer, until when and why").kept(For(Retention::Holds)),
    rule("purge_items", BY_CUSTOMER, &["purge_id", "id"], Keep, "what became of the customer in a purge").kept(For(Retention::Receipts)),
    rule("audit_entries", BY_SUBJECT, &["id"], Keep, "shows who did what").kept(For(Retention::Audit)),
    rule("deletions", BY_SUBJECT, &["id"], Keep, "the receipt").kept(For(Retention::Receipts)),
    rule("customers", BY_ID, &[], Keep, "marked as deleted, no longer readable, its id stays taken; an ADMIN can hard-delete it before").kept(For(Retention::Customers)),
];

const API_KEY_RULES: &[Rule] =
    &[rule("api_keys", BY_ID, &[], Erase, "the key itself; what it made opens nothing from then on, and goes within a minute")];

const INVITATION_RULES: &[Rule] =
    &[rule("invitations", BY_ID, &[], Keep, "marked as cancelled and listed as such; its link no longer works")
        .kept(For(Retention::Invitations))];

#[rustfmt::skip]
const WEBHOOK_RULES: &[Rule] = &[
    rule("webhook_deliveries", &["organization_id", "webhook_id"], &["id"], Erase, "its queue and its history"),
    rule("webhooks", BY_ID, &[], Erase, "the endpoint and its secret"),
];

#[rustfmt::skip]
const OAUTH_APP_RULES: &[Rule] = &[
    rule("oauth_tokens", &["organization_id", "app_id"], &["id"], Erase, "a token is its app's"),
    rule("oauth_apps", BY_ID, &[], Erase, "the app itself; what its tokens made opens nothing from then on, and goes within a minute"),
];

const OAUTH_TOKEN_RULES: &[Rule] =
    &[rule("oauth_tokens", BY_ID, &[], Erase, "the token itself; what it made opens nothing from then on, and goes within a minute")];

#[rustfmt::skip]
const USER_RULES: &[Rule] = &[
    rule("members", BY_USER, &["organization_id", "id"], Erase, "each membership ends as a deletion of its own, ordered in the same step; the account goes after the last of them"),
    rule("sessions", BY_USER, &["id"], Erase, "the person is signed out everywhere"),
    rule("user_api_keys", BY_USER, &["id"], Erase, "opens nothing any more"),
    rule("preferences", BY_USER, BY_USER, Erase, "belongs to the person"),
    rule("client_addresses", BY_USER, &["id"], Erase, "from where the person signed in; that they did stays in the audit trail"),
    rule("users", &["id"], &[], Erase, "the account; its address is free again"),
];

#[rustfmt::skip]
const CUSTOMER_PURGE_RULES: &[Rule] = &[
    rule("purge_items", &["organization_id", "purge_id"], &["id"], Keep, "what became of each customer, with the deletions that were ordered; holds only ids").kept(For(Retention::Receipts)),
    rule("purges", BY_ID, &[], Erase, "what was asked for, once all of it is done"),
];

impl Root {
    /// Every root.
    pub const ALL: [Root; 11] = [
        Root::Organization,
        Root::Member,
        Root::Customer,
        Root::RetiredCustomer,
        Root::ApiKey,
        Root::Invitation,
        Root::Webhook,
        Root::OauthApp,
        Root::OauthToken,
        Root::User,
        Root::CustomerPurge,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Root::Organization => "organization",
            Root::Member => "member",
            Root::Customer => "customer",
            Root::RetiredCustomer => "retired_customer",
            Root::ApiKey => "api_key",
            Root::Invitation => "invitation",
            Root::Webhook => "webhook",
            Root::OauthApp => "oauth_app",
            Root::OauthToken => "oauth_token",
            Root::User => "user",
            Root::CustomerPurge => "customer_purge",
        }
    }

    /// The root of this name.
    pub fn parse(name: &str) -> Option<Root> {
        Root::ALL.into_iter().find(|root| root.name() == name)
    }

    /// The root that a record names.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is none of that name.
    pub(crate) fn of_record(name: &str) -> Result<Root> {
        Root::parse(name).ok_or_else(|| Error::Internal(format!("a deletion has the unknown root {name}")))
    }

    /// The kind of subject, in the audit trail.
    pub fn noun(self) -> &'static str {
        match self {
            Root::RetiredCustomer => "customer",
            other => other.name(),
        }
    }

    /// What happens to each table, children before parents, the root's own row last.
    pub fn rules(self) -> &'static [Rule] {
        match self {
            Root::Organization => ORGANIZATION_RULES,
            Root::Member => MEMBER_RULES,
            Root::Customer => CUSTOMER_RULES,
            Root::RetiredCustomer => RETIRED_CUSTOMER_RULES,
            Root::ApiKey => API_KEY_RULES,
            Root::Invitation => INVITATION_RULES,
            Root::Webhook => WEBHOOK_RULES,
            Root::OauthApp => OAUTH_APP_RULES,
            Root::OauthToken => OAUTH_TOKEN_RULES,
            Root::User => USER_RULES,
            Root::CustomerPurge => CUSTOMER_PURGE_RULES,
        }
    }

    /// How the root's row is marked when it is closed, `{now}` standing for the time. From then on no reader finds it.
    pub(crate) fn mark(self) -> Option<&'static str> {
        match self {
            Root::Organization | Root::Customer | Root::Member | Root::Webhook | Root::OauthApp => {
                Some("state = 'closed', version = version + 1")
            }
            Root::RetiredCustomer => Some("state = 'deleted', version = version + 1, deleted_at = {now}"),
            Root::Invitation => Some("status = 'cancelled'"),
            Root::User => Some("state = 'closed'"),
            // Nothing hangs on a key or token: it always goes at once.
            Root::ApiKey | Root::OauthToken => None,
            // It is nothing that anybody could find or use.
            Root::CustomerPurge => None,
        }
    }

    /// How the mark of a root is taken off again within its grace period, and the state in which it must be for that. None for those that
    /// never have one.
    pub(super) fn unmark(self) -> Option<(&'static str, &'static str)> {
        match self {
            Root::Organization | Root::Member => Some(("state = 'live', version = version + 1", "closed")),
            // One that was softly deleted before is that again.
            Root::Customer => {
                Some(("state = CASE WHEN deleted_at IS NULL THEN 'live' ELSE 'deleted' END, version = version + 1", "closed"))
            }
            Root::RetiredCustomer => Some(("state = 'live', version = version + 1, deleted_at = NULL", "deleted")),
            Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken | Root::User | Root::CustomerPurge => None,
        }
    }

    /// The tables of what opens something: it does not come back when the subject does.
    pub(crate) fn credentials(self) -> &'static [&'static str] {
        match self {
            Root::Organization | Root::Member => &["api_keys", "oauth_tokens", "sessions"],
            Root::Customer | Root::RetiredCustomer => &["customer_sessions", "devices"],
            Root::ApiKey | Root::Invitation | Root::Webhook | Root::OauthApp | Root::OauthToken | Root::User | Root::CustomerPurge => &[],
        }
    }

    /// Whether credentials depend on such a subject, so that its end must be known before the answer.
    pub(super) fn ends_access(self) -> bool {
        match self {
            Root::Organization | Root::Member | Root::ApiKey | Root::OauthApp | Root::OauthToken | Root::User => true,
            Root::Customer | Root::RetiredCustomer | Root::Invitation | Root::Webhook | Root::CustomerPurge => false,
        }
    }

    /// The event that tells the organization's webhooks of it, beside `deletion.started`.
    pub(super) fn event(self) -> Option<Event> {
        match self {
            Root::Organization => Some(Event::OrganizationDeleted),
            Root::Member => Some(Event::MemberRemoved),
            Root::Customer | Root::RetiredCustomer => Some(Event::CustomerDeleted),
            Root::ApiKey => Some(Event::ApiKeyRevoked),
            Root::Invitation => Some(Event::InviteCancelled),
            Root::OauthApp => Some(Event::OauthAppRevoked),
            Root::Webhook | Root::OauthToken | Root::User | Root::CustomerPurge => None,
        }
    }

    /// The table that is not touched before the deletion's webhooks were told, because it holds what is to be told. The seal of every
    /// deletion waits for that anyway.
    pub(super) fn waits_before(self) -> Option<&'static str> {
        (self == Root::Organization).then_some("webhook_deliveries")
    }

    /// Whether it goes on only after deletions of its memberships, which were ordered with it.
    pub(super) fn waits_for_memberships(self) -> bool {
        self == Root::User
    }

    /// Whether those who order it have locked its row against everybody who wants to hang something on it, and not only against changes.
    pub(super) fn is_claimed_when_ordered(self) -> bool {
        matches!(self, Root::Customer | Root::RetiredCustomer)
    }

    /// Whether what it deletes are subjects of deletions of their own, which the drain orders one after the other.
    pub(super) fn orders_others(self) -> bool {
        self == Root::CustomerPurge
    }

    /// The rows that go together with what hangs on them, where that is little.
    pub(super) fn kin(self) -> Option<Kin> {
        (self == Root::Organization).then_some(Kin { parents: "customers", by: "customer_id" })
    }

    /// What stands in the way of the deletion, for `docs/deletion.md`.
    pub(super) fn guards(self) -> &'static str {
        match self {
            Root::Organization => "a legal hold on it, on a customer or on a user in it is in force; what it asks for is missing",
            Root::Member => {
                "the member is the organization's last owner; a legal hold on the user or the organization is in force; what the organization asks \
                 for is missing, unless the member leaves"
            }
            Root::Customer | Root::RetiredCustomer => {
                "a subscription is active; a transaction is pending; a legal hold on the customer or the organization is in force; what the \
                 organization asks for is missing"
            }
            Root::Webhook => "a legal hold on the organization, or on a customer that the webhook was told of, is in force",
            Root::User => {
                "the person is the last owner of an organization, each of which is named; a membership is held; they are the last operator"
            }
            Root::ApiKey | Root::Invitation | Root::OauthApp | Root::OauthToken => "nothing",
            Root::CustomerPurge => {
                "the organization is archived; what the organization asks for, but for approvals, is missing. A customer \
                 that something blocks, or that has no approval, is left out, and no other"
            }
        }
    }
}
