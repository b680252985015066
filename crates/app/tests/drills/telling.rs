//! Webhooks whose receiver fails in every way while the server is killed again and again: what was acknowledged is told, in the order in which
//! it happened, and a receiver that remembers ids takes it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::chance::Chance;
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::waiting::until;

/// What lets a server call receivers on this machine.
const ALLOW: &str = "--webhook-allow=127.0.0.0/8";
/// Customers that are made, changed and deleted before each kill, and after the last.
const CUSTOMERS: usize = 30;

/// Kills of the server on the way.
fn kills() -> usize {
    std::env::var("FREEHOLD_TEST_TELLING_KILLS").map_or(3, |number| number.parse().unwrap())
}

/// How a call is answered after its event was taken note of, or instead of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Takes,
    /// It takes it, and breaks the connection before it says so.
    TakesAndBreaks,
    Refuses(u16),
    /// It breaks the connection.
    Breaks,
}

/// What an idempotent receiver knows.
#[derive(Debug, Default)]
struct Known {
    /// How often it was asked to take each event.
    asked: BTreeMap<String, u32>,
    /// The events that it took, in the order in which it took them.
    taken: Vec<Json>,
    ids: BTreeSet<String>,
    repeats: usize,
}

struct Receiver {
    url: String,
    known: Arc<Mutex<Known>>,
}

impl Receiver {
    async fn open(chance: Chance) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (known, chance) = (Arc::new(Mutex::new(Known::default())), Arc::new(Mutex::new(chance)));
        let inside = known.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, inside.clone(), chance.clone()));
            }
        });
        Receiver { url, known }
    }
}

/// Reads one request and answers it. A connection is used once.
async fn answer(mut stream: TcpStream, known: Arc<Mutex<Known>>, chance: Arc<Mutex<Chance>>) {
    let mut request = Vec::new();
    let body = loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        if body.len() >= length {
            break (head.lines().find_map(|line| line.strip_prefix("webhook-id: ")).unwrap().to_owned(), body.to_owned());
        }
    };
    let (id, body) = body;
    let way = {
        let mut known = known.lock().unwrap();
        let asked = known.asked.entry(id.clone()).or_default();
        *asked += 1;
        // Not for ever: the pauses become long.
        let fails = *asked <= 2 && chance.lock().unwrap().number(0..=9) < 5;
        let ways = [
            Way::TakesAndBreaks,
            Way::Refuses(400),
            Way::Refuses(402),
            Way::Refuses(404),
            Way::Refuses(409),
            Way::Refuses(429),
            Way::Refuses(500),
            Way::Breaks,
        ];
        let way = if fails { ways[usize::try_from(chance.lock().unwrap().number(0..=7)).unwrap()] } else { Way::Takes };
        if matches!(way, Way::Takes | Way::TakesAndBreaks) {
            match known.ids.insert(id) {
                true => known.taken.push(serde_json::from_str(&body).unwrap()),
                false => known.repeats += 1,
            }
        }
        way
    };
    let status = match way {
        Way::Takes => 204,
        Way::Refuses(status) => status,
        Way::TakesAndBreaks | Way::Breaks => return,
    };
    let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await;
}

/// Makes, changes and deletes a customer, each again until it is answered. Returns the deletion.
async fn life(server: &Server, organization: &Organization, token: &str, customer: &str) -> String {
    let path = format!("/api/organizations/{}/customers", organization.id);
    let own = format!("{path}/{customer}");
    let (made, renamed) = (json!({"id": customer, "name": "Ada", "email": "ada@example.com"}), json!({"name": "Grace"}));
    let steps = [(Method::POST, &path, Some(made)), (Method::PUT, &own, Some(renamed)), (Method::DELETE, &own, None)];
    let mut deletion = String::new();
    for (method, path, body) in steps {
        let key = format!("{method}-{customer}");
        loop {
            let request = server.request(method.clone(), path).bearer_auth(token).header("Idempotency-Key", &key);
            let request = body.iter().fold(request, |request, body| request.json(body));
            if let Ok(answer) = request.send().await
                && answer.status().is_success()
            {
                if let Some(id) = answer.headers().get("deletion-id") {
                    deletion = id.to_str().unwrap().to_owned();
                }
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    deletion
}

/// Each customer's end was told, in order, and nothing twice.
fn check(engine: Engine, kills: usize, known: &Known, deletions: &BTreeMap<String, String>) {
    let wanted = deletions.len();
    // By what an event is about: the customer's reference, or that of the deletion.
    let mut told: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
    for event in &known.taken {
        let data = &event["data"];
        let about = match event["type"].as_str().unwrap() {
            "deletion.started" | "deletion.completed" => deletions[data["id"].as_str().unwrap()].as_str(),
            _ => data["id"].as_str().unwrap(),
        };
        told.entry(about).or_default().push((event["sequence"].as_i64().unwrap(), event["type"].as_str().unwrap()));
    }
    assert_eq!(told.len(), wanted);
    for (customer, told) in &told {
        assert!(told.is_sorted(), "{customer} was told out of order: {told:?}");
        let last: Vec<&str> = told.iter().rev().take(3).rev().map(|(_, name)| *name).collect();
        assert_eq!(last, ["customer.deleted", "deletion.started", "deletion.completed"], "{customer}");
    }
    println!(
        "{engine:?}: {wanted} customers were made, changed and deleted, {kills} kills; {} events were taken once each, {} of them offered again",
        known.taken.len(),
        known.repeats
    );
}

on_both_engines! {
    async fn what_is_deleted_is_told_in_order_through_failing_receivers_and_kills(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW, "--public-url=http://localhost:3001"]).await;
        let organization = server.new_organization().await;
        let receiver = Receiver::open(Chance::new(41)).await;
        let path = format!("/api/organizations/{}/webhooks", organization.id);
        let events = ["customer.created", "customer.updated", "customer.deleted", "deletion.started", "deletion.completed"];
        let body = json!({"url": receiver.url, "events": events});
        expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        let mut deletions = BTreeMap::new();
        let kills = kills();
        for part in 0..=kills {
            let token = server.sign_in(&organization.owner.email, None).await;
            let names: Vec<String> = (0..CUSTOMERS).map(|number| format!("customer-{part}-{number}")).collect();
            let lives = names.iter().map(|name| life(&server, &organization, &token, name));
            deletions.extend(join_all(lives).await.into_iter().zip(names.clone()));
            if part < kills {
                server.kill().await;
                server.start_again().await;
            }
        }
        let token = server.sign_in(&organization.owner.email, None).await;
        for id in deletions.keys() {
            let record = server.wait_for_completion(id, &token).await;
            assert_eq!(record["effects"], json!({"webhooks": {"delivered": 2, "failed": 0}}), "{id}");
        }
        let wanted = deletions.len();
        let all_told = async || {
            let known = receiver.known.lock().unwrap();
            known.taken.iter().filter(|event| event["type"] == "deletion.completed").count() >= wanted
        };
        until("every completion is told", all_told).await;
        check(engine, kills, &receiver.known.lock().unwrap(), &deletions);
        server.stop().await;
    }
}
