//! The parameters behind the `?`, which handlers read one by one: what the documents say of them, and which names an operation knows.
#![expect(dead_code, reason = "only their schemas are used")]

use plane::deletions::schema::DeletionFilter;
use plane::holds;
use plane::policy::Role;
use plane::purges::Outcome;
use plane::webhooks::OVERLAP_HOURS;
use plane::wire::{CustomerState, OrganizationName};
use schemars::JsonSchema;
use uuid::Uuid;

/// Which page of a list.
#[derive(JsonSchema)]
pub(crate) struct Pages {
    /// The page, from 1. One past the end is empty.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    page: i64,
    /// Entries on a page, 25 if missing. `pageSize` is read too.
    #[schemars(range(min = 1, max = 100))]
    page_size: i64,
}

/// Where to go on in a long list.
#[derive(JsonSchema)]
pub(crate) struct After {
    /// Reads the list along a cursor instead of by pages: empty for the first slice, then the `next_cursor` of the last one. A slice costs the
    /// same wherever it is, and has no `total_count`.
    #[schemars(length(min = 0, max = 100))]
    after: String,
}

/// Which members of a list.
#[derive(JsonSchema)]
pub(crate) struct MemberFilter {
    /// Only members of this role.
    role: Role,
    /// Only members whose address or name contains this, in whatever case.
    #[schemars(length(min = 0, max = 200))]
    q: String,
}

/// Which deletions of a list.
#[derive(JsonSchema)]
pub(crate) struct DeletionsWanted {
    /// Only deletions of this organization, by its id or slug.
    organization: OrganizationName,
    /// Only deletions in this state; `open` are those not completed yet.
    state: DeletionFilter,
}

/// Where to go on in the audit trail.
#[derive(JsonSchema)]
pub(crate) struct AuditAfter {
    /// The last entry that is known: those after it are meant. Missing: from the beginning.
    after_id: Uuid,
    /// Entries at the most, 1000 if missing.
    #[schemars(range(min = 1, max = 1_000))]
    limit: u16,
}

/// Which effects of a list.
#[derive(JsonSchema)]
pub(crate) struct EffectState {
    /// Only effects in this state.
    state: plane::outbox::State,
}

/// Which holds of a list.
#[derive(JsonSchema)]
pub(crate) struct HoldFilter {
    /// Only holds in this state; `active` are those in force.
    state: holds::State,
}

/// Which customers of a list.
#[derive(JsonSchema)]
pub(crate) struct CustomerFilter {
    /// Only customers whose name, address or id contains this, in whatever case.
    #[schemars(length(min = 0, max = 200))]
    q: String,
    /// Only customers with this address, in whatever case.
    #[schemars(length(min = 0, max = 254))]
    email: String,
    /// Only customers that this member manages.
    #[schemars(rename = "managedBy")]
    managed_by: Uuid,
}

/// What a list is filtered by, text by text. In the address: `metadata[plan]=gold`.
#[derive(JsonSchema)]
pub(crate) struct MetadataFilter {
    /// Only entries with each of these texts among their metadata, `metadata[key]=text`: up to 10, compared exactly.
    metadata: plane::wire::MetadataFilter,
}

/// Whether those are meant who are there, or those who were softly deleted.
#[derive(JsonSchema)]
pub(crate) struct CustomersWanted {
    /// `deleted`: in the place of who is there who was softly deleted and is kept for audit; for those who may delete customers so.
    state: CustomerState,
}

/// Why, for the audit trail.
#[derive(JsonSchema)]
pub(crate) struct Reason {
    /// Why, in your words: kept in the audit trail and the deletion's record. No personal data, please.
    #[schemars(length(min = 0, max = 500))]
    reason: String,
}

/// What was typed to confirm.
#[derive(JsonSchema)]
pub(crate) struct Confirm {
    /// The organization's slug, typed again, where the organization asks for it (`readDeletionRequirements`).
    #[schemars(length(min = 0, max = 100))]
    confirm: String,
}

/// What would be said with a deletion that is only planned, beside what is typed to confirm.
#[derive(JsonSchema)]
pub(crate) struct Said {
    /// The reason that the deletion would have: where the organization asks for one and there is none, that stands in the way.
    #[schemars(length(min = 0, max = 500))]
    reason: String,
}

/// What a deletion is bound to, and whether it is only looked at.
#[derive(JsonSchema)]
pub(crate) struct Plan {
    /// The `plan` of a deletion plan. If something else would go than that says, nothing does: 412, and `drift` names the difference, table by
    /// table. Of up to 500 rows of a table each is recognized, of more their number. What the server writes down by itself (audit trail,
    /// deliveries, kept answers) and sessions of members do not count.
    #[schemars(length(max = 400), extend("pattern" = "^[A-Za-z0-9_-]{40,400}$"))]
    plan: String,
    /// Deletes nothing and answers 200 with the plan, for those who may delete. What stands in the way is part of it, and no error.
    /// `validateOnly` is read too.
    validate_only: bool,
}

/// Whether all that a deletion will erase is exported first.
#[derive(JsonSchema)]
pub(crate) struct Export {
    /// Access ends at once, and nothing is erased before an export of it is done: the deletion's record names it in `exportId`. Needs the right
    /// to export. Only the person who ordered the deletion can download it, until it expires.
    export: bool,
}

/// How a customer is deleted.
#[derive(JsonSchema)]
pub(crate) struct Hard {
    /// Erase the customer for good instead of marking it: for ADMIN only.
    hard: bool,
}

/// Whether a purge is done or only looked at.
#[derive(JsonSchema)]
pub(crate) struct Purge {
    /// How many customers you were told would be deleted: the order is refused with 412 if there are more or fewer by now.
    #[schemars(range(min = 0, max = i64::MAX))]
    count: i64,
    /// Deletes. Without it the customers are counted and nothing is changed. For a list; JSON may say it in the body.
    force: bool,
    /// Why, in your words. For a list; JSON may say it in the body. No personal data, please.
    #[schemars(length(min = 0, max = 500))]
    reason: String,
    /// Deletes nothing, whatever `force` says. `validateOnly` is read too.
    validate_only: bool,
}

/// Which items of a purge.
#[derive(JsonSchema)]
pub(crate) struct ItemFilter {
    /// Only items with this outcome.
    outcome: Outcome,
}

/// How long a secret that is rotated goes on signing.
#[derive(JsonSchema)]
pub(crate) struct Overlap {
    /// Hours for which the secret before signs, too; 24 if missing, 0 ends it at once.
    #[schemars(range(min = 0, max = OVERLAP_HOURS))]
    overlap_hours: i64,
}

/// What becomes of the key before.
#[derive(JsonSchema)]
pub(crate) struct AtOnce {
    /// The key before ends at once, and all access tokens with it, as when it is known to others.
    at_once: bool,
}

/// What is looked for.
#[derive(JsonSchema)]
pub(crate) struct Search {
    /// The id of an organization, a user or a key; a slug; a person's address; the last four characters of a key, or its hint; the id of a
    /// request. Compared as a whole. Never a whole key: it is a secret.
    #[schemars(length(min = 3, max = 254))]
    q: String,
}

/// What the page of one's own preferences says when it is led back to.
#[derive(JsonSchema)]
pub(crate) struct Saved {
    /// Whether the page says that all is saved.
    saved: bool,
}
