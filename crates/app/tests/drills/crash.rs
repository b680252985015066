//! The process is killed the hard way fifty times, in the middle of drains and around the requests that order them. Every doomed
//! organization ends completed, with exact counts and no row left; no other rows change by a byte.

use std::collections::BTreeMap;
use std::time::Duration;

use plane::deletions::Root;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::bulk::{Filling, fill, make_users};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::store::{Store, assert_same};
use crate::support::{Engine, Server, SignedIn, expect};

const KILLS: usize = 50;
/// With members, keys and the rest this makes more than 60,000 rows an organization.
const DOOMED: Filling = Filling { number: 0, customers: 8_000, dependants: 10_000 };
const NEIGHBOUR: Filling = Filling { number: 1, customers: 300, dependants: 400 };

on_both_engines! {
    async fn a_drain_that_is_killed_fifty_times_loses_nothing_and_touches_no_other(server: Server) {
        let mut drill = Drill::prepare(server).await;
        let before = drill.store().await.rows_outside(&[]).await;
        while drill.kills() < KILLS {
            let doomed = drill.make_doomed().await;
            drill.order(&doomed).await;
            drill.drain(&doomed).await;
            drill.check(&doomed).await;
        }
        let ids: Vec<Uuid> = drill.doomed.clone();
        assert_same(&before, &drill.store().await.rows_outside(&ids).await);
        drill.report();
    }
}

/// An organization that is to go.
struct Doomed {
    id: Uuid,
    /// What its receipt must say.
    counts: BTreeMap<String, i64>,
}

/// The deletion's row, as far as it matters here.
struct Progress {
    id: String,
    state: String,
    place: String,
    lease_left: Duration,
}

struct Drill {
    server: Server,
    owner: SignedIn,
    chance: Chance,
    doomed: Vec<Uuid>,
    /// Where the kills hit.
    hits: BTreeMap<String, usize>,
}

impl Drill {
    async fn prepare(mut server: Server) -> Drill {
        let neighbour = server.new_organization().await;
        let owner = server.sign_in_fully(&server.new_person().await.email, None).await;
        server.kill().await;
        let store = Store::open_to_change(&server).await;
        make_users(&store).await;
        fill(&store, neighbour.id.parse().unwrap(), NEIGHBOUR).await;
        drop(store);
        // A start encrypts the secrets that were filled in.
        server.start_again().await;
        server.kill().await;
        let seed = match server.engine {
            Engine::Sqlite => 1,
            Engine::Postgresql => 2,
        };
        Drill { server, owner, chance: Chance::new(seed), doomed: Vec::new(), hits: BTreeMap::new() }
    }

    fn kills(&self) -> usize {
        self.hits.values().sum()
    }

    async fn store(&self) -> Store {
        Store::open_to_change(&self.server).await
    }

    /// With a cookie: the issuer of tokens is the server's address, which changes with every start.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).header("cookie", &self.owner.cookie)
    }

    /// Makes an organization and fills it while the server is down.
    async fn make_doomed(&mut self) -> Doomed {
        self.server.start_again().await;
        let body = json!({"name": "Doomed", "slug": format!("doomed-{}", self.doomed.len())});
        let made = expect(self.request(Method::POST, "/api/organizations").json(&body), StatusCode::CREATED).await;
        let id: Uuid = made["id"].as_str().unwrap().parse().unwrap();
        self.doomed.push(id);
        self.server.kill().await;
        let store = self.store().await;
        fill(&store, id, Filling { number: self.doomed.len() as u64 + 1, ..DOOMED }).await;
        let mut counts = store.counts(id).await;
        for table in ["audit_entries", "deletions"] {
            let query = format!("SELECT count(*) FROM {table} WHERE organization_id = {} AND subject_label IS NOT NULL", store.uuid(id));
            counts.insert(table.to_owned(), store.number(&query).await);
        }
        assert!(counts.values().sum::<i64>() > 60_000 && counts.values().all(|count| *count > 0), "{counts:?}");
        drop(store);
        self.server.start_again().await;
        Doomed { id, counts }
    }

    /// Orders the deletion and kills the server around the request, until it has been accepted.
    async fn order(&mut self, doomed: &Doomed) {
        for attempt in 0.. {
            let request = self.request(Method::DELETE, &format!("/api/organizations/{}", doomed.id));
            let sent = tokio::spawn(request.send());
            // Each attempt has twice the time of the one before: a server that has just started takes its time over the first request.
            self.wait(0..=8_000 << attempt).await;
            self.server.kill().await;
            let accepted = matches!(sent.await.unwrap(), Ok(answer) if answer.status() == StatusCode::NO_CONTENT);
            let answer = if accepted { "answered" } else { "not answered" };
            if let Some(progress) = self.progress(doomed).await {
                self.hit(format!("around the request, {answer}: {}", progress.state));
                return;
            }
            assert!(!accepted, "the deletion was answered and then lost");
            self.hit(format!("around the request, {answer}: not deleted at all"));
            let store = self.store().await;
            // Both in one look: PostgreSQL may be committing what the server has sent before it was killed.
            let query = format!(
                "SELECT count(*) FROM organizations
                 WHERE id = {id} AND (state = 'live' OR EXISTS (SELECT 1 FROM deletions WHERE organization_id = {id} AND subject_id = {id}))",
                id = store.uuid(doomed.id)
            );
            assert_eq!(store.number(&query).await, 1, "the deletion has no row and the organization is marked");
            drop(store);
            self.server.start_again().await;
        }
    }

    /// Lets the deletion come to its completion. Each start of the server is killed after a moment, while there are kills left.
    async fn drain(&mut self, doomed: &Doomed) {
        loop {
            let progress = self.progress(doomed).await.unwrap();
            if progress.state == "completed" {
                return;
            }
            // The worker that was killed still holds its lease: until that is over the next one would do nothing that could be hit.
            tokio::time::sleep(progress.lease_left).await;
            self.server.start_again().await;
            if self.kills() < KILLS {
                self.wait(5_000..=120_000).await;
                self.server.kill().await;
                let progress = self.progress(doomed).await.unwrap();
                self.hit(progress.place);
            } else {
                self.wait_for_completion(&progress.id).await;
                self.server.kill().await;
            }
        }
    }

    /// The random moment that a drill of crashes is about: there is no event to wait for.
    async fn wait(&mut self, micros: std::ops::RangeInclusive<u64>) {
        let moment = Duration::from_micros(self.chance.number(micros));
        tokio::time::sleep(moment).await;
    }

    fn hit(&mut self, place: String) {
        *self.hits.entry(place).or_default() += 1;
    }

    async fn progress(&self, doomed: &Doomed) -> Option<Progress> {
        let store = self.store().await;
        let (id, micros) = match store {
            Store::Sqlite(_) => ("lower(hex(id))", "lease_until"),
            Store::Postgresql(_) => ("id::text", "(extract(epoch FROM lease_until) * 1000000)::bigint"),
        };
        let query = format!(
            "SELECT {id}, state, cast(stage AS text), coalesce(cast({micros} AS text), '0')
             FROM deletions WHERE organization_id = {} AND root = 'organization'",
            store.uuid(doomed.id)
        );
        let [id, state, stage, lease] = store.texts::<4>(&query).await.pop()?;
        let left = lease.parse::<i64>().unwrap() - jiff::Timestamp::now().as_microsecond();
        let table = Root::Organization.rules().get(stage.parse::<usize>().unwrap()).map_or("the completion", |rule| rule.table);
        let place = if state == "completed" { state.clone() } else { format!("{state}, before {table}") };
        Some(Progress { id, state, place, lease_left: Duration::from_micros(u64::try_from(left).unwrap_or(0)) })
    }

    async fn wait_for_completion(&self, deletion: &str) {
        let id: Uuid = deletion.parse().unwrap();
        let path = format!("/api/deletions/{id}");
        while expect(self.request(Method::GET, &path), StatusCode::OK).await["state"] != "completed" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The receipt says what was there, and nothing is there any more.
    async fn check(&self, doomed: &Doomed) {
        let store = self.store().await;
        let query = format!(
            "SELECT cast(counts AS text) FROM deletions WHERE organization_id = {} AND root = 'organization'",
            store.uuid(doomed.id)
        );
        let [[counts]] = store.texts::<1>(&query).await.try_into().unwrap();
        let counts: BTreeMap<String, Json> = serde_json::from_str(&counts).unwrap();
        let counts: BTreeMap<String, i64> = counts.into_iter().map(|(table, count)| (table, count.as_i64().unwrap())).collect();
        assert_eq!(counts, doomed.counts);
        assert_eq!(store.mentions(doomed.id).await, Vec::<String>::new());
        for table in ["audit_entries", "deletions"] {
            let query =
                format!("SELECT count(*) FROM {table} WHERE organization_id = {} AND subject_label IS NOT NULL", store.uuid(doomed.id));
            assert_eq!(store.number(&query).await, 0, "labels are left in {table}");
        }
    }

    fn report(&self) {
        let engine = self.server.engine;
        println!("{engine:?}: {} kills over {} deletions of more than 60,000 rows each:", self.kills(), self.doomed.len());
        for (place, kills) in &self.hits {
            println!("{engine:?}: {kills:>3} {place}");
        }
    }
}
