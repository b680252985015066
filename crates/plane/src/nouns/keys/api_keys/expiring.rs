//! Tells the organization's webhooks of keys that end by themselves: 30, 7 and 1 days before, each time once.

use std::time::Duration;

use jiff::Timestamp;
use sql::{Tx, columns, params, sql};
use uuid::Uuid;

use super::Kind;
use crate::events::Event;
use crate::{Cx, Result, notify};
use deletion::after;

/// Days before the end. The fewest first: of a key that comes under several at once only the nearest is told.
const DAYS: [i64; 3] = [1, 7, 30];
/// Keys that are told of in one transaction.
const BATCH: i64 = 100;

/// A key that is about to end.
struct Ending {
    organization: Uuid,
    id: Uuid,
    kind: Kind,
    created_at: Timestamp,
    expires_at: Timestamp,
}

columns! { Ending {
    organization: "api_keys.organization_id", id: "api_keys.id", kind: "api_keys.kind", created_at: "api_keys.created_at",
    expires_at: "api_keys.expires_at",
} }

/// Tells of all keys that have come as near to their end as to be told of, since the last time.
///
/// # Errors
/// The database's; what was not told then is told the next time.
pub(crate) async fn tell(cx: &Cx) -> Result<()> {
    for days in DAYS {
        loop {
            let ending = cx.read(async move |cx, tx| find(cx, tx, days).await).await?;
            let is_last = (ending.len() as i64) < BATCH;
            if !ending.is_empty() {
                cx.write_as_server(async move |cx, tx| tell_batch(cx, tx, days, &ending).await).await?;
            }
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

fn before(days: i64) -> Duration {
    Duration::from_secs(86_400 * days.unsigned_abs())
}

async fn find(cx: &Cx, tx: &mut Tx, days: i64) -> Result<Vec<Ending>> {
    let statement = sql!(
        "SELECT {columns} FROM api_keys JOIN organizations ON organizations.id = api_keys.organization_id AND organizations.state = 'live'
              AND organizations.archived_at IS NULL
         WHERE api_keys.expires_at > $1 AND api_keys.expires_at <= $2 AND api_keys.is_active
           AND (api_keys.told_days IS NULL OR api_keys.told_days > $3)
         ORDER BY api_keys.expires_at, api_keys.organization_id, api_keys.id LIMIT $4",
        Ending
    );
    Ok(tx.read_all(statement, params![cx.now, after(cx.now, before(days)), days, BATCH]).await?)
}

async fn tell_batch(cx: &Cx, tx: &mut Tx, days: i64, ending: &[Ending]) -> Result<()> {
    // Of two servers that have found the same key one writes this down, and tells.
    let statement = sql!(
        "UPDATE api_keys SET told_days = $4
         WHERE organization_id = $1 AND id = $2 AND expires_at = $3 AND (told_days IS NULL OR told_days > $4)"
    );
    for key in ending {
        let is_new = tx.execute(statement, params![key.organization, key.id, key.expires_at, days]).await? == 1;
        // A person who makes a key for a week knows that it ends within thirty days.
        if is_new && after(key.created_at, before(days)) <= key.expires_at {
            let expires_at = format!("{:.3}", key.expires_at);
            let told = crate::payloads::ApiKeyEvent { organization_id: key.organization, id: key.id, kind: key.kind };
            let data = crate::payloads::ApiKeyExpiringEvent { key: told, days, expires_at };
            notify::emit(cx, tx, key.organization, Event::ApiKeyExpiring, notify::About::Other(key.id), data).await?;
        }
    }
    Ok(())
}
