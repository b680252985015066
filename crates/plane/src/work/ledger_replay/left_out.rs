//! Lines that the database can still give where the ledger has none.

use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Tx, params, sql};
use uuid::Uuid;

use super::MOST;
use super::survey::Survey;
use crate::Result;
use crate::cx::Cx;
use crate::ledger::{Entry, Order, TakenBack};

/// A line that is missing, with the id that it has in the table if it lies there.
pub(super) type LeftOut = (Timestamp, Option<Uuid>, Entry);

/// What the database knows of deletions and the ledger does not: what was committed when the process was killed, or could not be written.
///
/// # Errors
/// The database's.
pub(super) async fn left_out(cx: &Cx, survey: &Survey, since: Timestamp) -> Result<Vec<LeftOut>> {
    let mut left_out = Vec::new();
    let first = uuid::Builder::from_unix_timestamp_millis(u64::try_from(since.as_millisecond()).unwrap_or(0), &[0; 10]).into_uuid();
    let mut after = first;
    loop {
        let page = cx.read(async move |_, tx| orders_after(tx, after).await).await?;
        let Some((_, last, _)) = page.last() else { break };
        after = last.deletion;
        let unknown = page.into_iter().filter(|(_, order, is_taken_back)| !is_taken_back && !survey.orders.contains(&order.deletion));
        left_out.extend(unknown.map(|(at, order, _)| (at, None, Entry::Ordered(order))));
    }
    let restored = cx.read(async move |_, tx| {
        let statement = sql!("SELECT restored_at, {columns} FROM deletions WHERE restored_at >= $1 AND state = 'restored'", TakenBack);
        Ok(tx.read_all::<(Timestamp, TakenBack)>(statement, params![since]).await?)
    });
    let unknown = restored.await?.into_iter().filter(|(_, taken_back)| !survey.taken_back.contains(&taken_back.deletion));
    left_out.extend(unknown.map(|(at, taken_back)| (at, None, Entry::Restored(taken_back))));
    let mut last = (since, Uuid::nil());
    loop {
        let page = cx.read(async move |_, tx| completed_after(tx, last).await).await?;
        let Some((at, id, _)) = page.last() else { return Ok(left_out) };
        last = (*at, *id);
        // One that was left out as well has what it erased in its own line.
        let is_known = |id: &Uuid| survey.told_completed.contains(id) || !survey.orders.contains(id) && *id >= first;
        let unknown = page.into_iter().filter(|(_, id, _)| !is_known(id));
        left_out.extend(unknown.map(|(at, deletion, counts)| (at, None, Entry::Completed { deletion, counts })));
    }
}

/// The next deletions that were completed after this time, and this id.
async fn completed_after(tx: &mut Tx, (at, id): (Timestamp, Uuid)) -> Result<Vec<(Timestamp, Uuid, Json)>> {
    let statement = sql!(
        "SELECT completed_at, id, counts FROM deletions
         WHERE completed_at IS NOT NULL AND completed_at >= $1 AND (completed_at, id) > ($1, $2) AND state = 'completed'
         ORDER BY completed_at, id LIMIT $3"
    );
    Ok(tx.read_all(statement, params![at, id, MOST]).await?)
}

/// The next deletions after this one by their ids, and whether each was taken back.
async fn orders_after(tx: &mut Tx, after: Uuid) -> Result<Vec<(Timestamp, Order, bool)>> {
    let statement = sql!("SELECT created_at, {columns}, state, counts FROM deletions WHERE id > $1 ORDER BY id LIMIT $2", Order);
    let told = |(at, order, state, counts): (_, Order, String, Json)| {
        (at, Order { counts: (state == "completed").then_some(counts), ..order }, state == "restored")
    };
    Ok(tx.read_all(statement, params![after, MOST]).await?.into_iter().map(told).collect())
}
