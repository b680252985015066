//! Legal holds and time: what was ordered before a hold waits for its end, and histories are not cut while it lasts.

use std::cell::Cell;
use std::time::Duration;

use plane::customers::{self, Deleting};
use plane::deletions;
use plane::holds::{self, Hold, NewHold, Subject};
use plane::ids::OrganizationRef;
use plane::{Error, approvals, dependants, doctor, metrics, retention, webhooks};
use serde_json::json;
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::{STAND_STILL, deliver, new_customer};

on_both_engines! {
    a_deletion_that_was_ordered_before_a_hold_erases_nothing_more_until_it_is_released
    a_deletion_that_waits_for_a_hold_goes_on_when_that_has_ended_by_itself
    a_hold_that_has_ended_stops_nothing
    what_the_doctor_orders_waits_for_a_hold_too
    the_history_of_what_is_held_is_not_cut
    an_approval_that_has_ended_stays_while_a_hold_is_in_force
}

/// More than a deletion does at once.
const MUCH: i64 = 510;
const PATIENCE: Duration = Duration::from_secs(20);

async fn a_deletion_that_was_ordered_before_a_hold_erases_nothing_more_until_it_is_released(stage: Stage) {
    let (organization, _) = stage.found("waiting", 0).await;
    for (how, subject) in [
        (Deleting::Permanently, Subject::Organization),
        (Deleting::Softly, Subject::Organization),
        // Only who was softly deleted can still be held.
        (Deleting::Softly, Subject::Customer("softly".into())),
    ] {
        let reference = if matches!(subject, Subject::Customer(_)) { "softly".to_owned() } else { format!("{how:?}") };
        stage.fill(organization, &reference).await;
        let before = stage.count("devices", organization).await;
        let deletion = stage.delete(organization, &reference, how).await.unwrap();
        assert_eq!(deletion.state.name(), "closed");
        let hold = stage.hold(organization, subject, None).await;
        stage.drain().await;
        let record = stage.record(&deletion).await;
        assert_eq!((record.state.name(), record.waiting_for.as_deref()), ("draining", Some("a legal hold")));
        assert_eq!(stage.count("devices", organization).await, before);
        let progress = deletions::watch(&stage.now(), deletion.id).await.unwrap().progress(stage.plane.clock.now(), None);
        assert_eq!(progress.conditions[0].kind, "legal_hold");
        // It shall wait, for as long as it takes.
        stage.plane.clock.advance(Duration::from_secs(600));
        stage.drain().await;
        let snapshot = metrics::snapshot(&stage.plane).await.unwrap();
        assert_eq!((snapshot.waiting, snapshot.stuck), (1, 0));
        holds::release(&stage.now(), &OrganizationRef::Id(organization), hold.id, "Closed".into()).await.unwrap();
        stage.drain().await;
        assert_eq!(stage.record(&deletion).await.state.name(), "completed");
        assert_eq!(stage.count("devices", organization).await, before - MUCH);
    }
}

async fn a_deletion_that_waits_for_a_hold_goes_on_when_that_has_ended_by_itself(stage: Stage) {
    let (organization, _) = stage.found("ending", 0).await;
    stage.fill(organization, "user123").await;
    let deletion = stage.delete(organization, "user123", Deleting::Permanently).await.unwrap();
    stage.hold(organization, Subject::Organization, Some(Duration::from_secs(3_600))).await;
    for _ in 0..3 {
        stage.plane.clock.advance(Duration::from_secs(600));
        stage.drain().await;
        assert_eq!(stage.record(&deletion).await.waiting_for.as_deref(), Some("a legal hold"));
    }
    stage.plane.clock.advance(Duration::from_secs(3_600));
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.state.name(), "completed");
    assert_eq!(stage.count("customers", organization).await, 0);
}

async fn a_hold_that_has_ended_stops_nothing(stage: Stage) {
    let (organization, _) = stage.found("ended", 0).await;
    for reference in ["held", "free"] {
        new_customer(&stage.now(), organization, reference).await;
    }
    let hold = stage.hold(organization, Subject::Customer("held".into()), Some(Duration::from_secs(60))).await;
    assert_eq!(hold.state.name(), "active");
    assert!(matches!(stage.delete(organization, "held", Deleting::Permanently).await, Err(Error::Blocked(_))));
    stage.delete(organization, "free", Deleting::Permanently).await.unwrap();
    stage.plane.clock.advance(Duration::from_secs(61));
    assert_eq!(holds::get(&stage.now(), &OrganizationRef::Id(organization), hold.id).await.unwrap().state.name(), "expired");
    stage.delete(organization, "held", Deleting::Permanently).await.unwrap();
    let kept = holds::get(&stage.now(), &OrganizationRef::Id(organization), hold.id).await.unwrap();
    assert_eq!(
        (kept.state.name(), kept.subject_label),
        ("expired", None),
        "who placed it, on which subject and until when is still to be seen"
    );
}

async fn what_the_doctor_orders_waits_for_a_hold_too(stage: Stage) {
    let mut held = Vec::new();
    for closes in ["customers", "organizations"] {
        let (organization, _) = stage.found(closes, 0).await;
        new_customer(&stage.now(), organization, "user123").await;
        stage.hold(organization, Subject::Customer("user123".into()), Some(Duration::from_secs(3_600))).await;
        // A statement beside the server closes it, and no deletion covers it.
        let key = if closes == "customers" { "organization_id" } else { "id" };
        let close = format!("UPDATE {closes} SET state = 'closed' WHERE {key} = {}", stage.engine.uuid(organization));
        stage.engine.run(&close, &close).await.unwrap();
        assert_eq!(doctor::repair(&stage.plane).await.unwrap().ordered, 1);
        stage.drain().await;
        held.push(organization);
    }
    for organization in &held {
        assert_eq!((stage.count("customers", *organization).await, stage.count("members", *organization).await), (1, 1));
    }
    stage.plane.clock.advance(Duration::from_secs(3_600));
    stage.drain().await;
    assert_eq!((stage.count("customers", held[0]).await, stage.count("members", held[0]).await), (0, 1));
    assert_eq!((stage.count("customers", held[1]).await, stage.count("members", held[1]).await), (0, 0));
}

async fn the_history_of_what_is_held_is_not_cut(stage: Stage) {
    let (organization, hooks) = stage.found("long", 1).await;
    new_customer(&stage.now(), organization, "held").await;
    let on_customer = stage.hold(organization, Subject::Customer("held".into()), None).await;
    stage.tell(organization, 0..120).await;
    assert_eq!(stage.count("effects", organization).await, 101, "a hundred, and what is held");
    assert_eq!(stage.history(organization, hooks[0], "webhook.created").await.len(), 0);
    let on_organization = stage.hold(organization, Subject::Organization, None).await;
    stage.tell(organization, 120..140).await;
    assert_eq!(stage.count("effects", organization).await, 121);
    for hold in [on_customer, on_organization] {
        holds::release(&stage.now(), &OrganizationRef::Id(organization), hold.id, "Closed".into()).await.unwrap();
    }
    stage.tell(organization, 140..141).await;
    assert_eq!(stage.count("effects", organization).await, 100);
}

/// Whatever erases, and has found no hold: one that is placed in this moment waits for it, and from its answer on nothing goes any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_waits_for_what_is_just_being_erased_on_postgresql() {
    let stage = &Stage::on_postgresql().await;
    stage.engine.run("", STAND_STILL).await.unwrap();
    let (organization, hooks) = stage.found("erasing", 1).await;
    let here = &OrganizationRef::Id(organization);
    let whole = || Subject::Organization;
    let one = |reference: &str| Subject::Customer(reference.into());

    stage.fill(organization, "drained").await;
    let deletion = stage.delete(organization, "drained", Deleting::Permanently).await.unwrap();
    assert_eq!(deletion.state.name(), "closed");
    stage.race("devices", organization, stage.drain(), whole()).await;
    stage.fill(organization, "softly").await;
    stage.delete(organization, "softly", Deleting::Softly).await.unwrap();
    stage.race("devices", organization, stage.drain(), one("softly")).await;

    stage.equip(organization, "small", 1).await;
    let small = async { drop(stage.delete(organization, "small", Deleting::Permanently).await.unwrap()) };
    stage.race("devices", organization, small, whole()).await;
    stage.equip(organization, "archived", 1).await;
    let archive = async { drop(customers::archive(&stage.now(), here, "archived").await.unwrap()) };
    stage.race("devices", organization, archive, whole()).await;

    // What is left of one who was softly deleted ends at its age.
    stage.plane.clock.advance(Duration::from_hours(24 * 366));
    let expire = async { drop(retention::once(&stage.plane).await.unwrap()) };
    stage.race("customers", organization, expire, whole()).await;

    stage.grant(organization, 1).await;
    // Of the second one more ends before the restoration than in it.
    for (reference, devices, subject) in [("restored", 1, whole()), ("large", 1_001, one("large"))] {
        stage.equip(organization, reference, devices).await;
        let deletion = stage.delete(organization, reference, Deleting::Softly).await.unwrap();
        let restore = Box::pin(async { drop(deletions::restore(&stage.now(), deletion.id).await.unwrap()) });
        stage.race("devices", organization, restore, subject).await;
    }

    stage.tell(organization, 0..100).await;
    let cut = stage.tell(organization, 100..101);
    stage.race("effects", organization, cut, whole()).await;
    let deafen = async { drop(webhooks::delete(&stage.now(), here, hooks[0], None).await.unwrap()) };
    stage.race("effects", organization, deafen, whole()).await;
}

/// Other organizations wait for the drain, too: it does not stand in line behind a member who places a hold.
#[tokio::test(flavor = "multi_thread")]
async fn the_drain_does_not_wait_for_a_hold_that_is_being_placed_on_postgresql() {
    let stage = Stage::on_postgresql().await;
    let (organization, _) = stage.found("placing", 0).await;
    stage.fill(organization, "drained").await;
    let deletion = stage.delete(organization, "drained", Deleting::Permanently).await.unwrap();
    let key = organization.as_u128() as i64;
    stage.engine.run("", &format!("SELECT pg_advisory_lock({key})")).await.unwrap();
    tokio::time::timeout(PATIENCE, stage.drain()).await.expect("the drain waits");
    let record = stage.record(&deletion).await;
    assert_eq!((record.state.name(), record.waiting_for.as_deref()), ("draining", Some("a legal hold")));
    assert_eq!(stage.count("devices", organization).await, MUCH);
    stage.engine.run("", &format!("SELECT pg_advisory_unlock({key})")).await.unwrap();
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.state.name(), "completed");
}

async fn an_approval_that_has_ended_stays_while_a_hold_is_in_force(stage: Stage) {
    let (organization, _) = stage.found("approving", 0).await;
    for reference in ["held", "free"] {
        new_customer(&stage.now(), organization, reference).await;
    }
    let approve = async |reference: &str| {
        let subject = approvals::Subject::Customer(reference.into());
        approvals::give(&stage.now(), &OrganizationRef::Id(organization), subject, None).await.unwrap();
    };
    approve("held").await;
    let hold = stage.hold(organization, Subject::Organization, None).await;
    stage.plane.clock.advance(Duration::from_hours(25));
    approve("free").await;
    stage.plane.clock.advance(Duration::from_hours(24 * 100));
    retention::once(&stage.plane).await.unwrap();
    assert_eq!(stage.count("deletion_approvals", organization).await, 2);
    holds::release(&stage.now(), &OrganizationRef::Id(organization), hold.id, "Closed".into()).await.unwrap();
    retention::once(&stage.plane).await.unwrap();
    assert_eq!(stage.count("deletion_approvals", organization).await, 0);
}

impl Stage {
    /// Stops what erases rows of a table in the middle of its transaction, and places a hold. PostgreSQL only.
    async fn race(&self, table: &str, organization: Uuid, erases: impl Future<Output = ()>, subject: Subject) {
        let stop = format!("CREATE TRIGGER stand_still BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION stand_still()");
        self.engine.run("", &format!("SELECT pg_advisory_lock(1); {stop}")).await.unwrap();
        let is_answered = Cell::new(false);
        let holds = async {
            while self.engine.waiters("advisory").await < 1 {}
            let hold = self.hold(organization, subject, None).await;
            let left = self.count(table, organization).await;
            is_answered.set(true);
            (hold, left)
        };
        let goes_on = async {
            while self.engine.waiters("advisory").await < 2 && !is_answered.get() {}
            self.engine.run("", "SELECT pg_advisory_unlock(1)").await.unwrap();
        };
        let all = async { tokio::join!(erases, holds, goes_on) };
        let ((), (hold, left), ()) = tokio::time::timeout(PATIENCE, all).await.expect("nothing goes on");
        assert_eq!(self.count(table, organization).await, left, "rows of {table} went while the hold was in force");
        holds::release(&self.now(), &OrganizationRef::Id(organization), hold.id, "Closed".into()).await.unwrap();
        self.engine.run("", &format!("DROP TRIGGER stand_still ON {table}")).await.unwrap();
        self.drain().await;
    }

    /// A customer with so many devices. PostgreSQL only.
    async fn equip(&self, organization: Uuid, reference: &str, devices: i64) {
        new_customer(&self.now(), organization, reference).await;
        let fill = format!(
            "INSERT INTO devices (organization_id, customer_id, id, name, created_at)
             SELECT organization_id, id, gen_random_uuid(), 'Laptop', now() FROM customers, generate_series(1, {devices})
             WHERE organization_id = {} AND reference = '{reference}'",
            self.engine.uuid(organization)
        );
        self.engine.run("", &fill).await.unwrap();
    }

    /// A customer with many devices.
    pub(crate) async fn fill(&self, organization: Uuid, reference: &str) {
        new_customer(&self.now(), organization, reference).await;
        let kind = dependants::Kind::at("devices").unwrap();
        for _ in 0..MUCH {
            let device = json!({"name": "Laptop"}).as_object().cloned().unwrap();
            dependants::create(&self.now(), &OrganizationRef::Id(organization), reference, kind, device).await.unwrap();
        }
    }

    async fn hold(&self, organization: Uuid, subject: Subject, lasts: Option<Duration>) -> Hold {
        let now = self.now();
        let new = NewHold { reason: "Case 2026-17".into(), until: lasts.map(|lasts| now.now + lasts) };
        holds::place(&now, &OrganizationRef::Id(organization), subject, new).await.unwrap()
    }

    /// Makes customers and carries what webhooks are told of them.
    async fn tell(&self, organization: Uuid, numbers: std::ops::Range<usize>) {
        for number in numbers {
            new_customer(&self.now(), organization, &format!("user{number}")).await;
        }
        deliver(&self.plane, 200).await;
    }
}
