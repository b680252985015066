//! PostgreSQL crashes, or is restarted, beneath a busy server. What fails is told with 503; what was answered stays done, and the server goes on by
//! itself.

use std::sync::atomic::Ordering;

use reqwest::{Method, StatusCode};

use crate::disk::Disk;
use crate::disk::load::{Known, Load};
use crate::support::cluster::Cluster;
use crate::support::{Server, make_folder};
use crate::waiting::until;

/// How often it goes and comes again; more with the variable, as `cargo xtask faults` sets it.
fn rounds() -> usize {
    std::env::var("FREEHOLD_TEST_POSTGRESQL_RESTARTS").map_or(4, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_the_crashes_and_restarts_of_postgresql() {
    let cluster = Cluster::start().await;
    let server = Server::start_at(&[], &cluster.url("postgres")).await;
    let organization = server.new_organization().await;
    // The server does not run on this disk: what people are told stands in its journal.
    let diary = tempfile::tempdir().unwrap();
    let folder = diary.path().join("data");
    make_folder(&folder);
    let disk = Disk::new(&folder, "diary");
    let mut load = Load::begin(&server, &organization, &organization.owner.token, &disk, "restarts");
    for round in 0..rounds() {
        load.wait(load.answered() + 40).await;
        // As a crash does, and as an operator does.
        let mode = if round.is_multiple_of(2) { "immediate" } else { "fast" };
        cluster.run("pg_ctl", &["stop", "--silent", "--wait", "--mode", mode, "--pgdata", cluster.data().to_str().unwrap()]).await;
        cluster.launch().await;
        let is_ready = async || server.request(Method::GET, "/health/ready").send().await.unwrap().status() == StatusCode::OK;
        until("the server is ready", is_ready).await;
    }
    load.wait(load.answered() + 40).await;
    let answers = load.end().await;
    let (history, moments) = (disk.history(), disk.history().moments());
    let known = Known::default().and(history.told(moments));
    known.check(&server, &organization).await;
    let (gone, there) = known.counts();
    println!(
        "Postgresql: {} crashes and restarts, {} requests refused with 503 beside {} that were done: of {gone} deletions that were answered none is \
         undone, of {there} that must be there none is lost",
        rounds(),
        answers.refused.load(Ordering::Relaxed),
        answers.done.load(Ordering::Relaxed)
    );
    assert!(gone > 0 && there > 0 && answers.refused.load(Ordering::Relaxed) > 0);
    // The doctor comes while the cluster is there.
    let (code, found, _) = server.doctor(&[]).await;
    assert_eq!(code, 0, "{found}");
    server.note_altered();
}
