//! The courier: carries out what waits in the outbox. Webhooks are told (`webhooks.rs`), subscriptions are changed at Stripe (`billing.rs`).
//!
//! What is due, for how long it may be carried and when it is tried again stands in `plane::outbox`.

mod billing;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plane::outbox::{self, Attempt, Carried, Due, Kind, ROOM, Taken, UnderWay};
use plane::{Plane, Result};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use uuid::Uuid;

use crate::outbound::Outbound;
use crate::stripe::Stripe;

/// How often the queues are looked into when no bell rings and nothing is known to become due.
const ROUND: Duration = Duration::from_secs(1);

/// Carries out what waits in the outbox. Run one of these for each server.
#[derive(Clone)]
pub struct Courier {
    plane: Arc<Plane>,
    outbound: Arc<Outbound>,
    /// Stripe, if the server has a key of it.
    stripe: Option<Stripe>,
}

impl Courier {
    /// A courier that delivers to the destinations of the plane's settings.
    ///
    /// # Errors
    /// Words about what the system lacks.
    pub fn new(plane: &Arc<Plane>) -> Result<Courier, String> {
        let outbound = Outbound::new(plane.config.destinations.clone())?;
        Ok(Courier { plane: plane.clone(), outbound: Arc::new(outbound), stripe: Stripe::new(&plane.config.stripe)? })
    }

    /// Carries until told to stop, and then only to the end what is under way.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut round = Round { courier: self, tasks: JoinSet::new(), queues: HashMap::new() };
        while !*stop.borrow() {
            let pause = round.look().await;
            tokio::select! {
                Some(ended) = round.tasks.join_next_with_id() => round.note_end(ended.map(|(id, ())| id)),
                () = round.courier.plane.webhook_bell() => {}
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
    courier: Courier,
    /// Every effect that is being carried out.
    tasks: JoinSet<()>,
    /// The queue of each of them, and what that one counts for.
    queues: HashMap<Id, (Uuid, Carried)>,
}

impl Round {
    /// Starts what is due and has room. Returns how long to wait for what will be due.
    async fn look(&mut self) -> Duration {
        if self.tasks.len() >= ROOM {
            return ROUND;
        }
        let mut under_way = UnderWay::default();
        for (queue, carried) in self.queues.values() {
            under_way.0.entry(*queue).or_insert(Carried { number: 0, ..*carried }).number += 1;
        }
        let Taken { due, next } = match outbox::take(&self.courier.plane, &under_way).await {
            Ok(taken) => taken,
            Err(error) => {
                error.log("the outbox could not be read; it is tried again", None);
                return ROUND;
            }
        };
        for due in due {
            let carried = Carried { organization: due.organization, kind: due.kind, number: 1, is_failing: due.failing_since.is_some() };
            let place = (due.queue, carried);
            let task = self.tasks.spawn(carry(self.courier.clone(), due));
            self.queues.insert(task.id(), place);
        }
        let until =
            next.map_or(ROUND, |next| Duration::try_from(next.duration_since(self.courier.plane.clock.now())).unwrap_or(Duration::ZERO));
        until.min(ROUND)
    }

    fn note_end(&mut self, ended: std::result::Result<Id, tokio::task::JoinError>) {
        let id = match ended {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "an effect came to no end; it is due again when its lease is over");
                error.id()
            }
        };
        self.queues.remove(&id);
    }
}

async fn carry(courier: Courier, due: Due) {
    let Courier { plane, outbound, stripe } = courier;
    let attempt = match (due.undeliverable, due.kind) {
        (Some(words), _) => Attempt { error: Some(words), ..Attempt::default() },
        (None, Kind::Webhook) => webhooks::tell(&plane, &outbound, &due).await,
        (None, Kind::Billing) => billing::carry_out(&plane, stripe.as_ref(), &due).await,
    };
    let (kind, action) = (due.kind.name(), due.action.clone());
    tracing::info!(id = %due.id, organization = %due.organization, kind, action, status = attempt.status, error = attempt.error, "effect");
    if let Err(error) = outbox::finish(&plane, due, attempt).await {
        error.log("how an effect went could not be written down; it is due again when its lease is over", None);
    }
}
