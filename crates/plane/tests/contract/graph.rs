//! Organizations made by chance: people who share them in several roles, several owners, nested customers with everything that hangs on one,
//! credentials of all kinds, webhooks, exports and legal holds, past and in force. All of it is made through the plane.

use std::time::Duration;

use plane::customers::{self, Deleting, NewCustomer};
use plane::deletions::Details;
use plane::holds::{self, NewHold, Subject};
use plane::ids::OrganizationRef;
use plane::oauth_apps::{self, NewOauthApp};
use plane::oauth_tokens::{self, Client};
use plane::policy::Role;
use plane::preferences::{self, Stance, TRAITS};
use plane::{Cx, api_keys, dependants, exports, invitations, sessions};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::people::{Chance, PASSWORD, Person, uncounted};
use crate::stage::Stage;
use crate::world::listen;

/// An organization with those who are in it, its owner first.
pub(crate) struct Grown {
    pub(crate) id: Uuid,
    pub(crate) members: Vec<(Person, Uuid)>,
    customers: Vec<String>,
}

/// Grows two or three organizations that share these people.
pub(crate) async fn grow(stage: &Stage, chance: &mut Chance, people: &[Person]) -> Vec<Grown> {
    for person in people {
        for _ in 0..chance.below(3) {
            let name = TRAITS[chance.below(TRAITS.len())].name;
            preferences::set(&person.cx(&stage.plane), vec![(name.into(), Stance::Avoid)]).await.unwrap();
        }
    }
    let mut all = Vec::new();
    for _ in 0..2 + chance.below(2) {
        let mut grown = found(stage, chance, people).await;
        for number in 0..chance.below(5) {
            grown.add_customer(stage, chance, format!("customer-{number}")).await;
        }
        for place in 0..grown.members.len() {
            grown.add_credentials(stage, chance, place).await;
        }
        for _ in 0..chance.below(3) {
            grown.invite(stage, chance).await;
        }
        if chance.once_in(3) {
            grown.hold(stage, chance).await;
        }
        all.push(grown);
    }
    all
}

async fn found(stage: &Stage, chance: &mut Chance, people: &[Person]) -> Grown {
    let founder = chance.pick(people).unwrap();
    let slug = Uuid::from_bytes(deletion::random().unwrap()).simple().to_string();
    let new =
        plane::organizations::NewOrganization { name: "Organization".into(), slug: slug[..20].into(), logo: None, metadata: json!({}) };
    let cx = founder.cx(&stage.plane);
    let organization = plane::organizations::create(&cx, new).await.unwrap();
    let own: Uuid =
        stage.engine.id(&format!("SELECT id FROM members WHERE organization_id = {}", stage.engine.uuid(organization.id))).await;
    for _ in 0..chance.below(3) {
        listen(&cx, organization.id).await;
    }
    let mut members = vec![(founder.clone(), own)];
    for person in people.iter().filter(|person| person.id != founder.id) {
        if chance.once_in(3) {
            continue;
        }
        let role = *chance.pick(&Role::ALL).unwrap();
        let (_, token) = invitations::create(&cx, &OrganizationRef::Id(organization.id), &person.email, role).await.unwrap();
        let (_, member) = invitations::accept(&person.cx(&stage.plane), &token).await.unwrap();
        members.push((person.clone(), member));
    }
    Grown { id: organization.id, members, customers: Vec::new() }
}

impl Grown {
    fn reference(&self) -> OrganizationRef {
        OrganizationRef::Id(self.id)
    }

    fn owner(&self, stage: &Stage) -> Cx {
        self.members[0].0.cx(&stage.plane)
    }

    async fn add_customer(&mut self, stage: &Stage, chance: &mut Chance, reference: String) {
        let (owner, organization) = (self.owner(stage), self.reference());
        let managed_by = if chance.once_in(2) { chance.pick(&self.members).map(|(_, id)| *id) } else { None };
        let new = NewCustomer {
            reference: Some(reference.clone()),
            name: "Customer".into(),
            email: "customer@example.com".into(),
            phone: None,
            tax_id: None,
            address: json!({}),
            metadata: json!({}),
            managed_by,
        };
        customers::create(&owner, &organization, new).await.unwrap();
        for path in ["subscriptions", "transactions", "devices", "sessions", "activity"] {
            for _ in 0..chance.below(3) {
                self.add_entry(stage, chance, &reference, path).await;
            }
        }
        if chance.once_in(3) {
            let pass = Uuid::from_bytes(deletion::random().unwrap()).to_string();
            customers::add_screen(&owner, &organization, &reference, &pass).await.unwrap();
        }
        if chance.once_in(5) {
            exports::of_customer(&owner, &organization, &reference).await.unwrap();
        }
        if chance.once_in(6) {
            // What stands in its way is in the audit trail.
            let _ = customers::delete(&owner, &organization, &reference, Deleting::Softly, Details::default()).await;
        }
        self.customers.push(reference);
    }

    async fn add_entry(&self, stage: &Stage, chance: &mut Chance, customer: &str, path: &str) {
        let status = |open: &str, other: &str, chance: &mut Chance| if chance.once_in(12) { open.to_owned() } else { other.to_owned() };
        let fields = match path {
            "subscriptions" => json!({"plan": "basic", "status": status("active", "cancelled", chance)}),
            "transactions" => json!({"amount": 1, "currency": "EUR", "status": status("pending", "settled", chance)}),
            "devices" => json!({"name": "Laptop"}),
            "activity" => json!({"kind": "login"}),
            _ => json!({}),
        };
        let fields: Map<String, Json> = fields.as_object().cloned().unwrap();
        // A customer who was deleted takes no more.
        let _ = dependants::create(&self.owner(stage), &self.reference(), customer, dependants::Kind::at(path).unwrap(), fields).await;
    }

    /// What one member can have, as far as their role lets them.
    async fn add_credentials(&self, stage: &Stage, chance: &mut Chance, place: usize) {
        let (person, _) = &self.members[place];
        let (cx, organization) = (person.cx(&stage.plane), self.reference());
        for _ in 0..chance.below(3) {
            let _ = api_keys::create(&cx, &organization, api_keys::NewApiKey::new(api_keys::Kind::Organization, "Key")).await;
        }
        if chance.once_in(4) {
            sessions::sign_in(&uncounted(&cx), &person.email, PASSWORD.into(), Some(organization.clone())).await.unwrap();
        }
        if chance.once_in(2) {
            let (name, scopes) = ("App".to_owned(), vec!["read:organization".to_owned()]);
            let new = NewOauthApp { name, description: None, redirect_uris: Vec::new(), scopes };
            let Ok((app, secret)) = oauth_apps::create(&cx, &organization, new).await else { return };
            let client = Client { client_id: app.client_id, secret };
            for _ in 0..chance.below(3) {
                oauth_tokens::issue(&cx, &client, None, None).await.unwrap();
            }
        }
    }

    async fn invite(&self, stage: &Stage, chance: &mut Chance) {
        let (person, _) = chance.pick(&self.members).unwrap();
        let email = format!("guest{}@example.org", chance.below(10));
        let _ = invitations::create(&person.cx(&stage.plane), &self.reference(), &email, Role::Viewer).await;
    }

    /// A hold on something, in force or over.
    async fn hold(&self, stage: &Stage, chance: &mut Chance) {
        let (owner, organization) = (self.owner(stage), self.reference());
        let subject = match chance.below(3) {
            0 => Subject::Organization,
            1 => Subject::Member(chance.pick(&self.members).unwrap().1),
            _ => match chance.pick(&self.customers) {
                Some(customer) => Subject::Customer(customer.clone()),
                None => return,
            },
        };
        // Some end by themselves while the test goes on.
        let until = chance.once_in(3).then(|| owner.now + Duration::from_secs(chance.below(10) as u64 + 1));
        let Ok(hold) = holds::place(&owner, &organization, subject, NewHold { reason: "Case".into(), until }).await else { return };
        if chance.once_in(3) {
            holds::release(&owner, &organization, hold.id, "Closed".into()).await.unwrap();
        }
    }

    /// Something that happens between a plan and its deletion, as far as it can still happen.
    pub(crate) async fn disturb(&mut self, stage: &Stage, chance: &mut Chance) {
        match chance.below(6) {
            0 => self.invite(stage, chance).await,
            1 => self.hold(stage, chance).await,
            2 => {
                let place = chance.below(self.members.len());
                let _ = api_keys::create(
                    &self.members[place].0.cx(&stage.plane),
                    &self.reference(),
                    api_keys::NewApiKey::new(api_keys::Kind::Organization, "Key"),
                )
                .await;
            }
            _ => {
                let Some(customer) = chance.pick(&self.customers).cloned() else { return };
                let path = *chance.pick(&["subscriptions", "devices", "activity", "sessions"]).unwrap();
                self.add_entry(stage, chance, &customer, path).await;
            }
        }
    }
}
