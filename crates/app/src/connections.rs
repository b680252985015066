//! How many connections there are at a time, and what the one too many is told.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection's place. Given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// Files that the process needs beside its connections: the database's, archives, and connections to others.
const OTHER_FILES: u64 = 256;
/// Refused connections that are told why at a time. More are closed without a word.
const MOST_TOLD: usize = 64;
/// How long a refused connection may take to hear it.
const PATIENCE: Duration = Duration::from_secs(1);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: 191\r\nRetry-After: 5\r\n\
Connection: close\r\n\r\n{\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"The server has as many open connections as it can: try again in a \
moment.\",\"error_code\":\"unavailable\",\"retryable\":true,\"request_id\":null}";

/// The places of all connections.
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    told: Arc<Semaphore>,
}

impl Connections {
    /// So many, or as many as the process may have files open.
    pub(crate) fn new(most: u32) -> Connections {
        let most = u64::from(most).min(raise_limit(u64::from(most) + OTHER_FILES).saturating_sub(OTHER_FILES)).max(10);
        Connections { places: Arc::new(Semaphore::new(most as usize)), told: Arc::new(Semaphore::new(MOST_TOLD)) }
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn admit(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Tells a connection that there is no place for it, and closes it.
    pub(crate) fn refuse(&self, mut stream: TcpStream) {
        let Ok(turn) = self.told.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _turn = turn;
            let words = async {
                stream.write_all(FULL).await?;
                stream.shutdown().await?;
                // What has come unread when the connection is closed would take the answer away from the client.
                let mut unread = [0; 4096];
                while stream.read(&mut unread).await? > 0 {}
                std::io::Result::Ok(())
            };
            let _ = tokio::time::timeout(PATIENCE, words).await;
        });
    }
}

/// Raises the limit of open files towards what is wanted, and returns what it is then.
fn raise_limit(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let raised = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if raised > current && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok() {
        return raised;
    }
    tracing::warn!(open_files = current, "fewer connections are taken than were asked for: raise the limit of open files (ulimit -n)");
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    }
}
