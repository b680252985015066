//! The contest `removals`: removing a member and deleting an organization through HTTP, against the peer's own endpoints for both.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{COOKIE, HeaderValue, ORIGIN};
use serde_json::{Value as Json, json};

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Answers, Call};
use crate::bench::load::Store;
use crate::bench::peer::{Peer, text};
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, Verdict, median, spread};
use crate::bench::server::{Server, words};

/// Connections at once; a quick run has the last alone.
const LEVELS: [usize; 2] = [16, 64];
/// Subjects prepared for Freehold and for the peer in a round, for each second of it; what is not deleted in time stays.
const STOCK: u64 = 8_000;
const PEER_STOCK: u64 = 500;

/// What is deleted.
#[derive(Debug, Clone, Copy)]
enum Subject {
    Member,
    Organization,
}

/// What one kind of deletion at one number of connections came to, round by round.
struct Level {
    subject: Subject,
    connections: usize,
    ours: Vec<Answers>,
    peers: Vec<Answers>,
}

/// Both servers, and how many subjects were prepared so far: the number of the next.
struct Stage {
    server: Server,
    peer: Peer,
    store: Store,
    prepared: u64,
}

pub(crate) async fn removals(bench: &Bench) -> Result<Vec<Section>> {
    let (rounds, seconds, connections) = if bench.quick { (1, 1, &LEVELS[1..]) } else { (3, 2, &LEVELS[..]) };
    let server = Server::start(None, &[]).await?;
    let store = Store::of(&server, None);
    let mut stage = Stage { server, peer: Peer::start().await?, store, prepared: 0 };
    let mut levels = Vec::new();
    for subject in [Subject::Member, Subject::Organization] {
        for &connections in connections {
            let mut level = Level { subject, connections, ours: Vec::new(), peers: Vec::new() };
            for round in 1..=rounds {
                let (own, others) = (stage.ours(subject, seconds).await?, stage.peers(subject, seconds).await?);
                let time = Duration::from_secs(seconds);
                let ours = callers::call(&stage.server.freehold.url, connections, own, time).await?;
                let peers = callers::call(&stage.peer.url, connections, others, time).await?;
                println!(
                    "round {round}: {} at {connections} connections: {:.0}/s, the peer {:.0}/s",
                    subject.name(),
                    ours.per_second(),
                    peers.per_second()
                );
                level.ours.push(ours);
                level.peers.push(peers);
            }
            levels.push(level);
        }
    }
    Ok(vec![section(&levels, rounds, seconds)])
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Subject::Member => "remove a member",
            Subject::Organization => "delete an organization",
        }
    }
}

impl Stage {
    /// Requests to Freehold for subjects of their own, which are put straight into the database.
    async fn ours(&mut self, subject: Subject, seconds: u64) -> Result<Arc<[Call]>> {
        let (first, last) = (self.prepared + 1, self.prepared + STOCK * seconds);
        self.prepared = last;
        let numbers = format!("WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})");
        let (organization, statements) = match subject {
            Subject::Member => {
                let users = "INSERT INTO users (id, email, name, password_hash, is_operator, created_at)";
                let members = "INSERT INTO members (organization_id, id, user_id, role, state, version, created_at)";
                let home = self.server.new_organization(&format!("members-{first}")).await?;
                let statements = format!(
                    "{users} {numbers} SELECT {{id:n}}, 'member' || n || '@example.com', 'Member', 'none', false, {{time}} FROM numbers;
                     {members} {numbers} SELECT {{organization}}, {{id:n}}, {{id:n}}, 'member', 'live', 1, {{time}} FROM numbers"
                );
                (home, statements)
            }
            Subject::Organization => {
                let organizations =
                    "INSERT INTO organizations (id, slug, name, plan, subscription_status, state, version, created_at, updated_at)";
                let members = "INSERT INTO members (organization_id, id, user_id, role, state, version, created_at)";
                let statements = format!(
                    "{organizations} {numbers} SELECT {{id:n}}, 'bulk-' || n, 'Bulk', 'free', 'none', 'live', 1, {{time}}, {{time}} FROM numbers;
                     {members} {numbers} SELECT {{id:n}}, {{id:n}}, (SELECT id FROM users WHERE email = 'bench@example.com'), 'owner', 'live', 1,
                                                {{time}} FROM numbers"
                );
                (String::new(), statements)
            }
        };
        self.store.run(&self.store.spell(&format!("BEGIN IMMEDIATE; {statements}; COMMIT"), &organization)).await?;
        self.store.settle().await?;
        let path = |number: u64| match subject {
            Subject::Member => format!("/api/organizations/{organization}/members/00000000-0000-0000-0000-{number:012x}"),
            Subject::Organization => format!("/api/organizations/00000000-0000-0000-0000-{number:012x}"),
        };
        (first..=last).map(|number| Call::new(Method::DELETE, &path(number))?.bearer(&self.server.token)).collect()
    }

    /// Requests to the peer for subjects of their own, which its own adapter has made.
    async fn peers(&mut self, subject: Subject, seconds: u64) -> Result<Arc<[Call]>> {
        let count = PEER_STOCK * seconds;
        let (path, bodies): (&str, Vec<Json>) = match subject {
            Subject::Member => {
                let made = self.peer.post(&format!("/members?count={count}")).await?;
                let home = text(&made["organization"])?;
                let members = made["members"].as_array().ok_or("the peer made no members")?;
                let bodies = members.iter().map(|member| json!({"memberIdOrEmail": member, "organizationId": home})).collect();
                ("/api/auth/organization/remove-member", bodies)
            }
            Subject::Organization => {
                let made = self.peer.post(&format!("/organizations?count={count}")).await?;
                let organizations = made["organizations"].as_array().ok_or("the peer made no organizations")?;
                ("/api/auth/organization/delete", organizations.iter().map(|id| json!({"organizationId": id})).collect())
            }
        };
        let (cookie, origin) =
            (HeaderValue::try_from(&self.peer.cookie).map_err(words)?, HeaderValue::try_from(&self.peer.url).map_err(words)?);
        let call = |body: &Json| {
            let mut call = Call::new(Method::POST, path)?.json(body);
            call.headers.insert(COOKIE, cookie.clone());
            call.headers.insert(ORIGIN, origin.clone());
            Ok(call)
        };
        bodies.iter().map(call).collect()
    }
}

impl Level {
    fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.peers).map(|(ours, peers)| ours.per_second() / peers.per_second()).collect()
    }

    fn row(&self) -> Vec<String> {
        let rate = |rounds: &[Answers]| figure(median(&rounds.iter().map(Answers::per_second).collect::<Vec<_>>()).round());
        let p99 = |rounds: &[Answers]| format!("{:.1}", median(&rounds.iter().map(|round| round.percentile(99)).collect::<Vec<_>>()));
        vec![
            format!("{}, {} connections", self.subject.name(), self.connections),
            rate(&self.ours),
            p99(&self.ours),
            rate(&self.peers),
            p99(&self.peers),
            spread(&self.ratios()),
        ]
    }

    fn verdict(&self) -> Verdict {
        let ratios = self.ratios();
        Verdict {
            target: format!("{}: at least 20 times the peer, at {} connections", self.subject.name(), self.connections),
            measured: spread(&ratios),
            is_reached: median(&ratios) >= 20.0,
        }
    }
}

fn section(levels: &[Level], rounds: usize, seconds: u64) -> Section {
    Section {
        title: "Removing members and deleting organizations".into(),
        about: format!(
            "`DELETE /api/organizations/{{id}}/members/{{id}}` and `DELETE /api/organizations/{{id}}` of organizations with one owner, by the \
             owner's JWT, against better-auth's `organization/remove-member` and `organization/delete` by the owner's session. Both on SQLite \
             with WAL, durable before the answer; members and organizations are prepared beforehand. {rounds} interleaved rounds of {seconds} \
             s; a round in which any answer is not a success would be none."
        ),
        tables: vec![Table {
            head: ["deletion", "per second", "p99, ms", "the peer, per second", "its p99, ms", "ratio, min/median/max"].map(str::to_owned).into(),
            rows: levels.iter().map(Level::row).collect(),
        }],
        plots: Vec::new(),
        verdicts: levels.iter().map(Level::verdict).collect(),
        notes: vec![
            "Freehold also writes an audit entry and a record of every deletion, and ends sessions, keys and tokens of the membership in memory \
             before the answer; the peer does not."
                .into(),
            "The peer is one Node.js process with production settings and without rate limits.".into(),
        ],
    }
}
