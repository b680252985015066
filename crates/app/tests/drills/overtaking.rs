//! Creations that a deletion overtakes: held between their look at the parent and their commit until the parent goes. Only PostgreSQL can
//! show this on purpose; SQLite has one writer, and nothing overtakes it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::races::invite;
use crate::store::Store;
use crate::support::{Engine, Organization, PASSWORD, Server, header};

/// Something that is being made.
struct Creation {
    /// The table it goes into.
    table: &'static str,
    /// The table whose lock holds it up: its own, before its insert, or the audit trail's, after it.
    held_at: &'static str,
    request: RequestBuilder,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_was_making_when_they_were_removed_does_not_point_at_them() {
    let stage = Stage::set().await;
    for place in 0..stage.creations().await.1.len() {
        let (cast, mut creations) = stage.creations().await;
        let creation = creations.swap_remove(place);
        let removal = stage.delete(&cast.organization, &format!("/members/{}", cast.member));
        let (table, held_at) = (creation.table, creation.held_at);
        let deletion = stage.overtake(creation, removal).await;
        stage.server.wait_for_completion(&deletion, &cast.organization.owner.token).await;
        assert_eq!(stage.store.mentions(cast.member.parse().unwrap()).await, Vec::<String>::new(), "{table} held at {held_at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_in_an_organization_when_it_was_deleted_is_refused_or_goes_with_it() {
    let stage = Stage::set().await;
    for place in 0..stage.creations().await.1.len() {
        let (cast, mut creations) = stage.creations().await;
        let creation = creations.swap_remove(place);
        let (table, held_at) = (creation.table, creation.held_at);
        let id = cast.organization.id.parse().unwrap();
        let deletion = stage.overtake(creation, stage.delete(&cast.organization, "")).await;
        stage.server.wait_for_completion(&deletion, &cast.organization.owner.token).await;
        assert_eq!(stage.store.mentions(id).await, Vec::<String>::new(), "{table} held at {held_at}");
    }
}

/// What a creation needs: new for each.
struct Cast {
    organization: Organization,
    /// The membership of the admin who makes things.
    member: String,
}

/// A server and two eyes on its database: one that looks and one that holds a lock.
struct Stage {
    server: Server,
    store: Store,
    holder: Store,
}

impl Stage {
    async fn set() -> Stage {
        let server = Server::start(Engine::Postgresql, &[]).await;
        let (store, holder) = (Store::open(&server).await, Store::open_to_write(&server).await);
        Stage { server, store, holder }
    }

    /// Everything that can be made in an organization, by an admin of a new one.
    async fn creations(&self) -> (Cast, Vec<Creation>) {
        let organization = self.server.new_organization().await;
        let (admin, member) = self.server.new_member(&organization, "admin").await;
        let guest = self.server.new_person().await;
        let customer = self.server.new_customer(&organization, &organization.owner.token).await;
        let invitation = invite(&self.server, &organization, &guest.email).await;
        let post = |path: &str, token: &str, body: Json| self.server.request(Method::POST, path).bearer_auth(token).json(&body);
        let inside = |path: &str, body| post(&format!("/api/organizations/{}{path}", organization.id), &admin.token, body);
        let sign_in = json!({"email": admin.email, "password": PASSWORD, "organization": organization.id});
        let ada = json!({"name": "Ada", "email": "ada@example.com"});
        let managed = json!({"name": "Ada", "email": "ada@example.com", "managedBy": member});
        let creation = |table, held_at, request| Creation { table, held_at, request };
        let creations = vec![
            creation("invitations", "invitations", inside("/members/invite", json!({"email": "another@example.org"}))),
            creation("invitations", "audit_entries", inside("/members/invite", json!({"email": "another@example.org"}))),
            creation("customers", "customers", inside("/customers", managed.clone())),
            creation("customers", "audit_entries", inside("/customers", managed)),
            creation("customers", "customers", inside("/customers", ada.clone())),
            creation("customers", "audit_entries", inside("/customers", ada)),
            creation("api_keys", "api_keys", inside("/api-keys", json!({"name": "Test key"}))),
            creation("api_keys", "audit_entries", inside("/api-keys", json!({"name": "Test key"}))),
            creation("devices", "devices", inside(&format!("/customers/{customer}/devices"), json!({"name": "Laptop"}))),
            creation("members", "members", post("/api/invites/accept", &guest.token, json!({"token": invitation["token"]}))),
            creation("members", "audit_entries", post("/api/invites/accept", &guest.token, json!({"token": invitation["token"]}))),
            creation("sessions", "sessions", self.server.request(Method::POST, "/api/auth/sign-in").json(&sign_in)),
        ];
        (Cast { organization, member }, creations)
    }

    fn delete(&self, organization: &Organization, path: &str) -> RequestBuilder {
        let path = format!("/api/organizations/{}{path}", organization.id);
        self.server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token)
    }

    /// Holds a creation in the middle, sends the deletion, and lets go when that has been answered or waits for the creation.
    async fn overtake(&self, creation: Creation, deletion: RequestBuilder) -> String {
        let Creation { table, held_at, request } = creation;
        self.holder.run(&format!("BEGIN; LOCK TABLE {held_at} IN SHARE MODE")).await;
        let creation = tokio::spawn(request.send());
        self.wait_until(|waiting| waiting == 1).await;
        let deletion = tokio::spawn(deletion.send());
        self.wait_until(|waiting| waiting == 2 || deletion.is_finished()).await;
        self.holder.run("COMMIT").await;
        let (created, deleted) = (creation.await.unwrap().unwrap().status(), deletion.await.unwrap().unwrap());
        println!("{table} held at {held_at}: the creation was answered with {created}, the deletion with {}", deleted.status());
        assert!(created.is_success() || created.is_client_error(), "{table}: the creation was answered with {created}");
        assert_eq!(deleted.status(), StatusCode::NO_CONTENT, "{table}");
        header(&deleted, "deletion-id").to_owned()
    }

    /// Waits until so many transactions wait for a lock. PostgreSQL does not tell: one has to look.
    async fn wait_until(&self, is_enough: impl Fn(i64) -> bool) {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while !is_enough(self.store.number(query).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
