//! Two batches of families at once, where one transaction can write beside another and no other work wants the processors.
//!
//! The second begins where the first is going to end, erases meanwhile, and waits for the first only before it writes down how far it came.
//! It counts if the first has come as far as it said and no other worker has taken the deletion over; otherwise it is undone. So the cursor
//! goes forward as ever, and the worker that comes after a crash goes on from it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sql::Tx;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::counting::add;
use super::drain::{Held, Outcome, Place, advance_to, job, place, progress, renew};
use super::statements::PASSED_SOME_OVER;
use crate::{Cx, Error, Plane, Result, holds};

/// Tells the second where the first is going to end. A first that is run again tells nothing more.
#[derive(Debug)]
pub(super) struct Teller(Mutex<Option<oneshot::Sender<Uuid>>>);

impl Teller {
    pub(super) fn tell(&self, end: Uuid) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The receiver may be gone.
            let _ = sender.send(end);
        }
    }
}

/// Does two batches of up to `size` rows at the same time, or one where the families end with it. The worker says how long its last batches
/// took; these may be lost in a crash. Returns what the first came to, and for how many rows was asked.
///
/// # Errors
/// The database's; the batch that met it has not happened then.
pub async fn advance(plane: &Arc<Plane>, held: &Arc<Held>, size: i64, last_batch: Duration) -> Result<(Outcome, i64)> {
    let (sender, told) = oneshot::channel();
    let first = advance_to(plane, held, size, last_batch, true, Some(Arc::new(Teller(Mutex::new(Some(sender))))));
    let second = async {
        let Ok(after) = told.await else { return Ok(false) };
        let (cx, held) = (job(plane), held.clone());
        cx.write_behind(true, async move |cx, tx| follow(cx, tx, &held, after, size).await).await
    };
    let (first, second) = tokio::join!(first, second);
    match second {
        Ok(true) => Ok((first?, 2 * size)),
        Ok(false) | Err(Error::Stale) => Ok((first?, size)),
        Err(error) => first.and(Err(error)),
    }
}

/// The batch that begins after a family which another transaction is about to come to. Returns whether there was one.
async fn follow(cx: &Cx, tx: &mut Tx, held: &Held, after: Uuid, size: i64) -> Result<bool> {
    let Some(families) = &held.plan.families else { return Ok(false) };
    // The worker that has taken it over may hold these customers, and wait for others that are held here.
    if place(tx, held).await?.is_none() || !holds::try_keep_out(tx, held.organization).await? {
        return Ok(false);
    }
    // What has to be passed over is left to a first batch.
    let batch = families.advance(tx, held.organization, after, size, None).await?;
    let Some(batch) = batch.filter(|batch| !batch.is_passed_over) else { return Ok(false) };
    let place = renew(cx, tx, held, 0).await?.filter(|place| last_family(place) == Some(after)).ok_or(Error::Stale)?;
    let counts = batch.touched.into_iter().fold(place.counts, |counts, (table, touched)| add(counts, table, touched));
    progress(tx, held, place.stage, Some(&vec![batch.last]), &counts).await.map(|()| true)
}

/// The family that the drain has come to, while it goes through families.
fn last_family(place: &Place) -> Option<Uuid> {
    place.cursor.as_ref().filter(|_| place.stage <= PASSED_SOME_OVER).and_then(|cursor| cursor.last().copied())
}
