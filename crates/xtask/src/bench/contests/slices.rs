//! The contest `slices`: reading on in a long list, a slice at its end against one at its beginning, and the page with the same entries.

use std::time::Instant;

use reqwest::Method;

use crate::Result;
use crate::bench::Bench;
use crate::bench::load::{BARE, Bulk, Store};
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, percentile};
use crate::bench::server::Server;

/// Requests of each kind in a round.
const REQUESTS: usize = 40;
/// Rounds, in each of which every kind has its turn.
const ROUNDS: usize = 5;

pub(crate) async fn slices(bench: &Bench) -> Result<Vec<Section>> {
    let customers = if bench.quick { 50_000 } else { 200_000 };
    let url = bench.database("slices").await?;
    Ok(vec![on_engine(None, customers).await?, on_engine(Some(&url), customers).await?])
}

/// `GET customers?after=` at the beginning, in the middle and at the end of a list.
async fn on_engine(database_url: Option<&str>, customers: u64) -> Result<Section> {
    let engine = if database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    let server = Server::start(database_url, &[]).await?;
    let home = server.new_organization("long").await?;
    Store::of(&server, database_url).fill(&home, Bulk::new(customers, BARE)).await?;
    let base = format!("/api/organizations/{home}/customers");
    // The list is newest first, and the ids are numbers.
    let after = |number: u64| format!("{base}?after=00000000-0000-0000-0000-{number:012x}");
    let kinds = [("first slice", format!("{base}?after=")), ("slice in the middle", after(customers / 2)), ("last slice", after(26))];
    let mut waits = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, path), waits) in kinds.iter().zip(&mut waits) {
            for _ in 0..REQUESTS {
                let sent = Instant::now();
                server.send(Method::GET, path, None).await?;
                waits.push(sent.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let first = percentile(&waits[0], 50);
    let mut rows = Vec::new();
    for ((name, _), waits) in kinds.iter().zip(&waits) {
        let median = percentile(waits, 50);
        println!("{engine}, {name}: median {median:.2} ms");
        rows.push(vec![
            (*name).to_owned(),
            format!("{median:.2}"),
            format!("{:.2}", percentile(waits, 99)),
            format!("{:.2}", median / first),
        ]);
    }
    for (name, page) in [("first page, with its count", 1), ("last page, with its count", customers / 25)] {
        let sent = Instant::now();
        server.send(Method::GET, &format!("{base}?page={page}"), None).await?;
        let wait = sent.elapsed().as_secs_f64() * 1e3;
        rows.push(vec![name.to_owned(), format!("{wait:.2}"), "one request".into(), format!("{:.2}", wait / first)]);
    }
    Ok(Section {
        title: format!("Slices of a list of {} customers on {engine}", figure(customers as f64)),
        about: format!(
            "25 customers of them by one caller: `?after=` goes along the primary key, `?page=` counts the list. {ROUNDS} interleaved \
             rounds of {REQUESTS} requests.",
        ),
        tables: vec![Table { head: ["25 customers", "median, ms", "p99, ms", "against the first slice"].map(str::to_owned).into(), rows }],
        plots: Vec::new(),
        verdicts: Vec::new(),
        notes: Vec::new(),
    })
}
