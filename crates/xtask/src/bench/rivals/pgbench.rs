//! Plain SQL on PostgreSQL as fast as PostgreSQL's own `pgbench` sends it: the floor that the server is held against.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::Result;
use crate::bench::callers::Answers;
use crate::bench::server::words;
use crate::postgres::Cluster;

/// Of a run's time this part is not counted: every connection is new and has to plan its statements, which the server's have behind them.
const WARMING: f64 = 0.25;

/// A script that does something with the row of the next number, and the numbers' sequence.
pub(crate) struct Pgbench {
    program: PathBuf,
    url: String,
    /// Holds the script, and the times of a run while it is read.
    folder: TempDir,
    /// The most transactions it has done in a second.
    fastest: f64,
}

impl Pgbench {
    pub(crate) fn new(cluster: &Cluster, url: &str, script: &str) -> Result<Pgbench> {
        let folder = tempfile::tempdir().map_err(words)?;
        std::fs::write(folder.path().join("script"), script).map_err(words)?;
        Ok(Pgbench { program: cluster.program("pgbench"), url: url.into(), folder, fastest: 0.0 })
    }

    /// Lets that many clients run the script for this time, or for as many seconds less as it takes not to exceed `most` at the pace known so
    /// far. Returns how many transactions were done in all, and the answers of those that are counted.
    pub(crate) async fn run(&mut self, clients: usize, time: Duration, most: usize) -> Result<(usize, Answers)> {
        // It knows whole seconds only.
        let wanted = (time.as_secs_f64() / (1.0 - WARMING)).ceil() as u64;
        let seconds = (1..=wanted).rev().find(|seconds| self.fastest * *seconds as f64 <= most as f64).unwrap_or(1);
        let log = self.folder.path().join("times");
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--protocol=prepared", "--log"]).arg(format!("--log-prefix={}", log.display()));
        command.arg(format!("--client={clients}")).arg(format!("--jobs={}", clients.min(2))).arg(format!("--time={seconds}"));
        command.arg("--file").arg(self.folder.path().join("script")).arg(&self.url).kill_on_drop(true);
        let told = command.output().await.map_err(|error| format!("pgbench could not be started: {error}"))?;
        if !told.status.success() {
            let (output, errors) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
            return Err(format!("pgbench failed with {}: {output}{errors}", told.status));
        }
        let done = self.transactions()?;
        let (Some(first), Some(last)) = (done.iter().map(|(at, _)| *at).reduce(f64::min), done.iter().map(|(at, _)| *at).reduce(f64::max))
        else {
            return Err("pgbench did nothing".into());
        };
        let from = first + (last - first) * WARMING;
        let answers = Answers::new(last - from, done.iter().filter(|(at, _)| *at > from).map(|(_, wait)| *wait).collect());
        self.fastest = self.fastest.max(done.len() as f64 / seconds as f64);
        Ok((done.len(), answers))
    }

    /// The second at which every transaction of a run ended, and its milliseconds. The files are removed.
    fn transactions(&self) -> Result<Vec<(f64, f64)>> {
        let mut done = Vec::new();
        for file in std::fs::read_dir(self.folder.path()).map_err(words)? {
            let path = file.map_err(words)?.path();
            if path.file_name().is_some_and(|name| name != "script") {
                for line in std::fs::read_to_string(&path).map_err(words)?.lines() {
                    // Client, number, microseconds it took, script, and when it ended: seconds and microseconds.
                    let words: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
                    let [_, _, took, _, seconds, micros] = words[..] else { return Err(format!("pgbench wrote {line}")) };
                    done.push((seconds + micros / 1e6, took / 1e3));
                }
                std::fs::remove_file(&path).map_err(words)?;
            }
        }
        Ok(done)
    }
}
