//! Creations that a deletion overtakes: held between their look at the parent and their insert until the parent goes. Only PostgreSQL can
//! show this on purpose; SQLite has one writer, whom nobody overtakes.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::store::Store;
use crate::support::{Engine, Organization, PASSWORD, Server};

/// One creation, the table whose lock holds it up, and its request.
type Creation = (&'static str, RequestBuilder);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_was_making_when_they_were_removed_does_not_point_at_them() {
    let stage = Stage::set().await;
    for place in 0..3 {
        let organization = stage.server.new_organization().await;
        let (admin, member) = stage.server.new_member(&organization, "admin").await;
        let (table, creation) = stage.creations(&organization, &admin.token, &member).swap_remove(place);
        let removal = stage.delete(&organization, &format!("/members/{member}"));
        stage.overtake(table, creation, removal).await;
        assert_eq!(stage.store.mentions(member.parse().unwrap()).await, Vec::<String>::new(), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_made_in_an_organization_when_it_was_deleted_is_refused_or_goes_with_it() {
    let stage = Stage::set().await;
    for place in 0..5 {
        let organization = stage.server.new_organization().await;
        let (admin, member) = stage.server.new_member(&organization, "admin").await;
        let guest = stage.server.new_person().await;
        let invitation = crate::races::invite(&stage.server, &organization, &guest.email).await;
        let mut creations = stage.creations(&organization, &admin.token, &member);
        let accept = stage.server.request(Method::POST, "/api/invites/accept").bearer_auth(&guest.token);
        creations.push(("members", accept.json(&json!({"token": invitation["token"]}))));
        let sign_in = json!({"email": admin.email, "password": PASSWORD, "organization": organization.id});
        creations.push(("sessions", stage.server.request(Method::POST, "/api/auth/sign-in").json(&sign_in)));
        let (table, creation) = creations.swap_remove(place);
        stage.overtake(table, creation, stage.delete(&organization, "")).await;
        assert_eq!(stage.store.mentions(organization.id.parse().unwrap()).await, Vec::<String>::new(), "{table}");
    }
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
        let (store, holder) = (Store::open(&server).await, Store::open(&server).await);
        Stage { server, store, holder }
    }

    /// What an admin makes that points at them.
    fn creations(&self, organization: &Organization, token: &str, member: &str) -> Vec<Creation> {
        let post = |path: &str, body| {
            self.server.request(Method::POST, &format!("/api/organizations/{}{path}", organization.id)).bearer_auth(token).json(&body)
        };
        vec![
            ("invitations", post("/members/invite", json!({"email": "guest@example.org"}))),
            ("customers", post("/customers", json!({"name": "Ada", "email": "ada@example.com", "managedBy": member}))),
            ("api_keys", post("/api-keys", json!({"name": "Test key"}))),
        ]
    }

    fn delete(&self, organization: &Organization, path: &str) -> RequestBuilder {
        let path = format!("/api/organizations/{}{path}", organization.id);
        self.server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token)
    }

    /// Holds a creation before its insert, sends the deletion, and lets go when that has been answered or waits for the creation.
    async fn overtake(&self, table: &str, creation: RequestBuilder, deletion: RequestBuilder) {
        self.holder.run(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await;
        let creation = tokio::spawn(creation.send());
        self.wait_until(|waiting| waiting == 1).await;
        let deletion = tokio::spawn(deletion.send());
        self.wait_until(|waiting| waiting == 2 || deletion.is_finished()).await;
        self.holder.run("COMMIT").await;
        let (created, deleted) = (creation.await.unwrap().unwrap().status(), deletion.await.unwrap().unwrap().status());
        println!("{table}: the creation was answered with {created}, the deletion with {deleted}");
        assert!(created.is_success() || created.is_client_error(), "{table}: the creation was answered with {created}");
        assert_eq!(deleted, StatusCode::NO_CONTENT, "{table}");
    }

    /// Waits until so many transactions wait for a lock. PostgreSQL tells nobody: one has to look.
    async fn wait_until(&self, is_enough: impl Fn(i64) -> bool) {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while !is_enough(self.store.number(query).await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
