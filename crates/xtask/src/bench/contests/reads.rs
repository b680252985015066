//! The contest `reads`: signed-in requests by API key, JWT and session, against a bare handler that answers with the same bytes, and against
//! the peer's verification of a key.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use serde_json::{Value as Json, json};

use crate::Result;
use crate::bench::Bench;
use crate::bench::bare::Bare;
use crate::bench::peer::Peer;
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, Verdict, median, spread};
use crate::bench::server::{Server, words};
use crate::bench::wrk::{self, CONNECTIONS, Load};

/// The path of the read that the targets hold for: the signed-in user's own profile.
const ME: &str = "/api/users/me";

/// A server that is asked, and what came of it in each round.
struct Contestant {
    name: &'static str,
    load: Load,
    per_second: Vec<f64>,
    p99: Vec<f64>,
}

impl Contestant {
    fn new(name: &'static str, url: String, header: Option<String>) -> Contestant {
        Contestant { name, load: Load { url, header }, per_second: Vec::new(), p99: Vec::new() }
    }

    /// This one's requests a second for each of the other's, round by round.
    fn against(&self, other: &Contestant) -> Vec<f64> {
        self.per_second.iter().zip(&other.per_second).map(|(own, other)| own / other).collect()
    }

    fn row(&self, ratios: Option<Vec<f64>>) -> Vec<String> {
        let ratio = ratios.map_or_else(String::new, |ratios| spread(&ratios));
        vec![self.name.to_owned(), figure(median(&self.per_second).round()), format!("{:.2}", median(&self.p99)), ratio]
    }
}

/// The three credentials of one user, as headers.
struct Credentials {
    key: String,
    jwt: String,
    session: String,
}

pub(crate) async fn reads(bench: &Bench) -> Result<Vec<Section>> {
    let (rounds, seconds) = if bench.quick { (1, 1) } else { (11, 1) };
    let (server, peer) = (Server::start(None, &[]).await?, Peer::start().await?);
    let home = server.new_organization("reads").await?;
    let customer = json!({"name": "Ada Lovelace", "email": "ada@example.com"});
    let customer: Json =
        server.send(Method::POST, &format!("/api/organizations/{home}/customers"), Some(&customer)).await?.json().await.map_err(words)?;
    let customer = format!("/api/organizations/{home}/customers/{}", customer["id"].as_str().ok_or("a customer without id")?);
    let credentials = sign_in(&server, &home).await?;
    let (bare_me, bare_customer) = (bare(&server, ME).await?, bare(&server, &customer).await?);

    let me = format!("{}{ME}", server.freehold.url);
    let mut contestants = [
        Contestant::new("bare handler", format!("{}{ME}", bare_me.url), Some(credentials.key.clone())),
        Contestant::new("own profile, by API key", me.clone(), Some(credentials.key.clone())),
        Contestant::new("own profile, by JWT", me.clone(), Some(credentials.jwt.clone())),
        Contestant::new("own profile, by session", me, Some(credentials.session.clone())),
        Contestant::new("bare handler, a customer's bytes", format!("{}{customer}", bare_customer.url), Some(credentials.key.clone())),
        Contestant::new("a customer, by API key", format!("{}{customer}", server.freehold.url), Some(credentials.key.clone())),
        Contestant::new("the peer verifies an API key", format!("{}/verify", peer.url), Some(format!("X-API-Key: {}", peer.key))),
    ];
    for contestant in &contestants {
        wrk::run(&contestant.load, 1).await?;
    }
    for round in 1..=rounds {
        for contestant in &mut contestants {
            let outcome = wrk::run(&contestant.load, seconds).await?;
            println!("round {round}: {}: {:.0}/s", contestant.name, outcome.per_second);
            contestant.per_second.push(outcome.per_second);
            contestant.p99.push(outcome.p99);
        }
    }
    Ok(vec![section(&contestants, rounds, seconds)])
}

/// Makes a key and signs in once more, for the cookie.
async fn sign_in(server: &Server, organization: &str) -> Result<Credentials> {
    let path = format!("/api/organizations/{organization}/api-keys");
    let key: Json = server.send(Method::POST, &path, Some(&json!({"name": "bench"}))).await?.json().await.map_err(words)?;
    let key = key["key"].as_str().ok_or("an API key without its secret")?;
    let answer = server.send(Method::POST, "/api/auth/sign-in", Some(&Server::person())).await?;
    let cookie = answer.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()?.split(';').next());
    let cookie = cookie.ok_or("a sign-in without a cookie")?;
    Ok(Credentials {
        key: format!("X-API-Key: {key}"),
        jwt: format!("Authorization: Bearer {}", server.token),
        session: format!("{COOKIE}: {cookie}"),
    })
}

/// A bare handler with the server's answer to this path.
async fn bare(server: &Server, path: &str) -> Result<Bare> {
    let answer = server.send(Method::GET, path, None).await?;
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).ok_or("an answer without a type")?.to_owned();
    Bare::start(path, &content_type, &answer.text().await.map_err(words)?).await
}

fn section(contestants: &[Contestant; 7], rounds: usize, seconds: u64) -> Section {
    let [bare, key, jwt, session, bare_customer, customer, peer] = contestants;
    let at_least = |target: &str, least: f64, ratios: &[f64]| Verdict {
        target: target.to_owned(),
        measured: spread(ratios),
        is_reached: median(ratios) >= least,
    };
    Section {
        title: "Signed-in reads".into(),
        about: format!(
            "`GET {ME}` on SQLite, the signed-in user's own profile, by API key, JWT and session cookie: the credential is known from memory, \
             the profile is read from the database. Against it an axum server in a process of its own that answers the same bytes without \
             looking at the request, and better-auth's `verifyApiKey` behind `toNodeHandler`. wrk with one thread and {CONNECTIONS} \
             connections; {rounds} interleaved rounds of {seconds} s after one for warming."
        ),
        tables: vec![Table {
            head: ["who answers", "median, requests a second", "p99, ms", "against the bare handler, min/median/max"]
                .map(str::to_owned)
                .into(),
            rows: vec![
                bare.row(None),
                key.row(Some(key.against(bare))),
                jwt.row(Some(jwt.against(bare))),
                session.row(Some(session.against(bare))),
                bare_customer.row(None),
                customer.row(Some(customer.against(bare_customer))),
                peer.row(None),
            ],
        }],
        plots: Vec::new(),
        verdicts: vec![
            at_least("a read by API key: at least 0.75 of the bare handler", 0.75, &key.against(bare)),
            at_least("a read by JWT: at least 0.75 of the bare handler", 0.75, &jwt.against(bare)),
            at_least("a read by session: at least 0.75 of the bare handler", 0.75, &session.against(bare)),
            at_least("a read by API key: at least 50 times the peer's verification of one", 50.0, &key.against(peer)),
        ],
        notes: vec![
            "wrk takes its share of the same processor, so that the ratio to the bare handler is less harsh than one of processor time.".into(),
            "Freehold's answers carry some headers more than the bare handler's, such as the request's id.".into(),
            "The peer is one Node.js process with production settings and without rate limits; it writes down when a key was last used with \
             every verification, which Freehold keeps in memory for up to 30 seconds."
                .into(),
        ],
    }
}
