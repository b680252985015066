//! A purge may stop anywhere and be taken up by anybody: each customer is deleted once, in the audit trail once, and an item once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deletion::{Lease, Outcome};
use plane::api_keys::{self, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, Deleting};
use plane::deletions::{self, Deletion, Details};
use plane::drain;
use plane::ids::OrganizationRef;
use plane::page::PageRequest;
use plane::policy::Role;
use plane::purges::{self, Criteria, Item, Meant};
use plane::{Cx, Error, invitations, members};
use serde_json::json;
use uuid::Uuid;

use crate::on_both_engines;
use crate::people::Person;
use crate::stage::{Stage, take};
use crate::world::{deliver, new_customer};

const CUSTOMERS: i64 = 90;
/// Of these, so many have an active subscription.
const BLOCKED: i64 = 4;

/// A purge and what must become of it.
struct Ordered {
    organization: Uuid,
    deletion: Deletion,
    outcomes: BTreeMap<&'static str, i64>,
}

on_both_engines! {
    a_worker_that_is_paused_past_its_lease_deletes_no_customer
    a_purge_that_stops_after_every_batch_comes_to_the_same_end_whatever_the_size
    workers_that_take_it_from_each_other_all_the_time_delete_everybody_once
    customers_who_came_by_or_changed_after_the_order_stay
    a_purge_is_not_completed_before_the_deletions_that_it_ordered_are
    a_purge_ends_with_its_organization
    after_a_stop_no_other_customer_is_deleted_and_those_that_are_left_are_listed
    a_stop_that_meets_workers_at_work_is_the_last_they_hear
    who_went_before_a_stop_is_not_told_of_as_spared
    a_purge_deletes_no_other_customer_once_its_orderer_may_no_longer_delete
}

async fn a_worker_that_is_paused_past_its_lease_deletes_no_customer(stage: Stage) {
    let Stage { plane, engine, schema, .. } = &stage;
    let ordered = stage.order_list("paused").await;
    let paused = take(plane).await.unwrap();
    assert_eq!(stage.advance_purge(&paused, 64).await, Outcome::Ordered);
    plane.clock.advance(plane.config.lease);
    let other = take(plane).await.unwrap();
    let mut outcome = stage.advance_purge(&other, 64).await;
    while outcome != Outcome::Completed {
        let before = engine.rows(schema).await;
        assert_eq!(stage.advance_purge(&paused, 64).await, Outcome::Fenced);
        assert_eq!(engine.rows(schema).await, before);
        outcome = stage.advance_purge(&other, 64).await;
    }
    assert_eq!(stage.advance_purge(&paused, 64).await, Outcome::Fenced);
    stage.check_purge(&ordered).await;
}

async fn a_purge_that_stops_after_every_batch_comes_to_the_same_end_whatever_the_size(stage: Stage) {
    for size in [1, 200, 10_000] {
        for by_list in [true, false] {
            let ordered = stage.order(&format!("size-{size}-{by_list}"), by_list).await;
            let mut batches = 0;
            loop {
                // A worker that is gone after one batch, and a new one when its lease is over.
                let held = take(&stage.plane).await.unwrap();
                batches += 1;
                if stage.advance_purge(&held, size).await == Outcome::Completed {
                    break;
                }
                stage.plane.clock.advance(stage.plane.config.lease);
            }
            let record = stage.check_purge(&ordered).await;
            assert_eq!(record.batches, batches);
            assert!(size < 10_000 || batches == 2, "size {size}: {batches} batches");
            // However few rows are asked for, a handful of customers goes together.
            assert!(size > 1 || batches >= CUSTOMERS / 16, "size {size}: {batches} batches");
        }
    }
}

async fn workers_that_take_it_from_each_other_all_the_time_delete_everybody_once(stage: Stage) {
    for by_list in [true, false] {
        let ordered = stage.order(&format!("contested-{by_list}"), by_list).await;
        let workers = (0..4).map(|_| {
            let (plane, owner, deletion) = (stage.plane.clone(), stage.owner.clone(), ordered.deletion.id);
            tokio::spawn(async move {
                let mut fenced = 0;
                while deletions::get(&owner, deletion).await.unwrap().state.name() != "completed" {
                    plane.clock.advance(plane.config.lease);
                    let Some(held) = take(&plane).await else { continue };
                    for _ in 0..3 {
                        fenced += usize::from(drain::advance(&plane, &held, 16, Duration::ZERO, false).await.unwrap() == Outcome::Fenced);
                    }
                }
                fenced
            })
        });
        let mut fenced = 0;
        for worker in workers.collect::<Vec<_>>() {
            fenced += worker.await.unwrap();
        }
        stage.check_purge(&ordered).await;
        assert!(fenced > 0, "no worker took it from another");
    }
}

async fn customers_who_came_by_or_changed_after_the_order_stay(stage: Stage) {
    let (organization, _) = stage.found("later", 0).await;
    for reference in ["first", "second", "third"] {
        new_customer(&stage.now(), organization, reference).await;
    }
    let here = OrganizationRef::Id(organization);
    stage.plane.clock.advance(Duration::from_secs(60));
    let criteria = Criteria { updated_before: Some(stage.now().now), ..Criteria::default() };
    let by_criteria = purges::order(&stage.now(), &here, &Meant::Criteria(criteria), None, None).await.unwrap();
    let references = ["third", "gone"].map(str::to_owned).to_vec();
    customers::delete(&stage.now(), &here, "first", Deleting::Permanently, Details::default()).await.unwrap();
    stage.plane.clock.advance(Duration::from_secs(60));
    let change = customers::CustomerChange { name: Some("Other".into()), ..no_change() };
    customers::update(&stage.now(), &here, "second", change).await.unwrap();
    new_customer(&stage.now(), organization, "fourth").await;
    let by_list = purges::order(&stage.now(), &here, &Meant::List(references), None, None).await.unwrap();
    // Another one of the same name, made after the list was given.
    new_customer(&stage.now(), organization, "gone").await;
    stage.drain().await;
    for (deletion, expected) in [(&by_criteria, json!({"deleted": 1})), (&by_list, json!({"not_found": 2}))] {
        let record = stage.record(deletion).await;
        assert_eq!((record.state.name(), &record.counts), ("completed", &expected));
    }
    assert_eq!(stage.count("customers", organization).await, 3, "second, fourth and gone are left");
}

async fn a_purge_is_not_completed_before_the_deletions_that_it_ordered_are(stage: Stage) {
    let (organization, _) = stage.found("followed", 1).await;
    new_customer(&stage.now(), organization, "customer").await;
    deliver(&stage.plane, 200).await;
    let list = Meant::List(vec!["customer".into()]);
    let ordered = purges::order(&stage.now(), &OrganizationRef::Id(organization), &list, None, None).await.unwrap();
    stage.drain().await;
    let record = stage.record(&ordered).await;
    assert_eq!((record.state.name(), record.waiting_for.as_deref()), ("draining", Some("the deletions of its customers")));
    let own = stage.items(&ordered).await[0].deletion.unwrap();
    assert_eq!(deletions::get(&stage.owner, own).await.unwrap().waiting_for.as_deref(), Some("2 webhook deliveries"));
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    assert_eq!(stage.record(&ordered).await.state.name(), "completed");
}

async fn a_purge_ends_with_its_organization(stage: Stage) {
    let ordered = stage.order_list("ended").await;
    let held = take(&stage.plane).await.unwrap();
    assert_eq!(stage.advance_purge(&held, 64).await, Outcome::Ordered);
    plane::organizations::delete(&stage.now(), &OrganizationRef::Id(ordered.organization), Details::default()).await.unwrap();
    assert_eq!(stage.advance_purge(&held, 64).await, Outcome::Completed);
    stage.drain().await;
    for table in ["purges", "purge_items", "customers"] {
        assert_eq!(stage.count(table, ordered.organization).await, 0, "{table}");
    }
    assert_eq!(stage.record(&ordered.deletion).await.counts, json!({"deleted": 12, "blocked": 4}));
}

async fn after_a_stop_no_other_customer_is_deleted_and_those_that_are_left_are_listed(stage: Stage) {
    for by_list in [true, false] {
        for batches in [0, 1] {
            let ordered = stage.order(&format!("stopped-{by_list}-{batches}"), by_list).await;
            let mut held = None;
            for _ in 0..batches {
                held = take(&stage.plane).await;
                assert_eq!(stage.advance_purge(held.as_ref().unwrap(), 200).await, Outcome::Ordered);
            }
            let before = stage.count("customers", ordered.organization).await;
            let stopped = purges::stop(&stage.now(), ordered.deletion.id).await.unwrap().deletion;
            let reached = stopped.counts.as_object().unwrap().values().filter_map(|count| count.as_i64()).sum::<i64>();
            assert_eq!((stopped.completed_at, stopped.stopped_at.is_some(), reached), (None, true, 25 * batches));
            // The worker that had it goes on with it, and so does the one that takes it up after that one is gone.
            if let Some(held) = &held {
                assert_eq!(stage.advance_purge(held, 200).await, Outcome::Ordered);
                stage.plane.clock.advance(stage.plane.config.lease);
            }
            let again = purges::stop(&stage.now(), ordered.deletion.id).await.unwrap().deletion;
            stage.drain().await;
            assert_eq!(stage.count("customers", ordered.organization).await, before);
            let record = stage.check_stopped(&ordered).await;
            assert_eq!((again.stopped_at, record.stopped_at), (stopped.stopped_at, stopped.stopped_at));
            for (outcome, count) in stopped.counts.as_object().unwrap() {
                assert_eq!(&record.counts[outcome], count, "{outcome}");
            }
            // A client that did not get the answer asks again.
            assert!(purges::stop(&stage.now(), ordered.deletion.id).await.is_ok());
        }
    }
    let completed = stage.order_list("completed").await;
    stage.drain().await;
    assert!(matches!(purges::stop(&stage.now(), completed.deletion.id).await, Err(Error::Conflict(_))));
    assert_eq!(stage.check_purge(&completed).await.stopped_at, None);
}

async fn who_went_before_a_stop_is_not_told_of_as_spared(stage: Stage) {
    let ordered = stage.order_list("gone-meanwhile").await;
    let here = OrganizationRef::Id(ordered.organization);
    for (reference, how) in [("customer-3", customers::Deleting::Permanently), ("customer-4", customers::Deleting::Softly)] {
        customers::delete(&stage.now(), &here, reference, how, Details::default()).await.unwrap();
    }
    purges::stop(&stage.now(), ordered.deletion.id).await.unwrap();
    stage.drain().await;
    assert_eq!(stage.record(&ordered.deletion).await.counts, json!({"stopped": CUSTOMERS - 2, "not_found": 3, "repeated": 1}));
}

async fn a_stop_that_meets_workers_at_work_is_the_last_they_hear(stage: Stage) {
    for (round, by_list) in [true, false, true, false].into_iter().enumerate() {
        let ordered = stage.order(&format!("met-{round}"), by_list).await;
        let workers = (0..3).map(|_| {
            let (plane, owner, deletion) = (stage.plane.clone(), stage.owner.clone(), ordered.deletion.id);
            tokio::spawn(async move {
                while deletions::get(&owner, deletion).await.unwrap().state.name() != "completed" {
                    plane.clock.advance(plane.config.lease);
                    let Some(held) = take(&plane).await else { continue };
                    for _ in 0..2 {
                        drain::advance(&plane, &held, 1, Duration::ZERO, false).await.unwrap();
                    }
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        while stage.record(&ordered.deletion).await.batches == 0 {
            tokio::task::yield_now().await;
        }
        let (one, other) = (stage.now(), stage.now());
        let id = ordered.deletion.id;
        let (first, second) = tokio::join!(purges::stop(&one, id), purges::stop(&other, id));
        let left = stage.count("customers", ordered.organization).await;
        for worker in workers {
            worker.await.unwrap();
        }
        // One that was over before anybody could stop it was not stopped.
        if let (Ok(first), Ok(second)) = (first, second) {
            assert_eq!(first.deletion.stopped_at, second.deletion.stopped_at);
            assert_eq!(stage.count("customers", ordered.organization).await, left, "a customer was deleted after the answer");
            stage.check_stopped(&ordered).await;
        } else {
            stage.check_purge(&ordered).await;
        }
    }
}

async fn a_purge_deletes_no_other_customer_once_its_orderer_may_no_longer_delete(stage: Stage) {
    for loss in ["removal", "demotion", "revocation", "none"] {
        let organization = stage.populate(&format!("orderer-{loss}")).await;
        let (owner, here) = (stage.now(), OrganizationRef::Id(organization));
        let person = Person::new(&stage.plane).await;
        let (_, token) = invitations::create(&owner, &here, &person.email, Role::Admin).await.unwrap();
        let (_, member) = invitations::accept(&person.cx(&stage.plane), &token).await.unwrap();
        let new = NewApiKey {
            scopes: Some(vec!["read:customers".into(), "write:customers".into()]),
            ..NewApiKey::new(api_keys::Kind::Organization, "Purges")
        };
        let (key, secret) = api_keys::create(&person.cx(&stage.plane), &here, new).await.unwrap();
        let with_key = authenticate(Cx::new(&stage.plane, "test"), Presented::ApiKey(&secret)).await.unwrap();
        let orderer = if loss == "revocation" { with_key } else { person.cx(&stage.plane) };
        let criteria = Criteria { is_all: true, ..Criteria::default() };
        let deletion = purges::order(&orderer, &here, &Meant::Criteria(criteria), None, None).await.unwrap();
        let held = take(&stage.plane).await.unwrap();
        assert_eq!(stage.advance_purge(&held, 200).await, Outcome::Ordered);
        match loss {
            "removal" => drop(members::remove(&owner, &here, member, None).await.unwrap()),
            "demotion" => drop(members::change_role(&owner, &here, member, Role::Viewer).await.unwrap()),
            "revocation" => drop(api_keys::revoke(&owner, &here, key.id, None).await.unwrap()),
            _ => {}
        }
        let left = stage.count("customers", organization).await;
        stage.plane.clock.advance(stage.plane.config.lease);
        stage.drain().await;
        let record = stage.record(&deletion).await;
        assert_eq!(record.state.name(), "completed", "{loss}");
        match loss {
            "none" => assert_eq!(stage.count("customers", organization).await, BLOCKED),
            _ => assert_eq!(stage.count("customers", organization).await, left, "{loss}: {}", record.counts),
        }
        assert_eq!(record.counts["refused"].as_i64().unwrap_or(0) > 0, loss != "none", "{loss}: {}", record.counts);
    }
}

fn no_change() -> customers::CustomerChange {
    customers::CustomerChange {
        reference: None,
        name: None,
        email: None,
        phone: None,
        tax_id: None,
        address: None,
        metadata: json!({}),
        managed_by: None,
    }
}

impl Stage {
    /// An organization with customers, of which some cannot be deleted now.
    async fn populate(&self, slug: &str) -> Uuid {
        let (organization, _) = self.found(slug, 0).await;
        for number in 0..CUSTOMERS {
            new_customer(&self.now(), organization, &format!("customer-{number}")).await;
        }
        for number in 0..BLOCKED {
            let fields = json!({"plan": "basic"}).as_object().cloned().unwrap();
            let subscriptions = plane::dependants::Kind::at("subscriptions").unwrap();
            let here = OrganizationRef::Id(organization);
            plane::dependants::create(&self.now(), &here, &format!("customer-{}", number * 5), subscriptions, fields).await.unwrap();
        }
        organization
    }

    /// A purge of all of them by their ids, with one that is unknown and one that is named twice.
    async fn order_list(&self, slug: &str) -> Ordered {
        let organization = self.populate(slug).await;
        let mut references: Vec<String> = (0..CUSTOMERS).map(|number| format!("customer-{number}")).collect();
        references.extend(["nobody".to_owned(), "customer-7".to_owned()]);
        let deletion = purges::order(&self.now(), &OrganizationRef::Id(organization), &Meant::List(references), None, None).await.unwrap();
        let outcomes = BTreeMap::from([("deleted", CUSTOMERS - BLOCKED), ("blocked", BLOCKED), ("not_found", 1), ("repeated", 1)]);
        Ordered { organization, deletion, outcomes }
    }

    /// The same of all that there are.
    async fn order_criteria(&self, slug: &str) -> Ordered {
        let organization = self.populate(slug).await;
        let criteria = Criteria { is_all: true, ..Criteria::default() };
        let deletion =
            purges::order(&self.now(), &OrganizationRef::Id(organization), &Meant::Criteria(criteria), None, None).await.unwrap();
        let outcomes = BTreeMap::from([("deleted", CUSTOMERS - BLOCKED), ("blocked", BLOCKED)]);
        Ordered { organization, deletion, outcomes }
    }

    async fn order(&self, slug: &str, by_list: bool) -> Ordered {
        if by_list { self.order_list(slug).await } else { self.order_criteria(slug).await }
    }

    async fn advance_purge(&self, held: &Arc<Lease>, size: i64) -> Outcome {
        drain::advance(&self.plane, held, size, Duration::ZERO, false).await.unwrap()
    }

    async fn items(&self, deletion: &Deletion) -> Vec<Item> {
        purges::items(&self.owner, deletion.id, None, PageRequest::new(1, 100)).await.unwrap().1.entries
    }

    /// Each customer is an item once, and who was not reached is there.
    async fn check_stopped(&self, ordered: &Ordered) -> Deletion {
        let Ordered { organization, deletion, outcomes } = ordered;
        let record = self.record(deletion).await;
        assert_eq!(record.state.name(), "completed");
        let counted = record.counts.as_object().unwrap();
        assert_eq!(counted.values().filter_map(|count| count.as_i64()).sum::<i64>(), outcomes.values().sum::<i64>());
        let items = self.items(deletion).await;
        let numbers: Vec<i64> = items.iter().map(|item| item.number).collect();
        assert_eq!(numbers, (1..=outcomes.values().sum()).collect::<Vec<i64>>());
        let mut found: BTreeMap<&str, i64> = BTreeMap::new();
        for item in &items {
            *found.entry(item.outcome.name()).or_default() += 1;
            let is_there = ["blocked", "stopped"].contains(&item.outcome.name());
            assert_eq!((item.deletion.is_some(), item.reference.is_some()), (item.outcome.name() == "deleted", is_there), "{item:?}");
        }
        assert_eq!(json!(found), record.counts);
        let deleted = found.get("deleted").copied().unwrap_or_default();
        assert_eq!(self.count("customers", *organization).await, CUSTOMERS - deleted);
        assert_eq!(self.count("deletions", *organization).await, 1 + deleted);
        assert_eq!(self.count("purges", *organization).await, 0, "what was asked for is left");
        let stops = format!(
            "SELECT count(*) FROM audit_entries WHERE organization_id = {} AND action = 'customers.stop_purge' AND outcome = 'done'",
            self.engine.uuid(*organization)
        );
        assert_eq!(self.engine.count(&stops).await, 1);
        record
    }

    /// Each customer is an item once, and was deleted once or not at all.
    async fn check_purge(&self, ordered: &Ordered) -> Deletion {
        let Ordered { organization, deletion, outcomes } = ordered;
        let record = self.record(deletion).await;
        assert_eq!((record.state.name(), &record.counts), ("completed", &json!(outcomes)));
        let items = self.items(deletion).await;
        let numbers: Vec<i64> = items.iter().map(|item| item.number).collect();
        assert_eq!(numbers, (1..=outcomes.values().sum()).collect::<Vec<i64>>());
        for item in &items {
            assert_eq!(item.deletion.is_some(), item.outcome.name() == "deleted", "{item:?}");
            assert_eq!(item.blockers.is_empty(), item.outcome.name() != "blocked", "{item:?}");
            assert_eq!(item.reference.is_some(), item.outcome.name() == "blocked", "{item:?}");
        }
        let (deleted, blocked) = (outcomes["deleted"], outcomes["blocked"]);
        assert_eq!(self.count("customers", *organization).await, blocked);
        // Its own, and one of each who was deleted.
        assert_eq!(self.count("deletions", *organization).await, 1 + deleted);
        let id = self.engine.uuid(*organization);
        for (outcome, number) in [("done", deleted), ("blocked", blocked)] {
            let query = format!(
                "SELECT count(*) FROM audit_entries
                 WHERE organization_id = {id} AND action = 'customer.delete' AND outcome = '{outcome}' AND actor = 'user' AND actor_id IS NOT NULL"
            );
            assert_eq!(self.engine.count(&query).await, number, "{outcome}");
        }
        let own = format!(
            "SELECT count(*) FROM audit_entries WHERE organization_id = {id} AND action = 'customers.purge' AND detail IS NOT NULL"
        );
        assert_eq!(self.engine.count(&own).await, 1);
        assert_eq!(self.count("purges", *organization).await, 0, "what was asked for is left");
        record
    }
}
