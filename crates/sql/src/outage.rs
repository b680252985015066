//! What keeps the database from writing, as far as callers have met it. The log is told once and then every minute, and the readiness check
//! tells it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the log is told of the same outage.
const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_secs(1);

/// The failure of writes that lasts, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether there is any: the lock is not taken when there is none.
    is_noted: AtomicBool,
    noted: Mutex<Option<Noted>>,
}

#[derive(Debug)]
struct Noted {
    words: String,
    since: Instant,
    told: Instant,
    /// How often it was noted since it was told.
    times: u64,
    /// When it was last looked whether it is over.
    looked: Instant,
}

impl Outage {
    /// What it is at the moment.
    pub(crate) fn words(&self) -> Option<String> {
        self.is_noted.load(Ordering::Relaxed).then(|| self.noted().as_ref().map(|noted| noted.words.clone())).flatten()
    }

    /// A caller has noted it.
    pub(crate) fn note(&self, words: &str) {
        let now = Instant::now();
        let mut noted = self.noted();
        match &mut *noted {
            None => {
                tracing::error!(error = words, "the database is not available");
                *noted = Some(Noted { words: words.into(), since: now, told: now, times: 0, looked: now });
                self.is_noted.store(true, Ordering::Relaxed);
            }
            Some(known) => {
                known.times += 1;
                if known.words != words {
                    known.words = words.into();
                }
                if now.duration_since(known.told) >= EVERY {
                    let (times, seconds) = (known.times, now.duration_since(known.since).as_secs());
                    tracing::error!(error = words, times, seconds, "the database is still not available");
                    (known.told, known.times) = (now, 0);
                }
            }
        }
    }

    /// Whether there is any and it is time to look whether it is over. True for one caller only.
    pub(crate) fn is_due(&self) -> bool {
        self.is_noted.load(Ordering::Relaxed)
            && self.noted().as_mut().is_some_and(|noted| {
                let is_due = noted.looked.elapsed() >= LOOK;
                if is_due {
                    noted.looked = Instant::now();
                }
                is_due
            })
    }

    /// A write has come true that had to be written down.
    pub(crate) fn end(&self) {
        if self.is_noted.load(Ordering::Relaxed)
            && let Some(noted) = self.noted().take()
        {
            self.is_noted.store(false, Ordering::Relaxed);
            tracing::info!(seconds = noted.since.elapsed().as_secs(), "the database is available again");
        }
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Option<Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_lasts_until_a_write_comes_true_and_the_latest_words_are_told() {
        let outage = Outage::default();
        assert_eq!(outage.words(), None);
        outage.note("the disk is full");
        outage.note("the disk is gone");
        assert_eq!(outage.words().as_deref(), Some("the disk is gone"));
        outage.end();
        assert_eq!(outage.words(), None);
    }
}
