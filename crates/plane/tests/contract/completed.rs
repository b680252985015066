//! Deletions from before they were called completed, and before what they wait for was a word for programs.

use plane::MIGRATIONS;
use sql::{Database, Options, Statement, Tx, params, sql};
use uuid::Uuid;

use crate::engines::make_database;

/// What a deletion waited for, before and after.
const WAITED: [(Option<&str>, Option<&str>); 7] = [
    (None, None),
    (Some("2 webhook deliveries"), Some("webhook_deliveries 2")),
    (Some("17 memberships"), Some("memberships 17")),
    (Some("its export"), Some("export")),
    (Some("the deletions of its customers"), Some("customers")),
    (Some("a legal hold"), Some("legal_hold")),
    (
        Some("an error of the server, which its log has under this request"),
        Some("database an error of the server, which its log has under this request"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn deletions_keep_what_they_say_when_the_words_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("test.db").display());
    for options in [Options::new(file), Options { connections: 2, ..Options::new(make_database().await) }] {
        let database = Database::open(&options).await.unwrap();
        let place = MIGRATIONS.iter().position(|migration| migration.name == "0029_completed").unwrap();
        database.migrate(&MIGRATIONS[..place]).await.unwrap();
        // A text that is only good before the migration is none for the test that prepares all statements.
        let old = Statement::generated(
            "INSERT INTO deletions (organization_id, id, root, subject_id, state, actor, request_id, stage, counts, effects, batches,
                                    longest_batch_us, fence, waiting_for, created_at, updated_at, sealed_at)
             VALUES ($1, $1, 'member', $1, $2, 'user', 'test', 0, '{\"api_keys\":2}', '{}', 3, 4, 5, $3, $4, $4, $5)"
                .into(),
        );
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let write = async move |tx: &mut Tx| {
            for (number, (before, _)) in (1..).zip(WAITED) {
                let state = if before.is_some() { "draining" } else { "sealed" };
                let end = before.is_none().then_some(now);
                tx.execute(old, params![Uuid::from_u128(number), state, before, now, end]).await?;
            }
            Ok::<(), sql::Error>(())
        };
        database.write(write).await.unwrap();
        database.migrate(MIGRATIONS).await.unwrap();
        let statement = sql!("SELECT state, waiting_for, completed_at, batches FROM deletions ORDER BY id");
        let read = async move |tx: &mut Tx| tx.read_all::<(_, _, _, _)>(statement, &[]).await;
        let expected: Vec<(String, Option<String>, Option<jiff::Timestamp>, i64)> = WAITED
            .into_iter()
            .map(|(before, after)| {
                let state = if before.is_some() { "draining" } else { "completed" };
                (state.into(), after.map(str::to_owned), before.is_none().then_some(now), 3)
            })
            .collect();
        assert_eq!(database.read(read).await.unwrap(), expected, "{}", database.engine_name());
        database.close().await;
    }
}
