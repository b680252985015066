//! The two engines as a test gets them: an empty database of its own on each, gone when the test has passed.
//!
//! There is no way to leave PostgreSQL out: without one the tests fail and say how to start it.

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};

use tokio::sync::oneshot;

use sql::{Database, FromValue, Options, Result, Statement, Value};

/// Runs each function as two tests: on SQLite and on PostgreSQL. It takes a `Database`, or, after `place:`, a `&Place` where it opens
/// its databases itself.
macro_rules! on_both_engines {
    (place: $($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::engines::Place;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() -> sql::Result<()> {
                super::$name(&Place::sqlite()).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() -> sql::Result<()> {
                let place = Place::postgres().await;
                super::$name(&place).await?;
                place.remove().await;
                Ok(())
            }
        })+
    };
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::engines::Place;

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_sqlite() -> sql::Result<()> {
                let place = Place::sqlite();
                super::$name(place.open().await?).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn on_postgres() -> sql::Result<()> {
                let place = Place::postgres().await;
                super::$name(place.open().await?).await?;
                place.remove().await;
                Ok(())
            }
        })+
    };
}
pub(crate) use on_both_engines;

/// Where the tests find a PostgreSQL on which they may create databases.
const VARIABLE: &str = "FREEHOLD_TEST_POSTGRES";

/// Where an empty database of this test's own is.
pub(crate) struct Place {
    /// How to open it. Few connections, because many tests run at once on one PostgreSQL.
    pub(crate) options: Options,
    /// The folder of the embedded one.
    folder: Option<PathBuf>,
}

impl Place {
    pub(crate) fn sqlite() -> Place {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sql-{:016x}", random()));
        let url = format!("sqlite:{}", folder.join("test.db").display());
        Place { options: Options { connections: 4, ..Options::new(url) }, folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Place {
        let name = format!("test_{:016x}", random());
        administer(&format!("CREATE DATABASE {name}")).await;
        let url = server();
        let (server, _) = url.rsplit_once('/').expect("the variable holds an address that ends in a database");
        Place { options: Options { connections: 4, ..Options::new(format!("{server}/{name}")) }, folder: None }
    }

    pub(crate) async fn open(&self) -> Result<Database> {
        Database::open(&self.options).await
    }

    /// Drops a database that is no longer needed. One whose test failed stays for a look.
    pub(crate) async fn remove(self) {
        let (_, name) = self.options.url.rsplit_once('/').expect("the address ends in a database");
        administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
    }

    /// The file of the embedded database.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.as_ref().expect("only the embedded engine has a file").join("test.db")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn server() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask postgres` in another terminal and export what it prints")
    })
}

async fn administer(statement: &str) {
    let client = raw(&server()).await;
    client.batch_execute(statement).await.expect("the superuser may create and drop databases");
}

/// A connection that knows nothing of this crate, to look at PostgreSQL from outside or to get in its way.
pub(crate) async fn raw(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

/// Differs from call to call and from run to run.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

/// Runs one statement in a transaction of its own.
pub(crate) async fn run(database: &Database, statement: Statement, params: &[Value]) -> Result<u64> {
    let params = params.to_vec();
    database.write(async move |tx| tx.execute(statement, &params).await).await
}

/// Reads the one value that a statement returns.
pub(crate) async fn one<T: FromValue + Send + 'static>(database: &Database, statement: Statement) -> Result<T> {
    database.read(async move |tx| tx.read_one::<T>(statement, &[]).await).await
}

/// Holds a transaction or a hook at one point: it says that it has come there and goes on when the [`GateControl`] is opened or dropped.
pub(crate) struct Gate {
    arrived: Mutex<Option<oneshot::Sender<()>>>,
    opened: Mutex<mpsc::Receiver<()>>,
}

/// The test's end of a [`Gate`].
pub(crate) struct GateControl {
    arrived: oneshot::Receiver<()>,
    _open: mpsc::Sender<()>,
}

impl Gate {
    pub(crate) fn new() -> (Gate, GateControl) {
        let (sender, arrived) = oneshot::channel();
        let (open, opened) = mpsc::channel();
        (Gate { arrived: Mutex::new(Some(sender)), opened: Mutex::new(opened) }, GateControl { arrived, _open: open })
    }

    /// Blocks the thread, because awaiting is not allowed inside a transaction of the embedded engine.
    pub(crate) fn pass(&self) {
        self.arrive();
        let opened = self.opened.lock().unwrap();
        // Of the runtime's threads one may be the one that watches the sockets, so it has to know.
        let _ = tokio::task::block_in_place(|| opened.recv());
    }

    /// Says that the transaction has come here, and no more.
    pub(crate) fn arrive(&self) {
        if let Some(arrived) = self.arrived.lock().unwrap().take() {
            let _ = arrived.send(());
        }
    }
}

impl GateControl {
    pub(crate) async fn wait(&mut self) {
        (&mut self.arrived).await.expect("the transaction comes to the gate");
    }

    pub(crate) fn open(self) {}
}
