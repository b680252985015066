//! Many callers at once: no update is lost, no caller gets a deadlock as an error, and writes that a caller waits for are counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sql::{Database, Error, Result, Tx, params, sql};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::engines::{Gate, Place, on_both_engines, one, run};

on_both_engines!(sixty_four_writers_lose_no_update, the_one_that_has_a_key_is_alone_with_it, readers_and_a_writer_run_side_by_side);
on_both_engines!(place: long_work_is_told_from_what_a_caller_waits_for);

async fn counters(database: &Database) -> Result<()> {
    run(database, sql!("CREATE TABLE counters (id bigint PRIMARY KEY, n bigint NOT NULL)"), &[]).await?;
    run(database, sql!("INSERT INTO counters (id, n) VALUES (1, 0), (2, 0)"), &[]).await?;
    Ok(())
}

/// Adds one as a step of long work.
async fn behind(database: &Database, may_be_lost: bool) -> Result<()> {
    let statement = sql!("UPDATE counters SET n = n + 1 WHERE id = 1");
    let add = statement;
    database.write_behind(may_be_lost, async move |tx| tx.execute(add, &[]).await.map(drop)).await
}

async fn sixty_four_writers_lose_no_update(database: Database) -> Result<()> {
    counters(&database).await?;
    let mut writers = JoinSet::new();
    for number in 0..64 {
        let database = database.clone();
        writers.spawn(async move {
            for _ in 0..4 {
                // Every fourth is at long work, which others do not wait for to be durable.
                if number % 4 == 0 {
                    behind(&database, true).await?;
                    continue;
                }
                run(&database, sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap()?;
    }
    assert_eq!(one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1")).await?, 256);
    Ok(())
}

const KEY: Uuid = Uuid::from_u128(7);

async fn the_one_that_has_a_key_is_alone_with_it(database: Database) -> Result<()> {
    counters(&database).await?;
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let database = database.clone();
        writers.spawn(async move {
            let add = database.write(async move |tx| {
                tx.seize(KEY).await?;
                // Two who both read before one of them writes would lose an update.
                let n: i64 = tx.read_one(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await?;
                tx.execute(sql!("UPDATE counters SET n = $1 WHERE id = 1"), params![n + 1]).await
            });
            add.await
        });
    }
    while let Some(writer) = writers.join_next().await {
        assert_eq!(writer.unwrap()?, 1);
    }
    assert_eq!(one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1")).await?, 16);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_share_a_key_do_not_wait_for_each_other_on_postgresql() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    let meeting = Arc::new(Barrier::new(2));
    let share = || {
        let meeting = meeting.clone();
        database.write(async move |tx| {
            tx.share(KEY).await?;
            meeting.wait().await;
            Ok::<_, Error>(())
        })
    };
    let both = async { tokio::join!(share(), share()) };
    let (one, other) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("one waits for the other");
    one.and(other)?;
    place.remove().await;
    Ok(())
}

async fn share_until(tx: &mut Tx, gate: &Gate) -> Result<()> {
    tx.share(KEY).await?;
    gate.pass();
    Ok(())
}

/// A transaction that waits for a key keeps others from it for a few seconds at the most. One that asks without waiting is told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_waits_for_a_key_gives_up_on_postgresql() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    let (gate, mut control) = Gate::new();
    let sharer = tokio::spawn({
        let database = database.clone();
        async move { database.write(async move |tx| share_until(tx, &gate).await).await }
    });
    control.wait().await;
    let seizes = database.write(async move |tx| tx.seize(KEY).await);
    let try_to_share = || database.write(async move |tx| tx.try_share(KEY).await);
    assert!(try_to_share().await?, "several share it");
    let look = async {
        let waiting = sql!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'");
        while one::<i64>(&database, waiting).await? == 0 {}
        try_to_share().await
    };
    let (seized, shared) = tokio::join!(seizes, look);
    assert!(!shared?, "a transaction waits for it");
    assert!(matches!(seized, Err(Error::Unavailable(_))), "{seized:?}");
    control.open();
    sharer.await.unwrap()?;
    database.write(async move |tx| tx.seize(KEY).await).await?;
    place.remove().await;
    Ok(())
}

async fn level(tx: &mut Tx) -> Result<String> {
    tx.read_one(sql!("SELECT current_setting('transaction_isolation')"), &[]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_transaction_that_has_waited_for_a_key_sees_what_was_done_under_it_whatever_postgresql_is_set_to() -> Result<()> {
    let place = Place::postgres().await;
    let set = sql!(
        "DO $$ BEGIN
             EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());
         END $$"
    );
    run(&place.open().await?, set, &[]).await?;
    let database = place.open().await?;
    assert_eq!(database.write(async move |tx| level(tx).await).await?, "read committed");
    assert_eq!(database.write_behind(true, async move |tx| level(tx).await).await?, "read committed");
    place.remove().await;
    Ok(())
}

async fn readers_and_a_writer_run_side_by_side(database: Database) -> Result<()> {
    counters(&database).await?;
    let (gate, mut control) = Gate::new();
    let writer = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write(async move |tx| {
                    tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await?;
                    gate.pass();
                    Ok::<_, Error>(())
                })
                .await
        }
    });
    control.wait().await;
    assert_eq!(one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1")).await?, 0, "a reader neither waits nor sees");
    control.open();
    writer.await.unwrap()?;
    assert_eq!(one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1")).await?, 5);
    Ok(())
}

async fn long_work_is_told_from_what_a_caller_waits_for(place: &Place) -> Result<()> {
    let database = place.open().await?;
    counters(&database).await?;
    let before = database.prompt_writes();
    for may_be_lost in [true, false] {
        behind(&database, may_be_lost).await?;
    }
    assert_eq!(database.prompt_writes(), before);
    run(&database, sql!("UPDATE counters SET n = n + 1 WHERE id = 1"), &[]).await?;
    assert_eq!(one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1")).await?, 3, "what may be lost is seen at once");
    assert_eq!(database.prompt_writes(), before + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deadlock_is_run_again_and_both_succeed() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    counters(&database).await?;
    let meeting = Arc::new(Barrier::new(2));
    let attempts = Arc::new(AtomicUsize::new(0));
    let hooks = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for rows in [[1, 2], [2, 1]] {
        let (database, meeting, attempts, hooks) = (database.clone(), meeting.clone(), attempts.clone(), hooks.clone());
        writers.spawn(async move {
            database
                .write(async move |tx| {
                    let update = sql!("UPDATE counters SET n = n + 1 WHERE id = $1");
                    let hooks = hooks.clone();
                    tx.on_commit(move || {
                        hooks.fetch_add(1, Ordering::SeqCst);
                    });
                    tx.execute(update, params![rows[0]]).await?;
                    if attempts.fetch_add(1, Ordering::SeqCst) < 2 {
                        meeting.wait().await;
                    }
                    tx.execute(update, params![rows[1]]).await
                })
                .await
        });
    }
    while let Some(writer) = writers.join_next().await {
        assert_eq!(writer.unwrap()?, 1);
    }
    assert!(attempts.load(Ordering::SeqCst) > 2, "the two have met");
    assert_eq!(hooks.load(Ordering::SeqCst), 2, "only the attempts that were kept count");
    for row in [sql!("SELECT n FROM counters WHERE id = 1"), sql!("SELECT n FROM counters WHERE id = 2")] {
        assert_eq!(one::<i64>(&database, row).await?, 2);
    }
    place.remove().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn searches_take_no_reader_of_sqlite_away_from_other_reads() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    counters(&database).await?;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut searches = JoinSet::new();
    for _ in 0..64 {
        let (database, held) = (database.clone(), held.clone());
        searches.spawn(async move {
            let wait = async move |_: &mut Tx| Ok::<_, Error>(held.lock().unwrap().recv().is_err());
            database.search(wait).await
        });
    }
    for _ in 0..64 {
        let read = one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 1"));
        let answer = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert_eq!(answer.expect("a reader is free")?, 0);
        tokio::task::yield_now().await;
    }
    drop(release);
    while let Some(search) = searches.join_next().await {
        assert!(search.unwrap()?);
    }
    Ok(())
}

/// How far behind others the calling thread stands: the 19th field of its line, of which the second is a name in parentheses.
#[cfg(target_os = "linux")]
fn place_of_this_thread() -> i32 {
    let line = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    line.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_reads_for_long_on_sqlite_stands_behind_others_and_what_comes_after_it_does_not() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    let own = place_of_this_thread();
    let read = async |steps: i64| {
        database
            .read(async move |tx| {
                let count = sql!(
                    "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < $1) SELECT count(*) FROM counted"
                );
                tx.query_one(count, params![steps]).await?;
                Ok::<_, Error>(place_of_this_thread())
            })
            .await
    };
    for _ in 0..40 {
        assert_eq!(read(10).await?, own);
        assert!(read(100_000).await? > own);
    }
    Ok(())
}
