//! Exports as they are ordered: rows that the job which makes archives takes up.

use sql::{Tx, params, sql};
use uuid::Uuid;

use crate::audit::{self, Note, actor_columns};
use crate::deletions::Root;
use crate::{Cx, Result};

/// Orders an export in a transaction that has found the actor allowed to and holds the subject's lock: with a deletion, which then is not
/// to erase anything before [`is_finished`].
///
/// # Errors
/// The database's.
pub(crate) async fn record(cx: &Cx, tx: &mut Tx, organization: Uuid, root: Root, subject: Uuid, deletion_id: Option<Uuid>) -> Result<Uuid> {
    let id = insert(cx, tx, organization, (root, subject, None), deletion_id).await?;
    let note = Note {
        action: "export.create",
        subject: root.noun(),
        subject_id: Some(subject),
        detail: Some(format!("export {id}")),
        deletion_id,
        ..Note::default()
    };
    audit::record(cx, tx, organization, &note).await?;
    Ok(id)
}

/// Whether no export that was ordered with this deletion is still to be made. One that fails is tried until it succeeds or a member deletes
/// it: what is erased was in the archive before. When the last one is there the drain's bell is rung.
///
/// # Errors
/// The database's.
pub(crate) async fn is_finished(tx: &mut Tx, deletion_id: Uuid) -> Result<bool> {
    let statement = sql!("SELECT 1 FROM exports WHERE deletion_id = $1 AND state IN ('waiting', 'running') LIMIT 1");
    Ok(tx.query_opt(statement, params![deletion_id]).await?.is_none())
}

pub(crate) async fn insert(
    cx: &Cx,
    tx: &mut Tx,
    organization: Uuid,
    (root, subject, label): (Root, Uuid, Option<&String>),
    deletion: Option<Uuid>,
) -> Result<Uuid> {
    // A customer who is marked and kept owns the same as one who goes for good.
    let root = if root == Root::RetiredCustomer { Root::Customer } else { root };
    let (id, (actor, actor_id, _)) = (cx.new_id()?, actor_columns(cx));
    let statement = sql!(
        "INSERT INTO exports (organization_id, id, root, subject_id, subject_label, deletion_id, state, actor, actor_id, request_id, counts,
                              rows_done, attempts, fence, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $8, $9, '{}', 0, 0, 0, $10)"
    );
    let bound = params![organization, id, root.name(), subject, label, deletion, actor, actor_id, &*cx.request_id, cx.now];
    tx.execute(statement, bound).await?;
    let plane = cx.plane.clone();
    tx.on_commit(move || plane.export_bell.notify_one());
    Ok(id)
}
