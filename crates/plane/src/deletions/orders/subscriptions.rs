//! What a deletion does to subscriptions at the payment provider: they end with what is deleted, and nothing is erased before the provider has said
//! so. In a grace period they are only to end with the period that is paid for, which a restore undoes.

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
    let statement = sql!(
        "SELECT {columns} FROM billing_subscriptions AS own
         WHERE organization_id = $1 AND (organization_id = $2 OR subject_id = $2) AND ended_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM effects
                           WHERE effects.organization_id = $1 AND effects.deletion_id = $3 AND effects.queue_id = own.id AND effects.action = $4)
         ORDER BY id LIMIT $5",
        Linked
    );
    let found: Vec<Linked> = tx.read_all(statement, params![organization, subject, deletion, step, AT_ONCE]).await?;
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
    // They go by their age from here on.
    let history =
        sql!("UPDATE effects SET is_counted = true, rank = 1 WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing'");
    tx.execute(history, params![organization, deletion]).await?;
    Ok(())
}

/// How many of its subscriptions the provider has not confirmed to end, and no operator has given up.
pub(crate) async fn unconfirmed(tx: &mut Tx, organization: Uuid, deletion: Uuid) -> Result<i64> {
    let statement = sql!(
        "SELECT count(*) FROM effects
         WHERE organization_id = $1 AND deletion_id = $2 AND kind = 'billing' AND state <> 'delivered' AND NOT is_given_up"
    );
    Ok(tx.read_one(statement, params![organization, deletion]).await?)
}

/// What a deletion that is ordered now would do to subscriptions: to the first hundred of them.
pub(crate) async fn planned(cx: &Cx, tx: &mut Tx, root: Root, organization: Uuid, subject: Uuid) -> Result<Vec<Cancellation>> {
    if !has_any(root) {
        return Ok(Vec::new());
    }
    let on_deletion = terms(tx, organization).await?.on_deletion;
    let statement = sql!(
        "SELECT {columns} FROM billing_subscriptions
         WHERE organization_id = $1 AND (organization_id = $2 OR subject_id = $2) AND ended_at IS NULL ORDER BY id LIMIT 100",
        Cancellation
    );
    let mut found: Vec<Cancellation> = tx.read_all(statement, params![organization, subject]).await?;
    if on_deletion == OnDeletion::CancelNow {
        found.iter_mut().for_each(|cancellation| cancellation.ends_at = Some(cx.now));
    }
    Ok(found)
}

sql::columns! { Cancellation {
    stripe_subscription_id, status, amount, currency, interval: "billing_interval", quantity, ends_at: "coalesce(cancel_at, current_period_end)",
} }
