//! Maintenance: what is done now and then beside the requests. Writes down when API keys were used, ends those that an archive has left, and what
//! has lost the key or token that made it; tells of keys that are about to end; erases secrets of webhooks and keys for tokens that no longer
//! sign; ends leases that a wrong clock has left; has the quantities of subscriptions follow the number of seats.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::cx::{Actor, Cx};
use crate::ids::SERVER_SCOPE;
use crate::{Plane, Result, api_keys, billing, clocks, deletions, ledger, orphans, signing_key_rotation, webhooks};
use sql::{params, sql};

/// How often.
const ROUND: Duration = Duration::from_secs(30);

/// Goes on until told to stop, and once more then. Run one of these for each server.
pub async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    loop {
        let is_last = *stop.borrow();
        if let Err(error) = once(&plane).await {
            error.log("the upkeep could not be done and is tried again", None);
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = plane.usage.is_full.notified() => {}
            () = tokio::time::sleep(ROUND) => {}
            _ = stop.changed() => {}
        }
    }
}

/// One round of all of it.
///
/// # Errors
/// The database's; the next round goes on where this one came to.
pub async fn once(plane: &Arc<Plane>) -> Result<()> {
    let cx = Cx::new(plane, "upkeep").with_actor(Actor::System);
    let pulled_back = clocks::pull_back(&cx).await;
    let flushed = write_down_uses(&cx).await;
    let erased = webhooks::erase_old_secrets(&cx).await;
    let retired = signing_key_rotation::erase_retired(&cx).await;
    let ended = orphans::end_orphans(&cx).await;
    let told = api_keys::expiring::tell(&cx).await;
    let followed = billing::follow_seats(&cx).await;
    let beaten = ledger::beat(&cx).await;
    let outcome = deletions::go_on_with_archives(plane).await.and(pulled_back).and(flushed).and(erased).and(retired);
    outcome.and(ended).and(told).and(followed).and(beaten)
}

/// Keys that are written down in one transaction.
const BATCH: usize = 1_000;

/// Writes down what was noted. A key that is gone stays gone: its row is changed or there is none.
///
/// # Errors
/// The database's; what was not written then is written the next time.
async fn write_down_uses(cx: &Cx) -> Result<()> {
    for batch in cx.plane.usage.noted().chunks(BATCH) {
        let written = batch.to_vec();
        cx.write_as_server(async move |_, tx| {
            let statement = sql!(
                "UPDATE api_keys SET last_used_at = $3
                 WHERE organization_id = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)"
            );
            let own = sql!("UPDATE user_api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)");
            for (used, time) in &written {
                match used.organization == SERVER_SCOPE {
                    true => tx.execute(own, params![used.key, *time]).await?,
                    false => tx.execute(statement, params![used.organization, used.key, *time]).await?,
                };
            }
            Ok(())
        })
        .await?;
        cx.plane.usage.forget(batch);
    }
    Ok(())
}
