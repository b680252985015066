//! Children that are being made while their parent is deleted, for every foreign key of the live schema and every table that an organization's
//! deletion erases: none survives, and none is lost silently. The maker is told clearly that there is nothing any more to put it into, or it is in the deletion's receipt.
//!
//! On PostgreSQL each creation is stopped in the middle of its transaction, before and after its row is checked against the parent, and goes
//! on when the deletion has come as far as it can. SQLite has one writer and no such middle: there many create at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deletion::Fate;
use plane::customers::{self, Deleting, NewCustomer};
use plane::cx::Actor;
use plane::deletions::{Deletion, Details, Root};
use plane::holds::{self, NewHold};
use plane::idempotency::{self, Begun, Ending, Repeatable};
use plane::ids::OrganizationRef;
use plane::oauth_apps::{self, NewOauthApp};
use plane::oauth_tokens::{self, Client};
use plane::policy::Role;
use plane::preferences::{self, Stance, TRAITS};
use plane::users;
use plane::{Cx, Error, Plane, Result, api_keys, dependants, exports, invitations, members, organizations, sessions, webhooks};
use serde_json::json;
use uuid::Uuid;

use crate::leftovers::own_table;
use crate::people::{PASSWORD, Person, uncounted};
use crate::stage::Stage;
use crate::world::{Engine, STAND_STILL, deliver, listen, new_customer};

/// How a row of a table comes to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Accept,
    SignIn,
    Invite,
    NewCustomer,
    Dependant(&'static str),
    Screen,
    ApiKey,
    PersonalKey,
    Webhook,
    /// Of whatever webhooks are told of.
    Event,
    TestEvent,
    App,
    Token,
    Preference,
    Hold,
    /// Kept for a request that may be repeated.
    Answer,
    Export,
}

/// Every table that hangs on another, and who makes its rows.
const WAYS: &[(&str, Way)] = &[
    ("members", Way::Accept),
    ("sessions", Way::SignIn),
    ("client_addresses", Way::SignIn),
    ("invitations", Way::Invite),
    ("customers", Way::NewCustomer),
    ("subscriptions", Way::Dependant("subscriptions")),
    ("transactions", Way::Dependant("transactions")),
    ("devices", Way::Dependant("devices")),
    ("customer_sessions", Way::Dependant("sessions")),
    ("activity_entries", Way::Dependant("activity")),
    ("screens", Way::Screen),
    ("api_keys", Way::ApiKey),
    ("user_api_keys", Way::PersonalKey),
    ("webhooks", Way::Webhook),
    ("effects", Way::Event),
    ("effects", Way::TestEvent),
    ("oauth_apps", Way::App),
    ("oauth_tokens", Way::Token),
    ("preferences", Way::Preference),
    ("holds", Way::Hold),
    ("idempotent_answers", Way::Answer),
    ("exports", Way::Export),
];

/// Tables whose rows are made under the lock of their organization, as every order of a deletion is: none of these is overtaken. Of a purge,
/// moreover, either receipt may tell: its own or the organization's, whichever of the two is drained first.
const NOT_RACED: [&str; 6] = ["requirements", "deletion_approvals", "purges", "purge_items", "billing_subscriptions", "billing_terms"];

/// Where in its transaction a creation is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Everything was looked at and its row is about to be written.
    Before,
    /// Its row was held against the parent's.
    After,
}

/// Preferences that were taken so far.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
const PATIENCE: Duration = Duration::from_secs(20);
/// More rows than a deletion does at once.
const MUCH: i64 = 501;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_in_the_very_moment_of_a_deletion_is_refused_or_in_the_receipt() {
    let stage = Stage::on_postgresql().await;
    stage.engine.run("", STAND_STILL).await.unwrap();
    let people = People::meet(&stage).await;
    let mut faults = Vec::new();
    for (child, way, root) in pairs(&stage) {
        for (moment, is_large) in [(Moment::Before, false), (Moment::After, false), (Moment::Before, true), (Moment::After, true)] {
            let ground = Ground::lay(&stage, &people, root, way).await;
            if is_large {
                ground.fill(&stage).await;
            }
            let mut race = Race::of(&stage, &ground, child).await;
            race.run_stopped(way, moment).await;
            let told = race.faults().await;
            faults.extend(told.into_iter().map(|fault| format!("{way:?} for a {root:?}, {moment:?}, large: {is_large}: {fault}")));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_are_made_during_a_deletion_each_is_refused_or_in_the_receipt_on_sqlite() {
    storm(Stage::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_are_made_during_a_deletion_each_is_refused_or_in_the_receipt_on_postgresql() {
    storm(Stage::on_postgresql().await).await;
}

async fn storm(stage: Stage) {
    let people = People::meet(&stage).await;
    let mut faults = Vec::new();
    for (child, way, root) in pairs(&stage) {
        let ground = Ground::lay(&stage, &people, root, way).await;
        let mut race = Race::of(&stage, &ground, child).await;
        race.run_freely(way).await;
        faults.extend(race.faults().await.into_iter().map(|fault| format!("{way:?} for a {root:?}: {fault}")));
    }
    assert_eq!(faults, Vec::<String>::new());
}

/// Every table that refers to another by a foreign key, how its rows are made, and what is deleted meanwhile: what it refers to, and the
/// organization above.
fn pairs(stage: &Stage) -> Vec<(&'static str, Way, Root)> {
    let mut pairs = BTreeSet::new();
    for (child, table) in &stage.schema.tables {
        for key in &table.foreign_keys {
            let root = Root::ALL.into_iter().find(|root| own_table(*root) == Some(&key.parent));
            let root = root.unwrap_or_else(|| panic!("{child} hangs on {}, which cannot be deleted", key.parent));
            if NOT_RACED.contains(&child.as_str()) {
                continue;
            }
            assert!(WAYS.iter().any(|(known, _)| known == child), "no way makes rows of {child} here: add how they come to be to WAYS");
            pairs.insert((child.as_str(), root.name()));
            if table.columns.iter().any(|column| column.name == "organization_id") {
                pairs.insert((child.as_str(), Root::Organization.name()));
            }
        }
    }
    for rule in Root::Organization.rules().iter().filter(|rule| rule.fate == Fate::Erase && !rule.walk.is_empty()) {
        if !NOT_RACED.contains(&rule.table) {
            assert!(
                WAYS.iter().any(|(known, _)| *known == rule.table),
                "no way makes rows of {}: add how they come to be to WAYS",
                rule.table
            );
            pairs.insert((rule.table, Root::Organization.name()));
        }
    }
    let ways = WAYS.iter().flat_map(|(child, way)| {
        let roots = pairs.iter().filter(move |(known, _)| known == child);
        roots.map(move |(_, root)| (*child, *way, Root::parse(root).unwrap()))
    });
    ways.collect()
}

/// Those who meet in every race.
struct People {
    member: Person,
    guest: Person,
}

impl People {
    async fn meet(stage: &Stage) -> People {
        People { member: Person::new(&stage.plane).await, guest: Person::new(&stage.plane).await }
    }
}

/// An organization with one of everything that a row can hang on, and what of it is deleted.
#[derive(Clone)]
struct Ground {
    plane: Arc<Plane>,
    owner: Actor,
    organization: Uuid,
    person: Person,
    member: Uuid,
    guest: Person,
    /// What lets a guest into it, or the member into another one.
    invitation: String,
    customer: Uuid,
    webhook: Option<Uuid>,
    app: Uuid,
    client: Client,
    root: Root,
    subject: Uuid,
}

impl Ground {
    async fn lay(stage: &Stage, people: &People, root: Root, way: Way) -> Ground {
        let plane = &stage.plane;
        // A webhook that must be told is one more thing that a deletion waits for: only where it is about that.
        let listens = root == Root::Webhook || matches!(way, Way::Event | Way::TestEvent);
        let slug = format!("ground-{}", Uuid::from_bytes(deletion::random().unwrap()).simple());
        let (organization, _) = stage.found(&slug, 0).await;
        let reference = OrganizationRef::Id(organization);
        let owner = stage.now();
        let person = if root == Root::User { Person::new(plane).await } else { people.member.clone() };
        let (_, token) = invitations::create(&owner, &reference, &person.email, Role::Owner).await.unwrap();
        let (_, member) = invitations::accept(&person.cx(plane), &token).await.unwrap();
        new_customer(&owner, organization, "customer").await;
        let new =
            NewOauthApp { name: "App".into(), description: None, redirect_uris: Vec::new(), scopes: vec!["read:organization".into()] };
        let (app, secret) = oauth_apps::create(&person.cx(plane), &reference, new).await.unwrap();
        let client = Client { client_id: app.client_id, secret };
        let (other, guest) = match root {
            Root::User => (stage.found(&format!("{slug}-other"), 0).await.0, &person),
            _ => (organization, &people.guest),
        };
        let (_, invitation) = invitations::create(&owner, &OrganizationRef::Id(other), &guest.email, Role::Viewer).await.unwrap();
        let webhook = if listens { Some(listen(&owner, organization).await) } else { None };
        let customer = customers::get(&owner, &reference, "customer").await.unwrap().id;
        let subject = match root {
            Root::Member => member,
            Root::Customer => customer,
            Root::Webhook => webhook.unwrap(),
            Root::OauthApp => app.id,
            Root::User => person.id,
            _ => organization,
        };
        let (plane, owner, guest) = (plane.clone(), owner.actor, guest.clone());
        Ground { plane, owner, organization, person, member, guest, invitation, customer, webhook, app: app.id, client, root, subject }
    }

    /// So much on what is deleted that it is drained. PostgreSQL only.
    async fn fill(&self, stage: &Stage) {
        let (organization, member, customer, user) = (self.organization, self.member, self.customer, self.person.id);
        let (app, subject) = (self.app, self.subject);
        let hash = "decode(md5(random()::text), 'hex')";
        let rows = match self.root {
            Root::Member => {
                format!("sessions SELECT gen_random_uuid(), '{user}', '{organization}', '{member}', {hash}, {hash}, now(), now()")
            }
            Root::User => format!("sessions SELECT gen_random_uuid(), '{user}', NULL, NULL, {hash}, {hash}, now(), now()"),
            Root::Customer => format!("activity_entries SELECT '{organization}', '{customer}', gen_random_uuid(), 'x', NULL, now()"),
            Root::Webhook => format!(
                "effects (organization_id, queue_id, webhook_id, kind, id, action, state, attempts, next_attempt_at, created_at)
                 SELECT '{organization}', '{subject}', '{subject}', 'webhook', gen_random_uuid(), 'x', 'delivered', 1, now(), now()"
            ),
            Root::OauthApp => format!(
                "oauth_tokens SELECT '{organization}', gen_random_uuid(), '{app}', '{member}', {hash}, {hash}, {hash}, '[]', '[]', now(), now(), now() + interval '1 day'"
            ),
            _ => format!(
                "invitations SELECT '{organization}', gen_random_uuid(), 'x@example.com', 'member', {hash}, 'pending', NULL, now(), now()"
            ),
        };
        stage.engine.run("", &format!("INSERT INTO {rows} FROM generate_series(1, {MUCH})")).await.unwrap();
    }

    fn owner(&self) -> Cx {
        Cx::new(&self.plane, "test").with_actor(self.owner.clone())
    }

    async fn make(&self, way: Way) -> Result<()> {
        let (organization, person) = (&OrganizationRef::Id(self.organization), self.person.cx(&self.plane));
        match way {
            Way::Accept => invitations::accept(&self.guest.cx(&self.plane), &self.invitation).await.map(drop),
            Way::SignIn => {
                let bound = Some(organization.clone()).filter(|_| self.root != Root::User);
                let anonymous = uncounted(&Cx::new(&self.plane, "test").with_client([192, 0, 2, 7].into()));
                sessions::sign_in(&anonymous, &self.person.email, PASSWORD.into(), bound).await.map(drop)
            }
            Way::Invite => {
                let email = format!("{}@example.org", Uuid::from_bytes(deletion::random()?).simple());
                invitations::create(&self.owner(), organization, &email, Role::Viewer).await.map(drop)
            }
            Way::NewCustomer | Way::Event => {
                let new = NewCustomer {
                    reference: None,
                    name: "Customer".into(),
                    email: "customer@example.com".into(),
                    phone: None,
                    tax_id: None,
                    address: json!({}),
                    metadata: json!({}),
                    managed_by: Some(self.member),
                };
                customers::create(&self.owner(), organization, new).await.map(drop)
            }
            Way::Dependant(path) => {
                let fields = match path {
                    "subscriptions" => json!({"plan": "basic", "status": "cancelled"}),
                    "transactions" => json!({"amount": 1, "currency": "EUR", "status": "settled"}),
                    "devices" => json!({"name": "x"}),
                    "activity" => json!({"kind": "x"}),
                    _ => json!({}),
                };
                let (kind, fields) = (dependants::Kind::at(path).unwrap(), fields.as_object().cloned().unwrap());
                dependants::create(&self.owner(), organization, "customer", kind, fields).await.map(drop)
            }
            Way::Screen => {
                let pass = Uuid::from_bytes(deletion::random()?).to_string();
                customers::add_screen(&self.owner(), organization, "customer", &pass).await.map(drop)
            }
            Way::ApiKey => {
                api_keys::create(&person, organization, api_keys::NewApiKey::new(api_keys::Kind::Organization, "Key")).await.map(drop)
            }
            Way::PersonalKey => {
                let new = api_keys::NewApiKey::new(api_keys::Kind::User, "Key");
                api_keys::personal::create(&person, new).await.map(drop)
            }
            Way::Webhook => {
                let new = webhooks::NewWebhook {
                    url: "https://example.com".into(),
                    description: None,
                    events: vec!["customer.created".into()],
                    is_active: true,
                };
                webhooks::create(&self.owner(), organization, new).await.map(drop)
            }
            Way::TestEvent => webhooks::test(&self.owner(), organization, self.webhook.unwrap()).await.map(drop),
            Way::App => {
                let (name, scopes) = ("Another".into(), vec!["read:organization".into()]);
                let new = NewOauthApp { name, description: None, redirect_uris: Vec::new(), scopes };
                oauth_apps::create(&person, organization, new).await.map(drop)
            }
            Way::Token => oauth_tokens::issue(&Cx::new(&self.plane, "test"), &self.client, None, None).await.map(drop),
            Way::Preference => {
                // Each time another.
                let other = TRAITS[TAKEN.fetch_add(1, Ordering::Relaxed) % TRAITS.len()].name;
                preferences::set(&person, vec![(other.into(), Stance::Avoid)]).await.map(drop)
            }
            Way::Answer => {
                let cx = self.owner();
                // What is answered is about the organization that was entered.
                plane::organizations::get(&cx, organization).await?;
                let key = Uuid::from_bytes(deletion::random()?).to_string();
                let request = Repeatable { key, secret: None, parts: Vec::new() };
                let Begun::Go(ticket) = idempotency::begin(&cx, &request).await? else { panic!("it was asked before") };
                idempotency::finish(&cx, ticket, Ending::Answered { answer: b"about it".to_vec(), tells: true }).await
            }
            Way::Export => exports::of_organization(&self.owner(), organization).await.map(drop),
            Way::Hold => {
                let hold = NewHold { reason: "Case".into(), until: None };
                holds::place(&self.owner(), organization, holds::Subject::Customer("customer".into()), hold).await.map(drop)
            }
        }
    }

    async fn delete(&self) -> Result<Deletion> {
        let (owner, organization) = (self.owner(), &OrganizationRef::Id(self.organization));
        match self.root {
            Root::Member => members::remove(&owner, organization, self.member, None).await,
            Root::Customer => customers::delete(&owner, organization, "customer", Deleting::Permanently, Details::default()).await,
            Root::Webhook => webhooks::delete(&owner, organization, self.subject, None).await,
            Root::OauthApp => oauth_apps::delete(&owner, &self.client.client_id, None).await,
            Root::User => users::delete(&self.person.cx(&self.plane), None).await,
            _ => organizations::delete(&owner, organization, Details::default()).await,
        }
    }
}

/// One creation or several, and a deletion.
struct Race<'a> {
    stage: &'a Stage,
    ground: &'a Ground,
    child: &'static str,
    /// Rows that hang on what is deleted, before.
    before: i64,
    outcomes: Vec<Result<()>>,
    deletion: Option<Result<Deletion>>,
    /// Whether what was made may do without the row: it is told to a webhook while there is one, and answered again while there is what it tells of.
    may_do_without: bool,
    faults: Vec<String>,
}

impl<'a> Race<'a> {
    async fn of(stage: &'a Stage, ground: &'a Ground, child: &'static str) -> Race<'a> {
        deliver(&stage.plane, 200).await;
        let rule = ground.root.rules().iter().find(|rule| rule.table == child).unwrap();
        let own = format!("{} = {}", rule.by.last().unwrap(), stage.engine.uuid(ground.subject));
        let before = stage.engine.count(&format!("SELECT count(*) FROM {child} WHERE {own}")).await;
        Race { stage, ground, child, before, outcomes: Vec::new(), deletion: None, may_do_without: false, faults: Vec::new() }
    }

    /// The creation is stopped, the deletion comes as far as it can, and the creation goes on.
    async fn run_stopped(&mut self, way: Way, moment: Moment) {
        let child = self.child;
        self.may_do_without = way == Way::Answer || way == Way::Event && self.ground.root == Root::Webhook && moment == Moment::Before;
        // A row is there while a request is carried out; what it says of an organization comes at the end.
        let event = if way == Way::Answer { "UPDATE OF organization_id" } else { "INSERT" };
        let which = match way {
            Way::Event => "WHEN (NEW.action = 'customer.created')",
            Way::TestEvent => "WHEN (NEW.action = 'webhook.test')",
            _ => "",
        };
        let when = if moment == Moment::Before { "BEFORE" } else { "AFTER" };
        // It comes after the foreign key's own trigger, which begins with a capital letter.
        let trigger = format!("CREATE TRIGGER stand_still {when} {event} ON {child} FOR EACH ROW {which} EXECUTE FUNCTION stand_still()");
        self.run("SELECT pg_advisory_lock(1)").await;
        self.run(&trigger).await;
        let ground = self.ground.clone();
        let creation = tokio::spawn(async move { ground.make(way).await });
        self.wait(|| creation.is_finished(), "advisory", 1).await;
        if creation.is_finished() {
            self.faults.push("the creation was not stopped".into());
        }
        let ground = self.ground.clone();
        let deletion = tokio::spawn(async move {
            let deletion = ground.delete().await;
            crate::stage::drain_all(&ground.plane).await;
            deletion
        });
        self.wait(|| deletion.is_finished(), "%", 2).await;
        self.run("SELECT pg_advisory_unlock(1)").await;
        self.outcomes.push(creation.await.unwrap());
        self.deletion = Some(deletion.await.unwrap());
        self.run(&format!("DROP TRIGGER stand_still ON {child}")).await;
    }

    async fn run(&self, statement: &str) {
        self.stage.engine.run("", statement).await.unwrap();
    }

    /// Waits until a task is done, or so many in this database wait for locks of a kind.
    async fn wait(&self, is_done: impl Fn() -> bool, kind: &str, many: i64) {
        let come = async { while !is_done() && self.stage.engine.waiters(kind).await < many {} };
        tokio::time::timeout(PATIENCE, come).await.expect("nothing goes on");
    }

    async fn run_freely(&mut self, way: Way) {
        self.may_do_without = way == Way::Answer || way == Way::Event && self.ground.root == Root::Webhook;
        let makers: Vec<_> = (0..6)
            .map(|_| {
                let ground = self.ground.clone();
                tokio::spawn(async move { ground.make(way).await })
            })
            .collect();
        let ground = self.ground.clone();
        let deletion = tokio::spawn(async move { ground.delete().await });
        for maker in makers {
            self.outcomes.push(maker.await.unwrap());
        }
        self.deletion = Some(deletion.await.unwrap());
    }

    /// What is wrong with how it came out.
    async fn faults(mut self) -> Vec<String> {
        let Race { stage, ground, child, .. } = self;
        for _ in 0..3 {
            stage.drain().await;
            deliver(&stage.plane, 200).await;
        }
        stage.drain().await;
        let unclear = self.outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).filter(|error| !is_clear(error));
        self.faults.extend(unclear.map(|error| format!("the creation met {error:?}")));
        let made = self.outcomes.iter().filter(|outcome| outcome.is_ok()).count() as i64;
        let deletion = match self.deletion.unwrap() {
            Ok(deletion) => deletion,
            // The hold came first.
            Err(Error::Blocked(_)) if child == "holds" && made > 0 => return self.faults,
            Err(error) => {
                self.faults.push(format!("the deletion met {error:?}"));
                return self.faults;
            }
        };
        let record = plane::deletions::get(&ground.owner(), deletion.id).await;
        let record = match record {
            Ok(record) => record,
            // Only an operator reads of an account that is gone.
            Err(_) => deletion,
        };
        let id = stage.engine.uuid(record.id);
        if stage.engine.count(&format!("SELECT count(*) FROM deletions WHERE id = {id} AND state = 'completed'")).await != 1 {
            self.faults.push("the deletion is not completed".into());
        }
        let expected = self.before
            + made
            + record.effects["webhooks"]["delivered"]
                .as_i64()
                .filter(|_| child == "effects" && ground.root == Root::Organization)
                .unwrap_or(0);
        let counted = match (child, ground.root) {
            // Each membership has a deletion of its own.
            ("members", Root::User) => {
                let ended =
                    format!("SELECT count(*) FROM deletions WHERE root = 'member' AND actor_id = {}", stage.engine.uuid(ground.person.id));
                stage.engine.count(&ended).await
            }
            _ => stage.receipt(record.id).await.get(child).copied().unwrap_or(0),
        };
        if counted > expected || counted < if self.may_do_without { self.before } else { expected } {
            self.faults.push(format!("there were {} and {made} were made, and the receipt says {counted}", self.before));
        }
        self.faults.extend(stage.leftovers(ground.root, ground.subject).await);
        self.faults
    }
}

/// Whether an error says what is the matter, and not that the server is broken.
fn is_clear(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound(_)
            | Error::Outsider(_)
            | Error::Unauthenticated
            | Error::Conflict(_)
            | Error::Forbidden(_)
            | Error::LacksScope(_)
            | Error::Invalid(_)
            | Error::Oauth(..)
    )
}

impl Stage {
    /// What a deletion says that it touched, table by table.
    pub(crate) async fn receipt(&self, deletion: Uuid) -> std::collections::BTreeMap<String, i64> {
        let query = format!("SELECT CAST(counts AS text) FROM deletions WHERE id = {}", self.engine.uuid(deletion));
        let text: String = match &self.engine {
            Engine::Sqlite(file) => rusqlite::Connection::open(file).unwrap().query_row(&query, [], |row| row.get(0)).unwrap(),
            Engine::Postgres(client) => client.query_one(&query, &[]).await.unwrap().get(0),
        };
        serde_json::from_str(&text).unwrap()
    }
}
