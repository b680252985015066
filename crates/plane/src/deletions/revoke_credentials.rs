//! The end of credentials, however many there are. Where the state of what they open refuses them already, because it is closed or
//! archived, their rows go in short transactions: no caller waits for long, and no credential works in between. The transaction that opens
//! it again ends the last of them.

use std::sync::Arc;

use deletion::{Advance, Cursor, Step, add, random};
use sql::{Static, Tx, params, sql};
use uuid::Uuid;

use super::grace::is_kept;
use super::records::Deletion;
use crate::authority::revoke;
use crate::cx::{Actor, Cx};
use crate::deletion_rules::Root;
use crate::{Plane, Result, access, locks};

/// Rows of a table that end in one transaction.
const MOST: i64 = 1_000;
/// The tables of what an archive ends: people who read it stay signed in.
const OF_ARCHIVES: [&str; 2] = ["api_keys", "oauth_tokens"];
/// Archives that are gone on with in one round.
const ARCHIVES: i64 = 100;

/// Ends what opens a subject, for good, in all these tables of its rules. Its OAuth apps stay, with a secret that was never shown: a member
/// who may do so gives them a new one. Returns how many rows of which table.
pub(crate) async fn end_credentials(
    cx: &Cx,
    tx: &mut Tx,
    (root, organization, subject): (Root, Uuid, Uuid),
    tables: &[&str],
) -> Result<Vec<(&'static str, i64)>> {
    let mut ended = root.plan().run_only(tx, organization, subject, tables).await?;
    ended.push(("oauth_apps", replace_secrets(cx, tx, (root, organization, subject)).await?));
    Ok(ended)
}

async fn replace_secrets(cx: &Cx, tx: &mut Tx, (root, organization, subject): (Root, Uuid, Uuid)) -> Result<i64> {
    let secret = random::<32>()?.to_vec();
    let apps = match root {
        Root::Organization => {
            let statement = sql!("UPDATE oauth_apps SET secret_hash = $2, updated_at = $3 WHERE organization_id = $1");
            tx.execute(statement, params![organization, secret, cx.now]).await?
        }
        Root::Member => {
            let statement = sql!("UPDATE oauth_apps SET secret_hash = $3, updated_at = $4 WHERE organization_id = $1 AND member_id = $2");
            tx.execute(statement, params![organization, subject, secret, cx.now]).await?
        }
        _ => 0,
    };
    revoke(cx, tx, subject).await?;
    Ok(apps as i64)
}

fn steps(root: Root, tables: &[&str]) -> Vec<&'static Step> {
    root.plan().steps_of(tables).collect()
}

/// Ends most of what opens the subject of a deletion that is about to be taken back, where there is much of it. Whatever comes of that: what is
/// closed is opened by none of it any more.
pub(crate) async fn end_before_restoring(cx: &Cx, root: Root, deletion: &Deletion) -> Result<()> {
    let (organization, subject) = (deletion.organization, deletion.subject);
    for step in steps(root, root.credentials()).into_iter().map(Static) {
        let look = cx.read(async move |_, tx| Ok(step.count(tx, organization, subject, None, MOST).await?));
        let (_, goes_on) = look.await?;
        let mut goes_on = goes_on.is_some();
        let mut after = None;
        while goes_on {
            let deletion = deletion.clone();
            let batch = cx.write_behind(true, async move |cx, tx| end_closed(cx, tx, root, &deletion, &step, after.as_ref()).await);
            after = batch.await?;
            goes_on = after.is_some();
        }
    }
    Ok(())
}

async fn end_closed(cx: &Cx, tx: &mut Tx, root: Root, deletion: &Deletion, step: &Step, after: Option<&Cursor>) -> Result<Option<Cursor>> {
    let (organization, id, subject) = (deletion.organization, deletion.id, deletion.subject);
    locks::keep_holds_out(tx, organization).await?;
    // This row's lock orders us and the end of the grace period.
    let hold = sql!(
        "UPDATE deletions SET state = 'reversible'
         WHERE organization_id = $1 AND id = $2 AND state = 'reversible' AND reversible_until > $3
         RETURNING counts"
    );
    let Some(counts) = tx.read_opt(hold, params![organization, id, cx.now]).await? else { return Ok(None) };
    // Whatever will refuse the restoration is told by it: until then nothing more of it ends.
    if root != Root::Organization && access::is_writable(tx, organization).await.is_err() {
        return Ok(None);
    }
    if is_kept(cx, tx, root, organization, subject).await? {
        return Ok(None);
    }
    let Advance::Touched(rows, next) = step.advance(tx, organization, subject, after, MOST).await? else { return Ok(None) };
    let counts = add(counts, step.table, rows);
    let write_down = sql!("UPDATE deletions SET counts = $3 WHERE organization_id = $1 AND id = $2");
    tx.execute(write_down, params![organization, id, counts]).await?;
    Ok(next)
}

/// Ends what opens an organization that is being archived, the first of each table: its state refuses the rest. Returns whether there is more.
pub(crate) async fn begin_archive(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<bool> {
    let mut goes_on = false;
    for step in steps(Root::Organization, &OF_ARCHIVES) {
        goes_on |= !matches!(step.advance(tx, organization, organization, None, MOST).await?, Advance::Touched(_, None));
    }
    replace_secrets(cx, tx, (Root::Organization, organization, organization)).await?;
    Ok(goes_on)
}

/// Ends what an archive has left.
pub(crate) async fn go_on_with_archive(cx: &Cx, organization: Uuid) -> Result<()> {
    for step in steps(Root::Organization, &OF_ARCHIVES).into_iter().map(Static) {
        let mut after = None;
        loop {
            let batch = cx.write_behind(true, async move |_, tx| end_archived(tx, organization, &step, after.as_ref()).await);
            after = batch.await?;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

async fn end_archived(tx: &mut Tx, organization: Uuid, step: &Step, after: Option<&Cursor>) -> Result<Option<Cursor>> {
    // This row's lock orders this transaction and one that unarchives it.
    let hold = sql!("UPDATE organizations SET version = version + 1 WHERE id = $1 AND state = 'live' AND archived_at IS NOT NULL");
    if tx.execute(hold, params![organization]).await? == 0 {
        return Ok(None);
    }
    match step.advance(tx, organization, organization, after, MOST).await? {
        Advance::Touched(_, next) => Ok(next),
        Advance::Overtaken => Ok(None),
    }
}

/// Ends what is left of an archive in the transaction that makes it writable again: also the secret of an app that was being made while it
/// was archived.
pub(crate) async fn end_archive(cx: &Cx, tx: &mut Tx, organization: Uuid) -> Result<()> {
    end_credentials(cx, tx, (Root::Organization, organization, organization), &OF_ARCHIVES).await.map(drop)
}

/// Goes on with archives that were left in between, by a crash or by a caller who did not wait for the answer.
///
/// # Errors
/// The database's, of the last one that could not be gone on with; the next round goes on where this one came to.
pub(crate) async fn go_on_with_archives(plane: &Arc<Plane>) -> Result<()> {
    let cx = Cx::new(plane, "archives").with_actor(Actor::System);
    let left = cx.read(async move |_, tx| {
        let statement = sql!(
            "SELECT id FROM organizations
             WHERE archived_at IS NOT NULL AND state = 'live'
               AND (EXISTS (SELECT 1 FROM api_keys WHERE api_keys.organization_id = organizations.id)
                    OR EXISTS (SELECT 1 FROM oauth_tokens WHERE oauth_tokens.organization_id = organizations.id))
             ORDER BY id LIMIT $1"
        );
        Ok(tx.read_all::<Uuid>(statement, params![ARCHIVES]).await?)
    });
    let mut outcome = Ok(());
    for organization in left.await? {
        // What keeps one of them from its end keeps no other.
        if let Err(error) = go_on_with_archive(&cx, organization).await {
            tracing::error!(%organization, %error, "the keys and tokens of an archive could not all be ended");
            outcome = Err(error);
        }
    }
    outcome
}
