//! Whatever is deleted in whatever world: the plan is what happens or the order is refused, what the schema ties to the subject is gone and
//! nothing else, everybody else's rows are the same to the byte, what is held stays, and what is taken back is as it was.
//!
//! The worlds and what is deleted in them come by chance that can be had again: the seed is told with what went wrong.
//! `FREEHOLD_WORLDS=100` tries more than the usual few.

mod purging;

use std::collections::{BTreeMap, BTreeSet};

use plane::customers::{self, Deleting};
use plane::deletions::{self, Deletion, Details, Preview, Root};
use plane::ids::OrganizationRef;
use plane::plans::Subject;
use plane::{Cx, Error, Result, api_keys, invitations, members, oauth_apps, oauth_tokens, organizations, purges, users, webhooks};
use uuid::Uuid;

use crate::graph::{Grown, grow};
use crate::leftovers::{links_to, own_table};
use crate::on_both_engines;
use crate::people::{Chance, Person};
use crate::snapshot::{Cells, Key, Snapshot, Tied, digits};
use crate::stage::Stage;
use crate::world::deliver;

on_both_engines! {
    a_deletion_does_what_was_planned_to_what_is_tied_to_its_subject_and_to_nothing_else
}

/// Worlds for each engine, and what is tried in each.
const WORLDS: u64 = 6;
const DELETIONS: usize = 30;
/// Tables to which a deletion adds, and one to which only a purge does.
const GROWS: [&str; 3] = ["audit_entries", "deletions", "effects"];
const GROWS_WITH_A_PURGE: &str = "purge_items";
/// Tables of which no plan is bound to the rows: they come by themselves.
const COMES_BY_ITSELF: [&str; 8] =
    ["audit_entries", "client_addresses", "deletions", "effects", "idempotent_answers", "sessions", "deletion_approvals", "purge_items"];
/// Columns that count locks and changes.
const COUNTERS: [&str; 3] = ["version", "revision", "updated_at"];
/// Kinds that can have a grace period: organizations, members, and customers in two ways.
const RESTORABLE: usize = 4;
/// Tables of what opens something: it does not come back with what is taken back.
const CREDENTIALS: [&str; 5] = ["api_keys", "oauth_tokens", "sessions", "customer_sessions", "devices"];
/// Those of a customer belong to no other record: what an organization's customers have stays with them.
const OF_CUSTOMERS: [&str; 2] = ["customer_sessions", "devices"];

async fn a_deletion_does_what_was_planned_to_what_is_tied_to_its_subject_and_to_nothing_else(stage: Stage) {
    let worlds = std::env::var("FREEHOLD_WORLDS").ok().and_then(|worlds| worlds.parse().ok()).unwrap_or(WORLDS);
    let (mut seen, mut outcomes) = (BTreeMap::new(), BTreeSet::new());
    for seed in 1..=worlds {
        let mut world = World::new(&stage, seed).await;
        for number in 0..DELETIONS {
            world.told = format!("world {seed}, deletion {number}");
            let outcome = world.delete_something().await;
            *seen.entry(outcome).or_insert(0) += 1;
        }
        outcomes.append(&mut world.outcomes);
        // The next world is one of its own: what is compared stays little.
        stage.clear().await;
    }
    let roots: BTreeSet<&str> = seen.keys().filter(|(_, outcome)| *outcome == "done").map(|(root, _)| *root).collect();
    assert_eq!(roots.len(), Root::ALL.len(), "some kind was never deleted: {seen:?}");
    let restored = seen.keys().filter(|(_, outcome)| *outcome == "restored").count();
    assert_eq!(restored, RESTORABLE, "some kind was never taken back: {seen:?}");
    assert!(
        outcomes.iter().eq(&BTreeSet::from(purges::Outcome::ALL.map(purges::Outcome::name))),
        "some outcome of a purge was never met: {outcomes:?}"
    );
    for outcome in ["blocked", "drifted"] {
        assert!(seen.keys().any(|(_, seen)| *seen == outcome), "nothing was {outcome}: {seen:?}");
    }
}

/// Every kind of subject that has a plan. A purge is looked at in its own way.
fn everything() -> impl Iterator<Item = Root> {
    Root::ALL.into_iter().filter(|root| *root != Root::CustomerPurge)
}

struct World<'a> {
    stage: &'a Stage,
    chance: Chance,
    people: Vec<Person>,
    organizations: Vec<Grown>,
    /// Which one this is, for what goes wrong.
    told: String,
    /// What became of customers in purges.
    outcomes: BTreeSet<&'static str>,
}

/// What is to be deleted, and who deletes it.
struct Doomed {
    root: Root,
    id: Uuid,
    organization: Uuid,
    /// A customer's reference, an app's client id.
    name: String,
    actor: Person,
    how: Deleting,
}

impl<'a> World<'a> {
    async fn new(stage: &'a Stage, seed: u64) -> World<'a> {
        let mut chance = Chance(seed);
        let mut people = Vec::new();
        for _ in 0..4 {
            people.push(Person::new(&stage.plane).await);
        }
        let organizations = grow(stage, &mut chance, &people).await;
        World { stage, chance, people, organizations, told: String::new(), outcomes: BTreeSet::new() }
    }

    async fn look(&self) -> Snapshot {
        Snapshot::take(&self.stage.engine, &self.stage.schema).await
    }

    /// Plans and orders the deletion of something, with something that happens in between half of the time. Now and then there is a grace
    /// period, and it is taken back.
    async fn delete_something(&mut self) -> (&'static str, &'static str) {
        let has_grace = self.chance.once_in(3);
        if has_grace {
            for grown in &self.organizations {
                self.stage.grant(grown.id, 7).await;
            }
        }
        let told = if self.chance.once_in(7) { self.purge_something(has_grace).await } else { self.delete_or_restore().await };
        if has_grace {
            self.stage.engine.run("DELETE FROM requirements", "DELETE FROM requirements").await.unwrap();
        }
        told
    }

    async fn delete_or_restore(&mut self) -> (&'static str, &'static str) {
        deliver(&self.stage.plane, 200).await;
        let at_plan = self.look().await;
        let Some(doomed) = self.choose(&at_plan) else { return ("", "nothing") };
        let cx = doomed.actor.cx(&self.stage.plane);
        let preview = plane::plans::preview(&cx, doomed.subject(), Details::default()).await;
        let preview = preview.unwrap_or_else(|error| panic!("{}: no plan of {:?}: {error:?}", self.told, doomed.root));
        let mut before = at_plan.clone();
        if self.chance.once_in(2) {
            let place = self.organizations.iter().position(|grown| grown.id == doomed.organization).unwrap_or(0);
            if let Some(grown) = self.organizations.get_mut(place) {
                grown.disturb(self.stage, &mut self.chance).await;
            }
            deliver(&self.stage.plane, 200).await;
            before = self.look().await;
        }
        let outcome = doomed.delete(doomed.actor.cx(&self.stage.plane).bound_to(&preview.token)).await;
        deliver(&self.stage.plane, 200).await;
        self.stage.drain().await;
        let after = self.look().await;
        let check = Check { told: &self.told, doomed: &doomed, preview: Some(&preview), at_plan: &at_plan, before: &before, after: &after };
        check.nothing_touches_what_is_held();
        let word = match &outcome {
            Ok(deletion) if deletion.state.name() == "reversible" => {
                check.nothing_is_gone();
                deletions::restore(&doomed.actor.cx(&self.stage.plane), deletion.id).await.unwrap();
                deliver(&self.stage.plane, 200).await;
                self.stage.drain().await;
                Check { after: &self.look().await, ..check }.restored();
                "restored"
            }
            Ok(_) => {
                check.done();
                let left = self.stage.leftovers(doomed.root, doomed.id).await;
                assert_eq!(left, Vec::<String>::new(), "{}: {:?}", self.told, doomed.root);
                self.organizations.retain(|grown| grown.id != doomed.id);
                "done"
            }
            Err(error) => check.refused(error),
        };
        (doomed.root.name(), word)
    }

    /// Something that is there, with an owner who deletes it.
    fn choose(&mut self, now: &Snapshot) -> Option<Doomed> {
        let often = [Root::Customer, Root::RetiredCustomer, Root::Member, Root::ApiKey, Root::OauthApp, Root::OauthToken];
        let roots: Vec<Root> = everything().chain(often).chain(often).chain([Root::Webhook, Root::Invitation]).collect();
        for _ in 0..20 {
            let root = *self.chance.pick(&roots)?;
            let table = root.rules().iter().find(|rule| rule.walk.is_empty())?.table;
            let is_there = |cells: &&Cells| match root {
                Root::Invitation => cells["status"].as_deref().is_some_and(|status| status.contains("pending")),
                Root::Customer => cells["state"].as_deref().is_some_and(|state| !state.contains("closed")),
                Root::ApiKey | Root::OauthToken => true,
                _ => cells["state"].as_deref().is_some_and(|state| state.contains("live")),
            };
            let own = |cells: &&Cells| root != Root::User || self.people.iter().any(|person| Some(digits(person.id)) == cells["id"]);
            let rows: Vec<&Cells> = now.of(table).filter(is_there).filter(own).collect();
            let Some(cells) = self.chance.pick(&rows) else { continue };
            let id: Uuid = cells["id"].as_ref()?.parse().unwrap();
            let organization = match root {
                Root::Organization => id,
                Root::User => Uuid::nil(),
                _ => cells["organization_id"].as_ref()?.parse().unwrap(),
            };
            // No member is left to delete it.
            let Some(actor) = self.actor(now, root, id, organization) else { continue };
            let is_retired = cells.get("state").is_some_and(|state| state.as_deref().is_some_and(|state| state.contains("deleted")));
            let how = match root {
                Root::RetiredCustomer => Deleting::Softly,
                _ if is_retired || self.chance.once_in(2) => Deleting::Hard,
                _ => Deleting::Permanently,
            };
            let name = ["reference", "client_id"].iter().find_map(|column| cells.get(*column).cloned().flatten()).unwrap_or_default();
            return Some(Doomed { root, id, organization, name: name.trim_matches('\'').to_owned(), actor, how });
        }
        None
    }

    fn actor(&self, now: &Snapshot, root: Root, id: Uuid, organization: Uuid) -> Option<Person> {
        let is_owner = |cells: &&Cells| {
            cells["organization_id"] == Some(digits(organization)) && cells["role"].as_deref().is_some_and(|role| role.contains("owner"))
        };
        let user = match root {
            Root::User => Some(digits(id)),
            _ => now.of("members").find(is_owner).and_then(|cells| cells["user_id"].clone()),
        };
        self.people.iter().find(|person| Some(digits(person.id)) == user).cloned()
    }
}

impl Doomed {
    fn organization(&self) -> OrganizationRef {
        OrganizationRef::Id(self.organization)
    }

    fn subject(&self) -> Subject {
        let organization = self.organization();
        match self.root {
            Root::Organization => Subject::Organization(organization),
            Root::Member => Subject::Member(organization, self.id),
            Root::Customer | Root::RetiredCustomer => Subject::Customer(organization, self.name.clone(), self.how),
            Root::ApiKey => Subject::ApiKey(organization, self.id),
            Root::Invitation => Subject::Invitation(organization, self.id),
            Root::Webhook => Subject::Webhook(organization, self.id),
            Root::OauthApp => Subject::OauthApp(self.name.clone()),
            Root::OauthToken => Subject::OauthToken(self.id),
            Root::User => Subject::User,
            Root::CustomerPurge => unreachable!("a purge orders deletions of customers and is none"),
        }
    }

    async fn delete(&self, cx: Cx) -> Result<Deletion> {
        let organization = &self.organization();
        match self.root {
            Root::Organization => organizations::delete(&cx, organization, Details::default()).await,
            Root::Member => members::remove(&cx, organization, self.id, None).await,
            Root::Customer | Root::RetiredCustomer => customers::delete(&cx, organization, &self.name, self.how, Details::default()).await,
            Root::ApiKey => api_keys::revoke(&cx, organization, self.id, None).await,
            Root::Invitation => invitations::cancel(&cx, organization, self.id, None).await,
            Root::Webhook => webhooks::delete(&cx, organization, self.id, None).await,
            Root::OauthApp => oauth_apps::delete(&cx, &self.name, None).await,
            Root::OauthToken => oauth_tokens::revoke(&cx, self.id, None).await,
            Root::User => users::delete(&cx, None).await,
            Root::CustomerPurge => unreachable!("a purge orders deletions of customers and is none"),
        }
    }
}

/// What was there, what was planned and what is there now.
struct Check<'a> {
    told: &'a str,
    doomed: &'a Doomed,
    /// None for a purge.
    preview: Option<&'a Preview>,
    at_plan: &'a Snapshot,
    before: &'a Snapshot,
    after: &'a Snapshot,
}

impl Check<'_> {
    /// The subject, and each membership that ends with an account or customer that a purge has deleted.
    fn subjects(&self) -> Vec<(Root, Uuid)> {
        let mut subjects = vec![(self.doomed.root, self.doomed.id)];
        if self.doomed.root == Root::User {
            let own = self.before.of("members").filter(|cells| cells["user_id"] == Some(digits(self.doomed.id)));
            subjects.extend(own.map(|cells| (Root::Member, cells["id"].as_ref().unwrap().parse().unwrap())));
        }
        if self.doomed.root == Root::CustomerPurge {
            let items = self.after.of("purge_items").filter(|cells| cells["purge_id"] == Some(digits(self.doomed.id)));
            let deleted = items.filter(|cells| cells["deletion_id"].is_some());
            subjects.extend(deleted.map(|cells| (Root::Customer, cells["customer_id"].as_ref().unwrap().parse().unwrap())));
        }
        subjects
    }

    fn tied(&self, then: &Snapshot) -> Tied {
        then.tied_to_all(&self.subjects())
    }

    fn gone(&self) -> BTreeMap<&str, BTreeSet<Key>> {
        let lost = self.before.rows.iter().map(|(table, rows)| {
            let now = &self.after.rows[table];
            (table.as_str(), rows.keys().filter(|key| !now.contains_key(*key)).cloned().collect::<BTreeSet<Key>>())
        });
        lost.filter(|(_, keys)| !keys.is_empty()).collect()
    }

    /// Within its grace period nothing is erased.
    fn nothing_is_gone(&self) {
        assert_eq!(self.gone(), BTreeMap::new(), "{}: {:?} can be taken back and has erased something", self.told, self.doomed.root);
        self.nothing_else_changed(&Tied::default());
    }

    /// All is there again as it was, but for what opened the subject.
    fn restored(&self) {
        let Check { told, doomed, before, after, .. } = self;
        let is_of_customer = matches!(doomed.root, Root::Customer | Root::RetiredCustomer);
        let mut credentials = self.tied(before).erased;
        credentials.retain(|table, keys| CREDENTIALS.contains(table) && OF_CUSTOMERS.contains(table) == is_of_customer && !keys.is_empty());
        assert_eq!(self.gone(), credentials, "{told}: {:?} was taken back", doomed.root);
        for (table, rows) in &after.rows {
            let is_telling = GROWS.contains(&table.as_str());
            for (key, now) in rows.iter().filter(|_| !is_telling) {
                let then = before.rows[table].get(key).unwrap_or_else(|| panic!("{told}: a row of {table} came with what was taken back"));
                let mut without = [then.clone(), now.clone()];
                let is_secret = |column: &str| table == "oauth_apps" && column == "secret_hash";
                without.iter_mut().for_each(|cells| cells.retain(|column, _| !COUNTERS.contains(&column.as_str()) && !is_secret(column)));
                assert_eq!(without[0], without[1], "{told}: {:?} was taken back and a row of {table} is not as it was", doomed.root);
            }
        }
    }

    /// What is tied to the subject is gone or redacted, and nothing else. Returns that.
    fn only_what_is_tied_is_gone(&self) -> Tied {
        let tied = self.tied(self.before);
        let gone = self.gone();
        let expected: BTreeMap<&str, BTreeSet<Key>> =
            tied.erased.iter().filter(|(_, keys)| !keys.is_empty()).map(|(table, keys)| (*table, keys.clone())).collect();
        assert_eq!(gone, expected, "{}: of {:?} something else is gone than what is tied to it", self.told, self.doomed.root);
        self.nothing_else_changed(&tied);
        tied
    }

    fn done(&self) {
        let Check { told, doomed, before, after, .. } = self;
        let root = doomed.root;
        let tied = self.only_what_is_tied_is_gone();
        // All receipts together name every row once.
        let receipts = after.rows["deletions"].iter().filter(|(key, _)| !before.rows["deletions"].contains_key(*key));
        let mut counted: BTreeMap<String, i64> = BTreeMap::new();
        for (_, cells) in receipts {
            assert!(cells["state"].as_deref().is_some_and(|state| state.contains("completed")), "{told}: {root:?} {cells:?}");
            let counts: BTreeMap<String, i64> = serde_json::from_str(cells["counts"].as_deref().unwrap().trim_matches('\'')).unwrap();
            counts.into_iter().for_each(|(table, rows)| *counted.entry(table).or_default() += rows);
        }
        let mut rows: BTreeMap<String, i64> = BTreeMap::new();
        for (table, keys) in tied.erased.iter().chain(&tied.redacted) {
            *rows.entry((*table).to_owned()).or_default() += keys.len() as i64;
        }
        // A subject's own row is no row that hangs on it.
        for (root, _) in self.subjects() {
            if let Some(own) = own_table(root) {
                *rows.entry(own.to_owned()).or_default() -= 1;
            }
        }
        if root == Root::Organization {
            // Its webhooks were told of it and then went.
            let told: i64 = self.preview.iter().flat_map(|preview| &preview.effects).map(|effect| effect.endpoints).sum();
            *rows.entry("effects".to_owned()).or_default() += told;
        }
        rows.retain(|_, rows| *rows != 0);
        assert_eq!(counted, rows, "{told}: the receipts of {root:?} are not what is gone");
        if let Some(preview) = self.preview {
            self.was_planned(preview, &rows);
        }
    }

    /// The plan said so, table by table.
    fn was_planned(&self, preview: &Preview, rows: &BTreeMap<String, i64>) {
        let Check { told, doomed, .. } = self;
        let mut planned: BTreeMap<String, i64> = BTreeMap::new();
        for table in preview.tables.iter().filter(|table| table.fate != "kept") {
            let own = i64::from(own_table(doomed.root) == Some(table.table));
            *planned.entry(table.table.to_owned()).or_default() += table.rows - own;
        }
        for (table, planned) in planned.into_iter().filter(|(table, _)| !COMES_BY_ITSELF.contains(&table.as_str())) {
            let of_memberships = doomed.root == Root::User && table == "members";
            let done = if of_memberships { self.subjects().len() as i64 - 1 } else { rows.get(&table).copied().unwrap_or(0) };
            assert_eq!(planned, done, "{told}: the plan of {:?} says something else of {table}", doomed.root);
        }
    }

    /// What is still there is as it was, but for what is redacted, locks that were counted, and the organization's own books.
    fn nothing_else_changed(&self, tied: &Tied) {
        let Check { told, doomed, before, after, .. } = self;
        for (table, rows) in &after.rows {
            for (key, now) in rows {
                let Some(then) = before.rows[table].get(key) else {
                    let is_item = doomed.root == Root::CustomerPurge && table == GROWS_WITH_A_PURGE;
                    assert!(is_item || GROWS.contains(&table.as_str()), "{told}: {:?} made a row of {table}", doomed.root);
                    continue;
                };
                let is_redacted = tied.redacted.get(table.as_str()).is_some_and(|keys| keys.contains(key));
                let is_itself = now.get("id") == Some(&Some(digits(doomed.id)));
                // Told things and records of deletions come to their end.
                let is_history = ["effects", "deletions"].contains(&table.as_str());
                if then != now && !is_redacted && !is_itself && !is_history {
                    let mut without = [then.clone(), now.clone()];
                    without.iter_mut().for_each(|cells| cells.retain(|column, _| !COUNTERS.contains(&column.as_str())));
                    assert_eq!(without[0], without[1], "{told}: {:?} changed a row of {table}", doomed.root);
                    let concerned = now.get("organization_id").or(now.get("id")).cloned().flatten();
                    let is_own = doomed.root == Root::User || concerned == Some(digits(doomed.organization));
                    assert!(is_own, "{told}: {:?} touched a row of {table} of another organization", doomed.root);
                }
            }
        }
    }

    /// The refusal is one that the plan or what happened since explains, and nothing is gone.
    fn refused(&self, error: &Error) -> &'static str {
        let Check { told, doomed, preview, at_plan, before, .. } = self;
        assert_eq!(self.gone(), BTreeMap::new(), "{told}: what was refused has erased something");
        self.nothing_else_changed(&Tied::default());
        match error {
            Error::Blocked(blockers) => {
                if at_plan == before {
                    let of = |blockers: &[deletions::Blocker]| {
                        blockers.iter().map(|blocker| (blocker.code, blocker.id)).collect::<BTreeSet<_>>()
                    };
                    assert_eq!(Some(of(blockers)), preview.map(|preview| of(&preview.blockers)), "{told}: {:?}", doomed.root);
                }
                "blocked"
            }
            Error::Drifted(_) => {
                let bound = |then: &Snapshot| {
                    let Tied { erased, redacted } = self.tied(then);
                    let all = erased.into_iter().chain(redacted);
                    all.filter(|(table, _)| !COMES_BY_ITSELF.contains(table)).collect::<Vec<_>>()
                };
                assert_ne!(bound(at_plan), bound(before), "{told}: {:?} is the same as planned and was refused: {error}", doomed.root);
                "drifted"
            }
            // The same address was invited again meanwhile: the newer invitation has taken the place of this one.
            Error::NotFound("Invitation") => {
                let now = before.of("invitations").find(|cells| cells["id"] == Some(digits(doomed.id))).unwrap();
                assert!(now["status"].as_deref().is_some_and(|status| status.contains("cancelled")), "{told}: {now:?}");
                "replaced"
            }
            other => panic!("{told}: the deletion of {:?} met {other:?}", doomed.root),
        }
    }

    /// Nothing of what is under a hold that lasts until it is released is gone, and the hold is as it was.
    fn nothing_touches_what_is_held(&self) {
        let Check { told, doomed, before, after, .. } = self;
        for (key, hold) in &before.rows["holds"] {
            let is_in_force = hold["released_at"].is_none() && hold["until"].is_none();
            if !is_in_force {
                continue;
            }
            assert_eq!(after.rows["holds"].get(key), Some(hold), "{told}: {:?}", doomed.root);
            let (subject, organization) = (hold["subject_id"].clone(), hold["organization_id"].clone());
            let held = match hold["subject"].as_deref().unwrap().trim_matches('\'') {
                "customer" => Root::Customer,
                "organization" => Root::Organization,
                _ => Root::User,
            };
            let gone = self.gone();
            for (table, column) in links_to(held) {
                // Access may end all the same, and so may what a person has elsewhere, and what was asked for with a purge.
                let may_end = ["api_keys", "oauth_apps", "oauth_tokens", "sessions", "purges"].contains(&table)
                    || (held == Root::User && table != "members");
                let lost = gone.get(table).into_iter().flatten().filter(|key| {
                    let cells = &before.rows[table][*key];
                    let is_here = cells.get("organization_id").is_none_or(|own| *own == organization);
                    cells[column] == subject && is_here
                });
                assert!(may_end || lost.count() == 0, "{told}: {:?} took rows of {table} that are held", doomed.root);
            }
        }
    }
}
