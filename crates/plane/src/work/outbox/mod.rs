//! The outbox: the queues of what is still to be done outside of the database, written in the transaction of its cause.
//!
//! A worker takes an effect for the time of a lease and says how it went (`queue.rs`, `finishing.rs`). A worker that dies on the way says nothing, and the effect is
//! due again when its lease is over: each is carried out at least once, seldom twice. What is about one thing is carried in the order of its
//! sequence. Webhooks are told so until one event has failed [`IN_ORDER`] times: then those after it go ahead, and the sequence tells. What was given
//! up can be done again: by members (`resending.rs`) and by operators (`operating.rs`).

pub mod deliveries;
mod finishing;
pub mod operating;
mod queue;
mod resending;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::webhooks;

pub use crate::notify::RETRIED_FOR;
pub use finishing::finish;
pub use queue::{Carried, ROOM, Taken, UnderWay, take};

/// The longest that a call takes, from the look-up of its name to the end of the answer.
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

crate::wire::words! {
    /// What is done outside of the database.
    pub enum Kind as "EffectKind", like "billing" {
        /// A webhook is told of an event.
        Webhook = "webhook",
        /// A subscription is changed at the payment provider.
        Billing = "billing",
    }
}

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

/// An effect that the caller has taken, and must carry out or let go before the lease is over.
#[derive(Debug, Clone)]
pub struct Due {
    /// The organization.
    pub organization: Uuid,
    /// Its queue: the webhook, or the subscription.
    pub queue: Uuid,
    /// What is done.
    pub kind: Kind,
    /// Since when the queue's webhook takes nothing.
    pub failing_since: Option<Timestamp>,
    /// Its id. For a webhook the event's: the header `webhook-id`.
    pub id: Uuid,
    /// What it tells or does, such as `customer.deleted`.
    pub action: String,
    /// The deletion that it is a part of.
    pub deletion: Option<Uuid>,
    about: Option<Uuid>,
    attempts: i64,
    epoch: i64,
    retry_until: Timestamp,
    /// Its body, or what it does to what.
    pub payload: String,
    /// The webhook that it goes to.
    pub endpoint: Option<Endpoint>,
    /// Why it shall not be done after all.
    pub undeliverable: Option<&'static str>,
}

/// Where a delivery to a webhook goes, and what signs it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The address.
    pub url: String,
    secret: Vec<u8>,
    /// The secret before it, while that signs too.
    old_secret: Option<Vec<u8>>,
}

impl Endpoint {
    /// The header `webhook-signature` for an attempt at this time, in seconds since 1970: a signature with each secret that signs, the newest
    /// first, with spaces between them.
    pub fn sign(&self, id: Uuid, timestamp: i64, payload: &str) -> String {
        let secrets = [Some(&self.secret), self.old_secret.as_ref()].into_iter().flatten();
        secrets.map(|secret| webhooks::sign(secret, id, timestamp, payload)).collect::<Vec<_>>().join(" ")
    }

    /// The header `x-webhook-signature`: that of the body alone, with the secret of today.
    pub fn sign_body(&self, payload: &str) -> String {
        webhooks::sign_body(&self.secret, payload)
    }
}

impl Due {
    /// The key by which the other side knows that it has done this before: of the effect, which is a step of one deletion, and new once an attempt was
    /// answered. An attempt that was not answered is made again with the same.
    pub fn idempotency_key(&self) -> String {
        let Due { id, epoch, .. } = self;
        match self.deletion {
            Some(deletion) => format!("{deletion}-{id}-{epoch}"),
            None => format!("{id}-{epoch}"),
        }
    }
}

/// How an attempt went.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it failed; none if it was done.
    pub error: Option<&'static str>,
    /// The beginning of the answer.
    pub body: Option<String>,
    /// How long the other side asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether another attempt cannot succeed either.
    pub is_final: bool,
    /// What the other side said of the subscription that is there now.
    pub outcome: Option<Json>,
}
