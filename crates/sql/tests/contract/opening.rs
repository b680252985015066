//! Opening a database: what is created, what is refused, and in which words.

use sql::{Database, Error, Options, Result, Statement, params, sql};

use crate::engines::{Place, on_both_engines, one, run};

on_both_engines!(place: what_was_written_is_there_after_opening_again);

async fn what_was_written_is_there_after_opening_again(place: &Place) -> Result<()> {
    let database = place.open().await?;
    database.migrate(&[]).await?;
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
    let content = b"A letter that a person has put into the wrong folder. ".repeat(100);
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
        let writers: i64 = database.write(async move |tx| tx.read_one(pragma, &[]).await).await?;
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

/// How a server says who it is, and where its test keeps the proofs.
struct Proofs {
    server: String,
    database: String,
    folder: String,
}

impl Proofs {
    async fn find(place: &Place) -> Result<Proofs> {
        let folder: String = one(&place.open().await?, sql!("SELECT current_setting('data_directory')")).await?;
        let (before, database) = place.options.url.rsplit_once('/').unwrap();
        Ok(Proofs { server: before.to_owned(), database: database.to_owned(), folder })
    }

    fn url(&self, parameters: &str) -> String {
        // Another name at the same address.
        let server =
            if parameters.starts_with("hostaddr=") { self.server.replace("127.0.0.1", "elsewhere.example") } else { self.server.clone() };
        format!("{server}/{}?{}", self.database, parameters.replace("FOLDER", &self.folder))
    }
}

#[tokio::test]
async fn a_connection_is_encrypted_and_its_server_verified_as_the_address_asks() -> Result<()> {
    let place = Place::postgres().await;
    let proofs = Proofs::find(&place).await?;
    let is_encrypted = sql!("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    let client = "SELECT coalesce(client_dn, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (parameters, wanted) in [
        ("", false),
        ("sslmode=disable", false),
        ("sslmode=prefer", true),
        ("sslmode=require", true),
        ("sslmode=require&channel_binding=prefer", true),
        ("sslmode=verify-ca&sslrootcert=FOLDER/ca.pem", true),
        ("sslmode=verify-full&sslrootcert=FOLDER/ca.pem", true),
        ("sslmode=verify-full&sslrootcert=FOLDER%2Fca.pem&target_session_attrs=read-write", true),
        ("hostaddr=127.0.0.1&sslmode=verify-ca&sslrootcert=FOLDER/ca.pem", true),
    ] {
        let database = Database::open(&Options::new(proofs.url(parameters))).await?;
        assert_eq!(one::<bool>(&database, is_encrypted).await?, wanted, "{parameters}");
    }
    let parameters = "sslmode=verify-full&sslrootcert=FOLDER/ca.pem&sslcert=FOLDER/client.pem&sslkey=FOLDER/client.key";
    let database = Database::open(&Options::new(proofs.url(parameters))).await?;
    assert_eq!(one::<String>(&database, Statement::generated(client.into())).await?, "/CN=postgres");
    drop(database);
    for (parameters, named) in [
        ("sslmode=verify-full", "UnknownIssuer"),
        ("sslmode=verify-full&sslrootcert=FOLDER/client.pem", "sslrootcert=FILE"),
        ("hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=FOLDER/ca.pem", "not valid for name"),
        // What is not on this machine is verified unless the address says otherwise.
        ("hostaddr=127.0.0.1&sslrootcert=FOLDER/nothing.pem", "sslrootcert="),
    ] {
        let refused = refusal(&proofs.url(parameters)).await.to_string();
        assert!(refused.contains(named), "{parameters}: {refused}");
    }
    place.remove().await;
    Ok(())
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
    let options = Options { is_server: true, ..Options::new(&url) };
    let database = Database::open(&options).await?;
    run(&database, sql!("CREATE TABLE things (name TEXT)"), &[]).await?;
    assert_eq!(modes(), [0o700, 0o600, 0o600, 0o600, 0o600]);
    database.close().await;
    drop(database);
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    for file in std::fs::read_dir(&data).unwrap() {
        std::fs::set_permissions(file.unwrap().path(), std::fs::Permissions::from_mode(0o664)).unwrap();
    }
    let database = Database::open(&options).await?;
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
    let cut = sql!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
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

/// A way to PostgreSQL that can be cut on this side alone: PostgreSQL notices nothing.
async fn half_open_way(to: String) -> (u16, tokio::sync::watch::Sender<u32>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (cut, cuts) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(&to).await.unwrap();
            let mut cuts = cuts.clone();
            kept.push(tokio::spawn(async move {
                cuts.mark_unchanged();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    _ = cuts.changed() => {
                        drop(client);
                        // The other side stays as it is for as long as the test lasts.
                        std::future::pending::<()>().await;
                    }
                }
            }));
        }
    });
    (port, cut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_end_postgresql_has_not_noticed_is_taken_from_its_own_dead_session() -> Result<()> {
    let place = Place::postgres().await;
    let (before, database) = place.options.url.rsplit_once('/').unwrap();
    let (user, address) = before.rsplit_once('@').unwrap();
    let (port, cut) = half_open_way(address.to_owned()).await;
    let url = format!("{user}@127.0.0.1:{port}/{database}");
    let server = Database::open(&Options { is_server: true, ..Options::new(url) }).await?;
    let observer = place.open().await?;
    let holder = sql!(
        "SELECT CAST(coalesce(min(pid), 0) AS bigint) FROM pg_locks
         WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let first = one::<i64>(&observer, holder).await?;
    cut.send_modify(|cuts| *cuts += 1);
    while [0, first].contains(&one::<i64>(&observer, holder).await?) {
        tokio::task::yield_now().await;
    }
    // No other program is thought to have it.
    while server.check().await.is_err() {
        tokio::task::yield_now().await;
    }
    server.close().await;
    drop((server, observer));
    place.remove().await;
    Ok(())
}
