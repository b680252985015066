//! `cargo xtask bench`: what the server is worth, measured against others and against itself in interleaved rounds. Ratios count: machines
//! differ.
//!
//! A contest starts everything it needs on the loopback address and returns what it found; a whole run writes that down as
//! `docs/performance.md`.

mod contests;
mod page;
mod plot;
mod report;
mod rivals;
mod surroundings;

use rivals::{bare, callers, load, peer, pgbench, plain, rusqlite_floor, server, wrk};

use contests::{deletions, exports, footprint, group_commit, neighbour, outside, reads, removals, sizes, slices, small_beside_large};

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

pub(crate) use self::bare::{BareArgs, serve as bare};
use self::report::Section;
use self::server::words;
use crate::Result;
use crate::postgres::Cluster;

/// How long a whole run, a quick one and a full one may take, without the builds before it.
const WHOLE: Duration = Duration::from_secs(15 * 60);
const QUICK: Duration = Duration::from_secs(2 * 60);
const FULL: Duration = Duration::from_secs(60 * 60);

/// What is measured, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Contest {
    /// Signed-in reads against a bare handler and against the peer's verification of a key.
    Reads,
    /// Deleting customers with five dependants through HTTP against plain SQL, on each engine.
    Deletions,
    /// Removing members and deleting organizations against the peer's endpoints for both.
    Removals,
    /// Deleting organizations of more and more rows against a cascade and naive batches, on each engine.
    Sizes,
    /// Thousands of small deletions beside three very large ones, on each engine.
    SmallBesideLarge,
    /// Memory, disk, start-up, and what a credential in memory costs.
    Footprint,
    /// Taking everything out that a large organization owns, against a plain program that reads the same rows, on each engine.
    Exports,
    /// Durable writes by 64 callers: SQLite's group commit against one transaction a request.
    GroupCommit,
    /// Reading on in a long list of customers, at its beginning and at its end, on each engine.
    Slices,
    /// What webhooks hear, how soon, and what a long queue of theirs costs a deletion, on each engine.
    Outside,
}

#[derive(Args, Clone)]
pub(crate) struct BenchArgs {
    /// Smaller loads: 2 minutes at the most, for a look. Nothing is written down.
    #[arg(long)]
    quick: bool,
    /// This contest alone; may be given several times. Nothing is written down.
    #[arg(long, value_name = "NAME")]
    only: Vec<Contest>,
    /// The largest sizes too: an hour at the most.
    #[arg(long, conflicts_with = "quick")]
    full: bool,
}

/// What a contest is given.
struct Bench {
    /// Smaller loads: every contest has some 15 seconds.
    quick: bool,
    /// The largest sizes too.
    full: bool,
    cluster: OnceCell<Cluster>,
}

impl Bench {
    /// The PostgreSQL of this run, started when it is first asked for.
    async fn cluster(&self) -> Result<&Cluster> {
        self.cluster.get_or_try_init(async || Cluster::start()).await
    }

    /// Makes an empty database in that PostgreSQL and returns its address. It is dropped when the contest has ended.
    async fn database(&self, name: &str) -> Result<String> {
        let cluster = self.cluster().await?;
        execute(&cluster.url(), &format!("CREATE DATABASE {name}")).await?;
        Ok(cluster.url_of(name))
    }

    /// Drops what a contest has left in PostgreSQL, so that its rows are no work for anybody during the next one.
    async fn tidy(&self) -> Result {
        let Some(cluster) = self.cluster.get() else { return Ok(()) };
        let left = execute(&cluster.url(), "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'").await?;
        for name in left {
            execute(&cluster.url(), &format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        }
        Ok(())
    }
}

/// Runs a statement on a connection of its own and returns the first column of its rows.
async fn execute(url: &str, statement: &str) -> Result<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(words)?;
    let connection = tokio::spawn(connection);
    let told = client.simple_query(statement).await.map_err(words)?;
    drop(client);
    connection.await.map_err(words)?.map_err(words)?;
    let rows = told.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(rows.collect())
}

pub(crate) async fn run(arguments: BenchArgs) -> Result {
    if cfg!(debug_assertions) {
        // A client of the development build is slower than the server that it measures.
        return server::measure_with_a_release_build();
    }
    server::build()?;
    let contests: Vec<Contest> =
        Contest::value_variants().iter().copied().filter(|contest| arguments.only.is_empty() || arguments.only.contains(contest)).collect();
    if contests.contains(&Contest::Reads) {
        wrk::prepare()?;
    }
    if contests.iter().any(|contest| matches!(contest, Contest::Reads | Contest::Removals)) {
        peer::prepare().await?;
    }
    let limit = match (arguments.quick, arguments.full) {
        (true, _) => QUICK,
        (_, true) => FULL,
        _ => WHOLE,
    };
    let too_long = |_| format!("the measurement did not end within {} minutes", limit.as_secs() / 60);
    tokio::time::timeout(limit, measure(&arguments, &contests)).await.map_err(too_long)?
}

/// Runs the contests one after the other. One that fails leaves the others their turn, and no page is written.
async fn measure(arguments: &BenchArgs, contests: &[Contest]) -> Result {
    let bench = Bench { quick: arguments.quick, full: arguments.full, cluster: OnceCell::new() };
    let (mut sections, mut failed) = (Vec::new(), Vec::new());
    for contest in contests {
        let began = Instant::now();
        println!("\n… {contest:?}");
        match run_contest(*contest, &bench).await {
            Ok(found) => {
                found.iter().for_each(|section| println!("\n{}", section.markdown(None)));
                sections.extend(found);
            }
            Err(words) => {
                eprintln!("{contest:?}: {words}");
                failed.push(format!("{contest:?}"));
            }
        }
        bench.tidy().await?;
        println!("… {contest:?} took {:.0} s", began.elapsed().as_secs_f64());
    }
    if !failed.is_empty() {
        return Err(format!("failed: {}", failed.join(", ")));
    }
    if arguments.quick || !arguments.only.is_empty() {
        return Ok(());
    }
    page::write(&surroundings::look(&bench).await?, &sections)
}

async fn run_contest(contest: Contest, bench: &Bench) -> Result<Vec<Section>> {
    match contest {
        Contest::Reads => reads::reads(bench).await,
        Contest::Removals => removals::removals(bench).await,
        Contest::Footprint => footprint::footprint(bench).await,
        Contest::Exports => exports::exports(bench).await,
        Contest::GroupCommit => group_commit::group_commit(bench).await,
        Contest::Deletions => deletions::deletions(bench).await,
        Contest::Sizes => sizes::sizes(bench).await,
        Contest::SmallBesideLarge => small_beside_large::small_beside_large(bench).await,
        Contest::Slices => slices::slices(bench).await,
        Contest::Outside => outside::outside(bench).await,
    }
}
