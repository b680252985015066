//! The server is killed in the middle of deletions, and time and again put back to a backup from before them, the last one or an older one. What
//! was answered stays done, and nothing else is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Mutex;

use crate::chance::Chance;
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};

/// Tokens are of an address, and the port is another after each start.
const PUBLIC_URL: &str = "--public-url=http://localhost:3001";
/// Customers and keys that are made in each round. Two of three are deleted, if there is time.
const CUSTOMERS: usize = 120;
const KEYS: usize = 6;
const WORKERS: usize = 3;

/// How often the server is killed; more with the variable, as `cargo xtask faults` sets it.
fn rounds() -> usize {
    std::env::var("FREEHOLD_TEST_RESTORES").map_or(6, |number| number.parse().unwrap())
}

/// What there is, and what was answered.
#[derive(Default)]
struct Known {
    /// Customers and keys that no request was to delete, by the round in which they were made; keys with their secrets.
    kept: BTreeMap<usize, (BTreeSet<String>, Vec<String>)>,
    /// Those whose deletion was answered.
    gone: BTreeSet<String>,
    ended: Vec<String>,
}

on_both_engines! {
    async fn what_was_answered_stays_done_through_kills_and_restores(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        let mut chance = Chance::new(11);
        let (mut known, mut restores) = (Known::default(), 0);
        let backup = |round: usize| folder.path().join(format!("{round}.db"));
        for round in 0..rounds() {
            let token = server.sign_in(&organization.owner.email, None).await;
            let (customers, keys) = make(&server, &organization, &token, round).await;
            let (spared, doomed) = customers.split_at(CUSTOMERS / 3);
            let (kept_keys, doomed_keys) = keys.split_at(KEYS / 2);
            let secrets = kept_keys.iter().map(|(_, secret)| secret.clone()).collect();
            known.kept.insert(round, (spared.iter().cloned().collect(), secrets));
            // Half of the backups are of a moment in the middle of the deletions.
            let is_early = chance.number(0..=1) == 0;
            if is_early {
                back_up(&server, &backup(round)).await;
            }
            let deleting = begin_to_delete(&server, &organization, &token, doomed, doomed_keys);
            if !is_early {
                back_up(&server, &backup(round)).await;
            }
            tokio::time::sleep(Duration::from_micros(chance.number(2_000..=250_000))).await;
            server.kill().await;
            let (gone, ended) = deleting.await;
            known.gone.extend(gone);
            known.ended.extend(ended);
            match chance.number(0..=2) {
                0 => server.start_again().await,
                older => {
                    let from = round.saturating_sub(usize::try_from(older).unwrap() - 1);
                    server = server.start_restored(engine, &backup(from)).await;
                    // What was made since is not there, and no record says that it is deleted.
                    known.kept.retain(|made, _| *made <= from);
                    restores += 1;
                }
            }
            check(&server, &organization, &known).await;
        }
        let (gone, ended) = (known.gone.len(), known.ended.len());
        println!("{engine:?}: {} kills, {restores} restores: of {gone} deletions and {ended} revoked keys that were answered none is undone", rounds());
        assert!(gone > 0 && ended > 0, "no deletion was answered");
    }
}

async fn back_up(server: &Server, file: &std::path::Path) {
    let (code, _, words) = server.command(&["backup", file.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{words}");
}

async fn make(server: &Server, organization: &Organization, token: &str, round: usize) -> (Vec<String>, Vec<(String, String)>) {
    let (mut customers, mut keys) = (Vec::new(), Vec::new());
    let path = format!("/api/organizations/{}/customers", organization.id);
    for number in 0..CUSTOMERS {
        let id = format!("c-{round}-{number}");
        let body = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
        expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        customers.push(id);
    }
    for _ in 0..KEYS {
        keys.push(server.new_api_key(organization, token, &["read:customers"]).await);
    }
    (customers, keys)
}

/// Deletes customers and keys until the server is gone. What it returns ends then, with those whose deletion was answered; keys by their secrets.
fn begin_to_delete(
    server: &Server,
    organization: &Organization,
    token: &str,
    customers: &[String],
    keys: &[(String, String)],
) -> impl Future<Output = (Vec<String>, Vec<String>)> + use<> {
    let base = format!("{}/api/organizations/{}", server.url, organization.id);
    let mut all: Vec<(String, Option<String>)> = customers.iter().map(|customer| (format!("{base}/customers/{customer}"), None)).collect();
    for (place, (id, secret)) in keys.iter().enumerate() {
        all.insert(place * 5, (format!("{base}/api-keys/{id}"), Some(secret.clone())));
    }
    all.reverse();
    let (left, answered) = (Arc::new(Mutex::new(all)), Arc::new(Mutex::new((Vec::new(), Vec::new()))));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (client, token, left, answered) = (server.client.clone(), token.to_owned(), left.clone(), answered.clone());
            tokio::spawn(async move {
                loop {
                    let Some((url, secret)) = left.lock().await.pop() else { return };
                    match client.delete(&url).bearer_auth(&token).send().await {
                        Ok(answer) => {
                            assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{url}");
                            let mut answered = answered.lock().await;
                            match secret {
                                Some(secret) => answered.1.push(secret),
                                None => answered.0.push(url.rsplit('/').next().unwrap().to_owned()),
                            }
                        }
                        // The server is gone, and it is unknown whether this one was done.
                        Err(_) => return,
                    }
                }
            })
        })
        .collect();
    async move {
        for worker in workers {
            worker.await.unwrap();
        }
        std::mem::take(&mut *answered.lock().await)
    }
}

async fn check(server: &Server, organization: &Organization, known: &Known) {
    let path = format!("/api/organizations/{}/customers", organization.id);
    let status = async |key: &str| server.request(Method::GET, &path).header("X-API-Key", key).send().await.unwrap().status();
    // The first requests that it answers.
    for key in &known.ended {
        assert_eq!(status(key).await, StatusCode::UNAUTHORIZED);
    }
    for key in known.kept.values().flat_map(|(_, keys)| keys) {
        assert_eq!(status(key).await, StatusCode::OK);
    }
    let token = server.sign_in(&organization.owner.email, None).await;
    let mut there = BTreeSet::new();
    for page in 1.. {
        let part = server.request(Method::GET, &format!("{path}?page={page}&page_size=100")).bearer_auth(&token);
        let part = expect(part, StatusCode::OK).await;
        let part = part["data"].as_array().unwrap().iter().map(|customer| customer["id"].as_str().unwrap().to_owned());
        let before = there.len();
        there.extend(part);
        if there.len() < before + 100 {
            break;
        }
    }
    let undone: Vec<_> = known.gone.intersection(&there).collect();
    assert!(undone.is_empty(), "there again: {undone:?}");
    let lost: Vec<_> = known.kept.values().flat_map(|(customers, _)| customers.difference(&there)).collect();
    assert!(lost.is_empty(), "gone without having been deleted: {lost:?}");
}
