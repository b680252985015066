//! How long a connection may be silent: for less while it sends a request's head than between two requests. hyper has one time for both.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The end of a request's head.
    Head = 0,
    /// The next request.
    Next = 1,
    /// This server.
    Answer = 2,
}

/// What a connection waits for, and since when.
#[derive(Debug)]
pub(crate) struct Timeouts {
    opened: Instant,
    /// Milliseconds since it was opened, and in the two lowest bits what it waits for.
    state: AtomicU64,
}

impl Timeouts {
    /// Of a connection that was just opened: it waits for the first head.
    pub(crate) fn new() -> Arc<Timeouts> {
        Arc::new(Timeouts { opened: Instant::now(), state: AtomicU64::new(Wait::Head as u64) })
    }

    fn is(&self) -> (Wait, u64) {
        let state = self.state.load(Ordering::Relaxed);
        let wait = match state & 3 {
            0 => Wait::Head,
            1 => Wait::Next,
            _ => Wait::Answer,
        };
        (wait, state >> 2)
    }

    fn set(&self, wait: Wait) {
        self.state.store(self.now() << 2 | wait as u64, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX >> 2)
    }

    /// A request's head has come.
    pub(crate) fn note_request(&self) {
        self.set(Wait::Answer);
    }

    /// Its answer begins.
    pub(crate) fn note_answer(&self) {
        self.set(Wait::Next);
    }

    /// Bytes have come: of the next head, unless they belong to the request that is under way.
    fn note_read(&self) {
        if self.is().0 == Wait::Next {
            self.set(Wait::Head);
        }
    }

    /// Bytes were taken of an answer, which goes on.
    fn note_write(&self) {
        if self.is().0 == Wait::Next {
            self.set(Wait::Next);
        }
    }

    /// Completes when one of the two times has passed.
    pub(crate) async fn end(&self, idle: Duration) {
        loop {
            let (wait, since) = self.is();
            let most = match wait {
                Wait::Head => Some(HEAD),
                Wait::Next => Some(idle),
                Wait::Answer => None,
            };
            if most.is_some_and(|most| u128::from(self.now().saturating_sub(since)) >= most.as_millis()) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// A connection that notes what goes over it.
pub(crate) struct TimedStream {
    stream: TcpStream,
    timeouts: Arc<Timeouts>,
}

impl TimedStream {
    pub(crate) fn new(stream: TcpStream, timeouts: Arc<Timeouts>) -> TimedStream {
        TimedStream { stream, timeouts }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.timeouts.note_write();
        }
        written
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.timeouts.note_read();
        }
        read
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until the connection is ended, within the time between two looks; none when it is not within an hour.
    async fn ended(timeouts: &Timeouts) -> Option<u64> {
        let began = Instant::now();
        let end = tokio::time::timeout(Duration::from_secs(3_600), timeouts.end(Duration::from_secs(75))).await;
        end.ok().map(|()| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_rest_between_requests_for_longer_than_a_head_may_take() {
        let timeouts = Timeouts::new();
        assert_eq!(ended(&timeouts).await, Some(10));
        let timeouts = Timeouts::new();
        timeouts.note_read();
        timeouts.note_request();
        assert_eq!(ended(&timeouts).await, None);
        // The rest of its body comes.
        timeouts.note_read();
        assert_eq!(ended(&timeouts).await, None);
        timeouts.note_answer();
        assert_eq!(ended(&timeouts).await, Some(75));
        timeouts.note_write();
        assert_eq!(ended(&timeouts).await, Some(75));
        timeouts.note_read();
        tokio::time::advance(Duration::from_secs(6)).await;
        // More of the same head does not begin it anew.
        timeouts.note_read();
        assert_eq!(ended(&timeouts).await, Some(4));
    }
}
