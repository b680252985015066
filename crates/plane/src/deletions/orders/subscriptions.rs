//! What a deletion does to subscriptions at the payment provider: they end with what is deleted, and nothing is erased before the provider has said
//! so. In a grace period they are only to end with the period that is paid for, which a restore undoes.

use jiff::Timestamp;
use sql::{Statement, Tx, Value, params, sql};
use uuid::Uuid;

use crate::deletion_rules::Root;
use crate::subscription_steps::{Cancellation, Linked, OnDeletion, Step, queue, terms};
use crate::{Cx, Result};

/// Steps that one transaction puts into the outbox.
pub(crate) const AT_ONCE: i64 = 500;

/// Whether what is deleted can have subscriptions.
pub(crate) fn has_any(root: Root) -> bool {
    matches!(root, Root::Organization | Root::Customer | Root::RetiredCustomer)
}

/// What is asked about all subjects of a root at once: whether any of them has a subscription that has not ended.
pub(crate) fn question(root: Root, organization: Uuid, subjects: &[Uuid]) -> Option<(Statement, Vec<Value>)> {
    match root {
        Root::Organization => {
            let statement = sql!("SELECT 1 FROM billing_subscriptions WHERE organization_id = $1 AND ended_at IS NULL LIMIT 1");
            Some((statement, params![organization].to_vec()))
        }
        Root::Customer | Root::RetiredCustomer => {
            let statement = sql!(
                "SELECT 1 FROM billing_subscriptions WHERE organization_id = $1 AND subject_id = ANY($2) AND ended_at IS NULL LIMIT 1"
            );
            Some((statement, params![organization, subjects].to_vec()))
        }
        _ => None,
    }
}

/// The deletion, its root and its subject.
pub(crate) type Of = (Uuid, Root, Uuid);

/// Orders the end of subscriptions that have not ended, and of which this deletion has not ordered it yet: up to [`AT_ONCE`]. Returns how many.
pub(crate) async fn cancel(cx: &Cx, tx: &mut Tx, organization: Uuid, (deletion, root, subject): Of, is_in_grace: bool) -> Result<i64> {
    if !has_any(root) {
        return Ok(0);
    }
    let terms = terms(tx, organization).await?;
    let step = match (is_in_grace, terms.on_deletion) {
        (false, OnDeletion::CancelNow) => Step::Cancel,
        _ => Step::CancelAtPeriodEnd,
    };
    if step == Step::Cancel {
        // What was to end with its period, and has not come to that, ends now.
        let superseded = sql!(
            "UPDATE effects SET state = 'failed', is_given_up = true, error = 'its grace period is over, and it ends at once', finished_at = $3
             WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing' AND action = $4 AND state IN ('pending', 'failed')
               AND NOT is_given_up"
        );
        tx.execute(superseded, params![organization, deletion, cx.now, Step::CancelAtPeriodEnd]).await?;
    }
    // In the order of their ids: what comes after the last that was ordered is still to be.
    let last = sql!(
        "SELECT queue_id FROM effects WHERE organization_id = $1 AND deletion_id = $2 AND action = $3 AND kind = 'billing'
         ORDER BY queue_id DESC LIMIT 1"
    );
    let last: Uuid = tx.read_opt(last, params![organization, deletion, step]).await?.unwrap_or_default();
    let of_organization = sql!(
        "SELECT {columns} FROM billing_subscriptions WHERE organization_id = $1 AND ended_at IS NULL AND id > $2 ORDER BY id LIMIT $3",
        Linked
    );
    let of_customer = sql!(
        "SELECT {columns} FROM billing_subscriptions WHERE organization_id = $1 AND subject_id = $4 AND ended_at IS NULL AND id > $2
         ORDER BY id LIMIT $3",
        Linked
    );
    let bound = params![organization, last, AT_ONCE, subject];
    let found: Vec<Linked> = match root {
        Root::Organization => tx.read_all(of_organization, &bound[..3]).await?,
        _ => tx.read_all(of_customer, bound).await?,
    };
    for linked in &found {
        queue(cx, tx, organization, linked, (step, Some(deletion)), &terms).await?;
    }
    Ok(found.len() as i64)
}

/// Orders that subscriptions go on which a deletion that is taken back was to end with the period that is paid for.
pub(crate) async fn resume(cx: &Cx, tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<()> {
    let terms = terms(tx, organization).await?;
    let statement = sql!(
        "SELECT {columns} FROM billing_subscriptions AS own
         WHERE organization_id = $1
           AND EXISTS (SELECT 1 FROM effects
                       WHERE effects.organization_id = $1 AND effects.deletion_id = $2 AND effects.queue_id = own.id AND effects.action = $3)
         ORDER BY id",
        Linked
    );
    for linked in tx.read_all::<Linked>(statement, params![organization, deletion, Step::CancelAtPeriodEnd]).await? {
        queue(cx, tx, organization, &linked, (Step::Resume, Some(deletion)), &terms).await?;
    }
    // They go by their age from here on, and with the customer.
    let history = sql!(
        "UPDATE effects SET is_counted = true, rank = 1,
                subject_id = (SELECT own.subject_id FROM billing_subscriptions AS own WHERE own.organization_id = $1 AND own.id = effects.queue_id)
         WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing'"
    );
    tx.execute(history, params![organization, deletion]).await?;
    Ok(())
}

/// Subscriptions that the provider has not confirmed to end, and that no operator has given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unconfirmed {
    /// How many.
    pub(crate) number: i64,
    /// Since when the first of them waits.
    pub(crate) since: Option<Timestamp>,
}

/// Those of a deletion.
pub(crate) async fn unconfirmed(tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<Unconfirmed> {
    // Each along an index of its own: what is confirmed may be much.
    let pending = sql!(
        "SELECT count(*), min(created_at) FROM effects WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing' AND state = 'pending'"
    );
    let failed = sql!(
        "SELECT count(*), min(created_at) FROM effects
         WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing' AND state = 'failed' AND NOT is_given_up"
    );
    let (pending, first): (i64, Option<Timestamp>) = tx.read_one(pending, params![organization, deletion]).await?;
    let (failed, other): (i64, Option<Timestamp>) = tx.read_one(failed, params![organization, deletion]).await?;
    Ok(Unconfirmed { number: pending + failed, since: first.into_iter().chain(other).min() })
}

/// Orders the next portion of what is to end with its period, once one of the last is done: an organization can have more than go at once.
pub(crate) async fn go_on_in_grace(cx: &Cx, tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<()> {
    let resting = sql!(
        "SELECT root, subject_id FROM deletions WHERE organization_id = $1 AND id = $2 AND state = 'reversible' AND root = 'organization'"
    );
    let Some((root, subject)) = tx.read_opt::<(String, Uuid)>(resting, params![organization, deletion]).await? else { return Ok(()) };
    let Some(root) = Root::parse(&root) else { return Ok(()) };
    if unconfirmed(tx, organization, deletion).await?.number < AT_ONCE / 2 {
        cancel(cx, tx, organization, (deletion, root, subject), true).await?;
    }
    Ok(())
}

/// What a deletion that is ordered now would do to subscriptions: to the first hundred of them.
pub(crate) async fn planned(
    cx: &Cx,
    tx: &mut Tx,
    root: Root,
    (organization, subject): (Uuid, Uuid),
    is_in_grace: bool,
) -> Result<Vec<Cancellation>> {
    let of_organization = sql!(
        "SELECT {columns} FROM billing_subscriptions WHERE organization_id = $1 AND ended_at IS NULL ORDER BY id LIMIT 100",
        Cancellation
    );
    let of_customer = sql!(
        "SELECT {columns} FROM billing_subscriptions WHERE organization_id = $1 AND subject_id = $2 AND ended_at IS NULL ORDER BY id LIMIT 100",
        Cancellation
    );
    let mut found: Vec<Cancellation> = match root {
        Root::Organization => tx.read_all(of_organization, params![organization]).await?,
        _ if has_any(root) => tx.read_all(of_customer, params![organization, subject]).await?,
        _ => return Ok(Vec::new()),
    };
    if terms(tx, organization).await?.on_deletion == OnDeletion::CancelNow && !is_in_grace {
        found.iter_mut().for_each(|cancellation| cancellation.ends_at = Some(cx.now));
    }
    Ok(found)
}

sql::columns! { Cancellation {
    stripe_subscription_id, status, amount, currency, interval: "billing_interval", quantity, ends_at: "coalesce(cancel_at, current_period_end)",
} }
