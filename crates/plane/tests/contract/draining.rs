//! The drain may stop anywhere and be taken up by anybody: every batch boundary, every size, workers that are paused past their lease,
//! several at once, and rows that appear behind its back come to the same end with exact counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deletion::{Lease, Outcome, SMALL_GROUP, Work};
use plane::customers::Deleting;
use plane::deletions::{self, Deletion, Details};
use plane::drain;
use plane::ids::OrganizationRef;
use plane::organizations;
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::{Stage, drain_all, take};
use crate::world::{STAND_STILL, deliver, furnish, new_customer};

/// A closed deletion and what its receipt must say.
pub(crate) struct Doomed {
    pub(crate) organization: Uuid,
    deletion: Uuid,
    counts: BTreeMap<String, i64>,
}

on_both_engines! {
    a_worker_that_is_paused_past_its_lease_commits_nothing
    a_drain_that_stops_after_every_batch_comes_to_the_same_end_whatever_the_size
    a_customer_with_many_rows_is_passed_over_and_goes_table_by_table
    workers_that_take_it_from_each_other_all_the_time_count_every_row_once
    what_was_just_ordered_does_not_wait_for_what_goes_on
    what_appears_behind_the_drain_is_found_by_the_sweep_and_nothing_is_counted_twice
}

async fn a_worker_that_is_paused_past_its_lease_commits_nothing(stage: Stage) {
    let Stage { plane, engine, schema, .. } = &stage;
    let doomed = stage.close("paused").await;
    let paused = take(plane).await.unwrap();
    assert_ne!(stage.advance(&paused, 20).await, Outcome::Fenced);
    assert!(take(plane).await.is_none(), "a deletion that is held was taken");
    plane.clock.advance(plane.config.lease);
    let other = take(plane).await.unwrap();
    let mut outcome = stage.advance(&other, 20).await;
    while outcome != Outcome::Completed {
        let before = engine.rows(schema).await;
        assert_eq!(stage.advance(&paused, 20).await, Outcome::Fenced);
        assert_eq!(engine.rows(schema).await, before);
        outcome = stage.advance(&other, 20).await;
    }
    let completed = engine.rows(schema).await;
    assert_eq!(stage.advance(&paused, 20).await, Outcome::Fenced);
    assert_eq!(stage.advance(&other, 20).await, Outcome::Fenced);
    assert!(take(plane).await.is_none(), "a completed deletion was taken");
    assert_eq!(engine.rows(schema).await, completed);
    stage.check(&doomed).await;
}

async fn a_drain_that_stops_after_every_batch_comes_to_the_same_end_whatever_the_size(stage: Stage) {
    for size in [1, 2, 7, 49, 50, 51, 1_000] {
        let doomed = stage.close(&format!("size-{size}")).await;
        let mut batches = 0;
        loop {
            // A worker that is gone after one batch, and a new one when its lease is over.
            let held = take(&stage.plane).await.unwrap();
            batches += 1;
            if stage.advance(&held, size).await == Outcome::Completed {
                break;
            }
            stage.plane.clock.advance(stage.plane.config.lease);
        }
        let record = stage.check(&doomed).await;
        assert_eq!(record.batches, batches, "size {size}");
        let rows: i64 = doomed.counts.values().sum();
        // No batch touches more rows than it may, a small family aside; and where all of it fits into one, it goes in a few: what is before the webhooks, the
        // rest, the completion.
        assert!(
            batches * size.max(SMALL_GROUP) >= rows && (size < 1_000 || batches == 3),
            "size {size}: {batches} batches for {rows} rows"
        );
    }
}

/// Small deletions count before they erase: what the drain is erasing in that moment is in its receipt and in no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_is_erased_while_the_drain_ends_their_devices_has_each_of_them_in_one_receipt_on_postgresql() {
    let stage = &Stage::on_postgresql().await;
    stage.engine.run("", STAND_STILL).await.unwrap();
    let (organization, _) = stage.found("twice", 0).await;
    stage.fill(organization, "user123").await;
    let devices = stage.count("devices", organization).await;
    let softly = stage.delete(organization, "user123", Deleting::Softly).await.unwrap();
    assert_eq!(softly.state.name(), "closed");
    let held = &take(&stage.plane).await.unwrap();
    stage.advance(held, 100).await;
    let stop = "CREATE TRIGGER stand_still BEFORE DELETE ON devices FOR EACH ROW EXECUTE FUNCTION stand_still()";
    stage.engine.run("", &format!("SELECT pg_advisory_lock(1); {stop}")).await.unwrap();
    let erased = async {
        while stage.engine.waiters("advisory").await < 1 {}
        stage.delete(organization, "user123", Deleting::Hard).await.unwrap()
    };
    let goes_on = async {
        // The deletion waits for the customer, or for a device behind the drain.
        while stage.engine.waiters("%").await < 2 {}
        stage.engine.run("", "SELECT pg_advisory_unlock(1)").await.unwrap();
    };
    let all = async { tokio::join!(stage.advance(held, 100), erased, goes_on) };
    let (_, erased, ()) = tokio::time::timeout(Duration::from_secs(20), all).await.expect("nothing goes on");
    while stage.advance(held, 1_000).await != Outcome::Completed {}
    assert_eq!((erased.state.name(), stage.count("devices", organization).await), ("completed", 0));
    let told = |record: &Deletion| record.counts["devices"].as_i64().unwrap();
    assert_eq!(told(&stage.record(&softly).await) + told(&erased), devices);
}

async fn a_customer_with_many_rows_is_passed_over_and_goes_table_by_table(stage: Stage) {
    let doomed = stage.close_with("much", 3).await;
    let customers = format!("SELECT count(*) FROM customers WHERE organization_id = {}", stage.engine.uuid(doomed.organization));
    assert_eq!(stage.engine.count(&customers).await, 4);
    let held = take(&stage.plane).await.unwrap();
    while stage.advance(&held, 10).await == Outcome::More {}
    assert_eq!(stage.engine.count(&customers).await, 1, "the one with many rows is left");
    while stage.advance(&held, 10).await != Outcome::Completed {}
    stage.check(&doomed).await;
}

async fn workers_that_take_it_from_each_other_all_the_time_count_every_row_once(stage: Stage) {
    let doomed = stage.close("contested").await;
    let workers = (0..4).map(|_| {
        let (plane, owner, deletion) = (stage.plane.clone(), stage.owner.clone(), doomed.deletion);
        tokio::spawn(async move {
            let mut fenced = 0;
            while deletions::get(&owner, deletion).await.unwrap().state.name() != "completed" {
                // Every lease is over at once, so that others take over in the middle of this worker's batches.
                plane.clock.advance(plane.config.lease);
                // None when another worker was quicker.
                let Some(held) = take(&plane).await else { continue };
                for _ in 0..3 {
                    let outcome = drain::advance(&plane, &held, 3, Duration::ZERO, false).await.unwrap();
                    fenced += usize::from(outcome == Outcome::Fenced);
                }
            }
            fenced
        })
    });
    let mut fenced = 0;
    for worker in workers.collect::<Vec<_>>() {
        fenced += worker.await.unwrap();
    }
    stage.check(&doomed).await;
    assert!(fenced > 0, "no worker took it from another");
}

async fn what_was_just_ordered_does_not_wait_for_what_goes_on(stage: Stage) {
    let Stage { plane, owner, .. } = &stage;
    let going_on = stage.close("going-on").await;
    let held = take(plane).await.unwrap();
    stage.advance(&held, 10).await;
    // The worker that had it is gone, and it has waited for longer than what comes now.
    plane.clock.advance(plane.config.lease);
    let ordered = stage.close("just-ordered").await;
    let mut throttle = drain::throttle(plane);
    assert!(drain::work_a_turn(plane, Work::Begin, &mut throttle).await.unwrap());
    let batches = async |doomed: &Doomed| deletions::get(owner, doomed.deletion).await.unwrap().batches;
    assert_eq!((batches(&going_on).await, batches(&ordered).await > 0), (1, true));
    drain_all(plane).await;
    stage.check(&going_on).await;
    stage.check(&ordered).await;
}

async fn what_appears_behind_the_drain_is_found_by_the_sweep_and_nothing_is_counted_twice(stage: Stage) {
    let Stage { plane, engine, .. } = &stage;
    let mut doomed = stage.close("late").await;
    let held = take(plane).await.unwrap();
    let remaining = |table: &'static str| {
        let query = format!("SELECT count(*) FROM {table} WHERE organization_id = {}", engine.uuid(doomed.organization));
        async move { engine.count(&query).await }
    };
    while remaining("members").await > 0 {
        stage.advance(&held, 1_000).await;
    }
    stage.advance(&held, 1_000).await;
    let id = engine.uuid(doomed.organization);
    let insert = format!(
        "INSERT INTO invitations (organization_id, id, email, role, token_hash, status, invited_by, created_at, expires_at)
         SELECT {id}, id, 'late@example.com', 'member', password_hash, 'pending', NULL, created_at, created_at FROM users"
    );
    engine.run(&insert, &insert.replace("password_hash", "decode('00', 'hex')")).await.unwrap();
    *doomed.counts.get_mut("invitations").unwrap() += 1;
    let mut outcomes = Vec::new();
    while outcomes.last() != Some(&Outcome::Completed) {
        outcomes.push(stage.advance(&held, 1_000).await);
    }
    let again = [Outcome::NextTable, Outcome::NextTable, Outcome::LastStep, Outcome::Completed];
    assert_eq!(outcomes, again, "the sweep, what is before the webhooks, the rest, and the completion");
    stage.check(&doomed).await;
}

impl Stage {
    /// Makes an organization, counts its rows and deletes it, which closes it: there is too much in it to go at once.
    async fn close(&self, slug: &str) -> Doomed {
        self.close_with(slug, 0).await
    }

    /// The same, with so many more customers without other rows.
    async fn close_with(&self, slug: &str, others: usize) -> Doomed {
        let organization = furnish(&self.owner, slug).await;
        for number in 0..others {
            new_customer(&self.owner, organization, &format!("other-{number}")).await;
        }
        self.doom(organization).await
    }

    /// Counts the rows of a furnished organization and deletes it.
    pub(crate) async fn doom(&self, organization: Uuid) -> Doomed {
        let id = self.engine.uuid(organization);
        let label = format!("UPDATE audit_entries SET subject_label = 'a label' WHERE organization_id = {id}");
        self.engine.run(&label, &label).await.unwrap();
        let mut counts = BTreeMap::new();
        for (name, table) in &self.schema.tables {
            if table.columns.iter().any(|column| column.name == "organization_id") {
                let redacted = table.columns.iter().any(|column| column.name == "subject_label");
                let only = if redacted { "AND subject_label IS NOT NULL" } else { "" };
                let count = self.engine.count(&format!("SELECT count(*) FROM {name} WHERE organization_id = {id} {only}")).await;
                counts.insert(name.clone(), count);
            }
        }
        counts.retain(|_, count| *count > 0);
        assert!(counts.len() > 10, "{counts:?}");
        let deletion = organizations::delete(&self.owner, &OrganizationRef::Id(organization), Details::default()).await.unwrap();
        assert_eq!(deletion.state.name(), "closed");
        // It tells its webhook so twice, as `organization.deleted` and as `deletion.started`, and waits until the webhook heard it.
        *counts.get_mut("effects").unwrap() += 2;
        deliver(&self.plane, 200).await;
        Doomed { organization, deletion: deletion.id, counts }
    }

    pub(crate) async fn advance(&self, held: &Arc<Lease>, size: i64) -> Outcome {
        drain::advance(&self.plane, held, size, Duration::ZERO, false).await.unwrap()
    }

    /// The receipt is exact and no row is left.
    pub(crate) async fn check(&self, doomed: &Doomed) -> Deletion {
        let record = deletions::get(&self.owner, doomed.deletion).await.unwrap();
        assert_eq!(record.state.name(), "completed");
        let counts: BTreeMap<String, i64> = serde_json::from_value(record.counts.clone()).unwrap();
        assert_eq!(counts, doomed.counts);
        let id = self.engine.uuid(doomed.organization);
        for name in self.schema.tables.keys().filter(|name| doomed.counts.contains_key(*name)) {
            let only = if name == "audit_entries" { "AND subject_label IS NOT NULL" } else { "" };
            let left = self.engine.count(&format!("SELECT count(*) FROM {name} WHERE organization_id = {id} {only}")).await;
            assert_eq!(left, 0, "{name}");
        }
        assert_eq!(self.engine.count(&format!("SELECT count(*) FROM organizations WHERE id = {id}")).await, 0);
        record
    }
}
