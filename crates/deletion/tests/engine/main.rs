//! The engine over a made-up schema that has nothing to do with this product, on both engines of the database.
#![cfg(test)]

mod library;

use std::sync::Arc;
use std::time::Duration;

use deletion::{Error, Holds, Pause, PlanToken, RateSample, Rules, Standing, State, TableColumns, Waiting, after, preview};
use library::{MIGRATIONS, RULES, Wanted, World, of_library, of_reader};
use serde_json::json;
use sql::{Statement, Static};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn every_generated_statement_is_prepared() {
    for world in World::both().await {
        for statement in RULES.statements() {
            if let Err(error) = world.db.prepare(statement).await {
                panic!("{} refuses: {error}\n{}", world.db.engine_name(), statement.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn little_goes_with_the_order() {
    for world in World::both().await {
        let (library, readers) = world.library([0, 0, 0, 3, 5]).await;
        let (other, _) = world.library([0, 0, 0, 3, 5]).await;
        let [ada, bea, cleo] = readers[..] else { unreachable!() };
        let outcomes = world.order(of_reader(), library, &[ada, bea, cleo], Wanted::default()).await;
        assert!(matches!(&outcomes[0], Err(Error::Blocked(blockers)) if blockers[0].id == ada), "{outcomes:?}");
        for outcome in &outcomes[1..] {
            let record = outcome.as_ref().unwrap();
            assert_eq!((record.state, &record.counts), (State::Completed, &json!({"loans": 5, "fees": 5})));
            assert_eq!(record.subject_label, None);
        }
        assert_eq!((world.count("readers").await, world.count("loans").await), (4, 20));
        assert_eq!((world.count("fees").await, world.count("fees WHERE reader_id IS NULL").await), (30, 10));
        assert_eq!(world.count(&format!("loans WHERE library_id = {}", world.spelled(other))).await, 15);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_drained_in_batches_of_any_size_and_counted() {
    for world in World::both().await {
        for size in [1, 7, 100, 10_000] {
            let (library, _) = world.library([3, 40, 6, 2, 30]).await;
            let fees = world.count("fees").await;
            let outcomes = world.order(of_library(), library, &[library], Wanted::default()).await;
            let record = outcomes[0].as_ref().unwrap();
            assert_eq!(record.state, State::Closed);
            let batches = world.drain(size).await;
            let (state, counts) = world.record(record.id).await;
            assert_eq!(state, "completed");
            assert_eq!(counts, json!({"pages": 720, "books": 120, "shelves": 3, "loans": 60, "readers": 2, "deletions": 1}));
            assert!(size > 1_000 || batches > 3, "{batches} batches of {size}");
            for table in ["libraries", "shelves", "books", "pages", "readers", "loans"] {
                assert_eq!(world.count(table).await, 0, "{table}");
            }
            assert_eq!(world.count("fees").await, fees, "what is kept went");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_paused_past_its_lease_does_nothing_more() {
    for world in World::both().await {
        let (library, _) = world.library([2, 100, 6, 0, 0]).await;
        let id = world.order(of_library(), library, &[library], Wanted::default()).await[0].as_ref().unwrap().id;
        let paused = deletion::take(&world.engine, deletion::Work::Begin).await.unwrap().unwrap();
        let batch = async || deletion::advance(&world, &paused, 10, Duration::ZERO, false).await.unwrap();
        assert_ne!(batch().await, deletion::Outcome::Fenced);
        world.clock.advance(Duration::from_secs(6));
        world.drain(50).await;
        assert_eq!(batch().await, deletion::Outcome::Fenced);
        assert_eq!(world.record(id).await.1["pages"], 1_200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_behind_the_drain_goes_too() {
    for world in World::both().await {
        let (library, readers) = world.library([0, 0, 0, 2, 400]).await;
        let id =
            world.order(of_reader(), library, &readers[1..], Wanted { waits: true, ..Wanted::default() }).await[0].as_ref().unwrap().id;
        let held = deletion::take(&world.engine, deletion::Work::Begin).await.unwrap().unwrap();
        // Past the loans.
        while world.count("loans").await > 400 {
            deletion::advance(&world, &held, 100, Duration::ZERO, false).await.unwrap();
        }
        let (library, reader) = (world.spelled(library), world.spelled(readers[1]));
        let late = format!(
            "INSERT INTO loans (library_id, reader_id, isbn, number, created_at) SELECT {library}, {reader}, '', 0, created_at FROM libraries"
        );
        world.execute(late).await;
        while deletion::advance(&world, &held, 100, Duration::ZERO, false).await.unwrap() != deletion::Outcome::Completed {}
        assert_eq!(world.record(id).await, ("completed".into(), json!({"loans": 401, "fees": 400, "deletions": 1})));
        assert_eq!(world.count("loans").await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_is_said_and_once_that_is_gone_it_goes_on() {
    for world in World::both().await {
        let (library, readers) = world.library([0, 0, 0, 2, 3]).await;
        let wanted = Wanted { waits: true, ..Wanted::default() };
        let id = world.order(of_reader(), library, &readers[1..], wanted).await[0].as_ref().unwrap().id;
        let pause = Pause { waiting: Waiting::counted("letters", 3), lasts: Duration::from_secs(60) };
        *world.obstacle.lock().unwrap() = Some(pause);
        let mut throttle = deletion::Throttle::new(&world.engine);
        assert!(deletion::work_a_turn(&world, deletion::Work::Begin, &mut throttle).await.unwrap());
        assert_eq!(world.count("deletions WHERE waiting_for = 'letters 3'").await, 1);
        assert!(deletion::take(&world.engine, deletion::Work::GoOn).await.unwrap().is_none(), "it is not left alone");
        *world.obstacle.lock().unwrap() = None;
        world.clock.advance(Duration::from_secs(61));
        world.drain(100).await;
        assert_eq!(world.record(id).await.0, "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_taken_back_is_there_again_and_goes_when_its_time_is_over() {
    for world in World::both().await {
        let (library, readers) = world.library([0, 0, 0, 3, 3]).await;
        let until = after(world.clock.now(), Duration::from_secs(3_600));
        let wanted = Wanted { reversible_until: Some(until), ..Wanted::default() };
        let outcomes = world.order(of_reader(), library, &readers[1..], wanted).await;
        let ids: Vec<Uuid> = outcomes.iter().map(|outcome| outcome.as_ref().unwrap().id).collect();
        world.drain(100).await;
        assert_eq!((world.count("loans").await, world.count("readers WHERE state = 'closed'").await), (9, 2));
        let (id, reader, now) = (ids[0], readers[1], world.clock.now());
        let taken_back = world.db.write(async move |tx| {
            let counts = RULES.take_back(tx, library, id, now).await?;
            Ok::<_, Error>(counts.is_some() && RULES.plan(of_reader()).reopen(tx, library, reader).await?)
        });
        assert!(taken_back.await.unwrap());
        world.clock.advance(Duration::from_secs(3_601));
        deletion::end_grace(&world.engine).await.unwrap();
        world.drain(100).await;
        assert_eq!((world.record(ids[0]).await.0, world.record(ids[1]).await.0), ("restored".into(), "completed".into()));
        assert_eq!((world.count("loans").await, world.count("readers WHERE state = 'live'").await), (6, 2));
        let again = world.db.write(async move |tx| RULES.take_back(tx, library, ids[1], now).await);
        assert_eq!(again.await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_does_what_its_plan_says_or_is_refused() {
    for world in World::both().await {
        let (library, readers) = world.library([2, 3, 4, 3, 5]).await;
        let look = async |root, subject| {
            let root = Static(root);
            let look = world.db.read(async move |tx| preview(&RULES, tx, root.0, library, subject).await);
            look.await.unwrap()
        };
        let found = look(of_library(), library).await;
        assert_eq!(found.tables.iter().map(|table| table.rows).collect::<Vec<_>>(), [24, 6, 2, 15, 3, 15, 0, 1]);
        let first = look(of_reader(), readers[1]).await;
        assert_eq!(first.rows, 11);
        let second = look(of_reader(), readers[2]).await;
        // One row in the place of another is seen.
        let (at, who) = (world.spelled(library), world.spelled(readers[1]));
        world
            .execute(format!("UPDATE loans SET number = 77 WHERE library_id = {at} AND reader_id = {who} AND isbn = '0' AND number = 0"))
            .await;
        let plan = |token: &str| Wanted { plan: Some(Arc::new(PlanToken::read(&RULES, token))), ..Wanted::default() };
        let refused = world.order(of_reader(), library, &readers[1..2], plan(&first.token)).await;
        assert!(matches!(&refused[0], Err(Error::Drifted(drift)) if drift.tables[0].table == "loans"), "{refused:?}");
        let of_another = world.order(of_reader(), library, &readers[1..2], plan(&second.token)).await;
        assert!(matches!(&of_another[0], Err(Error::Drifted(drift)) if drift.tables.is_empty()), "{of_another:?}");
        for length in 0..second.token.len() {
            let cut = world.order(of_reader(), library, &readers[2..], plan(&second.token[..length])).await;
            assert!(matches!(&cut[0], Err(Error::Drifted(_))), "a token of {length} characters");
        }
        let done = world.order(of_reader(), library, &readers[2..], plan(&second.token)).await;
        assert_eq!(done[0].as_ref().unwrap().state, State::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_do_not_cover_the_schema_are_refused() {
    static NONE: Rules =
        Rules::new("library_id", &[], &[TableColumns::new("loans", &[("note", Holds::Personal)])], &[], &["lones"], "none");
    let [world, _] = World::both().await;
    let schema = world.db.schema(MIGRATIONS).await.unwrap();
    let words = NONE.check(&schema).unwrap_err().to_string();
    assert!(words.contains("the table readers has no rule") && words.contains("the column loans.isbn has no rule"), "{words}");
    assert!(words.contains("the rules name the table lones"), "{words}");
    let mut other = schema.clone();
    other.tables.get_mut("loans").unwrap().columns.retain(|column| column.name != "created_at");
    let words = RULES.check(&other).unwrap_err().to_string();
    assert!(words.contains("loans has no created_at, updated_at or placed_at that is never null"), "{words}");
    other = schema.clone();
    other.tables.get_mut("books").unwrap().columns.iter_mut().for_each(|column| column.kind = "text".into());
    let words = RULES.check(&other).unwrap_err().to_string();
    assert!(words.contains("books.shelf_id is no bigint") && words.contains("books.library_id is no uuid"), "{words}");
    other = schema;
    other.tables.get_mut("pages").unwrap().indexes.clear();
    let words = RULES.check(&other).unwrap_err().to_string();
    assert!(words.contains("pages has no index along library_id, shelf_id, isbn, number"), "{words}");
}

fn standing(rows: i64, expected: Option<i64>, waiting: Option<Waiting>) -> Standing {
    let began = jiff::Timestamp::UNIX_EPOCH;
    Standing {
        root: "library".into(),
        state: State::Draining,
        counts: json!({"books": rows}),
        created_at: began,
        updated_at: after(began, Duration::from_secs(10)),
        completed_at: None,
        stage: 3,
        waiting_since: waiting.is_some().then_some(began),
        waiting,
        rows_expected: expected,
        lease_until: None,
    }
}

#[test]
fn what_is_ahead_comes_from_the_estimate_and_the_end_from_the_rate() {
    let now = after(jiff::Timestamp::UNIX_EPOCH, Duration::from_secs(10));
    let progress = standing(1_000, Some(4_050), None).progress(&RULES, now, None);
    assert_eq!((progress.stage, progress.rows_done, progress.rows_to_do), (Some("books"), 1_000, Some(3_050)));
    assert_eq!((progress.rate, progress.eta_seconds), (Some(100), Some(31)));
    for expected in [None, Some(999)] {
        let progress = standing(1_000, expected, None).progress(&RULES, now, None);
        assert_eq!((progress.rows_to_do, progress.eta_seconds), (None, None), "what is not known is told");
    }
    let waits = standing(1_000, Some(4_000), Some(Waiting::counted("letters", 2))).progress(&RULES, now, None);
    assert_eq!((waits.rate, waits.eta_seconds, waits.rows_to_do), (None, None, Some(3_000)));
    assert_eq!(waits.obstacles[0].1, jiff::Timestamp::UNIX_EPOCH);
}

#[test]
fn the_rate_for_a_reader_who_keeps_looking_is_that_of_the_last_seconds() {
    let mut sample = RateSample::default();
    let rate = |sample: &mut RateSample, second: u64, rows| {
        let now = after(jiff::Timestamp::UNIX_EPOCH, Duration::from_secs(second));
        standing(rows, None, None).progress(&RULES, now, Some(sample)).rate
    };
    for second in 0..20 {
        rate(&mut sample, second, 0);
    }
    let rates: Vec<Option<i64>> = (20..28).map(|second| rate(&mut sample, second, 1_000 * (second as i64 - 19))).collect();
    assert_eq!(rates.last(), Some(&Some(1_000)));
}

#[test]
fn the_engine_names_no_noun() {
    let nouns = [
        "organization",
        "customer",
        "member",
        "api_key",
        "invitation",
        "webhook",
        "oauth",
        "purge",
        "subscription",
        "device",
        "session",
        "invoice",
        "screen",
        "owner",
        "archive",
        "freehold",
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { sources.push(path) }
        }
    }
    assert!(sources.len() > 15);
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap().to_lowercase();
        for (number, line) in text.lines().enumerate() {
            for noun in nouns {
                let is_named = line
                    .split(|character: char| !character.is_ascii_alphabetic())
                    .any(|word| word == noun || word.strip_suffix('s') == Some(noun));
                assert!(!is_named, "{}:{}: {noun}", source.display(), number + 1);
            }
        }
    }
}

/// The engine's own literals are in the source, and are prepared as well.
#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_the_source_is_prepared() {
    for world in World::both().await {
        for text in [
            deletion::OVER.text(),
            "UPDATE deletions SET rows_expected = $2 WHERE id = $1 AND rows_expected IS NULL AND state <> 'completed'",
        ] {
            world.db.prepare(Statement::generated(text.into())).await.unwrap();
        }
    }
}
