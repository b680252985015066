//! Deletion: close, drain, seal. A deletion is a noun with a row of its own.
//!
//! [`delete`] runs inside the transaction that orders it. It checks the guards, and then either does everything at once, when little hangs
//! on the subject, or *closes* it: marked, unreachable, its credentials dead, the rest left to the drain. Where webhooks are told, the seal
//! waits until they were. What is done to which table stands in `rules.rs`; the drain and the seal in `drain.rs`; whom it tells in `effects.rs`.

mod document;
pub mod drain;
mod effects;
mod guards;
mod preview;
mod records;
pub mod rules;
mod statements;

use sql::{Tx, params, sql};
use uuid::Uuid;

pub use document::document;
pub(crate) use effects::blocked;
pub use guards::Blocker;
pub(crate) use guards::last_owner;
pub use preview::{Preview, Subject, TablePreview, preview};
pub use records::{Deletion, get, list};
pub use rules::Root;
pub use statements::all as all_statements;

use crate::audit::{self, Note, actor_columns};
use crate::fields::Check;
use crate::{Cx, Error, Result, events};
use statements::Plan;

/// Rows up to which a deletion is done at once, in the transaction that orders it.
const SMALL: i64 = 200;

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
}

/// Checks the reason of a deletion.
///
/// # Errors
/// [`Error::Invalid`] when it is longer than 500 characters or has control characters.
pub fn check_reason(reason: Option<&str>) -> Result<()> {
    Check::new().optional("reason", reason, 0..=500).finish()
}

/// Deletes a subject whose row the caller has locked: the one choke point of every deletion.
///
/// # Errors
/// [`Error::Blocked`] with all guards that stand in the way.
pub(crate) async fn delete(cx: &Cx, tx: &mut Tx, organization: Uuid, order: Order) -> Result<Deletion> {
    check_reason(order.reason.as_deref())?;
    let blockers = guards::check(tx, order.root, organization, order.subject).await?;
    if !blockers.is_empty() {
        return Err(Error::Blocked(blockers));
    }
    let id = cx.new_id()?;
    let plan = Plan::of(order.root);
    let counted = plan.count(tx, organization, order.subject, SMALL + 1).await?;
    let is_small = counted.iter().map(|(_, rows)| rows).sum::<i64>() <= SMALL;
    let is_heard = events::has_listeners(tx, organization).await?;
    let facts = match is_heard {
        true => effects::facts(tx, order.root, organization, order.subject, order.label.as_deref()).await?,
        false => serde_json::Value::Null,
    };
    // The webhooks of an organization must outlive it until they were told.
    let (counts, is_done) = match is_small && !(is_heard && order.root.waits_before().is_some()) {
        true => drain::finish(tx, plan, organization, order.subject, &counted).await?,
        false => (serde_json::json!({}), false),
    };
    if !is_done || !plan.erases_root() {
        plan.close(cx, tx, organization, order.subject).await?;
    }
    let awaited = match is_heard {
        true => effects::start(cx, tx, organization, id, (order.root, order.subject), facts).await?,
        false => 0,
    };
    let is_sealed = is_done && awaited == 0;
    if is_sealed && is_heard {
        effects::complete(cx, tx, organization, id, order.root, order.subject).await?;
    }
    // What is erased at once never gets the label that the seal would have to remove.
    let label = order.label.filter(|_| !(is_done && plan.erases_root()));
    let note = Note {
        action: order.action,
        subject: order.root.noun(),
        subject_id: Some(order.subject),
        subject_label: label.clone(),
        reason: order.reason.clone(),
        deletion_id: Some(id),
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    let plane = cx.plane.clone();
    tx.on_commit(move || {
        plane.liveness.kill(order.subject);
        if !is_sealed {
            plane.drain_bell.notify_one();
        }
    });
    let (actor, actor_id, _) = actor_columns(cx);
    let deletion = Deletion {
        id,
        organization,
        root: order.root.name().into(),
        subject: order.subject,
        subject_label: label,
        state: if is_sealed { "sealed" } else { "closed" }.into(),
        actor: actor.into(),
        actor_id,
        reason: order.reason,
        request_id: cx.request_id.to_string(),
        counts,
        effects: serde_json::json!({}),
        batches: 0,
        longest_batch_micros: 0,
        waiting_for: None,
        created_at: cx.now,
        updated_at: cx.now,
        sealed_at: is_sealed.then_some(cx.now),
    };
    insert(tx, &deletion).await?;
    Ok(deletion)
}

async fn insert(tx: &mut Tx, deletion: &Deletion) -> Result<()> {
    let statement = sql!(
        "INSERT INTO deletions (organization_id, id, root, subject_id, subject_label, state, actor, actor_id, reason, request_id, stage, cursor,
                                counts, effects, batches, longest_batch_us, fence, created_at, updated_at, sealed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, NULL, $11, '{}', 0, 0, 0, $12, $12, $13)"
    );
    let values = params![
        deletion.organization,
        deletion.id,
        &deletion.root,
        deletion.subject,
        deletion.subject_label.as_deref(),
        &deletion.state,
        &deletion.actor,
        deletion.actor_id,
        deletion.reason.as_deref(),
        &deletion.request_id,
        &deletion.counts,
        deletion.created_at,
        deletion.sealed_at,
    ];
    tx.execute(statement, values).await?;
    Ok(())
}
