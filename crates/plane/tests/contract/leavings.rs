//! What is left of whatever is deleted: for each root a marker is put into every text column of the rows that point at the subject, found by
//! reading the schema, and once the deletion is completed, or the time is over that a rule keeps something, it is in no cell of the database and not
//! in the raw bytes of the SQLite file or its log.

use std::time::Duration;

use deletion::{Fate, Holds, Kept};
use plane::api_keys::{self, Kind, NewApiKey};
use plane::credentials::{Presented, authenticate};
use plane::customers::{self, Deleting};
use plane::deletion_rules::RULES;
use plane::deletions::{Details, Root};
use plane::ids::OrganizationRef;
use plane::oauth_apps::{self, NewOauthApp, OauthApp};
use plane::oauth_tokens::{self, Client};
use plane::policy::Role;
use plane::preferences::{self, Stance};
use plane::purges::{self, Criteria, Meant};
use plane::users::{self, NewUser};
use plane::{Cx, dependants, exports, invitations, members, organizations, retention, sessions, webhooks};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::on_both_engines;
use crate::people::uncounted;
use crate::residue::{cells_with, checkpoint};
use crate::stage::Stage;
use crate::world::{Engine, deliver, listen, new_customer};

on_both_engines! {
    nothing_is_left_of_whatever_is_deleted
}

const DAY: Duration = Duration::from_secs(86_400);

async fn nothing_is_left_of_whatever_is_deleted(stage: Stage) {
    let (id, _) = stage.found("doomed", 0).await;
    let organization = OrganizationRef::Id(id);
    let hook = listen(&stage.now(), id).await;
    let mut roots = Vec::new();
    // What nothing is kept of first, what goes with time last.
    for root in Root::ALL.into_iter().filter(|root| !matches!(root, Root::Organization | Root::RetiredCustomer | Root::Invitation)) {
        match root {
            Root::Member | Root::User => {
                let (person, member) = stage.join(id, &format!("{}@example.com", root.name())).await;
                let subject = if root == Root::User { person.principal().unwrap().user } else { member };
                stage.mark(root, subject).await;
                match root {
                    Root::User => drop(users::delete(&person, None).await.unwrap()),
                    _ => drop(members::remove(&stage.now(), &organization, member, None).await.unwrap()),
                }
            }
            Root::Customer => {
                let subject = stage.new_customer_with_everything(id, "customer").await;
                stage.mark(root, subject).await;
                stage.erase_customer(id, root, Deleting::Permanently).await;
            }
            Root::ApiKey => {
                let key = api_keys::create(&stage.now(), &organization, described_key()).await.unwrap().0.id;
                stage.mark(root, key).await;
                api_keys::revoke(&stage.now(), &organization, key, None).await.unwrap();
            }
            Root::Webhook => {
                stage.mark(root, hook).await;
                webhooks::delete(&stage.now(), &organization, hook, None).await.unwrap();
            }
            Root::OauthApp => {
                let (app, _) = stage.new_app(&stage.now(), id).await;
                stage.mark(root, app.id).await;
                // By which it is found: a marker is of no client id's form.
                let name = format!("UPDATE oauth_apps SET client_id = '{}' WHERE client_id = '{}'", app.client_id, marker(root));
                stage.engine.run(&name, &name).await.unwrap();
                oauth_apps::delete(&stage.now(), &app.client_id, None).await.unwrap();
            }
            Root::CustomerPurge => {
                // What was asked for is all there is about anybody.
                let metadata = json!({"note": marker(root)}).as_object().cloned().unwrap();
                let meant = Meant::Criteria(Criteria { metadata, ..Criteria::default() });
                purges::order(&stage.now(), &organization, &meant, None, None).await.unwrap();
                assert!(!cells_with(&stage.engine, &stage.schema, &marker(root)).await.is_empty());
            }
            _ => {
                let (_, token) = stage.new_app(&stage.now(), id).await;
                stage.mark(root, token).await;
                oauth_tokens::revoke(&stage.now(), token, None).await.unwrap();
            }
        }
        stage.settle().await;
        stage.expect_nothing_of(root).await;
        roots.push(root);
    }

    let (invitation, _) = invitations::create(&stage.now(), &organization, "invited@example.com", Role::Viewer).await.unwrap();
    stage.mark(Root::Invitation, invitation.id).await;
    invitations::cancel(&stage.now(), &organization, invitation.id, None).await.unwrap();
    let subject = stage.new_customer_with_everything(id, "retired").await;
    stage.mark(Root::RetiredCustomer, subject).await;
    stage.erase_customer(id, Root::RetiredCustomer, Deleting::Softly).await;
    stage.settle().await;
    for days in [96, 1, 267, 2] {
        for root in [Root::Invitation, Root::RetiredCustomer] {
            // An invitation's time begins seven days later.
            let is_over = root == Root::Invitation && [267, 2].contains(&days);
            assert!(is_over || !cells_with(&stage.engine, &stage.schema, &marker(root)).await.is_empty(), "{} goes too soon", root.name());
        }
        stage.plane.clock.advance(DAY * days);
        retention::once(&stage.plane).await.unwrap();
        stage.settle().await;
    }
    for root in [Root::Invitation, Root::RetiredCustomer] {
        stage.expect_nothing_of(root).await;
        roots.push(root);
    }

    let customer = stage.new_customer_with_everything(id, "with-the-organization").await;
    stage.mark(Root::Customer, customer).await;
    stage.mark(Root::Organization, id).await;
    organizations::delete(&stage.now(), &organization, Details::default()).await.unwrap();
    stage.settle().await;
    stage.expect_nothing_of(Root::Organization).await;
    roots.push(Root::Organization);
    for root in Root::ALL {
        assert!(roots.contains(&root), "{} was not tried", root.name());
        stage.expect_nothing_of(root).await;
    }
    if let Engine::Sqlite(file) = &stage.engine {
        checkpoint(file);
        for ending in ["", "-wal", "-journal"] {
            let name = format!("{}{ending}", file.display());
            let bytes = std::fs::read(&name).unwrap_or_default();
            let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds("marker-of-"), "{name}");
            assert!(!ending.is_empty() || holds("owner@example.com"), "the search finds what is there");
        }
    }
}

fn marker(root: Root) -> String {
    format!("marker-of-{}", root.name())
}

fn described_key() -> NewApiKey {
    NewApiKey { description: Some("Key".into()), ..NewApiKey::new(Kind::Organization, "Key") }
}

impl Stage {
    /// Writes the marker into every text and jsonb column of the rows that point at the subject, but for what lives on after it.
    async fn mark(&self, root: Root, subject: Uuid) {
        let mut marked = 0;
        for table in RULES.tables {
            let points = |holds: &Holds| matches!(holds, Holds::Link(roots) if roots.contains(&root.name()));
            let link = table.columns.iter().find(|(_, holds)| points(holds));
            // A softly deleted customer goes for good in the end.
            let rules = if root == Root::RetiredCustomer { Root::Customer.rules() } else { root.rules() };
            let rule = rules.iter().find(|rule| rule.table == table.name);
            let (Some((link, _)), Some(rule)) = (link, rule) else { continue };
            for (name, holds) in table.columns {
                let column = self.schema.tables[table.name].columns.iter().find(|column| column.name == *name).unwrap();
                let is_text = ["text", "jsonb"].contains(&column.kind.as_str());
                // What is kept shall hold nothing personal. An invitation is kept as it is.
                let goes = rule.fate == Fate::Erase || root == Root::Invitation || (*holds == Holds::Personal && rule.kept != Kept::Alive);
                if !is_text || !goes {
                    continue;
                }
                let text = marker(root);
                let value = if column.kind == "jsonb" { format!("'[\"{text}\"]'") } else { format!("'{text}'") };
                let update = format!("UPDATE {} SET {} = {value} WHERE {link} = {}", table.name, column.name, self.engine.uuid(subject));
                match self.engine.run(&update, &update).await {
                    Ok(()) => marked += 1,
                    // Columns of fixed words, and what is unique and there more than once.
                    Err(words) => {
                        let words = words.to_lowercase();
                        assert!(words.contains("check") || words.contains("unique"), "{}.{}: {words}", table.name, column.name);
                    }
                }
            }
        }
        assert!(marked > 0 && !cells_with(&self.engine, &self.schema, &marker(root)).await.is_empty(), "{} has no mark", root.name());
    }

    /// Carries, drains and carries what was told of that.
    async fn settle(&self) {
        for _ in 0..2 {
            deliver(&self.plane, 200).await;
            self.drain().await;
        }
        let open = "SELECT count(*) FROM deletions WHERE state <> 'completed'";
        assert_eq!(self.engine.count(open).await, 0);
    }

    async fn expect_nothing_of(&self, root: Root) {
        assert_eq!(cells_with(&self.engine, &self.schema, &marker(root)).await, Vec::<String>::new(), "{}", root.name());
    }

    /// Deletes the customer whose id has become the marker.
    async fn erase_customer(&self, organization: Uuid, root: Root, how: Deleting) {
        customers::delete(&self.now(), &OrganizationRef::Id(organization), &marker(root), how, Details::default()).await.unwrap();
    }

    async fn new_customer_with_everything(&self, organization: Uuid, reference: &str) -> Uuid {
        new_customer(&self.now(), organization, reference).await;
        let place = OrganizationRef::Id(organization);
        for (path, fields) in [
            ("subscriptions", json!({"plan": "basic", "status": "cancelled"})),
            ("transactions", json!({"amount": 1, "currency": "EUR", "status": "settled", "description": "x"})),
            ("devices", json!({"name": "x", "platform": "x"})),
            ("sessions", json!({"ip_address": "x", "user_agent": "x"})),
            ("activity", json!({"kind": "x", "message": "x"})),
        ] {
            let fields: Map<String, Json> = fields.as_object().cloned().unwrap();
            dependants::create(&self.now(), &place, reference, dependants::Kind::at(path).unwrap(), fields).await.unwrap();
        }
        deliver(&self.plane, 200).await;
        exports::of_customer(&self.now(), &place, reference).await.unwrap().subject
    }

    /// An app, and the id of a token of it.
    async fn new_app(&self, maker: &Cx, organization: Uuid) -> (OauthApp, Uuid) {
        let new = NewOauthApp {
            name: "App".into(),
            description: Some("App".into()),
            redirect_uris: vec!["https://example.com".into()],
            scopes: vec!["read:user".into()],
        };
        let (app, secret) = oauth_apps::create(maker, &OrganizationRef::Id(organization), new).await.unwrap();
        let client = Client { client_id: app.client_id.clone(), secret };
        let token = oauth_tokens::issue(maker, &client, None, None).await.unwrap().id;
        (app, token)
    }

    /// A person who becomes a member and has a key, an app, a token and preferences. Returns them and their membership.
    pub(crate) async fn join(&self, organization: Uuid, email: &str) -> (Cx, Uuid) {
        let (anonymous, place) = (Cx::new(&self.plane, "test"), OrganizationRef::Id(organization));
        let new = NewUser { email: email.into(), password: "correct horse".into(), name: Some("Person".into()), is_operator: false };
        users::sign_up(&anonymous, new).await.unwrap();
        let signed_in = sessions::sign_in(&uncounted(&anonymous), email, "correct horse".into(), None).await.unwrap();
        let person = authenticate(anonymous, Presented::Bearer(&signed_in.access_token)).await.unwrap();
        let (_, token) = invitations::create(&self.now(), &place, email, Role::Admin).await.unwrap();
        let (_, member) = invitations::accept(&person, &token).await.unwrap();
        api_keys::create(&person, &place, described_key()).await.unwrap();
        self.new_app(&person, organization).await;
        preferences::set(&person, vec![("vegan".into(), Stance::Require)]).await.unwrap();
        (person, member)
    }
}
