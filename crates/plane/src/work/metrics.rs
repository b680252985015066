//! How the plane is doing, for those who watch it: what is under way, since when, and how often the memory did not know a credential.

use jiff::Timestamp;
use sql::{params, sql};

use crate::cx::{Actor, Cx};
use crate::deletions::{STUCK, Stuck};
use crate::outbox::Kind;
use crate::quotas::Quota;
use crate::retention::{GRACE, OVERDUE_CUSTOMERS, Retention};
use crate::{Plane, Result, quotas};
use deletion::before;
use std::sync::Arc;

/// What there is to watch.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Deletions that can still be taken back: nothing of them is under way.
    pub reversible: i64,
    /// Deletions that are closed and not taken up yet.
    pub closed: i64,
    /// Deletions that are being drained.
    pub draining: i64,
    /// Deletions that cannot go on at the moment and say what they wait for.
    pub waiting: i64,
    /// Deletions that are open and made no progress for longer than [`STUCK_AFTER`](crate::deletions::STUCK_AFTER), but for those under a
    /// legal hold.
    pub stuck: i64,
    /// Softly deleted customers whose time was over an hour ago, and who are still there because of a legal hold.
    pub overdue_held: i64,
    /// The same for another reason: something of theirs is open, their organization is archived, or no server erases them.
    pub overdue_blocked: i64,
    /// Seconds since the oldest deletion that is not completed was ordered; 0 when all are.
    pub oldest_open_seconds: i64,
    /// What is still to be done outside, by kind.
    pub effects: Vec<PendingEffects>,
    /// What the server was to do outside by itself, was tried in vain and was not given up.
    pub dead_effects: i64,
    /// Credentials that were looked for in the database since the start.
    pub credential_lookups: u64,
    /// Writes to the database that a request waited for, since the start. One counts when it is asked for.
    pub writes: u64,
    /// How often each quota of organizations refused something since the start.
    pub quota_refusals: [(&'static str, u64); Quota::ALL.len()],
}

/// What is still to be done outside, of one kind.
#[derive(Debug, Clone, Copy)]
pub struct PendingEffects {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub pending: i64,
    /// Seconds since the oldest was ordered; 0 for none.
    pub oldest_seconds: i64,
}

/// Counts what there is to watch.
///
/// # Errors
/// The database's.
pub async fn snapshot(plane: &Arc<Plane>) -> Result<Snapshot> {
    let cx = Cx::new(plane, "metrics").with_actor(Actor::System);
    let credential_lookups = plane.credential_lookups();
    let writes = plane.db.prompt_writes();
    cx.read(async move |cx, tx| {
        let open = sql!("SELECT count(*), count(waiting_for), min(created_at) FROM deletions WHERE state = $1");
        let (mut counts, mut waiting, mut oldest) = ([0, 0], 0, cx.now);
        for (state, count) in ["closed", "draining"].into_iter().zip(&mut counts) {
            let (all, those_waiting, first): (i64, i64, Option<Timestamp>) = tx.read_one(open, params![state]).await?;
            *count = all;
            waiting += those_waiting;
            oldest = first.map_or(oldest, |time| oldest.min(time));
        }
        let pending = sql!("SELECT kind, count(*), min(created_at) FROM effects WHERE state = 'pending' GROUP BY kind");
        let dead =
            sql!("SELECT count(*) FROM effects WHERE state = 'failed' AND kind <> 'webhook' AND state <> 'delivered' AND NOT is_given_up");
        let mut effects: Vec<PendingEffects> = Kind::ALL.map(|kind| PendingEffects { kind, pending: 0, oldest_seconds: 0 }).into();
        for (kind, number, first) in tx.read_all::<(Kind, i64, Timestamp)>(pending, &[]).await? {
            for found in effects.iter_mut().filter(|found| found.kind == kind) {
                (found.pending, found.oldest_seconds) = (number, (cx.now.as_second() - first.as_second()).max(0));
            }
        }
        let reversible = sql!("SELECT count(*) FROM deletions WHERE state = 'reversible'");
        let (mut overdue, mut held) = (0, 0);
        if let Some(limit) = cx.plane.config.retention.limit(Retention::Customers, cx.now) {
            (overdue, held) = tx.read_one(OVERDUE_CUSTOMERS.counts, params![before(limit, GRACE), cx.now]).await?;
        }
        Ok(Snapshot {
            reversible: tx.read_one(reversible, &[]).await?,
            closed: counts[0],
            draining: counts[1],
            waiting,
            stuck: tx.read_one(STUCK.count, &Stuck::bound(cx.now)).await?,
            overdue_held: held,
            overdue_blocked: overdue - held,
            oldest_open_seconds: cx.now.as_second() - oldest.as_second(),
            effects,
            dead_effects: tx.read_one(dead, &[]).await?,
            credential_lookups,
            writes,
            quota_refusals: cx.plane.memory.of::<quotas::Usage>().refusals(),
        })
    })
    .await
}
