//! The background jobs of a server: drain, webhook sender, exports, retention, maintenance, backups. Each is watched: one that ends before it is told to is started
//! again, after a pause that grows; one that keeps ending is given up, and with it the server.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;

/// The pause before a job is started again for the first time. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const MOST_PAUSE: Duration = Duration::from_secs(60);
/// How often a job may end, each time before it has run for [`SOUND_AFTER`], until it is given up: after two minutes.
const MOST_ENDS: u32 = 8;
/// A job that has run for so long is sound again.
const SOUND_AFTER: Duration = Duration::from_secs(600);

/// One background job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, such as `drain`.
    pub name: &'static str,
    /// Whether it runs: not between its end and its next start.
    pub is_running: bool,
    /// How often it has ended before it was told to, since the start of the server.
    pub ends: u64,
}

/// A job has ended too often. Nothing that it does is done any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the background job `{0}` has ended {MOST_ENDS} times; the log says of what")]
pub struct GaveUp(pub &'static str);

/// The jobs of this server.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Vec<Job>>);

impl Jobs {
    /// How each of them is.
    pub fn report(&self) -> Vec<Job> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a job until it ends because `stop` says so. A panic is an end like any other.
    ///
    /// # Errors
    /// [`GaveUp`] when it ends too often.
    pub async fn watch<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        mut stop: watch::Receiver<bool>,
        start: impl Fn(watch::Receiver<bool>) -> F,
    ) -> Result<(), GaveUp> {
        let mut pause = FIRST_PAUSE;
        let mut ends = 0;
        loop {
            let began = steady_now();
            self.note(name, |job| job.is_running = true);
            let outcome = AssertUnwindSafe(start(stop.clone())).catch_unwind().await;
            let is_told = *stop.borrow();
            self.note(name, |job| {
                job.is_running = false;
                job.ends += u64::from(!is_told);
            });
            if is_told {
                return Ok(());
            }
            if began.elapsed() >= SOUND_AFTER {
                (pause, ends) = (FIRST_PAUSE, 0);
            }
            ends += 1;
            let cause = if outcome.is_err() { "it panicked" } else { "it returned" };
            if ends == MOST_ENDS {
                tracing::error!(job = name, cause, ends, "a background job has ended too often: the server stops");
                return Err(GaveUp(name));
            }
            tracing::error!(job = name, cause, ends, again_in = ?pause, "a background job has ended and is started again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|is_told| *is_told) => return Ok(()),
            }
            pause = MOST_PAUSE.min(pause * 2);
        }
    }

    fn note(&self, name: &'static str, change: impl FnOnce(&mut Job)) {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = jobs.iter().position(|job| job.name == name).unwrap_or_else(|| {
            jobs.push(Job { name, is_running: false, ends: 0 });
            jobs.len() - 1
        });
        change(&mut jobs[place]);
    }
}

/// The time that the runtime's timers know, which a test moves.
fn steady_now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "how long a job has run is no time of the clock")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_job_that_panics_or_returns_is_started_again_and_is_sound_after_a_while() {
        let (stop, stopped) = watch::channel(false);
        let (jobs, starts) = (Arc::new(Jobs::default()), Arc::new(AtomicU32::new(0)));
        let watched = tokio::spawn({
            let (jobs, starts) = (jobs.clone(), starts.clone());
            async move {
                let start = |mut stop: watch::Receiver<bool>| {
                    let number = starts.fetch_add(1, Ordering::Relaxed);
                    async move {
                        match number % 4 {
                            0 => panic!("the test's panic"),
                            1 => {}
                            2 => tokio::time::sleep(SOUND_AFTER).await,
                            _ if number < 40 => {}
                            _ => drop(stop.wait_for(|is_told| *is_told).await),
                        }
                    }
                };
                jobs.watch("drain", stopped, start).await
            }
        });
        while starts.load(Ordering::Relaxed) <= 43 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(jobs.report(), [Job { name: "drain", is_running: true, ends: 43 }]);
        stop.send_replace(true);
        assert_eq!(watched.await.unwrap(), Ok(()));
        assert_eq!(jobs.report(), [Job { name: "drain", is_running: false, ends: 43 }]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_keeps_ending_is_given_up() {
        let (_stop, stopped) = watch::channel(false);
        let jobs = Jobs::default();
        let began = steady_now();
        let outcome = jobs.watch("courier", stopped, |_| async { panic!("the test's panic") }).await;
        assert_eq!(outcome, Err(GaveUp("courier")));
        assert_eq!(jobs.report(), [Job { name: "courier", is_running: false, ends: u64::from(MOST_ENDS) }]);
        // 1 + 2 + 4 + 8 + 16 + 32 + 60 seconds.
        assert_eq!(began.elapsed().as_secs(), 123);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_the_next_start() {
        let (stop, stopped) = watch::channel(false);
        let jobs = Jobs::default();
        let began = steady_now();
        let watched = jobs.watch("exports", stopped, |_| async {});
        let told = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            stop.send_replace(true);
        };
        let (outcome, ()) = tokio::join!(watched, told);
        assert_eq!((outcome, began.elapsed().as_millis()), (Ok(()), 1_500));
    }
}
