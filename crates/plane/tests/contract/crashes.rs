//! The drain of every kind of subject, with batches of one row: each batch fails at the first row it touches, fails again when it is about
//! to say how far it came, is done by a worker that is gone after it, and once more by that one past its lease. The end is that of a drain
//! without a disturbance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use deletion::Fate;
use deletion::{Lease, Outcome};
use plane::customers::{self, NewCustomer};
use plane::deletions::Root;
use plane::drain;
use plane::holds::{self, NewHold, Subject};
use plane::ids::OrganizationRef;
use plane::oauth_apps::{self, NewOauthApp};
use plane::oauth_tokens::{self, Client};
use plane::policy::Role;
use plane::preferences::{self, Stance, TRAITS};
use plane::purges::{self, Criteria, Meant};
use plane::{api_keys, dependants, exports, invitations, members, sessions};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::on_both_engines;
use crate::people::{PASSWORD, Person, uncounted};
use crate::snapshot::{Cells, Key, Snapshot, digits};
use crate::stage::{Stage, take};
use crate::world::{deliver, listen, new_customer};

on_both_engines! {
    a_drain_that_fails_in_every_batch_and_is_taken_up_after_each_comes_to_the_same_end
    a_purge_that_fails_in_every_batch_and_is_taken_up_after_each_comes_to_the_same_end
}

/// Customers of a purge, and entries on one of them: more than a deletion does at once.
const CUSTOMERS: usize = 45;
const MUCH: usize = 510;

/// Where a batch fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Nowhere = 0,
    AtItsFirstRow = 1,
    AtItsEnd = 2,
}

async fn a_drain_that_fails_in_every_batch_and_is_taken_up_after_each_comes_to_the_same_end(stage: Stage) {
    stage.prepare_failures().await;
    let drains = |root: &Root| root.rules().iter().any(|rule| rule.fate != Fate::Keep && !rule.walk.is_empty());
    for root in Root::ALL.into_iter().filter(drains) {
        let owner = Person::new(&stage.plane).await;
        let twins = [furnish(&stage, &owner, root).await, furnish(&stage, &owner, root).await];
        let calm = Doomed::close(&stage, root, twins[0]).await;
        let before = Snapshot::take(&stage.engine, &stage.schema).await;
        stage.drain().await;
        let receipt = calm.check(&stage, &before).await;
        let disturbed = Doomed::close(&stage, root, twins[1]).await;
        let before = Snapshot::take(&stage.engine, &stage.schema).await;
        let batches = disturbed.drain(&stage).await;
        assert_eq!(disturbed.check(&stage, &before).await, receipt, "{root:?}");
        assert!(batches >= receipt.len(), "{root:?}: {batches} batches for {receipt:?}");
        stage.clear().await;
    }
}

async fn a_purge_that_fails_in_every_batch_and_is_taken_up_after_each_comes_to_the_same_end(stage: Stage) {
    stage.prepare_failures().await;
    for (by_list, is_stopped) in [(true, false), (false, false), (true, true)] {
        let owner = Person::new(&stage.plane).await;
        let calm = Doomed::purge(&stage, &owner, by_list).await;
        if is_stopped {
            purges::stop(&owner.cx(&stage.plane), calm.deletion).await.unwrap();
        }
        let before = Snapshot::take(&stage.engine, &stage.schema).await;
        stage.drain().await;
        let fates = calm.check_purge(&stage, &before).await;
        let disturbed = Doomed::purge(&stage, &owner, by_list).await;
        if is_stopped {
            purges::stop(&owner.cx(&stage.plane), disturbed.deletion).await.unwrap();
        }
        let before = Snapshot::take(&stage.engine, &stage.schema).await;
        let batches = disturbed.drain(&stage).await;
        assert_eq!(disturbed.check_purge(&stage, &before).await, fates);
        assert!(batches >= CUSTOMERS / 16, "{batches} batches");
        let found: BTreeSet<&str> = fates.iter().map(|(_, outcome)| outcome.as_str()).collect();
        let expected: &[&str] = match (by_list, is_stopped) {
            (true, true) => &["not_found", "repeated", "stopped"],
            (true, false) => &["blocked", "deleted", "not_found", "repeated"],
            (false, _) => &["blocked", "deleted"],
        };
        assert!(found.into_iter().eq(expected.iter().copied()), "{fates:?}");
        stage.clear().await;
    }
}

/// A subject that is closed, as its deletion leaves it when there is too much to be done at once.
struct Doomed {
    root: Root,
    subject: Uuid,
    deletion: Uuid,
}

impl Doomed {
    async fn close(stage: &Stage, root: Root, (organization, subject): (Uuid, Uuid)) -> Doomed {
        let cx = stage.now();
        let (engine, deletion) = (&stage.engine, cx.new_id().unwrap());
        let own = root.rules().iter().find(|rule| rule.walk.is_empty()).unwrap().table;
        let state = if root == Root::RetiredCustomer { "deleted" } else { "closed" };
        let (id, of, now) = (engine.uuid(subject), engine.uuid(organization), "created_at");
        let labels = format!("UPDATE audit_entries SET subject_label = 'label' WHERE organization_id = {of} AND action LIKE 'customer.%';");
        let close = format!("UPDATE {own} SET state = '{state}' WHERE id = {id};");
        let record = format!(
            "INSERT INTO deletions (organization_id, id, root, subject_id, subject_label, state, actor, request_id, stage, counts, effects,
                                    batches, longest_batch_us, fence, created_at, updated_at)
             SELECT {of}, {}, '{}', {id}, 'label', 'closed', 'system', 'test', 0, '{{}}', '{{}}', 0, 0, 0, {now}, {now} FROM users LIMIT 1;",
            engine.uuid(deletion),
            root.name()
        );
        let all = [labels, close, record].concat();
        engine.run(&all, &all).await.unwrap();
        Doomed { root, subject, deletion }
    }

    /// A purge of customers with few rows, of one with rows of every kind, of one with too many to be done at once, and of some who are
    /// blocked.
    async fn purge(stage: &Stage, owner: &Person, by_list: bool) -> Doomed {
        let (organization, _) = furnish(stage, owner, Root::CustomerPurge).await;
        let (cx, here) = (owner.cx(&stage.plane), &OrganizationRef::Id(organization));
        for number in 2..CUSTOMERS {
            new_customer(&cx, organization, &format!("customer-{number}")).await;
        }
        let add = async |customer: usize, path: &str, fields: Json| {
            let (reference, fields) = (format!("customer-{customer}"), fields.as_object().cloned().unwrap());
            dependants::create(&cx, here, &reference, dependants::Kind::at(path).unwrap(), fields).await.unwrap();
        };
        add(5, "subscriptions", json!({"plan": "basic"})).await;
        add(30, "transactions", json!({"amount": 1, "currency": "EUR", "status": "pending"})).await;
        for _ in 0..MUCH {
            add(20, "activity", json!({"kind": "login"})).await;
        }
        let mut references: Vec<String> = (0..CUSTOMERS).map(|number| format!("customer-{number}")).collect();
        references.splice(10..10, ["nobody".to_owned(), "customer-3".to_owned()]);
        let meant = match by_list {
            true => Meant::List(references),
            false => Meant::Criteria(Criteria { is_all: true, ..Criteria::default() }),
        };
        let ordered = purges::order(&cx, here, &meant, None, None).await.unwrap();
        Doomed { root: Root::CustomerPurge, subject: ordered.subject, deletion: ordered.id }
    }

    async fn is_completed(&self, stage: &Stage) -> bool {
        let query = format!("SELECT count(*) FROM deletions WHERE state = 'completed' AND id = {}", stage.engine.uuid(self.deletion));
        stage.engine.count(&query).await == 1
    }

    /// Drains it, and what it orders, under failures, and returns how many batches it took.
    async fn drain(&self, stage: &Stage) -> usize {
        let plane = &stage.plane;
        let size = if self.root == Root::CustomerPurge { 100 } else { 1 };
        let batch = async |held: &Arc<Lease>| drain::advance(plane, held, size, Duration::ZERO, false).await;
        let (mut failed, mut gone): (usize, Vec<(Uuid, Arc<Lease>)>) = (0, Vec::new());
        while !self.is_completed(stage).await {
            let held = take(plane).await.unwrap();
            // The deletion that was taken: none has been taken later.
            let taken = stage.engine.id("SELECT id FROM deletions ORDER BY updated_at DESC LIMIT 1").await;
            let before = stage.everything().await;
            if let Some((_, paused)) = gone.iter().rfind(|(id, _)| *id == taken) {
                assert_eq!(batch(paused).await.unwrap(), Outcome::Fenced);
            }
            stage.fail(Fails::AtItsEnd).await;
            let ended = batch(&held).await;
            if matches!(&ended, Ok(Outcome::Waits(pause)) if pause.waiting.kind == "customers") {
                // It waits for those that it has ordered: they come before it.
                stage.fail(Fails::Nowhere).await;
                gone.push((taken, held));
                plane.clock.advance(plane.config.lease);
                continue;
            }
            ended.expect_err("it was told to fail");
            assert!(stage.everything().await == before, "{:?}: one past its lease or one that failed left a trace", self.root);
            stage.fail(Fails::AtItsFirstRow).await;
            let mut outcome = batch(&held).await;
            stage.fail(Fails::Nowhere).await;
            // One that touches no row has done its work.
            if outcome.is_err() {
                assert!(stage.everything().await == before, "{:?}: one that failed at a row left a trace", self.root);
                failed += 1;
                outcome = batch(&held).await;
            }
            gone.push((taken, held));
            plane.clock.advance(plane.config.lease);
            outcome.unwrap();
        }
        let completed = stage.everything().await;
        assert!(take(plane).await.is_none(), "a completed deletion was taken");
        for (_, paused) in &gone {
            assert_eq!(batch(paused).await.unwrap(), Outcome::Fenced);
        }
        assert!(stage.everything().await == completed, "{:?}: one past its lease left a trace", self.root);
        assert!(failed > 0, "{:?}: no batch touched a row", self.root);
        gone.len()
    }

    /// What was tied to it is gone or redacted, all else is as it was, and the receipt is exact. Returns that.
    async fn check(&self, stage: &Stage, before: &Snapshot) -> BTreeMap<String, i64> {
        let after = Snapshot::take(&stage.engine, &stage.schema).await;
        let tied = before.tied(self.root, self.subject);
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for (table, then) in &before.rows {
            let gone: BTreeSet<Key> = then.keys().filter(|key| !after.rows[table].contains_key(*key)).cloned().collect();
            assert_eq!(gone, tied.erased.get(table.as_str()).cloned().unwrap_or_default(), "{:?}: {table}", self.root);
            let redacted = tied.redacted.get(table.as_str()).cloned().unwrap_or_default();
            rows.insert(table.clone(), (gone.len() + redacted.len()) as i64);
            for (key, cells) in then.iter().filter(|(key, _)| !gone.contains(*key) && !redacted.contains(*key)) {
                let is_itself = cells.get("id").is_some_and(|id| *id == Some(digits(self.deletion)));
                assert!(is_itself || after.rows[table][key] == *cells, "{:?}: a row of {table} was changed", self.root);
            }
        }
        if let Some(own) = crate::leftovers::own_table(self.root) {
            *rows.entry(own.to_owned()).or_default() -= 1;
        }
        rows.retain(|_, rows| *rows != 0);
        assert_eq!(stage.leftovers(self.root, self.subject).await, Vec::<String>::new());
        let receipt = stage.receipt(self.deletion).await;
        assert_eq!(receipt, rows, "{:?}", self.root);
        receipt
    }
}

impl Doomed {
    /// Who was deleted is gone with what was tied to them, each once, with one entry and one receipt, and all else is as it was. Returns
    /// what became of each, by the id that people know.
    async fn check_purge(&self, stage: &Stage, before: &Snapshot) -> Vec<(Option<String>, String)> {
        let after = Snapshot::take(&stage.engine, &stage.schema).await;
        let text = |cells: &Cells, column: &str| cells[column].as_deref().map(|text| text.trim_matches('\'').to_owned());
        let of_purge = |cells: &&Cells| cells["purge_id"] == Some(digits(self.subject));
        let items: Vec<&Cells> = after.of("purge_items").filter(of_purge).collect();
        let numbers: BTreeSet<i64> = items.iter().map(|cells| text(cells, "number").unwrap().parse().unwrap()).collect();
        assert!(numbers.into_iter().eq(1..=items.len() as i64), "{items:?}");
        let name = |customer: &Option<String>| {
            before.of("customers").find(|cells| cells["id"] == *customer).and_then(|cells| text(cells, "reference"))
        };
        let mut fates: Vec<(Option<String>, String)> =
            items.iter().map(|cells| (name(&cells["customer_id"]), text(cells, "outcome").unwrap())).collect();
        fates.sort();
        let deleted = items.iter().filter(|cells| text(cells, "outcome").as_deref() == Some("deleted"));
        let deleted: Vec<(Root, Uuid)> =
            deleted.map(|cells| (Root::Customer, cells["customer_id"].as_ref().unwrap().parse().unwrap())).collect();
        let subjects: Vec<(Root, Uuid)> = deleted.iter().copied().chain([(Root::CustomerPurge, self.subject)]).collect();
        let tied = before.tied_to_all(&subjects);
        for (table, then) in &before.rows {
            let gone: BTreeSet<Key> = then.keys().filter(|key| !after.rows[table].contains_key(*key)).cloned().collect();
            assert_eq!(gone, tied.erased.get(table.as_str()).cloned().unwrap_or_default(), "{table}");
            let redacted = tied.redacted.get(table.as_str()).cloned().unwrap_or_default();
            for (key, cells) in then.iter().filter(|(key, _)| !gone.contains(*key) && !redacted.contains(*key)) {
                let mut without = [cells.clone(), after.rows[table][key].clone()];
                // Customers are locked before anybody looks what stands in their way.
                without.iter_mut().for_each(|cells| cells.retain(|column, _| table != "customers" || column != "version"));
                let is_itself = cells.get("id").is_some_and(|id| *id == Some(digits(self.deletion)));
                assert!(is_itself || without[0] == without[1], "a row of {table} was changed");
            }
        }
        for (root, subject) in &subjects {
            assert_eq!(stage.leftovers(*root, *subject).await, Vec::<String>::new(), "{root:?}");
        }
        let new = |table: &'static str| after.rows[table].iter().filter(move |(key, _)| !before.rows[table].contains_key(*key));
        let receipts: BTreeSet<_> = new("deletions").map(|(_, cells)| cells["subject_id"].clone()).collect();
        assert_eq!((receipts.len(), new("deletions").count()), (deleted.len(), deleted.len()), "each has one receipt");
        let entries = |outcome: &str| new("audit_entries").filter(|(_, cells)| text(cells, "outcome").as_deref() == Some(outcome)).count();
        let blocked = fates.iter().filter(|(_, outcome)| outcome == "blocked").count();
        assert_eq!((entries("done"), entries("blocked")), (deleted.len(), blocked), "each has one entry");
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        fates.iter().for_each(|(_, outcome)| *counts.entry(outcome.clone()).or_default() += 1);
        assert_eq!(stage.receipt(self.deletion).await, counts);
        fates
    }
}

/// Two of everything that can hang on such a subject. Returns the organization, none for a user, and the subject.
async fn furnish(stage: &Stage, owner: &Person, root: Root) -> (Uuid, Uuid) {
    let plane = &stage.plane;
    let person = Person::new(plane).await;
    let (cx, slug) = (owner.cx(plane), person.id.simple().to_string());
    let new =
        plane::organizations::NewOrganization { name: "Organization".into(), slug: slug[..20].into(), logo: None, metadata: json!({}) };
    let organization = plane::organizations::create(&cx, new).await.unwrap().id;
    let reference = &OrganizationRef::Id(organization);
    let (_, token) = invitations::create(&cx, reference, &person.email, Role::Owner).await.unwrap();
    let (_, member) = invitations::accept(&person.cx(plane), &token).await.unwrap();
    let own = person.cx(plane);
    let mut apps = Vec::new();
    for (number, interest) in TRAITS.iter().take(2).enumerate() {
        invitations::create(&own, reference, &format!("guest{number}@example.org"), Role::Viewer).await.unwrap();
        api_keys::create(&own, reference, api_keys::NewApiKey::new(api_keys::Kind::Organization, "Key")).await.unwrap();
        let (name, scopes) = ("App".to_owned(), vec!["read:organization".to_owned()]);
        let (app, secret) =
            oauth_apps::create(&own, reference, NewOauthApp { name, description: None, redirect_uris: Vec::new(), scopes }).await.unwrap();
        apps.push(app.id);
        for _ in 0..2 {
            let client = Client { client_id: app.client_id.clone(), secret: secret.clone() };
            oauth_tokens::issue(&own, &client, None, None).await.unwrap();
        }
        sessions::sign_in(&uncounted(&own), &person.email, PASSWORD.into(), Some(reference.clone())).await.unwrap();
        preferences::set(&own, vec![(interest.name.into(), Stance::Avoid)]).await.unwrap();
        add_customer(&cx, reference, &format!("customer-{number}"), member).await;
    }
    let webhooks = [listen(&cx, organization).await, listen(&cx, organization).await];
    for _ in 0..2 {
        customers::extend(&cx, reference, "customer-0", 1).await.unwrap();
    }
    let customer = customers::get(&cx, reference, "customer-0").await.unwrap().id;
    let hold = NewHold { reason: "Case".into(), until: None };
    let hold = holds::place(&cx, reference, Subject::Customer("customer-0".into()), hold).await.unwrap();
    holds::release(&cx, reference, hold.id, "Closed".into()).await.unwrap();
    if root == Root::CustomerPurge {
        // What each deletion of a customer has to tell is not what this is about.
        for webhook in webhooks {
            plane::webhooks::delete(&cx, reference, webhook, None).await.unwrap();
        }
    }
    if root == Root::User {
        members::remove(&cx, reference, member, None).await.unwrap();
    }
    deliver(plane, 200).await;
    stage.drain().await;
    deliver(plane, 200).await;
    match root {
        Root::Member => (organization, member),
        Root::Customer | Root::RetiredCustomer => (organization, customer),
        Root::Webhook => (organization, webhooks[0]),
        Root::OauthApp => (organization, apps[0]),
        Root::User => (Uuid::nil(), person.id),
        _ => (organization, organization),
    }
}

async fn add_customer(cx: &plane::Cx, organization: &OrganizationRef, reference: &str, manager: Uuid) {
    let new = NewCustomer {
        reference: Some(reference.into()),
        name: "Customer".into(),
        email: "customer@example.com".into(),
        phone: None,
        tax_id: None,
        address: json!({}),
        metadata: json!({}),
        managed_by: Some(manager),
    };
    customers::create(cx, organization, new).await.unwrap();
    let entries = [
        ("subscriptions", json!({"plan": "basic", "status": "cancelled"})),
        ("transactions", json!({"amount": 1, "currency": "EUR", "status": "settled"})),
        ("devices", json!({"name": "Laptop"})),
        ("sessions", json!({})),
        ("activity", json!({"kind": "login"})),
    ];
    for (path, fields) in entries.iter().chain(&entries) {
        let fields = fields.as_object().cloned().unwrap();
        dependants::create(cx, organization, reference, dependants::Kind::at(path).unwrap(), fields).await.unwrap();
    }
    for _ in 0..2 {
        let pass = cx.new_id().unwrap().to_string();
        customers::add_screen(cx, organization, reference, &pass).await.unwrap();
        exports::of_customer(cx, organization, reference).await.unwrap();
    }
}

impl Stage {
    /// Makes triggers that fail when they are told to: at rows that go or change, and where a batch says how far it came.
    async fn prepare_failures(&self) {
        let (mut on_sqlite, mut on_postgres) =
            (String::from("CREATE TABLE failing (id integer PRIMARY KEY, place integer);"), String::new());
        on_sqlite.push_str("INSERT INTO failing VALUES (1, 0);");
        on_postgres.push_str(&on_sqlite);
        on_postgres.push_str(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF (SELECT place FROM failing WHERE id = 1) = TG_ARGV[0]::integer THEN RAISE EXCEPTION 'told to fail'; END IF;
                 IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                 RETURN NEW;
             END $$;",
        );
        let rows = self.schema.tables.keys().filter(|table| *table != "deletions");
        let events = rows.flat_map(|table| [(format!("DELETE ON {table}"), 1), (format!("UPDATE ON {table}"), 1)]);
        for (number, (event, place)) in events.chain([("UPDATE OF stage, completed_at ON deletions".to_owned(), 2)]).enumerate() {
            on_sqlite.push_str(&format!(
                "CREATE TRIGGER fail_{number} AFTER {event} WHEN (SELECT place FROM failing WHERE id = 1) = {place} BEGIN SELECT RAISE(ABORT, 'told to fail'); END;"
            ));
            on_postgres.push_str(&format!("CREATE TRIGGER fail_{number} AFTER {event} FOR EACH ROW EXECUTE FUNCTION fail({place});"));
        }
        self.engine.run(&on_sqlite, &on_postgres).await.unwrap();
    }

    async fn fail(&self, fails: Fails) {
        let update = format!("UPDATE failing SET place = {} WHERE id = 1", fails as i64);
        self.engine.run(&update, &update).await.unwrap();
    }
}
