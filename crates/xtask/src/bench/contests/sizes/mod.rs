//! The contest `sizes`: organizations of more and more rows are deleted. What the answer takes, how fast the drain is and what it writes, and
//! what it costs a neighbour; against one DELETE that cascades and against naive batches.

mod report;

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::Result;
use crate::bench::Bench;
use crate::bench::load::{Bulk, NINE, Store, contents};
use crate::bench::neighbour::{Neighbour, Waits};
use crate::bench::plain::{Hand, Plain, Way};
use crate::bench::report::{Section, median, percentile};
use crate::bench::rusqlite_floor;
use crate::bench::server::Server;

/// Empty organizations deleted before each large one.
const EMPTY: usize = 10;
/// Empty ones before those, which do not count: after a large filling every connection's statements are planned anew.
const WARMING: usize = 20;
/// How often a drain is asked whether it is done.
const GLANCE: Duration = Duration::from_millis(20);
/// Between the small deletions of a round and its large one, which would step back for them.
const PAUSE: Duration = Duration::from_millis(200);

/// How much is done.
struct Effort {
    /// Customers of an organization, with nine rows each, and how often.
    sizes: Vec<(u64, usize)>,
    /// Customers of an organization that is deleted beside the neighbour.
    beside: u64,
    /// How long the neighbour is watched before and after.
    idle: Duration,
    /// About how long deletions go on beside the neighbour.
    during: Duration,
}

impl Effort {
    fn of(bench: &Bench) -> Effort {
        if bench.quick {
            let (idle, during) = (Duration::from_secs(1), Duration::from_secs(1));
            return Effort { sizes: vec![(1_000, 1), (10_000, 1)], beside: 10_000, idle, during };
        }
        let mut sizes = vec![(1_000, 3), (10_000, 5), (100_000, 3)];
        sizes.extend(bench.full.then_some((1_000_000, 1)));
        Effort { sizes, beside: 100_000, idle: Duration::from_secs(6), during: Duration::from_secs(12) }
    }
}

/// An organization deleted by the server.
struct Drained {
    answer_millis: f64,
    seconds: f64,
    longest_millis: f64,
    transactions: u64,
    /// Megabytes.
    written: f64,
}

/// One that was deleted by plain SQL.
struct Rival {
    plain: Plain,
    /// Megabytes.
    written: f64,
}

/// The rounds with organizations of one size.
struct Level {
    rows: u64,
    ours: Vec<Drained>,
    cascade: Vec<Rival>,
    batches: Vec<Rival>,
}

/// What the neighbour waited.
struct Beside {
    rows: u64,
    before: Waits,
    during: Waits,
    after: Waits,
    cascade: Waits,
    batches: Waits,
    longest_millis: f64,
}

/// What one engine came to.
struct Outcome {
    engine: &'static str,
    /// Milliseconds until an empty organization's deletion was answered.
    empty: Vec<f64>,
    levels: Vec<Level>,
    beside: Beside,
    /// The largest the write-ahead log of SQLite has been, in megabytes.
    largest_log: f64,
}

/// A server, and a second database for those who do without it.
struct Arena {
    server: Server,
    store: Store,
    /// On PostgreSQL the server's own database. On SQLite a file of its own, since two programs that write to one wait for its lock.
    plain_store: Store,
    hand: Hand,
    neighbour: String,
    bystander: String,
    bystanders_rows: Vec<String>,
    /// Organizations made so far.
    made: u64,
    largest_log: u64,
}

/// Both engines, one after the other.
pub(crate) async fn sizes(bench: &Bench) -> Result<Vec<Section>> {
    let effort = Effort::of(bench);
    let on_postgres = run(Some(&bench.database("sizes").await?), &effort).await?;
    let on_sqlite = run(None, &effort).await?;
    Ok(vec![on_postgres.section(), on_sqlite.section()])
}

async fn run(database_url: Option<&str>, effort: &Effort) -> Result<Outcome> {
    let mut arena = Arena::open(database_url).await?;
    let engine = arena.store.engine();
    println!("an organization of more and more rows on {engine}");
    let (mut empty, mut levels) = (Vec::new(), Vec::new());
    for (customers, rounds) in &effort.sizes {
        let bulk = Bulk::new(*customers, NINE);
        let mut level = Level { rows: bulk.rows(), ours: Vec::new(), cascade: Vec::new(), batches: Vec::new() };
        for round in 1..=*rounds {
            let home = arena.organization(bulk).await?;
            empty.append(&mut arena.empty_ones().await?);
            arena.rest(&home).await?;
            let ours = arena.drain(&home, bulk.rows()).await?;
            arena.is_gone(&home).await?;
            let rate = bulk.rows() as f64 / ours.seconds;
            print!("{} rows, round {round}: answer {:.1} ms, drain {rate:.0} rows/s", bulk.rows(), ours.answer_millis);
            for (way, rivals) in [(Way::Cascade, &mut level.cascade), (Way::Batches, &mut level.batches)] {
                let rival = arena.rival(way, bulk).await?;
                print!("; {way:?} {:.0} rows/s", bulk.rows() as f64 / rival.plain.seconds);
                rivals.push(rival);
            }
            println!();
            level.ours.push(ours);
        }
        levels.push(level);
    }
    let rate = levels.last().and_then(|level| Some(level.rows as f64 / level.ours.last()?.seconds)).unwrap_or(0.0);
    let beside = arena.beside(effort, rate).await?;
    if contents(&arena.store, &arena.bystander).await? != arena.bystanders_rows {
        return Err("another organization's rows have changed".into());
    }
    println!("no row left of any; the {} rows of a bystander are the same to the byte", arena.bystanders_rows.len());
    Ok(Outcome { engine, empty, levels, beside, largest_log: arena.largest_log as f64 / 1e6 })
}

impl Arena {
    async fn open(database_url: Option<&str>) -> Result<Arena> {
        let server = Server::start(database_url, &[]).await?;
        let store = Store::of(&server, database_url);
        let neighbour = server.new_organization("neighbour").await?;
        store.fill(&neighbour, Bulk::new(1_000, NINE)).await?;
        let bystander = server.new_organization("bystander").await?;
        store.fill(&bystander, Bulk::new(1_000, NINE)).await?;
        let bystanders_rows = contents(&store, &bystander).await?;
        let plain_store = match &store {
            Store::Postgres(_) => store.clone(),
            Store::Sqlite(path) => Store::Sqlite(rusqlite_floor::copy(path, "plain.db")?),
        };
        let hand = Hand::open(&plain_store).await?;
        Ok(Arena { server, store, plain_store, hand, neighbour, bystander, bystanders_rows, made: 0, largest_log: 0 })
    }

    /// Makes an organization with these rows.
    async fn organization(&mut self, bulk: Bulk) -> Result<String> {
        self.made += 1;
        let home = self.server.new_organization(&format!("large-{}", self.made)).await?;
        self.store.fill(&home, bulk).await?;
        Ok(home)
    }

    /// Makes one with the same rows where it is deleted by plain SQL.
    async fn plain_organization(&mut self, bulk: Bulk) -> Result<String> {
        self.made += 1;
        let home = format!("00000000-0000-4000-8000-{:012x}", self.made);
        let insert = format!(
            "INSERT INTO organizations (id, slug, name, plan, subscription_status, state, version, created_at, updated_at)
             VALUES ({{organization}}, 'plain-{}', 'Bench', 'free', 'active', 'live', 1, {{time}}, {{time}})",
            self.made
        );
        self.plain_store.run(&self.plain_store.spell(&insert, &home)).await?;
        self.plain_store.fill(&home, bulk).await?;
        Ok(home)
    }

    /// Milliseconds to the answer for empty organizations.
    async fn empty_ones(&mut self) -> Result<Vec<f64>> {
        let mut waits = Vec::new();
        for _ in 0..WARMING + EMPTY {
            self.made += 1;
            let home = self.server.new_organization(&format!("empty-{}", self.made)).await?;
            waits.push(self.delete(&home).await?.0);
        }
        Ok(waits.split_off(WARMING))
    }

    /// Only reads for a while: the server falls asleep no more than beside small deletions.
    async fn rest(&self, home: &str) -> Result {
        let begun = Instant::now();
        while begun.elapsed() < PAUSE {
            self.server.send(Method::GET, &format!("/api/organizations/{home}"), None).await?;
        }
        Ok(())
    }

    /// Orders a deletion. Returns the milliseconds to the answer, and the deletion's id.
    async fn delete(&self, organization: &str) -> Result<(f64, String)> {
        let begun = Instant::now();
        let answer = self.server.send(Method::DELETE, &format!("/api/organizations/{organization}"), None).await?;
        Ok((begun.elapsed().as_secs_f64() * 1e3, Server::deletion_id(&answer)?))
    }

    /// Deletes an organization of so many rows and waits until its deletion is completed.
    async fn drain(&mut self, organization: &str, rows: u64) -> Result<Drained> {
        let process = self.server.freehold.process_id();
        let written = self.store.written(process).await?;
        let (answer_millis, deletion) = self.delete(organization).await?;
        let record = loop {
            let record = self.server.deletion(&deletion).await?;
            self.largest_log = self.largest_log.max(self.store.log_bytes());
            if record["state"] == "completed" {
                break record;
            }
            tokio::time::sleep(GLANCE).await;
        };
        let written = self.store.written(process).await? - written;
        let touched: u64 = record["counts"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        if touched < rows {
            return Err(format!("{rows} rows were put in and only {touched} were touched"));
        }
        Ok(Drained {
            answer_millis,
            seconds: self.store.deletion_seconds(&deletion).await?,
            longest_millis: record["longestBatchMicros"].as_f64().unwrap_or(f64::NAN) / 1e3,
            transactions: record["batches"].as_u64().unwrap_or(0),
            written: written as f64 / 1e6,
        })
    }

    async fn is_gone(&self, organization: &str) -> Result {
        match contents(&self.store, organization).await?.len() {
            0 => Ok(()),
            left => Err(format!("{left} rows are left of a completed organization")),
        }
    }

    /// Deletes an organization with the same rows by plain SQL.
    async fn rival(&mut self, way: Way, bulk: Bulk) -> Result<Rival> {
        let home = self.plain_organization(bulk).await?;
        let process = Some(std::process::id());
        let written = self.plain_store.written(process).await?;
        let plain = self.hand.delete(way, &self.plain_store, &home).await?;
        let written = self.plain_store.written(process).await? - written;
        Ok(Rival { plain, written: written as f64 / 1e6 })
    }

    /// The neighbour before, during and after deletions, and during those by plain SQL. `rate` is how many rows a second were drained.
    async fn beside(&mut self, effort: &Effort, rate: f64) -> Result<Beside> {
        let bulk = Bulk::new(effort.beside, NINE);
        let wanted = (rate * effort.during.as_secs_f64() / bulk.rows() as f64).ceil();
        let mut homes = Vec::new();
        for _ in 0..(wanted as usize).clamp(1, 4) {
            homes.push(self.organization(bulk).await?);
        }
        self.settle().await?;
        let neighbour = Neighbour::start(&self.server, &self.neighbour).await?;
        let start = Instant::now();
        tokio::time::sleep(effort.idle).await;
        let begun = Instant::now();
        let mut longest_millis: f64 = 0.0;
        for home in &homes {
            longest_millis = longest_millis.max(self.drain(home, bulk.rows()).await?.longest_millis);
        }
        let ended = Instant::now();
        tokio::time::sleep(effort.idle).await;
        let diary = neighbour.end().await?;
        let (before, during, after) = (diary.between(start, begun), diary.between(begun, ended), diary.between(ended, Instant::now()));
        for home in &homes {
            self.is_gone(home).await?;
        }
        let p99 = |waits: &Waits| percentile(&waits.writes, 99);
        println!("p99 of a neighbour's writes, ms: before {:.1}, during {:.1}, after {:.1}", p99(&before), p99(&during), p99(&after));
        let cascade = self.beside_plain(Way::Cascade, bulk).await?;
        let batches = self.beside_plain(Way::Batches, bulk).await?;
        println!("during a cascade {:.1}, during naive batches {:.1}", p99(&cascade), p99(&batches));
        Ok(Beside { rows: bulk.rows(), before, during, after, cascade, batches, longest_millis })
    }

    async fn beside_plain(&mut self, way: Way, bulk: Bulk) -> Result<Waits> {
        let home = self.plain_organization(bulk).await?;
        self.settle().await?;
        let neighbour = match &self.plain_store {
            Store::Postgres(_) => Neighbour::start(&self.server, &self.neighbour).await?,
            Store::Sqlite(_) => Neighbour::plain(&self.hand, &self.plain_store, &self.neighbour),
        };
        let begun = Instant::now();
        self.hand.delete(way, &self.plain_store, &home).await?;
        let ended = Instant::now();
        Ok(neighbour.end().await?.between(begun, ended))
    }

    /// What those before have deleted is cleared away first, which PostgreSQL would otherwise do beside the neighbour.
    async fn settle(&self) -> Result {
        if let Store::Postgres(_) = self.store {
            self.store.run("VACUUM").await?;
        }
        self.store.settle().await?;
        self.plain_store.settle().await
    }
}

impl Level {
    fn rates(&self) -> Vec<f64> {
        self.ours.iter().map(|ours| self.rows as f64 / ours.seconds).collect()
    }

    fn rival_rates(&self, rivals: &[Rival]) -> Vec<f64> {
        rivals.iter().map(|rival| self.rows as f64 / rival.plain.seconds).collect()
    }

    /// Ours against the cascade, round by round.
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.cascade).map(|(ours, cascade)| cascade.plain.seconds / ours.seconds).collect()
    }

    /// Microseconds that each row costs.
    fn micros_a_row(&self) -> f64 {
        1e6 / median(&self.rates())
    }

    fn of_ours(&self, figure: impl Fn(&Drained) -> f64) -> f64 {
        median(&self.ours.iter().map(figure).collect::<Vec<_>>())
    }
}

impl Beside {
    fn idle(&self) -> Waits {
        self.before.and(&self.after)
    }

    /// p99 during against idle, of writes and of reads.
    fn ratios(&self) -> [f64; 2] {
        let (idle, during) = (self.idle(), &self.during);
        [percentile(&during.writes, 99) / percentile(&idle.writes, 99), percentile(&during.reads, 99) / percentile(&idle.reads, 99)]
    }
}
