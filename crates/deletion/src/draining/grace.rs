//! The end of grace periods: what can no longer be taken back goes to the drain.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use crate::{Engine, Result};

/// How many deletions go from their grace period into the hands of the drain in one transaction.
const BATCH: i64 = 500;

/// Finds deletions whose grace period is over, the oldest first: asked for all the time.
pub const OVER: Statement =
    sql!("SELECT id FROM deletions WHERE state = 'reversible' AND reversible_until <= $1 ORDER BY reversible_until, id LIMIT $2");

/// Hands deletions whose grace period is over to the drain.
///
/// # Errors
/// The database's.
pub fn end_grace(engine: &Engine) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let (db, now) = (engine.db.clone(), engine.clock.now());
        let over = db.read_behind(async move |tx| read_over(tx, now).await).await?;
        if over.is_empty() {
            return Ok(());
        }
        let statement = sql!("UPDATE deletions SET state = 'closed', updated_at = $2 WHERE id = ANY($1) AND state = 'reversible'");
        let ended = db.write_behind(true, async move |tx| tx.execute(statement, params![over.clone(), now]).await).await?;
        if ended > 0 {
            engine.wake();
        }
        Ok(())
    })
}

async fn read_over(tx: &mut Tx, now: Timestamp) -> Result<Vec<Uuid>> {
    Ok(tx.read_all(OVER, params![now, BATCH]).await?)
}
