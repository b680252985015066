//! Reading on in a long list: a slice at its end against one at its beginning, and the page with the same entries.

use std::time::Instant;

use reqwest::Method;

use super::contests::percentile;
use super::load::{BARE, Bulk, Store};
use super::server::Server;
use crate::Result;

/// Requests of each kind in a round.
const REQUESTS: usize = 40;
/// Rounds, in each of which every kind has its turn.
const ROUNDS: usize = 5;

/// `GET customers?after=` at the beginning, in the middle and at the end of a list.
pub(super) async fn slices(database_url: Option<&str>, customers: u64) -> Result {
    let engine = if database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    println!("\n## slices: 25 of {customers} customers on {engine}");
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
    let first = percentile(&mut waits[0].clone(), 50);
    for ((name, _), waits) in kinds.iter().zip(&mut waits) {
        let median = percentile(waits, 50);
        println!("{name}: median {median:.2} ms, p99 {:.2} ms; against the first {:.2}", percentile(waits, 99), median / first);
    }
    for (name, page) in [("first page, with its count", 1), ("last page, with its count", customers / 25)] {
        let sent = Instant::now();
        server.send(Method::GET, &format!("{base}?page={page}"), None).await?;
        println!("{name}: {:.0} ms", sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}
