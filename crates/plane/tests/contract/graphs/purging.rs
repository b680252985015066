//! Purges in worlds made by chance, ordered by those who may, and now and then stopped: the look counts what will be, each customer has the
//! outcome that what is in the way says, those who are deleted go with everything that is tied to them, and nothing else does.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use plane::customers::Deleting;
use plane::deletions::Root;
use plane::ids::OrganizationRef;
use plane::purges::{self, Criteria, Meant, Tally};
use uuid::Uuid;

use super::{Check, Doomed, World};
use crate::people::Person;
use crate::snapshot::{Cells, Snapshot, digits};
use crate::world::deliver;

/// A hold that ends by itself has ended after this.
const A_WHILE: Duration = Duration::from_secs(11);
/// Roles that may purge customers.
const ROLES: [&str; 5] = ["owner", "admin", "master", "member", "reseller"];

/// The actor who orders a purge.
struct Orderer {
    person: Person,
    organization: Uuid,
    role: String,
    /// The member whose customers they may delete and no others.
    only: Option<Uuid>,
}

/// A place in the list, or a customer who meets the criteria: the customer, and what must become of them.
type Fate = (Option<String>, &'static str);

impl World<'_> {
    pub(super) async fn purge_something(&mut self, has_grace: bool) -> (&'static str, &'static str) {
        let plane = &self.stage.plane;
        plane.clock.advance(A_WHILE);
        deliver(plane, 200).await;
        let at_look = self.look().await;
        let Some(orderer) = self.orderer(&at_look) else { return ("", "nothing") };
        let meant = self.mean(&at_look, &orderer);
        let (here, person) = (OrganizationRef::Id(orderer.organization), orderer.person.clone());
        let survey = purges::look(&person.cx(plane), &here, &meant, None).await.unwrap();
        let expected = fates(&at_look, &at_look, &orderer, &meant);
        let told = format!("{}: {} purges {meant:?}", self.told, orderer.role);
        assert_eq!(survey.outcomes, tally(&expected), "{told}");
        let going: BTreeSet<String> = going(&expected).filter_map(|customer| text(customer_of(&at_look, customer), "reference")).collect();
        assert_eq!(survey.sample.into_iter().collect::<BTreeSet<_>>(), going, "{told}");

        let deletion = purges::order(&person.cx(plane), &here, &meant, None, None).await.unwrap();
        if self.chance.once_in(2) {
            let grown = self.organizations.iter_mut().find(|grown| grown.id == orderer.organization).unwrap();
            grown.disturb(self.stage, &mut self.chance).await;
            plane.clock.advance(A_WHILE);
        }
        let is_stopped = self.chance.once_in(6);
        if is_stopped {
            purges::stop(&person.cx(plane), deletion.id).await.unwrap();
        }
        deliver(plane, 200).await;
        let before = self.look().await;
        self.come_to_rest().await;
        let doomed = Doomed {
            root: Root::CustomerPurge,
            id: deletion.subject,
            organization: orderer.organization,
            name: String::new(),
            actor: person,
            how: Deleting::Permanently,
        };
        let mut after = self.look().await;
        let can_be_taken_back = after.of("deletions").any(|cells| text(cells, "state").as_deref() == Some("reversible"));
        if can_be_taken_back {
            assert!(has_grace, "{told}");
            let check = Check { told: &told, doomed: &doomed, preview: None, at_plan: &before, before: &before, after: &after };
            // The purge has done its part: what was asked for is all that goes.
            assert!(check.gone().into_keys().eq(["purges"]), "{told}: something is gone that can be taken back: {:?}", check.gone());
            let over = "UPDATE deletions SET reversible_until = created_at WHERE state = 'reversible'";
            self.stage.engine.run(over, over).await.unwrap();
            self.come_to_rest().await;
            after = self.look().await;
        }
        let mut expected = fates(&at_look, &before, &orderer, &meant);
        if is_stopped {
            expected.iter_mut().filter(|(customer, _)| customer.is_some()).for_each(|(_, outcome)| *outcome = "stopped");
        }
        let found = items(&after, deletion.subject);
        assert!(
            found.iter().map(|(customer, outcome)| (customer.clone(), outcome.as_str())).eq(expected.clone()),
            "{told}: {found:?} and not {expected:?}"
        );
        let check = Check { told: &told, doomed: &doomed, preview: None, at_plan: &before, before: &before, after: &after };
        self.outcomes.extend(expected.iter().map(|(_, outcome)| *outcome));
        check.nothing_touches_what_is_held();
        match can_be_taken_back {
            // The receipts name also the labels that came with the orders, and were not there before.
            true => drop(check.only_what_is_tied_is_gone()),
            false => check.done(),
        }
        for (root, subject) in check.subjects() {
            assert_eq!(self.stage.leftovers(root, subject).await, Vec::<String>::new(), "{told}: {root:?}");
        }
        let counts = self.stage.receipt(deletion.id).await;
        assert_eq!(counts, tally(&expected).into_iter().map(|(outcome, count)| (outcome.to_owned(), count)).collect(), "{told}");
        ("customer_purge", if is_stopped { "stopped" } else { "done" })
    }

    /// Drains, and carries what webhooks are told, until nothing more comes of it.
    async fn come_to_rest(&self) {
        for _ in 0..3 {
            self.stage.drain().await;
            deliver(&self.stage.plane, 200).await;
        }
        self.stage.drain().await;
    }

    fn orderer(&mut self, now: &Snapshot) -> Option<Orderer> {
        let organizations: HashSet<String> = now
            .of("organizations")
            .filter(|cells| text(cells, "state").as_deref() == Some("live"))
            .filter_map(|cells| text(cells, "id"))
            .collect();
        let mut all = Vec::new();
        for cells in now.of("members").filter(|cells| text(cells, "state").as_deref() == Some("live")) {
            let (organization, role) = (text(cells, "organization_id")?, text(cells, "role")?);
            let person = self.people.iter().find(|person| Some(digits(person.id)) == cells["user_id"]);
            if let Some(person) = person.filter(|_| organizations.contains(&organization) && ROLES.contains(&role.as_str())) {
                let only = (role == "reseller").then(|| text(cells, "id").unwrap().parse().unwrap());
                all.push(Orderer { person: person.clone(), organization: organization.parse().unwrap(), role, only });
            }
        }
        // Those who may delete some customers only find most to be refused.
        if all.iter().any(|orderer| orderer.only.is_some()) && self.chance.once_in(2) {
            all.retain(|orderer| orderer.only.is_some());
        }
        let place = self.chance.below(all.len().max(1));
        (place < all.len()).then(|| all.swap_remove(place))
    }

    fn mean(&mut self, now: &Snapshot, orderer: &Orderer) -> Meant {
        let customers: Vec<&Cells> = customers(now, orderer.organization).collect();
        if self.chance.once_in(2) {
            let mut list: Vec<String> = Vec::new();
            for customer in customers.iter().filter_map(|cells| text(cells, "reference")) {
                for _ in 0..self.chance.below(3) {
                    list.push(customer.clone());
                }
            }
            list.push("nobody".to_owned());
            return Meant::List(list);
        }
        let managers: Vec<Uuid> = customers.iter().filter_map(|cells| text(cells, "managed_by")?.parse().ok()).collect();
        let managed_by = if self.chance.once_in(3) { self.chance.pick(&managers).copied() } else { None };
        let may_erase = ["owner", "admin"].contains(&orderer.role.as_str());
        let is_deleted = may_erase && self.chance.once_in(4);
        Meant::Criteria(Criteria { managed_by, is_deleted, is_all: true, ..Criteria::default() })
    }
}

/// What must become of each, in the order of the items: ids of a list are those of the moment of the order, everything else of now.
fn fates(at_order: &Snapshot, now: &Snapshot, orderer: &Orderer, meant: &Meant) -> Vec<Fate> {
    let of_others = |cells: &Cells| orderer.only.is_some_and(|own| cells["managed_by"] != Some(digits(own)));
    match meant {
        Meant::Criteria(criteria) => {
            let state = if criteria.is_deleted { "deleted" } else { "live" };
            let mut all: Vec<&Cells> = customers(now, orderer.organization)
                .filter(|cells| text(cells, "state").as_deref() == Some(state) && !of_others(cells))
                .filter(|cells| criteria.managed_by.is_none_or(|manager| cells["managed_by"] == Some(digits(manager))))
                .collect();
            all.sort_by_key(|cells| text(cells, "id"));
            all.into_iter().map(|cells| (text(cells, "id"), fate(now, cells))).collect()
        }
        Meant::List(references) => {
            let mut seen = HashSet::new();
            let mut one = |reference: &String| {
                let is_meant = |cells: &&Cells| {
                    text(cells, "reference").as_ref() == Some(reference) && text(cells, "state").as_deref() == Some("live")
                };
                match customers(at_order, orderer.organization).find(is_meant) {
                    None => (None, "not_found"),
                    Some(cells) if !seen.insert(text(cells, "id")) => (None, "repeated"),
                    Some(cells) if of_others(cells) => (text(cells, "id"), "refused"),
                    Some(cells) => (text(cells, "id"), fate(now, cells)),
                }
            };
            references.iter().map(&mut one).collect()
        }
    }
}

/// Whether something stands in the way of a customer's deletion.
fn fate(now: &Snapshot, customer: &Cells) -> &'static str {
    let own = |cells: &&Cells| cells["customer_id"] == customer["id"];
    let is_open = |table: &str, status: &str| now.of(table).filter(own).any(|cells| text(cells, "status").as_deref() == Some(status));
    let is_held = now.of("holds").any(|hold| {
        let is_in_force = hold["released_at"].is_none() && hold["until"].is_none();
        is_in_force && [&customer["id"], &customer["organization_id"]].contains(&&hold["subject_id"])
    });
    let is_blocked = is_held || is_open("subscriptions", "active") || is_open("transactions", "pending");
    if is_blocked { "blocked" } else { "deleted" }
}

fn items(now: &Snapshot, purge: Uuid) -> Vec<(Option<String>, String)> {
    let mut items: Vec<(i64, Option<String>, String)> = now
        .of("purge_items")
        .filter(|cells| cells["purge_id"] == Some(digits(purge)))
        .map(|cells| (text(cells, "number").unwrap().parse().unwrap(), text(cells, "customer_id"), text(cells, "outcome").unwrap()))
        .collect();
    items.sort();
    items.into_iter().map(|(_, customer, outcome)| (customer, outcome)).collect()
}

fn tally(fates: &[Fate]) -> Tally {
    let mut tally = Tally::new();
    fates.iter().for_each(|(_, outcome)| *tally.entry(outcome).or_default() += 1);
    tally
}

/// The ids of those who are to go.
fn going(fates: &[Fate]) -> impl Iterator<Item = &String> {
    fates.iter().filter(|(_, outcome)| *outcome == "deleted").filter_map(|(customer, _)| customer.as_ref())
}

fn customers(now: &Snapshot, organization: Uuid) -> impl Iterator<Item = &Cells> {
    now.of("customers").filter(move |cells| cells["organization_id"] == Some(digits(organization)))
}

fn customer_of<'a>(now: &'a Snapshot, id: &str) -> &'a Cells {
    now.of("customers").find(|cells| text(cells, "id").as_deref() == Some(id)).unwrap()
}

/// A cell without the quotes that one of the engines puts around texts.
fn text(cells: &Cells, column: &str) -> Option<String> {
    cells[column].as_deref().map(|text| text.trim_matches('\'').to_owned())
}
