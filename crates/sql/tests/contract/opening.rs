//! Opening a database: what is created, what is refused, and in which words.

use sql::{Database, Error, Options, Result, params, sql};

use crate::engines::{Place, on_both_engines, one, run};

on_both_engines!(place: what_was_written_is_there_after_opening_again);

async fn what_was_written_is_there_after_opening_again(place: &Place) -> Result<()> {
    let database = place.open().await?;
    run(&database, sql!("CREATE TABLE notes (words text NOT NULL)"), &[]).await?;
    run(&database, sql!("INSERT INTO notes (words) VALUES ($1)"), params!["still here"]).await?;
    drop(database);
    let database = place.open().await?;
    assert_eq!(one::<String>(&database, sql!("SELECT words FROM notes")).await?, "still here");
    Ok(())
}

async fn refusal(url: &str) -> Error {
    Database::open(&Options::new(url)).await.err().expect("it is refused")
}

#[tokio::test]
async fn an_address_of_no_known_kind_is_refused() {
    let refused = refusal("mysql://localhost/freehold").await;
    assert_eq!(refused.to_string(), "the database address must start with postgres:// or sqlite:");
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused() -> Result<()> {
    let place = Place::sqlite();
    let first = place.open().await?;
    let refused = place.open().await.err().expect("it is refused");
    let told = format!(
        "the database is not available: {} is in use by another freehold process: stop it first, or give this one its own --data folder",
        place.file().display()
    );
    assert_eq!(refused.to_string(), told);
    run(&first, sql!("CREATE TABLE notes (words text NOT NULL)"), &[]).await?;
    drop(first);
    let second = place.open().await?;
    run(&second, sql!("DROP TABLE notes"), &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_was() -> Result<()> {
    let place = Place::sqlite();
    std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    let content = b"A letter that somebody has put into the wrong folder. ".repeat(100);
    std::fs::write(place.file(), &content).unwrap();
    let refused = place.open().await.err().expect("it is refused");
    assert!(matches!(&refused, Error::Unavailable(words) if words.contains("file is not a database")), "{refused:?}");
    assert_eq!(std::fs::read(place.file()).unwrap(), content);
    Ok(())
}

#[tokio::test]
async fn every_connection_of_the_embedded_engine_is_strict_and_erases_what_it_deletes() -> Result<()> {
    let place = Place::sqlite();
    let database = place.open().await?;
    for pragma in [sql!("PRAGMA foreign_keys"), sql!("PRAGMA secure_delete")] {
        assert_eq!(one::<i64>(&database, pragma).await?, 1, "a reader's {pragma:?}");
        let writers: i64 = database.write(pragma, |tx, pragma| Box::pin(async move { tx.query_one(*pragma, &[]).await?.next() })).await?;
        assert_eq!(writers, 1, "the writer's {pragma:?}");
    }
    assert_eq!(one::<String>(&database, sql!("PRAGMA journal_mode")).await?, "wal");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named_with_the_reason() {
    let refused = refusal("postgres://nobody@127.0.0.1:1/freehold").await;
    assert!(matches!(&refused, Error::Unavailable(words) if words.contains("refused")), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let mut place = Place::postgres().await;
    let url = place.options.url.clone();
    place.options.url = format!("{url}_missing");
    let refused = place.open().await.err().expect("it is refused");
    assert!(matches!(&refused, Error::Unavailable(words) if words.contains("_missing")), "{refused:?}");
    place.options.url = url;
    place.remove().await;
}

#[tokio::test]
async fn an_encrypted_connection_that_this_build_cannot_make_is_refused() {
    let refused = refusal("postgres://nobody@127.0.0.1:1/freehold?sslmode=require").await;
    assert!(refused.to_string().contains("does not speak TLS"), "{refused}");
}

#[tokio::test]
async fn other_users_of_the_machine_cannot_open_an_embedded_database() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("sqlite:{}", data.join("freehold.db").display());
    let modes = || {
        let files = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
        let paths = [data.clone()].into_iter().chain(files);
        paths.map(|path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777).collect::<Vec<_>>()
    };
    let database = Database::open(&Options::new(&url)).await?;
    run(&database, sql!("CREATE TABLE things (name TEXT)"), &[]).await?;
    assert_eq!(modes(), [0o700, 0o600, 0o600, 0o600, 0o600]);
    database.close().await;
    drop(database);
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    for file in std::fs::read_dir(&data).unwrap() {
        std::fs::set_permissions(file.unwrap().path(), std::fs::Permissions::from_mode(0o664)).unwrap();
    }
    let database = Database::open(&Options::new(&url)).await?;
    assert_eq!(modes(), [0o700, 0o600, 0o600, 0o600, 0o600]);
    database.close().await;
    Ok(())
}

#[tokio::test]
async fn one_server_at_a_time_uses_a_postgresql_database_and_one_that_lost_its_claim_says_so() -> Result<()> {
    let place = Place::postgres().await;
    let options = || Options { is_server: true, ..place.options.clone() };
    let first = Database::open(&options()).await?;
    let second = Database::open(&options()).await.err().unwrap();
    assert!(matches!(&second, Error::Unavailable(words) if words.contains("another freehold server")), "{second:?}");
    // Others, such as the doctor, come in.
    let doctor = place.open().await?;
    first.check().await?;
    // Its session is cut, and it takes the lock again.
    let cut = sql!("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    run(&doctor, cut, &[]).await?;
    while first.check().await.is_ok() {
        tokio::task::yield_now().await;
    }
    while first.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    first.close().await;
    let third = Database::open(&options()).await?;
    third.check().await?;
    third.close().await;
    drop((first, third, doctor));
    place.remove().await;
    Ok(())
}
