//! What is sent over time ends when its reader loses access: every operation of the catalogue whose answer has no end of its own or is sent while
//! it is read × every way to lose access.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::catalogue::{Operation, operations};
use super::world::Tenant;
use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, Person, Server, expect};
use crate::tools::{change_database, deleted, new_customer};

/// Bytes of the archive: more than the buffers between two ends of a connection hold.
const LARGE: u64 = 64 << 20;
/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the reader loses what they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    MemberRemoved,
    MemberDemoted,
    KeyRevoked,
    TokenRevoked,
    AppDeleted,
    SignedOut,
    PasswordChanged,
    OrganizationDeleted,
    Deleted,
}

const LOSSES: [Loss; 9] = [
    Loss::MemberRemoved,
    Loss::MemberDemoted,
    Loss::KeyRevoked,
    Loss::TokenRevoked,
    Loss::AppDeleted,
    Loss::SignedOut,
    Loss::PasswordChanged,
    Loss::OrganizationDeleted,
    Loss::Deleted,
];

/// An organization with a reader, and something that takes long to read.
struct Scene {
    organization: Organization,
    reader: Person,
    member: String,
    key: (String, String),
    app: OauthApp,
    token: (String, String),
    tenant: Tenant,
}

impl Scene {
    async fn set(server: &Server) -> Scene {
        let (organization, deletion) = reversible(server).await;
        let owner = &organization.owner.token;
        let (reader, member) = server.new_member(&organization, "owner").await;
        let path = format!("/api/organizations/{}", organization.id);
        let ordered = expect(server.request(Method::POST, &format!("{path}/exports")).bearer_auth(owner), StatusCode::ACCEPTED).await;
        let export = ordered["id"].as_str().unwrap().to_owned();
        loop {
            let record = expect(server.request(Method::GET, &format!("/api/exports/{export}")).bearer_auth(owner), StatusCode::OK).await;
            if record["state"] == "done" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What is in it does not matter here.
        let archive = std::fs::OpenOptions::new().write(true).open(server.exports_folder().join(format!("{export}.zip"))).unwrap();
        archive.set_len(LARGE).unwrap();
        change_database(server, &format!("UPDATE exports SET bytes = {LARGE}, sha256 = NULL")).await;
        let key = server.new_api_key(&organization, &reader.token, &["admin:all"]).await;
        let app = server.new_oauth_app(&organization, &reader.token, &["admin:all"]).await;
        let tokens = server.new_oauth_token(&app).await;
        let tenant = Tenant { organization: organization.id.clone(), deletion, export, ..Tenant::unknown() };
        Scene { organization, reader, member, key, app, token: (tokens.id, tokens.access), tenant }
    }

    /// The header of a credential that this loss ends.
    fn credential(&self, loss: Loss) -> String {
        match loss {
            Loss::KeyRevoked => format!("X-API-Key: {}", self.key.1),
            Loss::TokenRevoked | Loss::AppDeleted => format!("Authorization: Bearer {}", self.token.1),
            _ => format!("Authorization: Bearer {}", self.reader.token),
        }
    }

    async fn lose(&self, server: &Server, loss: Loss, what: &str) {
        let organization = format!("/api/organizations/{}", self.organization.id);
        let by_owner = |method: Method, path: String| server.request(method, &path).bearer_auth(&self.organization.owner.token);
        let by_reader = |method: Method, path: &str| server.request(method, path).bearer_auth(&self.reader.token);
        let request = match loss {
            Loss::MemberRemoved => by_owner(Method::DELETE, format!("{organization}/members/{}", self.member)),
            Loss::MemberDemoted => {
                by_owner(Method::PUT, format!("{organization}/members/{}/role", self.member)).json(&json!({"role": "viewer"}))
            }
            Loss::KeyRevoked => by_owner(Method::DELETE, format!("{organization}/api-keys/{}", self.key.0)),
            Loss::TokenRevoked => by_owner(Method::DELETE, format!("/api/oauth/token/{}", self.token.0)),
            Loss::AppDeleted => by_owner(Method::DELETE, format!("/api/oauth/apps/{}", self.app.client_id)),
            Loss::SignedOut => by_reader(Method::POST, "/api/auth/sign-out"),
            Loss::PasswordChanged => {
                let body = json!({"currentPassword": crate::support::PASSWORD, "newPassword": "another battery staple"});
                let other = server.sign_in(&self.reader.email, None).await;
                server.request(Method::POST, "/api/users/me/password").bearer_auth(other).json(&body)
            }
            Loss::OrganizationDeleted => by_owner(Method::DELETE, organization),
            Loss::Deleted => by_owner(Method::DELETE, format!("/api/exports/{}", self.tenant.export)),
        };
        let status = request.send().await.unwrap().status();
        assert!(status.is_success(), "{what}: {status}");
    }
}

/// An organization with a deletion that can be taken back for a long time, and so be watched.
async fn reversible(server: &Server) -> (Organization, String) {
    let organization = server.new_organization().await;
    let owner = &organization.owner.token;
    let path = format!("/api/organizations/{}", organization.id);
    let requirements = json!({"customer": {"graceDays": 30}});
    let request = server.request(Method::PUT, &format!("{path}/deletion-requirements")).bearer_auth(owner).json(&requirements);
    expect(request, StatusCode::OK).await;
    new_customer(server, &organization, "c", None).await;
    let request = server.request(Method::DELETE, &format!("{path}/customers/c")).bearer_auth(owner);
    let deletion = deleted(request, StatusCode::NO_CONTENT).await;
    (organization, deletion)
}

/// Begins to read an answer over a connection of its own, and returns it with what came first.
async fn begin(server: &Server, path: &str, credential: &str) -> (TcpStream, Vec<u8>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(server.url.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{credential}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut first = vec![0; 4096];
    let read = stream.read(&mut first).await.unwrap();
    first.truncate(read);
    (stream, first)
}

/// Reads to the end, and returns how many bytes came and the last of them.
async fn finish(stream: &mut TcpStream) -> (u64, String) {
    let (mut count, mut last, mut piece) = (0, Vec::new(), vec![0; 1 << 20]);
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        count += read as u64;
        last = piece[..read].to_vec();
    }
    (count, String::from_utf8_lossy(&last).into_owned())
}

async fn lasting(server: &Server) -> Vec<(Operation, bool)> {
    let document: Json = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
    let operations = operations(server).await.into_iter().filter_map(|operation| {
        let answers = document["paths"][&operation.path][operation.method.as_str().to_lowercase()]["responses"].as_object()?;
        let mut content =
            answers.iter().filter(|(status, _)| status.starts_with('2')).filter_map(|(_, answer)| answer["content"].as_object());
        let content = content.next()?;
        let is_file = content.values().any(|kind| kind["schema"]["format"] == "binary");
        (is_file || content.contains_key("text/event-stream")).then_some((operation, is_file))
    });
    operations.collect()
}

on_both_engines! {
    async fn what_is_sent_over_time_ends_when_its_reader_loses_access(engine: Engine) {
        let server = Server::start(engine, &[]).await;
        let lasting = lasting(&server).await;
        assert!(lasting.len() >= 2, "{}", lasting.len());
        let (mut cells, mut went_on) = (0, Vec::new());
        for loss in LOSSES {
            let scene = Scene::set(&server).await;
            let mut open = Vec::new();
            for (operation, is_file) in lasting.iter().filter(|(_, is_file)| *is_file || loss != Loss::Deleted) {
                let (stream, first) = begin(&server, &operation.address(&scene.tenant), &scene.credential(loss)).await;
                assert!(first.starts_with(b"HTTP/1.1 200"), "{} {loss:?}: {}", operation.id, String::from_utf8_lossy(&first));
                open.push((operation, *is_file, stream));
            }
            scene.lose(&server, loss, &format!("{loss:?}")).await;
            for (operation, is_file, mut stream) in open {
                cells += 1;
                let ended = tokio::time::timeout(PATIENCE, finish(&mut stream)).await;
                let is_cut = match &ended {
                    Ok((count, last)) => if is_file { *count < LARGE - (1 << 20) } else { last.contains("event: ended") },
                    Err(_) => false,
                };
                if !is_cut {
                    went_on.push(format!("{} after {loss:?}: {:?}", operation.id, ended.map(|(count, _)| count)));
                }
            }
        }
        assert!(went_on.is_empty(), "{} of {cells} went on:\n{}", went_on.len(), went_on.join("\n"));
        eprintln!("lasting: {} operations, {cells} cells", lasting.len());
    }

    async fn no_one_takes_the_streams_of_others(engine: Engine) {
        let server = Server::start(engine, &[]).await;
        let watch = async |(organization, deletion): &(Organization, String)| {
            let credential = format!("Authorization: Bearer {}", organization.owner.token);
            begin(&server, &format!("/api/deletions/{deletion}/events"), &credential).await
        };
        let is_open = |first: &[u8]| first.starts_with(b"HTTP/1.1 200");
        // As many as there are, by few.
        let mut open = Vec::new();
        for _ in 0..16 {
            let place = reversible(&server).await;
            for _ in 0..8 {
                let (stream, first) = watch(&place).await;
                assert!(is_open(&first), "{}", String::from_utf8_lossy(&first));
                open.push(stream);
            }
        }
        let (_stream, first) = watch(&reversible(&server).await).await;
        assert!(is_open(&first), "{}", String::from_utf8_lossy(&first));
        // Who had eight has seven.
        let ends = open.iter_mut().map(|stream| Box::pin(finish(stream)));
        let (count, last) = tokio::time::timeout(PATIENCE, futures_util::future::select_all(ends)).await.unwrap().0;
        assert!(count > 0 && last.contains("\"displaced\""), "{last}");
    }
}
