//! Time and randomness: they come from here and from nowhere else (`clippy.toml` forbids the rest).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Error, Result};

/// What time it is: the system's, moved by an offset that tests advance.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_micros: Arc<AtomicI64>,
}

impl Clock {
    /// Now, cut to the microsecond that both engines keep.
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
        let micros = Timestamp::now().as_microsecond() + self.offset_micros.load(Ordering::Relaxed);
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
    }

    /// Moves this clock forward.
    pub fn advance(&self, by: Duration) {
        self.offset_micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Starts a measurement of elapsed time.
    pub fn stopwatch(&self) -> Stopwatch {
        #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
        Stopwatch(std::time::Instant::now())
    }
}

/// A running measurement.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Time since it was started.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A time so much later; the end of time where there is none.
pub fn after(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A time so much earlier; the beginning of time where there is none.
pub fn before(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// `N` random bytes of the operating system, fit for secrets.
///
/// # Errors
/// [`Error::Internal`] when the system has none.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "this is the one place where randomness comes in")]
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Internal("the system has no randomness".into()))?;
    Ok(bytes)
}

/// A new id of this time (UUID version 7, RFC 9562): ids of one table sort by their time of birth.
///
/// # Errors
/// [`Error::Internal`] when the system has no randomness.
pub fn new_id(now: Timestamp) -> Result<Uuid> {
    let micros = u64::try_from(now.as_microsecond()).unwrap_or(0);
    let mut bytes = random::<10>()?;
    // The time below the millisecond goes into the twelve bits after it (RFC 9562, section 6.2, method 3).
    let fraction = u16::try_from(micros % 1_000 * 4_096 / 1_000).unwrap_or(0);
    bytes[..2].copy_from_slice(&fraction.to_be_bytes());
    Ok(uuid::Builder::from_unix_timestamp_millis(micros / 1_000, &bytes).into_uuid())
}

/// The least id that [`new_id`] gives at this time or later: those before it have lesser ones.
pub fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
