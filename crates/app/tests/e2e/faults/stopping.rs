//! A stop, and what it leaves.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};

const MARKER: &str = "Zebedee Quillfeather";

/// Makes a customer with a name of its own.
async fn make_customer(server: &Server, organization: &Organization) {
    let customers = format!("/api/organizations/{}/customers", organization.id);
    let body = json!({"id": "erased", "name": MARKER, "email": "zebedee@example.com"});
    expect(server.request(Method::POST, &customers).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
}

/// Makes one, and deletes them.
async fn erase_customer(server: &Server, organization: &Organization) {
    make_customer(server, organization).await;
    let customers = format!("/api/organizations/{}/customers", organization.id);
    let token = &organization.owner.token;
    expect(server.request(Method::DELETE, &format!("{customers}/erased")).bearer_auth(token), StatusCode::NO_CONTENT).await;
}

/// Files of the data folder in which the marker is, and those that lie there.
fn files(server: &Server) -> (Vec<String>, Vec<String>) {
    let (mut with_marker, mut all) = (Vec::new(), Vec::new());
    for file in std::fs::read_dir(server.database_file().parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            if bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes()) {
                with_marker.push(name.clone());
            }
            all.push(name);
        }
    }
    all.sort();
    (with_marker, all)
}

#[tokio::test]
async fn a_stop_leaves_one_file_that_is_the_database_and_holds_nothing_that_was_erased() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    let kept = server.new_customer(&organization, &organization.owner.token).await;
    erase_customer(&server, &organization).await;
    server.stop().await;
    assert_eq!(files(&server), (vec![], vec!["freehold.db".to_owned(), "freehold.lock".into(), "secret.key".into()]));
    let database = rusqlite::Connection::open(server.database_file()).unwrap();
    let customers: i64 = database.query_row("SELECT count(*) FROM customers", [], |row| row.get(0)).unwrap();
    assert_eq!(customers, 1);
    drop(database);
    server.start_again().await;
    let token = server.sign_in(&organization.owner.email, None).await;
    let path = format!("/api/organizations/{}/customers/{kept}", organization.id);
    expect(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
}

#[tokio::test]
async fn what_was_erased_leaves_the_log_of_a_server_that_goes_on() {
    let server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    erase_customer(&server, &organization).await;
    while !files(&server).0.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    make_customer(&server, &organization).await;
    assert!(!files(&server).0.is_empty(), "the marker is found where it is");
}

on_both_engines! {
    async fn a_stop_comes_to_its_end_whatever_hangs(engine: Engine) {
        let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Server::start(engine, &["--webhook-allow=127.0.0.0/8"]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let address = receiver.local_addr().unwrap();
        let body = json!({"url": format!("http://{address}/"), "events": ["customer.created"]});
        let webhooks = format!("/api/organizations/{}/webhooks", organization.id);
        expect(server.request(Method::POST, &webhooks).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        server.new_customer(&organization, token).await;
        // A receiver that never answers.
        let (mut held, _) = receiver.accept().await.unwrap();
        assert!(held.read(&mut [0; 16]).await.unwrap() > 0);
        // A request whose body never ends, and a connection on which nothing was asked.
        let host = server.url.trim_start_matches("http://").to_owned();
        let _silent = TcpStream::connect(&host).await.unwrap();
        let mut endless = TcpStream::connect(&host).await.unwrap();
        let head = format!(
            "POST /api/organizations HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        );
        endless.write_all(head.as_bytes()).await.unwrap();
        let mut told = [0; 12];
        endless.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"HTTP/1.1 100");
        server.stop().await;
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        expect(server.request(Method::GET, &webhooks).bearer_auth(&token), StatusCode::OK).await;
    }
}
