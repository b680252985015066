//! A transaction is kept whole or not at all, and what it kept is there for the next reader.

use sql::{Database, Error, Result, params, sql};

use crate::engines::{Gate, on_both_engines, one, run};

on_both_engines!(
    what_was_written_is_there_for_the_next_read,
    a_transaction_reads_what_it_wrote,
    an_error_rolls_back,
    an_error_in_the_middle_rolls_back_what_went_before,
    a_statement_that_failed_is_never_committed_even_when_its_error_is_swallowed,
    a_transaction_goes_no_further_than_its_first_failed_statement,
    a_read_sees_one_moment,
    a_read_writes_nothing,
    a_second_row_is_an_error_where_one_is_expected,
    no_row_is_an_error_where_one_is_expected,
    a_statement_tells_how_many_rows_it_changed,
    several_statements_run_in_their_order_and_the_first_failure_is_the_answer,
    a_written_row_can_be_returned,
);

async fn table(database: &Database) -> Result<()> {
    run(database, sql!("CREATE TABLE counters (id bigint PRIMARY KEY, n bigint NOT NULL)"), &[]).await?;
    run(database, sql!("INSERT INTO counters (id, n) VALUES (1, 0)"), &[]).await?;
    Ok(())
}

async fn first(database: &Database) -> Result<i64> {
    one(database, sql!("SELECT n FROM counters WHERE id = 1")).await
}

async fn rows(database: &Database) -> Result<i64> {
    one(database, sql!("SELECT count(*) FROM counters")).await
}

async fn what_was_written_is_there_for_the_next_read(database: Database) -> Result<()> {
    table(&database).await?;
    for round in 1..=200 {
        run(&database, sql!("UPDATE counters SET n = $1 WHERE id = 1"), params![round]).await?;
        assert_eq!(first(&database).await?, round);
    }
    Ok(())
}

async fn a_transaction_reads_what_it_wrote(database: Database) -> Result<()> {
    table(&database).await?;
    let read = database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await?;
            tx.read_one::<i64>(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await
        })
        .await?;
    assert_eq!(read, 5);
    Ok(())
}

async fn an_error_rolls_back(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await?;
            Err::<(), _>(Error::Migration("changed my mind".into()))
        })
        .await;
    assert_eq!(refused.unwrap_err().to_string(), "changed my mind");
    assert_eq!(first(&database).await?, 0);
    Ok(())
}

async fn an_error_in_the_middle_rolls_back_what_went_before(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = database
        .write(async move |tx| {
            tx.execute(sql!("INSERT INTO counters (id, n) VALUES (2, 0)"), &[]).await?;
            tx.execute(sql!("INSERT INTO counters (id, n) VALUES (1, 0)"), &[]).await?;
            tx.execute(sql!("INSERT INTO counters (id, n) VALUES (3, 0)"), &[]).await
        })
        .await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(rows(&database).await?, 1);
    Ok(())
}

/// PostgreSQL answers a COMMIT after a failed statement with a silent roll-back: unless the crate watches, the caller is told of a
/// success that never was.
async fn a_statement_that_failed_is_never_committed_even_when_its_error_is_swallowed(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = database
        .write(async move |tx| {
            tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await?;
            let _ = tx.execute(sql!("INSERT INTO counters (id, n) VALUES (1, 0)"), &[]).await;
            Ok::<_, Error>(())
        })
        .await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(first(&database).await?, 0);
    run(&database, sql!("UPDATE counters SET n = 6 WHERE id = 1"), &[]).await?;
    assert_eq!(first(&database).await?, 6);
    Ok(())
}

async fn a_transaction_goes_no_further_than_its_first_failed_statement(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = database
        .write(async move |tx| {
            let _ = tx.execute(sql!("INSERT INTO counters (id, n) VALUES (1, 0)"), &[]).await;
            tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await
        })
        .await;
    assert!(matches!(refused, Err(Error::Unique(_))), "the first failure is the news, not what came of it: {refused:?}");
    assert_eq!(first(&database).await?, 0);
    Ok(())
}

async fn a_read_sees_one_moment(database: Database) -> Result<()> {
    table(&database).await?;
    let (gate, mut control) = Gate::new();
    let reader = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .read(async move |tx| {
                    let before: i64 = tx.read_one(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await?;
                    gate.pass();
                    let after: i64 = tx.read_one(sql!("SELECT n FROM counters WHERE id = 1"), &[]).await?;
                    Ok::<_, Error>((before, after))
                })
                .await
        }
    });
    control.wait().await;
    run(&database, sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await?;
    control.open();
    assert_eq!(reader.await.unwrap()?, (0, 0));
    assert_eq!(first(&database).await?, 5);
    Ok(())
}

async fn a_read_writes_nothing(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = database.read(async move |tx| tx.execute(sql!("UPDATE counters SET n = 5 WHERE id = 1"), &[]).await).await;
    assert!(matches!(refused, Err(Error::Statement(_))), "{refused:?}");
    assert_eq!(first(&database).await?, 0);
    Ok(())
}

async fn a_second_row_is_an_error_where_one_is_expected(database: Database) -> Result<()> {
    table(&database).await?;
    run(&database, sql!("INSERT INTO counters (id, n) VALUES (2, 0)"), &[]).await?;
    let refused = one::<i64>(&database, sql!("SELECT n FROM counters")).await;
    assert_eq!(refused.unwrap_err().to_string(), "the database refused a statement: more than one row where one at the most was expected");
    Ok(())
}

async fn no_row_is_an_error_where_one_is_expected(database: Database) -> Result<()> {
    table(&database).await?;
    let refused = one::<i64>(&database, sql!("SELECT n FROM counters WHERE id = 9")).await;
    assert_eq!(refused.unwrap_err().to_string(), "the database refused a statement: no row where one was expected");
    let absent = database.read(async move |tx| tx.query_opt(sql!("SELECT n FROM counters WHERE id = 9"), &[]).await).await?;
    assert!(absent.is_none());
    Ok(())
}

async fn a_statement_tells_how_many_rows_it_changed(database: Database) -> Result<()> {
    table(&database).await?;
    assert_eq!(run(&database, sql!("INSERT INTO counters (id, n) VALUES (2, 0), (3, 0)"), &[]).await?, 2);
    assert_eq!(run(&database, sql!("UPDATE counters SET n = 1 WHERE id > 1"), &[]).await?, 2);
    assert_eq!(run(&database, sql!("UPDATE counters SET n = 1 WHERE id > 9"), &[]).await?, 0);
    assert_eq!(run(&database, sql!("DELETE FROM counters"), &[]).await?, 3);
    Ok(())
}

async fn several_statements_run_in_their_order_and_the_first_failure_is_the_answer(database: Database) -> Result<()> {
    table(&database).await?;
    let add = sql!("INSERT INTO counters (id, n) SELECT count(*) + 1, 7 FROM counters RETURNING id");
    let answers = database
        .write(async move |tx| {
            let answers = tx.query_all(&[(add, &[]), (add, &[]), (sql!("SELECT count(*) FROM counters"), &[])]).await?;
            let mut numbers = Vec::new();
            for mut rows in answers {
                numbers.push(rows.remove(0).read::<i64>()?);
            }
            Ok::<_, Error>(numbers)
        })
        .await?;
    assert_eq!(answers[1], answers[0] + 1);
    assert_eq!(answers[2], rows(&database).await?);
    let refused: Result<()> = database
        .write(async move |tx| {
            let twice = params![1];
            let again = sql!("INSERT INTO counters (id, n) VALUES ($1, 7)");
            tx.query_all(&[(add, &[]), (again, twice), (add, &[])]).await.map(drop)
        })
        .await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(rows(&database).await?, answers[2], "nothing of it was kept");
    Ok(())
}

async fn a_written_row_can_be_returned(database: Database) -> Result<()> {
    table(&database).await?;
    let next = sql!("UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n");
    let count = database.write(async move |tx| tx.read_one::<i64>(next, params![1]).await).await?;
    assert_eq!(count, 1);
    assert_eq!(first(&database).await?, 1);
    Ok(())
}
