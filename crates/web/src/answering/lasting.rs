//! Answers that are sent over time: who began one is asked again, for as long as it lasts, whether they may still have it; and how many of
//! them there may be.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use jiff::Timestamp;
use plane::credentials::{CredentialKind, Presented, authenticate};
use plane::{Cx, Error, Plane, Result};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::caller::Caller;
use crate::request_context::presented;

/// What a request presented, kept for as long as its answer lasts.
enum Kept {
    Bearer(String),
    ApiKey(String),
    Cookie(String),
}

impl Kept {
    fn of(presented: Presented<'_>) -> Kept {
        match presented {
            Presented::Bearer(secret) => Kept::Bearer(secret.into()),
            Presented::ApiKey(secret) => Kept::ApiKey(secret.into()),
            Presented::Cookie(secret) => Kept::Cookie(secret.into()),
        }
    }

    fn presented(&self) -> Presented<'_> {
        match self {
            Kept::Bearer(secret) => Presented::Bearer(secret),
            Kept::ApiKey(secret) => Presented::ApiKey(secret),
            Kept::Cookie(secret) => Presented::Cookie(secret),
        }
    }
}

/// Who began an answer that lasts.
pub(crate) struct Asker {
    plane: Arc<Plane>,
    /// The request that began it.
    request: Cx,
    credential: Kept,
}

impl Asker {
    pub fn new(caller: &Caller, headers: &HeaderMap) -> Result<Asker> {
        let credential = Kept::of(presented(headers).ok_or(Error::Unauthenticated)?);
        Ok(Asker { plane: caller.cx.plane.clone(), request: caller.cx.clone(), credential })
    }

    /// The asker as of now, if the credential is still good.
    pub async fn now(&self) -> Result<Cx> {
        self.as_of(self.plane.clock.now()).await
    }

    /// The same for what cannot be begun anew in the middle: that an access token has had its minutes does not end it, but that its session
    /// has ended, or its app's token was revoked, does.
    pub async fn still(&self) -> Result<Cx> {
        let mut cx = self.as_of(self.request.now).await?;
        cx.now = self.plane.clock.now();
        let principal = cx.principal()?;
        match principal.expires_at {
            Some(end) if principal.kind == CredentialKind::ApiKey && Timestamp::from(end) <= cx.now => Err(Error::Unauthenticated),
            _ => Ok(cx),
        }
    }

    async fn as_of(&self, now: Timestamp) -> Result<Cx> {
        let mut cx = Cx::new(&self.plane, self.request.request_id.clone());
        cx.now = now;
        cx.client = self.request.client;
        authenticate(cx, self.credential.presented()).await
    }
}

/// How many answers of a kind there may be at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub altogether: usize,
    pub of_an_organization: usize,
    pub of_a_caller: usize,
}

/// The places of those that there are.
pub(crate) struct Places {
    limits: Limits,
    taken: Arc<Mutex<Vec<Taken>>>,
}

struct Taken {
    caller: Uuid,
    organization: Uuid,
    leave: Arc<Notify>,
}

/// A place, given back when it is dropped.
pub(crate) struct Place {
    taken: Arc<Mutex<Vec<Taken>>>,
    leave: Arc<Notify>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The caller has all that one may have.
    Caller,
    /// The organization has.
    Organization,
    /// All are taken, and each by a caller of its own.
    Altogether,
}

impl Places {
    pub fn new(limits: Limits) -> Places {
        Places { limits, taken: Arc::default() }
    }

    /// Takes a place. When there is none left, a caller who has several gives the newest up to one who has fewer: no caller can take them all.
    pub fn enter(&self, caller: Uuid, organization: Uuid) -> Result<Place, Full> {
        // What is in no organization is its caller's alone.
        let organization = if organization.is_nil() { caller } else { organization };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |caller: Uuid| taken.iter().filter(|one| one.caller == caller).count();
        let own = count(caller);
        if own >= self.limits.of_a_caller {
            return Err(Full::Caller);
        }
        if taken.iter().filter(|one| one.organization == organization).count() >= self.limits.of_an_organization {
            return Err(Full::Organization);
        }
        if taken.len() >= self.limits.altogether {
            let most = taken.iter().map(|one| (count(one.caller), one.caller)).max();
            let (_, greedy) = most.filter(|(count, _)| *count > own + 1).ok_or(Full::Altogether)?;
            let newest = taken.iter().rposition(|one| one.caller == greedy).ok_or(Full::Altogether)?;
            taken.remove(newest).leave.notify_one();
        }
        let leave = Arc::new(Notify::new());
        taken.push(Taken { caller, organization, leave: leave.clone() });
        Ok(Place { taken: self.taken.clone(), leave })
    }
}

impl Place {
    /// Completes when the place was given to another caller.
    pub async fn lost(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| !Arc::ptr_eq(&one.leave, &self.leave));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    fn places() -> Places {
        Places::new(Limits { altogether: 6, of_an_organization: 4, of_a_caller: 3 })
    }

    #[test]
    fn a_caller_and_an_organization_have_so_many_places_and_those_that_are_given_back() {
        let places = places();
        let mut of_one: Vec<Place> = (0..3).map(|_| places.enter(id(1), id(10)).ok().unwrap()).collect();
        assert_eq!(places.enter(id(1), id(11)).err(), Some(Full::Caller));
        let _of_another = places.enter(id(2), id(10)).ok().unwrap();
        assert_eq!(places.enter(id(3), id(10)).err(), Some(Full::Organization));
        of_one.pop();
        assert!(places.enter(id(3), id(10)).is_ok());
    }

    #[test]
    fn who_has_many_places_gives_one_up_to_who_has_none() {
        let places = places();
        let of_some: Vec<Place> = (0..6).map(|number| places.enter(id(number / 3), id(10 + number)).ok().unwrap()).collect();
        let _newcomer = places.enter(id(7), id(20)).ok().unwrap();
        let lost: Vec<bool> = of_some.iter().map(|place| place.lost().now_or_never().is_some()).collect();
        assert_eq!(lost, [false, false, false, false, false, true]);
        // Each is left with as many as the others, and then no one has one to give up.
        let more: Vec<_> = (30..40).map(|number| places.enter(id(number), id(number))).collect();
        assert_eq!(more.iter().filter(|place| place.is_ok()).count(), 3);
        assert_eq!(more[9].as_ref().err(), Some(&Full::Altogether));
    }
}
