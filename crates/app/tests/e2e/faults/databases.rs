//! A database that fails is told truly: 503 and why, and all is well again when it is.

use std::process::Stdio;

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};

/// Asks for something to be written. Returns the status, having seen that a refusal says when to come again.
pub(super) async fn write(server: &Server, organization: &Organization) -> StatusCode {
    let customers = format!("/api/organizations/{}/customers", organization.id);
    let body = json!({"name": "Ada Lovelace".repeat(8), "email": "ada@example.com", "metadata": {"filler": "x".repeat(400)}});
    let answer = server.request(Method::POST, &customers).bearer_auth(&organization.owner.token).json(&body).send().await.unwrap();
    let status = answer.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        assert!(header(&answer, "retry-after").parse::<u32>().unwrap() >= 1);
    }
    status
}

pub(super) async fn read(server: &Server, organization: &Organization) {
    let path = format!("/api/organizations/{}", organization.id);
    expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
}

/// Why the server is not ready.
pub(super) async fn unready(server: &Server) -> String {
    let told: Json = expect(server.request(Method::GET, "/health/ready"), StatusCode::SERVICE_UNAVAILABLE).await;
    told["detail"].as_str().unwrap().to_owned()
}

/// Waits until the server is ready again by itself.
pub async fn wait_until_ready(server: &Server) {
    while server.request(Method::GET, "/health/ready").send().await.unwrap().status() != StatusCode::OK {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_passes() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    let process = Pid::from_raw(server.process().id().unwrap().cast_signed()).unwrap();
    let limit = |most| prlimit(Some(process), Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
    limit(Some(8_192));
    while write(&server, &organization).await != StatusCode::SERVICE_UNAVAILABLE {}
    read(&server, &organization).await;
    let words = unready(&server).await;
    assert!(words.contains("takes no writes"), "{words}");
    limit(None);
    wait_until_ready(&server).await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    let (code, found, _) = {
        server.stop().await;
        server.doctor(&[]).await
    };
    assert_eq!(code, 0, "{found}");
}

#[tokio::test]
async fn a_postgresql_that_is_read_only_for_now_is_told_and_passes() {
    let server = Server::start(Engine::Postgresql, &[]).await;
    let organization = server.new_organization().await;
    let url = server.database_url().unwrap();
    let (admin, name) = url.rsplit_once('/').unwrap();
    let (client, connection) = tokio_postgres::connect(&format!("{admin}/postgres"), tokio_postgres::NoTls).await.unwrap();
    let _connection = tokio::spawn(connection);
    let set = async |value: &str| {
        // Connections that are open keep what they began with.
        client.batch_execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}")).await.unwrap();
        client.batch_execute(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await.unwrap();
    };
    set("on").await;
    // The first refusals may be of connections that were cut.
    loop {
        assert_eq!(write(&server, &organization).await, StatusCode::SERVICE_UNAVAILABLE);
        let told: Json = server.request(Method::GET, "/health/ready").send().await.unwrap().json().await.unwrap();
        if told["detail"].as_str().is_some_and(|words| words.contains("takes no writes") && words.contains("read-only")) {
            break;
        }
    }
    read(&server, &organization).await;
    assert_eq!(write(&server, &organization).await, StatusCode::SERVICE_UNAVAILABLE);
    unready(&server).await;
    set("off").await;
    wait_until_ready(&server).await;
    read(&server, &organization).await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
}

#[tokio::test]
async fn a_database_file_that_was_removed_or_replaced_is_written_no_more() {
    for is_replaced in [false, true] {
        let server = Server::start(Engine::Sqlite, &[]).await;
        let organization = server.new_organization().await;
        let (file, kept) = (server.database_file(), server.folder().join("kept.db"));
        server.note_altered();
        std::fs::rename(&file, &kept).unwrap();
        if is_replaced {
            std::fs::copy(&kept, &file).unwrap();
        }
        while write(&server, &organization).await == StatusCode::CREATED {}
        let words = unready(&server).await;
        assert!(words.contains(if is_replaced { "was replaced" } else { "was removed" }), "{words}");
        assert_eq!(write(&server, &organization).await, StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// What `freehold serve` says when it does not start in this folder.
async fn refusal(server: &Server) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(["serve", "--listen=127.0.0.1:0", "--data"]).arg(server.database_file().parent().unwrap());
    command.env_remove("FREEHOLD_DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn an_empty_database_takes_the_place_of_a_lost_one_only_when_that_is_asked_for() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    server.new_organization().await;
    server.stop().await;
    let (file, lock) = (server.database_file(), server.database_file().with_extension("lock"));
    std::fs::remove_file(&file).unwrap();
    let words = refusal(&server).await;
    assert!(words.contains("is missing or empty") && words.contains("--new"), "{words}");
    std::fs::write(&file, "").unwrap();
    assert!(refusal(&server).await.contains("is missing or empty"));
    // Nor beside exports, if that is all that is left.
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir_all(server.exports_folder()).unwrap();
    std::fs::write(server.exports_folder().join("archive.zip"), "").unwrap();
    let words = refusal(&server).await;
    assert!(words.contains("has exports of it") && words.contains("--new"), "{words}");
    server.start_again_with(&["--new"]).await;
    server.new_organization().await;
    // Of no export, as the doctor would find.
    std::fs::remove_file(server.exports_folder().join("archive.zip")).unwrap();
}

on_both_engines! {
    async fn how_much_of_the_database_is_in_use_is_told(engine: Engine) {
        let server = Server::start(engine, &["--metrics-token=metrics", "--connections=5"]).await;
        server.new_organization().await;
        let text = server.request(Method::GET, "/metrics").bearer_auth("metrics").send().await.unwrap().text().await.unwrap();
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} is not in {text}"));
            line.trim().parse::<f64>().unwrap()
        };
        match engine {
            Engine::Postgresql => {
                let open = figure("freehold_database_connections{state=\"used\"}") + figure("freehold_database_connections{state=\"idle\"}");
                assert!((1.0..=5.0).contains(&open), "{open}");
                assert_eq!(figure("freehold_database_connections_max"), 5.0);
                assert!(figure("freehold_database_connection_waits_total") >= 0.0);
            }
            Engine::Sqlite => {
                assert!(figure("freehold_database_file_bytes{file=\"database\"}") > 0.0);
                assert!(figure("freehold_database_file_bytes{file=\"log\"}") >= 0.0);
                assert!(figure("freehold_database_disk_free_bytes") > 0.0);
            }
        }
    }
}
