//! Deletions once more, in a database that was restored from before them: as the ledger tells of them, with the ids that they had. Guards
//! are not checked again, and webhooks are not told again.

use deletion::{Record, SMALL, State};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::revoke_credentials::end_credentials;
use super::{export_orders, grace, subscriptions};
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::deletion_rules::{RULES, Root};
use crate::{Error, Result, ledger};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The database knows of it.
    Known,
    /// What it deleted is not there: its record is.
    Recorded,
    /// What it deleted was there, and has lost all access; the drain erases it.
    Closed,
    /// A purge that was not over: the customers that it had not deleted yet are there.
    Unfinished,
}

/// Closes again what a deletion had closed, and puts its record back. `completed` is what it erased, and when it was over.
///
/// # Errors
/// The database's.
pub(crate) async fn repeat(
    cx: &Cx,
    tx: &mut Tx,
    order: &ledger::Order,
    ordered_at: Timestamp,
    completed: Option<(Json, Timestamp)>,
) -> Result<Repeated> {
    let (organization, subject, id) = (order.organization, order.subject, order.deletion);
    let known = sql!("SELECT 1 FROM deletions WHERE organization_id = $1 AND id = $2");
    if tx.query_opt(known, params![organization, id]).await?.is_some() {
        return Ok(Repeated::Known);
    }
    let root = root_of(&order.root)?;
    let plan = root.plan();
    let was_there = match root.definition().mark {
        Some(_) => plan.close(tx, organization, subject, cx.now).await?,
        None if root.definition().orders_others.is_some() => false,
        // What has no mark opens something, and nothing hangs on it.
        None => {
            let counted = plan.look(tx, organization, &[subject], SMALL + 1).await?;
            plan.run(tx, organization, &[subject], &counted).await?;
            plan.erase_root(tx, organization, &[subject]).await?;
            false
        }
    };
    if root.definition().orders_others.is_some() && completed.is_none() {
        return Ok(Repeated::Unfinished);
    }
    let is_reversible = was_there && order.reversible_until.is_some();
    let (counts, completed_at) = match completed {
        Some((counts, at)) if !was_there => (counts, Some(at)),
        _ if !was_there => (json!({}), Some(cx.now)),
        _ => (json!({}), None),
    };
    let record = Record {
        id,
        tenant: organization,
        root: order.root.clone(),
        subject,
        subject_label: None,
        state: match (completed_at, is_reversible) {
            (Some(_), _) => State::Completed,
            (None, true) => State::Reversible,
            (None, false) => State::Closed,
        },
        actor: order.actor.clone(),
        actor_id: order.actor_id,
        reason: None,
        request_id: cx.request_id.to_string(),
        counts,
        created_at: ordered_at,
        completed_at,
        reversible_until: order.reversible_until,
    };
    RULES.record_again(tx, &record).await?;
    if was_there && order.export {
        export_orders::record(cx, tx, organization, root, subject, Some(id)).await?;
    }
    if was_there {
        // Of one that goes on at once the drain orders the end.
        if is_reversible {
            subscriptions::cancel(cx, tx, organization, (id, root, subject), true).await?;
        }
        let reason = Some("The database was restored from before this deletion.".into());
        let (action, subject) = ("deletion.repeat", Some(subject));
        let note = Note { action, subject: root.noun(), subject_id: subject, reason, deletion_id: Some(id), ..Note::default() };
        audit::record(cx, tx, organization, &note).await?;
    }
    Ok(if was_there { Repeated::Closed } else { Repeated::Recorded })
}

/// Takes a deletion back again that had been taken back. The credentials of its subject end, as they did then: also where the database is from
/// before the deletion. Returns whether there was anything to do.
///
/// # Errors
/// The database's.
pub(crate) async fn restore_again(cx: &Cx, tx: &mut Tx, taken_back: &ledger::TakenBack) -> Result<bool> {
    let (organization, subject, id) = (taken_back.organization, taken_back.subject, taken_back.deletion);
    let look = sql!("SELECT state FROM deletions WHERE organization_id = $1 AND id = $2");
    let state: Option<State> = tx.read_opt(look, params![organization, id]).await?;
    let root = root_of(&taken_back.root)?;
    let is_closed = match state {
        None => false,
        Some(State::Reversible) => true,
        // Taken back already, or being erased.
        Some(_) => return Ok(false),
    };
    if is_closed {
        let take = sql!(
            "UPDATE deletions SET state = 'restored', restored_at = $3, updated_at = $3, fence = fence + 1
             WHERE organization_id = $1 AND id = $2"
        );
        tx.execute(take, params![organization, id, cx.now]).await?;
        root.plan().reopen(tx, organization, subject).await?;
        subscriptions::resume(cx, tx, organization, id).await?;
    }
    if !grace::is_kept(cx, tx, root, organization, subject).await? {
        end_credentials(cx, tx, (root, organization, subject), root.credentials()).await?;
    }
    Ok(true)
}

/// Stops a purge again that had been stopped.
///
/// # Errors
/// The database's.
pub(crate) async fn stop_again(cx: &Cx, tx: &mut Tx, deletion: Uuid) -> Result<bool> {
    let stop = sql!("UPDATE deletions SET stopped_at = $2 WHERE id = $1 AND state IN ('closed', 'draining') AND stopped_at IS NULL");
    Ok(tx.execute(stop, params![deletion, cx.now]).await? > 0)
}

/// Stops those of these deletions that are purges under way. Returns how many.
///
/// # Errors
/// The database's.
pub(crate) async fn end_purges(cx: &Cx, tx: &mut Tx, deletions: &[Uuid]) -> Result<u64> {
    let stop = sql!(
        "UPDATE deletions SET stopped_at = $2
         WHERE id = ANY($1) AND root = 'customer_purge' AND state IN ('closed', 'draining') AND stopped_at IS NULL"
    );
    Ok(tx.execute(stop, params![deletions, cx.now]).await?)
}

/// The root that a line of the ledger names.
fn root_of(name: &str) -> Result<Root> {
    Root::parse(name).ok_or_else(|| Error::Internal(format!("the ledger names the unknown root {name}")))
}
