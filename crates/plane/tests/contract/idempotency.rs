//! Answers to repeated requests: kept for a day, sealed, and not taken for known when the result is unknown.

use std::sync::Arc;
use std::time::Duration;

use plane::idempotency::{Begun, Ending, Repeatable, begin, finish};
use plane::{Clock, Config, Cx, DatabaseOptions, Plane, retention};

use crate::engines::make_database;
use crate::world::{Engine, sign_in};

/// How long an answer is kept.
const LIFE: Duration = Duration::from_secs(86_400);

fn request(key: &str, body: &str) -> Repeatable {
    Repeatable { key: key.into(), secret: None, parts: vec![b"POST".to_vec(), body.into()] }
}

async fn answer(cx: &Cx, request: &Repeatable, answer: &str) {
    let Begun::Go(ticket) = begin(cx, request).await.unwrap() else { panic!("it was asked before") };
    finish(cx, ticket, Ending::Answered { answer: answer.into(), tells: true }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_for_a_day_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.db");
    keep_for_a_day(&format!("sqlite:{}", file.display()), &Engine::Sqlite(file)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_for_a_day_on_postgresql() {
    let url = make_database().await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    keep_for_a_day(&url, &Engine::Postgres(client)).await;
}

async fn keep_for_a_day(url: &str, engine: &Engine) {
    let clock = Clock::default();
    let plane = Plane::open(Config::new(DatabaseOptions::new(url)), clock.clone()).await.unwrap();
    let user = sign_in(&plane).await;
    answer(&user, &request("first", "a"), "one").await;
    answer(&user, &request("second", "a"), "two").await;
    assert!(matches!(again(&plane, &user, &request("first", "a")).await, Begun::Answered(answer) if answer == b"one"));
    assert!(matches!(again(&plane, &user, &request("first", "b")).await, Begun::OtherRequest));
    // The sender is a part of the name.
    assert!(matches!(begin(&Cx::new(&plane, "test"), &request("first", "b")).await.unwrap(), Begun::Go(_)));
    let rows = "SELECT count(*) FROM idempotent_answers";
    assert_eq!(engine.count(rows).await, 3);

    clock.advance(LIFE - Duration::from_secs(60));
    retention::once(&plane).await.unwrap();
    assert!(matches!(again(&plane, &user, &request("first", "a")).await, Begun::Answered(_)));
    clock.advance(Duration::from_secs(60));
    // One that has had its time is as good as none, whether or not it was erased.
    assert!(matches!(again(&plane, &user, &request("first", "b")).await, Begun::Go(_)));
    assert_eq!(engine.count(rows).await, 3);
    retention::once(&plane).await.unwrap();
    assert_eq!(engine.count(rows).await, 1);
}

async fn again(plane: &Arc<Plane>, user: &Cx, request: &Repeatable) -> Begun {
    begin(&Cx::new(plane, "test").with_actor(user.actor.clone()), request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_request_ended_decides_what_a_repetition_hears() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let open = async || Plane::open(Config::new(DatabaseOptions::new(&url)), Clock::default()).await.unwrap();
    let plane = open().await;
    let user = sign_in(&plane).await;
    let (undone, lost, left) = (request("undone", ""), request("lost", ""), request("left", ""));
    let Begun::Go(ticket) = begin(&user, &undone).await.unwrap() else { panic!() };
    assert!(matches!(begin(&user, &undone).await.unwrap(), Begun::UnderWay));
    finish(&user, ticket, Ending::Undone).await.unwrap();
    assert!(matches!(begin(&user, &undone).await.unwrap(), Begun::Go(_)));
    let Begun::Go(ticket) = begin(&user, &lost).await.unwrap() else { panic!() };
    finish(&user, ticket, Ending::Unknown).await.unwrap();
    assert!(matches!(begin(&user, &lost).await.unwrap(), Begun::Unknown));
    let anonymous = Cx::new(&plane, "test");
    answer(&anonymous, &request("nobody's", "password"), "token").await;
    assert!(matches!(begin(&user, &left).await.unwrap(), Begun::Go(_)));
    let actor = user.actor.clone();
    drop((plane, user, anonymous));

    // The next run of the server does not know what came of what the last one had begun, and cannot open what strangers were answered.
    let plane = open().await;
    let user = Cx::new(&plane, "test").with_actor(actor);
    assert!(matches!(begin(&user, &left).await.unwrap(), Begun::Unknown));
    assert!(matches!(begin(&Cx::new(&plane, "test"), &request("nobody's", "password")).await.unwrap(), Begun::Go(_)));
}
