//! Another tenant at its daily work: a few callers who write and read at a fixed pace. Their waits while another tenant's rows are deleted
//! are the price of a deletion for those it does not concern.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Result;
use crate::bench::callers::{Call, Connection};
use crate::bench::load::Store;
use crate::bench::plain::Hand;
use crate::bench::report::percentile;
use crate::bench::server::{Server, words};

/// Callers, and how often each sends a request: together 100 requests a second, far from what the machine can do.
const CALLERS: u32 = 4;
const PACE: Duration = Duration::from_millis(40);

/// One request of the neighbour.
#[derive(Debug, Clone, Copy)]
struct Sample {
    due: Instant,
    is_write: bool,
    millis: f64,
}

/// How a caller reaches the database.
enum Desk {
    /// Through the server, with a write and a read by turns.
    Server { connection: Connection, calls: Box<[Call; 2]> },
    /// As a program without one does; only its writes meet anybody else's.
    Plain { hand: Hand, insert: String },
}

/// The neighbour at work. It stops when dropped.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<Vec<Sample>>>,
}

/// All that a neighbour has waited.
#[derive(Debug)]
pub(crate) struct Diary {
    samples: Vec<Sample>,
}

/// What it waited in a part of the time, in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    pub(crate) writes: Vec<f64>,
    pub(crate) reads: Vec<f64>,
}

impl Neighbour {
    /// Sets the callers to work on an organization that has customers of the numbers from 1.
    pub(crate) async fn start(server: &Server, organization: &str) -> Result<Neighbour> {
        let path = format!("/api/organizations/{organization}/customers");
        let body = json!({"name": "Neighbour", "email": "neighbour@example.com"});
        let write = Call::new(Method::POST, &path)?.bearer(&server.token)?.json(&body);
        let mut desks = Vec::new();
        for number in 1..=CALLERS {
            let read = Call::new(Method::GET, &format!("{path}/bulk-{number}"))?.bearer(&server.token)?;
            desks.push(Desk::Server { connection: Connection::open(&server.freehold.url).await?, calls: Box::new([write.clone(), read]) });
        }
        Ok(Neighbour::at(desks))
    }

    /// The same writes as plain SQL over the connection that the deletion writes over, too.
    pub(crate) fn plain(hand: &Hand, store: &Store, organization: &str) -> Neighbour {
        let insert = "INSERT INTO customers (organization_id, id, reference, name, email, address, metadata, state, version, created_at, updated_at)
                      VALUES ({organization}, randomblob(16), hex(randomblob(16)), 'Neighbour', 'neighbour@example.com', '{}', '{}', 'live', 1,
                              {time}, {time})";
        let insert = store.spell(insert, organization);
        Neighbour::at((0..CALLERS).map(|_| Desk::Plain { hand: hand.clone(), insert: insert.clone() }).collect())
    }

    fn at(desks: Vec<Desk>) -> Neighbour {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for (number, desk) in (1..).zip(desks) {
            callers.spawn(work(desk, Instant::now() + PACE * number / CALLERS, stop.clone()));
        }
        Neighbour { stop, callers }
    }

    /// Lets the callers end what they are at, and returns what they have waited.
    pub(crate) async fn end(mut self) -> Result<Diary> {
        self.stop.store(true, Ordering::Relaxed);
        let mut samples = Vec::new();
        while let Some(caller) = self.callers.join_next().await {
            samples.append(&mut caller.map_err(words)??);
        }
        Ok(Diary { samples })
    }
}

/// One request after the other, each when it is due. Who is late because the answer before came late has waited since then: otherwise the
/// requests that a stand-still keeps from being sent would be missing from the figures.
async fn work(mut desk: Desk, first: Instant, stop: Arc<AtomicBool>) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut due = first;
    let mut is_write = true;
    while !stop.load(Ordering::Relaxed) {
        let mut begun = due;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
            // How late a timer wakes us is no fault of the server's.
            begun = Instant::now();
        }
        match &mut desk {
            Desk::Server { connection, calls } => drop(connection.send(&calls[usize::from(!is_write)]).await?),
            Desk::Plain { hand, insert } if is_write => drop(hand.execute(insert).await?),
            Desk::Plain { .. } => {}
        }
        if is_write || matches!(desk, Desk::Server { .. }) {
            samples.push(Sample { due, is_write, millis: begun.elapsed().as_secs_f64() * 1e3 });
        }
        is_write = !is_write;
        due += PACE;
    }
    Ok(samples)
}

impl Diary {
    /// What was waited for requests that were due between two times.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Waits {
        let of = |is_write: bool| {
            let due = self.samples.iter().filter(|sample| sample.is_write == is_write && sample.due >= from && sample.due < to);
            due.map(|sample| sample.millis).collect()
        };
        Waits { writes: of(true), reads: of(false) }
    }
}

impl Waits {
    pub(crate) fn and(&self, other: &Waits) -> Waits {
        Waits { writes: [self.writes.as_slice(), &other.writes].concat(), reads: [self.reads.as_slice(), &other.reads].concat() }
    }

    /// A row of figures after its name: requests, then p50, p99 and the longest of writes and of reads.
    pub(crate) fn row(&self, name: &str) -> Vec<String> {
        let figures = |waits: &[f64]| {
            if waits.is_empty() {
                return "not measured".to_owned();
            }
            let [p50, p99, most] = [50, 99, 100].map(|percent| percentile(waits, percent));
            format!("{p50:.1} / {p99:.1} / {most:.0}")
        };
        vec![name.into(), (self.writes.len() + self.reads.len()).to_string(), figures(&self.writes), figures(&self.reads)]
    }

    /// The head of a table of such rows.
    pub(crate) fn head() -> Vec<String> {
        ["neighbour", "requests", "writes: p50 / p99 / longest, ms", "reads: p50 / p99 / longest, ms"].map(Into::into).into()
    }

    /// How the writes are spread, as points of a plot: one write in so many waited longer than so many milliseconds.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        [(2.0, 50), (4.0, 75), (10.0, 90), (20.0, 95), (50.0, 98), (100.0, 99)]
            .map(|(many, percent)| (many, percentile(&self.writes, percent)))
            .into()
    }
}
