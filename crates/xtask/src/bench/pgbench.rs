//! Plain SQL on PostgreSQL as fast as PostgreSQL's own `pgbench` sends it: the floor that the server is held against.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

use super::callers::Answers;
use super::server::words;
use crate::Result;
use crate::postgres::Cluster;

/// A script that does something with the row of a number, each number once.
pub(super) struct Pgbench {
    program: PathBuf,
    url: String,
    /// Holds the script, and the times of a run while it is read.
    folder: TempDir,
    /// The number of the next row.
    next: u64,
}

impl Pgbench {
    /// `script` may use `:number`. Numbers begin with 1.
    pub(super) fn new(cluster: &Cluster, url: &str, script: &str) -> Result<Pgbench> {
        let folder = tempfile::tempdir().map_err(words)?;
        let numbered = format!("\\set number :first + :client_id * :each + :done\n\\set done :done + 1\n{script}\n");
        std::fs::write(folder.path().join("script"), numbered).map_err(words)?;
        Ok(Pgbench { program: cluster.program("pgbench"), url: url.into(), folder, next: 1 })
    }

    /// Lets that many clients run the script, together about `count` times: as often as all can do the same.
    pub(super) async fn run(&mut self, clients: usize, count: usize) -> Result<Answers> {
        let each = (count / clients).max(1);
        let log = self.folder.path().join("times");
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--protocol=prepared", "--log"]).arg(format!("--log-prefix={}", log.display()));
        command.arg(format!("--client={clients}")).arg(format!("--jobs={}", clients.min(2))).arg(format!("--transactions={each}"));
        command.args(["--define=done=0", &format!("--define=first={}", self.next), &format!("--define=each={each}")]);
        command.arg("--file").arg(self.folder.path().join("script")).arg(&self.url).kill_on_drop(true);
        let told = command.output().await.map_err(|error| format!("pgbench could not be started: {error}"))?;
        let (output, errors) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        if !told.status.success() {
            return Err(format!("pgbench failed with {}: {output}{errors}", told.status));
        }
        let waits = self.times()?;
        if waits.len() != each * clients {
            return Err(format!("pgbench did {} of {} transactions: {output}{errors}", waits.len(), each * clients));
        }
        self.next += waits.len() as u64;
        let per_second = output.lines().find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse::<f64>().ok());
        let per_second = per_second.ok_or_else(|| format!("pgbench did not say how fast it was: {output}"))?;
        Ok(Answers::new(waits.len() as f64 / per_second, waits))
    }

    /// The milliseconds of every transaction of a run, whose files are removed.
    fn times(&self) -> Result<Vec<f64>> {
        let mut waits = Vec::new();
        for file in std::fs::read_dir(self.folder.path()).map_err(words)? {
            let path = file.map_err(words)?.path();
            if path.file_name().is_some_and(|name| name != "script") {
                let lines = std::fs::read_to_string(&path).map_err(words)?;
                // The third word of a line is the transaction's microseconds.
                waits.extend(lines.lines().filter_map(|line| Some(line.split(' ').nth(2)?.parse::<f64>().ok()? / 1e3)));
                std::fs::remove_file(&path).map_err(words)?;
            }
        }
        Ok(waits)
    }
}
