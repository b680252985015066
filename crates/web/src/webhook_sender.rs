//! The webhook sender: delivers what waits in the queues of webhooks, signed as Standard Webhooks says.
//!
//! What is due, for how long it may be carried and when it is tried again stands in `plane::deliveries`; what may be called in `outbound`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plane::deliveries::{self, Attempt, Carried, Due, GONE, ROOM, Taken, UnderWay};
use plane::{Plane, Result};
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use uuid::Uuid;

use crate::outbound::Outbound;

/// How often the queues are looked into when no bell rings and nothing is known to become due.
const ROUND: Duration = Duration::from_secs(1);

/// Delivers to webhooks. Run one of these for each server.
#[derive(Clone)]
pub struct WebhookSender {
    plane: Arc<Plane>,
    outbound: Arc<Outbound>,
}

impl WebhookSender {
    /// A sender that delivers to the destinations of the plane's settings.
    ///
    /// # Errors
    /// Words about what the system lacks.
    pub fn new(plane: &Arc<Plane>) -> Result<WebhookSender, String> {
        let outbound = Outbound::new(plane.config.destinations.clone())?;
        Ok(WebhookSender { plane: plane.clone(), outbound: Arc::new(outbound) })
    }

    /// Carries until told to stop, and then only to the end what is under way.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut round = Round { webhook_sender: self, tasks: JoinSet::new(), webhooks: HashMap::new() };
        while !*stop.borrow() {
            let pause = round.look().await;
            tokio::select! {
                Some(ended) = round.tasks.join_next_with_id() => round.note_end(ended.map(|(id, ())| id)),
                () = round.webhook_sender.plane.webhook_bell() => {}
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
            // One look serves all that have ended meanwhile.
            while let Some(ended) = round.tasks.try_join_next_with_id() {
                round.note_end(ended.map(|(id, ())| id));
            }
        }
        while round.tasks.join_next().await.is_some() {}
    }
}

/// What is under way.
struct Round {
    webhook_sender: WebhookSender,
    /// Every delivery that is being carried.
    tasks: JoinSet<()>,
    /// Where each of them goes, and what that one counts for.
    webhooks: HashMap<Id, (Uuid, Carried)>,
}

impl Round {
    /// Starts what is due and has room. Returns how long to wait for what will be due.
    async fn look(&mut self) -> Duration {
        if self.tasks.len() >= ROOM {
            return ROUND;
        }
        let mut under_way = UnderWay::default();
        for (webhook, carried) in self.webhooks.values() {
            under_way.0.entry(*webhook).or_insert(Carried { number: 0, ..*carried }).number += 1;
        }
        let Taken { due, next } = match deliveries::take(&self.webhook_sender.plane, &under_way).await {
            Ok(taken) => taken,
            Err(error) => {
                error.log("the queues of webhooks could not be read; they are tried again", None);
                return ROUND;
            }
        };
        for due in due {
            let carried = Carried { organization: due.organization, number: 1, is_failing: due.failing_since.is_some() };
            let place = (due.webhook, carried);
            let task = self.tasks.spawn(carry(self.webhook_sender.clone(), due));
            self.webhooks.insert(task.id(), place);
        }
        let until = next
            .map_or(ROUND, |next| Duration::try_from(next.duration_since(self.webhook_sender.plane.clock.now())).unwrap_or(Duration::ZERO));
        until.min(ROUND)
    }

    fn note_end(&mut self, ended: std::result::Result<Id, tokio::task::JoinError>) {
        let id = match ended {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "a delivery came to no end; it is due again when its lease is over");
                error.id()
            }
        };
        self.webhooks.remove(&id);
    }
}

async fn carry(webhook_sender: WebhookSender, due: Due) {
    let WebhookSender { plane, outbound } = webhook_sender;
    let attempt = match due.undeliverable {
        Some(words) => Attempt { error: Some(words), ..Attempt::default() },
        None => call(&plane, &outbound, &due).await,
    };
    tracing::info!(event = %due.id, organization = %due.organization, status = attempt.status, error = attempt.error, "delivery");
    if let Err(error) = deliveries::finish(&plane, due, attempt).await {
        error.log("how a delivery went could not be written down; it is due again when its lease is over", None);
    }
}

async fn call(plane: &Plane, outbound: &Outbound, due: &Due) -> Attempt {
    let timestamp = plane.clock.now().as_second();
    let mut headers = HeaderMap::new();
    let values = [
        ("webhook-id", due.id.to_string()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", due.sign(timestamp)),
        ("x-webhook-signature", due.sign_body()),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let answered = match outbound.post(&due.url, headers, due.payload.clone()).await {
        Ok(answered) => answered,
        Err(unanswered) => return Attempt { error: Some(unanswered.words()), ..Attempt::default() },
    };
    let error = match answered.status {
        200..=299 => None,
        300..=399 => Some("a redirect, which is not followed: register the address it leads to"),
        GONE => Some("the receiver wants nothing more (410 Gone): the webhook is switched off"),
        _ => Some("the answer was not a success (2xx)"),
    };
    let retry_after = answered.retry_after.and_then(|asked| pause(&asked, plane.clock.now()));
    Attempt { status: Some(answered.status), error, body: answered.body, retry_after }
}

/// How long a receiver asks to be left alone: seconds, or a time from now (RFC 9110, section 10.2.3).
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            Duration::try_from(until.duration_since(now)).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_until_a_time() {
        let now: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        let seconds = |text| pause(text, now).map(|pause| pause.as_secs());
        assert_eq!([seconds("120"), seconds(" 0 "), seconds("Tue, 01 Dec 2026 12:01:30 GMT")], [Some(120), Some(0), Some(90)]);
        assert_eq!([seconds("Tue, 01 Dec 2026 11:00:00 GMT"), seconds("-1"), seconds("soon")], [None; 3]);
    }
}
