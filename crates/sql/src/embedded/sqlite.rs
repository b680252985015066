//! The embedded engine: one writer thread with group commit, and a pool of reader threads (`readers.rs`).
//!
//! The writer takes what is waiting in its queue, runs each request as a savepoint of one transaction, commits once for all of them and
//! only then lets each caller have its answer: one wait for the disk (`log.rs`) for up to [`Options::group`](crate::Options) requests.

use super::sqlite_tx::SqliteTx;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::database::Kind;
use crate::hooks::{panic_words, run_before, run_hooks};
use crate::lock_file::{Locked, lock, was_there};
use crate::log::{self, Committed, Log, answer_all};
use crate::readers::{self, ReadJob};
use crate::{Error, Files, Options, Result, Tx};

/// The first release without the write-ahead-log defect that can corrupt a database under concurrent checkpoints.
const OLDEST_SQLITE: i32 = 3_051_003;
/// Requests that may wait for the writer or for a reader before callers themselves wait.
const QUEUE: usize = 4096;
/// Connections for searches, of which few go on at a time. One that is short waits for a turn of 20 milliseconds and not for one that is long.
const SEARCHERS: usize = 8;
/// What the lock file says once there is a database.
const MARK: &[u8] = b"A Freehold database lies beside this file.\n";
/// How long a connection waits for another process that holds the file.
const BUSY: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Sqlite {
    file: Arc<Path>,
    /// None once it is closed.
    queues: Arc<RwLock<Option<Queues>>>,
    pub(crate) log: Arc<Log>,
    threads: Arc<Mutex<Option<Threads>>>,
    /// Held for the life of the database: a second server on the same file would not see this one's revocations.
    lock: Arc<File>,
}

/// Where requests wait. When the last sender is gone, the threads that take them out end.
#[derive(Clone)]
struct Queues {
    writer: mpsc::Sender<Job>,
    readers: mpsc::Sender<ReadJob>,
    searchers: mpsc::Sender<ReadJob>,
}

/// The threads of a database, and what keeps the last of them.
struct Threads {
    /// Those that answer requests.
    workers: Vec<JoinHandle<()>>,
    /// The end of the first is the end of the checkpointer.
    closing: Option<(std::sync::mpsc::Sender<()>, JoinHandle<()>)>,
}

/// What comes to the writer.
pub(crate) enum Job {
    Write(WriteJob),
    /// So many of the groups that it has committed are on disk, or will never be.
    Synced(usize),
}

/// One request to the writer.
pub(crate) struct WriteJob {
    work: WriteWork,
    /// Whether its commit need not wait for the disk.
    is_lazy: bool,
}

/// What the writer does for one request, or why it cannot; returns whether to keep its savepoint, and how to answer once the commit's
/// fate is known.
type WriteWork = Box<dyn FnOnce(Result<&mut Tx>) -> Outcome + Send>;

struct Outcome {
    keep: bool,
    answer: Answer,
}

/// Tells the caller, given the fate of the commit.
pub(crate) type Answer = Box<dyn FnOnce(Result<()>) + Send>;

impl Sqlite {
    pub(crate) fn open(path: PathBuf, options: &Options) -> Result<Sqlite> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::Migration(format!("SQLite {} is too old: 3.51.3 is the oldest that is safe", rusqlite::version())));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            crate::make_folder(folder).map_err(|error| Error::Unavailable(format!("cannot create {}: {error}", folder.display())))?;
        }
        let lock = match lock(&path)? {
            Locked::Here(lock) => lock,
            Locked::Elsewhere(lock) if options.reads_beside => return Sqlite::open_beside(path, options, lock),
            Locked::Elsewhere(_) => {
                return Err(Error::Unavailable(format!(
                    "{} is in use by another freehold process: stop it first, or give this one its own --data folder",
                    path.display()
                )));
            }
        };
        if options.missing_file().is_some() && !options.may_begin_anew && was_there(&path, &lock)? {
            return Err(Error::Migration(format!(
                "{} is missing or empty, though there was a database here: put the file back, or begin with an empty one with `freehold serve --new`",
                path.display()
            )));
        }
        let connection = connect(&path, false)?;
        keep_private(&path, options.is_server)?;
        let (writer, jobs) = mpsc::channel(QUEUE);
        let group = options.group.max(1);
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let (log, file) = (Arc::new(Log::default()), log::begin(&connection, &path)?);
        let (syncer, committed) = std::sync::mpsc::channel();
        let syncing = spawn("sqlite-syncer", {
            let (log, writer) = (log.clone(), writer.downgrade());
            move || log::sync_loop(|| file.sync_data(), &committed, &log, &writer)
        })?;
        let writing = spawn("sqlite-writer", {
            let (queue, log) = (Queue { jobs, next: None, unsynced: 0 }, log.clone());
            move || write_loop(Tx::Sqlite(SqliteTx::new(connection)), queue, group, &log, &syncer)
        })?;
        let (open, closed) = std::sync::mpsc::channel();
        let connection = connect(&path, false)?;
        let checkpointer = spawn("sqlite-checkpointer", {
            let (log, files) = (log.clone(), log::Files::of(&path)?);
            move || {
                log::checkpoint_loop(&connection, &closed, &log, &files);
                log::copy_the_rest(&connection, &log);
                log::end(&connection, &log);
            }
        })?;

        let (readers, searchers, reading) = start_readers(&path, options)?;
        let threads = Threads { workers: vec![writing, syncing, reading], closing: Some((open, checkpointer)) };
        Ok(Sqlite {
            file: path.into(),
            queues: Arc::new(RwLock::new(Some(Queues { writer, readers, searchers }))),
            log,
            threads: Arc::new(Mutex::new(Some(threads))),
            lock: Arc::new(lock),
        })
    }

    /// Reads beside the process that has the database, and writes nothing: that one looks after the log.
    fn open_beside(path: PathBuf, options: &Options, lock: File) -> Result<Sqlite> {
        let (readers, searchers, reading) = start_readers(&path, options)?;
        // No thread takes what is written: it is refused.
        let (writer, _) = mpsc::channel(1);
        Ok(Sqlite {
            file: path.into(),
            queues: Arc::new(RwLock::new(Some(Queues { writer, readers, searchers }))),
            log: Arc::new(Log::default()),
            threads: Arc::new(Mutex::new(Some(Threads { workers: vec![reading], closing: None }))),
            lock: Arc::new(lock),
        })
    }

    /// Notes beside the file that there is a database.
    pub(crate) fn mark(&self) -> Result<()> {
        let marked = self.lock.metadata().and_then(|found| if found.len() == 0 { (&*self.lock).write_all(MARK) } else { Ok(()) });
        marked.map_err(|error| Error::Unavailable(format!("cannot write the lock file of the database: {error}")))
    }

    pub(crate) fn files(&self) -> Option<Files> {
        Files::of(&self.file)
    }

    fn queues(&self) -> Result<Queues> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(stopped)
    }

    /// Answers what is in the queues, and closes all connections: the one that copies the log last, so that the file alone is the database.
    pub(crate) async fn close(&self) {
        drop(self.queues.write().unwrap_or_else(PoisonError::into_inner).take());
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (lock, file) = (self.lock.clone(), self.file.clone());
        let closing = tokio::task::spawn_blocking(move || {
            let Threads { workers, closing } = threads;
            for worker in workers {
                let _ = worker.join();
            }
            match closing {
                Some((open, checkpointer)) => {
                    drop(open);
                    let _ = checkpointer.join();
                }
                // The process that had the database may have ended meanwhile: then it is for the last one here to leave one file.
                None => {
                    if lock.try_lock().is_ok()
                        && let Err(error) = connect(&file, false)
                    {
                        tracing::warn!(%error, "the write-ahead log of the database may have been left beside it");
                    }
                }
            }
        });
        if let Err(error) = closing.await {
            tracing::error!(%error, "the embedded database was not closed as it should");
        }
    }

    pub(crate) async fn write<T, E>(&self, kind: Kind, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: WriteWork = Box::new(move |tx| {
            let result = tx.map_err(E::from).and_then(|tx| {
                let result = run(tx, &work);
                match tx.failure() {
                    Some(failure) => result.and(Err(failure.clone().into())),
                    None => result,
                }
            });
            Outcome {
                keep: result.is_ok(),
                answer: Box::new(move |commit: Result<()>| {
                    let _ = sender.send(result.and_then(|value| commit.map(|()| value).map_err(E::from)));
                }),
            }
        });
        self.queues()?.writer.send(Job::Write(WriteJob { work, is_lazy: kind == Kind::Lazy })).await.map_err(|_| stopped())?;
        // The result is unknown.
        receiver.await.unwrap_or_else(|_| Err(stopped().of_a_commit().into()))
    }

    pub(crate) async fn read<T, E>(&self, kind: Kind, work: impl AsyncFn(&mut Tx) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: ReadJob = Box::new(move |tx| {
            let result = match sqlite(tx).execute("BEGIN DEFERRED", &[]) {
                Ok(_) => run(tx, &work),
                Err(error) => Err(error.into()),
            };
            let tx = sqlite(tx);
            if let Err(error) = tx.execute("ROLLBACK", &[]) {
                tracing::error!(%error, "a read transaction did not end");
            }
            tx.failure = None;
            tx.hooks.clear();
            let _ = sender.send(result);
        });
        let queues = self.queues()?;
        let queue = if kind == Kind::Search { queues.searchers } else { queues.readers };
        queue.send(job).await.map_err(|_| stopped())?;
        receiver.await.unwrap_or_else(|_| Err(stopped().into()))
    }
}

fn stopped() -> Error {
    Error::Unavailable("the embedded database has stopped".into())
}

/// Runs `work` to its end in one poll: on this engine every await inside a transaction is ready at once.
fn run<T, E: From<Error>>(tx: &mut Tx, work: &impl AsyncFn(&mut Tx) -> Result<T, E>) -> Result<T, E> {
    match catch_unwind(AssertUnwindSafe(|| Box::pin(work(tx)).now_or_never())) {
        Ok(Some(result)) => result,
        Ok(None) => {
            let words = "a transaction waited for something other than its own statements: do that before it or after it";
            Err(Error::Statement(words.into()).into())
        }
        Err(panic) => Err(Error::Statement(panic_words(Some(panic))).into()),
    }
}

/// The thread belongs to the caller's runtime, so that a transaction that waits for a timer or a socket comes to the error that says so.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let runtime = Handle::try_current().ok();
    let body = move || {
        let _entered = runtime.as_ref().map(Handle::enter);
        body();
    };
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    thread.map_err(|error| Error::Unavailable(format!("cannot start a database thread: {error}")))
}

/// Keeps other users of the machine out of the database and, where that is a server's, its folder, whatever let them in: a mask, an older program, a careless copy. What the
/// engine makes beside the database has the database's mode.
///
/// # Errors
/// [`Error::Unavailable`] when they belong to another user.
fn keep_private(database: &Path, with_folder: bool) -> Result<()> {
    let folder = database.parent().filter(|folder| with_folder && !folder.as_os_str().is_empty());
    let files = [database.to_owned(), log::beside(database, "-wal"), log::beside(database, "-shm"), database.with_extension("lock")];
    for (path, mode) in folder.map(|folder| (folder.to_owned(), 0o700)).into_iter().chain(files.map(|file| (file, 0o600))) {
        let Ok(found) = std::fs::metadata(&path) else { continue };
        let is_shared_by_all = found.permissions().mode() & 0o1000 != 0;
        if found.permissions().mode() & 0o077 == 0 || is_shared_by_all {
            continue;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(|error| {
            Error::Unavailable(format!(
                "other users of this machine can open {0}, and that cannot be changed ({error}): run chmod {mode:o} {0} as its owner",
                path.display()
            ))
        })?;
    }
    Ok(())
}

fn start_readers(path: &Path, options: &Options) -> Result<(mpsc::Sender<ReadJob>, mpsc::Sender<ReadJob>, JoinHandle<()>)> {
    let (readers, reads) = mpsc::channel(QUEUE);
    let (searchers, searches) = mpsc::channel(QUEUE);
    let connect_all = |number: usize| (0..number).map(|_| connect(path, true)).collect::<Result<Vec<_>>>();
    let number = options.connections.max(1);
    let reading = readers::start(connect_all(number)?, reads, connect_all(number.min(SEARCHERS))?, searches)?;
    Ok((readers, searchers, reading))
}

fn connect(path: &Path, reader: bool) -> Result<Connection> {
    let access = if reader { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(512);
    // Otherwise a statement with LIMIT and a parameter is planned anew for every value, which was nearly half of the work of a deletion.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if !reader {
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            let words = format!("{} keeps no write-ahead log: put it on a local file system that allows shared memory", path.display());
            return Err(Error::Unavailable(words));
        }
    }
    // A commit leaves waiting for the disk to the syncer.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", if reader { -2_000 } else { -16_000 })?;
    rusqlite::vtab::array::load_module(&connection)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    // PostgreSQL's, for flat objects.
    connection.create_scalar_function("jsonb_contains", 2, flags, |call| {
        let (whole, part) = (call.get::<Option<String>>(0)?, call.get::<Option<String>>(1)?);
        Ok(whole.zip(part).map(|(whole, part)| contains(&whole, &part)))
    })?;
    Ok(connection)
}

/// Whether an object has all members of another, both as JSON texts. What is no object has none.
fn contains(whole: &str, part: &str) -> bool {
    let object = |text| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).ok();
    match (object(whole), object(part)) {
        (Some(whole), Some(part)) => part.iter().all(|(name, value)| whole.get(name) == Some(value)),
        _ => false,
    }
}

/// What the writer is asked for.
struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// What was taken out and belongs to the next group.
    next: Option<WriteJob>,
    /// Groups that are committed and wait for the disk.
    unsynced: usize,
}

impl Queue {
    /// The first request of a group; none when no caller can ask for anything any more.
    fn first(&mut self) -> Option<WriteJob> {
        loop {
            match self.next.take().map(Job::Write).or_else(|| self.jobs.blocking_recv())? {
                Job::Write(job) => return Some(job),
                Job::Synced(groups) => self.unsynced -= groups,
            }
        }
    }

    /// Another one that is there, or comes while the group before waits for the disk: a commit at once would only wait behind it.
    fn another(&mut self) -> Option<WriteJob> {
        loop {
            let job = match self.jobs.try_recv() {
                Ok(job) => job,
                Err(_) if self.unsynced > 0 => self.jobs.blocking_recv()?,
                Err(_) => return None,
            };
            match job {
                Job::Write(job) => return Some(job),
                Job::Synced(groups) => self.unsynced -= groups,
            }
        }
    }
}

fn write_loop(mut tx: Tx, mut queue: Queue, group: usize, log: &Log, syncer: &std::sync::mpsc::Sender<Committed>) {
    while let Some(first) = queue.first() {
        let is_lazy = first.is_lazy;
        let mut answers = Vec::new();
        let fate = log.check().and_then(|()| sqlite(&mut tx).execute("BEGIN IMMEDIATE", &[]).map(drop));
        let fate = commit_group(&mut tx, fate, first, &mut queue, group, &mut answers);
        if fate.is_err() {
            // Harmless when the engine has rolled back already.
            let _ = sqlite(&mut tx).script("ROLLBACK");
        }
        run_hooks(std::mem::take(&mut sqlite(&mut tx).hooks), fate.is_ok());
        match fate {
            Ok(()) if !is_lazy => match syncer.send(answers) {
                Ok(()) => queue.unsynced += 1,
                Err(unsent) => answer_all(unsent.0, &Err(stopped().of_a_commit())),
            },
            fate => answer_all(answers, &fate),
        }
        log.note_commit(&sqlite(&mut tx).connection);
    }
    log::end(&sqlite(&mut tx).connection, log);
}

/// Commits a request along with those that wait behind it. One that is lazy goes alone: its commit does not wait for the disk, and no
/// caller waits for more than one of them.
fn commit_group(tx: &mut Tx, begun: Result<()>, first: WriteJob, queue: &mut Queue, group: usize, answers: &mut Vec<Answer>) -> Result<()> {
    let is_lazy = first.is_lazy;
    let mut fate = Ok(());
    let mut job = Some(first);
    while let Some(WriteJob { work, .. }) = job {
        match &begun {
            Ok(()) => fate = run_savepoint(tx, work, answers),
            // Those who wait already would only meet the same, one after the other.
            Err(error) => answers.push(work(Err(error.clone())).answer),
        }
        job = match fate.is_ok() && !is_lazy && answers.len() < group {
            true => queue.another(),
            false => None,
        };
        if job.as_ref().is_some_and(|job| job.is_lazy) {
            queue.next = job.take();
        }
    }
    begun.and(fate).inspect_err(|_| sqlite(tx).hooks.clear())?;
    run_before(&mut sqlite(tx).hooks);
    sqlite(tx).execute("COMMIT", &[]).map(drop).inspect_err(|error| {
        if error.is_refusal() {
            sqlite(tx).hooks.clear();
        }
    })
}

fn run_savepoint(tx: &mut Tx, work: WriteWork, answers: &mut Vec<Answer>) -> Result<()> {
    sqlite(tx).failure = None;
    if let Err(error) = sqlite(tx).execute("SAVEPOINT request", &[]) {
        answers.push(work(Err(error.clone())).answer);
        return Err(error);
    }
    let hooks = sqlite(tx).hooks.len();
    let outcome = work(Ok(tx));
    answers.push(outcome.answer);
    let tx = sqlite(tx);
    if let (true, Some(failure)) = (tx.connection.is_autocommit(), &tx.failure) {
        // A full disk and the like: the engine has rolled the whole group back, and why is the answer to all of it.
        return Err(failure.clone());
    }
    if !outcome.keep {
        tx.hooks.truncate(hooks);
        tx.execute("ROLLBACK TO request", &[])?;
    }
    tx.execute("RELEASE request", &[])?;
    Ok(())
}

fn sqlite(tx: &mut Tx) -> &mut SqliteTx {
    match tx {
        Tx::Sqlite(tx) => tx,
        Tx::Postgres(_) => unreachable!("the threads of this file only make SQLite transactions"),
    }
}
