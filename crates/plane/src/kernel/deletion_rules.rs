//! What a deletion does, table by table: the only place.
//!
//! `TABLES` says of every column what it holds, each root's rules what happens to every table that hangs on it or points at it. The engine holds
//! both against the live schema when the server starts: a table or column that no rule decides about stops it.

use super::deletion_tables::TABLES;
use deletion::Fate;
use deletion::Fate::{Erase, Keep, Redact};
use deletion::Kept::{self, For};
use deletion::{ParentTable, Plan, Rule, Rules, uuid};

use crate::events::Event;
use crate::retention_periods::Retention;

sql::words! {
    /// What can be deleted. Each has rules of its own.
    pub enum Root {
        /// An organization with everything in it.
        Organization = "organization",
        /// A membership.
        Member = "member",
        /// A customer, for good.
        Customer = "customer",
        /// A customer, marked as deleted and kept.
        RetiredCustomer = "retired_customer",
        /// An API key.
        ApiKey = "api_key",
        /// An invitation.
        Invitation = "invitation",
        /// A webhook endpoint.
        Webhook = "webhook",
        /// An OAuth app with its tokens.
        OauthApp = "oauth_app",
        /// An OAuth token.
        OauthToken = "oauth_token",
        /// A user's account.
        User = "user",
        /// Many customers at once, each deleted as a customer.
        CustomerPurge = "customer_purge",
    }
}

/// Customers with what hangs on them.
const CUSTOMERS: ParentTable = ParentTable { table: "customers", by: "customer_id", key: uuid("id") };

/// Tables whose rows others hang on.
const PARENTS: &[ParentTable] = &[
    ParentTable { table: "members", by: "member_id", key: uuid("id") },
    ParentTable { table: "oauth_apps", by: "app_id", key: uuid("id") },
    CUSTOMERS,
    ParentTable { table: "webhooks", by: "webhook_id", key: uuid("id") },
];

/// Tables in which rows come by themselves: what the server writes down about requests, refused ones among them, and the sessions of people
/// who sign in, the one who deletes among them. Approvals come after the plan that they are given to. No deletion is refused for these.
const COMES_BY_ITSELF: &[&str] =
    &["audit_entries", "client_addresses", "deletions", "effects", "idempotent_answers", "sessions", "deletion_approvals", "purge_items"];

/// The rules as the engine takes them.
pub static RULES: Rules =
    Rules::new("organization_id", ROOTS, TABLES, PARENTS, COMES_BY_ITSELF, "crates/plane/src/kernel/deletion_rules.rs");

/// The name of the time until which an archive is kept that was ordered with a deletion.
pub(crate) const ARCHIVE: &str = "archive";

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
    Rule::new("activity_entries", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("customer_sessions", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("devices", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("screens", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("transactions", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("subscriptions", BY_ORGANIZATION, &[uuid("customer_id"), uuid("id")], Erase, "belongs to a customer"),
    Rule::new("billing_subscriptions", BY_ORGANIZATION, &[uuid("id")], Erase, "ended at the payment provider, which keeps the billing history; the receipt says which"),
    Rule::new("billing_terms", BY_ORGANIZATION, &[uuid("organization_id")], Erase, "how the organization's subscriptions end"),
    Rule::new("customers", BY_ORGANIZATION, &[uuid("id")], Erase, "belongs to the organization"),
    Rule::new("api_keys", BY_ORGANIZATION, &[uuid("id")], Erase, "opens nothing any more"),
    Rule::new("oauth_tokens", BY_ORGANIZATION, &[uuid("id")], Erase, "opens nothing any more"),
    Rule::new("oauth_apps", BY_ORGANIZATION, &[uuid("id")], Erase, "belongs to the organization"),
    Rule::new("sessions", BY_ORGANIZATION, &[uuid("member_id"), uuid("id")], Erase, "bound to a membership of the organization"),
    Rule::new("invitations", BY_ORGANIZATION, &[uuid("id")], Erase, "leads nowhere any more"),
    Rule::new("requirements", BY_ORGANIZATION, &[uuid("organization_id")], Erase, "what the organization asks of those who delete"),
    Rule::new("deletion_approvals", BY_ORGANIZATION, &[uuid("id")], Erase, "approves nothing any more; who approved what was done is in the audit trail"),
    Rule::new("members", BY_ORGANIZATION, &[uuid("id")], Erase, "belongs to the organization; the people's accounts stay theirs"),
    Rule::new("effects", BY_ORGANIZATION, &[uuid("queue_id"), uuid("id")], Erase, "what was done outside for the organization, once the last of its webhooks was told"),
    Rule::new("webhooks", BY_ORGANIZATION, &[uuid("id")], Erase, "belongs to the organization; its secret goes with it"),
    Rule::new("idempotent_answers", BY_ORGANIZATION, &[uuid("id")], Erase, "what was answered about the organization, kept for repeated requests"),
    Rule::new("exports", BY_ORGANIZATION, &[uuid("id")], Erase, "holds what is being deleted; its file goes within seconds").only(ON_ITS_OWN),
    Rule::new("exports", BY_ORGANIZATION, &[uuid("id")], Keep, FETCHED).only(OF_A_DELETION).kept(For(ARCHIVE)),
    Rule::new("holds", BY_ORGANIZATION, &[uuid("id")], Erase, "over, or it would not be deleted; who placed and released each, and why, is in the audit trail"),
    Rule::new("purge_items", BY_ORGANIZATION, &[uuid("purge_id"), uuid("id")], Erase, "what became of each customer of a purge; the customers' own receipts stay"),
    Rule::new("purges", BY_ORGANIZATION, &[uuid("id")], Erase, "purges under way, whose customers go with the organization"),
    Rule::new("audit_entries", BY_ORGANIZATION, &[uuid("id")], NO_LABEL, "shows who did what, to operators, after the organization is gone; holds only ids once the labels are removed").kept(For(Retention::Audit.name())),
    Rule::new("deletions", BY_ORGANIZATION, &[uuid("id")], NO_LABEL, "the receipts; they hold only ids and counts once the labels are removed").kept(For(Retention::Receipts.name())),
    Rule::new("organizations", &["id"], &[], Erase, "the organization itself; its slug is free again"),
];

#[rustfmt::skip]
const MEMBER_RULES: &[Rule] = &[
    Rule::new("api_keys", BY_MEMBER, &[uuid("id")], Erase, "a key acts as the member who made it"),
    Rule::new("api_keys", &["organization_id", "created_by"], &[uuid("id")], Redact(&[("created_by", "NULL")]), "a service account is the organization's and outlives who made it: give it a new secret if they know the one it has").kept(Kept::Alive),
    Rule::new("oauth_tokens", BY_MEMBER, &[uuid("id")], Erase, "a token acts as the member who made its app"),
    Rule::new("oauth_apps", BY_MEMBER, &[uuid("id")], Erase, "an app acts as the member who made it"),
    Rule::new("sessions", BY_MEMBER, &[uuid("id")], Erase, "a session bound to the membership ends with it"),
    Rule::new("customers", &["organization_id", "managed_by"], &[uuid("id")], Redact(&[("managed_by", "NULL")]), "customers outlive their manager").kept(Kept::Alive),
    Rule::new("invitations", &["organization_id", "invited_by"], &[uuid("id")], Redact(&[("invited_by", "NULL")]), "stays listed, and is good no more: no member stands for its role").kept(Kept::Alive),
    Rule::new("deletion_approvals", BY_MEMBER, &[uuid("id")], Erase, "an approval counts while its maker is an owner"),
    Rule::new("deletion_approvals", BY_SUBJECT, &[uuid("id")], Erase, "approves the removal that is done with this").only(OF_ANOTHER),
    Rule::new("members", BY_ID, &[], Erase, "the membership itself"),
];

#[rustfmt::skip]
const CUSTOMER_RULES: &[Rule] = &[
    Rule::new("activity_entries", BY_CUSTOMER, &[uuid("id")], Erase, "belongs to the customer"),
    Rule::new("customer_sessions", BY_CUSTOMER, &[uuid("id")], Erase, "the customer's sessions end"),
    Rule::new("devices", BY_CUSTOMER, &[uuid("id")], Erase, "the customer's devices are disconnected"),
    Rule::new("screens", BY_CUSTOMER, &[uuid("id")], Erase, "belongs to the customer"),
    Rule::new("transactions", BY_CUSTOMER, &[uuid("id")], Erase, "belongs to the customer"),
    Rule::new("subscriptions", BY_CUSTOMER, &[uuid("id")], Erase, "belongs to the customer"),
    Rule::new("billing_subscriptions", BY_SUBJECT, &[uuid("id")], Erase, "ended at the payment provider, which keeps the billing history; the receipt says which"),
    Rule::new("effects", BY_SUBJECT, &[uuid("queue_id"), uuid("id")], Erase, "speaks of the customer; what was not delivered yet no longer is"),
    Rule::new("exports", BY_SUBJECT, &[uuid("id")], Erase, "holds what is being deleted; its file goes within seconds").only(ON_ITS_OWN),
    Rule::new("exports", BY_SUBJECT, &[uuid("id")], Keep, FETCHED).only(OF_A_DELETION).kept(For(ARCHIVE)),
    Rule::new("deletion_approvals", BY_SUBJECT, &[uuid("id")], Erase, "approves the deletion that is done with this"),
    Rule::new("holds", BY_SUBJECT, &[uuid("id")], Keep, "over, or it would not be deleted; shows who held the customer, until when and why").kept(For(Retention::Holds.name())),
    Rule::new("purge_items", BY_CUSTOMER, &[uuid("purge_id"), uuid("id")], Keep, "what became of the customer in a purge; holds only ids").kept(For(Retention::Receipts.name())),
    Rule::new("audit_entries", BY_SUBJECT, &[uuid("id")], NO_LABEL, "shows who did what; holds only ids once the label is removed").kept(For(Retention::Audit.name())),
    Rule::new("deletions", BY_SUBJECT, &[uuid("id")], NO_LABEL, "the receipt; holds only ids and counts once the label is removed").kept(For(Retention::Receipts.name())),
    Rule::new("customers", BY_ID, &[], Erase, "the customer; the id is free again"),
];

#[rustfmt::skip]
const RETIRED_CUSTOMER_RULES: &[Rule] = &[
    Rule::new("customer_sessions", BY_CUSTOMER, &[uuid("id")], Erase, "the customer's sessions end"),
    Rule::new("devices", BY_CUSTOMER, &[uuid("id")], Erase, "the customer's devices are disconnected"),
    Rule::new("screens", BY_CUSTOMER, &[uuid("id")], Keep, "kept with the customer; a pass is used once").kept(For(Retention::Customers.name())),
    Rule::new("activity_entries", BY_CUSTOMER, &[uuid("id")], Keep, "kept for audit until the customer goes for good").kept(For(Retention::Customers.name())),
    Rule::new("transactions", BY_CUSTOMER, &[uuid("id")], Keep, "kept for the books until the customer goes for good").kept(For(Retention::Customers.name())),
    Rule::new("subscriptions", BY_CUSTOMER, &[uuid("id")], Keep, "kept for the books until the customer goes for good").kept(For(Retention::Customers.name())),
    Rule::new("billing_subscriptions", BY_SUBJECT, &[uuid("id")], Keep, "ended at the payment provider; kept for the books until the customer goes for good").kept(For(Retention::Customers.name())),
    Rule::new("effects", BY_SUBJECT, &[uuid("queue_id"), uuid("id")], Keep, "the history of what was done outside").kept(For(Retention::Deliveries.name())),
    Rule::new("exports", BY_SUBJECT, &[uuid("id")], Erase, "holds what is no longer readable; its file goes within seconds").only(ON_ITS_OWN),
    Rule::new("exports", BY_SUBJECT, &[uuid("id")], Keep, FETCHED).only(OF_A_DELETION).kept(For(ARCHIVE)),
    Rule::new("deletion_approvals", BY_SUBJECT, &[uuid("id")], Erase, "approves the deletion that is done with this"),
    Rule::new("holds", BY_SUBJECT, &[uuid("id")], Keep, "shows who holds the customer, until when and why").kept(For(Retention::Holds.name())),
    Rule::new("purge_items", BY_CUSTOMER, &[uuid("purge_id"), uuid("id")], Keep, "what became of the customer in a purge").kept(For(Retention::Receipts.name())),
    Rule::new("audit_entries", BY_SUBJECT, &[uuid("id")], Keep, "shows who did what").kept(For(Retention::Audit.name())),
    Rule::new("deletions", BY_SUBJECT, &[uuid("id")], Keep, "the receipt").kept(For(Retention::Receipts.name())),
    Rule::new("customers", BY_ID, &[], Keep, "marked as deleted, no longer readable, its id stays taken; an ADMIN can hard-delete it before").kept(For(Retention::Customers.name())),
];

const API_KEY_RULES: &[Rule] =
    &[Rule::new("api_keys", BY_ID, &[], Erase, "the key itself; what it made opens nothing from then on, and goes within a minute")];

const INVITATION_RULES: &[Rule] =
    &[Rule::new("invitations", BY_ID, &[], Keep, "marked as cancelled and listed as such; its link no longer works")
        .kept(For(Retention::Invitations.name()))];

#[rustfmt::skip]
const WEBHOOK_RULES: &[Rule] = &[
    Rule::new("effects", &["organization_id", "webhook_id"], &[uuid("queue_id"), uuid("id")], Erase, "its queue and its history"),
    Rule::new("webhooks", BY_ID, &[], Erase, "the endpoint and its secret"),
];

#[rustfmt::skip]
const OAUTH_APP_RULES: &[Rule] = &[
    Rule::new("oauth_tokens", &["organization_id", "app_id"], &[uuid("id")], Erase, "a token is its app's"),
    Rule::new("oauth_apps", BY_ID, &[], Erase, "the app itself; what its tokens made opens nothing from then on, and goes within a minute"),
];

const OAUTH_TOKEN_RULES: &[Rule] =
    &[Rule::new("oauth_tokens", BY_ID, &[], Erase, "the token itself; what it made opens nothing from then on, and goes within a minute")];

#[rustfmt::skip]
const USER_RULES: &[Rule] = &[
    Rule::new("members", BY_USER, &[uuid("organization_id"), uuid("id")], Erase, "each membership ends as a deletion of its own, ordered in the same step; the account goes after the last of them"),
    Rule::new("sessions", BY_USER, &[uuid("id")], Erase, "the person is signed out everywhere"),
    Rule::new("user_api_keys", BY_USER, &[uuid("id")], Erase, "opens nothing any more"),
    Rule::new("preferences", BY_USER, &[uuid("user_id")], Erase, "belongs to the person"),
    Rule::new("client_addresses", BY_USER, &[uuid("id")], Erase, "from where the person signed in; that they did stays in the audit trail"),
    Rule::new("users", &["id"], &[], Erase, "the account; its address is free again"),
];

#[rustfmt::skip]
const CUSTOMER_PURGE_RULES: &[Rule] = &[
    Rule::new("purge_items", &["organization_id", "purge_id"], &[uuid("id")], Keep, "what became of each customer, with the deletions that were ordered; holds only ids").kept(For(Retention::Receipts.name())),
    Rule::new("purges", BY_ID, &[], Erase, "what was asked for, once all of it is done"),
];

/// A root of which nothing needs to be said but its name and its rules.
const fn root(root: Root, rules: &'static [Rule]) -> deletion::Root {
    deletion::Root {
        name: root.name(),
        noun: root.name(),
        rules,
        mark: None,
        unmark: None,
        credentials: &[],
        waits_before: None,
        awaits: None,
        is_locked_when_ordered: false,
        locks_each_batch: false,
        orders_others: None,
        cascades: None,
        guards: "nothing",
    }
}

const CLOSED: Option<&str> = Some("state = 'closed', version = version + 1");
const LIVE_AGAIN: Option<(&str, &str)> = Some(("state = 'live', version = version + 1", "closed"));
const OPENS_AN_ORGANIZATION: &[&str] = &["api_keys", "oauth_tokens", "sessions"];
const OPENS_A_CUSTOMER: &[&str] = &["customer_sessions", "devices"];
const GUARDS_OF_CUSTOMERS: &str = "a subscription is active; a transaction is pending; a legal hold on the customer or the organization is in \
                                   force; what the organization asks for is missing";

/// The roots, in the order of [`Root::ALL`].
const ROOTS: &[deletion::Root] = &[
    deletion::Root {
        mark: CLOSED,
        unmark: LIVE_AGAIN,
        credentials: OPENS_AN_ORGANIZATION,
        waits_before: Some("effects"),
        cascades: Some(CUSTOMERS),
        guards: "a legal hold on it, on a customer or on a user in it is in force; what it asks for is missing",
        ..root(Root::Organization, ORGANIZATION_RULES)
    },
    deletion::Root {
        mark: CLOSED,
        unmark: LIVE_AGAIN,
        credentials: OPENS_AN_ORGANIZATION,
        guards: "the member is the organization's last owner; a legal hold on the user or the organization is in force; what the organization asks for is missing, unless the member leaves",
        ..root(Root::Member, MEMBER_RULES)
    },
    deletion::Root {
        mark: CLOSED,
        // One that was softly deleted before is that again.
        unmark: Some(("state = CASE WHEN deleted_at IS NULL THEN 'live' ELSE 'deleted' END, version = version + 1", "closed")),
        credentials: OPENS_A_CUSTOMER,
        is_locked_when_ordered: true,
        guards: GUARDS_OF_CUSTOMERS,
        ..root(Root::Customer, CUSTOMER_RULES)
    },
    deletion::Root {
        mark: Some("state = 'deleted', version = version + 1, deleted_at = {now}"),
        unmark: Some(("state = 'live', version = version + 1, deleted_at = NULL", "deleted")),
        credentials: OPENS_A_CUSTOMER,
        noun: "customer",
        is_locked_when_ordered: true,
        locks_each_batch: true,
        guards: GUARDS_OF_CUSTOMERS,
        ..root(Root::RetiredCustomer, RETIRED_CUSTOMER_RULES)
    },
    root(Root::ApiKey, API_KEY_RULES),
    deletion::Root { mark: Some("status = 'cancelled'"), ..root(Root::Invitation, INVITATION_RULES) },
    deletion::Root {
        mark: CLOSED,
        guards: "a legal hold on the organization, or on a customer that the webhook was told of, is in force",
        ..root(Root::Webhook, WEBHOOK_RULES)
    },
    deletion::Root { mark: CLOSED, ..root(Root::OauthApp, OAUTH_APP_RULES) },
    root(Root::OauthToken, OAUTH_TOKEN_RULES),
    deletion::Root {
        mark: Some("state = 'closed'"),
        awaits: Some("members"),
        guards: "the person is the last owner of an organization, each of which is named; a membership is held; they are the last operator",
        ..root(Root::User, USER_RULES)
    },
    deletion::Root {
        orders_others: Some("customers"),
        guards: "the organization is archived; what the organization asks for, but for approvals, is missing. A customer that something blocks, or that has no approval, is left out, and no other",
        ..root(Root::CustomerPurge, CUSTOMER_PURGE_RULES)
    },
];

impl Root {
    /// It, as the engine takes it.
    pub fn definition(self) -> &'static deletion::Root {
        &ROOTS[self as usize]
    }

    /// How it is deleted.
    pub fn plan(self) -> &'static Plan {
        RULES.plan(self.definition())
    }

    /// The root of a deletion that the engine has in hand.
    ///
    /// # Errors
    /// [`crate::Error::Internal`] when there is none of that name.
    pub(crate) fn of(definition: &deletion::Root) -> crate::Result<Root> {
        let name = definition.name;
        Root::parse(name).ok_or_else(|| crate::Error::Internal(format!("a deletion has the unknown root {name}")))
    }

    /// The kind of subject, in the audit trail.
    pub fn noun(self) -> &'static str {
        self.definition().noun
    }

    /// What happens to each table, children before parents, the root's own row last.
    pub fn rules(self) -> &'static [Rule] {
        self.definition().rules
    }

    /// The tables of what opens something: it does not come back when the subject does.
    pub(crate) fn credentials(self) -> &'static [&'static str] {
        self.definition().credentials
    }

    /// Whether credentials depend on such a subject, so that its end must be known before the answer.
    pub(crate) fn ends_access(self) -> bool {
        match self {
            Root::Organization | Root::Member | Root::ApiKey | Root::OauthApp | Root::OauthToken | Root::User => true,
            Root::Customer | Root::RetiredCustomer | Root::Invitation | Root::Webhook | Root::CustomerPurge => false,
        }
    }

    /// The event that tells the organization's webhooks of it, beside `deletion.started`.
    pub(crate) fn event(self) -> Option<Event> {
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
}
