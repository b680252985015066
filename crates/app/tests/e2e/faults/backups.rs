//! Backups: taken beside a running server, put back on either engine, and moved from one to the other.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::sync::watch;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, make_database};
use crate::tools::deleted;

/// An organization with much of what there is, and some of it deleted. Returns a key that is good, and one that is not.
async fn live(server: &Server, organization: &Organization) -> (String, String) {
    let token = &organization.owner.token;
    let base = format!("/api/organizations/{}", organization.id);
    for number in 0..1_100 {
        let body = json!({
            "id": format!("customer-{number}"),
            "name": format!("José {number}"),
            "email": "jose@example.com",
            "metadata": {"zeta": "last", "alpha": "first", "emoji": "\u{1f98a}"},
        });
        expect(server.request(Method::POST, &format!("{base}/customers")).bearer_auth(token).json(&body), StatusCode::CREATED).await;
    }
    server.new_dependant(organization, "customer-1", "devices", json!({"name": "Laptop"})).await;
    server.new_member(organization, "viewer").await;
    let (_, good) = server.new_api_key(organization, token, &["read:customers"]).await;
    let (id, ended) = server.new_api_key(organization, token, &["read:customers"]).await;
    expect(server.request(Method::DELETE, &format!("{base}/api-keys/{id}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
    let gone = deleted(server.request(Method::DELETE, "/customer/customer-2?hard=true").bearer_auth(token), StatusCode::OK).await;
    server.wait_for_completion(&gone, token).await;
    deleted(server.request(Method::DELETE, "/customer/customer-3").bearer_auth(token), StatusCode::OK).await;
    (good, ended)
}

/// All that the organization's owner sees of it, but for when they signed in.
async fn seen(server: &Server, organization: &Organization) -> Json {
    let token = server.sign_in(&organization.owner.email, None).await;
    let base = format!("/api/organizations/{}", organization.id);
    let mut all = json!({});
    for path in ["", "/members", "/customers?page_size=100", "/customers/customer-1/devices", "/api-keys", "/audit?page_size=50"] {
        all[path] = expect(server.request(Method::GET, &format!("{base}{path}")).bearer_auth(&token), StatusCode::OK).await;
    }
    all
}

async fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (code, out, words) = server.command(arguments).await;
    assert_eq!((code, out.as_str()), (1, ""), "{words}");
    words
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

on_both_engines! {
    async fn a_backup_beside_a_running_server_comes_back_whole_on_either_engine(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let (good, ended) = live(&server, &organization).await;
        let (code, out, words) = server.command(&["backup", text(&file)]).await;
        assert_eq!(code, 0, "{words}");
        assert!(out.contains(" rows into "), "{out}");
        let before = seen(&server, &organization).await;
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the file alone is the backup");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(refusal(&server, &["backup", text(&file)]).await.contains("is there already"));

        for other in [Engine::Sqlite, Engine::Postgresql] {
            let restored = server.start_restored(other, &file).await;
            assert_eq!(seen(&restored, &organization).await, before, "from {engine:?} to {other:?}");
            let path = format!("/api/organizations/{}/customers", organization.id);
            let with = |key: &str| restored.request(Method::GET, &path).header("X-API-Key", key);
            expect(with(&good), StatusCode::OK).await;
            expect(with(&ended), StatusCode::UNAUTHORIZED).await;
            // What is there is not mixed with what is to come.
            let words = refusal(&restored, &["restore", text(&file)]).await;
            assert!(words.contains("another freehold"), "{words}");
        }
    }
}

/// What each worker makes, and half of it deletes, during each backup.
const DURING_EACH: usize = 10;

/// How many backups are taken under load; more with the variable, as `cargo xtask test --long` sets it.
fn many() -> usize {
    std::env::var("FREEHOLD_TEST_BACKUPS").map_or(5, |number| number.parse().unwrap())
}

on_both_engines! {
    async fn of_many_backups_under_load_each_is_sound(server: Server) {
        let organization = server.new_organization().await;
        let (token, base) = (&organization.owner.token, format!("/api/organizations/{}/customers", organization.id));
        // Each worker makes so many during each backup: the database does not grow beyond what a test can restore so often.
        let (begun, under_way) = watch::channel(0_usize);
        let (made, erased) = (AtomicU64::new(0), AtomicU64::new(0));
        let load = async |worker: u32| {
            let mut under_way = under_way.clone();
            for number in 0..many() * DURING_EACH {
                under_way.wait_for(|backup| *backup * DURING_EACH > number).await.unwrap();
                let id = format!("c-{worker}-{number}");
                let body = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
                expect(server.request(Method::POST, &base).bearer_auth(token).json(&body), StatusCode::CREATED).await;
                server.new_dependant(&organization, &id, "devices", json!({"name": "Laptop"})).await;
                made.fetch_add(1, Ordering::Relaxed);
                if number.is_multiple_of(2) {
                    expect(server.request(Method::DELETE, &format!("{base}/{id}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
                    erased.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let backups = async {
            for number in 1..=many() {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("backup.db");
                begun.send_replace(number);
                let (made, erased) = (made.load(Ordering::Relaxed), erased.load(Ordering::Relaxed));
                let (code, _, words) = server.command(&["backup", text(&file)]).await;
                assert_eq!(code, 0, "{number}: {words}");
                let data = folder.path().join("data");
                for arguments in [&["restore", text(&file), "--data", text(&data)][..], &["doctor", "--data", text(&data)]] {
                    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
                    let output = command.args(arguments).env_remove("FREEHOLD_DATABASE_URL").output().await.unwrap();
                    let words = [output.stdout, output.stderr].concat();
                    assert!(output.status.success(), "{number}: {}", String::from_utf8_lossy(&words));
                }
                // All that was answered before it began is in it.
                let restored = rusqlite::Connection::open(data.join("freehold.db")).unwrap();
                let count = |query| restored.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
                let gone = count("SELECT count(*) FROM deletions WHERE root = 'customer'");
                assert!(gone >= erased && count("SELECT count(*) FROM customers") + gone >= made, "{number}: {made} {erased} {gone}");
            }
        };
        tokio::join!(load(1), load(2), load(3), backups);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_moves_from_one_engine_to_the_other_and_back() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let organization = server.new_organization().await;
    live(&server, &organization).await;
    let before = seen(&server, &organization).await;
    let (first, there, back) =
        (format!("sqlite:{}", server.database_file().display()), make_database().await, tempfile::tempdir().unwrap());
    let second = format!("sqlite:{}", back.path().join("freehold.db").display());
    let moved = async |from: &str, to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        let output = command.args(["move", "--from", from, "--to", to]).stdin(Stdio::null()).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, _, words) = moved(&first, &there).await;
    assert!(code == 1 && words.contains("another freehold"), "{words}");
    server.stop().await;
    let (code, out, words) = moved(&first, &there).await;
    assert_eq!(code, 0, "{words}");
    let (code, again, words) = moved(&there, &second).await;
    assert_eq!((code, &again), (0, &out), "{words}");
    let (code, _, words) = moved(&first, &there).await;
    assert!(code == 1 && words.contains("copy into an empty database"), "{words}");
    std::fs::copy(back.path().join("freehold.db"), server.database_file()).unwrap();
    server.start_again().await;
    assert_eq!(seen(&server, &organization).await, before);
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    server.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    assert!(refusal(&server, &["restore", text(&file)]).await.contains("there is no backup"));
    std::fs::write(&file, "something else").unwrap();
    assert!(refusal(&server, &["restore", text(&file)]).await.contains("is no backup"));
    std::fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE things (name TEXT)").unwrap();
    assert!(refusal(&server, &["restore", text(&file)]).await.contains("no backup of this program"));
    std::fs::remove_file(&file).unwrap();
    let (code, _, words) = server.command(&["backup", text(&file)]).await;
    assert_eq!(code, 0, "{words}");
    // Into the database that it comes from, which is not empty.
    let words = refusal(&server, &["restore", text(&file)]).await;
    assert!(words.contains("copy into an empty database"), "{words}");
}

/// The files in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until there is another file than these, and returns its name.
async fn next(folder: &Path, known: &[String]) -> String {
    loop {
        let new = names(folder).into_iter().find(|name| !known.contains(name) && name.ends_with("Z.db"));
        if let Some(new) = new {
            return new;
        }
        // The file is the event: there is nothing else to wait on from outside.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

on_both_engines! {
    async fn a_server_takes_backups_when_they_are_due_and_keeps_so_many(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let backups = folder.path().join("backups");
        let arguments = [format!("--backups={}", text(&backups)), "--backup-hours=2".into(), "--backups-kept=2".into()];
        let arguments: Vec<&str> = [&["--public-url=http://localhost:3001", "--metrics-token=secret"][..], &arguments.each_ref().map(String::as_str)].concat();
        std::fs::create_dir(&backups).unwrap();
        // Of another program, long ago, and of a clock that was ahead.
        let there = ["freehold-2020-01-01T00-00-00Z.db", "freehold-2020-01-02T00-00-00Z.db", "freehold-9000-01-01T00-00-00Z.db", "notes.db"];
        std::fs::write(backups.join("freehold-2020-01-03T00-00-00Z.db.unfinished"), "").unwrap();
        for name in there {
            std::fs::write(backups.join(name), "").unwrap();
        }
        let known: Vec<String> = there.map(str::to_owned).to_vec();
        let mut server = Server::start(engine, &arguments).await;
        let first = next(&backups, &known).await;
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        // It is none of those that are due, so a start takes none.
        server.stop().await;
        server.start_again().await;
        expect(server.request(Method::GET, "/health/ready"), StatusCode::OK).await;
        let metrics = server.request(Method::GET, "/metrics").bearer_auth("secret").send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("freehold_backup_last_success_timestamp_seconds 1"), "{metrics}");
        server.stop().await;
        assert_eq!(names(&backups), [&*first, "freehold-9000-01-01T00-00-00Z.db", "notes.db"]);
        // Two hours later.
        let long_ago = "freehold-2021-01-01T00-00-00Z.db";
        std::fs::rename(backups.join(&first), backups.join(long_ago)).unwrap();
        std::fs::remove_file(backups.join("freehold-9000-01-01T00-00-00Z.db")).unwrap();
        server.start_again().await;
        let second = next(&backups, &[long_ago.to_owned()]).await;
        let restored = server.start_restored(engine, &backups.join(second)).await;
        let token = restored.sign_in(&organization.owner.email, None).await;
        let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
        expect(restored.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
    }
}

#[tokio::test]
async fn a_backup_that_cannot_be_taken_is_told_and_disturbs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let backups = format!("--backups={}", text(&file));
    let server = Server::start(Engine::Sqlite, &[&backups, "--metrics-token=secret"]).await;
    let log = server.folder().join("log");
    while !std::fs::read_to_string(&log).unwrap().contains("a backup could not be taken") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.new_organization().await;
    let metrics = server.request(Method::GET, "/metrics").bearer_auth("secret").send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains("freehold_backup_last_success_timestamp_seconds 0") && metrics.contains("freehold_job_up{job=\"backups\"} 1"),
        "{metrics}"
    );
}
