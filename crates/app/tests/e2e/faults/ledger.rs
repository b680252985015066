//! The ledger: a database that is put back from before a deletion forgets nothing that was deleted, and opens nothing that had ended.

use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, PASSWORD, Person, Server, expect, make_database};
use crate::tools::{Session, change_database, deleted};

/// Tokens are of an address, and the port is another after each start.
const PUBLIC_URL: &str = "--public-url=http://localhost:3001";
const NEW_PASSWORD: &str = "umbrella-supplies-1";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What there is before the backup, each of it ended or deleted after it.
struct Things {
    organization: Organization,
    /// An organization that is deleted, one that is archived, and the one that is left alone.
    deleted: Organization,
    archived: Organization,
    archived_key: String,
    left_alone: Organization,
    left_alone_key: String,
    /// Keys: revoked, made narrower, rotated at once, and one that stays.
    revoked: (String, String),
    narrowed: (String, String),
    rotated: (String, String),
    kept: (String, String),
    own: (String, String),
    app: OauthApp,
    deleted_app: OauthApp,
    deleted_app_token: String,
    token: String,
    webhook: String,
    switched_off: String,
    /// An invitation's token that was used after the backup, and by a person whose membership was removed then.
    used: (Person, String),
    invitation: (String, String),
    removed: (Person, String),
    demoted: (Person, String),
    forgetful: Person,
    closed: Person,
    refreshed: Session,
    signed_out: Session,
    device: String,
    signing_key: Json,
}

fn base(organization: &Organization) -> String {
    format!("/api/organizations/{}", organization.id)
}

async fn customer(server: &Server, organization: &Organization, id: &str) {
    let body = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
    let token = &organization.owner.token;
    expect(server.request(Method::POST, &format!("{}/customers", base(organization))).bearer_auth(token).json(&body), StatusCode::CREATED)
        .await;
}

impl Things {
    async fn make(server: &Server) -> Things {
        let organization = server.new_organization().await;
        let token = organization.owner.token.clone();
        for id in ["erased", "retired", "purged-1", "purged-2", "taken-back", "equipped", "held", "stays"] {
            customer(server, &organization, id).await;
        }
        let device = server.new_dependant(&organization, "equipped", "devices", json!({"name": "Laptop"})).await;
        let (deleted, archived, left_alone) =
            (server.new_organization().await, server.new_organization().await, server.new_organization().await);
        customer(server, &deleted, "inside").await;
        let scopes = ["read:customers", "write:customers"];
        let key = async || server.new_api_key(&organization, &token, &scopes).await;
        let own = json!({"name": "Mine", "scopes": ["read:user"]});
        let own = expect(server.request(Method::POST, "/api/users/me/api-keys").bearer_auth(&token).json(&own), StatusCode::CREATED).await;
        let forgetful = server.new_person().await;
        let app = server.new_oauth_app(&organization, &token, &["read:customers"]).await;
        let deleted_app = server.new_oauth_app(&organization, &token, &["read:customers"]).await;
        let webhook = json!({"url": "https://example.com/hook", "events": ["customer.updated"]});
        let path = format!("{}/webhooks", base(&organization));
        let switched_off = expect(server.request(Method::POST, &path).bearer_auth(&token).json(&webhook), StatusCode::CREATED).await;
        let webhook = expect(server.request(Method::POST, &path).bearer_auth(&token).json(&webhook), StatusCode::CREATED).await;
        let invited = server.new_person().await;
        let used = json!({"email": invited.email, "role": "viewer"});
        let path = format!("{}/members/invite", base(&organization));
        let used = expect(server.request(Method::POST, &path).bearer_auth(&token).json(&used), StatusCode::CREATED).await;
        let invitation = json!({"email": forgetful.email, "role": "viewer"});
        let path = format!("{}/members/invite", base(&organization));
        let invitation = expect(server.request(Method::POST, &path).bearer_auth(&token).json(&invitation), StatusCode::CREATED).await;
        let id = |record: &Json| record["id"].as_str().unwrap().to_owned();
        Things {
            deleted_app_token: server.new_oauth_token(&deleted_app).await.access,
            deleted_app,
            token: server.new_oauth_token(&app).await.access,
            webhook: id(&webhook),
            switched_off: id(&switched_off),
            used: (invited, used["token"].as_str().unwrap().to_owned()),
            invitation: (id(&invitation), invitation["token"].as_str().unwrap().to_owned()),
            app,
            archived_key: server.new_api_key(&archived, &archived.owner.token, &scopes).await.1,
            left_alone_key: server.new_api_key(&left_alone, &left_alone.owner.token, &scopes).await.1,
            revoked: key().await,
            narrowed: key().await,
            rotated: key().await,
            kept: key().await,
            own: (own["id"].as_str().unwrap().to_owned(), own["key"].as_str().unwrap().to_owned()),
            removed: server.new_member(&organization, "admin").await,
            demoted: server.new_member(&organization, "admin").await,
            refreshed: Session::begin(server, &forgetful.email, None).await,
            signed_out: Session::begin(server, &organization.owner.email, None).await,
            closed: server.new_person().await,
            forgetful,
            organization,
            deleted,
            archived,
            left_alone,
            device,
            signing_key: signing_key(server).await,
        }
    }

    /// Deletes and ends it all. Returns the deletions, by what was deleted.
    async fn end(&self, server: &Server) -> Vec<(&'static str, String)> {
        let (base, token) = (base(&self.organization), &self.organization.owner.token);
        let at = |method: Method, path: &str| server.request(method, &format!("{base}{path}")).bearer_auth(token);
        let gone = |path: &str| at(Method::DELETE, path);
        let mut all = vec![
            ("erased", deleted(gone("/customers/erased"), StatusCode::NO_CONTENT).await),
            ("retired", deleted(server.request(Method::DELETE, "/customer/retired").bearer_auth(token), StatusCode::OK).await),
            ("key", deleted(gone(&format!("/api-keys/{}", self.revoked.0)), StatusCode::NO_CONTENT).await),
            ("member", deleted(gone(&format!("/members/{}", self.removed.1)), StatusCode::NO_CONTENT).await),
        ];
        let inside = server.request(Method::DELETE, &self::base(&self.deleted)).bearer_auth(&self.deleted.owner.token);
        all.push(("organization", deleted(inside, StatusCode::NO_CONTENT).await));
        let list = at(Method::POST, "/customers:purge?force=true&count=2").header("content-type", "text/csv").body("purged-1\npurged-2\n");
        let purge = deleted(list, StatusCode::ACCEPTED).await;
        server.wait_for_completion(&purge, token).await;
        all.push(("purge", purge));
        expect(gone(&format!("/customers/equipped/devices/{}", self.device)), StatusCode::NO_CONTENT).await;
        all.push(("webhook", deleted(gone(&format!("/webhooks/{}", self.webhook)), StatusCode::NO_CONTENT).await));
        all.push(("invitation", deleted(gone(&format!("/invites/{}", self.invitation.0)), StatusCode::NO_CONTENT).await));
        let app = format!("/api/oauth/apps/{}", self.deleted_app.client_id);
        all.push(("app", deleted(server.request(Method::DELETE, &app).bearer_auth(token), StatusCode::NO_CONTENT).await));
        let form = [("token", &*self.token), ("client_id", &*self.app.client_id), ("client_secret", &*self.app.secret)];
        expect(server.form("/oauth2/revoke", &form), StatusCode::OK).await;
        let off = at(Method::PUT, &format!("/webhooks/{}", self.switched_off)).json(&json!({"isActive": false}));
        expect(off, StatusCode::OK).await;
        let accept = json!({"token": self.used.1});
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&self.used.0.token).json(&accept);
        let member = expect(accept, StatusCode::OK).await["memberId"].as_str().unwrap().to_owned();
        all.push(("newcomer", deleted(gone(&format!("/members/{member}")), StatusCode::NO_CONTENT).await));
        let hold = at(Method::POST, "/customers/held/holds").json(&json!({"reason": "A court asks."}));
        expect(hold, StatusCode::CREATED).await;
        let narrow = json!({"scopes": ["read:customers"]});
        expect(at(Method::PATCH, &format!("/api-keys/{}", self.narrowed.0)).json(&narrow), StatusCode::OK).await;
        let at_once = json!({"overlapSeconds": 0});
        expect(at(Method::POST, &format!("/api-keys/{}/rotate", self.rotated.0)).json(&at_once), StatusCode::OK).await;
        let own = format!("/api/users/me/api-keys/{}", self.own.0);
        expect(server.request(Method::DELETE, &own).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let rotate = format!("/api/oauth/apps/{}/secret", self.app.client_id);
        expect(server.request(Method::POST, &rotate).bearer_auth(token), StatusCode::OK).await;
        expect(at(Method::PUT, &format!("/members/{}/role", self.demoted.1)).json(&json!({"role": "viewer"})), StatusCode::OK).await;
        let archive = format!("{}/archive", self::base(&self.archived));
        expect(server.request(Method::POST, &archive).bearer_auth(&self.archived.owner.token), StatusCode::OK).await;
        let password = json!({"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD});
        let change = server.request(Method::POST, "/api/users/me/password").bearer_auth(&self.forgetful.token).json(&password);
        expect(change, StatusCode::NO_CONTENT).await;
        let leave = server.request(Method::DELETE, "/api/users/me").bearer_auth(&self.closed.token);
        expect(leave, StatusCode::NO_CONTENT).await;
        let out = server.request(Method::POST, "/api/auth/sign-out").bearer_auth(&self.signed_out.token);
        expect(out, StatusCode::NO_CONTENT).await;
        let grace = json!({"customer": {"graceDays": 7}});
        expect(at(Method::PUT, "/deletion-requirements").json(&grace), StatusCode::OK).await;
        let taken_back = deleted(gone("/customers/taken-back"), StatusCode::NO_CONTENT).await;
        let restore = server.request(Method::POST, &format!("/api/deletions/{taken_back}/restore")).bearer_auth(token);
        expect(restore, StatusCode::OK).await;
        all
    }

    /// Looks at it all, the first requests first.
    async fn check(&self, server: &Server, deletions: &[(&'static str, String)]) {
        let customers = |organization: &Organization| format!("{}/customers", base(organization));
        let with = |key: &str, organization: &Organization| server.request(Method::GET, &customers(organization)).header("X-API-Key", key);
        for (what, key) in [("revoked", &self.revoked), ("narrowed", &self.narrowed), ("rotated", &self.rotated)] {
            assert_eq!(status(with(&key.1, &self.organization)).await, StatusCode::UNAUTHORIZED, "{what}");
        }
        assert_eq!(status(with(&self.archived_key, &self.archived)).await, StatusCode::UNAUTHORIZED);
        let own = server.request(Method::GET, "/api/users/me").header("X-API-Key", &self.own.1);
        assert_eq!(status(own).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(with(&self.kept.1, &self.organization)).await, StatusCode::OK);
        assert_eq!(status(with(&self.left_alone_key, &self.left_alone)).await, StatusCode::OK);
        let form = [("grant_type", "client_credentials"), ("client_id", &*self.app.client_id), ("client_secret", &*self.app.secret)];
        assert_eq!(status(server.form("/oauth2/token", &form)).await, StatusCode::UNAUTHORIZED);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*self.deleted_app.client_id),
            ("client_secret", &*self.deleted_app.secret),
        ];
        assert_eq!(status(server.form("/oauth2/token", &form)).await, StatusCode::UNAUTHORIZED);
        for access in [&self.deleted_app_token, &self.token] {
            let request = server.request(Method::GET, &customers(&self.organization)).bearer_auth(access);
            assert_eq!(status(request).await, StatusCode::UNAUTHORIZED);
        }
        for session in [&self.refreshed, &self.signed_out] {
            assert_eq!(status(session.refresh(server)).await, StatusCode::UNAUTHORIZED);
            let me = server.request(Method::GET, "/api/users/me").bearer_auth(&session.token);
            assert_eq!(status(me).await, StatusCode::UNAUTHORIZED);
        }
        for person in [&self.forgetful, &self.closed] {
            let body = json!({"email": person.email, "password": PASSWORD});
            assert_eq!(status(server.request(Method::POST, "/api/auth/sign-in").json(&body)).await, StatusCode::UNAUTHORIZED);
        }

        // A key that signs may have been replaced since because others know it.
        assert_ne!(signing_key(server).await, self.signing_key);
        let token = server.sign_in(&self.organization.owner.email, None).await;
        let base = base(&self.organization);
        let read = |path: &str| server.request(Method::GET, &format!("{base}{path}")).bearer_auth(&token);
        for id in ["erased", "retired", "purged-1", "purged-2"] {
            assert_eq!(status(read(&format!("/customers/{id}"))).await, StatusCode::NOT_FOUND, "{id}");
        }
        for id in ["taken-back", "equipped", "stays"] {
            assert_eq!(status(read(&format!("/customers/{id}"))).await, StatusCode::OK, "{id}");
        }
        assert_eq!(status(read(&format!("/webhooks/{}", self.webhook))).await, StatusCode::NOT_FOUND);
        let accept = json!({"token": self.invitation.1});
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&token).json(&accept);
        assert_eq!(status(accept).await, StatusCode::NOT_FOUND);
        let off = expect(read(&format!("/webhooks/{}", self.switched_off)), StatusCode::OK).await;
        assert_eq!(off["isActive"], false, "{off}");
        let newcomer = server.sign_in(&self.used.0.email, None).await;
        let accept = json!({"token": self.used.1});
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&newcomer).json(&accept);
        assert_eq!(status(accept).await, StatusCode::NOT_FOUND);
        // What must stay does.
        let erase = server.request(Method::DELETE, &format!("{base}/customers/held")).bearer_auth(&token);
        assert_eq!(status(erase).await, StatusCode::CONFLICT);
        let devices = expect(read("/customers/equipped/devices"), StatusCode::OK).await;
        assert!(!devices.to_string().contains(&self.device), "{devices}");
        let members = expect(read("/members"), StatusCode::OK).await.to_string();
        assert!(!members.contains(&self.removed.0.email) && members.contains(&self.demoted.0.email), "{members}");
        let viewer = server.sign_in(&self.demoted.0.email, None).await;
        let invite = json!({"email": "somebody@example.com", "role": "member"});
        let invited = server.request(Method::POST, &format!("{base}/members/invite")).bearer_auth(&viewer).json(&invite);
        assert_eq!(status(invited).await, StatusCode::FORBIDDEN);
        let owner = server.sign_in(&self.deleted.owner.email, None).await;
        let inside = server.request(Method::GET, &self::base(&self.deleted)).bearer_auth(&owner);
        assert_eq!(status(inside).await, StatusCode::NOT_FOUND);
        let owner = server.sign_in(&self.archived.owner.email, None).await;
        let archived = expect(server.request(Method::GET, &self::base(&self.archived)).bearer_auth(&owner), StatusCode::OK).await;
        assert!(!archived["archivedAt"].is_null(), "{archived}");
        // The receipts are there again, with the ids they had.
        for (what, id) in deletions {
            let token = if *what == "organization" { server.sign_in(&self.deleted.owner.email, None).await } else { token.clone() };
            let record = server.wait_for_completion(id, &token).await;
            assert_eq!(record["id"], **id, "{what}");
        }
    }
}

/// The id of the key that signs tokens.
async fn signing_key(server: &Server) -> Json {
    let keys = expect(server.request(Method::GET, "/.well-known/jwks.json"), StatusCode::OK).await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    keys["keys"][0]["kid"].clone()
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

on_both_engines! {
    async fn a_backup_that_is_put_back_forgets_nothing_that_was_deleted_since(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let things = Things::make(&server).await;
        let (code, _, words) = server.command(&["backup", text(&file)]).await;
        assert_eq!(code, 0, "{words}");
        things.refreshed.refresh(&server).send().await.unwrap().error_for_status().unwrap();
        let deletions = things.end(&server).await;
        // The last answer is in the ledger, however the server ends.
        server.kill().await;
        let restored = server.start_restored(engine, &file).await;
        things.check(&restored, &deletions).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_put_back_forgets_nothing_that_was_deleted_since() {
    let mut server = Server::start(Engine::Sqlite, &[PUBLIC_URL]).await;
    let things = Things::make(&server).await;
    server.stop().await;
    let older = server.folder().join("older.db");
    std::fs::copy(server.database_file(), &older).unwrap();
    server.start_again().await;
    things.refreshed.refresh(&server).send().await.unwrap().error_for_status().unwrap();
    let deletions = things.end(&server).await;
    server.stop().await;
    std::fs::copy(&older, server.database_file()).unwrap();
    server.start_again().await;
    things.check(&server, &deletions).await;
    // Once more from the same state: what was put back once can be put back again.
    server.stop().await;
    std::fs::copy(&older, server.database_file()).unwrap();
    server.start_again().await;
    things.check(&server, &deletions).await;
}

on_both_engines! {
    async fn what_was_taken_back_and_deleted_again_stays_deleted(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = base(&organization);
        let at = |method: Method, path: &str| server.request(method, &format!("{base}{path}")).bearer_auth(token);
        for id in ["twice", "once"] {
            customer(&server, &organization, id).await;
        }
        let ask = async |days: u32| {
            let grace = json!({"customer": {"graceDays": days}});
            expect(at(Method::PUT, "/deletion-requirements").json(&grace), StatusCode::OK).await;
        };
        ask(7).await;
        let mut first = Vec::new();
        for id in ["twice", "once"] {
            first.push(deleted(at(Method::DELETE, &format!("/customers/{id}")), StatusCode::NO_CONTENT).await);
        }
        let (code, _, words) = server.command(&["backup", text(&file)]).await;
        assert_eq!(code, 0, "{words}");
        for deletion in &first {
            let restore = server.request(Method::POST, &format!("/api/deletions/{deletion}/restore")).bearer_auth(token);
            expect(restore, StatusCode::OK).await;
        }
        let second = deleted(at(Method::DELETE, "/customers/twice"), StatusCode::NO_CONTENT).await;
        server.kill().await;
        let restored = server.start_restored(engine, &file).await;
        let token = restored.sign_in(&organization.owner.email, None).await;
        let read = |path: &str| restored.request(Method::GET, path).bearer_auth(&token);
        assert_eq!(status(read(&format!("{base}/customers/twice"))).await, StatusCode::NOT_FOUND);
        expect(read(&format!("{base}/customers/once")), StatusCode::OK).await;
        let states = [&first[0], &first[1], &second].map(|id| format!("/api/deletions/{id}"));
        let mut seen = Vec::new();
        for path in &states {
            seen.push(expect(read(path), StatusCode::OK).await["state"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, ["restored", "restored", "reversible"]);
        let again = restored.request(Method::POST, &format!("/api/deletions/{second}/restore")).bearer_auth(&token);
        expect(again, StatusCode::OK).await;
        expect(read(&format!("{base}/customers/twice")), StatusCode::OK).await;
    }

    async fn a_server_that_was_killed_goes_on_with_everybody_signed_in(engine: Engine) {
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        customer(&server, &organization, "erased").await;
        let path = format!("{}/customers/erased", base(&organization));
        deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let (_, key) = server.new_api_key(&organization, token, &["read:customers"]).await;
        for _ in 0..3 {
            server.kill().await;
            server.start_again().await;
            let customers = format!("{}/customers", base(&organization));
            expect(server.request(Method::GET, &customers).bearer_auth(token), StatusCode::OK).await;
            expect(server.request(Method::GET, &customers).header("X-API-Key", &key), StatusCode::OK).await;
            expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        }
    }
}

/// What a server says that does not start.
async fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (code, out, words) = server.command(&[&["serve", "--listen=127.0.0.1:0"], arguments].concat()).await;
    assert_eq!((code, out.as_str()), (1, ""), "{words}");
    words
}

fn newest_file(server: &Server) -> PathBuf {
    let files = std::fs::read_dir(server.ledger_folder()).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "ndjson")).max().unwrap()
}

on_both_engines! {
    async fn a_database_is_not_served_without_its_own_ledger(engine: Engine) {
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        let path = format!("{}/customers/erased", base(&organization));
        for (id, path) in [("erased", path.clone()), ("then", format!("{}/customers/then", base(&organization)))] {
            customer(&server, &organization, id).await;
            deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        }
        server.stop().await;
        let folder = tempfile::tempdir().unwrap();
        let words = refusal(&server, &["--ledger", text(&folder.path().join("empty"))]).await;
        assert!(words.contains("is empty, though the database has one") && words.contains("--ledger none"), "{words}");
        let mut other = Server::start(engine, &[]).await;
        let words = refusal(&server, &["--ledger", text(&other.ledger_folder())]).await;
        assert!(words.contains("is in use by another freehold process"), "{words}");
        other.stop().await;
        let words = refusal(&server, &["--ledger", text(&other.ledger_folder())]).await;
        assert!(words.contains("is of another database"), "{words}");
        // A line that was being written is cut off; one that was changed is told.
        let file = newest_file(&server);
        let whole = std::fs::read_to_string(&file).unwrap();
        // Of lines that were written at once the disk may have taken the last ones first.
        let last = serde_json::from_str::<Json>(whole.lines().last().unwrap()).unwrap()["n"].as_u64().unwrap();
        let beat = |n: u64, synced: u64| json!({"synced": synced, "n": n, "at": "2026-01-01T00:00:00Z", "entry": {"what": "beat", "beat": 1}});
        let zeros = format!("\0\0\0\0:1}}\n{}\n\0\0{}\n", beat(last + 2, last), beat(last + 3, last));
        for torn in ["{\"n\":", &zeros] {
            std::fs::write(&file, format!("{whole}{torn}")).unwrap();
            server.start_again().await;
            server.stop().await;
            let left = std::fs::read_to_string(&file).unwrap();
            assert!(left.starts_with(&whole) && !left.contains('\0'), "{left}");
        }
        // A line that was answered, since lines were written after it was confirmed, is not cut off when it is zeros; nor is one without that.
        let first = whole.lines().nth(1).unwrap();
        for damaged in [whole.replacen(first, &"\0".repeat(first.len()), 1), format!("{whole}{}", zeros.replace("\"synced\"", "\"other\""))] {
            std::fs::write(&file, &damaged).unwrap();
            let words = refusal(&server, &[]).await;
            assert!(words.contains("has zeros before line") && words.contains("put back the file as it was"), "{words}");
            assert!(std::fs::read_to_string(&file).unwrap() == damaged, "a start that is refused changes nothing");
        }
        std::fs::write(&file, whole.replacen("\"what\"", "\"that\"", 1)).unwrap();
        let words = refusal(&server, &[]).await;
        assert!(words.contains("line 2 of") && words.contains("put back the file as it was"), "{words}");
        std::fs::write(&file, whole.lines().next().unwrap().to_owned() + "\n").unwrap();
        let words = refusal(&server, &[]).await;
        assert!(words.contains("is older than the database"), "{words}");
        // The operator decides to go on without.
        server.start_again_with(&["--ledger=none"]).await;
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
        server.stop().await;
        std::fs::remove_dir_all(server.ledger_folder()).unwrap();
        server.start_again().await;
        // A first start that was killed before there was a file is no lost ledger.
        server.stop().await;
        std::fs::remove_dir_all(server.ledger_folder()).unwrap();
        change_database(&server, "UPDATE ledger SET position = 0, beat = 0").await;
        server.start_again().await;
    }
}

#[tokio::test]
async fn on_postgresql_a_ledger_is_kept_where_one_is_named_and_never_forgotten_by_mistake() {
    let url = make_database().await;
    let folder = tempfile::tempdir().unwrap();
    let serve = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["operators", "remove", "--email", "nobody@example.com", "--database-url", &url]).args(arguments);
        let output = command.env_remove("FREEHOLD_LEDGER").current_dir(folder.path()).output().await.unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(serve(&[]).await.contains("Account not found"));
    assert!(!folder.path().join("data").exists());
    assert!(serve(&["--ledger", "ledger"]).await.contains("Account not found"));
    assert!(folder.path().join("ledger").exists());
    let words = serve(&[]).await;
    assert!(words.contains("name its folder with --ledger"), "{words}");
    assert!(serve(&["--ledger", "none"]).await.contains("Account not found"));
    assert!(serve(&[]).await.contains("Account not found"));
}

on_both_engines! {
    async fn the_ledger_holds_nothing_about_a_person(server: Server) {
        let things = Things::make(&server).await;
        things.end(&server).await;
        let mut all = String::new();
        for file in std::fs::read_dir(server.ledger_folder()).unwrap() {
            all.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
        }
        for personal in ["example.com", "Ada", "Person", "Laptop", &things.organization.slug, "erased", &things.revoked.1, PASSWORD] {
            assert!(!all.contains(personal), "{personal} in {all}");
        }
        let lines: Vec<Json> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: std::collections::BTreeSet<&str> = lines.iter().filter_map(|line| line["entry"]["what"].as_str()).collect();
        // Whatever can be deleted was deleted here, and so put back and looked at above.
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        let roots = document["components"]["schemas"]["DeletionRoot"]["enum"].as_array().unwrap();
        assert!(roots.len() >= 11, "{roots:?}");
        for root in roots {
            assert!(lines.iter().any(|line| line["entry"]["root"] == *root), "{root}");
        }
        let expected = ["archived", "beat", "changed", "ordered", "removed", "restored", "role"];
        assert!(expected.iter().all(|what| told.contains(what)), "{told:?}");
    }
}
