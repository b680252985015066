//! The contest `group-commit`: durable writes by many callers on SQLite, with the writer's groups and with one transaction a request.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::Result;
use crate::bench::Bench;
use crate::bench::callers::{self, Call};
use crate::bench::plot::figure;
use crate::bench::report::{Section, Table, median, spread};
use crate::bench::server::Server;

/// Callers at once.
const CALLERS: usize = 64;
/// More writes than are done in a round.
const PLENTY: usize = 100_000;

/// SQLite at 64 callers: groups of 64 against one transaction a request, in alternating rounds.
pub(crate) async fn group_commit(bench: &Bench) -> Result<Vec<Section>> {
    let (rounds, time) = if bench.quick { (2, Duration::from_secs(1)) } else { (5, Duration::from_secs(2)) };
    let grouped = Server::start(None, &["--commit-group=64"]).await?;
    let single = Server::start(None, &["--commit-group=1"]).await?;
    let (grouped_home, single_home) = (grouped.new_organization("grouped").await?, single.new_organization("single").await?);
    let (mut ones, mut manys, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let one = writes_a_second(&single, &single_home, time).await?;
        let many = writes_a_second(&grouped, &grouped_home, time).await?;
        println!("round {round}: one transaction a request {one:.0}/s, groups of 64 {many:.0}/s, ratio {:.2}", many / one);
        ones.push(one);
        manys.push(many);
        ratios.push(many / one);
    }
    let row = |name: &str, figures: &[f64]| vec![name.to_owned(), figure(median(figures).round())];
    Ok(vec![Section {
        title: "Group commit".into(),
        about: format!(
            "`POST …/customers` by {CALLERS} callers on SQLite, each write durable before its answer: requests that wait at the same time \
             are committed together, at most 64 of them, or one by one. {rounds} alternating rounds of {} s.",
            time.as_secs()
        ),
        tables: vec![Table {
            head: ["commits", "median, writes a second"].map(str::to_owned).into(),
            rows: vec![
                row("one transaction a request", &ones),
                row("groups of up to 64", &manys),
                vec!["groups against one by one, min/median/max".into(), spread(&ratios)],
            ],
        }],
        plots: Vec::new(),
        verdicts: Vec::new(),
        notes: Vec::new(),
    }])
}

async fn writes_a_second(server: &Server, organization: &str, time: Duration) -> Result<f64> {
    let body = json!({"name": "Ada Lovelace", "email": "ada@example.com"});
    let write = Call::new(Method::POST, &format!("/api/organizations/{organization}/customers"))?.bearer(&server.token)?.json(&body);
    let answers = callers::call(&server.freehold.url, CALLERS, vec![write; PLENTY].into(), time).await?;
    Ok(answers.per_second())
}
