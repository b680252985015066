//! wrk, a load generator that takes little of the processor it shares with what it measures.

use std::process::Stdio;

use tokio::process::Command;

use crate::Result;
use crate::bench::server::words;
use crate::machine::{in_path, install};

/// Connections of a load.
pub(crate) const CONNECTIONS: usize = 64;

/// A load for one address.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) url: String,
    /// Name and value, with the colon between them.
    pub(crate) header: Option<String>,
}

/// What a load came to. Every answer was a success.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Milliseconds within which 99 of 100 were answered.
    pub(crate) p99: f64,
}

/// Installs wrk where it is missing and that is possible.
pub(crate) fn prepare() -> Result {
    match in_path(&["wrk"]) {
        Some(_) => Ok(()),
        None => install(&["wrk"], "wrk is missing: install the package `wrk`"),
    }
}

/// Asks for so many seconds, through one thread.
pub(crate) async fn run(load: &Load, seconds: u64) -> Result<Outcome> {
    let mut command = Command::new("wrk");
    // One that is slow is slow, and not a failure: wrk's own patience is 2 s.
    command.args(["--timeout=10s", "--threads=1", "--latency", &format!("--connections={CONNECTIONS}"), &format!("--duration={seconds}s")]);
    if let Some(header) = &load.header {
        command.args(["--header", header]);
    }
    let told = command.arg(&load.url).stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(words)?;
    let text = String::from_utf8_lossy(&told.stdout);
    let failure = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
    if let (false, _) | (_, Some(_)) = (told.status.success(), failure) {
        return Err(format!("{}: {text}{}", load.url, String::from_utf8_lossy(&told.stderr)));
    }
    let after = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let per_second = after("Requests/sec:").and_then(|figure| figure.parse().ok());
    let p99 = after("99%").and_then(milliseconds);
    match (per_second, p99) {
        (Some(per_second), Some(p99)) => Ok(Outcome { per_second, p99 }),
        _ => Err(format!("wrk told no figures:\n{text}")),
    }
}

/// Reads a time as wrk spells it: `812.00us`, `1.93ms`, `1.10s`.
fn milliseconds(time: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (figure, factor) = units.into_iter().find_map(|(unit, factor)| Some((time.strip_suffix(unit)?, factor)))?;
    Some(figure.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_their_units() {
        assert_eq!(["812.00us", "1.93ms", "1.10s", "x"].map(milliseconds), [Some(0.812), Some(1.93), Some(1100.0), None]);
    }
}
