//! A connection to PostgreSQL that breaks under a request with an Idempotency-Key: what may have come true is never done again, and what surely
//! has not can be. The embedded engine is in the same process, and has its disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::faults::{connect, wait_until_ready};
use crate::support::{Engine, Organization, Server, header};
use crate::tools::entries;

/// Stands in what the transaction writes whose connection breaks.
pub const MARKER: &str = "A name whose commit is lost";

/// Where it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Nowhere,
    /// Before the statement with the marker.
    Statement,
    /// The same, and every other connection until [`Way::mend`].
    Everything,
    /// Before its commit.
    Commit,
    /// When its commit was answered, before the answer is passed on.
    Answer,
    /// Nowhere: that answer is passed on when [`Way::let_go`] says so.
    Held,
}

/// The way from the server to its database.
pub struct Way {
    port: u16,
    target: String,
    cut: std::sync::Mutex<Cut>,
    is_closed: AtomicBool,
    /// Rung when an answer is held, and when it may go on.
    held: Notify,
    go_on: Notify,
}

impl Way {
    pub async fn lay() -> Arc<Way> {
        let admin = std::env::var("FREEHOLD_TEST_POSTGRES").unwrap();
        let target = admin.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way =
            Arc::new(Way { port, target, cut: Cut::Nowhere.into(), is_closed: false.into(), held: Notify::new(), go_on: Notify::new() });
        let layer = way.clone();
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let database = TcpStream::connect(&layer.target).await.unwrap();
                let way = layer.clone();
                tokio::spawn(async move { way.pass(server, database).await });
            }
        });
        way
    }

    async fn server(&self) -> Server {
        self.server_with(&[]).await
    }

    pub async fn server_with(&self, arguments: &[&str]) -> Server {
        Server::start_through(Engine::Postgresql, arguments, &format!("127.0.0.1:{}", self.port)).await
    }

    /// Waits until an answer is held.
    pub async fn holds(&self) {
        self.held.notified().await;
    }

    /// Passes it on.
    pub fn let_go(&self) {
        self.go_on.notify_one();
    }

    pub fn set(&self, cut: Cut) {
        *self.cut.lock().unwrap() = cut;
    }

    fn mend(&self) {
        self.set(Cut::Nowhere);
        self.is_closed.store(false, Ordering::SeqCst);
    }

    /// Passes everything on until it breaks.
    async fn pass(&self, mut server: TcpStream, mut database: TcpStream) -> Option<()> {
        let (mut asked, mut answered) = (vec![0_u8; 65_536], vec![0_u8; 65_536]);
        let mut is_marked = false;
        loop {
            tokio::select! {
                read = server.read(&mut asked) => {
                    let bytes = &asked[..read.ok().filter(|length| *length > 0)?];
                    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
                    is_marked |= has(MARKER.as_bytes());
                    let cut = *self.cut.lock().unwrap();
                    match cut {
                        Cut::Everything if is_marked => self.is_closed.store(true, Ordering::SeqCst),
                        Cut::Statement if is_marked => return None,
                        Cut::Commit if is_marked && has(b"COMMIT\0") => return None,
                        _ => {}
                    }
                    if self.is_closed.load(Ordering::SeqCst) {
                        return None;
                    }
                    database.write_all(bytes).await.ok()?;
                    if cut == Cut::Answer && is_marked && has(b"COMMIT\0") {
                        // When the database answers it has committed, and the answer is lost.
                        let _ = database.read(&mut answered).await;
                        return None;
                    }
                    if cut == Cut::Held && is_marked && has(b"COMMIT\0") {
                        let read = database.read(&mut answered).await.ok()?;
                        self.held.notify_one();
                        self.go_on.notified().await;
                        server.write_all(&answered[..read]).await.ok()?;
                    }
                }
                read = database.read(&mut answered) => {
                    server.write_all(&answered[..read.ok().filter(|length| *length > 0)?]).await.ok()?;
                }
            }
        }
    }
}

fn customers(organization: &Organization) -> String {
    format!("/api/organizations/{}/customers", organization.id)
}

/// Asks for the customer whose commit is lost.
async fn send(server: &Server, organization: &Organization, key: &str) -> StatusCode {
    let request = server.request(Method::POST, &customers(organization)).bearer_auth(&organization.owner.token);
    let answer = request.json(&json!({"name": MARKER, "email": "ada@example.com"})).header("Idempotency-Key", key).send().await.unwrap();
    let (status, is_replayed) = (answer.status(), header(&answer, "idempotency-replayed") == "true");
    match status {
        StatusCode::SERVICE_UNAVAILABLE => assert!(header(&answer, "retry-after").parse::<u32>().unwrap() >= 1),
        StatusCode::CONFLICT => {
            let text = answer.text().await.unwrap();
            assert!(text.contains("not known what came of it") && !is_replayed, "{text}");
        }
        _ => {}
    }
    status
}

async fn count(server: &Server, organization: &Organization) -> usize {
    entries(server, &customers(organization), &organization.owner.token).await.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_come_true_though_no_one_heard_of_it_is_not_done_again() {
    let way = Way::lay().await;
    let server = way.server().await;
    // PostgreSQL has committed, or has not: the server cannot tell.
    for (cut, made) in [(Cut::Answer, 1), (Cut::Commit, 0)] {
        let organization = server.new_organization().await;
        way.set(cut);
        assert_eq!(send(&server, &organization, "lost").await, StatusCode::SERVICE_UNAVAILABLE);
        way.mend();
        for _ in 0..3 {
            assert_eq!(send(&server, &organization, "lost").await, StatusCode::CONFLICT);
        }
        assert_eq!(count(&server, &organization).await, made, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_surely_has_not_come_true_is_done_when_it_is_asked_for_again() {
    let way = Way::lay().await;
    let server = way.server().await;
    for cut in [Cut::Statement, Cut::Everything] {
        let organization = server.new_organization().await;
        way.set(cut);
        assert_eq!(send(&server, &organization, "undone").await, StatusCode::SERVICE_UNAVAILABLE, "{cut:?}");
        way.mend();
        wait_until_ready(&server).await;
        for _ in 0..3 {
            assert_eq!(send(&server, &organization, "undone").await, StatusCode::CREATED, "{cut:?}");
        }
        assert_eq!(count(&server, &organization).await, 1, "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_postgresql_has_refused_can_be_asked_for_again() {
    let server = Server::start(Engine::Postgresql, &[]).await;
    let organization = server.new_organization().await;
    let database = connect(server.database_url().unwrap()).await;
    // As when there is no more room in the middle of it.
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'full' USING ERRCODE = '53100'; END $$;
                  CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()";
    database.batch_execute(refuse).await.unwrap();
    assert_eq!(send(&server, &organization, "refused").await, StatusCode::SERVICE_UNAVAILABLE);
    database.batch_execute("DROP TRIGGER refuse ON customers; DROP FUNCTION refuse").await.unwrap();
    for _ in 0..2 {
        assert_eq!(send(&server, &organization, "refused").await, StatusCode::CREATED);
    }
    assert_eq!(count(&server, &organization).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_disk_has_refused_can_be_asked_for_again() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    let process = Pid::from_raw(server.process().id().unwrap().cast_signed()).unwrap();
    let limit = |most| prlimit(Some(process), Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
    limit(Some(8_192));
    let mut made = 0;
    while send(&server, &organization, &format!("key-{made}")).await == StatusCode::CREATED {
        made += 1;
    }
    limit(None);
    wait_until_ready(&server).await;
    for _ in 0..2 {
        assert_eq!(send(&server, &organization, &format!("key-{made}")).await, StatusCode::CREATED);
    }
    assert_eq!(count(&server, &organization).await, made + 1);
}
