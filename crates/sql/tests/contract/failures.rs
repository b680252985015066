//! Whatever goes wrong inside a transaction ends that transaction and nothing else.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use sql::{Database, Error, Options, Result, params, sql};

use crate::engines::{Gate, Place, on_both_engines, one, run};

on_both_engines!(a_panic_in_a_write_is_an_error_and_rolls_back, a_panic_in_a_read_is_an_error);
on_both_engines!(place: a_write_whose_caller_goes_away_is_kept_whole_or_not_at_all, a_read_whose_caller_goes_away_leaves_nothing_open);

async fn counter(database: &Database) -> Result<()> {
    run(database, sql!("CREATE TABLE counters (id bigint PRIMARY KEY, n bigint NOT NULL)"), &[]).await?;
    run(database, sql!("INSERT INTO counters (id, n) VALUES (1, 0)"), &[]).await?;
    Ok(())
}

async fn count(database: &Database) -> Result<i64> {
    one(database, sql!("SELECT n FROM counters WHERE id = 1")).await
}

async fn increment(database: &Database) -> Result<u64> {
    run(database, sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await
}

/// One connection: what one transaction leaves open, the next one runs into.
async fn open_narrow(place: &Place) -> Result<Database> {
    let database = Database::open(&Options { connections: 1, ..place.options.clone() }).await?;
    counter(&database).await?;
    Ok(database)
}

async fn a_panic_in_a_write_is_an_error_and_rolls_back(database: Database) -> Result<()> {
    counter(&database).await?;
    for round in 1..=5 {
        let failed = database
            .write(async move |tx| {
                tx.execute(sql!("UPDATE counters SET n = 100 WHERE id = 1"), &[]).await?;
                if tx.query_opt(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await?.is_some() {
                    panic!("the test's own words");
                }
                Ok::<_, Error>(())
            })
            .await;
        assert!(failed.unwrap_err().to_string().contains("the test's own words"));
        increment(&database).await?;
        assert_eq!(count(&database).await?, round);
    }
    Ok(())
}

async fn a_panic_in_a_read_is_an_error(database: Database) -> Result<()> {
    counter(&database).await?;
    for _ in 1..=5 {
        let failed = database
            .read(async move |tx| {
                if tx.query_opt(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await?.is_some() {
                    panic!("the test's own words");
                }
                Ok::<_, Error>(())
            })
            .await;
        assert!(failed.unwrap_err().to_string().contains("the test's own words"));
        assert_eq!(count(&database).await?, 0);
    }
    Ok(())
}

/// The embedded engine's writer carries it through. On PostgreSQL it ends with its caller, who must be a task of its own to see it through.
async fn a_write_whose_caller_goes_away_is_kept_whole_or_not_at_all(place: &Place) -> Result<()> {
    let database = open_narrow(place).await?;
    let (gate, mut control) = Gate::new();
    let waits = database.engine_name() == "postgresql";
    let write = database.write(async move |tx| {
        tx.execute(sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await?;
        match waits {
            true => {
                gate.arrive();
                std::future::pending::<()>().await;
            }
            false => gate.pass(),
        }
        tx.execute(sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await
    });
    tokio::select! {
        biased;
        outcome = write => panic!("it waits at the gate: {outcome:?}"),
        () = control.wait() => {}
    }
    control.open();
    increment(&database).await?;
    assert_eq!(count(&database).await?, if waits { 1 } else { 3 }, "and the next one was not in its way");
    Ok(())
}

async fn a_read_whose_caller_goes_away_leaves_nothing_open(place: &Place) -> Result<()> {
    let database = open_narrow(place).await?;
    let (gate, mut control) = Gate::new();
    let waits = database.engine_name() == "postgresql";
    let read = database.read(async move |tx| {
        tx.query(sql!("SELECT n FROM counters"), &[]).await?;
        match waits {
            true => {
                gate.arrive();
                std::future::pending::<()>().await;
            }
            false => gate.pass(),
        }
        Ok::<_, Error>(())
    });
    tokio::select! {
        biased;
        outcome = read => panic!("it waits at the gate: {outcome:?}"),
        () = control.wait() => {}
    }
    control.open();
    increment(&database).await?;
    assert_eq!(count(&database).await?, 1, "a snapshot that was left open would still see nothing");
    Ok(())
}

/// On SQLite the writer would stand still for everybody.
#[tokio::test]
async fn a_transaction_of_the_embedded_engine_must_not_wait_for_anything_else() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    counter(&database).await?;
    let told = "the database refused a statement: a transaction waited for something other than its own statements: \
                do that before it or after it";
    let slept = database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE counters SET n = 100 WHERE id = 1"), &[]).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<_, Error>(())
        })
        .await;
    assert_eq!(slept.unwrap_err().to_string(), told);
    let inner = database.clone();
    let nested = database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE counters SET n = 100 WHERE id = 1"), &[]).await?;
            run(&inner, sql!("UPDATE counters SET n = 200 WHERE id = 1"), &[]).await
        })
        .await;
    assert_eq!(nested.unwrap_err().to_string(), told);
    increment(&database).await?;
    assert_eq!(count(&database).await?, 201, "the inner one was queued and went on its own; the outer ones were rolled back");
    Ok(())
}

/// SQLite then rolls back on its own, and with one transaction all that share its commit.
#[tokio::test]
async fn a_full_disk_is_told_to_everybody_in_the_group_and_passes() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    counter(&database).await?;
    run(&database, sql!("CREATE TABLE files (content bytea NOT NULL)"), &[]).await?;
    limit(&database, "64").await?;
    let (gate, mut control) = Gate::new();
    let first = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write(async move |tx| {
                    gate.pass();
                    tx.execute(sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await
                })
                .await
        }
    });
    control.wait().await;
    let insert = sql!("INSERT INTO files (content) VALUES ($1)");
    let too_large = params![vec![1_u8; 1 << 20]];
    let mut rest = Box::pin(async { tokio::join!(run(&database, insert, too_large), increment(&database)) });
    assert!((&mut rest).now_or_never().is_none());
    control.open();
    let (large, last) = rest.await;
    for (outcome, who) in [(first.await.unwrap(), "shared its commit"), (large, "filled the disk")] {
        assert!(matches!(&outcome, Err(Error::Unavailable(words)) if words.contains("full")), "the one that {who}: {outcome:?}");
    }
    last?;
    assert_eq!(count(&database).await?, 1, "only the one that came in a later group was kept");
    limit(&database, "1000000").await?;
    run(&database, insert, too_large).await?;
    Ok(())
}

async fn limit(database: &Database, pages: &str) -> Result<()> {
    let pragma = sql::Statement::generated(format!("PRAGMA max_page_count = {pages}"));
    database.write(async move |tx| tx.query(pragma, &[]).await.map(drop)).await
}

#[tokio::test]
async fn a_transaction_that_cannot_begin_says_why() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    counter(&database).await?;
    run(&database, sql!("PRAGMA query_only = 1"), &[]).await?;
    for refused in join_all((0..3).map(|_| increment(&database))).await {
        assert!(matches!(&refused, Err(Error::ReadOnly(words)) if words.contains("readonly")), "{refused:?}");
    }
    assert_eq!(count(&database).await?, 0);
    Ok(())
}
