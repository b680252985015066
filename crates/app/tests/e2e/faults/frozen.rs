//! A PostgreSQL that is frozen, as a machine that is paused or that thrashes: it takes connections and says nothing. It is left, for another host
//! where the address names one, and all is well again when it goes on.

use std::time::Instant;

use reqwest::StatusCode;

use super::databases::{read, unready, wait_until_ready, write};
use crate::support::Server;
use crate::support::cluster::{Cluster, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgresql_is_told_and_all_is_well_again_when_it_goes_on() {
    let cluster = Cluster::start().await;
    let server = Server::start_at(&[], &cluster.url("postgres")).await;
    let organization = server.new_organization().await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    cluster.freeze();
    assert_eq!(write(&server, &organization).await, StatusCode::SERVICE_UNAVAILABLE);
    let words = unready(&server).await;
    assert!(words.contains("has not answered") || words.contains("keeps other servers from the database"), "{words}");
    assert_eq!(write(&server, &organization).await, StatusCode::SERVICE_UNAVAILABLE);
    cluster.thaw();
    wait_until_ready(&server).await;
    read(&server, &organization).await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    // The doctor comes after the cluster has gone.
    server.note_altered();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_left_for_the_host_that_has_taken_its_place() {
    let first = Cluster::start().await;
    let second = first.replica().await;
    let url = format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write", first.port, second.port);
    let server = Server::start_at(&[], &url).await;
    let organization = server.new_organization().await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    let written: String = connect(&first.url("postgres")).await.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let observer = connect(&second.url("postgres")).await;
    let has_come = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
    while !observer.query_one(&has_come, &[]).await.unwrap().get::<_, bool>(0) {}

    first.freeze();
    let frozen = Instant::now();
    observer.execute("SELECT pg_promote()", &[]).await.unwrap();
    // It takes what is refused to find out.
    loop {
        match write(&server, &organization).await {
            StatusCode::CREATED => break,
            other => assert_eq!(other, StatusCode::SERVICE_UNAVAILABLE),
        }
    }
    println!("the frozen primary was left after {:.1} s", frozen.elapsed().as_secs_f32());
    // The server's lock goes with it.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1181901416 AND granted";
    while observer.query_one(locks, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
    println!("the server's lock was on the new primary after {:.1} s", frozen.elapsed().as_secs_f32());
    wait_until_ready(&server).await;
    // Nothing goes back when the first awakes.
    first.thaw();
    for _ in 0..20 {
        assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    }
    let customers = observer.query_one("SELECT count(*) FROM customers", &[]).await.unwrap();
    assert_eq!(customers.get::<_, i64>(0), 22);
    server.note_altered();
}
