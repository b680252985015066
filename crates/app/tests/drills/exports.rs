//! Exports of large organizations: the process is killed in the middle of one again and again, and it comes to its end with every row; and
//! the memory of the server does not grow with what it exports.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::bulk::{Filling, fill, make_users};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::store::Store;
use crate::support::archive::Archive;
use crate::support::{Engine, Server, SignedIn, expect};

/// One less than an export may be begun before it has failed.
const KILLS: usize = 4;
const LARGE: Filling = Filling { number: 1, customers: 8_000, dependants: 10_000 };
const LARGER: Filling = Filling { number: 1, customers: 20_000, dependants: 30_000 };
/// What an export may need beyond what the idle server has.
const MOST_MEMORY_KIB: u64 = 64 * 1024;

on_both_engines! {
    async fn an_export_that_is_killed_again_and_again_comes_to_its_end_with_every_row(server: Server) {
        let mut drill = Drill::prepare(server, LARGE).await;
        let export = drill.order().await;
        let (mut kills, mut chance) = (0, Chance::new(7));
        while kills < KILLS {
            while drill.state(&export).await == "waiting" {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_micros(chance.number(0..=400_000))).await;
            drill.server.kill().await;
            let (state, is_there) = (drill.stored_state().await, drill.archive(&export).exists());
            drill.server.start_again().await;
            if state == "done" {
                assert!(is_there, "it is said to be done and there is no archive");
                break;
            }
            kills += 1;
        }
        assert!(kills >= 2, "only {kills} kills hit the export");
        drill.wait_until_done(&export).await;
        let archive = drill.download(&export).await;
        let mut counts = drill.store().await.counts(drill.organization).await;
        counts.insert("organizations".into(), 1);
        // The download itself is in the trail since then.
        *counts.get_mut("audit_entries").unwrap() -= 1;
        assert_eq!(archive.counts(), counts);
        assert_eq!(lines(&archive), counts);
        // The drafts of those that were killed go.
        while drill.server.exported_files().len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("{:?}: {kills} kills", drill.server.engine);
    }

    async fn the_memory_of_the_server_does_not_grow_with_what_it_exports(server: Server) {
        let mut drill = Drill::prepare(server, LARGER).await;
        // As it is after some work, and with nothing to do.
        for _ in 0..200 {
            expect(drill.request(Method::GET, &format!("/api/organizations/{}/customers", drill.organization)), StatusCode::OK).await;
        }
        let idle = drill.memory();
        let export = drill.order().await;
        let mut most = idle;
        while drill.state(&export).await != "done" {
            most = most.max(drill.memory());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let record = expect(drill.request(Method::GET, &format!("/api/exports/{export}")), StatusCode::OK).await;
        println!("{:?}: {} rows, {} KiB idle, {} KiB at the most", drill.server.engine, record["rowsDone"], idle, most);
        assert!(record["rowsDone"].as_i64().unwrap() > 200_000, "{record}");
        assert!(most - idle <= MOST_MEMORY_KIB, "{idle} KiB became {most} KiB");
    }
}

fn lines(archive: &Archive) -> BTreeMap<String, i64> {
    let tables = archive.files.iter().filter_map(|(name, bytes)| Some((name.strip_suffix(".ndjson")?, bytes)));
    tables.map(|(table, bytes)| (table.to_owned(), bytes.iter().filter(|byte| **byte == b'\n').count() as i64)).collect()
}

struct Drill {
    server: Server,
    owner: SignedIn,
    organization: Uuid,
}

impl Drill {
    async fn prepare(mut server: Server, filling: Filling) -> Drill {
        let organization = server.new_organization().await;
        let owner = server.sign_in_fully(&organization.owner.email, None).await;
        let id: Uuid = organization.id.parse().unwrap();
        server.kill().await;
        let store = Store::open_to_change(&server).await;
        make_users(&store).await;
        fill(&store, id, filling).await;
        drop(store);
        server.start_again().await;
        Drill { server, owner, organization: id }
    }

    async fn store(&self) -> Store {
        Store::open_to_change(&self.server).await
    }

    /// With a cookie: the issuer of tokens is the server's address, which changes with every start.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).header("cookie", &self.owner.cookie)
    }

    async fn order(&self) -> String {
        let request = self.request(Method::POST, &format!("/api/organizations/{}/exports", self.organization));
        expect(request, StatusCode::ACCEPTED).await["id"].as_str().unwrap().to_owned()
    }

    async fn state(&self, export: &str) -> String {
        let record: Json = expect(self.request(Method::GET, &format!("/api/exports/{export}")), StatusCode::OK).await;
        assert!(record["state"] != "failed" && record["state"] != "expired", "{record}");
        record["state"].as_str().unwrap().to_owned()
    }

    async fn wait_until_done(&self, export: &str) {
        while self.state(export).await != "done" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The state in the database of a server that is down.
    async fn stored_state(&self) -> String {
        let [[state]] = self.store().await.texts::<1>("SELECT state FROM exports WHERE root = 'organization'").await.try_into().unwrap();
        state
    }

    fn archive(&self, export: &str) -> std::path::PathBuf {
        self.server.exports_folder().join(format!("{export}.zip"))
    }

    async fn download(&self, export: &str) -> Archive {
        let answer = self.request(Method::GET, &format!("/api/exports/{export}/download")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Archive::unpack(answer.bytes().await.unwrap().to_vec())
    }

    /// What the server has in memory, in KiB.
    fn memory(&mut self) -> u64 {
        let process = self.server.process().id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
