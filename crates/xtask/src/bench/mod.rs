//! `cargo xtask bench`: what the server is worth, measured against itself in interleaved rounds. Ratios count: machines differ.

mod callers;
mod contests;
mod deletions;
mod load;
mod pgbench;
mod report;
mod rusqlite_floor;
mod server;
mod slices;

use clap::{Args, ValueEnum};

use crate::Result;
use crate::postgres::Cluster;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Contest {
    /// Durable writes by 64 callers: SQLite's group commit against one transaction a request.
    GroupCommit,
    /// Deleting customers with five dependants through HTTP against plain SQL, on each engine.
    Deletions,
    /// Deleting an organization of many rows against deleting an empty one, on each engine.
    Size,
    /// Reading on in a list of a million customers, at its beginning and at its end, on each engine.
    Slices,
}

#[derive(Args, Clone)]
pub(crate) struct BenchArgs {
    /// Smaller loads: 2 minutes at the most, for a look.
    #[arg(long)]
    quick: bool,
    /// One contest alone.
    #[arg(long, value_name = "NAME")]
    only: Option<Contest>,
}

pub(crate) async fn run(arguments: BenchArgs) -> Result {
    if cfg!(debug_assertions) {
        // A client of the development build is slower than the server that it measures.
        return server::measure_with_a_release_build();
    }
    server::build()?;
    let wanted = |contest| arguments.only.is_none_or(|only| only == contest);
    if wanted(Contest::GroupCommit) {
        contests::group_commit(if arguments.quick { 2 } else { 5 }).await?;
    }
    if wanted(Contest::Deletions) {
        for section in deletions::deletions(&Cluster::start()?, arguments.quick).await? {
            println!("{section:#?}");
        }
    }
    if wanted(Contest::Slices) {
        let customers = if arguments.quick { 100_000 } else { 1_000_000 };
        slices::slices(None, customers).await?;
        slices::slices(Some(&Cluster::start()?.url()), customers).await?;
    }
    if wanted(Contest::Size) {
        let (customers, rounds) = if arguments.quick { (10_000, 1) } else { (100_000, 3) };
        contests::size(None, customers, rounds).await?;
        let cluster = Cluster::start()?;
        contests::size(Some(&cluster.url()), customers, rounds).await?;
    }
    Ok(())
}
