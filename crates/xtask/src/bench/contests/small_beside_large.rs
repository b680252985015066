//! The contest `small-beside-large`: thousands of small deletions at the same time as three very large ones. None of the small may wait for a large one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Answers, Call};
use crate::bench::load::{Bulk, DEPENDANTS, FIVE, NINE, Store, contents};
use crate::bench::neighbour::{Neighbour, Waits};
use crate::bench::plot::figure;
use crate::bench::report::{Axis, Plot, Section, Table, Verdict, percentile};
use crate::bench::server::Server;

const LARGE: usize = 3;
/// Callers who order the small deletions.
const CALLERS: usize = 64;
/// One in so many small ones has more rows than are erased at once: it is closed first and drained.
const DRAINED_IN: u64 = 10;
/// What hangs on such a one: 600 rows.
const SIX_HUNDRED: [u64; 5] = [20, 80, 20, 80, 400];
/// Seconds that no small deletion may wait.
const PATIENCE: f64 = 2.0;
/// When a run is given up.
const LIMIT: Duration = Duration::from_secs(120);
/// How often what is not completed yet is counted.
const GLANCE: Duration = Duration::from_millis(50);
/// How long another tenant is watched before.
const IDLE: Duration = Duration::from_secs(3);

/// What one run came to.
struct Outcome {
    name: &'static str,
    /// Milliseconds to the answers of all small deletions. Most are completed by then.
    answered: Answers,
    /// Milliseconds from the request to the completion of those that were drained.
    completed: Vec<f64>,
    /// Seconds until everything was completed.
    total: f64,
    /// What another tenant waited before and meanwhile.
    before: Waits,
    during: Waits,
}

/// Both engines, one after the other.
pub(crate) async fn small_beside_large(bench: &Bench) -> Result<Vec<Section>> {
    let (small, large) = if bench.quick { (1_000, 5_000) } else { (10_000, 30_000) };
    Ok(vec![on_engine(Some(&bench.database("small_beside_large").await?), small, large).await?, on_engine(None, small, large).await?])
}

async fn on_engine(database_url: Option<&str>, small: u64, large: u64) -> Result<Section> {
    let server = Server::start(database_url, &[]).await?;
    let store = Store::of(&server, database_url);
    println!("{small} small deletions on {}", store.engine());
    let neighbour = server.new_organization("neighbour").await?;
    store.fill(&neighbour, Bulk::new(1_000, NINE)).await?;
    let alone = run(&server, &store, &neighbour, small, None).await?;
    let beside = run(&server, &store, &neighbour, small, Some(Bulk::new(large, NINE))).await?;
    Ok(section(store.engine(), small, large * 10, &[alone, beside]))
}

/// Deletes so many customers at once, and first the large ones, if there are any.
async fn run(server: &Server, store: &Store, neighbour: &str, small: u64, large: Option<Bulk>) -> Result<Outcome> {
    let name = if large.is_some() { "beside three large ones" } else { "alone" };
    let home = server.new_organization(if large.is_some() { "small-beside" } else { "small-alone" }).await?;
    let drained = small / DRAINED_IN;
    store.fill(&home, Bulk { customers: drained, first: 1, each: SIX_HUNDRED }).await?;
    store.fill(&home, Bulk { customers: small - drained, first: drained + 1, each: FIVE }).await?;
    let mut large_homes = Vec::new();
    for (number, bulk) in large.iter().cycle().take(LARGE).enumerate() {
        let home = server.new_organization(&format!("large-{number}")).await?;
        store.fill(&home, *bulk).await?;
        large_homes.push(home);
    }
    let neighbour = Neighbour::start(server, neighbour).await?;
    let idle = Instant::now();
    tokio::time::sleep(IDLE).await;
    let begun = Instant::now();
    for home in &large_homes {
        server.send(Method::DELETE, &format!("/api/organizations/{home}"), None).await?;
    }
    let answered = callers::call(&server.freehold.url, CALLERS, calls(server, &home, small)?, LIMIT).await?;
    while store.numbers("SELECT count(*) FROM deletions WHERE state <> 'completed'").await? != [0] {
        if begun.elapsed() > LIMIT {
            return Err(format!("not all was completed within {} seconds", LIMIT.as_secs()));
        }
        tokio::time::sleep(GLANCE).await;
    }
    let ended = Instant::now();
    let total = (ended - begun).as_secs_f64();
    let diary = neighbour.end().await?;
    let (before, during) = (diary.between(idle, begun), diary.between(begun, ended));
    let completed = store.deletion_millis(&home, drained).await?;
    if completed.len() as u64 != drained {
        return Err(format!("{drained} deletions were drained and {} have records", completed.len()));
    }
    are_gone(store, &home, small, &large_homes).await?;
    let outcome = Outcome { name, answered, completed, total, before, during };
    println!("{name}: the oldest small one waited {:.1} s; all completed after {total:.1} s", outcome.oldest());
    Ok(outcome)
}

/// The small deletions, those that are drained spread evenly among the others.
fn calls(server: &Server, organization: &str, small: u64) -> Result<Arc<[Call]>> {
    let drained = small / DRAINED_IN;
    let numbers = (0..drained).flat_map(|number| {
        let others = drained + number * (DRAINED_IN - 1);
        std::iter::once(number + 1).chain(others + 1..others + DRAINED_IN)
    });
    let call = |number| {
        let path = format!("/api/organizations/{organization}/customers/bulk-{number}");
        Call::new(Method::DELETE, &path)?.bearer(&server.token)
    };
    numbers.map(call).collect()
}

/// Counts what is left: nothing, but an audit entry for each.
async fn are_gone(store: &Store, home: &str, small: u64, large_homes: &[String]) -> Result {
    for table in DEPENDANTS.iter().map(|(table, ..)| *table).chain(["customers"]) {
        let left = store.count(table, home, "").await?;
        if left > 0 {
            return Err(format!("{left} rows are left in {table}"));
        }
    }
    let entries = store.count("audit_entries", home, "AND action = 'customer.delete' AND outcome = 'done'").await?;
    if entries as u64 != small {
        return Err(format!("{small} customers were deleted and {entries} audit entries say so"));
    }
    for large in large_homes {
        let left = contents(store, large).await?.len();
        if left > 0 {
            return Err(format!("{left} rows are left of a large one"));
        }
    }
    Ok(())
}

impl Outcome {
    /// Seconds that the small deletion waited that waited longest.
    fn oldest(&self) -> f64 {
        self.answered.percentile(100).max(percentile(&self.completed, 100)) / 1e3
    }

    fn row(&self) -> Vec<String> {
        let figures = |waits: &[f64]| {
            let [p50, p99, most] = [50, 99, 100].map(|percent| percentile(waits, percent));
            format!("{p50:.0} / {p99:.0} / {most:.0}")
        };
        let row = [self.name.to_owned(), figures(&self.answered.waits), figures(&self.completed)];
        row.into_iter().chain([format!("{:.1}", self.oldest()), format!("{:.1}", self.total)]).collect()
    }

    fn neighbours_rows(&self) -> [Vec<String>; 2] {
        [self.before.row(&format!("before, {}", self.name)), self.during.row(&format!("meanwhile, {}", self.name))]
    }

    fn curve(&self) -> (String, Vec<(f64, f64)>) {
        let points =
            [1, 10, 25, 50, 75, 90, 99, 100].map(|percent| (f64::from(percent), percentile(&self.completed, percent as usize) / 1e3));
        (self.name.to_owned(), points.into())
    }
}

fn section(engine: &str, small: u64, large_rows: u64, outcomes: &[Outcome]) -> Section {
    let head =
        ["small deletions", "answered: p50 / p99 / longest, ms", "drained: p50 / p99 / longest, ms", "oldest, s", "all completed, s"];
    let oldest = outcomes.last().map_or(f64::NAN, Outcome::oldest);
    let drained = small / DRAINED_IN;
    Section {
        title: format!("Small deletions beside large ones on {engine}"),
        about: format!(
            "{} customers are deleted by {CALLERS} callers, alone and right after three organizations of {} rows each. Of the customers {} have \
             five dependants, which are erased before the answer, and {} have 600, which are drained after it. Another tenant sends 100 requests \
             a second meanwhile.",
            figure(small as f64),
            figure(large_rows as f64),
            figure((small - drained) as f64),
            figure(drained as f64)
        ),
        tables: vec![
            Table { head: head.map(Into::into).into(), rows: outcomes.iter().map(Outcome::row).collect() },
            Table { head: Waits::head(), rows: outcomes.iter().flat_map(Outcome::neighbours_rows).collect() },
        ],
        plots: vec![Plot {
            title: format!("How long small drains take on {engine}"),
            x: Axis { label: "share of the drained small deletions that took no longer, percent".into(), is_logarithmic: false },
            y: Axis { label: "seconds from the request to the completion".into(), is_logarithmic: false },
            lines: outcomes.iter().map(Outcome::curve).collect(),
        }],
        verdicts: vec![Verdict {
            target: format!("no small deletion waits longer than {PATIENCE:.0} s beside three large ones"),
            measured: format!("{oldest:.1} s"),
            is_reached: oldest <= PATIENCE,
        }],
        notes: vec!["Drained counts from the request to the completion in the deletion's record.".into()],
    }
}
