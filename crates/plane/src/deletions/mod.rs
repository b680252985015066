//! Deletions of this product: what the engine (`crates/deletion`) cannot know. A deletion is a noun with a row of its own.
//!
//! [`delete`] runs inside the transaction that orders one; `ordering.rs` says to the engine what stands in the way (`guards.rs`), what the
//! organization asks of those who order it (`requirements_check.rs`), and which webhooks hear of it (`effects.rs`). What is done to which table stands in
//! `kernel/deletion_rules.rs`. How a deletion is taken back: `grace.rs`; how what opens something ends: `revoke_credentials.rs`; what it would do:
//! `preview.rs`; how it is done once more in a database that was restored from before it: `repeating.rs`. The drain's side is `work/drain.rs`.

mod document;
pub(crate) mod grace;
mod orders;
pub(crate) mod preview;
pub(crate) mod progress;
mod records;
mod repeating;
mod revoke_credentials;
pub mod schema;

pub(crate) use orders::{approval_rows, effects, export_orders, guards, subscriptions};
use orders::{ordering, requirements_check};

use std::sync::Arc;

use deletion::PlanToken;
pub use deletion::{Drift, RateSample, SMALL_GROUP, TableDrift};
use sql::Tx;
use uuid::Uuid;

pub use crate::deletion_rules as rules;
pub use crate::deletion_rules::Root;
pub use crate::wire::{BLOCKER_CODES, BLOCKER_KINDS};
pub use document::document;
pub(crate) use grace::end_for as end_grace_for;
pub use grace::restore;
pub use guards::Blocker;
pub(crate) use guards::{blockers, check, last_owner};
pub(crate) use ordering::{delete_together, rows};
pub use preview::{Effect, Preview, TablePreview};
pub use progress::{CONDITION_TYPES, Condition, LATE_AFTER, Progress, STUCK_AFTER, Watched};
pub(crate) use progress::{STUCK, Stuck};
pub use records::{Deletion, DeletionFilter, Wanted, get, list, watch};
pub(crate) use repeating::{Repeated, end_purges, repeat, restore_again, stop_again};
pub(crate) use requirements_check::{of_purge, of_purged, of_weakening, unapproved};
pub(crate) use revoke_credentials::{begin_archive, end_archive, end_credentials, go_on_with_archive, go_on_with_archives};

use crate::access::Tenant;
use crate::{Cx, Result};

/// What the subject of a deletion is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For a plan, which locks nothing.
    Plan,
    /// For the deletion: its row is locked.
    Deletion,
}

/// What shall be deleted, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The kind of subject, which chooses the rules.
    pub root: Root,
    /// The subject's id. Its row is locked by the caller.
    pub subject: Uuid,
    /// How the caller named it, if that says more than the id.
    pub label: Option<String>,
    /// Why, in the actor's words; up to 500 characters.
    pub reason: Option<String>,
    /// The word of the audit trail.
    pub action: &'static str,
    /// What exactly is to be done, for the audit trail, where the action and the subject do not say it: nothing about a person.
    pub detail: Option<String>,
    /// Whether it waits, once everybody has lost access, for an export of all it will erase.
    pub export: bool,
}

/// What may be said with the order to delete an organization or a customer.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// Why, in the actor's words; up to 500 characters.
    pub reason: Option<String>,
    /// Whether nothing is erased before an export of it is there. Needs the right to export.
    pub export: bool,
}

impl Cx {
    /// The same work, where a deletion is bound to the plan of this token.
    pub fn bound_to(mut self, token: &str) -> Cx {
        self.planned = Some(Arc::new(PlanToken::read(&rules::RULES, token)));
        self
    }
}

/// Counts what the plan says is too much to be counted while others wait. Part of every deletion that may be large, before its transaction.
pub(crate) async fn count_ahead(cx: &Cx, tenant: &Tenant) -> Result<()> {
    match cx.planned.clone().filter(|planned| planned.is_large_in(tenant.organization())) {
        Some(planned) => cx.read(async move |_, tx| Ok(planned.count(tx).await?)).await,
        None => Ok(()),
    }
}

/// Holds a subject against the plan that came with the request, for deletions that others go before. Those are not held against it.
pub(crate) async fn check_plan(cx: &Cx, tx: &mut Tx, organization: Uuid, (root, subject): (Root, Uuid)) -> Result<Cx> {
    if let Some(planned) = &cx.planned {
        planned.check(tx, root.definition(), organization, subject).await?;
    }
    let mut cx = cx.clone();
    cx.planned = None;
    Ok(cx)
}

/// Deletes a subject whose row the caller has locked: the one choke point of every deletion.
///
/// # Errors
/// [`Error::Blocked`] with all guards that stand in the way; [`Error::Drifted`] when it is bound to a plan and finds something else.
pub(crate) async fn delete(cx: &Cx, tx: &mut Tx, organization: Uuid, order: Order) -> Result<Deletion> {
    match delete_together(tx, organization, vec![(cx.clone(), order)]).await?.pop() {
        Some(outcome) => outcome,
        None => unreachable!("every order has its outcome"),
    }
}
