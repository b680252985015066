//! A server's lock on a PostgreSQL database: an advisory lock of a session of its own, so that no other server uses the database at the same time.
//!
//! PostgreSQL lets go of it when the session ends, however that comes. The server then takes it again as soon as it can, and is not ready until it
//! has; if another server was quicker, this one must end. A session that does not answer counts as ended: the machine is frozen, or out of reach.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_postgres::Client;

use crate::connecting::{Connector, within};
use crate::{Error, Result};

/// Two numbers, whose locks meet none that are taken with one. With it, what no other session is called, of whatever server: when it began as well.
const LOCK: &str = "SELECT pg_try_advisory_lock(1181901416, 1),
            (SELECT pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid())";
/// Ends a session that has the lock.
const END_HOLDER: &str = "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND classid = 1181901416 AND objid = 1 AND objsubid = 2 AND granted
       AND pid || ' ' || extract(epoch FROM backend_start) = $1
       AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
/// Whether the session is still the one with the lock.
const LOOK: &str = "SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND classid = 1181901416 AND objid = 1 AND objsubid = 2 AND granted AND pid = pg_backend_pid()";
/// It rests for as long as the server runs. PostgreSQL finds out within 20 seconds when the other machine is gone without a word, and lets go of
/// the lock: by itself it would keep it for two hours.
const SETTINGS: &str =
    "SET idle_session_timeout = 0; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
/// How long a start waits for a server that has just ended: PostgreSQL may not have noticed yet that its session, which does nothing, is gone.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the session is asked whether it is there, and how long it may take to answer.
const EVERY: Duration = Duration::from_secs(5);

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    /// Its session has ended, and it is being taken again.
    Lost,
    /// Another server has it.
    TakenOver,
}

/// The lock of a server that runs.
#[derive(Clone)]
pub(crate) struct ServerLock {
    state: watch::Receiver<State>,
    keeper: Arc<Keeper>,
}

/// The task that holds the session. It ends with the last copy of the lock.
struct Keeper(AbortHandle);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ServerLock {
    /// # Errors
    /// [`Error::Unavailable`] when another server has it, or PostgreSQL cannot be reached.
    pub(crate) async fn acquire(connector: Arc<Connector>) -> Result<ServerLock> {
        let began = tokio::time::Instant::now();
        let session = loop {
            match try_once(&connector, None).await? {
                Some(session) => break session,
                None if began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                None => {
                    return Err(Error::Unavailable(
                        "another freehold server uses this database: stop it first, or give this one a database of its own".into(),
                    ));
                }
            }
        };
        let (told, state) = watch::channel(State::Held);
        let keeper = tokio::spawn(keep(connector, session, told));
        Ok(ServerLock { state, keeper: Arc::new(Keeper(keeper.abort_handle())) })
    }

    /// # Errors
    /// [`Error::Unavailable`] while it is not held.
    pub(crate) fn check(&self) -> Result<()> {
        match *self.state.borrow() {
            State::Held => Ok(()),
            State::Lost => {
                Err(Error::Unavailable("the session that keeps other servers from the database has ended and is being renewed".into()))
            }
            State::TakenOver => Err(taken_over_words()),
        }
    }

    /// # Errors
    /// [`Error::Unavailable`] when another server has taken it.
    pub(crate) fn is_not_taken_over(&self) -> Result<()> {
        if *self.state.borrow() == State::TakenOver { Err(taken_over_words()) } else { Ok(()) }
    }

    /// Waits until another server has taken it.
    pub(crate) async fn taken_over(&self) -> Error {
        match self.state.clone().wait_for(|state| *state == State::TakenOver).await {
            Ok(_) => taken_over_words(),
            // It was released.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until it is not held.
    pub(crate) async fn lost(&self) {
        // It is lost with its keeper, too.
        let _ = self.state.clone().wait_for(|state| *state != State::Held).await;
    }

    /// Ends it, so that another server can start.
    pub(crate) fn release(&self) {
        self.keeper.0.abort();
    }
}

fn taken_over_words() -> Error {
    Error::Unavailable("another freehold server has taken over this database: stop one of them".into())
}

/// A session with the lock.
struct Session {
    client: Client,
    connection: tokio::task::JoinHandle<()>,
    /// What no other session is called.
    name: String,
    made: std::time::Instant,
}

/// Takes the lock, unless another session has it. If that is a session of our own whose end PostgreSQL has not noticed, it is ended.
async fn try_once(connector: &Connector, former: Option<&str>) -> Result<Option<Session>> {
    let made = std::time::Instant::now();
    let (client, connection) = connector.connect().await?;
    let taken = within(EVERY, "taking the server's lock", async {
        client.batch_execute(SETTINGS).await?;
        let row = client.query_one(LOCK, &[]).await?;
        if row.get(0) {
            return Ok(Some(row.get(1)));
        }
        match former {
            Some(former) if !client.query(END_HOLDER, &[&former]).await?.is_empty() => {
                Err(Error::Unavailable("the session of before had the lock, and is being ended".into()))
            }
            _ => Ok(None),
        }
    });
    match taken.await {
        Ok(Some(name)) => Ok(Some(Session { client, connection, name, made })),
        Ok(None) => Ok(None),
        Err(error) => {
            connection.abort();
            Err(error)
        }
    }
}

/// Waits until a session ends, or does not answer.
async fn end_of(connector: &Connector, Session { client, mut connection, made, .. }: Session) -> String {
    loop {
        tokio::select! {
            _ = &mut connection => return "it was closed".into(),
            () = tokio::time::sleep(EVERY) => {}
            // Others have found PostgreSQL silent.
            () = connector.bell.notified() => {}
        }
        let looked = within(EVERY, "looking at the server's lock", async { Ok(client.query_one(LOOK, &[]).await?.get::<_, i64>(0)) }).await;
        let words = match looked {
            Ok(0) => "it has lost the lock".into(),
            Ok(_) => continue,
            Err(error) => error.to_string(),
        };
        connection.abort();
        connector.abandon(made);
        return words;
    }
}

/// Ends when another server has it: what that one has deleted, this one may still remember.
async fn keep(connector: Arc<Connector>, mut session: Session, told: watch::Sender<State>) {
    loop {
        let name = session.name.clone();
        let reason = end_of(&connector, session).await;
        told.send_replace(State::Lost);
        tracing::warn!(reason, "the session that keeps other servers from the database has ended; it is taken again");
        session = loop {
            match try_once(&connector, Some(&name)).await {
                Ok(Some(session)) => break session,
                Ok(None) => {
                    told.send_replace(State::TakenOver);
                    return told.closed().await;
                }
                Err(error) => tracing::debug!(%error, "the session that keeps other servers from the database cannot be renewed yet"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        told.send_replace(State::Held);
        tracing::info!("no other server uses the database");
    }
}
