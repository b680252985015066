//! What keeps the database from its work, as far as callers have met it: told in the log once and then every minute, and to whoever asks whether
//! the server is ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the log is told of the same trouble.
const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_secs(1);

/// What writes have met since the last one that succeeded.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Whether there is any: nobody takes a lock when there is none.
    is_met: AtomicBool,
    met: Mutex<Option<Met>>,
}

#[derive(Debug)]
struct Met {
    words: String,
    since: Instant,
    told: Instant,
    /// How often it was met since it was told.
    times: u64,
    /// When it was last looked whether it is over.
    looked: Instant,
}

impl Trouble {
    /// What it is at the moment.
    pub(crate) fn words(&self) -> Option<String> {
        self.is_met.load(Ordering::Relaxed).then(|| self.met().as_ref().map(|met| met.words.clone())).flatten()
    }

    /// A caller has met it.
    pub(crate) fn meet(&self, words: &str) {
        let now = Instant::now();
        let mut met = self.met();
        match &mut *met {
            None => {
                tracing::error!(error = words, "the database is not available");
                *met = Some(Met { words: words.into(), since: now, told: now, times: 0, looked: now });
                self.is_met.store(true, Ordering::Relaxed);
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
        self.is_met.load(Ordering::Relaxed)
            && self.met().as_mut().is_some_and(|met| {
                let is_due = met.looked.elapsed() >= LOOK;
                if is_due {
                    met.looked = Instant::now();
                }
                is_due
            })
    }

    /// A write has come true that had to be written down.
    pub(crate) fn end(&self) {
        if self.is_met.load(Ordering::Relaxed)
            && let Some(met) = self.met().take()
        {
            self.is_met.store(false, Ordering::Relaxed);
            tracing::info!(seconds = met.since.elapsed().as_secs(), "the database is available again");
        }
    }

    fn met(&self) -> std::sync::MutexGuard<'_, Option<Met>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_a_write_comes_true_and_the_latest_words_are_told() {
        let trouble = Trouble::default();
        assert_eq!(trouble.words(), None);
        trouble.meet("the disk is full");
        trouble.meet("the disk is gone");
        assert_eq!(trouble.words().as_deref(), Some("the disk is gone"));
        trouble.end();
        assert_eq!(trouble.words(), None);
    }
}
