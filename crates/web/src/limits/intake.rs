//! How many requests of a caller are under way at a time, and how many bytes of bodies are held in memory: of one caller and of all. Counted
//! before a body is taken in, so that no client fills the memory with bodies that it sends slowly, or never to the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use super::CounterKey;

/// What a caller may have under way, and all of them together.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Requests of one caller at a time; 0 is no limit.
    pub requests: u32,
    /// Bytes of all bodies that are held in memory. Of these one caller can have a quarter.
    pub bytes: usize,
}

impl Default for Room {
    fn default() -> Room {
        Room { requests: 256, bytes: 64 * 1024 * 1024 }
    }
}

/// Bytes of each body that are not counted: nearly all bodies have no more, and so many fit for each connection that there can be. A flood of
/// large ones is none of their business.
pub(crate) const UNCOUNTED: usize = 8 * 1024;

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The caller has as much under way as one may have.
    Caller,
    /// All callers have.
    Server,
}

#[derive(Default)]
struct Load {
    /// Bytes of all callers.
    bytes: usize,
    callers: HashMap<CounterKey, Share>,
}

#[derive(Default)]
struct Share {
    requests: u32,
    bytes: usize,
}

#[derive(Clone)]
pub(crate) struct Intake {
    room: Room,
    load: Arc<Mutex<Load>>,
}

/// The place of one request that is under way. Given back when it is dropped.
pub(crate) struct Place {
    intake: Intake,
    caller: CounterKey,
    bytes: usize,
}

impl Intake {
    pub(super) fn new(room: Room) -> Intake {
        Intake { room, load: Arc::default() }
    }

    /// Lets a request of this caller begin.
    pub(super) fn enter(&self, caller: CounterKey, is_unlimited: bool) -> Result<Place, Full> {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        let share = load.callers.entry(caller).or_default();
        if !is_unlimited && self.room.requests > 0 && share.requests >= self.room.requests {
            return Err(Full::Caller);
        }
        share.requests += 1;
        Ok(Place { intake: self.clone(), caller, bytes: 0 })
    }
}

impl Place {
    /// Makes room for so many bytes of the request's body in all, of which [`UNCOUNTED`] are free.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.saturating_sub(UNCOUNTED).saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let mut load = self.intake.load.lock().unwrap_or_else(PoisonError::into_inner);
        let most = self.intake.room.bytes;
        if load.bytes + more > most {
            return Err(Full::Server);
        }
        let share = load.callers.entry(self.caller).or_default();
        if share.bytes + more > most / 4 {
            return Err(Full::Caller);
        }
        share.bytes += more;
        load.bytes += more;
        self.bytes += more;
        Ok(())
    }

    /// Gives back what was held for a body that is thrown away.
    pub(crate) fn let_go(&mut self) {
        let mut load = self.intake.load.lock().unwrap_or_else(PoisonError::into_inner);
        load.bytes -= self.bytes;
        if let Some(share) = load.callers.get_mut(&self.caller) {
            share.bytes -= self.bytes;
        }
        self.bytes = 0;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.let_go();
        let mut load = self.intake.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = load.callers.entry(self.caller) {
            entry.get_mut().requests -= 1;
            if entry.get().requests == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> CounterKey {
        CounterKey::User(Uuid::from_u128(number))
    }

    #[test]
    fn what_is_under_way_is_bounded_for_each_caller_and_for_all_and_comes_back() {
        let intake = Intake::new(Room { requests: 2, bytes: 4_000 });
        let enter = |number| intake.enter(user(number), false);
        let (mut first, second) = (enter(1).unwrap(), enter(1).unwrap());
        assert_eq!(enter(1).err(), Some(Full::Caller));
        assert!(intake.enter(user(1), true).is_ok());
        drop(second);
        // Small bodies are free, a caller has a quarter of the rest.
        assert_eq!((first.hold(UNCOUNTED), first.hold(UNCOUNTED + 1_000)), (Ok(()), Ok(())));
        assert_eq!((first.hold(UNCOUNTED + 1_000), first.hold(UNCOUNTED + 1_001)), (Ok(()), Err(Full::Caller)));
        let mut others: Vec<Place> = (2..6).map(|number| enter(number).unwrap()).collect();
        let held: Vec<_> = others.iter_mut().map(|place| place.hold(UNCOUNTED + 1_000)).collect();
        assert_eq!(held, [Ok(()), Ok(()), Ok(()), Err(Full::Server)]);
        first.let_go();
        assert_eq!(others[3].hold(UNCOUNTED + 1_000), Ok(()));
        drop((first, others));
        let load = intake.load.lock().unwrap();
        assert!(load.bytes == 0 && load.callers.is_empty());
    }

    #[test]
    fn without_a_limit_of_requests_any_number_is_under_way() {
        let intake = Intake::new(Room { requests: 0, ..Room::default() });
        let places: Vec<_> = (0..1_000).map(|_| intake.enter(user(1), false).is_ok()).collect();
        assert!(places.into_iter().all(|is_let_in| is_let_in));
    }
}
