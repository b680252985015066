//! The contests: who runs against whom, and what is printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::Bench;
use super::load::{Bulk, NINE, Store, contents};
use super::report::{Section, percentile};
use super::server::{Server, words};
use crate::Result;

/// Empty organizations deleted for every large one.
const EMPTY: usize = 30;

/// The answer to the deletion of an organization: empty ones against one of many rows; then its drain.
pub(super) async fn size(bench: &Bench) -> Result<Vec<Section>> {
    let (customers, rounds) = if bench.quick { (10_000, 1) } else { (100_000, 3) };
    on_engine(None, customers, rounds).await?;
    on_engine(Some(&bench.database("size").await?), customers, rounds).await?;
    Ok(Vec::new())
}

async fn on_engine(database_url: Option<&str>, customers: u64, rounds: usize) -> Result {
    let engine = if database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    let rows = Bulk::new(customers, NINE).rows();
    println!("\n## size: DELETE organization of {rows} rows against an empty one on {engine}");
    let server = Arc::new(Server::start(database_url, &[]).await?);
    let store = Store::of(&server, database_url);
    let neighbour = server.new_organization("neighbour").await?;
    store.fill(&neighbour, Bulk::new(1_000, NINE)).await?;
    let bystander = server.new_organization("bystander").await?;
    store.fill(&bystander, Bulk::new(1_000, NINE)).await?;
    let before = contents(&store, &bystander).await?;
    let (mut empty, mut large) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let big = server.new_organization(&format!("large-{round}")).await?;
        store.fill(&big, Bulk::new(customers, NINE)).await?;
        let idle = neighbour_p99(&server, &neighbour, Duration::from_secs(3)).await?;
        for number in 0..EMPTY {
            let home = server.new_organization(&format!("empty-{round}-{number}")).await?;
            empty.push(delete(&server, &home).await?.0);
        }
        let (answer, deletion) = delete(&server, &big).await?;
        large.push(answer);
        let begun = Instant::now();
        let watcher = tokio::spawn({
            let (server, neighbour) = (server.clone(), neighbour.clone());
            async move { neighbour_p99(&server, &neighbour, Duration::from_secs(3)).await }
        });
        let record = loop {
            let record = server.deletion(&deletion).await?;
            if record["state"] == "sealed" {
                break record;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let drained = begun.elapsed().as_secs_f64();
        let during = watcher.await.map_err(words)??;
        let touched: u64 = record["counts"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        println!(
            "round {round}: answer {:.1} ms; {touched} rows drained in {drained:.1} s, {:.0} rows/s, {} transactions, the longest {:.0} ms; \
             neighbour's p99 idle {idle:.1} ms, during {during:.1} ms",
            answer * 1e3,
            touched as f64 / drained,
            record["batches"],
            record["longestBatchMicros"].as_f64().unwrap_or(0.0) / 1e3,
        );
        if touched < rows {
            return Err(format!("{rows} rows were put in and only {touched} were touched"));
        }
        let left = contents(&store, &big).await?.len();
        if left > 0 {
            return Err(format!("{left} rows are left of a sealed organization"));
        }
        if contents(&store, &bystander).await? != before {
            return Err("another organization's rows have changed".into());
        }
    }
    println!("no row left of any; the {} rows of a bystander are the same to the byte", before.len());
    let (p99, most) = (percentile(&empty, 99), percentile(&large, 100));
    println!(
        "answers: empty median {:.1} ms, p99 {:.1} ms (of {}); {rows} rows median {:.1} ms, max {:.1} ms (of {}); max against p99 {:.2}",
        percentile(&empty, 50) * 1e3,
        p99 * 1e3,
        empty.len(),
        percentile(&large, 50) * 1e3,
        most * 1e3,
        large.len(),
        most / p99,
    );
    Ok(())
}

async fn delete(server: &Server, organization: &str) -> Result<(f64, String)> {
    let begun = Instant::now();
    let answer = server.send(Method::DELETE, &format!("/api/organizations/{organization}"), None).await?;
    Ok((begun.elapsed().as_secs_f64(), Server::deletion_id(&answer)?))
}

/// The 99th percentile of durable writes of another tenant, one after the other, in milliseconds.
async fn neighbour_p99(server: &Server, organization: &str, time: Duration) -> Result<f64> {
    let path = format!("/api/organizations/{organization}/customers");
    let body = json!({"name": "Neighbour", "email": "neighbour@example.com"});
    let (begun, mut waits) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let sent = Instant::now();
        server.send(Method::POST, &path, Some(&body)).await?;
        waits.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(percentile(&waits, 99))
}
