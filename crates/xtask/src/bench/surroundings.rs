//! What was measured on and with: the machine, its disk, and the versions of others.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use super::report::{Table, percentile};
use super::server::words;
use super::{Bench, execute, peer};
use crate::Result;

/// How often the disk is asked to keep what was written.
const WRITES: usize = 200;

/// A table of it. What is asked of a program costs no contest anything.
pub(super) async fn look(bench: &Bench) -> Result<Table> {
    let postgres = execute(&bench.cluster().await?.url(), "SHOW server_version").await?;
    let cores = std::thread::available_parallelism().map_err(words)?;
    let memory = line("/proc/meminfo", "MemTotal")?;
    let memory: f64 = memory.trim_end_matches(" kB").parse().map_err(words)?;
    let (half, most) = fdatasync()?;
    let facts = [
        ("date", told("date", &["--utc", "+%Y-%m-%d"])?),
        ("source", told("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|_| "unknown".into())),
        ("processor", format!("{}, {cores} cores", line("/proc/cpuinfo", "model name").unwrap_or_else(|_| "unknown".into()))),
        ("memory", format!("{:.1} GiB", memory / 1024.0 / 1024.0)),
        ("kernel", fs::read_to_string("/proc/sys/kernel/osrelease").map_err(words)?.trim().to_owned()),
        ("disk", format!("4 KiB and fdatasync: median {half:.2} ms, p99 {most:.2} ms of {WRITES}")),
        ("PostgreSQL", postgres.join("")),
        ("Node.js", told("node", &["--version"])?),
        ("the peer", peer::VERSION.into()),
    ];
    let rows = facts.into_iter().map(|(name, fact)| vec![name.to_owned(), fact]).collect();
    Ok(Table { head: ["what", "which"].map(str::to_owned).into(), rows })
}

/// What stands behind a name in one of the kernel's lists.
fn line(file: &str, name: &str) -> Result<String> {
    let list = fs::read_to_string(file).map_err(words)?;
    let found = list.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    found.map(|fact| fact.trim().to_owned()).ok_or_else(|| format!("{file} has no {name}"))
}

fn told(program: &str, arguments: &[&str]) -> Result<String> {
    let told = Command::new(program).args(arguments).current_dir(crate::steps::workspace()).output().map_err(words)?;
    match told.status.success() {
        true => Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned()),
        false => Err(format!("{program} ended with {}", told.status)),
    }
}

/// How long it takes until a page is kept, median and p99 in milliseconds, where the databases of the contests are too.
fn fdatasync() -> Result<(f64, f64)> {
    let folder = tempfile::tempdir().map_err(words)?;
    let mut file = File::create(folder.path().join("page")).map_err(words)?;
    let mut waits = Vec::new();
    for _ in 0..WRITES {
        file.write_all(&[7; 4096]).map_err(words)?;
        let began = Instant::now();
        file.sync_data().map_err(words)?;
        waits.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok((percentile(&waits, 50), percentile(&waits, 99)))
}
