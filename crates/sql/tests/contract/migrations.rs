//! Migrations run once, whole, in their order, by one runner, and only with the text they have always had.

use futures_util::future::join_all;
use sql::{Database, Error, Migration, Result, sql};
use tokio::task::JoinSet;

use crate::engines::{Place, on_both_engines, one, raw, run};

on_both_engines!(
    each_runs_once_and_in_its_order,
    a_new_one_runs_after_those_that_ran,
    one_that_fails_leaves_nothing_behind,
    one_whose_text_has_changed_is_refused,
    one_that_this_program_does_not_know_is_refused,
);
on_both_engines!(place: two_runners_at_once_run_each_once);

static ONE: [Migration; 1] = [Migration { name: "0001_one", text: "CREATE TABLE ones (id bigint PRIMARY KEY);\n" }];
static TWO: [Migration; 2] = [
    Migration { name: "0001_one", text: "CREATE TABLE ones (id bigint PRIMARY KEY);\n" },
    Migration { name: "0002_two", text: "INSERT INTO ones (id) VALUES (1);\nINSERT INTO ones (id) VALUES (2);\n" },
];

async fn ones(database: &Database) -> Result<i64> {
    one(database, sql!("SELECT count(*) FROM ones")).await
}

async fn each_runs_once_and_in_its_order(database: Database) -> Result<()> {
    assert_eq!(database.migrate(&TWO).await?, ["0001_one", "0002_two"]);
    assert_eq!(database.migrate(&TWO).await?, [""; 0]);
    assert_eq!(ones(&database).await?, 2);
    Ok(())
}

async fn a_new_one_runs_after_those_that_ran(database: Database) -> Result<()> {
    assert_eq!(database.migrate(&ONE).await?, ["0001_one"]);
    run(&database, sql!("INSERT INTO ones (id) VALUES (7)"), &[]).await?;
    assert_eq!(database.migrate(&TWO).await?, ["0002_two"]);
    assert_eq!(ones(&database).await?, 3);
    Ok(())
}

async fn one_that_fails_leaves_nothing_behind(database: Database) -> Result<()> {
    static BROKEN: [Migration; 2] = [
        Migration { name: "0001_one", text: "CREATE TABLE ones (id bigint PRIMARY KEY);\n" },
        Migration { name: "0002_broken", text: "INSERT INTO ones (id) VALUES (1);\nINSERT INTO nowhere (id) VALUES (1);\n" },
    ];
    let refused = database.migrate(&BROKEN).await.unwrap_err();
    assert!(matches!(&refused, Error::Migration(words) if words.contains("0002_broken") && words.contains("nowhere")), "{refused:?}");
    assert_eq!(database.schema(&BROKEN).await?.tables.len(), 0);
    assert_eq!(database.migrate(&TWO).await?, ["0001_one", "0002_two"]);
    assert_eq!(ones(&database).await?, 2);
    Ok(())
}

async fn one_whose_text_has_changed_is_refused(database: Database) -> Result<()> {
    static CHANGED: [Migration; 2] = [
        Migration { name: "0001_one", text: "CREATE TABLE ones (id bigint PRIMARY KEY, name text);\n" },
        Migration { name: "0002_two", text: "INSERT INTO ones (id) VALUES (1);\n" },
    ];
    database.migrate(&ONE).await?;
    let refused = database.migrate(&CHANGED).await.unwrap_err();
    let told = "the migration 0001_one was changed after it ran here: restore its text and add a new migration instead";
    assert_eq!(refused.to_string(), told);
    assert_eq!(ones(&database).await?, 0, "none of the others ran");
    Ok(())
}

async fn one_that_this_program_does_not_know_is_refused(database: Database) -> Result<()> {
    database.migrate(&TWO).await?;
    let refused = database.migrate(&ONE).await.unwrap_err();
    let told = "this database has the migration 0002_two, which this program does not know: run a newer freehold";
    assert_eq!(refused.to_string(), told);
    Ok(())
}

async fn two_runners_at_once_run_each_once(place: &Place) -> Result<()> {
    let first = place.open().await?;
    let mut runners = vec![first.clone(); 8];
    if first.engine_name() == "postgresql" {
        for runner in &mut runners[1..] {
            *runner = place.open().await?;
        }
    }
    let mut ran = Vec::new();
    for outcome in join_all(runners.iter().map(|runner| runner.migrate(&TWO))).await {
        ran.extend(outcome?);
    }
    assert_eq!(ran, ["0001_one", "0002_two"]);
    assert_eq!(ones(&first).await?, 2);
    Ok(())
}

/// Both would read that it has not run yet and run it, were it not for the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_runner_that_comes_second_to_an_upgrade_waits_and_finds_nothing_to_do() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    database.migrate(&ONE).await?;
    let blocker = raw(&place.options.url).await;
    blocker.batch_execute("BEGIN; LOCK TABLE ones IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut runners = JoinSet::new();
    for _ in 0..2 {
        let database = database.clone();
        runners.spawn(async move { database.migrate(&TWO).await });
    }
    until_waiting(&place, 2, &mut runners).await;
    blocker.batch_execute("COMMIT").await.unwrap();
    let mut ran = Vec::new();
    while let Some(runner) = runners.join_next().await {
        ran.extend(runner.unwrap()?);
    }
    assert_eq!(ran, ["0002_two"]);
    assert_eq!(ones(&database).await?, 2);
    place.remove().await;
    Ok(())
}

/// `CREATE TABLE IF NOT EXISTS` is not atomic on PostgreSQL: of two that meet, one is told of a duplicate it cannot see.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_runner_that_meets_the_very_first_one_waits_for_it() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    let first = raw(&place.options.url).await;
    first.batch_execute("BEGIN; CREATE TABLE schema_migrations (name text PRIMARY KEY, checksum text NOT NULL)").await.unwrap();
    let mut runners = JoinSet::new();
    runners.spawn(async move { database.migrate(&TWO).await });
    until_waiting(&place, 1, &mut runners).await;
    first.batch_execute("COMMIT").await.unwrap();
    assert_eq!(runners.join_next().await.unwrap().unwrap()?, ["0001_one", "0002_two"]);
    place.remove().await;
    Ok(())
}

/// Asks PostgreSQL until so many of the runners wait for a lock; none of them may end before.
async fn until_waiting(place: &Place, count: usize, runners: &mut JoinSet<Result<Vec<&'static str>>>) {
    let watcher = raw(&place.options.url).await;
    let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watcher.query(waiting, &[]).await.unwrap().len() < count {
        if let Some(ended) = runners.try_join_next() {
            panic!("it waits for those that came before: {ended:?}");
        }
    }
}

/// Statements of requests have a time limit, which the rebuilding of a large table must not run into.
#[tokio::test]
async fn a_migration_may_take_its_time() -> Result<()> {
    static SLOW: [Migration; 1] = [Migration { name: "0001_slow", text: "SELECT pg_sleep(0.5);\n" }];
    let mut place = Place::postgres().await;
    let url = place.options.url.clone();
    place.options.url = format!("{url}?options=-c%20statement_timeout%3D100ms");
    let database = place.open().await?;
    let slow = one::<i64>(&database, sql!("SELECT 1::bigint FROM (SELECT pg_sleep(0.5)) AS slow")).await;
    assert!(matches!(slow, Err(Error::Unavailable(_))), "the limit holds for everybody else: {slow:?}");
    assert_eq!(database.migrate(&SLOW).await?, ["0001_slow"]);
    let slow = one::<i64>(&database, sql!("SELECT 1::bigint FROM (SELECT pg_sleep(0.5)) AS slow")).await;
    assert!(matches!(slow, Err(Error::Unavailable(_))), "and afterwards still does: {slow:?}");
    place.options.url = url;
    place.remove().await;
    Ok(())
}
