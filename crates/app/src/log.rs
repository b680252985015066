//! The log: lines go to a thread of their own, so that a reader who is slow, or gone, keeps nothing waiting. What cannot be written is counted and lost.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::{LogFormat, Outcome};

/// Lines that wait to be written. Each is some hundred bytes; the ones beyond are lost.
const MOST_WAITING: usize = 8_192;

/// Lines that could not be written.
static REFUSED: AtomicU64 = AtomicU64::new(0);
/// Counts the lines that had no room to wait.
static OVERFLOWN: OnceLock<ErrorCounter> = OnceLock::new();
/// Whether the file of the log is to be opened anew.
static IS_MOVED: AtomicBool = AtomicBool::new(false);

/// Lines of the log that were lost since the start.
pub(crate) fn lost_lines() -> u64 {
    REFUSED.load(Ordering::Relaxed) + OVERFLOWN.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

/// Has the file of the log opened anew at the next line: a program that rotates logs has moved it.
pub(crate) fn reopen() {
    IS_MOVED.store(true, Ordering::Relaxed);
}

/// The running log. What waits when it is dropped is written, for a second at the most.
pub(crate) struct Log(Option<WorkerGuard>);

impl Drop for Log {
    fn drop(&mut self) {
        let guard = self.0.take();
        // It tells of a line that hangs on standard output, and panics when that is closed.
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| drop(guard)));
    }
}

/// Starts the log: to a file, or to standard error.
///
/// # Errors
/// When the file cannot be opened, or the level makes no sense.
pub(crate) fn start(format: LogFormat, level: &str, file: Option<&Path>) -> Outcome<Log> {
    // Each cut connection is a warning of the pool; that the database is away is told by ourselves, once and then every minute.
    let filter = EnvFilter::try_new(level)?.add_directive("deadpool.postgres=error".parse()?);
    let sink = match file {
        None => Sink::StandardError,
        Some(path) => Sink::File(path.to_owned(), open(path).map_err(|error| format!("cannot open the log {}: {error}", path.display()))?),
    };
    let colours = file.is_none() && io::stderr().is_terminal();
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(MOST_WAITING).lossy(true).finish(sink);
    let _ = OVERFLOWN.set(writer.error_counter());
    // Without its own words about lines that it cannot write: it writes them to standard error, and panics when it cannot.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).log_internal_errors(false).with_writer(writer);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    // A panic's words go the same way: standard error may keep a thread waiting for ever.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(tracing::field::display);
        tracing::error!(at, "a thread panicked: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
    Ok(Log(Some(guard)))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).mode(0o600).open(path)
}

/// Where the lines go. It takes all of them: what it cannot write is lost.
enum Sink {
    StandardError,
    File(PathBuf, File),
}

impl Sink {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Sink::StandardError => io::stderr().write_all(line),
            Sink::File(path, file) => {
                if IS_MOVED.swap(false, Ordering::Relaxed) {
                    // The one that is open is better than none.
                    match open(path) {
                        Ok(opened) => *file = opened,
                        Err(_) => IS_MOVED.store(true, Ordering::Relaxed),
                    }
                }
                file.write_all(line)
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.write_line(line).is_err() {
            REFUSED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
