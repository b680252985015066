//! A commit whose answer is lost: the connection to PostgreSQL breaks when the database has committed and before the server hears of it.
//! The embedded engine has no such moment: it is in the same process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Engine, Server, header};
use crate::tools::entries;

/// Passes everything on. When it is armed with a number, the answer to the commit of that number is lost with its connection.
struct Proxy {
    port: u16,
    left: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, left) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counter = left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let database = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(pass(client, database, counter.clone()));
            }
        });
        Proxy { port, left }
    }

    fn arm(&self, number: usize) {
        self.left.store(number, Ordering::SeqCst);
    }
}

async fn pass(mut client: TcpStream, mut database: TcpStream, left: Arc<AtomicUsize>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(length @ 1..) = read else { return };
                let commits = up[..length].windows(7).any(|part| part == b"COMMIT\0");
                let is_the_one = commits && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1);
                if database.write_all(&up[..length]).await.is_err() {
                    return;
                }
                if is_the_one {
                    // The database has committed when it answers, and nobody is told.
                    let _ = database.read(&mut down).await;
                    return;
                }
            }
            read = database.read(&mut down) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_though_its_answer_was_lost_is_not_done_again() {
    let admin = std::env::var("FREEHOLD_TEST_POSTGRES").unwrap();
    let (_, rest) = admin.split_once('@').unwrap();
    let proxy = Proxy::start(rest.split('/').next().unwrap().to_owned()).await;
    let through = format!("127.0.0.1:{}", proxy.port);
    let server = Server::start_through(Engine::Postgresql, &["--connections=1"], &through).await;
    let organization = server.new_organization().await;
    let token = &organization.owner.token;
    let path = format!("/api/organizations/{}/customers", organization.id);
    let mut told = Vec::new();
    // The name is taken, the customer is made, the answer is kept: each in a transaction of its own. The server's jobs commit beside them.
    for number in 1..=12 {
        let before = entries(&server, &path, token).await.len();
        let send = || {
            let request = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"name": "Ada", "email": "ada@example.com"}));
            request.header("Idempotency-Key", format!("lost-{number}")).send()
        };
        proxy.arm(1 + number % 3);
        let first = send().await.unwrap().status();
        proxy.arm(0);
        assert!([StatusCode::CREATED, StatusCode::SERVICE_UNAVAILABLE].contains(&first), "{number}: {first}");
        let again = send().await.unwrap();
        let (status, is_replayed) = (again.status(), header(&again, "idempotency-replayed") == "true");
        let text = again.text().await.unwrap();
        match status {
            StatusCode::CREATED => assert!(is_replayed, "{number}: done again: {text}"),
            StatusCode::CONFLICT => {
                assert!(text.contains("not known what came of it"), "{number}: {text}");
            }
            _ => panic!("{number}: {status} {text}"),
        }
        told.push((first, status));
        let made = entries(&server, &path, token).await.len() - before;
        assert!(made <= 1, "{number}: {made} were made");
        // What was begun and is not known stays so.
        assert_eq!(send().await.unwrap().status(), status, "{number}");
    }
    assert!(told.contains(&(StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT)), "no answer was lost: {told:?}");
}
