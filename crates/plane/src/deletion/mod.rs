//! Deletion: close, drain, seal. A deletion is a noun with a row of its own.
//!
//! [`delete`] runs inside the transaction that orders it. It checks the guards, and then either does everything at once, when little hangs
//! on the subject, or *closes* it: marked, unreachable, its credentials dead, the rest left to the drain. Where webhooks are told, the seal
//! waits until they were. How one or several are done at once stands in `together.rs`, what is done to which table in `rules.rs`, the drain
//! and the seal in `drain.rs`, how it is taken back in `grace.rs`, how what opens something ends with it in `ending.rs`, which webhooks it
//! tells in `effects.rs`, what the organization asks of those who order it in `asked.rs`, what it would do in `preview.rs`, what binds it
//! to that in `binding.rs`, and how it is done once more in a database that was restored from before it in `repeating.rs`.

pub mod abreast;
mod asked;
mod binding;
mod counting;
mod coverage;
mod document;
pub mod drain;
mod effects;
mod ending;
mod family;
mod grace;
mod guards;
mod pace;
mod preview;
mod progress;
mod records;
mod repeating;
pub mod rules;
mod statements;
mod subject;
mod together;

use sql::Tx;
use uuid::Uuid;

pub(crate) use asked::{of_purge, of_purged, of_weakening, unapproved};
pub(crate) use binding::count_ahead;
pub use binding::{Drift, Planned, TableDrift};
pub use document::document;
pub(crate) use effects::blocked;
pub(crate) use ending::{begin_archive, end_archive, end_credentials, go_on_with_archive, go_on_with_archives};
pub use family::SMALL_FAMILY;
pub(crate) use grace::end_for as end_grace_for;
pub use grace::{OVER, end_grace, restore};
pub use guards::{BLOCKER_CODES, BLOCKER_KINDS, Blocker};
pub(crate) use guards::{blockers, check, last_owner};
pub(crate) use pace::Notes;
pub use preview::{Effect, Preview, TablePreview, preview};
pub(crate) use progress::Estimates;
pub use progress::{CONDITION_TYPES, Condition, LATE_AFTER, Progress, Pulse, STUCK_AFTER, Watched};
pub use records::{Deletion, DeletionFilter, Wanted, get, list, watch};
pub(crate) use repeating::{Repeated, end_purges, repeat, restore_again, stop_again};
pub use rules::Root;
pub use statements::all as all_statements;
pub use subject::Subject;
pub(crate) use together::{delete_together, rows};

use crate::fields::Check;
use crate::{Cx, Result};

/// Rows up to which a deletion is done at once, in the transaction that orders it.
const SMALL: i64 = 500;

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

/// Checks the reason of a deletion.
///
/// # Errors
/// [`Error::Invalid`] when it is longer than 500 characters or has control characters.
pub fn check_reason(reason: Option<&str>) -> Result<()> {
    Check::new().optional("reason", reason, 0..=500).finish()
}

/// Holds a subject against the plan that came with the request, for deletions that others go before. Those are not held against it.
pub(crate) async fn check_plan(cx: &Cx, tx: &mut Tx, organization: Uuid, (root, subject): (Root, Uuid)) -> Result<Cx> {
    binding::check(cx, tx, statements::Plan::of(root), organization, (root, subject)).await?;
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
