//! Deleting a customer with five dependants, durably and with its audit entry, through HTTP: against the same rows deleted by plain SQL.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Answers, Call};
use crate::bench::load::{Bulk, DEPENDANTS, FIVE, Store};
use crate::bench::pgbench::Pgbench;
use crate::bench::report::{Axis, Plot, Section, Table, Verdict, median, spread};
use crate::bench::rusqlite_floor::{self, RusqliteFloor};
use crate::bench::server::Server;

/// Connections at which the targets hold.
const MEASURED: usize = 64;

/// How much is done.
struct Effort {
    /// Connections, and rounds at each.
    rounds: &'static [(usize, usize)],
    /// How long each works in a round.
    time: Duration,
    /// Customers for each contestant.
    stock: u64,
}

const FULL: Effort = Effort { rounds: &[(1, 2), (16, 2), (MEASURED, 5), (256, 2)], time: Duration::from_secs(2), stock: 120_000 };
const QUICK: Effort = Effort { rounds: &[(1, 1), (16, 1), (MEASURED, 2)], time: Duration::from_millis(700), stock: 30_000 };

/// Those who delete the same rows without the server.
enum Floor {
    Pgbench(Pgbench),
    Rusqlite(RusqliteFloor),
}

impl Floor {
    /// Returns how many it deleted in all, and the answers that count.
    async fn run(&mut self, connections: usize, time: Duration, most: usize) -> Result<(usize, Answers)> {
        match self {
            Floor::Pgbench(floor) => floor.run(connections, time, most).await,
            Floor::Rusqlite(floor) => floor.run(connections, time, most).await.map(|answers| (answers.count, answers)),
        }
    }
}

/// A floor, where its customers are, and how many of them it has deleted.
struct Contestant {
    name: &'static str,
    floor: Floor,
    store: Store,
    organization: String,
    deleted: usize,
}

/// What all rounds at one number of connections came to.
struct Level {
    connections: usize,
    ours: Vec<Answers>,
    /// The rounds of each floor.
    floors: Vec<Vec<Answers>>,
}

/// What one engine came to.
struct Outcome {
    levels: Vec<Level>,
    names: Vec<&'static str>,
}

/// Both engines, one after the other.
pub(crate) async fn deletions(bench: &Bench) -> Result<Vec<Section>> {
    let effort = if bench.quick { QUICK } else { FULL };
    let on_postgres = on_postgres(bench, &effort).await?;
    let on_sqlite = on_sqlite(&effort).await?;
    Ok(vec![postgres_section(&on_postgres), sqlite_section(&on_sqlite)])
}

async fn on_postgres(bench: &Bench, effort: &Effort) -> Result<Outcome> {
    let (cluster, url) = (bench.cluster().await?, bench.database("deletions").await?);
    let server = Server::start(Some(&url), &[]).await?;
    let store = Store::of(&server, Some(&url));
    let entry = "INSERT INTO audit_entries (organization_id, id, action, outcome, subject, subject_id, actor, request_id, created_at)";
    let values = "'customer.delete', 'done', 'customer', {id:currval('numbers')}, 'user', 'pgbench', now()";
    let customer = "organization_id = {organization} AND id = (SELECT {id:nextval('numbers')})";
    let several = format!(
        "BEGIN;\nDELETE FROM customers WHERE {customer};\n{entry} VALUES ({{organization}}, {{id:currval('numbers')}}, {values});\nCOMMIT;\n"
    );
    let one = format!(
        "WITH gone AS (DELETE FROM customers WHERE {customer} RETURNING id) {entry} SELECT {{organization}}, id, {values} FROM gone;\n"
    );
    let mut floors = Vec::new();
    for (name, script, sequence) in [("plain statements", several, "several"), ("one statement", one, "one")] {
        let organization = server.new_organization(sequence).await?;
        store.fill(&organization, Bulk::new(effort.stock, FIVE)).await?;
        store.run(&format!("CREATE SEQUENCE {sequence}")).await?;
        let script = store.spell(&script.replace("numbers", sequence), &organization);
        let floor = Floor::Pgbench(Pgbench::new(cluster, &url, &script)?);
        floors.push(Contestant { name, floor, store: store.clone(), organization, deleted: 0 });
    }
    measure(&server, &store, floors, effort).await
}

async fn on_sqlite(effort: &Effort) -> Result<Outcome> {
    let server = Server::start(None, &[]).await?;
    let store = Store::of(&server, None);
    let Store::Sqlite(path) = &store else { return Err("the embedded engine has no file".into()) };
    let organization = server.new_organization("floor").await?;
    store.fill(&organization, Bulk::new(effort.stock, FIVE)).await?;
    // In a file of its own: two programs that write to one would wait for each other's locks.
    let store_of_floor = Store::Sqlite(rusqlite_floor::copy(path, "floor.db")?);
    let statements = [
        "DELETE FROM customers WHERE organization_id = {organization} AND id = {id:?1}",
        "INSERT INTO audit_entries (organization_id, id, action, outcome, subject, subject_id, actor, request_id, created_at)
         VALUES ({organization}, {id:?1}, 'customer.delete', 'done', 'customer', {id:?1}, 'user', 'rusqlite', {time})",
    ];
    let Store::Sqlite(path) = &store_of_floor else { return Err("the copy has no file".into()) };
    let floor = RusqliteFloor::new(path, statements.map(|statement| store.spell(statement, &organization)).to_vec())?;
    let name = "one transaction a request";
    let floor = Contestant { name, floor: Floor::Rusqlite(floor), store: store_of_floor, organization, deleted: 0 };
    measure(&server, &store, vec![floor], effort).await
}

/// Lets the server and then each floor delete for the same time, at every number of connections in turn.
async fn measure(server: &Server, store: &Store, mut floors: Vec<Contestant>, effort: &Effort) -> Result<Outcome> {
    println!("a customer with five dependants and its audit entry on {}", store.engine());
    let organization = server.new_organization("ours").await?;
    store.fill(&organization, Bulk::new(effort.stock, FIVE)).await?;
    let stock = usize::try_from(effort.stock).unwrap_or(usize::MAX);
    let mut rounds_left: usize = effort.rounds.iter().map(|(_, rounds)| rounds).sum();
    let mut deleted = 0;
    let mut levels = Vec::new();
    for &(connections, rounds) in effort.rounds {
        if let Store::Postgres(_) = store {
            // What autovacuum does within a minute: without it the tables that only grow here are planned for as if they were empty.
            store.run("ANALYZE").await?;
        }
        let mut level = Level { connections, ours: Vec::new(), floors: floors.iter().map(|_| Vec::new()).collect() };
        for round in 1..=rounds {
            let most = (stock - deleted) / rounds_left;
            let calls: Vec<Call> = (deleted + 1..=deleted + most)
                .map(|number| {
                    let path = format!("/api/organizations/{organization}/customers/bulk-{number}");
                    Call::new(Method::DELETE, &path)?.bearer(&server.token)
                })
                .collect::<Result<_>>()?;
            let ours = callers::call(&server.freehold.url, connections, Arc::from(calls), effort.time).await?;
            deleted += ours.count;
            print!("{connections} at once, round {round}: {}", told("Freehold", &ours));
            for (contestant, rounds) in floors.iter_mut().zip(&mut level.floors) {
                let most = (stock - contestant.deleted) / rounds_left;
                let (done, floor) = contestant.floor.run(connections, effort.time, most).await?;
                contestant.deleted += done;
                print!("; {}, ratio {:.2}", told(contestant.name, &floor), ours.per_second() / floor.per_second());
                rounds.push(floor);
            }
            rounds_left -= 1;
            println!();
            level.ours.push(ours);
        }
        levels.push(level);
    }
    for contestant in &floors {
        are_gone(&contestant.store, &contestant.organization, stock, contestant.deleted).await?;
    }
    are_gone(store, &organization, stock, deleted).await?;
    let records = store.count("deletions", &organization, "AND state = 'completed'").await?;
    if records != deleted {
        return Err(format!("{deleted} customers were deleted and {records} deletions are completed"));
    }
    println!("every row is gone that should be, and no other; each of {deleted} deletions has its audit entry and its record");
    Ok(Outcome { levels, names: floors.iter().map(|contestant| contestant.name).collect() })
}

fn told(name: &str, answers: &Answers) -> String {
    format!("{name} {:.0}/s (p50 {:.1} ms, p99 {:.1} ms)", answers.per_second(), answers.percentile(50), answers.percentile(99))
}

/// Counts what is left: the customers that no one asked for with all they own, and an audit entry for each of the others.
async fn are_gone(store: &Store, organization: &str, stock: usize, deleted: usize) -> Result {
    for table in DEPENDANTS.iter().map(|(table, ..)| *table).chain(["customers"]) {
        let left = store.count(table, organization, "").await?;
        if left != stock - deleted {
            return Err(format!("{deleted} of {stock} were deleted and {left} rows are left in {table}"));
        }
    }
    let entries = store.count("audit_entries", organization, "AND action = 'customer.delete' AND outcome = 'done'").await?;
    match entries == deleted {
        true => Ok(()),
        false => Err(format!("{deleted} customers were deleted and {entries} audit entries say so")),
    }
}

fn rates(rounds: &[Answers]) -> Vec<f64> {
    rounds.iter().map(Answers::per_second).collect()
}

fn percentiles(rounds: &[Answers], percent: usize) -> Vec<f64> {
    rounds.iter().map(|answers| answers.percentile(percent)).collect()
}

impl Level {
    /// Ours against a floor, round by round.
    fn ratios(&self, floor: usize) -> Vec<f64> {
        let pairs = self.ours.iter().zip(self.floors.get(floor).into_iter().flatten());
        pairs.map(|(ours, floor)| ours.per_second() / floor.per_second()).collect()
    }
}

impl Outcome {
    fn table(&self) -> Table {
        let mut head: Vec<String> = ["connections", "Freehold, deletions/s", "p50 / p99, ms"].map(Into::into).into();
        for name in &self.names {
            head.extend([format!("{name}, deletions/s"), "p50 / p99, ms".into(), "ratio (min/median/max)".into()]);
        }
        let figures = |rounds: &[Answers]| {
            let (p50, p99) = (median(&percentiles(rounds, 50)), median(&percentiles(rounds, 99)));
            [format!("{:.0}", median(&rates(rounds))), format!("{p50:.1} / {p99:.1}")]
        };
        let rows = self.levels.iter().map(|level| {
            let mut row = vec![level.connections.to_string()];
            row.extend(figures(&level.ours));
            for (number, floor) in level.floors.iter().enumerate() {
                row.extend(figures(floor));
                row.push(spread(&level.ratios(number)));
            }
            row
        });
        Table { head, rows: rows.collect() }
    }

    fn plot(&self, engine: &str) -> Plot {
        let line = |name: &str, of: &dyn Fn(&Level) -> Vec<f64>| {
            (name.to_owned(), self.levels.iter().map(|level| (level.connections as f64, median(&of(level)))).collect())
        };
        let mut lines = vec![line("Freehold, through HTTP", &|level| rates(&level.ours))];
        for (number, name) in self.names.iter().enumerate() {
            lines.push(line(name, &|level| level.floors.get(number).map(|rounds| rates(rounds)).unwrap_or_default()));
        }
        Plot {
            title: format!("Deletions of a customer with five dependants on {engine}"),
            x: Axis { label: "connections".into(), is_logarithmic: true },
            y: Axis { label: "deletions a second".into(), is_logarithmic: false },
            lines,
        }
    }

    /// The ratios against the first floor where the targets hold.
    fn verdict(&self, least: f64, target: &str) -> Verdict {
        let ratios = self.levels.iter().find(|level| level.connections == MEASURED).map(|level| level.ratios(0)).unwrap_or_default();
        Verdict { target: target.into(), measured: spread(&ratios), is_reached: median(&ratios) >= least }
    }
}

fn postgres_section(outcome: &Outcome) -> Section {
    Section {
        title: "Deleting a customer on PostgreSQL".into(),
        about:
            "`DELETE /api/organizations/{id}/customers/{id}` of customers with five dependants, each answered after it is durable, against \
                pgbench with prepared statements deleting identical rows of another organization in the same database and writing an audit \
                entry. \"Plain statements\" are BEGIN, DELETE, INSERT, COMMIT; \"one statement\" does the same in a single round trip."
                .into(),
        tables: vec![outcome.table()],
        plots: vec![outcome.plot("PostgreSQL")],
        verdicts: vec![outcome.verdict(1.0, "at least as many deletions as pgbench's plain statements, at 64 connections")],
        notes: vec![
            "Freehold checks who may, looks for what blocks, and writes a record of the deletion besides; pgbench does not.".into(),
            "The first quarter of pgbench's time is not counted, since its connections are new and have to plan their statements.".into(),
            "The tables are analyzed before each number of connections, as autovacuum would within a minute.".into(),
            "The clients of both run on the server's machine.".into(),
        ],
    }
}

fn sqlite_section(outcome: &Outcome) -> Section {
    let waits = outcome.levels.iter().find(|level| level.connections == MEASURED);
    let waits: Vec<f64> = waits.into_iter().flat_map(|level| &level.ours).map(|ours| ours.percentile(99) / ours.percentile(50)).collect();
    Section {
        title: "Deleting a customer on SQLite".into(),
        about: "The same request on the embedded engine, against threads of a program that share one connection behind a mutex and run the \
                same DELETE and INSERT (WAL, synchronous=FULL, foreign_keys, secure_delete), one transaction each, on a copy of the file. Both \
                are durable before their answer."
            .into(),
        tables: vec![outcome.table()],
        plots: vec![outcome.plot("SQLite")],
        verdicts: vec![
            outcome.verdict(2.5, "at least 2.5 times one transaction a request, at 64 connections"),
            Verdict {
                target: "p99 at most 3 times p50, at 64 connections".into(),
                measured: spread(&waits),
                is_reached: median(&waits) <= 3.0,
            },
        ],
        notes: vec![
            "The program without a group commit speaks no HTTP, checks no rights and writes no record of the deletion.".into(),
            "Its connection goes to the thread that locks first, so that its p99 says little.".into(),
        ],
    }
}
