//! Two transactions that erase an organization's customers at the same time come to the same end as one: each row goes once, with exact
//! counts, also when the second began in the wrong place or has lost the deletion to another worker. PostgreSQL alone has room for two.

use std::sync::Arc;
use std::time::Duration;

use deletion::{Lease, Outcome};
use plane::Result;
use plane::drain;
use uuid::Uuid;

use crate::stage::{Stage, take};
use crate::world::{STAND_STILL, furnish, new_customer};

/// Rows that hang on each of many customers.
const HANGING: i64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn every_row_goes_once_whatever_the_size() {
    let stage = Stage::on_postgresql().await;
    for size in [1, 16, 40, 100, 1_000] {
        // A customer with many rows is passed over: one the first batch meets, one the second.
        let organization = stage.customers(&format!("size-{size}"), &[40, 40, 300, 40, 40, 300, 300, 40, 40, 40, 40, 40, 40]).await;
        let doomed = stage.doom(organization).await;
        let held = take(&stage.plane).await.unwrap();
        let mut rounds = vec![(stage.advance(&held, size).await, size)];
        while rounds.last().unwrap().0 == Outcome::More {
            rounds.push(stage.in_parallel(&held, size).await.unwrap());
        }
        let both = rounds.iter().filter(|(_, asked)| *asked == 2 * size).count();
        assert!(both > 0 || size > 100, "no two batches of {size} went at once: {rounds:?}");
        while stage.advance(&held, size).await != Outcome::Completed {}
        stage.check(&doomed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_undone_where_the_first_fails() {
    let stage = Stage::on_postgresql().await;
    let Stage { engine, .. } = &stage;
    let organization = stage.customers("fails", &[HANGING; 8]).await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$";
    let first = "CREATE TRIGGER refuse BEFORE DELETE ON customers FOR EACH ROW WHEN (OLD.reference = 'other-1') EXECUTE FUNCTION refuse()";
    engine.run("", &format!("{refuse}; {first}")).await.unwrap();
    let doomed = stage.doom(organization).await;
    let held = take(&stage.plane).await.unwrap();
    // Past the customer who is always there.
    assert_eq!(stage.advance(&held, 16).await, Outcome::More);
    let before = stage.count("devices", organization).await;
    stage.in_parallel(&held, 32).await.unwrap_err();
    assert_eq!(stage.count("devices", organization).await, before, "the second is not undone");
    engine.run("", "DROP TRIGGER refuse ON customers").await.unwrap();
    assert_eq!(stage.in_parallel(&held, 32).await.unwrap(), (Outcome::More, 64));
    assert_eq!(stage.count("devices", organization).await, before - 4 * HANGING);
    while stage.advance(&held, 1_000).await != Outcome::Completed {}
    stage.check(&doomed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_undone_where_another_worker_took_the_deletion_over() {
    let stage = Stage::on_postgresql().await;
    let Stage { plane, engine, .. } = &stage;
    engine.run("", STAND_STILL).await.unwrap();
    let organization = stage.customers("taken-over", &[HANGING; 8]).await;
    let third = "WHEN (OLD.reference = 'other-2') EXECUTE FUNCTION stand_still()";
    let stop = format!("CREATE TRIGGER stand_still BEFORE DELETE ON customers FOR EACH ROW {third}");
    engine.run("", &format!("SELECT pg_advisory_lock(1); {stop}")).await.unwrap();
    let doomed = stage.doom(organization).await;
    let held = take(plane).await.unwrap();
    assert_eq!(stage.advance(&held, 16).await, Outcome::More);
    // The first batch takes two of them, the second stands still at the third.
    let paused = stage.in_parallel(&held, 32);
    let taken_over = async {
        while engine.waiters("advisory").await < 1 {}
        plane.clock.advance(plane.config.lease);
        let other = take(plane).await.unwrap();
        let goes_on = async { while stage.advance(&other, 100).await != Outcome::Completed {} };
        let lets_go = async {
            // The other one waits for a customer that the paused one is erasing.
            while engine.waiters("%").await < 2 {}
            engine.run("", "SELECT pg_advisory_unlock(1)").await.unwrap();
        };
        tokio::join!(goes_on, lets_go);
    };
    let both = async { tokio::join!(paused, taken_over) };
    let (paused, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("nothing goes on");
    assert_eq!(paused.unwrap().1, 32, "the second batch counted");
    stage.check(&doomed).await;
}

impl Stage {
    /// A furnished organization, and customers with so many devices. Each is born after the one before, and is erased after it.
    async fn customers(&self, slug: &str, devices: &[i64]) -> Uuid {
        let organization = furnish(&self.owner, slug).await;
        for (number, devices) in devices.iter().enumerate() {
            new_customer(&self.now(), organization, &format!("other-{number}")).await;
            let hang = format!(
                "INSERT INTO devices (organization_id, customer_id, id, created_at, name, platform)
                 SELECT organization_id, id, gen_random_uuid(), now(), 'Laptop', 'linux' FROM customers, generate_series(1, {devices})
                 WHERE organization_id = '{organization}' AND reference = 'other-{number}'"
            );
            self.engine.run("", &hang).await.unwrap();
        }
        organization
    }

    async fn in_parallel(&self, held: &Arc<Lease>, size: i64) -> Result<(Outcome, i64)> {
        drain::advance_in_parallel(&self.plane, held, size, Duration::ZERO).await
    }
}
