//! Tables of others in the same PostgreSQL database: they are neither in the way nor touched.

use reqwest::StatusCode;

use super::databases::{read, write};
use crate::support::cluster::connect;
use crate::support::{Engine, Server, make_database};

/// What another program keeps, with names of ours.
const OTHERS: &str = "CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint NOT NULL, name text);
     INSERT INTO users VALUES (1, 1, 'Another user''s');
     CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)";
/// What there is of it, to the letter.
const LEFT: &str = "SELECT count(*), max(users::text), (SELECT count(*) FROM schema_migrations),
            (SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attoptions IS NOT NULL) FROM users";
const TABLES: &str = "SELECT count(*) FROM pg_tables WHERE schemaname = $1";

#[tokio::test]
async fn a_new_database_that_others_use_keeps_our_tables_in_a_schema_of_their_own() {
    let url = make_database().await;
    let database = connect(&url).await;
    database.batch_execute(OTHERS).await.unwrap();
    let mut server = Server::start_at(&[], &url).await;
    let mut organization = server.new_organization().await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    server.stop().await;
    // It is found again, by the doctor too.
    let (code, found, _) = server.doctor(&[]).await;
    assert_eq!(code, 0, "{found}");
    server.start_again().await;
    organization.owner.token = server.sign_in(&organization.owner.email, None).await;
    read(&server, &organization).await;
    let tables = async |schema: &str| database.query_one(TABLES, &[&schema]).await.unwrap().get::<_, i64>(0);
    assert_eq!(tables("public").await, 2);
    assert!(tables("freehold").await > 20);
    let left = database.query_one(LEFT, &[]).await.unwrap();
    assert_eq!((left.get(0), left.get(1), left.get(2), left.get(3)), (1_i64, "(1,1,\"Another user's\")", 0_i64, 0_i64));
    // There is no place for our migrations in the other program's.
    let (code, _, words) = server.command(&["operators", "list", "--schema=public"]).await;
    assert!(code == 1 && words.contains("another program") && words.contains("--schema"), "{words}");
}

#[tokio::test]
async fn a_schema_that_was_asked_for_is_made_and_every_command_takes_it() {
    let url = make_database().await;
    let schema = "--schema=It's \"ours\"";
    let mut server = Server::start_at(&[schema], &url).await;
    let organization = server.new_organization().await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    let backup = server.folder().join("backup.db");
    let (code, said, words) = server.command(&["backup", backup.to_str().unwrap(), schema]).await;
    assert_eq!(code, 0, "{said}{words}");
    server.stop().await;
    for arguments in [&["doctor", schema][..], &["operators", "list", schema], &["restore", backup.to_str().unwrap(), "--schema=copy"]] {
        let (code, said, words) = server.command(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {said}{words}");
    }
    let (from, to) = (format!("--from={url}"), format!("--to={}", make_database().await));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_freehold"));
    let moved = command.args(["move", &from, "--from-schema=copy", &to, "--to-schema=moved"]).output().await.unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    for refused in ["--schema=pg_ours", "--schema="] {
        let (code, _, words) = server.command(&["operators", "list", refused]).await;
        assert!(code == 1 && words.contains("no name for a schema"), "{words}");
    }
    server.note_altered();
}

#[tokio::test]
async fn tables_that_others_put_beside_ours_stop_nothing_and_are_left_alone() {
    let mut server = Server::start(Engine::Postgresql, &[]).await;
    let mut organization = server.new_organization().await;
    let database = connect(server.database_url().unwrap()).await;
    database
        .batch_execute("CREATE TABLE theirs (organization_id bigint, what point); INSERT INTO theirs VALUES (1, '(1,2)')")
        .await
        .unwrap();
    server.stop().await;
    server.start_again().await;
    organization.owner.token = server.sign_in(&organization.owner.email, None).await;
    assert_eq!(write(&server, &organization).await, StatusCode::CREATED);
    let backup = server.folder().join("backup.db");
    let (code, said, words) = server.command(&["backup", backup.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}{words}");
    let options = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'theirs'::regclass AND attoptions IS NOT NULL";
    assert_eq!(database.query_one(options, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn an_embedded_database_has_no_schemas() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    server.stop().await;
    let (code, _, words) = server.command(&["operators", "list", "--schema=ours"]).await;
    assert!(code == 1 && words.contains("--schema is for PostgreSQL"), "{words}");
}
