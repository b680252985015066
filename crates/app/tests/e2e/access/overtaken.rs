//! Writes that the loss of their actor's right overtakes. All writing operations of the catalogue are held at the database; before them waits
//! the removal or the demotion of their actor, the end of their credential, or the archiving of the organization. None of them may be carried
//! out: what has the answer to a removal can rely on it.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::catalogue::{Access, Operation, operations};
use super::world::{Caller, Tenant, furnish, new_service_account};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

/// How an actor loses the right to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Removal,
    Demotion,
    Revocation,
    /// Of the organization's own key.
    ServiceRevocation,
    SignOut,
    Archiving,
}

impl Loss {
    const ALL: [Loss; 6] = [Loss::Removal, Loss::Demotion, Loss::Revocation, Loss::ServiceRevocation, Loss::SignOut, Loss::Archiving];

    /// Whether it takes the right to an operation away.
    fn forbids(self, operation: &Operation) -> bool {
        match (&operation.access, self) {
            (Access::Members(_), Loss::Archiving) => !ALLOWED_IN_ARCHIVES.contains(&operation.id.as_str()) && !operation.is_destructive(),
            // Leaving and revoking one's own key are every member's right, also a viewer's.
            (Access::Members(_), Loss::Demotion) => true,
            (Access::Members(_), Loss::Removal | Loss::Revocation | Loss::ServiceRevocation | Loss::SignOut) => true,
            // What is about the person alone is not the organization's to take away.
            (Access::Person, Loss::SignOut) => !["signOut", "dashboardSignOut"].contains(&operation.id.as_str()),
            _ => false,
        }
    }
}

/// What people do in an archive beside taking access away: it is held for the law, taken out and opened again, and what is to be deleted there
/// is approved of.
const ALLOWED_IN_ARCHIVES: [&str; 11] = [
    "unarchiveOrganization",
    "holdOrganization",
    "holdCustomer",
    "holdMember",
    "releaseHold",
    "exportOrganization",
    "exportCustomer",
    "approveOrganizationDeletion",
    "approveCustomerDeletion",
    "approveMemberRemoval",
    "approveWeakerRequirements",
];

const METRICS_TOKEN: &str = "metrics-token-of-this-test";

on_both_engines! {
    async fn no_write_is_done_that_its_actor_may_no_longer_do(engine: Engine) {
        let server = Server::start(engine, &[&format!("--metrics-token={METRICS_TOKEN}"), "--connections=200"]).await;
        let mut operations = operations(&server).await;
        // Otherwise it is only looked at.
        operations.iter_mut().filter(|operation| operation.path.ends_with("customers:purge")).for_each(|one| one.path.push_str("?force=true"));
        let (mut cells, mut done) = (0, Vec::new());
        for loss in Loss::ALL {
            let forbidden: Vec<&Operation> =
                operations.iter().filter(|operation| operation.method != Method::GET && loss.forbids(operation)).collect();
            let scene = Scene::set(&server, loss).await;
            let held = overtake(&server, &scene, &forbidden).await;
            assert!(held.len() > 20, "{loss:?}: only {} operations came as far as the database", held.len());
            cells += held.len();
            done.extend(held.into_iter().filter(|(_, status)| status.is_success()).map(|(id, status)| format!("{id} after {loss:?}: {status}")));
        }
        assert!(done.is_empty(), "of {cells} writes {} were done after their actor had lost the right:\n{}", done.len(), done.join("\n"));
        eprintln!("overtaken writes: {} kinds of loss, {cells} cells, none done", Loss::ALL.len());
    }

    async fn what_waits_in_the_database_is_done_also_when_its_client_hangs_up(engine: Engine) {
        let server = Server::start(engine, &[&format!("--metrics-token={METRICS_TOKEN}")]).await;
        let organization = server.new_organization().await;
        let (keys, token) = (format!("/api/organizations/{}/api-keys", organization.id), &organization.owner.token);
        let body = json!({"name": "Of one who left"}).to_string();
        let request = format!(
            "POST {keys} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let barrier = Barrier::raise(&server).await;
        let before = writes(&server).await;
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        while writes(&server).await == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        barrier.has_waiting().await;
        drop(stream);
        // By then the server has seen that the client is gone.
        for _ in 0..50 {
            expect(server.request(Method::GET, "/health/live"), StatusCode::OK).await;
        }
        barrier.lower().await;
        loop {
            let found = expect(server.request(Method::GET, &keys).bearer_auth(token), StatusCode::OK).await;
            if found["data"].as_array().unwrap().iter().any(|key| key["name"] == "Of one who left") {
                break;
            }
        }
    }
}

/// One actor, what they may do everything with, and the request that ends that.
struct Scene {
    actor: Caller,
    tenant: Tenant,
    loss: RequestBuilder,
}

impl Scene {
    async fn set(server: &Server, loss: Loss) -> Scene {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "owner").await;
        let (key, secret) = match loss {
            Loss::ServiceRevocation => new_service_account(server, &organization, "admin").await,
            _ => server.new_api_key(&organization, &person.token, &["admin:all"]).await,
        };
        let actor = match loss {
            Loss::Revocation | Loss::ServiceRevocation => Caller::with_key(&secret),
            _ => Caller::with_token(&server.sign_in(&person.email, Some(&organization.slug)).await),
        };
        let tenant = furnish(server, &organization).await;
        let ended = |method: Method, path: &str| {
            let path = format!("/api/organizations/{}{path}", organization.id);
            server.request(method, &path).bearer_auth(&organization.owner.token)
        };
        let loss = match loss {
            Loss::Removal => ended(Method::DELETE, &format!("/members/{member}")),
            Loss::Demotion => ended(Method::PUT, &format!("/members/{member}/role")).json(&json!({"role": "viewer"})),
            Loss::Revocation | Loss::ServiceRevocation => ended(Method::DELETE, &format!("/api-keys/{key}")),
            Loss::SignOut => actor.sign(server.request(Method::POST, "/api/auth/sign-out")),
            Loss::Archiving => ended(Method::POST, "/archive"),
        };
        // From here on the server's memory knows who the actor is, and what they may do.
        let path = format!("/api/organizations/{}", organization.id);
        expect(actor.sign(server.request(Method::GET, &path)), StatusCode::OK).await;
        Scene { actor, tenant, loss }
    }
}

/// Sends the loss and then the operations to a database that does not go on before all of them wait for it. Returns how those were answered
/// that did wait.
async fn overtake(server: &Server, scene: &Scene, operations: &[&Operation]) -> Vec<(String, StatusCode)> {
    let barrier = Barrier::raise(server).await;
    let before = writes(server).await;
    let loss = tokio::spawn(scene.loss.try_clone().unwrap().send());
    while writes(server).await == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    barrier.has_waiting().await;
    let sent: Vec<(String, JoinHandle<_>)> = operations
        .iter()
        .map(|operation| {
            let request = operation.request(server, &scene.actor, &scene.tenant);
            (operation.id.clone(), tokio::spawn(request.send()))
        })
        .collect();
    // Each has been answered without a write, or has asked for one. The counter is the only sign from outside. Deletions of customers ask
    // together.
    let together = operations.iter().filter(|operation| operation.method == Method::DELETE && operation.names_a_customer()).count();
    loop {
        let answered = sent.iter().filter(|(_, request)| request.is_finished()).count();
        if answered as u64 + writes(server).await > before + (sent.len() - together) as u64 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held: Vec<_> = sent.into_iter().filter(|(_, request)| !request.is_finished()).collect();
    barrier.lower().await;
    let lost = loss.await.unwrap().unwrap();
    assert!(lost.status().is_success(), "the loss was answered with {}", lost.status());
    join_all(held.into_iter().map(|(id, request)| async move {
        let answer = request.await.unwrap().unwrap();
        assert!(!answer.status().is_server_error(), "{id}: {}", answer.status());
        (id, answer.status())
    }))
    .await
}

/// How many writes were asked for since the server started.
async fn writes(server: &Server) -> u64 {
    let text = server.request(Method::GET, "/metrics").bearer_auth(METRICS_TOKEN).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("freehold_database_writes_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A lock of our own that every write waits for.
enum Barrier {
    Sqlite(rusqlite::Connection),
    Postgresql(tokio_postgres::Client),
}

impl Barrier {
    async fn raise(server: &Server) -> Barrier {
        match server.engine {
            Engine::Sqlite => {
                let connection = rusqlite::Connection::open(server.database_file()).unwrap();
                connection.busy_timeout(Duration::from_secs(20)).unwrap();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                Barrier::Sqlite(connection)
            }
            Engine::Postgresql => {
                let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client
                    .batch_execute("BEGIN; LOCK TABLE organizations, users, members, sessions, api_keys IN EXCLUSIVE MODE")
                    .await
                    .unwrap();
                Barrier::Postgresql(client)
            }
        }
    }

    /// Waits until a transaction waits for it. SQLite has a queue, in which what came first goes first.
    async fn has_waiting(&self) {
        let Barrier::Postgresql(client) = self else { return };
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while client.query_one(query, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn lower(self) {
        match self {
            Barrier::Sqlite(connection) => connection.execute_batch("COMMIT").unwrap(),
            Barrier::Postgresql(client) => client.batch_execute("COMMIT").await.unwrap(),
        }
    }
}
