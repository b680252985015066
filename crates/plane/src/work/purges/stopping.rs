//! Stopping a purge: who was deleted stays deleted, no other customer is deleted from the answer on, and the drain goes through the rest
//! only to say so.

use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use deletion::State;

use super::worker::sum;
use crate::access::enter;
use crate::audit::{self, Note};
use crate::cx::Cx;
use crate::deletions::{Deletion, Root, Watched, watch};
use crate::ids::OrganizationRef;
use crate::policy::Action;
use crate::{Error, Result, ledger};

/// Stops a purge. One that was stopped already stays as it is.
///
/// For those who may order one and read this one's record: owners and admins, those who ordered it, and operators.
///
/// # Errors
/// Those of [`watch`]; [`Error::Forbidden`]; [`Error::Conflict`] when it is completed, or no purge.
pub async fn stop(cx: &Cx, id: Uuid) -> Result<Watched> {
    let deletion = watch(cx, id).await?.deletion;
    let root = deletion.root;
    let note = Note {
        action: "customers.stop_purge",
        subject: root.noun(),
        subject_id: Some(deletion.subject),
        deletion_id: Some(id),
        ..Note::default()
    };
    let organization = OrganizationRef::Id(deletion.organization);
    audit::attempt(cx, &organization, note.clone(), async {
        if root != Root::CustomerPurge {
            return Err(Error::Conflict(whole(&deletion).into()));
        }
        let tenant = enter(cx, &organization, Action::StopPurge).await?;
        tenant.write(cx, async move |cx, tx, _| stop_in(cx, tx, &deletion, &note).await).await
    })
    .await?;
    watch(cx, id).await
}

/// Why a deletion that is no purge goes on.
fn whole(deletion: &Deletion) -> &'static str {
    match deletion.state {
        State::Reversible => {
            "Only a purge can be stopped. This deletion is in its grace period: POST /api/deletions/{id}/restore takes it back."
        }
        State::Closed | State::Draining => {
            "Only a purge can be stopped. This deletion ended access when it was ordered, and has no half that could stay."
        }
        State::Completed | State::Restored => "Only a purge can be stopped, and this deletion is over.",
    }
}

async fn stop_in(cx: &Cx, tx: &mut Tx, deletion: &Deletion, note: &Note) -> Result<()> {
    // Its state is looked at again below, under its lock.
    cx.expects_tag(&deletion.etag())?;
    // This row's lock orders us and the worker: a batch that is under way is over before this, and one that begins later finds it here.
    let stop = sql!(
        "UPDATE deletions SET stopped_at = $3
         WHERE organization_id = $1 AND id = $2 AND state IN ('closed', 'draining') AND stopped_at IS NULL
         RETURNING counts"
    );
    let Some(counts) = tx.read_opt::<Json>(stop, params![deletion.organization, deletion.id, cx.now]).await? else {
        return is_stopped(tx, deletion).await;
    };
    let note = Note { detail: Some(format!("after {} customers", sum(&counts))), ..note.clone() };
    audit::record(cx, tx, deletion.organization, &note).await?;
    ledger::note(cx, tx, ledger::Entry::Stopped { deletion: deletion.id }).await?;
    let plane = cx.plane.clone();
    tx.on_commit(move || plane.deletions.wake_waiting());
    Ok(())
}

/// Fails unless it was stopped already.
async fn is_stopped(tx: &mut Tx, deletion: &Deletion) -> Result<()> {
    let statement = sql!("SELECT stopped_at IS NOT NULL FROM deletions WHERE organization_id = $1 AND id = $2");
    match tx.read_opt(statement, params![deletion.organization, deletion.id]).await?.ok_or(Error::NotFound("Deletion"))? {
        true => Ok(()),
        false => Err(Error::Conflict("It is completed: every customer was gone through, and no customer is left to be spared.".into())),
    }
}
