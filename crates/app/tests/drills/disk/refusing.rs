//! The disk refuses: writes, syncs, new files, in the database, its log, the ledger and the exports. What is not done is told with 503; what was
//! answered stays done, also when the power fails right after it.

use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use super::load::{Known, Load};
use super::{Disk, EIO, ENOSPC, OPEN, RENAME, Rest, SYNC, TRUNCATE, UNLINK, WRITE, copy};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::support::archive::Archive;
use crate::support::{Engine, Organization, Server, StandardError, expect, make_database, make_folder, make_key};
use crate::waiting::{PATIENCE, until};

/// Tokens are of an address, and the port is another after each start.
const PUBLIC_URL: &str = "--public-url=http://localhost:3001";

/// What comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// All is well again by itself.
    Well,
    /// Nothing more is written until the next start.
    Restart,
}

/// Calls that are refused, how often (-1 until enough of them were), and what comes after it.
type Case = (i32, u32, &'static str, i32, Then);

/// Of the embedded database.
const DATABASE: [Case; 8] = [
    (ENOSPC, WRITE, "-wal$", -1, Then::Well),
    (EIO, WRITE, "-wal$", -1, Then::Well),
    (ENOSPC, SYNC, "-wal$", 1, Then::Restart),
    (EIO, SYNC, "-wal$", 1, Then::Restart),
    (ENOSPC, WRITE, "freehold.db$", 3, Then::Well),
    (EIO, WRITE, "freehold.db$", 3, Then::Well),
    (EIO, SYNC, "freehold.db$", 1, Then::Restart),
    (EIO, TRUNCATE, "-wal$", 1, Then::Well),
];
/// Of the ledger, on either engine.
const LEDGER: [Case; 3] =
    [(ENOSPC, WRITE, "ledger/", 1, Then::Well), (EIO, WRITE, "ledger/", 1, Then::Well), (EIO, SYNC, "ledger/", 2, Then::Well)];
/// Of the archives.
const EXPORTS: [Case; 6] = [
    (ENOSPC, WRITE, "exports/", 2, Then::Well),
    (EIO, WRITE, "exports/", 1, Then::Well),
    (EIO, SYNC, "exports/", 1, Then::Well),
    (EIO, RENAME, "exports/", 1, Then::Well),
    (ENOSPC, OPEN, "exports/", 2, Then::Well),
    (EIO, SYNC, "exports$", 1, Then::Well),
];
/// What is refused for as long as it is, is so often.
const ENOUGH: u32 = 20;

/// How often each case is gone through; more with the variable, as `cargo xtask faults` sets it.
fn rounds() -> usize {
    std::env::var("FREEHOLD_TEST_REFUSALS").map_or(1, |number| number.parse().unwrap())
}

/// One data folder after another, each as a power failure has left the one before.
struct Drill {
    engine: Engine,
    database_url: Option<String>,
    folder: tempfile::TempDir,
    organization: Option<Organization>,
    known: Known,
    chance: Chance,
    /// For what a power failure leaves, which depends on the journal: it takes no chance from the choice of moments.
    pieces: Chance,
    refused_calls: u32,
    refused_requests: u64,
    done: u64,
}

impl Drill {
    async fn prepare(engine: Engine) -> Drill {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("data"));
        let database_url = match engine {
            Engine::Sqlite => None,
            Engine::Postgresql => {
                make_key(&folder.path().join("data"));
                Some(make_database().await)
            }
        };
        let (known, chance, pieces) = (Known::default(), Chance::new(23), Chance::new(29));
        Drill { engine, database_url, folder, organization: None, known, chance, pieces, refused_calls: 0, refused_requests: 0, done: 0 }
    }

    /// Starts a server on a disk that can refuse, in the folder as it is.
    async fn start(&mut self) -> (Server, Disk, Organization, String) {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let disk = Disk::new(&folder.path().join("data"), "disk");
        let environment = disk.environment();
        let server =
            Server::start_in(folder, self.engine, &[PUBLIC_URL], self.database_url.clone(), StandardError::Kept, environment).await;
        let organization = match &self.organization {
            Some(organization) => organization.clone(),
            None => server.new_organization().await,
        };
        self.organization = Some(organization.clone());
        let token = server.sign_in(&organization.owner.email, None).await;
        (server, disk, organization, token)
    }

    async fn case(&mut self, number: usize, (error, calls, part, times, then): Case) {
        let (mut server, disk, organization, token) = self.start().await;
        let mut load = Load::begin(&server, &organization, &token, &disk, &format!("{number}"));
        load.wait(20).await;
        // The log is copied and cut off in a pause only, and once.
        let in_pause = calls == TRUNCATE;
        let after = if in_pause { 0 } else { i32::try_from(self.chance.number(0..=3)).unwrap() };
        disk.refuse(error, calls, part, after, times);
        load.pause(in_pause);
        let wanted = u32::try_from(times).unwrap_or(ENOUGH);
        until("the disk has refused so often", async || disk.refused() >= wanted).await;
        load.pause(false);
        self.refused_calls += disk.refused();
        disk.allow();
        if then == Then::Restart {
            until("nothing is written any more", async || ready(&server).await.0 != StatusCode::OK).await;
            let words = ready(&server).await.1;
            assert!(words.contains("the disk did not confirm"), "{words}");
        } else {
            until("the server is ready", async || ready(&server).await.0 == StatusCode::OK).await;
            load.wait(load.answered() + 20).await;
        }
        let answers = load.end().await;
        self.refused_requests += answers.refused.load(Ordering::Relaxed);
        self.done += answers.done.load(Ordering::Relaxed);
        if then == Then::Well {
            // The server goes on writing: the history is read once.
            let history = disk.history();
            self.known.and(history.told(history.moments())).check(&server, &organization).await;
        }
        server.kill().await;
        self.power_fails(&mut server, &disk, &organization).await;
    }

    /// The server that is gone is followed by one on what is left.
    async fn power_fails(&mut self, server: &mut Server, disk: &Disk, organization: &Organization) {
        server.note_altered();
        let history = disk.history();
        self.known = self.known.and(history.told(history.moments()));
        for rest in [Rest::Lost, Rest::ByChance] {
            let left = tempfile::tempdir().unwrap();
            history.replay(history.moments(), rest, &mut self.pieces, &left.path().join("data"));
            if rest == Rest::ByChance && self.engine == Engine::Sqlite {
                self.folder = left;
                return;
            }
            let mut next =
                Server::start_in(left, self.engine, &[PUBLIC_URL], self.database_url.clone(), StandardError::Kept, Vec::new()).await;
            self.known.check(&next, organization).await;
            if self.engine == Engine::Postgresql {
                next.stop().await;
                next.note_altered();
                self.go_on_from(&next);
                return;
            }
        }
    }

    async fn export(&mut self, (error, calls, part, times, _): Case) {
        let (mut server, disk, organization, token) = self.start().await;
        server.new_customer(&organization, &token).await;
        disk.refuse(error, calls, part, 0, times);
        let path = format!("/api/organizations/{}/exports", organization.id);
        let export = expect(server.request(Method::POST, &path).bearer_auth(&token), StatusCode::ACCEPTED).await;
        let path = format!("/api/exports/{}", export["id"].as_str().unwrap());
        let is_done = async || {
            let record: Json = expect(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
            assert!(record["state"] != "failed", "{record}");
            record["state"] == "done"
        };
        until("the export is made", is_done).await;
        assert_eq!(disk.refused(), u32::try_from(times).unwrap(), "{part}");
        self.refused_calls += disk.refused();
        server.kill().await;
        // It was said to be done.
        let (history, left) = (disk.history(), tempfile::tempdir().unwrap());
        history.replay(history.moments(), Rest::Lost, &mut self.pieces, &left.path().join("data"));
        server.note_altered();
        let mut next = Server::start_in(left, self.engine, &[PUBLIC_URL], self.database_url.clone(), StandardError::Kept, Vec::new()).await;
        let token = next.sign_in(&organization.owner.email, None).await;
        let answer = next.request(Method::GET, &format!("{path}/download")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let archive = Archive::unpack(answer.bytes().await.unwrap().to_vec());
        assert!(archive.counts()["customers"] > 0);
        next.note_altered();
        next.stop().await;
        self.go_on_from(&next);
    }

    /// The next server begins with what this one has left.
    fn go_on_from(&mut self, server: &Server) {
        self.folder = tempfile::tempdir().unwrap();
        copy(&server.folder().join("data"), &self.folder.path().join("data"));
    }

    /// A start whose calls are refused, after so many that go well, ends with words, and leaves what the next one needs. Returns how many were.
    async fn start_refused(&mut self, error: i32, calls: u32, after: i32) -> u32 {
        let data = self.folder.path().join("data");
        let disk = Disk::new(&data, "disk");
        disk.refuse(error, calls, "", after, -1);
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["serve", "--listen=127.0.0.1:0", PUBLIC_URL, "--data"]).arg(&data).env_remove("FREEHOLD_DATABASE_URL");
        command.envs(disk.environment()).env("FREEHOLD_LEDGER", data.join("ledger")).stdin(Stdio::null());
        command.envs(self.database_url.as_ref().map(|url| ("FREEHOLD_DATABASE_URL", url)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let (mut lines, mut errors) = (BufReader::new(child.stdout.take().unwrap()).lines(), child.stderr.take().unwrap());
        let ends = async {
            let is_up = lines.next_line().await.unwrap().is_some();
            if is_up {
                // The ledger's thread writes beside the start.
                if after == 0 {
                    until("a call is refused", async || disk.refused() > 0).await;
                }
                child.kill().await.unwrap();
            }
            let (status, mut words) = (child.wait().await.unwrap(), String::new());
            errors.read_to_string(&mut words).await.unwrap();
            (is_up, status, words)
        };
        let (is_up, status, words) = tokio::time::timeout(PATIENCE, ends).await.expect("a start comes to its end");
        assert!(is_up || status.code() == Some(1), "{status}: {words}");
        assert!(!words.contains("panicked"), "{words}");
        self.refused_calls += disk.refused();
        disk.refused()
    }
}

async fn ready(server: &Server) -> (StatusCode, String) {
    let answer = server.request(Method::GET, "/health/ready").send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

on_both_engines! {
    async fn no_deletion_is_shown_before_the_disk_has_its_line_of_the_ledger(engine: Engine) {
        let mut drill = Drill::prepare(engine).await;
        let (mut server, disk, organization, token) = drill.start().await;
        let customer = server.new_customer(&organization, &token).await;
        let own = format!("/api/organizations/{}", organization.id);
        disk.hold(SYNC, "ledger/");
        let send = |request: reqwest::RequestBuilder| tokio::spawn(async move { request.send().await.unwrap() });
        let deletion = send(server.request(Method::DELETE, &format!("{own}/customers/{customer}")).bearer_auth(&token));
        until("its line is held", async || disk.refused() > 0).await;
        let looks = ["/api/deletions".to_owned(), format!("{own}/audit")];
        let looks: Vec<_> = looks.map(|list| send(server.request(Method::GET, &list).bearer_auth(&token))).into();
        // Shorter than they wait for a disk that takes nothing.
        let early = tokio::time::timeout(Duration::from_secs(2), futures_util::future::select_all(looks)).await;
        assert!(early.is_err(), "a list was answered before");
        disk.allow();
        assert_eq!(deletion.await.unwrap().status(), StatusCode::NO_CONTENT);
        let shown = expect(server.request(Method::GET, "/api/deletions").bearer_auth(&token), StatusCode::OK).await;
        assert_eq!(shown["data"][0]["root"], "customer", "{shown}");
        server.stop().await;
    }

    async fn a_disk_that_refuses_takes_back_nothing_that_was_answered(engine: Engine) {
        let mut drill = Drill::prepare(engine).await;
        let database = DATABASE.iter().filter(|_| engine == Engine::Sqlite);
        let cases: Vec<Case> = database.chain(&LEDGER).copied().collect();
        for round in 0..rounds() {
            for (number, case) in cases.iter().enumerate() {
                println!("{engine:?}: {case:?}");
                drill.case(round * cases.len() + number, *case).await;
            }
        }
        let (gone, there) = drill.known.counts();
        println!(
            "{engine:?}: {} calls of {} cases were refused, and {} requests with 503 beside {} that were done: of {gone} deletions that were \
             answered none is undone, of {there} that must be there none is lost",
            drill.refused_calls, cases.len() * rounds(), drill.refused_requests, drill.done
        );
        assert!(gone > 0 && there > 0 && (engine == Engine::Postgresql || drill.refused_requests > 0));
    }

    async fn an_export_whose_disk_refuses_is_made_when_it_does_no_longer_and_outlives_a_power_failure(engine: Engine) {
        let mut drill = Drill::prepare(engine).await;
        for case in EXPORTS {
            drill.export(case).await;
        }
        println!("{engine:?}: {} calls refused, {} exports made", drill.refused_calls, EXPORTS.len());
    }

    async fn a_full_disk_under_the_exports_keeps_them_waiting_and_nothing_else(engine: Engine) {
        let mut drill = Drill::prepare(engine).await;
        let (mut server, disk, organization, token) = drill.start().await;
        // More than is held back before it is written, however well it is packed.
        for _ in 0..40 {
            let path = format!("/api/organizations/{}/customers", organization.id);
            let mut noise = || (0..24).map(|_| format!("{:08x}", drill.chance.number(0..=0xffff_ffff))).collect::<String>();
            let address = json!({"street": noise(), "city": noise(), "region": noise(), "country": noise()});
            let body = json!({"name": "Ada", "email": "ada@example.com", "address": address});
            expect(server.request(Method::POST, &path).bearer_auth(&token).json(&body), StatusCode::CREATED).await;
        }
        let path = format!("/api/organizations/{}/exports", organization.id);
        // The disk is full at the first of its bytes, in the middle, and at the last ones, which are written when all else is done.
        for after in [0, 1] {
            disk.refuse(ENOSPC, WRITE, "exports/", after, -1);
            let export = expect(server.request(Method::POST, &path).bearer_auth(&token), StatusCode::ACCEPTED).await;
            let record = format!("/api/exports/{}", export["id"].as_str().unwrap());
            let read = async || expect(server.request(Method::GET, &record).bearer_auth(&token), StatusCode::OK).await;
            until("the export tells why it waits", async || read().await["error"] != Json::Null).await;
            let waiting = read().await;
            assert!(waiting["state"] != "failed" && waiting["error"].as_str().unwrap().contains("disk of the server is full"), "{waiting}");
            assert!(disk.refused() > 0);
            assert_eq!(ready(&server).await.0, StatusCode::OK);
            server.new_customer(&organization, &token).await;
            let early = server.request(Method::GET, &format!("{record}/download")).bearer_auth(&token).send().await.unwrap();
            assert!(early.status().is_client_error(), "{}", early.status());
            disk.allow();
            until("the export is made", async || read().await["state"] == "done").await;
            let answer = server.request(Method::GET, &format!("{record}/download")).bearer_auth(&token).send().await.unwrap();
            assert!(Archive::unpack(answer.bytes().await.unwrap().to_vec()).counts()["customers"] > 40);
        }
        // One that the stop meets while the disk is full is left to the next start.
        disk.refuse(ENOSPC, WRITE, "exports/", 1, -1);
        expect(server.request(Method::POST, &path).bearer_auth(&token), StatusCode::ACCEPTED).await;
        until("a write is refused", async || disk.refused() > 0).await;
        server.stop().await;
        for line in server.log().lines() {
            assert!(line.starts_with("20") && line.contains('Z'), "no line of the log: {line}");
        }
    }

    async fn a_start_whose_disk_refuses_says_so_and_the_next_one_finds_what_it_needs(engine: Engine) {
        let mut drill = Drill::prepare(engine).await;
        let (mut server, disk, organization, token) = drill.start().await;
        let mut load = Load::begin(&server, &organization, &token, &disk, "before");
        load.wait(60).await;
        load.end().await;
        server.stop().await;
        server.note_altered();
        let history = disk.history();
        drill.known = drill.known.and(history.told(history.moments()));
        drill.go_on_from(&server);
        for error in [EIO, ENOSPC] {
            // With PostgreSQL a start renames, removes and shortens no file.
            let names = (engine == Engine::Sqlite).then_some(RENAME | UNLINK | TRUNCATE);
            for calls in [WRITE, SYNC, OPEN, WRITE | SYNC | OPEN].into_iter().chain(names) {
                // The first of them, and one by chance.
                let mut refused = drill.start_refused(error, calls, 0).await;
                for _ in 0..rounds() {
                    let after = i32::try_from(drill.chance.number(1..=12)).unwrap();
                    refused += drill.start_refused(error, calls, after).await;
                }
                println!("{engine:?}: {refused} calls of the kinds {calls} refused with {error}");
                assert!(refused > 0, "no start makes calls of the kinds {calls}");
            }
        }
        let (server, ..) = drill.start().await;
        drill.known.check(&server, &organization).await;
        let (gone, there) = drill.known.counts();
        println!("{engine:?}: {} calls refused while it started: none of {gone} and {there} is otherwise than answered", drill.refused_calls);
        assert!(gone > 0 && there > 0);
    }
}
