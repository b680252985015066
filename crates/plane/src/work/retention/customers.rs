//! The end of softly deleted customers: an ordinary deletion for good, with its guards, its receipt, its events and its entry in the audit
//! trail. Who is under a legal hold, or has something open, stays and is asked for again in the next round.

use std::sync::LazyLock;

use jiff::Timestamp;
use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use super::sweeps::Place;
use crate::access;
use crate::cx::Cx;
use crate::deletions::{Order, Root, delete_together};
use crate::{Error, Result, locks};

/// Those whose time was over at $1, and who cannot be taken back any more.
const OVER: &str = "state = 'deleted' AND deleted_at <= $1
    AND NOT EXISTS (SELECT 1 FROM deletions
                    WHERE deletions.organization_id = customers.organization_id AND deletions.subject_id = customers.id
                      AND deletions.state = 'reversible')";
/// Of these, those that a legal hold in force at $2 keeps.
const HELD: &str = "EXISTS (SELECT 1 FROM holds
            WHERE holds.organization_id = customers.organization_id AND holds.subject_id IN (customers.organization_id, customers.id)
              AND released_at IS NULL AND (until IS NULL OR until > $2))";
/// What a customer waits for that no hold keeps.
const WAITS_FOR: &str = "CASE WHEN EXISTS (SELECT 1 FROM subscriptions
                      WHERE subscriptions.organization_id = customers.organization_id AND customer_id = customers.id
                        AND status = 'active') THEN 'an active subscription'
         WHEN EXISTS (SELECT 1 FROM transactions
                      WHERE transactions.organization_id = customers.organization_id AND customer_id = customers.id
                        AND status = 'pending') THEN 'a pending transaction'
         WHEN EXISTS (SELECT 1 FROM organizations
                      WHERE organizations.id = customers.organization_id AND archived_at IS NOT NULL) THEN 'an archived organization'
         ELSE 'a server' END";

/// What looks for those who stay beyond their time. Each takes the end of their time, all but `total` the present one too, and lists how many at the most.
pub(crate) struct Overdue {
    /// How many in all, and under a legal hold.
    pub(crate) counts: Statement,
    /// How many there are.
    pub(super) total: Statement,
    /// How many under a legal hold, and their ids.
    pub(crate) held: [Statement; 2],
    /// How many others, and their ids with what each waits for.
    pub(crate) free: [Statement; 2],
}

pub(crate) static OVERDUE: LazyLock<Overdue> = LazyLock::new(|| {
    let find = |what: &str, condition: &str| Statement::generated(format!("SELECT {what} FROM customers WHERE {OVER}{condition}"));
    let (held, free) = (format!(" AND {HELD}"), format!(" AND NOT {HELD}"));
    let first = |condition: &str| format!("{condition} ORDER BY deleted_at, id LIMIT $3");
    Overdue {
        counts: find(&format!("count(*), count(CASE WHEN {HELD} THEN 1 END)"), ""),
        total: find("count(*)", ""),
        held: [find("count(*)", &held), find("id", &first(&held))],
        free: [find("count(*)", &free), find(&format!("id, {WAITS_FOR}"), &first(&free))],
    }
});

impl Overdue {
    /// Every one of them.
    pub(super) fn statements(&self) -> impl Iterator<Item = Statement> {
        [self.counts, self.total].into_iter().chain(self.held).chain(self.free)
    }
}

/// A customer whose time is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) organization: Uuid,
    pub(super) place: Place,
}

/// The next customers whose time is over, in the order in which it ended, whether or not something stands in the way.
pub(super) async fn find(tx: &mut Tx, from: Place, limit: Timestamp, size: i64) -> Result<Vec<Due>> {
    let statement = sql!(
        "SELECT organization_id, deleted_at, id FROM customers
         WHERE state = 'deleted' AND (deleted_at, id) > ($1, $2) AND deleted_at <= $3 ORDER BY deleted_at, id LIMIT $4"
    );
    let due = |(organization, place)| Due { organization, place };
    Ok(tx.read_all(statement, params![from.0, from.1, limit, size]).await?.into_iter().map(due).collect())
}

/// What became of some customers of one organization.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expired {
    /// Those whose deletion is ordered, or done.
    pub(super) gone: u64,
    /// Those that something keeps.
    pub(super) blocked: u64,
}

/// Deletes those of the customers whose time is still over when their rows are locked. One whose soft deletion can still be taken back stays
/// until that is over.
pub(super) async fn expire(cx: &Cx, tx: &mut Tx, organization: Uuid, customers: &[Uuid], limit: Timestamp, kept: &str) -> Result<Expired> {
    let blocked = customers.len() as u64;
    // The next round finds them again.
    if !locks::try_keep_holds_out(tx, organization).await? {
        return Ok(Expired::default());
    }
    match access::is_writable(tx, organization).await {
        Ok(()) => {}
        // All of it is being deleted, these customers too.
        Err(Error::NotFound(_)) => return Ok(Expired::default()),
        // It is archived, and an archive is read-only.
        Err(Error::Conflict(_)) => return Ok(Expired { gone: 0, blocked }),
        Err(error) => return Err(error),
    }
    let lock = sql!(
        "SELECT id, reference FROM customers
         WHERE organization_id = $1 AND id = ANY($2) AND state = 'deleted' AND deleted_at <= $3
           AND EXISTS (SELECT 1 FROM organizations WHERE organizations.id = $1 AND organizations.state = 'live')
           AND NOT EXISTS (SELECT 1 FROM deletions
                           WHERE deletions.organization_id = $1 AND deletions.subject_id = customers.id AND deletions.state = 'reversible')
         FOR UPDATE"
    );
    let mut orders = Vec::new();
    for (subject, reference) in tx.read_all(lock, params![organization, customers, limit]).await? {
        let order = Order {
            root: Root::Customer,
            subject,
            label: Some(reference),
            reason: Some(format!("kept for {kept} since the soft deletion, as softly deleted customers are")),
            action: "customer.expire",
            detail: None,
            export: false,
        };
        orders.push((cx.clone(), order));
    }
    let mut expired = Expired::default();
    for outcome in delete_together(tx, organization, orders).await? {
        match outcome {
            Ok(_) => expired.gone += 1,
            // Not an attempt of anybody: it is not written down in every round.
            Err(Error::Blocked(_)) => expired.blocked += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(expired)
}
