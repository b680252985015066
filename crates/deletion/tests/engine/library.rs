//! Libraries with readers and books: the nouns of the made-up schema, and what only they know.

use std::sync::Arc;
use std::time::Duration;

use deletion::{
    Accepted, Clock, Engine, Error, Fate, Holds, Insert, Kept, Key, Lease, Nouns, Order, Orders, Others, ParentTable, Pause, Record, Root,
    Rule, Rules, TableColumns, Waiting, Work, integer, new_id, text, uuid,
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value as Json;
use sql::{Database, Migration, Options, Row, Statement, Tx, Value, params, sql};
use tempfile::TempDir;
use uuid::Uuid;

type Result<T> = deletion::Result<T>;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration { name: "library", text: include_str!("library.sql") }];

const LIBRARY: Holds = Holds::Link(&["library"]);
const READER: Holds = Holds::Link(&["reader"]);
const PLAIN: Holds = Holds::Plain;
const PERSONAL: Holds = Holds::Personal;

#[rustfmt::skip]
const TABLES: &[TableColumns] = &[
    TableColumns::new("libraries", &[("id", LIBRARY), ("state", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("readers", &[("library_id", LIBRARY), ("id", READER), ("name", PERSONAL), ("state", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("shelves", &[("library_id", LIBRARY), ("id", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("books", &[("library_id", LIBRARY), ("isbn", PLAIN), ("shelf_id", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("pages", &[("library_id", LIBRARY), ("isbn", PLAIN), ("number", PLAIN), ("shelf_id", PLAIN), ("content", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("loans", &[("library_id", LIBRARY), ("reader_id", READER), ("isbn", PLAIN), ("number", PLAIN), ("note", PERSONAL), ("created_at", PLAIN)]),
    TableColumns::new("fees", &[("library_id", LIBRARY), ("id", PLAIN), ("reader_id", READER), ("amount", PLAIN), ("created_at", PLAIN)]),
    TableColumns::new("deletions", &[
        ("library_id", LIBRARY), ("id", PLAIN), ("root", PLAIN), ("subject_id", READER), ("subject_label", PERSONAL), ("state", PLAIN),
        ("actor", PLAIN), ("actor_id", PLAIN), ("reason", PLAIN), ("request_id", PLAIN), ("stage", PLAIN), ("cursor", PLAIN), ("counts", PLAIN),
        ("effects", PLAIN), ("batches", PLAIN), ("longest_batch_us", PLAIN), ("fence", PLAIN), ("lease_until", PLAIN), ("waiting_for", PLAIN),
        ("created_at", PLAIN), ("updated_at", PLAIN), ("completed_at", PLAIN), ("waiting_since", PLAIN), ("rows_expected", PLAIN),
        ("reversible_until", PLAIN), ("restored_at", PLAIN),
    ]),
];

const BY_LIBRARY: &[&str] = &["library_id"];
const BY_READER: &[&str] = &["library_id", "reader_id"];
const FOREVER: Kept = Kept::For("books of account");
const NO_LABEL: Fate = Fate::Redact(&[("subject_label", "NULL")]);
const NO_READER: Fate = Fate::Redact(&[("reader_id", "NULL")]);
/// Shelves with their books and pages.
const SHELVES: ParentTable = ParentTable { table: "shelves", by: "shelf_id", key: integer("id") };
const PARENTS: &[ParentTable] = &[
    SHELVES,
    ParentTable { table: "readers", by: "reader_id", key: uuid("id") },
    ParentTable { table: "books", by: "isbn", key: text("isbn") },
];

#[rustfmt::skip]
const LIBRARY_RULES: &[Rule] = &[
    Rule::new("pages", BY_LIBRARY, &[integer("shelf_id"), text("isbn"), integer("number")], Fate::Erase, "belongs to a book"),
    Rule::new("books", BY_LIBRARY, &[integer("shelf_id"), text("isbn")], Fate::Erase, "stands on a shelf"),
    Rule::new("shelves", BY_LIBRARY, &[integer("id")], Fate::Erase, "stands in the library"),
    Rule::new("loans", BY_LIBRARY, &[uuid("reader_id"), text("isbn"), integer("number")], Fate::Erase, "over"),
    Rule::new("readers", BY_LIBRARY, &[uuid("id")], Fate::Erase, "reads here"),
    Rule::new("fees", BY_LIBRARY, &[integer("id")], Fate::Keep, "what was earned").kept(FOREVER),
    Rule::new("deletions", BY_LIBRARY, &[uuid("id")], NO_LABEL, "the receipts").kept(FOREVER),
    Rule::new("libraries", &["id"], &[], Fate::Erase, "the library itself"),
];

#[rustfmt::skip]
const READER_RULES: &[Rule] = &[
    Rule::new("loans", BY_READER, &[text("isbn"), integer("number")], Fate::Erase, "what the reader has"),
    Rule::new("fees", BY_READER, &[integer("id")], NO_READER, "what was earned, without the one who paid").kept(FOREVER),
    Rule::new("deletions", &["library_id", "subject_id"], &[uuid("id")], NO_LABEL, "the receipt").kept(FOREVER),
    Rule::new("readers", &["library_id", "id"], &[], Fate::Erase, "the reader"),
];

const fn root(name: &'static str, rules: &'static [Rule]) -> Root {
    Root {
        name,
        noun: name,
        rules,
        mark: Some("state = 'closed'"),
        unmark: Some(("state = 'live'", "closed")),
        credentials: &[],
        waits_before: None,
        awaits: None,
        is_locked_when_ordered: false,
        locks_each_batch: false,
        orders_others: None,
        cascades: None,
        guards: "a blocker",
    }
}

const ROOTS: &[Root] = &[
    Root { cascades: Some(SHELVES), ..root("library", LIBRARY_RULES) },
    Root { is_locked_when_ordered: true, ..root("reader", READER_RULES) },
];

pub(crate) static RULES: Rules = Rules::new("library_id", ROOTS, TABLES, PARENTS, &["deletions"], "library.rs");

pub(crate) fn of_library() -> &'static Root {
    RULES.root("library").unwrap()
}

pub(crate) fn of_reader() -> &'static Root {
    RULES.root("reader").unwrap()
}

/// A database of libraries on one of the two engines, with the engine of deletions.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) db: Database,
    pub(crate) clock: Clock,
    pub(crate) engine: Arc<Engine>,
    /// What keeps every deletion from going on.
    pub(crate) obstacle: Arc<std::sync::Mutex<Option<Pause>>>,
    _folder: Arc<TempDir>,
}

impl World {
    /// One of each engine, SQLite first.
    pub(crate) async fn both() -> [World; 2] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let file = format!("sqlite:{}", folder.path().join("test.db").display());
        let server = Options { connections: 4, ..Options::new(make_database().await) };
        [World::open(Options::new(file), folder.clone()).await, World::open(server, folder).await]
    }

    async fn open(options: Options, folder: Arc<TempDir>) -> World {
        let db = Database::open(&options).await.unwrap();
        db.migrate(MIGRATIONS).await.unwrap();
        RULES.check(&db.schema(MIGRATIONS).await.unwrap()).unwrap();
        let clock = Clock::default();
        let engine = Arc::new(Engine::new(&RULES, db.clone(), clock.clone(), Duration::from_secs(5)));
        World { db, clock, engine, obstacle: Arc::default(), _folder: folder }
    }

    pub(crate) async fn execute(&self, text: String) {
        let statement = Statement::generated(text);
        self.db.write(async move |tx| tx.execute(statement, &[]).await).await.unwrap();
    }

    pub(crate) async fn count(&self, rows: &str) -> i64 {
        let statement = Statement::generated(format!("SELECT count(*) FROM {rows}"));
        self.db.read(async move |tx| tx.read_one(statement, &[]).await).await.unwrap()
    }

    /// An id as this engine's SQL spells it.
    pub(crate) fn spelled(&self, id: Uuid) -> String {
        match self.db.engine_name() {
            "sqlite" => format!("x'{}'", id.simple()),
            _ => format!("'{id}'"),
        }
    }

    pub(crate) fn new_id(&self) -> Uuid {
        new_id(self.clock.now()).unwrap()
    }

    /// A library with so many shelves, books on each, pages in each, readers, and loans and fees of each.
    pub(crate) async fn library(&self, [shelves, books, pages, readers, loans]: [i64; 5]) -> (Uuid, Vec<Uuid>) {
        let (library, now) = (self.new_id(), self.clock.now());
        let readers: Vec<Uuid> = (0..readers).map(|_| self.new_id()).collect();
        let people = readers.clone();
        self.db.write(async move |tx| furnish(tx, library, now, [shelves, books, pages, loans], &people).await).await.unwrap();
        (library, readers)
    }

    /// Orders deletions of these subjects together. A library is blocked by nothing, a reader called Ada is.
    pub(crate) async fn order(
        &self,
        root: &'static Root,
        library: Uuid,
        subjects: &[Uuid],
        wanted: Wanted,
    ) -> Vec<deletion::Result<Record>> {
        let (engine, now) = (self.engine.clone(), self.clock.now());
        let orders: Vec<Order> = subjects
            .iter()
            .map(|subject| Order {
                id: self.new_id(),
                subject: *subject,
                label: Some("someone".into()),
                reason: None,
                actor: "test".into(),
                actor_id: None,
                request_id: "test".into(),
                plan: wanted.plan.clone(),
                waits: wanted.waits,
                now,
            })
            .collect();
        let until = wanted.reversible_until;
        let root = sql::Static(root);
        self.db
            .write(async move |tx| {
                let mut counter = Counter { library, subjects: orders.iter().map(|order| order.subject).collect(), until };
                deletion::order(&engine, tx, (root.0, library), &orders, &mut counter).await
            })
            .await
            .unwrap()
    }

    /// Drains until nothing is left to do now, in batches of so many rows. Returns how many batches that took.
    pub(crate) async fn drain(&self, size: i64) -> usize {
        let mut batches = 0;
        for work in [Work::Begin, Work::GoOn] {
            while let Some(held) = deletion::take(&self.engine, work).await.unwrap() {
                loop {
                    batches += 1;
                    match deletion::advance(self, &held, size, Duration::ZERO, false).await.unwrap() {
                        deletion::Outcome::Completed => break,
                        deletion::Outcome::Fenced | deletion::Outcome::Waits(_) => return batches,
                        _ => {}
                    }
                }
            }
        }
        batches
    }

    /// State and counts of a deletion.
    pub(crate) async fn record(&self, id: Uuid) -> (String, Json) {
        let statement = sql!("SELECT state, counts FROM deletions WHERE id = $1");
        self.db.read(async move |tx| tx.read_one(statement, params![id]).await).await.unwrap()
    }
}

/// What is said with an order.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) plan: Option<Arc<deletion::PlanToken>>,
    pub(crate) waits: bool,
    pub(crate) reversible_until: Option<Timestamp>,
}

async fn furnish(
    tx: &mut Tx,
    library: Uuid,
    now: Timestamp,
    [shelves, books, pages, loans]: [i64; 4],
    readers: &[Uuid],
) -> sql::Result<()> {
    tx.execute(sql!("INSERT INTO libraries (id, state, created_at) VALUES ($1, 'live', $2)"), params![library, now]).await?;
    for shelf in 0..shelves {
        let new = sql!("INSERT INTO shelves (library_id, id, created_at) VALUES ($1, $2, $3)");
        tx.execute(new, params![library, shelf - 1, now]).await?;
        for book in 0..books {
            // The first of all is the empty text.
            let isbn = if shelf + book == 0 { String::new() } else { format!("{shelf}-{book}") };
            let new = sql!("INSERT INTO books (library_id, isbn, shelf_id, created_at) VALUES ($1, $2, $3, $4)");
            tx.execute(new, params![library, &isbn, shelf - 1, now]).await?;
            for page in 0..pages {
                let new = sql!(
                    "INSERT INTO pages (library_id, isbn, number, shelf_id, content, created_at) VALUES ($1, $2, $3, $4, 'words', $5)"
                );
                tx.execute(new, params![library, &isbn, page, shelf - 1, now]).await?;
            }
        }
    }
    for (place, reader) in readers.iter().enumerate() {
        let name = if place == 0 { "Ada" } else { "Bea" };
        let new = sql!("INSERT INTO readers (library_id, id, name, state, created_at) VALUES ($1, $2, $3, 'live', $4)");
        tx.execute(new, params![library, *reader, name, now]).await?;
        for number in 0..loans {
            let new = sql!("INSERT INTO loans (library_id, reader_id, isbn, number, note, created_at) VALUES ($1, $2, $3, $4, 'mine', $5)");
            tx.execute(new, params![library, *reader, (number % 3).to_string(), number, now]).await?;
            let new = sql!("INSERT INTO fees (library_id, id, reader_id, amount, created_at) VALUES ($1, $2, $3, 7, $4)");
            tx.execute(new, params![library, place as i64 * loans + number, *reader, now]).await?;
        }
    }
    Ok(())
}

/// What libraries know of orders: that Ada stays.
struct Counter {
    library: Uuid,
    subjects: Vec<Uuid>,
    until: Option<Timestamp>,
}

static NOTHING: std::sync::LazyLock<Insert> = std::sync::LazyLock::new(|| Insert::new("INSERT INTO fees (id)", "($1)", 1));

impl Orders for Counter {
    type Error = Error;

    fn questions(&self) -> Vec<(Statement, Vec<Value>)> {
        let statement = sql!("SELECT id FROM readers WHERE library_id = $1 AND id = ANY($2) AND name = 'Ada'");
        vec![(statement, params![self.library, self.subjects.clone()].to_vec())]
    }

    fn weigh<'a>(&'a mut self, _tx: &'a mut Tx, answers: Vec<Vec<Row>>) -> BoxFuture<'a, Result<Vec<Result<()>>>> {
        Box::pin(async move {
            let stay = answers.into_iter().flatten().map(Row::read).collect::<sql::Result<Vec<Uuid>>>()?;
            let blocker = |id| deletion::Blocker { code: "loved", kind: "reader", id, detail: "Ada stays.".into(), remedy: "None." };
            let verdict = |subject: &Uuid| match stay.contains(subject) {
                true => Err(Error::Blocked(vec![blocker(*subject)])),
                false => Ok(()),
            };
            Ok(self.subjects.iter().map(verdict).collect())
        })
    }

    fn accept<'a>(&'a mut self, _tx: &'a mut Tx, places: &'a [usize]) -> BoxFuture<'a, Result<Accepted>> {
        let accepted = Accepted { may_finish: true, erases_before_end: false, reversible_until: vec![self.until; places.len()] };
        Box::pin(async move { Ok(accepted) })
    }

    fn end<'a>(&'a mut self, _tx: &'a mut Tx, _place: usize, is_done: bool) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move { Ok(is_done) })
    }

    fn recorded<'a>(&'a mut self, _tx: &'a mut Tx, _place: usize, _record: &'a Record) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn entries(&mut self) -> (&'static Insert, Vec<Value>) {
        (&NOTHING, Vec::new())
    }
}

impl Nouns for World {
    type Error = Error;

    fn engine(&self) -> &Engine {
        &self.engine
    }

    fn lock<'a>(&'a self, _tx: &'a mut Tx, _deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>>> {
        Box::pin(async { Ok(None) })
    }

    fn obstacle<'a>(&'a self, _tx: &'a mut Tx, _deletion: &'a Lease, _is_beginning: bool) -> BoxFuture<'a, Result<Option<Pause>>> {
        let obstacle = self.obstacle.lock().unwrap().clone();
        Box::pin(async move { Ok(obstacle) })
    }

    fn awaiting(&self, _deletion: &Lease, left: i64) -> Pause {
        Pause { waiting: Waiting::counted("others", left), lasts: Duration::ZERO }
    }

    fn order_others<'a>(
        &'a self,
        _tx: &'a mut Tx,
        _deletion: &'a Lease,
        _counts: Json,
        _last: Option<Key>,
        _size: i64,
    ) -> BoxFuture<'a, Result<Others>> {
        Box::pin(async { Ok(Others::Over) })
    }

    fn effects<'a>(&'a self, _tx: &'a mut Tx, _deletion: &'a Lease) -> BoxFuture<'a, Result<Option<Pause>>> {
        Box::pin(async { Ok(None) })
    }

    fn completed<'a>(&'a self, _tx: &'a mut Tx, _deletion: &'a Lease, _counts: Json, _now: Timestamp) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn log(&self, error: &Error, what: &'static str) {
        panic!("{what}: {error}");
    }

    fn words(&self, error: &Error) -> String {
        error.to_string()
    }
}

/// The address of a new, empty database on the PostgreSQL of the tests.
async fn make_database() -> String {
    let admin = std::env::var("FREEHOLD_TEST_POSTGRES")
        .expect("FREEHOLD_TEST_POSTGRES is not set: run `cargo xtask test`, or `cargo xtask postgres` and export the line it prints");
    let (client, connection) = tokio_postgres::connect(&admin, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let name = format!("test_{}", Uuid::from_bytes(deletion::random().unwrap()).simple());
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let (server, _) = admin.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
