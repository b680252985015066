//! Every kind of value goes in and comes back the same on both engines, whatever SQLite makes of its type's name.

use std::fmt::Debug;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sql::{Database, Error, FromValue, Result, Statement, Value, params, sql};
use uuid::Uuid;

use crate::engines::{on_both_engines, one, run};

on_both_engines!(
    booleans_survive,
    numbers_survive,
    text_survives_even_where_it_looks_like_a_number,
    bytes_survive,
    uuids_survive,
    times_survive_to_the_microsecond,
    json_survives,
    null_survives_in_every_type,
    null_is_no_value_of_a_required_type,
    a_column_is_not_read_as_another_type,
    a_row_ends_after_its_last_column,
    parameters_are_bound_by_their_number,
    a_dollar_inside_quotes_or_a_comment_is_no_parameter,
    a_list_finds_each_of_its_members_once,
    an_object_contains_another_that_has_some_of_its_members,
);

const TABLE: Statement =
    sql!("CREATE TABLE kinds (flag boolean, number bigint, words text, bytes bytea, id uuid, happened timestamptz, document jsonb)");

async fn survive<T>(database: Database, column: &str, values: impl IntoIterator<Item = T>) -> Result<()>
where
    T: FromValue + Into<Value> + Clone + PartialEq + Debug + Send + 'static,
{
    run(&database, TABLE, &[]).await?;
    let insert = Statement::generated(format!("INSERT INTO kinds ({column}) VALUES ($1)"));
    let select = Statement::generated(format!("SELECT {column} FROM kinds"));
    for value in values {
        run(&database, insert, &[value.clone().into()]).await?;
        assert_eq!(one::<T>(&database, select).await?, value);
        run(&database, sql!("DELETE FROM kinds"), &[]).await?;
    }
    Ok(())
}

async fn booleans_survive(database: Database) -> Result<()> {
    survive(database, "flag", [true, false]).await
}

async fn numbers_survive(database: Database) -> Result<()> {
    survive(database, "number", [0, 1, -1, i64::MIN, i64::MAX]).await
}

async fn text_survives_even_where_it_looks_like_a_number(database: Database) -> Result<()> {
    let texts = ["", "plain", "  padded  ", "it's \"quoted\"", "two\nlines", "Füße 🦀", "007", "1.50", "1e5", "NULL", "true"];
    survive(database, "words", texts.map(str::to_owned)).await
}

async fn bytes_survive(database: Database) -> Result<()> {
    survive(database, "bytes", [vec![], vec![0], b"123".to_vec(), (0..=255).collect()]).await
}

async fn uuids_survive(database: Database) -> Result<()> {
    survive(database, "id", [Uuid::nil(), Uuid::max(), Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)]).await
}

async fn times_survive_to_the_microsecond(database: Database) -> Result<()> {
    let times = [0, 1, -1, 946_684_800_000_000, 1_764_000_000_123_456, -2_000_000_000_000_001, 253_402_207_199_999_999];
    survive(database.clone(), "happened", times.map(|micros| Timestamp::from_microsecond(micros).unwrap())).await?;

    let finer = Timestamp::from_nanosecond(1_764_000_000_123_456_789).unwrap();
    run(&database, sql!("INSERT INTO kinds (happened) VALUES ($1)"), params![finer]).await?;
    let read: Timestamp = one(&database, sql!("SELECT happened FROM kinds")).await?;
    assert_eq!(read.as_nanosecond(), 1_764_000_000_123_456_000);
    if database.engine_name() == "postgresql" {
        let shown = one::<String>(&database, sql!("SELECT (happened AT TIME ZONE 'UTC')::text FROM kinds")).await?;
        assert_eq!(shown, "2025-11-24 16:00:00.123456", "it is the same time for those who look with psql");
    }
    Ok(())
}

async fn json_survives(database: Database) -> Result<()> {
    let documents = [
        json!({}),
        json!([]),
        json!({"name": "it's \"quoted\"", "list": [1, -2.5, null, true, {"deep": "Füße 🦀"}]}),
        json!(null),
        json!(true),
        json!("text"),
        json!("5"),
        json!(5),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(-2.5),
        json!(100.0),
        json!(1e300),
        json!(0.1),
    ];
    survive(database, "document", documents).await
}

async fn null_survives_in_every_type(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let insert = sql!(
        "INSERT INTO kinds (flag, number, words, bytes, id, happened, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7)"
    );
    let nothing: &[Value] =
        params![None::<bool>, None::<i64>, None::<String>, None::<Vec<u8>>, None::<Uuid>, None::<Timestamp>, None::<Json>];
    run(&database, insert, nothing).await?;
    database
        .read(async move |tx| {
            let row = tx.query_one(sql!("SELECT flag, number, words, bytes, id, happened, document FROM kinds"), &[]).await?;
            assert_eq!(row.rest(), vec![Value::Null; 7]);
            type Nothing = (Option<bool>, Option<i64>, Option<String>, (Option<Vec<u8>>, Option<Uuid>, Option<Timestamp>, Option<Json>));
            let row = tx.query_one(sql!("SELECT flag, number, words, bytes, id, happened, document FROM kinds"), &[]).await?;
            assert_eq!(row.read::<Nothing>()?, (None, None, None, (None, None, None, None)));
            Ok::<_, Error>(())
        })
        .await
}

async fn null_is_no_value_of_a_required_type(database: Database) -> Result<()> {
    let refused = one::<i64>(&database, sql!("SELECT CAST(NULL AS bigint)")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database refused a statement: a column holds null where a number is read");
    Ok(())
}

async fn a_column_is_not_read_as_another_type(database: Database) -> Result<()> {
    let refused = one::<i64>(&database, sql!("SELECT CAST('words' AS text)")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database refused a statement: a column holds text where a number is read");
    let refused = one::<Uuid>(&database, sql!("SELECT CAST(1 AS bigint)")).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database refused a statement: a column holds a number where a uuid is read");
    Ok(())
}

async fn a_row_ends_after_its_last_column(database: Database) -> Result<()> {
    database
        .read(async move |tx| {
            let row = tx.query_one(sql!("SELECT CAST(7 AS bigint)"), &[]).await?;
            assert_eq!(row.clone().read::<i64>()?, 7);
            assert!(matches!(row.read::<(i64, i64)>(), Err(Error::Statement(_))));
            Ok::<_, Error>(())
        })
        .await
}

async fn parameters_are_bound_by_their_number(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    run(&database, sql!("INSERT INTO kinds (words, number, flag) VALUES ($2, $1, $3)"), params![7, "seven", true]).await?;
    let twice = sql!("UPDATE kinds SET number = number + $1 WHERE words = $2 AND number <> $1 AND flag = $3");
    assert_eq!(run(&database, twice, params![5, "seven", true]).await?, 1);
    assert_eq!(one::<i64>(&database, sql!("SELECT number FROM kinds")).await?, 12);
    Ok(())
}

async fn a_dollar_inside_quotes_or_a_comment_is_no_parameter(database: Database) -> Result<()> {
    run(&database, sql!("CREATE TABLE prices (\"in_$1\" text NOT NULL)"), &[]).await?;
    run(&database, sql!("INSERT INTO prices (\"in_$1\") VALUES ('it''s $1 and ' || $1)"), params!["more"]).await?;
    assert_eq!(one::<String>(&database, sql!("SELECT \"in_$1\" FROM prices")).await?, "it's $1 and more");
    let commented = sql!("UPDATE prices -- this isn't $1 yet\nSET \"in_$1\" = $2 WHERE $1 = 'it''s $1'");
    assert_eq!(run(&database, commented, params!["it's $1", "changed"]).await?, 1);
    assert_eq!(one::<String>(&database, sql!("SELECT \"in_$1\" FROM prices")).await?, "changed");
    Ok(())
}

async fn a_list_finds_each_of_its_members_once(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    for number in 1..=5_u128 {
        let values = params![Uuid::from_u128(number), format!("word {number}")];
        run(&database, sql!("INSERT INTO kinds (id, words) VALUES ($1, $2)"), values).await?;
    }
    let by_id = sql!("SELECT count(*) FROM kinds WHERE id = ANY($1)");
    let by_words = sql!("SELECT count(*) FROM kinds WHERE words = ANY($1)");
    let by_both = sql!("SELECT count(*) FROM kinds WHERE id = ANY($1) AND words = ANY($2)");
    let ids = |numbers: &[u128]| Value::from(numbers.iter().copied().map(Uuid::from_u128).collect::<Vec<_>>());
    let words = |words: &[&str]| Value::from(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    for (statement, lists, found) in [
        (by_id, vec![ids(&[])], 0),
        (by_id, vec![ids(&[3])], 1),
        (by_id, vec![ids(&[1, 5, 5, 1, 9])], 2),
        (by_id, vec![ids(&[9])], 0),
        (by_words, vec![words(&[])], 0),
        (by_words, vec![words(&["word 2"])], 1),
        (by_words, vec![words(&["word 2", "word 4", "word", "'"])], 2),
        (by_both, vec![ids(&[3]), words(&["word 3"])], 1),
        (by_both, vec![ids(&[3]), words(&["word 3", "word 4"])], 1),
        (by_both, vec![ids(&[1, 3]), words(&["word 3"])], 1),
        (by_both, vec![ids(&[3]), words(&[])], 0),
    ] {
        let bound = lists.clone();
        let counted: i64 = database.read(async move |tx| tx.read_one(statement, &bound).await).await?;
        assert_eq!(counted, found, "{lists:?}");
    }
    Ok(())
}

async fn an_object_contains_another_that_has_some_of_its_members(database: Database) -> Result<()> {
    run(&database, TABLE, &[]).await?;
    let cases = [
        (json!({"plan": "gold", "from": "web"}), json!({"plan": "gold"}), 1),
        (json!({"plan": "gold"}), json!({}), 1),
        (json!({"plan": "gold"}), json!({"plan": "Gold"}), 0),
        (json!({"plan": "gold"}), json!({"plan": "gold", "from": "web"}), 0),
        (json!({"a.b": "1", "$": "2", "\"": "'"}), json!({"$": "2", "\"": "'", "a.b": "1"}), 1),
        (json!({"é": "ö"}), json!({"é": "ö"}), 1),
        (json!({"é": "ö"}), json!({"é": "o"}), 0),
        (json!({}), json!({"plan": "gold"}), 0),
    ];
    for (whole, part, found) in cases {
        run(&database, sql!("INSERT INTO kinds (document) VALUES ($1)"), params![&whole]).await?;
        let bound = part.clone();
        let count = database
            .read(async move |tx| {
                let statement = sql!("SELECT count(*) FROM kinds WHERE CAST($1 AS jsonb) IS NULL OR jsonb_contains(document, $1)");
                tx.read_one::<i64>(statement, params![&bound]).await
            })
            .await?;
        assert_eq!(count, found, "{whole} {part}");
        run(&database, sql!("DELETE FROM kinds"), &[]).await?;
    }
    Ok(())
}
