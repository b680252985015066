//! How webhooks of an organization are told of an event: it is put into their queues, in the transaction of what happened.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};
use sql::{Statement, Tx, params, sql};
use uuid::Uuid;

use crate::events::Event;
use crate::{Cx, Result};
use deletion::after;

/// What an event is about: events about the same are told in the order in which they happened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    /// A customer, whose deletion erases what was told.
    Customer(Uuid),
    /// Anything else, and a customer that is being deleted: what tells of that stays.
    Other(Uuid),
}

/// What one event says.
pub(crate) struct Told {
    /// What happened.
    pub event: Event,
    /// What it is about.
    pub about: About,
    /// The deletion that is not completed before everybody was told.
    pub deletion_id: Option<Uuid>,
    /// One of [`crate::payloads`].
    pub data: Json,
}

/// Puts an event into the queue of every webhook of the organization that wants it, in the transaction of what happened. Returns how many.
/// `data` is one of [`crate::payloads`]; `subject_id` is the customer it speaks of, if it does.
pub(crate) async fn emit(cx: &Cx, tx: &mut Tx, organization: Uuid, event: Event, about: About, data: impl Serialize + Send) -> Result<u64> {
    tell(cx, tx, organization, Told { event, about, deletion_id: None, data: as_json(&data) }).await
}

/// What a payload of [`crate::payloads`] comes to.
pub(crate) fn as_json(data: &impl Serialize) -> Json {
    serde_json::to_value(data).unwrap_or_default()
}

/// Like [`emit`], for an event that a deletion may wait for.
pub(crate) async fn tell(cx: &Cx, tx: &mut Tx, organization: Uuid, told: Told) -> Result<u64> {
    let statement = sql!(
        "INSERT INTO effects (organization_id, queue_id, webhook_id, id, kind, action, subject_id, deletion_id, payload, state, attempts,
                              next_attempt_at, created_at, about, sequence, retry_until, rank)
         SELECT organization_id, id, id, $2, 'webhook', $3, $4, $5, $6, 'pending', 0, $7, $7, $9, $10, $11, $12
         FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active AND events LIKE $8"
    );
    let (about, subject_id) = match told.about {
        About::Customer(id) => (id, Some(id)),
        About::Other(id) => (id, None),
    };
    let sequence = cx.plane.next_sequence();
    let values = params![
        organization,
        cx.new_id()?,
        told.event.name(),
        subject_id,
        told.deletion_id,
        payload(cx, told.event.name(), sequence, told.data),
        cx.now,
        format!("%,{},%", told.event.name()),
        about,
        sequence,
        after(cx.now, RETRIED_FOR),
        i64::from(told.deletion_id.is_none()),
    ];
    let queued = tx.execute(statement, values).await.map_err(|error| match error {
        // A webhook was deleted in this very moment. What tells of itself is none the worse: it is done again without that.
        sql::Error::ForeignKey(words) => sql::Error::Retry(words),
        other => other,
    })?;
    if queued > 0 {
        ring(cx, tx);
    }
    Ok(queued)
}

/// Asks for the first of an organization's webhooks that could be told something.
pub(crate) const LISTENER: Statement = sql!("SELECT 1 FROM webhooks WHERE organization_id = $1 AND state = 'live' AND is_active LIMIT 1");

/// How long a delivery is tried. Then it is given up.
pub const RETRIED_FOR: Duration = Duration::from_hours(72);

/// The body of a delivery, as Standard Webhooks spells it, with its sequence beside.
pub(crate) fn payload(cx: &Cx, name: &str, sequence: i64, data: impl Serialize) -> String {
    let timestamp = cx.now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    json!({"type": name, "timestamp": timestamp, "sequence": sequence, "data": as_json(&data)}).to_string()
}

/// Wakes the webhook sender when the transaction at hand is committed.
pub(crate) fn ring(cx: &Cx, tx: &mut Tx) {
    let plane = cx.plane.clone();
    tx.on_commit(move || plane.webhook_bell.notify_one());
}
