//! The one thing the doctor does: orders again what did not come to its end. What is then erased, and how, is the drain's and the rules'.

use std::sync::Arc;

use serde_json::json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::CheckContext;
use super::checks::{Closable, closables};
use super::residue::unfinished;
use crate::audit::{self, Note};
use crate::cx::{Actor, Cx};
use crate::deletions::Root;
use crate::{Plane, Result};

/// Deletions that are ordered in one transaction.
const BATCH: usize = 200;
const REASON: &str = "freehold doctor --repair";

/// What was ordered again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Repaired {
    /// Completed deletions that left something and are open again.
    pub reopened: u64,
    /// Closed subjects that no open deletion covered and one covers now.
    pub ordered: u64,
}

/// Opens completed deletions again that left something, and orders the deletion of what is closed and not being deleted. Each is in the audit
/// trail. A running server goes on with them within a second.
///
/// # Errors
/// The database's; what was ordered before stays ordered.
pub async fn repair(plane: &Arc<Plane>) -> Result<Repaired> {
    let cx = Cx::new(plane, "doctor").with_actor(Actor::System);
    let context = CheckContext::of(plane, plane.schema().await?);
    let mut repaired = Repaired::default();
    for batch in unfinished(&context).await?.chunks(BATCH) {
        let deletions = batch.to_vec();
        repaired.reopened += cx.write_as_server(async move |cx, tx| reopen(cx, tx, &deletions).await).await?;
    }
    for closable in closables() {
        let mut after = Uuid::nil();
        loop {
            let (ordered, last) = cx.write_as_server(async move |cx, tx| order(cx, tx, closable, after).await).await?;
            repaired.ordered += ordered;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
    }
    Ok(repaired)
}

async fn reopen(cx: &Cx, tx: &mut Tx, deletions: &[Uuid]) -> Result<u64> {
    // The fence, so that no worker that held it once goes on from where that was.
    let statement = sql!(
        "UPDATE deletions SET state = 'closed', completed_at = NULL, stage = 0, cursor = NULL, fence = fence + 1, lease_until = NULL,
                waiting_for = NULL, waiting_since = NULL, rows_expected = NULL, updated_at = $2
         WHERE id = ANY($1) AND state = 'completed' RETURNING organization_id, id, root, subject_id"
    );
    let reopened: Vec<(Uuid, Uuid, Root, Uuid)> = tx.read_all(statement, params![deletions, cx.now]).await?;
    let count = reopened.len() as u64;
    for (organization, id, root, subject) in reopened {
        note(cx, tx, organization, "deletion.reopen", (root.noun(), subject, id)).await?;
    }
    Ok(count)
}

/// Orders up to a batch of deletions, and returns how many, and the last subject's id if there may be more.
async fn order(cx: &Cx, tx: &mut Tx, closable: &Closable, after: Uuid) -> Result<(u64, Option<Uuid>)> {
    let found: Vec<(Uuid, Uuid)> = tx.read_all(closable.list, params![after, BATCH as i64]).await?;
    let count = found.len();
    let mut last = None;
    for (organization, subject) in found {
        let id = cx.new_id()?;
        let insert = sql!(
            "INSERT INTO deletions (organization_id, id, root, subject_id, state, actor, reason, request_id, stage, counts, effects, batches,
                                    longest_batch_us, fence, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'closed', 'system', $5, $6, 0, $7, $7, 0, 0, 0, $8, $8)"
        );
        let root = closable.root.name();
        tx.execute(insert, params![organization, id, root, subject, REASON, &*cx.request_id, json!({}), cx.now]).await?;
        note(cx, tx, organization, "deletion.order", (closable.root.noun(), subject, id)).await?;
        last = Some(subject);
    }
    Ok((count as u64, last.filter(|_| count == BATCH)))
}

async fn note(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    action: &'static str,
    (subject, id, deletion): (&'static str, Uuid, Uuid),
) -> Result<()> {
    let note = Note { action, subject, subject_id: Some(id), reason: Some(REASON.into()), deletion_id: Some(deletion), ..Note::default() };
    audit::record(cx, tx, organization, &note).await
}
