//! What a transaction asks to be done on its commit is done after the commit, before its caller hears of it, and never otherwise.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::join_all;
use sql::{Database, Error, Options, Result, Statement, params, sql};

use crate::engines::{Gate, Place, on_both_engines, one, run};

on_both_engines!(
    a_hook_runs_after_the_commit_and_before_the_answer,
    hooks_run_in_the_order_they_were_given,
    a_hook_never_runs_after_a_roll_back,
    a_hook_never_runs_after_a_refused_commit,
    a_hook_never_runs_after_a_read,
    of_transactions_that_wait_together_only_the_kept_ones_run_their_hooks,
    a_hook_that_panics_harms_no_one,
);

const TABLE: Statement = sql!("CREATE TABLE notes (id bigint PRIMARY KEY)");
const INSERT: Statement = sql!("INSERT INTO notes (id) VALUES ($1)");
const COUNT: Statement = sql!("SELECT count(*) FROM notes");

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, words: impl Into<String>) {
    log.lock().unwrap().push(words.into());
}

fn noted(log: &Log) -> Vec<String> {
    log.lock().unwrap().clone()
}

async fn a_hook_runs_after_the_commit_and_before_the_answer(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let (gate, mut control) = Gate::new();
    let writer = tokio::spawn({
        let database = database.clone();
        async move {
            let gate = Mutex::new(Some(gate));
            database
                .write(async move |tx| {
                    let gate = gate.lock().unwrap().take().unwrap();
                    tx.on_commit(move || gate.pass());
                    tx.execute(INSERT, params![1]).await
                })
                .await
        }
    });
    control.wait().await;
    assert_eq!(one::<i64>(&database, COUNT).await?, 1, "the hook runs after the commit");
    assert!(!writer.is_finished(), "the hook runs before the answer");
    control.open();
    assert_eq!(writer.await.unwrap()?, 1);
    Ok(())
}

async fn hooks_run_in_the_order_they_were_given(database: Database) -> Result<()> {
    let log = Log::default();
    let noting = log.clone();
    database
        .write(async move |tx| {
            for number in 1..=3 {
                let log = noting.clone();
                tx.on_commit(move || note(&log, number.to_string()));
            }
            note(&noting, "end of the transaction");
            Ok::<_, Error>(())
        })
        .await?;
    assert_eq!(noted(&log), ["end of the transaction", "1", "2", "3"]);
    Ok(())
}

async fn a_hook_never_runs_after_a_roll_back(database: Database) -> Result<()> {
    let log = Log::default();
    for kind in ["error", "panic"] {
        let log = log.clone();
        let refused = database
            .write(async move |tx| {
                let log = log.clone();
                tx.on_commit(move || note(&log, "hook"));
                if kind == "panic" {
                    panic!("no more")
                }
                Err::<(), _>(Error::Migration("no more".into()))
            })
            .await;
        assert!(refused.is_err());
    }
    // A transaction that is kept must not run what an earlier one has left behind.
    run(&database, TABLE, &[]).await?;
    assert_eq!(noted(&log), [""; 0]);
    Ok(())
}

async fn a_hook_never_runs_after_a_refused_commit(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let later = sql!("CREATE TABLE replies (note_id bigint NOT NULL REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)");
    run(&database, later, &[]).await?;
    let log = Log::default();
    let noting = log.clone();
    let refused = database
        .write(async move |tx| {
            let log = noting.clone();
            tx.on_commit(move || note(&log, "hook"));
            tx.execute(sql!("INSERT INTO replies (note_id) VALUES (9)"), &[]).await
        })
        .await;
    assert!(matches!(refused, Err(Error::ForeignKey(_))), "{refused:?}");
    run(&database, INSERT, params![1]).await?;
    assert_eq!(noted(&log), [""; 0]);
    assert_eq!(one::<i64>(&database, sql!("SELECT count(*) FROM replies")).await?, 0);
    Ok(())
}

async fn a_hook_never_runs_after_a_read(database: Database) -> Result<()> {
    let log = Log::default();
    let witness = Arc::downgrade(&log);
    database
        .read(async move |tx| {
            let log = log.clone();
            tx.on_commit(move || note(&log, "hook"));
            Ok::<_, Error>(())
        })
        .await?;
    // The reader that is asked next may be another one: all of them have forgotten the hook when each has been asked.
    for _ in 0..16 {
        one::<i64>(&database, sql!("SELECT CAST(1 AS bigint)")).await?;
    }
    assert_eq!(witness.strong_count(), 0, "the hook is forgotten with its transaction");
    Ok(())
}

async fn of_transactions_that_wait_together_only_the_kept_ones_run_their_hooks(database: Database) -> Result<()> {
    let log = many_waiting_transactions(&database, 20).await?;
    for number in 0..20 {
        let hooks = log.iter().filter(|words| **words == format!("hook {number}")).count();
        assert_eq!(hooks, usize::from(number % 2 == 0), "transaction {number}: {log:?}");
    }
    if database.engine_name() == "sqlite" {
        let last_body = log.iter().rposition(|words| words.starts_with("body")).unwrap();
        let first_hook = log.iter().position(|words| words.starts_with("hook")).unwrap();
        assert!(last_body < first_hook, "all of them are one commit: {log:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_groups_of_one_each_transaction_has_its_own_commit() -> Result<()> {
    let mut place = Place::sqlite();
    place.options = Options { group: 1, ..place.options.clone() };
    let log = many_waiting_transactions(&place.open().await?, 5).await?;
    assert_eq!(log, ["body 0", "hook 0", "body 1", "body 2", "hook 2", "body 3", "body 4", "hook 4"]);
    Ok(())
}

/// Runs transactions that all wait behind one, keeps every second of them, and returns what happened in which order.
async fn many_waiting_transactions(database: &Database, count: i64) -> Result<Vec<String>> {
    run(database, TABLE, &[]).await?;
    let (gate, mut control) = Gate::new();
    let blocker = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write(async move |_| {
                    gate.pass();
                    Ok::<_, Error>(())
                })
                .await
        }
    });
    control.wait().await;
    let log = Log::default();
    let mut waiting = Box::pin(join_all((0..count).map(|number| hooked(database.clone(), number, log.clone()))));
    // Polled once, each of them is under way.
    assert!((&mut waiting).now_or_never().is_none());
    control.open();
    blocker.await.unwrap()?;
    for (number, outcome) in waiting.await.into_iter().enumerate() {
        assert_eq!(outcome.is_ok(), number % 2 == 0);
    }
    let kept = one::<i64>(database, COUNT).await?;
    assert_eq!(kept, (count + 1) / 2);
    Ok(noted(&log))
}

async fn hooked(database: Database, number: i64, log: Log) -> Result<()> {
    database
        .write(async move |tx| {
            tx.execute(INSERT, params![number]).await?;
            note(&log, format!("body {number}"));
            let log = log.clone();
            tx.on_commit(move || note(&log, format!("hook {number}")));
            if number % 2 == 0 { Ok(()) } else { Err(Error::Migration("not this one".into())) }
        })
        .await
}

/// Its commit may be kept, and what ends with it must end with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hook_runs_when_the_caller_goes_away_during_the_commit_on_postgresql() -> Result<()> {
    let place = Place::postgres().await;
    let database = place.open().await?;
    run(&database, TABLE, &[]).await?;
    let wait =
        sql!("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END'");
    run(&database, wait, &[]).await?;
    let at_the_commit =
        sql!("CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()");
    run(&database, at_the_commit, &[]).await?;
    let (gate, mut control) = Gate::new();
    let blocker = tokio::spawn({
        let database = database.clone();
        async move {
            let hold = database.write(async move |tx| {
                tx.query(sql!("SELECT CAST(pg_advisory_xact_lock(7) AS text)"), &[]).await?;
                gate.pass();
                Ok::<_, Error>(())
            });
            hold.await
        }
    });
    control.wait().await;
    let log = Log::default();
    let noting = log.clone();
    let committing = tokio::spawn({
        let database = database.clone();
        async move {
            let write = database.write(async move |tx| {
                let (sure, any) = (noting.clone(), noting.clone());
                tx.on_sure_commit(move || note(&sure, "sure"));
                tx.on_commit(move || note(&any, "any"));
                tx.execute(INSERT, params![1]).await
            });
            write.await
        }
    });
    let waiting =
        sql!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'advisory'");
    while one::<i64>(&database, waiting).await? == 0 {}
    assert_eq!(noted(&log), [""; 0]);
    committing.abort();
    assert!(committing.await.unwrap_err().is_cancelled());
    assert_eq!(noted(&log), ["any"], "what needs a sure commit is not done");
    control.open();
    blocker.await.unwrap()?;
    place.remove().await;
    Ok(())
}

async fn a_hook_that_panics_harms_no_one(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let log = Log::default();
    let noting = log.clone();
    let kept = database
        .write(async move |tx| {
            let log = noting.clone();
            tx.on_commit(|| panic!("a hook of the test"));
            tx.on_commit(move || note(&log, "the next hook"));
            tx.execute(INSERT, params![1]).await
        })
        .await;
    assert_eq!(kept?, 1, "what is committed is no error");
    assert_eq!(noted(&log), ["the next hook"]);
    run(&database, INSERT, params![2]).await?;
    assert_eq!(one::<i64>(&database, COUNT).await?, 2);
    Ok(())
}
