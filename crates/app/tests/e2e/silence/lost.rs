//! A commit whose answer is lost: the connection to PostgreSQL breaks when the database has committed and before the server hears of it.
//! The embedded engine has no such moment: it is in the same process.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Engine, Server, header};
use crate::tools::entries;

/// Stands in what the transaction writes whose commit is lost.
const MARKER: &[u8] = b"A name whose commit is lost";

/// Passes everything on between the server and its database, until it has seen the marker and then a commit. Returns its port.
async fn start_proxy(target: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((server, _)) = listener.accept().await {
            let database = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(pass(server, database));
        }
    });
    port
}

async fn pass(mut server: TcpStream, mut database: TcpStream) {
    let (mut asked, mut answered) = (vec![0_u8; 65_536], vec![0_u8; 65_536]);
    let mut is_marked = false;
    loop {
        tokio::select! {
            read = server.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let has = |text: &[u8]| asked[..length].windows(text.len()).any(|part| part == text);
                is_marked |= has(MARKER);
                let is_lost = is_marked && has(b"COMMIT\0");
                if database.write_all(&asked[..length]).await.is_err() {
                    return;
                }
                if is_lost {
                    // When the database answers it has committed, and nobody is told.
                    let _ = database.read(&mut answered).await;
                    return;
                }
            }
            read = database.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if server.write_all(&answered[..length]).await.is_err() {
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
    let port = start_proxy(rest.split('/').next().unwrap().to_owned()).await;
    let server = Server::start_through(Engine::Postgresql, &[], &format!("127.0.0.1:{port}")).await;
    let organization = server.new_organization().await;
    let token = &organization.owner.token;
    let path = format!("/api/organizations/{}/customers", organization.id);
    let name = std::str::from_utf8(MARKER).unwrap();
    let send = || {
        let request = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"name": name, "email": "ada@example.com"}));
        request.header("Idempotency-Key", "lost").send()
    };
    assert_eq!(send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    for _ in 0..3 {
        let again = send().await.unwrap();
        assert_eq!((again.status(), header(&again, "idempotency-replayed")), (StatusCode::CONFLICT, ""));
        let text = again.text().await.unwrap();
        assert!(text.contains("not known what came of it"), "{text}");
    }
    assert_eq!(entries(&server, &path, token).await.len(), 1, "it was done once");
}
