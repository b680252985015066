//! What the ledger tells beside deletions and keys: who may see a customer, what is asked of those who delete, with what webhooks are signed; and
//! that no line is lost while its disk is full, nor by a kill then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, PASSWORD, Person, Server, expect, header};
use crate::tools::{change_database, deleted, entries, new_customer};

/// Tokens are of an address, and the port is another after each start.
const PUBLIC_URL: &str = "--public-url=http://localhost:3001";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub async fn back_up(server: &Server, file: &Path) {
    let (code, _, words) = server.command(&["backup", text(file)]).await;
    assert_eq!(code, 0, "{words}");
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

/// The requests of one person to one organization.
struct Calls<'a> {
    server: &'a Server,
    base: String,
    token: String,
}

impl<'a> Calls<'a> {
    fn new(server: &'a Server, organization: &Organization, token: &str) -> Calls<'a> {
        Calls { server, base: format!("/api/organizations/{}", organization.id), token: token.to_owned() }
    }

    fn at(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, &format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    async fn put(&self, path: &str, body: Json) -> Json {
        expect(self.at(Method::PUT, path).json(&body), StatusCode::OK).await
    }

    async fn post(&self, path: &str, body: Json, status: StatusCode) -> Json {
        let request = self.at(Method::POST, path);
        expect(if body.is_null() { request } else { request.json(&body) }, status).await
    }
}

on_both_engines! {
    async fn a_restored_state_asks_and_shows_and_signs_as_it_was_last(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        let (second, _) = server.new_member(&organization, "owner").await;
        let (reseller, manager) = server.new_member(&organization, "reseller").await;
        let (other, other_manager) = server.new_member(&organization, "reseller").await;
        let owner = Calls::new(&server, &organization, &organization.owner.token);
        for customer in ["handed-over", "taken", "put-away", "back", "approved", "left-alone"] {
            let managed_by = matches!(customer, "handed-over" | "taken").then_some(manager.as_str());
            new_customer(&server, &organization, customer, managed_by).await;
            server.new_dependant(&organization, customer, "devices", json!({"name": "Laptop"})).await;
        }
        let mut webhooks = Vec::new();
        for _ in 0..4 {
            let body = json!({"url": "https://example.com/hook", "events": ["customer.updated"]});
            webhooks.push(owner.post("/webhooks", body, StatusCode::CREATED).await["id"].as_str().unwrap().to_owned());
        }
        let [rotated, ended, kept, untouched] = webhooks.try_into().unwrap();
        for webhook in [&ended, &kept] {
            owner.post(&format!("/webhooks/{webhook}/rotate"), Json::Null, StatusCode::OK).await;
        }
        let mut own = Vec::new();
        for _ in 0..2 {
            let body = json!({"name": "Mine", "scopes": ["read:user"]});
            own.push(expect(server.request(Method::POST, "/api/users/me/api-keys").bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await);
        }
        let seconds = Calls::new(&server, &organization, &second.token);
        let approval = seconds.post("/customers/approved/deletion-approvals", json!({}), StatusCode::CREATED).await;
        back_up(&server, &file).await;

        owner.put("/customers/handed-over", json!({"managedBy": other_manager})).await;
        owner.put("/customers/taken", json!({"managedBy": null})).await;
        for customer in ["put-away", "back"] {
            owner.post(&format!("/customers/{customer}/archive"), Json::Null, StatusCode::OK).await;
        }
        owner.post("/customers/back/unarchive", Json::Null, StatusCode::OK).await;
        owner.post(&format!("/webhooks/{rotated}/rotate?overlap_hours=0"), Json::Null, StatusCode::OK).await;
        expect(owner.at(Method::DELETE, &format!("/webhooks/{ended}/old-secret")), StatusCode::NO_CONTENT).await;
        let off = server.request(Method::PATCH, &format!("/api/users/me/api-keys/{}", own[0]["id"].as_str().unwrap()));
        expect(off.bearer_auth(&owner.token).json(&json!({"isActive": false})), StatusCode::OK).await;
        let withdraw = format!("/deletion-approvals/{}", approval["id"].as_str().unwrap());
        expect(owner.at(Method::DELETE, &withdraw), StatusCode::NO_CONTENT).await;
        let asked = json!({"customer": {"approvalRequired": true, "graceDays": 7}, "member": {"reasonRequired": true}});
        owner.put("/deletion-requirements", asked.clone()).await;
        let asked = expect(owner.at(Method::GET, "/deletion-requirements"), StatusCode::OK).await;
        server.kill().await;

        let restored = server.start_restored(engine, &file).await;
        for (key, status) in [(&own[0], StatusCode::UNAUTHORIZED), (&own[1], StatusCode::OK)] {
            let me = restored.request(Method::GET, "/api/users/me").header("X-API-Key", key["key"].as_str().unwrap());
            assert_eq!(self::status(me).await, status);
        }
        let owner = Calls::new(&restored, &organization, &restored.sign_in(&organization.owner.email, None).await);
        let mut again = expect(owner.at(Method::GET, "/deletion-requirements"), StatusCode::OK).await;
        again["updatedAt"].clone_from(&asked["updatedAt"]);
        assert_eq!(again, asked);
        // Neither the withdrawn approval nor the requirement's absence lets it go.
        for customer in ["approved", "left-alone"] {
            let refusal = expect(owner.at(Method::DELETE, &format!("/customers/{customer}")), StatusCode::CONFLICT).await;
            assert_eq!(refusal["blockers"][0]["code"], "approval_required", "{refusal}");
        }
        assert_eq!(entries(&restored, &format!("{}/deletion-approvals", owner.base), &owner.token).await, Vec::<Json>::new());
        for (webhook, is_active) in [(&rotated, false), (&ended, false), (&kept, true), (&untouched, true)] {
            let read = expect(owner.at(Method::GET, &format!("/webhooks/{webhook}")), StatusCode::OK).await;
            assert_eq!(read["isActive"], is_active, "{read}");
        }
        for (person, seen) in [(&reseller, [false, false]), (&other, [true, false])] {
            let theirs = Calls::new(&restored, &organization, &restored.sign_in(&person.email, None).await);
            for (customer, is_seen) in ["handed-over", "taken"].into_iter().zip(seen) {
                let expected = if is_seen { StatusCode::OK } else { StatusCode::FORBIDDEN };
                assert_eq!(status(theirs.at(Method::GET, &format!("/customers/{customer}"))).await, expected, "{customer}");
            }
        }
        for (customer, is_archived, devices) in [("put-away", true, 0), ("back", false, 0), ("left-alone", false, 1)] {
            let read = expect(owner.at(Method::GET, &format!("/customers/{customer}")), StatusCode::OK).await;
            assert_eq!(!read["archivedAt"].is_null(), is_archived, "{read}");
            let path = format!("{}/customers/{customer}/devices", owner.base);
            assert_eq!(entries(&restored, &path, &owner.token).await.len(), devices, "{customer}");
        }
    }

    async fn customers_that_a_purge_had_deleted_before_a_kill_stay_deleted_in_a_restored_state(engine: Engine) {
        const MANY: usize = 400;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let organization = server.new_organization().await;
        for number in 0..MANY {
            new_customer(&server, &organization, &format!("customer-{number:03}"), None).await;
        }
        back_up(&server, &file).await;
        let owner = Calls::new(&server, &organization, &organization.owner.token);
        let purge = owner.at(Method::POST, &format!("/customers:purge?force=true&count={MANY}")).json(&json!({"filter": {"all": true}}));
        let purge = deleted(purge, StatusCode::ACCEPTED).await;
        let outcomes = format!("/api/deletions/{purge}/items?outcome=deleted");
        let mut gone = Vec::new();
        while gone.is_empty() {
            gone = entries(&server, &outcomes, &owner.token).await;
        }
        // Each of them has a line on the disk before it is shown.
        let of_customers = |line: &Json| line["entry"]["what"] == "ordered" && line["entry"]["root"] != "customer_purge";
        let told = |folder: &Path| -> BTreeSet<String> {
            lines(folder).iter().filter(|line| of_customers(line)).map(|line| line["entry"]["subject"].as_str().unwrap().to_owned()).collect()
        };
        let shown: BTreeSet<String> = gone.iter().map(|item| item["subjectId"].as_str().unwrap().to_owned()).collect();
        assert!(shown.is_subset(&told(&server.ledger_folder())), "{shown:?}");
        server.kill().await;
        let restored = server.start_restored(engine, &file).await;
        let told = told(&restored.ledger_folder());
        let owner = Calls::new(&restored, &organization, &restored.sign_in(&organization.owner.email, None).await);
        let left = expect(owner.at(Method::GET, "/customers?page_size=1"), StatusCode::OK).await;
        assert_eq!(left["pagination"]["totalCount"].as_u64().unwrap() as usize, MANY - told.len());
    }
}

/// The whole lines of a ledger: its server may be writing the next one.
pub fn lines(folder: &Path) -> Vec<Json> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
    files.sort();
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A disk of its own for a ledger. It goes with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> SmallDisk {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"]).arg(folder.path()).status();
        assert!(mount.unwrap().success(), "a disk that can be filled is mounted by root: run the tests as root, in a container if need be");
        SmallDisk(folder)
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    /// Leaves no byte.
    fn fill(&self) {
        use std::io::Write;
        let mut filler = std::fs::File::options().create(true).append(true).open(self.0.path().join("filler")).unwrap();
        while filler.write(&[0; 4_096]).is_ok_and(|written| written > 0) {}
        while filler.write(&[0]).is_ok_and(|written| written > 0) {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

on_both_engines! {
    async fn no_line_is_lost_while_the_disk_of_the_ledger_is_full_nor_by_a_kill_then(engine: Engine) {
        let disk = SmallDisk::mount();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let ledger = format!("--ledger={}", text(&disk.ledger()));
        let mut server = Server::start(engine, &[PUBLIC_URL, &ledger]).await;
        let organization = server.new_organization().await;
        for customer in ["gone", "sent-again", "held"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let (_, restless) = server.new_member(&organization, "viewer").await;
        let (demoted, membership) = server.new_member(&organization, "admin").await;
        let owner = Calls::new(&server, &organization, &organization.owner.token);
        let (key, secret) = server.new_api_key(&organization, &owner.token, &["read:customers"]).await;
        let invited = server.new_person().await;
        let invite = owner.post("/members/invite", json!({"email": invited.email, "role": "viewer"}), StatusCode::CREATED).await;
        back_up(&server, &file).await;
        disk.fill();
        // What is left of the file's last page takes a few lines.
        for turn in 0.. {
            assert!(turn < 100, "the disk is not full");
            let role = if turn % 2 == 0 { "member" } else { "viewer" };
            let change = owner.at(Method::PUT, &format!("/members/{restless}/role")).json(&json!({"role": role})).send().await.unwrap();
            if change.status() != StatusCode::OK {
                assert_eq!(change.status(), StatusCode::SERVICE_UNAVAILABLE);
                break;
            }
        }
        let demote = owner.at(Method::PUT, &format!("/members/{membership}/role")).json(&json!({"role": "viewer"}));
        let hold = owner.at(Method::POST, "/customers/held/holds").json(&json!({"reason": "A court asks."}));
        let erase = owner.at(Method::DELETE, "/customers/gone").send();
        let again = || owner.at(Method::DELETE, "/customers/sent-again").header("Idempotency-Key", "once-and-for-all");
        let (demoted_answer, hold, erase, once) =
            tokio::join!(expect(demote, StatusCode::SERVICE_UNAVAILABLE), expect(hold, StatusCode::SERVICE_UNAVAILABLE), erase, again().send());
        for words in [&demoted_answer, &hold] {
            assert!(words["detail"].as_str().unwrap().starts_with("It is done"), "{words}");
        }
        // Access has ended all the same, and the deletion can be looked at.
        let (erase, once) = (erase.unwrap(), once.unwrap());
        assert_eq!((erase.status(), once.status()), (StatusCode::SERVICE_UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE));
        let deletion = format!("/api/deletions/{}", header(&erase, "deletion-id"));
        expect(server.request(Method::GET, &deletion).bearer_auth(&owner.token), StatusCode::OK).await;
        assert_eq!(status(owner.at(Method::GET, "/customers/gone")).await, StatusCode::NOT_FOUND);
        // What would be lost with its answer is not begun.
        let rotate = expect(owner.at(Method::POST, &format!("/api-keys/{key}/rotate")).json(&json!({})), StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(rotate["detail"].as_str().unwrap().contains("nothing was changed"), "{rotate}");
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&invited.token);
        let accept = expect(accept.json(&json!({"token": invite["token"]})), StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(accept["detail"].as_str().unwrap().contains("nothing was changed"), "{accept}");
        let customers = server.request(Method::GET, &format!("{}/customers", owner.base)).header("X-API-Key", &secret);
        assert_eq!(status(customers).await, StatusCode::OK);
        let password = json!({"currentPassword": PASSWORD, "newPassword": "umbrella-supplies-1"});
        let change = server.request(Method::POST, "/api/users/me/password").bearer_auth(&demoted.token).json(&password);
        expect(change, StatusCode::SERVICE_UNAVAILABLE).await;
        let Person { email, .. } = demoted;
        server.sign_in(&email, None).await;

        server.kill().await;
        server.start_again().await;
        disk.empty();
        // The answer was kept, and is given when the ledger has its line.
        let owner = Calls::new(&server, &organization, &organization.owner.token);
        let again = owner.at(Method::DELETE, "/customers/sent-again").header("Idempotency-Key", "once-and-for-all");
        expect(again, StatusCode::NO_CONTENT).await;
        let told = lines(&disk.ledger());
        let has = |what: &str, field: &str, id: &str| told.iter().any(|line| line["entry"]["what"] == what && line["entry"][field] == id);
        assert!(has("role", "member", &membership) && has("ordered", "deletion", header(&erase, "deletion-id")), "{told:?}");
        assert!(has("ordered", "deletion", header(&once, "deletion-id")), "{told:?}");
        assert!(told.iter().any(|line| line["entry"]["what"] == "held"), "{told:?}");
        let numbers: Vec<u64> = told.iter().filter_map(|line| line["n"].as_u64()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        server.kill().await;

        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(server.ledger_folder()).unwrap();
        let restored = server.start_restored(engine, &file).await;
        let owner = Calls::new(&restored, &organization, &restored.sign_in(&organization.owner.email, None).await);
        for customer in ["gone", "sent-again"] {
            assert_eq!(status(owner.at(Method::GET, &format!("/customers/{customer}"))).await, StatusCode::NOT_FOUND, "{customer}");
        }
        expect(owner.at(Method::DELETE, "/customers/held"), StatusCode::CONFLICT).await;
        let viewer = Calls::new(&restored, &organization, &restored.sign_in(&email, None).await);
        let invite = viewer.at(Method::POST, "/members/invite").json(&json!({"email": "ada@example.com", "role": "member"}));
        expect(invite, StatusCode::FORBIDDEN).await;
    }

    async fn what_was_kept_back_undoes_no_later_line_at_a_restart_nor_in_a_restored_state(engine: Engine) {
        let folder = tempfile::tempdir().unwrap();
        let (before, between) = (folder.path().join("before.db"), folder.path().join("between.db"));
        let mut server = Server::start(engine, &[PUBLIC_URL]).await;
        let first = server.new_operator().await;
        let eve = server.new_person().await;
        let organization = server.new_organization().await;
        let owner = Calls::new(&server, &organization, &organization.owner.token);
        back_up(&server, &before).await;
        let operators = |server: &Server, token: &str| server.request(Method::GET, "/api/operator/operators").bearer_auth(token);
        let add = server.request(Method::POST, "/api/operator/operators").bearer_auth(&first.token);
        let added = expect(add.json(&json!({"email": eve.email, "reason": "on call"})), StatusCode::CREATED).await;
        let id = added["id"].as_str().unwrap();
        let (weak, strong) = (json!({"customer": {"graceDays": 1}}), json!({"customer": {"graceDays": 7}}));
        owner.put("/deletion-requirements", weak).await;
        back_up(&server, &between).await;
        let dismiss = server.request(Method::DELETE, &format!("/api/operator/operators/{id}?reason=left")).bearer_auth(&first.token);
        assert_eq!(status(dismiss).await, StatusCode::NO_CONTENT);
        owner.put("/deletion-requirements", strong).await;
        server.kill().await;
        // As a commit leaves them whose outcome was not known.
        let told = lines(&server.ledger_folder());
        let first_of = |what: &str| told.iter().find(|line| line["entry"]["what"] == what).unwrap_or_else(|| panic!("{what}: {told:?}"));
        for (number, what) in ["operator", "asked"].into_iter().enumerate() {
            let entry = &first_of(what)["entry"];
            let (at, id) = match engine {
                Engine::Sqlite => ("1000000", format!("x'0190000000007000800000000000000{number}'")),
                Engine::Postgresql => ("'1970-01-01T00:00:01Z'", format!("'01900000-0000-7000-8000-00000000000{number}'")),
            };
            change_database(&server, &format!("INSERT INTO ledger_lines (id, at, entry) VALUES ({id}, {at}, '{entry}')")).await;
        }
        server.start_again().await;
        server.kill().await;
        server.start_again().await;
        let told = lines(&server.ledger_folder());
        assert_eq!(told.iter().filter(|line| line["entry"]["what"] == "operator").count(), 3, "{told:?}");
        let restored = [server.start_restored(engine, &before).await, server.start_restored(engine, &between).await];
        for server in [&server, &restored[0], &restored[1]] {
            let token = server.sign_in(&eve.email, None).await;
            assert_eq!(status(operators(server, &token)).await, StatusCode::FORBIDDEN);
            let owner = Calls::new(server, &organization, &server.sign_in(&organization.owner.email, None).await);
            let asked = expect(owner.at(Method::GET, "/deletion-requirements"), StatusCode::OK).await;
            assert_eq!(asked["customer"]["graceDays"], 7, "{asked}");
        }
    }
}
