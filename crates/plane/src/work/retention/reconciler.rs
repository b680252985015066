//! The job that ends what has had its time: a round now and then, in short transactions with a rest after each. It walks on past what is held
//! or blocked, so that nothing behind that waits for it. Any number of servers may do the same at once: what one has erased, another does not
//! find. A crash loses nothing: whatever is left is due in the next round, and the audit trail counts in the transaction that erases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sql::{Static, Tx, params, sql};
use tokio::sync::watch;
use uuid::Uuid;

use super::Retention;
use super::brake::{self, Brakes, Waiting};
use super::customers::{self, Due, Expired};
use super::sweeps::{BEGINNING, Place, Stretch, Sweep, sweeps};
use crate::audit::{self, Note};
use crate::cx::{Actor, Cx};
use crate::{Plane, Result};

/// How often, beginning with the start of the server.
const ROUND: Duration = Duration::from_secs(600);
/// What a transaction should take where there is one writer, for which others wait.
const TARGET: Duration = Duration::from_millis(5);
/// The same where others write at the same time, and wait for an organization's row at the most: much of it are ways to the database and back.
const SHARED_TARGET: Duration = Duration::from_millis(20);
/// Rows of the first transaction, and the least and the most.
const ROWS: [i64; 3] = [200, 100, 5_000];
/// The same of customers. Up to 500 rows may hang on each, and go at once.
const CUSTOMERS: [i64; 3] = [4, 1, 64];

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// Rows that were erased, by table.
    pub erased: HashMap<&'static str, u64>,
    /// Customers whose deletion was ordered.
    pub expired: u64,
    /// Customers whose time is over and that something keeps.
    pub blocked: u64,
    /// Transactions, and the longest of them.
    pub batches: u64,
    /// The longest of them.
    pub longest: Duration,
}

/// Goes on until told to stop. Run one of these for each server.
pub async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        tokio::select! {
            outcome = once(&plane) => match outcome {
                Ok(round) if round.batches > 0 => tracing::info!(erased = ?round.erased, expired = round.expired, blocked = round.blocked, "retention"),
                Ok(_) => {}
                Err(error) => error.log("what has had its time could not all be erased; it is tried again", None),
            },
            _ = stop.changed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            _ = stop.changed() => {}
        }
    }
}

/// One round: everything that has had its time by now. What fails keeps nothing else from being done.
///
/// # Errors
/// The first of those met; the next round goes on.
pub async fn once(plane: &Arc<Plane>) -> Result<Round> {
    let (mut round, mut waiting) = (Round::default(), Waiting::new());
    let mut outcome = expire(plane, &mut round, &mut waiting).await;
    for sweep in sweeps() {
        outcome = outcome.and(erase(plane, sweep, &mut round, &mut waiting).await);
    }
    plane.memory.of::<Brakes>().set(waiting);
    outcome.map(|()| round)
}

fn job(plane: &Arc<Plane>) -> Cx {
    Cx::new(plane, "retention").with_actor(Actor::System)
}

/// How large the next transaction is.
struct Pace {
    size: i64,
    least: i64,
    most: i64,
    target: Duration,
}

impl Pace {
    fn new(plane: &Plane, [size, least, most]: [i64; 3]) -> Pace {
        Pace { size, least, most, target: if plane.db.writers() > 1 { SHARED_TARGET } else { TARGET } }
    }

    /// Takes into account how long a transaction took, and rests for as long: this work has no hurry.
    async fn rest(&mut self, round: &mut Round, took: Duration) {
        round.batches += 1;
        round.longest = round.longest.max(took);
        if took > self.target {
            self.size = (self.size / 2).max(self.least);
        } else if took < self.target / 2 {
            self.size = (self.size * 2).min(self.most);
        }
        tokio::time::sleep(took).await;
    }
}

/// Ends the customers whose time is over. What one of them meets keeps none of the others.
async fn expire(plane: &Arc<Plane>, round: &mut Round, waiting: &mut Waiting) -> Result<()> {
    let Some(limit) = plane.config.retention.limit(Retention::Customers, job(plane).now) else { return Ok(()) };
    let due = (customers::OVERDUE.total, params![limit].to_vec());
    if brake::holds(plane, waiting, "customers", due, sql!("SELECT 1 FROM customers LIMIT 1 OFFSET $1")).await? {
        return Ok(());
    }
    let kept: Arc<str> = plane.config.retention.words(Retention::Customers).into();
    let (mut pace, mut from) = (Pace::new(plane, CUSTOMERS), BEGINNING);
    let mut outcome = Ok(());
    loop {
        let size = pace.size;
        let found = job(plane).read(async move |_, tx| customers::find(tx, from, limit, size).await).await?;
        let Some(last) = found.last() else { return outcome };
        from = last.place;
        let mut by_organization: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for Due { organization, place } in found {
            by_organization.entry(organization).or_default().push(place.1);
        }
        let mut together: Vec<(Uuid, Vec<Uuid>)> = by_organization.into_iter().collect();
        while let Some((organization, customers)) = together.pop() {
            let watch = plane.clock.stopwatch();
            let (expiring, kept) = (customers.clone(), kept.clone());
            let cx = job(plane);
            let ended = cx.write_behind(false, async move |cx, tx| customers::expire(cx, tx, organization, &expiring, limit, &kept).await);
            match ended.await {
                Ok(Expired { gone, blocked }) => {
                    round.expired += gone;
                    round.blocked += blocked;
                }
                Err(error) if customers.len() == 1 => outcome = outcome.and(Err(error)),
                Err(_) => together.extend(customers.into_iter().map(|customer| (organization, vec![customer]))),
            }
            pace.rest(round, watch.elapsed()).await;
        }
    }
}

/// What one transaction shall erase.
struct Batch {
    sweep: &'static Sweep,
    from: Place,
    stretch: Stretch,
    /// The round's entry in the audit trail, and the rows it counts already.
    entry: Uuid,
    before: u64,
}

/// Erases the rows of one sweep that have had their time. What is under legal holds is looked at where no caller waits for it, and looked
/// at again when the rest is erased.
async fn erase(plane: &Arc<Plane>, sweep: &'static Sweep, round: &mut Round, waiting: &mut Waiting) -> Result<()> {
    let Some(limit) = plane.config.retention.limit(sweep.retention, job(plane).now) else { return Ok(()) };
    // These rows open nothing any more and are no evidence: they have no brake.
    if sweep.is_evidence {
        let due = (sweep.count, sweep.overdue(limit, job(plane).now, None));
        if brake::holds(plane, waiting, sweep.table, due, sweep.reaches).await? {
            return Ok(());
        }
    }
    let (mut pace, mut from, mut rows) = (Pace::new(plane, ROWS), BEGINNING, 0);
    let entry = job(plane).new_id()?;
    let looking = Static(sweep);
    loop {
        let size = pace.size;
        let ahead = job(plane).read(async move |cx, tx| looking.look_ahead(tx, from, limit, size, cx.now).await).await?;
        let Some(stretch) = ahead else { return Ok(()) };
        let to = stretch.to;
        if stretch.is_free {
            let watch = plane.clock.stopwatch();
            let batch = Batch { sweep, from, stretch, entry, before: rows };
            let erased = job(plane).write_behind(true, async move |cx, tx| erase_in(cx, tx, &batch).await).await?;
            rows += erased;
            *round.erased.entry(sweep.table).or_default() += erased;
            pace.rest(round, watch.elapsed()).await;
        }
        from = to;
    }
}

async fn erase_in(cx: &Cx, tx: &mut Tx, batch: &Batch) -> Result<u64> {
    let Batch { sweep, from, stretch, entry, before } = batch;
    stretch.lock(tx).await?;
    let (statement, bound) = sweep.erase(*from, stretch.to, cx.now);
    let erased = tx.execute(statement, &bound).await?;
    if erased > 0 && sweep.is_evidence {
        let period = cx.plane.config.retention.words(sweep.retention);
        let detail = Some(format!("{} rows, kept for {period}", before + erased));
        audit::keep_up(cx, tx, *entry, &Note { action: "retention.erase", subject: sweep.table, detail, ..Note::default() }).await?;
    }
    Ok(erased)
}
