//! Watching a deletion as server-sent events: the way around the middleware for an answer that has no end of its own, and how it ends all the same.
//!
//! The middleware keeps some answers for repetitions and gives each 30 seconds, so it must have the whole of it.
//! A stream therefore passes it as an empty answer that carries the stream beside it; [`put_in`] stands outside of the middleware and puts it in.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use plane::deletions::{self, Deletion, RateSample, Watched};
use plane::{Error, Plane};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::AppState;
use crate::caller::Caller;
use crate::dialect::Dialect;
use crate::handlers::deletions::DeletionOut;
use crate::lasting::{Asker, Full, Limits, Place};
use crate::problem::Answer;
use crate::schema::write;

/// How often a stream looks, and so how often it tells something at the most.
const PACE: Duration = Duration::from_millis(250);
/// How long a stream is silent at the most.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Streams that are open at once: each asks the database four times a second.
pub(crate) const MOST: Limits = Limits { altogether: 128, of_an_organization: 16, of_a_caller: 8 };

fn refusal(full: Full) -> Error {
    Error::Overloaded(match full {
        Full::Caller => "You watch as many deletions as you can at once. Close one of the streams.",
        Full::Organization => "As many deletions of this organization are watched as can be. Read the deletion itself now and then.",
        Full::Altogether => "As many deletions are watched as this server can have. Read the deletion itself now and then.",
    })
}

/// A client that watches a deletion.
struct Watcher {
    plane: Arc<Plane>,
    asker: Asker,
    deletion: Uuid,
    dialect: &'static Dialect,
    /// Whether the server is about to stop.
    stopping: watch::Receiver<bool>,
    pulse: RateSample,
    /// What was told last.
    told: Json,
    /// What the first look has found, before anything is told.
    first: Option<Watched>,
    place: Place,
}

/// The answer that is a stream. What is not allowed or not there is refused before it begins.
pub(crate) async fn stream(app: &Arc<AppState>, caller: &Caller, id: Uuid, headers: &HeaderMap) -> Answer {
    let first = deletions::watch(&caller.cx, id).await?;
    let place = app.streams.enter(caller.cx.principal()?.user, first.deletion.organization).map_err(refusal)?;
    let watcher = Watcher {
        plane: app.plane.clone(),
        asker: Asker::new(caller, headers)?,
        deletion: id,
        dialect: caller.dialect,
        stopping: app.settings.stopping.subscribe(),
        pulse: RateSample::default(),
        told: Json::Null,
        first: Some(first),
        place,
    };
    let events = stream::unfold(Some(watcher), async |watcher| {
        let mut watcher = watcher?;
        let (event, goes_on) = watcher.next().await;
        Some((Ok::<_, Infallible>(event), goes_on.then_some(watcher)))
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still there"));
    // Proxies that gather answers would keep the events.
    let (parts, body) = ([(header::CACHE_CONTROL, "no-store")], [("x-accel-buffering", "no")], stream).into_response().into_parts();
    let mut response = Response::from_parts(parts, Body::empty());
    response.extensions_mut().insert(Carried(Arc::new(Mutex::new(Some(body)))));
    Ok(response)
}

impl Watcher {
    /// The next event, and whether there will be more.
    async fn next(&mut self) -> (Event, bool) {
        let mut look = match self.first.take() {
            Some(first) => Ok(first),
            None => self.wait_and_look().await,
        };
        loop {
            let watched = match look {
                Ok(watched) => watched,
                Err(reason) => return (event("ended", &json!({"reason": reason})), false),
            };
            let end = match watched.deletion {
                Deletion { completed_at: Some(_), .. } => Some("completed"),
                Deletion { restored_at: Some(_), .. } => Some("restored"),
                _ => None,
            };
            let record = write(self.dialect, &DeletionOut::of(watched, self.plane.clock.now(), Some(&mut self.pulse)));
            match end {
                Some(end) => return (event(end, &record), false),
                None if steady(&record) != self.told => {
                    self.told = steady(&record);
                    return (event("progress", &record), true);
                }
                None => look = self.wait_and_look().await,
            }
        }
    }

    /// Looks again a little later, with the credential as it is then. Fails with the reason for the stream's end.
    async fn wait_and_look(&mut self) -> Result<Watched, &'static str> {
        tokio::select! {
            _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return Err("stopping"),
            () = self.place.lost() => return Err("displaced"),
            () = tokio::time::sleep(PACE) => {}
        }
        let looked = match self.asker.now().await {
            Ok(cx) => deletions::watch(&cx, self.deletion).await,
            Err(error) => Err(error),
        };
        looked.map_err(|error| match error {
            Error::Storage(_) | Error::Internal(_) | Error::Overloaded(_) => "unavailable",
            Error::NotFound(_) => "not_found",
            _ => "unauthorized",
        })
    }
}

/// What of a record is news when it changes: that time passes is none.
fn steady(record: &Json) -> Json {
    let mut record = record.clone();
    if let Some(fields) = record.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "rate" | "etaSeconds" | "updatedAt" | "batches" | "longestBatchMicros"));
    }
    record
}

fn event(name: &str, data: &Json) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// A body on its way around the middleware.
#[derive(Clone)]
struct Carried(Arc<Mutex<Option<Body>>>);

/// Puts a stream into the answer that it belongs to.
pub(crate) async fn put_in(mut response: Response<Body>) -> Response<Body> {
    let Some(Carried(body)) = response.extensions_mut().remove::<Carried>() else { return response };
    let body = body.lock().unwrap_or_else(PoisonError::into_inner).take();
    // That of the empty answer.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = body.unwrap_or_default();
    response
}
