//! What a transaction asks to be done on its commit is done after the commit, before its caller hears of it, and never otherwise.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::{MaybeDone, maybe_done};
use sql::{Database, Error, Options, Result, Statement, params, sql};

use crate::engines::{Gate, Place, on_both_engines, one, run};

on_both_engines!(
    a_hook_runs_after_the_commit_and_before_the_answer,
    hooks_run_in_the_order_they_were_given,
    a_hook_never_runs_after_a_roll_back,
    a_hook_never_runs_after_a_refused_commit,
    a_hook_never_runs_after_a_read,
    of_transactions_that_wait_together_only_the_kept_ones_run_their_hooks,
    a_hook_that_panics_harms_nobody,
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
    let (gate, mut door) = Gate::new();
    let writer = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write(Mutex::new(Some(gate)), |tx, gate| {
                    Box::pin(async move {
                        let gate = gate.lock().unwrap().take().unwrap();
                        tx.on_commit(move || gate.pass());
                        tx.execute(INSERT, params![1]).await
                    })
                })
                .await
        }
    });
    door.wait().await;
    assert_eq!(one::<i64>(&database, COUNT).await?, 1, "the hook runs after the commit");
    assert!(!writer.is_finished(), "the hook runs before the answer");
    door.open();
    assert_eq!(writer.await.unwrap()?, 1);
    Ok(())
}

async fn hooks_run_in_the_order_they_were_given(database: Database) -> Result<()> {
    let log = Log::default();
    database
        .write(log.clone(), |tx, log| {
            Box::pin(async move {
                for number in 1..=3 {
                    let log = log.clone();
                    tx.on_commit(move || note(&log, number.to_string()));
                }
                note(log, "end of the transaction");
                Ok::<_, Error>(())
            })
        })
        .await?;
    assert_eq!(noted(&log), ["end of the transaction", "1", "2", "3"]);
    Ok(())
}

async fn a_hook_never_runs_after_a_roll_back(database: Database) -> Result<()> {
    let log = Log::default();
    for kind in ["error", "panic"] {
        let refused = database
            .write((kind, log.clone()), |tx, (kind, log)| {
                Box::pin(async move {
                    let log = log.clone();
                    tx.on_commit(move || note(&log, "hook"));
                    if *kind == "panic" {
                        panic!("no more")
                    }
                    Err::<(), _>(Error::Migration("no more".into()))
                })
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
    let refused = database
        .write(log.clone(), |tx, log| {
            Box::pin(async move {
                let log = log.clone();
                tx.on_commit(move || note(&log, "hook"));
                tx.execute(sql!("INSERT INTO replies (note_id) VALUES (9)"), &[]).await
            })
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
        .read(log, |tx, log| {
            Box::pin(async move {
                let log = log.clone();
                tx.on_commit(move || note(&log, "hook"));
                Ok::<_, Error>(())
            })
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
    let (gate, mut door) = Gate::new();
    let blocker = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .write(gate, |_, gate| {
                    Box::pin(async move {
                        gate.pass();
                        Ok::<_, Error>(())
                    })
                })
                .await
        }
    });
    door.wait().await;
    let log = Log::default();
    let mut waiting: Vec<_> = (0..count).map(|number| begun(hooked(database.clone(), number, log.clone()))).collect();
    door.open();
    blocker.await.unwrap()?;
    for (number, write) in waiting.iter_mut().enumerate() {
        write.as_mut().await;
        assert_eq!(write.as_mut().take_output().unwrap().is_ok(), number % 2 == 0);
    }
    let kept = one::<i64>(database, COUNT).await?;
    assert_eq!(kept, (count + 1) / 2);
    Ok(noted(&log))
}

async fn hooked(database: Database, number: i64, log: Log) -> Result<()> {
    database
        .write((number, log), |tx, (number, log)| {
            Box::pin(async move {
                let number = *number;
                tx.execute(INSERT, params![number]).await?;
                note(log, format!("body {number}"));
                let log = log.clone();
                tx.on_commit(move || note(&log, format!("hook {number}")));
                if number % 2 == 0 { Ok(()) } else { Err(Error::Migration("not this one".into())) }
            })
        })
        .await
}

/// A future that has been polled once, so that what it waits for is under way.
fn begun<F: Future>(future: F) -> Pin<Box<MaybeDone<F>>> {
    let mut future = Box::pin(maybe_done(future));
    let _ = (&mut future).now_or_never();
    future
}

async fn a_hook_that_panics_harms_nobody(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let log = Log::default();
    let kept = database
        .write(log.clone(), |tx, log| {
            Box::pin(async move {
                let log = log.clone();
                tx.on_commit(|| panic!("a hook of the test"));
                tx.on_commit(move || note(&log, "the next hook"));
                tx.execute(INSERT, params![1]).await
            })
        })
        .await;
    assert_eq!(kept?, 1, "what is committed is no error");
    assert_eq!(noted(&log), ["the next hook"]);
    run(&database, INSERT, params![2]).await?;
    assert_eq!(one::<i64>(&database, COUNT).await?, 2);
    Ok(())
}
