//! People who make and delete, and what they were told: kept in the disk's journal, and held against what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;

use super::Disk;
use crate::store::Store;
use crate::support::{Organization, Server, expect, header};
use crate::waiting::until;

const WORKERS: usize = 4;

/// What was told, by what it is about.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Customers by their ids, organizations by theirs, keys by their secrets: the last that was told of each.
    said: BTreeMap<(Kind, String), Said>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Customer,
    Organization,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Made, and not asked to go.
    There,
    /// Asked to go, and not answered.
    Asked,
    /// Its deletion was answered.
    Gone,
}

impl Kind {
    const ALL: [(Kind, &'static str); 3] = [(Kind::Customer, "customer"), (Kind::Organization, "organization"), (Kind::Key, "key")];

    fn name(self) -> &'static str {
        Kind::ALL[self as usize].1
    }
}

impl Known {
    /// With what was told since.
    pub fn and<'a>(&self, told: impl Iterator<Item = &'a str>) -> Known {
        let mut known = self.clone();
        for line in told {
            let [said, kind, name] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            let said = match said {
                "there" => Said::There,
                "asked" => Said::Asked,
                "gone" => Said::Gone,
                other => panic!("{other}"),
            };
            let kind = Kind::ALL.iter().find(|(_, name)| *name == kind).unwrap().0;
            known.said.insert((kind, name.to_owned()), said);
        }
        known
    }

    fn which(&self, kind: Kind, said: Said) -> impl Iterator<Item = &str> {
        self.said.iter().filter(move |((of, _), was)| *of == kind && **was == said).map(|((_, name), _)| name.as_str())
    }

    /// Deletions that were answered, and what was made and must be there.
    pub fn counts(&self) -> (usize, usize) {
        let count = |said| self.said.values().filter(|was| **was == said).count();
        (count(Said::Gone), count(Said::There))
    }

    /// What was answered is so, and nothing of what is gone is left anywhere.
    pub async fn check(&self, server: &Server, organization: &Organization) {
        let path = format!("/api/organizations/{}/customers", organization.id);
        let with_key = async |key: &str| server.request(Method::GET, &path).header("X-API-Key", key).send().await.unwrap().status();
        // The first requests that it answers.
        for key in self.which(Kind::Key, Said::Gone) {
            assert_eq!(with_key(key).await, StatusCode::UNAUTHORIZED, "a key is good again");
        }
        for key in self.which(Kind::Key, Said::There) {
            assert_eq!(with_key(key).await, StatusCode::OK, "a key is good no more");
        }
        let token = server.sign_in(&organization.owner.email, None).await;
        for (said, wanted) in [(Said::Gone, StatusCode::NOT_FOUND), (Said::There, StatusCode::OK)] {
            for id in self.which(Kind::Organization, said) {
                expect(server.request(Method::GET, &format!("/api/organizations/{id}")).bearer_auth(&token), wanted).await;
            }
        }
        let mut there = BTreeSet::new();
        for page in 1.. {
            let part = server.request(Method::GET, &format!("{path}?page={page}&page_size=100")).bearer_auth(&token);
            let part = expect(part, StatusCode::OK).await;
            let part = part["data"].as_array().unwrap();
            there.extend(part.iter().map(|customer| customer["id"].as_str().unwrap().to_owned()));
            if part.len() < 100 {
                break;
            }
        }
        let undone: Vec<_> = self.which(Kind::Customer, Said::Gone).filter(|id| there.contains(*id)).collect();
        assert!(undone.is_empty(), "there again: {undone:?}");
        let lost: Vec<_> = self.which(Kind::Customer, Said::There).filter(|id| !there.contains(*id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        self.sweep(server).await;
    }

    /// Once all that was begun is completed, no row has anything of who is gone.
    async fn sweep(&self, server: &Server) {
        let store = Store::open(server).await;
        until("every deletion is completed", async || store.number("SELECT count(*) FROM deletions WHERE state <> 'completed'").await == 0)
            .await;
        let marks: BTreeSet<String> = self.which(Kind::Customer, Said::Gone).map(mark).collect();
        for (table, rows) in store.rows_outside(&[]).await {
            for row in rows {
                let found = row.match_indices("Mark<").map(|(at, _)| row[at..].split_inclusive('>').next().unwrap_or_default());
                let found: Vec<_> = found.filter(|found| marks.contains(*found)).collect();
                assert!(found.is_empty(), "{table} has {found:?} still");
            }
        }
    }
}

/// A name that is found wherever it is left.
fn mark(id: &str) -> String {
    format!("Mark<{id}>")
}

/// How requests were answered.
#[derive(Debug, Default)]
pub struct Answers {
    pub done: AtomicU64,
    pub refused: AtomicU64,
}

/// Requests one after the other, from several at once, until they are told to end or the server is gone.
pub struct Load {
    is_over: Arc<AtomicBool>,
    is_paused: Arc<AtomicBool>,
    pub answers: Arc<Answers>,
    workers: Vec<JoinHandle<()>>,
}

struct Worker {
    client: Client,
    base: String,
    token: String,
    organization: String,
    disk: Disk,
    answers: Arc<Answers>,
    name: String,
}

impl Load {
    /// Makes and deletes customers, keys and organizations; `name` sets its ones apart from all others.
    pub fn begin(server: &Server, organization: &Organization, token: &str, disk: &Disk, name: &str) -> Load {
        let (is_over, is_paused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let answers = Arc::new(Answers::default());
        let workers = (0..WORKERS).map(|number| {
            let worker = Worker {
                client: server.client.clone(),
                base: server.url.clone(),
                token: token.to_owned(),
                organization: organization.id.clone(),
                disk: disk.clone(),
                answers: answers.clone(),
                name: format!("{name}-{number}"),
            };
            let (is_over, is_paused) = (is_over.clone(), is_paused.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    while is_paused.load(Ordering::Relaxed) {
                        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                    }
                    if is_over.load(Ordering::Relaxed) || worker.round(number).await.is_none() {
                        return;
                    }
                }
            })
        });
        Load { workers: workers.collect(), is_over, is_paused, answers }
    }

    /// Holds every worker before its next round, or lets them go on.
    pub fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    /// Requests that were answered since it began.
    pub fn answered(&self) -> u64 {
        self.answers.done.load(Ordering::Relaxed) + self.answers.refused.load(Ordering::Relaxed)
    }

    /// Waits until so many were. The drill fails when one of those that ask has ended before.
    pub async fn wait(&mut self, answers: u64) {
        until("so many requests are answered", async || self.answered() >= answers || self.workers.iter().any(JoinHandle::is_finished))
            .await;
        if let Some(ended) = self.workers.iter().position(JoinHandle::is_finished) {
            self.workers.swap_remove(ended).await.unwrap();
            panic!("the server is gone after {} answers", self.answered());
        }
    }

    /// Lets what was begun come to its end.
    pub async fn end(self) -> Arc<Answers> {
        self.is_over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
        self.answers
    }
}

impl Worker {
    /// None when the server is gone.
    async fn round(&self, number: usize) -> Option<()> {
        let organization = format!("/api/organizations/{}", self.organization);
        let id = format!("{}-{number}", self.name);
        let body = json!({"id": id, "name": mark(&id), "email": "ada@example.com", "metadata": {"filler": "x".repeat(number % 400)}});
        let customers = format!("{organization}/customers");
        let made = self.send(Method::POST, &customers, Some(&body)).await?;
        if made.is_some() {
            self.disk.tell(&format!("there customer {id}"));
            if !number.is_multiple_of(3) {
                self.delete(Kind::Customer, &id, &format!("{customers}/{id}")).await?;
            }
        }
        if number.is_multiple_of(5) {
            let keys = format!("{organization}/api-keys");
            if let Some(made) = self.send(Method::POST, &keys, Some(&json!({"name": "Key", "scopes": ["read:customers"]}))).await? {
                let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
                self.disk.tell(&format!("there key {key}"));
                if number.is_multiple_of(2) {
                    self.delete(Kind::Key, key, &format!("{keys}/{id}")).await?;
                }
            }
        }
        if number % 8 == 7 {
            let body = json!({"name": "Doomed", "slug": format!("doomed-{}", uuid::Uuid::new_v4().simple())});
            if let Some(made) = self.send(Method::POST, "/api/organizations", Some(&body)).await? {
                let id = made["id"].as_str().unwrap();
                self.disk.tell(&format!("there organization {id}"));
                self.delete(Kind::Organization, id, &format!("/api/organizations/{id}")).await?;
            }
        }
        Some(())
    }

    async fn delete(&self, kind: Kind, name: &str, path: &str) -> Option<()> {
        self.disk.tell(&format!("asked {} {name}", kind.name()));
        if self.send(Method::DELETE, path, None).await?.is_some() {
            self.disk.tell(&format!("gone {} {name}", kind.name()));
        }
        Some(())
    }

    /// What was answered; nothing when it was refused, which is done with 503 and a time to come again.
    async fn send(&self, method: Method, path: &str, body: Option<&Json>) -> Option<Option<Json>> {
        let mut request: RequestBuilder = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.ok()?;
        let (status, again) = (answer.status(), header(&answer, "retry-after").to_owned());
        let text = answer.text().await.ok()?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(again.parse::<u32>().unwrap() >= 1, "{path}: {text}");
            self.answers.refused.fetch_add(1, Ordering::Relaxed);
            return Some(None);
        }
        assert!(status.is_success(), "{path}: {status} {text}");
        self.answers.done.fetch_add(1, Ordering::Relaxed);
        Some(Some(serde_json::from_str(&text).unwrap_or(Json::Null)))
    }
}
