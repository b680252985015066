//! Deliveries: the queue of what webhooks are still to be told, and the history of what they were told.
//!
//! A worker takes a delivery for the time of a lease and says how it went (`queue.rs`). A worker that dies on the way says nothing, and the
//! delivery is due again when its lease is over: every event arrives at least once, seldom twice. Events about one thing arrive in the order of
//! their sequence, until one has failed [`IN_ORDER`] times: then those after it go ahead, and the sequence tells. What was given up can be sent
//! again (`resending.rs`).

mod queue;
mod resending;

use std::time::Duration;

use jiff::Timestamp;
use sql::{columns, params, sql};
use uuid::Uuid;

use crate::access::enter;
use crate::cx::Cx;
use crate::ids::OrganizationRef;
use crate::page::{Page, PageRequest};
use crate::policy::Action;
use crate::{Result, deletions, webhooks};

pub use crate::notify::RETRIED_FOR;
pub use queue::{Carried, ROOM, Taken, UnderWay, finish, take};
pub use resending::{Ended, Resend, Resent, give_up, resend, resend_all};

/// The longest that a call of a webhook takes, from the look-up of its name to the end of the answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The status with which a receiver says that it wants nothing more (Standard Webhooks, "HTTP status codes").
pub const GONE: u16 = 410;
/// How long after a failed attempt the next one is made, at the most; it is up to a fifth less from the fourth on, so that not all come back at
/// once. After the last of these the pause stays the same, until [`RETRIED_FOR`] is over.
pub const RETRIES: [Duration; 11] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    LONGEST_RETRY,
];
/// The longest time from one attempt to the next, also where a receiver asks for a longer one (`Retry-After`).
pub const LONGEST_RETRY: Duration = Duration::from_hours(6);
/// Attempts for which later events about the same thing wait: those in the first minute.
pub const IN_ORDER: i64 = 4;
/// An endpoint that took nothing for so long is switched off.
pub const FAILING_FOR: Duration = Duration::from_hours(5 * 24);
/// Characters of an answer that are kept.
pub const MOST_ANSWER: usize = 1_000;
/// Deliveries that were made and that a webhook's history keeps. Those that were given up go by their age.
const HISTORY: i64 = 100;

crate::wire::words! {
    /// How far a delivery is.
    pub enum State as "DeliveryState", like "pending" {
        /// It is still to be made.
        Pending = "pending",
        /// The receiver took it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// What a webhook was told, or is still to be told.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Delivery {
    /// The event's id: the header `webhook-id`, the same for every webhook and every attempt.
    pub id: Uuid,
    /// The event's name.
    #[schemars(length(min = 1, max = 50), example = &"customer.deleted")]
    pub event: String,
    /// Events about the same thing have rising numbers: a receiver that knows of a higher one drops the lower. It is in the payload, too.
    #[schemars(example = 1_796_059_956_000_000_i64)]
    pub sequence: i64,
    /// What is sent; null once it was delivered and the deletion that it speaks of is completed.
    #[serde(serialize_with = "crate::wire::json_text")]
    #[schemars(with = "Option<crate::wire::Anything>")]
    pub payload: Option<String>,
    /// How far it is.
    pub state: State,
    /// Attempts that came to an end.
    #[schemars(example = 1)]
    pub attempts: i64,
    /// The status of the last answer.
    #[schemars(range(min = 100, max = 999), example = 204)]
    pub response_status: Option<i64>,
    /// The beginning of the last answer, if it was none that took it; null once the deletion that it speaks of is completed, and for receivers in
    /// networks that the server's operator has opened.
    #[schemars(length(min = 0, max = 1_000), example = &"no such customer")]
    pub response_body: Option<String>,
    /// Why the last attempt failed.
    #[schemars(length(min = 1, max = 200), example = &"no answer within 10 seconds")]
    pub error: Option<String>,
    /// While it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// While it is pending: when it is tried for the last time.
    pub retry_until: Option<Timestamp>,
    /// When it happened.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
}

columns! { Delivery {
    id, event, sequence, payload, state, attempts, response_status, response_body, error,
    next_attempt_at: "CASE WHEN state = 'pending' THEN next_attempt_at END", retry_until: "CASE WHEN state = 'pending' THEN retry_until END",
    created_at, finished_at,
} }

/// A delivery that the caller has taken, and must carry or let go before the lease is over.
#[derive(Debug, Clone)]
pub struct Due {
    /// The organization.
    pub organization: Uuid,
    /// The webhook, for counting how many of its deliveries are under way.
    pub webhook: Uuid,
    /// Since when the webhook takes nothing.
    pub failing_since: Option<Timestamp>,
    /// The event's id: the header `webhook-id`.
    pub id: Uuid,
    deletion: Option<Uuid>,
    about: Option<Uuid>,
    attempts: i64,
    retry_until: Timestamp,
    /// Where it goes.
    pub url: String,
    /// The body.
    pub payload: String,
    secret: Vec<u8>,
    /// The secret before it, while that signs too.
    old_secret: Option<Vec<u8>>,
    /// Why it shall not be sent after all.
    pub undeliverable: Option<&'static str>,
}

/// How an attempt went.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; none if the webhook took it.
    pub error: Option<&'static str>,
    /// The beginning of the answer.
    pub body: Option<String>,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Due {
    /// The header `webhook-signature` for an attempt at this time, in seconds since 1970: a signature with each secret that signs, the newest
    /// first, with spaces between them.
    pub fn sign(&self, timestamp: i64) -> String {
        let secrets = [Some(&self.secret), self.old_secret.as_ref()].into_iter().flatten();
        secrets.map(|secret| webhooks::sign(secret, self.id, timestamp, &self.payload)).collect::<Vec<_>>().join(" ")
    }

    /// The header `x-webhook-signature`: that of the body alone, with the secret of today.
    pub fn sign_body(&self) -> String {
        webhooks::sign_body(&self.secret, &self.payload)
    }
}

/// Lists a webhook's deliveries, newest first: those that wait, those that were given up, and the last hundred that were delivered.
///
/// # Errors
/// Those of [`webhooks::get`].
pub async fn list(cx: &Cx, organization: &OrganizationRef, webhook: Uuid, request: PageRequest) -> Result<Page<Delivery>> {
    webhooks::get(cx, organization, webhook).await?;
    let tenant = enter(cx, organization, Action::ReadWebhooks).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2");
        let total = match request.after {
            Some(_) => 0,
            None => tx.read_one(count, params![tenant.organization(), webhook]).await?,
        };
        let statement = sql!(
            "SELECT {columns} FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2 AND id < $5
             ORDER BY id DESC LIMIT $3 OFFSET $4",
            Delivery
        );
        let deliveries =
            tx.read_all(statement, params![tenant.organization(), webhook, request.limit(), request.offset(), request.below()]).await?;
        Ok(Page::part(deliveries, total, request, |delivery: &Delivery| delivery.id))
    })
    .await
}

/// What a deletion has told a webhook, or is still to tell it.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct DeletionDelivery {
    /// The webhook.
    pub webhook_id: Uuid,
    /// The event's id.
    pub id: Uuid,
    /// The event's name.
    #[schemars(length(min = 1, max = 50), example = &"customer.deleted")]
    pub event: String,
    /// How far it is.
    pub state: State,
    /// Attempts that came to an end.
    #[schemars(example = 1)]
    pub attempts: i64,
    /// The status of the last answer.
    #[schemars(range(min = 100, max = 999), example = 204)]
    pub response_status: Option<i64>,
    /// Why the last attempt failed.
    #[schemars(length(min = 1, max = 200), example = &"no answer within 10 seconds")]
    pub error: Option<String>,
    /// While it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub finished_at: Option<Timestamp>,
}

columns! { DeletionDelivery {
    webhook_id, id, event, state, attempts, response_status, error,
    next_attempt_at: "CASE WHEN state = 'pending' THEN next_attempt_at END", finished_at,
} }

/// Lists what a deletion tells webhooks, webhook by webhook and the oldest first. Nothing of an organization's own once it is completed: its webhooks are gone.
///
/// # Errors
/// Those of [`deletions::get`].
pub async fn of_deletion(cx: &Cx, deletion: Uuid, request: PageRequest) -> Result<Page<DeletionDelivery>> {
    let deletion = deletions::get(cx, deletion).await?;
    cx.read(async move |_, tx| {
        let count = sql!("SELECT count(*) FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id = $2");
        let total = tx.read_one(count, params![deletion.organization, deletion.id]).await?;
        let statement = sql!(
            "SELECT {columns} FROM webhook_deliveries WHERE organization_id = $1 AND deletion_id = $2
             ORDER BY webhook_id, sequence LIMIT $3 OFFSET $4",
            DeletionDelivery
        );
        let deliveries = tx.read_all(statement, params![deletion.organization, deletion.id, request.size, request.offset()]).await?;
        Ok(Page::new(deliveries, total, request))
    })
    .await
}
