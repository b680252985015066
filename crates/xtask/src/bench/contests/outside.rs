//! What is told outside: how fast webhooks hear of what happens, what one that does not answer costs the others, and what a long queue costs a
//! deletion.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use hyper::Method;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Call, Connection};
use crate::bench::load::Store;
use crate::bench::report::{Section, Table, Verdict, median, percentile, spread};
use crate::bench::server::{Server, words};

/// How much is done.
struct Effort {
    rounds: usize,
    /// Events one after the other, in each round.
    single: usize,
    /// Events at once.
    many: usize,
    /// Deliveries that wait.
    pending: u64,
}

const FULL: Effort = Effort { rounds: 5, single: 200, many: 8_000, pending: 100_000 };
const QUICK: Effort = Effort { rounds: 2, single: 60, many: 1_500, pending: 20_000 };
/// Webhooks that take part, each of an organization of its own.
const ENDPOINTS: usize = 100;

/// Where deliveries arrive: when each event did for the first time.
struct Receiver {
    url: String,
    arrived: watch::Sender<HashMap<String, Instant>>,
}

impl Receiver {
    async fn open() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(words)?;
        let url = format!("http://{}/hook", listener.local_addr().map_err(words)?);
        let arrived = watch::Sender::new(HashMap::new());
        let router = Router::new().fallback(receive).with_state(arrived.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Receiver { url, arrived })
    }

    /// Waits until so many events have arrived.
    async fn wait_for(&self, count: usize) -> Result {
        let waited = tokio::time::timeout(Duration::from_secs(120), async {
            self.arrived.subscribe().wait_for(|arrived| arrived.len() >= count).await.map(drop)
        });
        let seen = || self.arrived.borrow().len();
        waited.await.map_err(|_| format!("{} of {count} events have arrived", seen()))?.map_err(words)
    }

    fn forget(&self) {
        self.arrived.send_modify(HashMap::clear);
    }
}

async fn receive(State(arrived): State<watch::Sender<HashMap<String, Instant>>>, body: String) -> StatusCode {
    let now = Instant::now();
    let event: Json = serde_json::from_str(&body).unwrap_or_default();
    // The customer's reference: no two events here are about the same one.
    let about = event["data"]["id"].as_str().unwrap_or_default().to_owned();
    arrived.send_modify(|arrived| {
        arrived.entry(about).or_insert(now);
    });
    StatusCode::NO_CONTENT
}

/// Accepts connections and never answers.
async fn silence() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(words)?;
    let url = format!("http://{}/hook", listener.local_addr().map_err(words)?);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    Ok(url)
}

pub(crate) async fn outside(bench: &Bench) -> Result<Vec<Section>> {
    let effort = if bench.quick { QUICK } else { FULL };
    let url = bench.database("outside").await?;
    Ok(vec![on_engine(None, &effort).await?, on_engine(Some(&url), &effort).await?])
}

/// A customer to be made, whose event will arrive.
fn creation(server: &Server, organization: &str, reference: &str) -> Result<Call> {
    let call = Call::new(Method::POST, &format!("/api/organizations/{organization}/customers"))?.bearer(&server.token)?;
    Ok(call.json(&json!({"id": reference, "name": "Ada", "email": "ada@example.com"})))
}

async fn listen(server: &Server, organization: &str, url: &str, event: &str) -> Result {
    let path = format!("/api/organizations/{organization}/webhooks");
    server.send(Method::POST, &path, Some(&json!({"url": url, "events": [event]}))).await.map(drop)
}

async fn on_engine(database_url: Option<&str>, effort: &Effort) -> Result<Section> {
    let engine = if database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    let server = Server::start(database_url, &["--webhook-allow=127.0.0.0/8"]).await?;
    let receiver = Receiver::open().await?;
    let mut homes = Vec::new();
    for number in 0..ENDPOINTS - 1 {
        let home = server.new_organization(&format!("outside-{number}")).await?;
        listen(&server, &home, &receiver.url, "customer.created").await?;
        homes.push(home);
    }
    let dead = server.new_organization("outside-dead").await?;
    listen(&server, &dead, &silence().await?, "customer.created").await?;
    let mut next = 0;
    let (mut idle, mut beside) = (Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for round in 0..effort.rounds {
        let before = waits(&server, &receiver, &homes, &mut next, effort.single).await?;
        // What the dead one is told is tried again and again from here on.
        for number in 0..20 {
            let path = format!("/api/organizations/{dead}/customers");
            let body = json!({"id": format!("dead-{round}-{number}"), "name": "Ada", "email": "ada@example.com"});
            server.send(Method::POST, &path, Some(&body)).await?;
        }
        let meanwhile = waits(&server, &receiver, &homes, &mut next, effort.single).await?;
        ratios.push(percentile(&meanwhile, 99) / percentile(&before, 99));
        idle.extend(if round == 0 { before } else { Vec::new() });
        beside.extend(meanwhile);
    }
    let rate = rate(&server, &receiver, &homes, &mut next, effort.many).await?;
    let (alone, behind) = deletions(&server, &Store::of(&server, database_url), effort).await?;
    let cost = median(&behind) / median(&alone);
    let latency = percentile(&idle, 99);
    let rows = vec![
        vec!["from the answer to the first attempt, nothing else to do".into(), format!("{:.1}", median(&idle)), format!("{latency:.1}")],
        vec![
            "the same beside an endpoint that never answers".into(),
            format!("{:.1}", median(&beside)),
            format!("{:.1}", percentile(&beside, 99)),
        ],
        vec!["deleting a customer, nothing waits".into(), format!("{:.2}", median(&alone)), format!("{:.2}", percentile(&alone, 99))],
        vec![
            format!("deleting a customer, {} deliveries wait", effort.pending),
            format!("{:.2}", median(&behind)),
            format!("{:.2}", percentile(&behind, 99)),
        ],
    ];
    println!("{engine}: {rate:.0} deliveries a second");
    Ok(Section {
        title: format!("Webhooks on {engine}"),
        about: format!(
            "{ENDPOINTS} webhooks of as many organizations on one receiver in the process of the bench; {} rounds of {} customers, one after the \
             other, and {} at once by 32 callers: {rate:.0} deliveries a second, from the first request to the last arrival.",
            effort.rounds, effort.single, effort.many
        ),
        tables: vec![Table { head: ["what", "median, ms", "p99, ms"].map(str::to_owned).into(), rows }],
        plots: Vec::new(),
        verdicts: vec![
            Verdict {
                target: "first attempt within 100 ms of the commit, p99".into(),
                measured: format!("{latency:.1} ms"),
                is_reached: latency <= 100.0,
            },
            Verdict {
                target: "a dead endpoint among 100 changes the others' p99 by less than 10 %".into(),
                measured: spread(&ratios),
                is_reached: median(&ratios) < 1.1,
            },
            Verdict {
                target: format!("{} pending deliveries cost a deletion at most 1.1 times", effort.pending),
                measured: format!("{cost:.2}"),
                is_reached: cost <= 1.1,
            },
        ],
        notes: vec!["Receiver, callers and server share the machine.".into()],
    })
}

/// Makes customers one after the other, in one organization after the other. Returns how long each event took from the answer to its arrival.
async fn waits(server: &Server, receiver: &Receiver, homes: &[String], next: &mut usize, count: usize) -> Result<Vec<f64>> {
    receiver.forget();
    let mut connection = Connection::open(&server.freehold.url).await?;
    let mut answered = Vec::new();
    for number in 0..count {
        *next += 1;
        let reference = format!("c{next}");
        connection.send(&creation(server, &homes[number % homes.len()], &reference)?).await?;
        answered.push((reference, Instant::now()));
        receiver.wait_for(number + 1).await?;
    }
    let arrived = receiver.arrived.borrow();
    // One that is there before the answer took no time.
    let wait = |(reference, at): &(String, Instant)| Some(arrived.get(reference)?.saturating_duration_since(*at).as_secs_f64() * 1e3);
    answered.iter().map(|one| wait(one).ok_or_else(|| format!("{} has not arrived", one.0))).collect()
}

/// Makes many customers at once. Returns how many deliveries arrived in a second.
async fn rate(server: &Server, receiver: &Receiver, homes: &[String], next: &mut usize, count: usize) -> Result<f64> {
    receiver.forget();
    let mut calls = Vec::new();
    for number in 0..count {
        *next += 1;
        calls.push(creation(server, &homes[number % homes.len()], &format!("c{next}"))?);
    }
    let begun = Instant::now();
    callers::call(&server.freehold.url, 32, Arc::from(calls), Duration::from_secs(60)).await?;
    receiver.wait_for(count).await?;
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// Deletes customers in turn where nothing waits and where a webhook's queue is long. Returns the milliseconds of each.
async fn deletions(server: &Server, store: &Store, effort: &Effort) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut both = Vec::new();
    for slug in ["outside-alone", "outside-behind"] {
        let home = server.new_organization(slug).await?;
        // Wants what is never told here.
        listen(server, &home, "http://127.0.0.1:9/hook", "invite.created").await?;
        for number in 0..effort.single {
            let body = json!({"id": format!("gone-{number}"), "name": "Ada", "email": "ada@example.com"});
            server.send(Method::POST, &format!("/api/organizations/{home}/customers"), Some(&body)).await?;
        }
        both.push(home);
    }
    let pending = format!(
        "INSERT INTO effects (organization_id, queue_id, webhook_id, kind, id, action, payload, state, attempts, next_attempt_at, created_at, about, sequence)
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})
         SELECT {{organization}}, (SELECT id FROM webhooks WHERE organization_id = {{organization}}),
                (SELECT id FROM webhooks WHERE organization_id = {{organization}}), 'webhook', {{id:n}}, 'invite.created', '{{}}', 'pending', 1,
                {}, {{time}}, {{id:n}}, n FROM numbers",
        effort.pending,
        match store {
            Store::Postgres(_) => "now() + interval '5 hours'".to_owned(),
            Store::Sqlite(_) => format!("{}", (jiff::Timestamp::now().as_second() + 18_000) * 1_000_000),
        }
    );
    store.run(&store.spell(&pending, &both[1])).await?;
    store.settle().await?;
    let mut connection = Connection::open(&server.freehold.url).await?;
    let mut waits = [const { Vec::new() }; 2];
    for number in 0..effort.single {
        for (home, waits) in both.iter().zip(&mut waits) {
            let call = Call::new(Method::DELETE, &format!("/api/organizations/{home}/customers/gone-{number}"))?.bearer(&server.token)?;
            waits.push(connection.send(&call).await?.as_secs_f64() * 1e3);
        }
    }
    let [alone, behind] = waits;
    Ok((alone, behind))
}
