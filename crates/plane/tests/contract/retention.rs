//! Retention: what has had its time goes and not a day before, legal holds and guards keep what they keep without keeping others, and the audit
//! trail says how much was erased.

use std::time::Duration;

use plane::customers::{self, Deleting};
use plane::deletions::{Deletion, Details};
use plane::holds::{self, Hold, NewHold, Subject};
use plane::ids::OrganizationRef;
use plane::members::{self, MemberFilter};
use plane::oauth_apps::{self, NewOauthApp};
use plane::oauth_tokens::{self, Client};
use plane::page::PageRequest;
use plane::retention::{self, Round};
use plane::{dependants, metrics, organizations, search};
use serde_json::json;
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::{Engine, deliver, new_customer, sign_in};

on_both_engines! {
    a_softly_deleted_customer_goes_after_its_time_and_not_a_day_before
    who_is_held_stays_and_goes_after_the_release
    those_in_whose_way_something_stands_do_not_keep_those_after_them
    many_rows_go_in_short_batches_and_the_audit_trail_counts_them
    every_kind_of_row_goes_after_its_time
    a_legal_hold_keeps_what_there_is_about_its_subject
    a_round_that_stops_anywhere_is_taken_up_again_and_counted_exactly
    several_servers_erase_the_same_once
    what_opens_nothing_any_more_goes_a_month_later
    what_the_database_refuses_keeps_no_other
}

const DAY: Duration = Duration::from_secs(86_400);

async fn a_softly_deleted_customer_goes_after_its_time_and_not_a_day_before(stage: Stage) {
    let (organization, _) = stage.found("expiring", 1).await;
    let (other, _) = stage.found("neighbour", 0).await;
    stage.retire(organization, "softly").await;
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    new_customer(&stage.now(), organization, "live").await;
    new_customer(&stage.now(), other, "live").await;
    deliver(&stage.plane, 200).await;
    stage.pass(364).await;
    // A day later than the first one.
    stage.retire(other, "later").await;
    deliver(&stage.plane, 200).await;
    assert_eq!(stage.round().await.expired, 0);
    assert_eq!(stage.count("customers", organization).await, 2);
    stage.pass(1).await;
    assert_eq!(stage.round().await.expired, 1);
    assert_eq!((stage.count("customers", organization).await, stage.count("customers", other).await), (1, 2));
    // An ordinary deletion: told, completed, and written down as the system's.
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    let id = stage.engine.uuid(organization);
    let completed = format!(
        "SELECT count(*) FROM deletions WHERE organization_id = {id} AND root = 'customer' AND actor = 'system' AND state = 'completed'"
    );
    assert_eq!(stage.engine.count(&completed).await, 1);
    let entry = format!(
        "SELECT count(*) FROM audit_entries WHERE organization_id = {id} AND action = 'customer.expire' AND outcome = 'done' AND actor = 'system'"
    );
    assert_eq!(stage.engine.count(&entry).await, 1);
    let told = format!("SELECT count(*) FROM effects WHERE organization_id = {id} AND action = 'customer.deleted' AND state = 'delivered'");
    assert_eq!(stage.engine.count(&told).await, 1);
    // The id is free again.
    new_customer(&stage.now(), organization, "softly").await;
    stage.pass(364).await;
    assert_eq!(stage.round().await.expired, 1);
    assert_eq!((stage.count("customers", organization).await, stage.count("customers", other).await), (2, 1));
}

async fn who_is_held_stays_and_goes_after_the_release(stage: Stage) {
    let (organization, _) = stage.found("held", 0).await;
    let (whole, _) = stage.found("whole", 0).await;
    let id = stage.retire(organization, "held").await;
    let hold = stage.put_hold(organization, Subject::Customer("held".into())).await;
    stage.retire(whole, "whole").await;
    let on_whole = stage.put_hold(whole, Subject::Organization).await;
    stage.pass(366).await;
    for _ in 0..2 {
        let round = stage.round().await;
        assert_eq!((round.expired, round.blocked), (0, 2));
    }
    let snapshot = metrics::snapshot(&stage.plane).await.unwrap();
    assert_eq!((snapshot.overdue_held, snapshot.overdue_blocked), (2, 0));
    let tries = format!("SELECT count(*) FROM audit_entries WHERE action = 'customer.expire' AND subject_id = {}", stage.engine.uuid(id));
    assert_eq!(stage.engine.count(&tries).await, 0, "a round is no caller's attempt");
    stage.release(organization, &hold).await;
    let round = stage.round().await;
    assert_eq!((round.expired, round.blocked), (1, 1));
    stage.release(whole, &on_whole).await;
    assert_eq!(stage.round().await.expired, 1);
    assert_eq!((stage.count("customers", organization).await, stage.count("customers", whole).await), (0, 0));
    let snapshot = metrics::snapshot(&stage.plane).await.unwrap();
    assert_eq!((snapshot.overdue_held, snapshot.overdue_blocked), (0, 0));
}

async fn those_in_whose_way_something_stands_do_not_keep_those_after_them(stage: Stage) {
    let (organization, _) = stage.found("blocked", 0).await;
    let (archived, _) = stage.found("archived", 0).await;
    stage.retire(archived, "archived").await;
    // More than a batch begins with, and before the others.
    for number in 0..12 {
        let reference = format!("blocked-{number}");
        stage.retire(organization, &reference).await;
        let (table, status) = if number % 2 == 0 { ("subscriptions", "active") } else { ("transactions", "pending") };
        let change = format!("UPDATE {table} SET status = '{status}' WHERE organization_id = {}", stage.engine.uuid(organization));
        stage.engine.run(&change, &change).await.unwrap();
    }
    stage.plane.clock.advance(Duration::from_secs(60));
    let free = stage.found("free", 0).await.0;
    stage.retire(free, "free").await;
    organizations::archive(&stage.now(), &OrganizationRef::Id(archived)).await.unwrap();
    stage.pass(366).await;
    let round = stage.round().await;
    assert_eq!((round.expired, round.blocked), (1, 13));
    assert_eq!((stage.count("customers", free).await, stage.count("customers", organization).await), (0, 12));
    let snapshot = metrics::snapshot(&stage.plane).await.unwrap();
    assert_eq!((snapshot.overdue_held, snapshot.overdue_blocked), (0, 13));
    let settle = format!("UPDATE transactions SET status = 'settled' WHERE organization_id = {}", stage.engine.uuid(organization));
    let cancel = format!("UPDATE subscriptions SET status = 'cancelled' WHERE organization_id = {}", stage.engine.uuid(organization));
    for change in [settle, cancel] {
        stage.engine.run(&change, &change).await.unwrap();
    }
    organizations::unarchive(&stage.now(), &OrganizationRef::Id(archived)).await.unwrap();
    let round = stage.round().await;
    assert_eq!((round.expired, round.blocked), (13, 0));
}

async fn many_rows_go_in_short_batches_and_the_audit_trail_counts_them(stage: Stage) {
    let (organization, _) = stage.found("much", 0).await;
    let (neighbour, _) = stage.found("neighbour", 0).await;
    stage.age_entries(organization, 10_000, 2_193).await;
    stage.age_entries(neighbour, 10, 2_191).await;
    let (own, others) = (stage.count("audit_entries", organization).await, stage.count("audit_entries", neighbour).await);
    let round = stage.round().await;
    assert_eq!(round.erased["audit_entries"], 10_000);
    assert!(round.batches > 3, "{round:?}");
    assert!(round.longest < Duration::from_millis(250), "{round:?}");
    assert_eq!(stage.count("audit_entries", organization).await, own - 10_000);
    assert_eq!(stage.count("audit_entries", neighbour).await, others, "what is a day younger stays");
    assert_eq!(stage.told("audit_entries").await, (1, 10_000));
    let round = stage.round().await;
    assert_eq!(round.batches, 0, "nothing is left to do: {round:?}");
    assert_eq!(stage.told("audit_entries").await, (1, 10_000));
}

async fn every_kind_of_row_goes_after_its_time(stage: Stage) {
    let (organization, _) = stage.found("kinds", 1).await;
    let owner = stage.now();
    let reference = OrganizationRef::Id(organization);
    plane::invitations::create(&owner, &reference, "invited@example.com", plane::policy::Role::Viewer).await.unwrap();
    new_customer(&owner, organization, "user123").await;
    stage.end(organization, "user123", Deleting::Permanently).await;
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    // What a completion tells, too.
    deliver(&stage.plane, 200).await;
    let hold = stage.put_hold(organization, Subject::Organization).await;
    stage.release(organization, &hold).await;
    let ended = NewHold { reason: "Case".into(), until: Some(stage.now().now + DAY) };
    holds::place(&stage.now(), &reference, Subject::Organization, ended).await.unwrap();
    let counts = async || {
        let mut counts = Vec::new();
        for table in ["invitations", "effects", "holds", "deletions", "audit_entries"] {
            counts.push(stage.count(table, organization).await);
        }
        counts
    };
    let before = counts().await;
    assert!(before.iter().all(|rows| *rows > 0), "{before:?}");
    stage.pass(89).await;
    stage.round().await;
    assert_eq!(counts().await, before);
    stage.pass(2).await;
    stage.round().await;
    let after = counts().await;
    assert_eq!((after[0], after[1]), (before[0], 0), "an invitation's time begins seven days later");
    stage.pass(7).await;
    stage.round().await;
    assert_eq!(counts().await, [0, 0, before[2], before[3], before[4]]);
    stage.pass(2_191 - 98).await;
    stage.round().await;
    assert_eq!(counts().await, [0, 0, before[2], before[3], before[4]]);
    stage.pass(2).await;
    stage.round().await;
    assert_eq!(counts().await, [0, 0, 0, 0, 0]);
    for table in ["invitations", "deletions", "audit_entries"] {
        assert_eq!(stage.told(table).await.0, 1, "{table}");
    }
    for table in ["sessions", "oauth_tokens", "idempotent_answers"] {
        assert_eq!(stage.told(table).await.0, 0, "{table}");
    }
    // What the trail says of that is kept as long as anything it says.
    stage.pass(2_191).await;
    stage.round().await;
    assert!(stage.told("invitations").await.0 == 0 && stage.told("deletions").await.0 == 1);
}

async fn a_legal_hold_keeps_what_there_is_about_its_subject(stage: Stage) {
    let (organization, _) = stage.found("evidence", 1).await;
    let (other, _) = stage.found("other", 1).await;
    for place in [organization, other] {
        new_customer(&stage.now(), place, "held").await;
        new_customer(&stage.now(), place, "free").await;
        for (reference, how) in [("held", Deleting::Softly), ("free", Deleting::Permanently)] {
            stage.end(place, reference, how).await;
        }
    }
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    let tables = ["audit_entries", "deletions", "effects"];
    let counts = async |place: Uuid| {
        let mut counts = Vec::new();
        for table in tables {
            counts.push(stage.count(table, place).await);
        }
        counts
    };
    let hold = stage.put_hold(organization, Subject::Organization).await;
    let before = counts(organization).await;
    stage.pass(2_193).await;
    stage.round().await;
    // The customer who was softly deleted is gone where nothing is held, and that is all there is to see of it.
    assert_eq!(counts(organization).await, before);
    assert_eq!((stage.count("customers", organization).await, stage.count("customers", other).await), (1, 0));
    let old = "SELECT count(*) FROM audit_entries WHERE action = 'customer.retire'";
    assert_eq!(stage.engine.count(old).await, 1);
    stage.release(organization, &hold).await;
    stage.round().await;
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    let now = counts(organization).await;
    assert!(now.iter().zip(&before).all(|(now, before)| now < before), "{now:?} {before:?}");
    assert_eq!(stage.engine.count(old).await, 0);

    // One on a person keeps what they did and what was done to them, also outside of any organization, and nothing else.
    let id = stage.user().await;
    let member = format!("SELECT count(*) FROM members WHERE organization_id = {}", stage.engine.uuid(organization));
    assert_eq!(stage.engine.count(&member).await, 1);
    let person = stage.member(organization).await;
    stage.age_entries(organization, 6, 2_193).await;
    let none = stage.engine.uuid(Uuid::nil());
    let aged = "reason = 'aged'";
    for change in [
        format!("UPDATE audit_entries SET actor_id = {id} WHERE {aged} AND request_id = '1'"),
        format!("UPDATE audit_entries SET subject_id = {id} WHERE {aged} AND request_id = '2'"),
        format!("UPDATE audit_entries SET subject_id = {} WHERE {aged} AND request_id = '3'", stage.engine.uuid(person)),
        format!("UPDATE audit_entries SET subject_id = {id}, organization_id = {none} WHERE {aged} AND request_id = '4'"),
        format!("UPDATE audit_entries SET organization_id = {none} WHERE {aged} AND request_id = '5'"),
    ] {
        stage.engine.run(&change, &change).await.unwrap();
    }
    let hold = stage.put_hold(organization, Subject::Member(person)).await;
    stage.round().await;
    let left = format!("SELECT count(*) FROM audit_entries WHERE {aged}");
    assert_eq!(stage.engine.count(&left).await, 4);
    assert_eq!(stage.engine.count(&format!("{left} AND request_id IN ('1', '2', '3', '4')")).await, 4);
    stage.release(organization, &hold).await;
    stage.round().await;
    assert_eq!(stage.engine.count(&left).await, 0);
}

async fn a_round_that_stops_anywhere_is_taken_up_again_and_counted_exactly(stage: Stage) {
    let (organization, _) = stage.found("stopped", 0).await;
    stage.age_entries(organization, 5_000, 2_193).await;
    let aged = "SELECT count(*) FROM audit_entries WHERE reason = 'aged'";
    let mut left = 5_000;
    // Its work is dropped in the middle, wherever that is, as often as it has begun.
    while left > 0 {
        let before = left;
        tokio::select! {
            _ = retention::once(&stage.plane) => {}
            () = async {
                while stage.engine.count(aged).await == before {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        // What was under way ends by itself, before anything that comes after it on the one writer; elsewhere the counts agree at any time.
        left = stage.engine.count(aged).await;
        let (_, told) = stage.told("audit_entries").await;
        assert!(told >= 5_000 - before && told <= 5_000, "{told} are told of, {left} are left");
    }
    stage.round().await;
    let (entries, told) = stage.told("audit_entries").await;
    assert_eq!(told, 5_000);
    assert!(entries > 1, "it was not stopped");
}

async fn several_servers_erase_the_same_once(stage: Stage) {
    let (organization, _) = stage.found("shared", 0).await;
    stage.age_entries(organization, 5_000, 2_193).await;
    for number in 0..20 {
        stage.retire(organization, &format!("customer-{number}")).await;
    }
    stage.pass(366).await;
    let rounds = futures_util::future::join_all((0..3).map(|_| retention::once(&stage.plane))).await;
    let rounds: Vec<Round> = rounds.into_iter().map(Result::unwrap).collect();
    assert_eq!(rounds.iter().map(|round| round.erased["audit_entries"]).sum::<u64>(), 5_000);
    assert_eq!(rounds.iter().map(|round| round.expired).sum::<u64>(), 20);
    assert_eq!(stage.told("audit_entries").await.1, 5_000);
    assert_eq!(stage.count("customers", organization).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sweep_and_no_search_reads_a_whole_table_on_sqlite() {
    let stage = Stage::on_sqlite().await;
    let Engine::Sqlite(file) = &stage.engine else { panic!("another engine") };
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut searched = 0;
    for statement in retention::statements() {
        let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text())).unwrap();
        let steps: Vec<String> = query.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
        // The brake walks along an index to the row that must be there for what is due to be a small share: no further.
        let is_brake = statement.text().ends_with(" LIMIT 1 OFFSET $1") && steps.iter().all(|step| step.contains(" USING COVERING INDEX "));
        assert!(is_brake || steps.iter().all(|step| !step.starts_with("SCAN")), "{steps:?}\n{}", statement.text());
        searched += steps.iter().filter(|step| step.starts_with("SEARCH aged")).count();
    }
    assert!(searched > 30, "{searched}");
    for statement in search::statements() {
        let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text())).unwrap();
        let steps: Vec<String> = query.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
        // What is counted is counted to a limit, and is no table but the rows that were searched for.
        let is_read_whole = |step: &String| step.starts_with("SCAN") && !["SCAN CONSTANT ROW", "SCAN counted"].contains(&step.as_str());
        assert!(!steps.iter().any(is_read_whole) && steps.iter().any(|step| step.starts_with("SEARCH")), "{steps:?}\n{}", statement.text());
    }
    let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", deletion::OVER.text())).unwrap();
    let steps: Vec<String> = query.raw_query().mapped(|row| row.get("detail")).map(Result::unwrap).collect();
    assert!(steps.len() == 1 && steps[0].contains("INDEX deletions_by_grace (state=? AND reversible_until<?)"), "{steps:?}");
}

async fn what_opens_nothing_any_more_goes_a_month_later(stage: Stage) {
    let (organization, _) = stage.found("ended", 0).await;
    let place = OrganizationRef::Id(organization);
    let app = NewOauthApp { name: "App".into(), description: None, redirect_uris: Vec::new(), scopes: vec!["read:user".into()] };
    let (app, secret) = oauth_apps::create(&stage.now(), &place, app).await.unwrap();
    let client = Client { client_id: app.client_id, secret };
    // A hold keeps neither: both are the end of access, and hold nothing worth reading.
    stage.put_hold(organization, Subject::Organization).await;
    oauth_tokens::issue(&stage.now(), &client, None, None).await.unwrap();
    // One that ends after its thirty days, beside the owner's, which does not.
    sign_in(&stage.plane).await;
    let count = async |table: &str| stage.engine.count(&format!("SELECT count(*) FROM {table}")).await;
    for (days, left) in [(59, (2, 1)), (2, (1, 0))] {
        stage.pass(days).await;
        stage.round().await;
        assert_eq!((count("sessions").await, count("oauth_tokens").await), left);
    }
    oauth_tokens::issue(&stage.now(), &client, None, None).await.unwrap();
    stage.pass(1).await;
    stage.round().await;
    assert_eq!(count("oauth_tokens").await, 1);
}

async fn what_the_database_refuses_keeps_no_other(stage: Stage) {
    let (organization, _) = stage.found("refusing", 0).await;
    for reference in ["before", "refused", "after"] {
        stage.retire(organization, reference).await;
    }
    stage.age_entries(organization, 10, 2_193).await;
    let trigger = "CREATE TRIGGER refuse BEFORE DELETE ON customers WHEN OLD.reference = 'refused' BEGIN SELECT RAISE(ABORT, 'no'); END";
    let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                    CREATE TRIGGER refuse BEFORE DELETE ON customers FOR EACH ROW WHEN (OLD.reference = 'refused') EXECUTE FUNCTION refuse()";
    stage.engine.run(trigger, function).await.unwrap();
    stage.pass(366).await;
    assert!(retention::once(&stage.plane).await.is_err());
    assert_eq!(stage.count("customers", organization).await, 1);
    assert_eq!(stage.told("audit_entries").await.1, 10);
    stage.engine.run("DROP TRIGGER refuse", "DROP TRIGGER refuse ON customers").await.unwrap();
    assert_eq!(stage.round().await.expired, 1);
}

/// Either the hold is found, or it finds what is left: while a member places one, the job waits for them and looks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_being_placed_is_waited_for_on_postgresql() {
    let stage = Stage::on_postgresql().await;
    let (organization, _) = stage.found("race", 0).await;
    stage.age_entries(organization, 50, 2_193).await;
    let id = stage.engine.uuid(organization);
    // What placing one does, in the same order, and no end of it yet.
    let placing = format!(
        "BEGIN; UPDATE organizations SET version = version + 1 WHERE id = {id};
         INSERT INTO holds (organization_id, id, subject, subject_id, reason, placed_by, placed_at)
         VALUES ({id}, {id}, 'organization', {id}, 'Case 2026-17', 'user', now())"
    );
    stage.engine.run(&placing, &placing).await.unwrap();
    let plane = stage.plane.clone();
    let round = tokio::spawn(async move { retention::once(&plane).await.unwrap() });
    // A user in this database, and not in that of another test.
    let waiting = "SELECT count(*) FROM pg_locks
                   WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database WHERE datname = current_database())";
    while stage.engine.count(waiting).await == 0 {
        assert!(!round.is_finished(), "it did not wait");
        tokio::task::yield_now().await;
    }
    stage.engine.run("COMMIT", "COMMIT").await.unwrap();
    assert_eq!(round.await.unwrap().erased["audit_entries"], 0);
    assert_eq!(stage.engine.count("SELECT count(*) FROM audit_entries WHERE reason = 'aged'").await, 50);
}

impl Stage {
    async fn round(&self) -> Round {
        retention::once(&self.plane).await.unwrap()
    }

    async fn pass(&self, days: u32) {
        self.plane.clock.advance(DAY * days);
    }

    async fn end(&self, organization: Uuid, reference: &str, how: Deleting) -> Deletion {
        customers::delete(&self.now(), &OrganizationRef::Id(organization), reference, how, Details::default()).await.unwrap()
    }

    /// A customer with a transaction and a subscription, softly deleted. Returns the id.
    async fn retire(&self, organization: Uuid, reference: &str) -> Uuid {
        new_customer(&self.now(), organization, reference).await;
        for (path, fields) in
            [("transactions", json!({"amount": 1, "currency": "EUR"})), ("subscriptions", json!({"plan": "basic", "status": "cancelled"}))]
        {
            let fields = fields.as_object().cloned().unwrap();
            let kind = dependants::Kind::at(path).unwrap();
            dependants::create(&self.now(), &OrganizationRef::Id(organization), reference, kind, fields).await.unwrap();
        }
        self.end(organization, reference, Deleting::Softly).await.subject
    }

    async fn put_hold(&self, organization: Uuid, subject: Subject) -> Hold {
        let new = NewHold { reason: "Case 2026-17".into(), until: None };
        holds::place(&self.now(), &OrganizationRef::Id(organization), subject, new).await.unwrap()
    }

    async fn release(&self, organization: Uuid, hold: &Hold) {
        holds::release(&self.now(), &OrganizationRef::Id(organization), hold.id, "Closed".into()).await.unwrap();
    }

    /// Entries of the audit trail that are so many days old.
    async fn age_entries(&self, organization: Uuid, number: u32, days: u32) {
        let id = self.engine.uuid(organization);
        let at = self.plane.clock.now() - DAY * days;
        let (row_id, time) = match self.engine {
            Engine::Sqlite(_) => ("randomblob(16)".to_owned(), at.as_microsecond().to_string()),
            Engine::Postgres(_) => ("gen_random_uuid()".to_owned(), format!("'{at}'")),
        };
        let insert = format!(
            "INSERT INTO audit_entries (organization_id, id, action, outcome, subject, actor, reason, request_id, created_at)
             WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {number})
             SELECT {id}, {row_id}, 'customer.delete', 'done', 'customer', 'user', 'aged', CAST(n AS text), {time} FROM series"
        );
        self.engine.run(&insert, &insert).await.unwrap();
    }

    /// How many entries of the audit trail tell of erased rows of a table, and how many rows that were altogether.
    async fn told(&self, table: &str) -> (i64, i64) {
        let from = format!("FROM audit_entries WHERE action = 'retention.erase' AND actor = 'system' AND subject = '{table}'");
        let entries = self.engine.count(&format!("SELECT count(*) {from}")).await;
        let rows = "CAST(substr(detail, 1, 5) AS integer)";
        let rows = match self.engine {
            Engine::Sqlite(_) => rows.to_owned(),
            Engine::Postgres(_) => "split_part(detail, ' ', 1)::bigint".to_owned(),
        };
        (entries, self.engine.count(&format!("SELECT CAST(coalesce(sum({rows}), 0) AS bigint) {from}")).await)
    }

    /// The owner's id, as SQL writes it.
    async fn user(&self) -> String {
        self.engine.uuid(self.owner.principal().unwrap().user)
    }

    /// The owner's membership.
    async fn member(&self, organization: Uuid) -> Uuid {
        let page = members::list(&self.now(), &OrganizationRef::Id(organization), &MemberFilter::default(), PageRequest::new(1, 1)).await;
        page.unwrap().entries[0].id
    }
}
