//! Secrets in the database: those who have it or a backup of it cannot use them without the key, and a key that is not the right one is
//! told at the start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Method, StatusCode};
use tokio::process::Command;

use crate::encrypted::{decrypted, kept, signing_keys};
use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Organization, Server, expect, make_database};
use crate::webhooks::receiver::Receiver;
use crate::webhooks::{ALLOW, listen};

/// A webhook that has been given a second secret.
struct Hook {
    organization: Organization,
    path: String,
    secrets: [String; 2],
    receiver: Receiver,
}

impl Hook {
    async fn hang(server: &Server) -> Hook {
        let organization = server.new_organization().await;
        let receiver = Receiver::open(&[]).await;
        let (webhook, first) = listen(server, &organization, &receiver.url).await;
        let path = format!("/api/organizations/{}/webhooks/{webhook}", organization.id);
        let rotate = server.request(Method::POST, &format!("{path}/rotate")).bearer_auth(&organization.owner.token);
        let second = expect(rotate, StatusCode::OK).await["secret"].as_str().unwrap().to_owned();
        Hook { organization, path, secrets: [first, second], receiver }
    }

    /// Tells it something, which is the delivery of this number, and finds it signed with both secrets.
    async fn still_signs(&self, server: &Server, times: usize) {
        let token = server.sign_in(&self.organization.owner.email, None).await;
        expect(server.request(Method::POST, &format!("{}/test", self.path)).bearer_auth(token), StatusCode::ACCEPTED).await;
        let received = self.receiver.events("webhook.test", times).await.pop().unwrap();
        self.secrets.iter().for_each(|secret| received.verify(secret));
    }

    /// The bytes that must not be found: its secrets, and the private part of each signing key.
    async fn secrets(&self, server: &Server) -> Vec<Vec<u8>> {
        let own = self.secrets.iter().map(|secret| BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        // PKCS #8 of P-256: after a head of 36 bytes the 32 of the private key (RFC 5958, RFC 5915).
        let keys = signing_keys(server).await.into_iter().map(|document| document[36..68].to_vec());
        own.chain(keys).collect()
    }
}

/// Everything of a database: the files of the embedded one, all rows of the other.
async fn everything(server: &Server) -> Vec<u8> {
    match Store::open(server).await {
        Store::Sqlite(_) => {
            let folder = server.database_file().parent().unwrap().to_owned();
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
            files.filter(|path| *path != server.key_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
        }
        Store::Postgresql(client) => {
            let mut all = Vec::new();
            for query in ["SELECT secret, old_secret FROM webhooks", "SELECT private_key, NULL::bytea FROM signing_keys"] {
                for row in client.query(query, &[]).await.unwrap() {
                    all.extend(row.get::<_, Vec<u8>>(0));
                    all.extend(row.get::<_, Option<Vec<u8>>>(1).unwrap_or_default());
                }
            }
            all
        }
    }
}

fn holds(all: &[u8], secret: &[u8]) -> bool {
    assert_eq!(secret.len(), 32);
    all.windows(32).any(|window| window == secret)
}

/// What a server says that does not start.
async fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (code, out, words) = server.command(&[&["serve", "--listen=127.0.0.1:0"], arguments].concat()).await;
    assert_eq!((code, out.as_str()), (1, ""), "{words}");
    words
}

async fn key_id(server: &Server) -> String {
    let query = match server.engine {
        Engine::Sqlite => "SELECT lower(hex(id)) FROM secret_keys",
        Engine::Postgresql => "SELECT encode(id, 'hex') FROM secret_keys",
    };
    let [[id]] = Store::open(server).await.texts::<1>(query).await.try_into().unwrap();
    id
}

fn new_key(byte: u8) -> String {
    BASE64.encode([byte; 32])
}

on_both_engines! {
    async fn no_usable_secret_is_in_the_database(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let hook = Hook::hang(&server).await;
        hook.still_signs(&server, 1).await;
        server.stop().await;
        let secrets = hook.secrets(&server).await;
        assert_eq!(secrets.len(), 3);
        let all = everything(&server).await;
        assert!(!secrets.iter().any(|secret| holds(&all, secret)));
        // The search finds what is there, and what is there is what was handed out.
        let [(id, secret)] = kept(&server, "SELECT id, secret FROM webhooks").await.try_into().unwrap();
        assert!(holds(&all, &secret[secret.len() - 32..]));
        assert_eq!(decrypted(&server, "webhooks", &id, &secret), secrets[1]);
        let backup = server.folder().join("backup.db");
        assert_eq!(server.command(&["backup", backup.to_str().unwrap()]).await.0, 0);
        let all = std::fs::read(&backup).unwrap();
        assert!(!secrets.iter().any(|secret| holds(&all, secret)));
        assert!(holds(&all, &secret[secret.len() - 32..]));
        let (code, found, _) = server.doctor(&[]).await;
        assert_eq!(code, 0, "{found}");
        server.start_again().await;
        hook.still_signs(&server, 2).await;
    }

    async fn a_server_without_the_right_key_does_not_start_and_says_which_it_needs(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let hook = Hook::hang(&server).await;
        server.stop().await;
        let id = key_id(&server).await;
        let right = std::fs::read_to_string(server.key_file()).unwrap();
        std::fs::write(server.key_file(), new_key(1)).unwrap();
        let other = server.folder().join("other.key");
        std::fs::write(&other, new_key(2)).unwrap();
        let named = format!("--secret-key-file={}", other.display());
        for arguments in [&[][..], &[named.as_str()]] {
            let words = refusal(&server, arguments).await;
            assert!(words.contains(&id) && words.contains("--secret-key-file") && words.contains("FREEHOLD_SECRET_KEY"), "{words}");
            assert!(!words.contains(&new_key(1)) && !words.contains(&new_key(2)), "{words}");
        }
        std::fs::remove_file(server.key_file()).unwrap();
        let words = refusal(&server, &[]).await;
        assert!(words.contains(&id) && words.contains("there is no "), "{words}");
        assert!(!server.key_file().exists(), "no new key is made where an old one is missing");
        for (text, wanted) in [("hunter2", "openssl rand -base64 32"), ("", "there is no key in it")] {
            std::fs::write(&other, text).unwrap();
            let words = refusal(&server, &[&named]).await;
            assert!(words.contains(wanted) && words.contains("other.key") && !words.contains("hunter2"), "{words}");
        }
        assert!(refusal(&server, &[&named, "--secret-key=hunter2"]).await.contains("in one way"));
        // Whatever opens the database.
        let (code, _, words) = server.command(&["operators", "list"]).await;
        assert!(code == 1 && words.contains(&id), "{words}");

        std::fs::write(&other, &right).unwrap();
        server.start_again_with(&[&named]).await;
        hook.still_signs(&server, 1).await;
    }

    async fn a_key_is_rotated_by_a_new_one_before_it(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let hook = Hook::hang(&server).await;
        server.stop().await;
        let (before, old) = (key_id(&server).await, std::fs::read_to_string(server.key_file()).unwrap());
        std::fs::write(server.key_file(), format!("# since today\n{}\n{old}", new_key(3))).unwrap();
        server.start_again().await;
        hook.still_signs(&server, 1).await;
        server.stop().await;
        assert_ne!(key_id(&server).await, before);
        std::fs::write(server.key_file(), &old).unwrap();
        assert!(refusal(&server, &[]).await.contains(&key_id(&server).await));
        std::fs::write(server.key_file(), new_key(3)).unwrap();
        server.start_again().await;
        hook.still_signs(&server, 2).await;
    }

    async fn what_is_from_before_there_was_a_key_is_found_by_the_doctor_and_encrypted_at_the_start(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let hook = Hook::hang(&server).await;
        server.stop().await;
        let bytes = |bytes: &[u8]| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            match engine {
                Engine::Sqlite => format!("x'{hex}'"),
                Engine::Postgresql => format!("'\\x{hex}'"),
            }
        };
        let [old, present, _] = hook.secrets(&server).await.try_into().unwrap();
        let document = signing_keys(&server).await.pop().unwrap();
        let store = Store::open_to_change(&server).await;
        let (present, old, document) = (bytes(&present), bytes(&old), bytes(&document));
        store
            .run(&format!(
                "UPDATE webhooks SET secret = {present}, old_secret = {old};
                 UPDATE signing_keys SET private_key = {document}; DELETE FROM secret_keys"
            ))
            .await;
        drop(store);
        let secrets = hook.secrets_of_before(&server).await;
        let all = everything(&server).await;
        assert!(secrets.iter().all(|secret| holds(&all, secret)), "the search finds them");
        let (code, found, _) = server.doctor(&[]).await;
        assert!(code == 1 && found.contains("FOUND    secrets") && found.contains("--secret-key-file"), "{found}");

        server.start_again().await;
        hook.still_signs(&server, 1).await;
        server.stop().await;
        let all = everything(&server).await;
        assert!(!secrets.iter().any(|secret| holds(&all, secret)));
        let (code, found, _) = server.doctor(&[]).await;
        assert_eq!(code, 0, "{found}");
    }
}

on_both_engines! {
    async fn a_key_that_is_lost_costs_what_it_encrypted_and_nothing_else(engine: Engine) {
        let mut server = Server::start(engine, &[ALLOW]).await;
        let mut hook = Hook::hang(&server).await;
        server.stop().await;
        std::fs::write(server.key_file(), new_key(6)).unwrap();
        // As the operating guide says.
        Store::open_to_change(&server).await.run("DELETE FROM signing_keys; DELETE FROM secret_keys").await;
        server.start_again().await;
        let token = server.sign_in(&hook.organization.owner.email, None).await;
        let test = server.request(Method::POST, &format!("{}/test", hook.path)).bearer_auth(&token);
        expect(test, StatusCode::ACCEPTED).await;
        let path = format!("{}/deliveries", hook.path);
        let told = loop {
            let page = expect(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
            let newest = page["data"][0].clone();
            if newest["state"] == "failed" {
                break newest;
            }
            // The record is the event.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(told["error"], "the webhook's secret cannot be read: rotate it");
        server.stop().await;
        let (code, found, _) = server.doctor(&[]).await;
        assert!(code == 1 && found.contains("1 in webhooks") && found.contains("webhooks rotate ID --overlap 0"), "{found}");
        // A new key does not stumble over what was given up.
        std::fs::write(server.key_file(), [new_key(7), new_key(6)].join("\n")).unwrap();
        server.start_again().await;
        let token = server.sign_in(&hook.organization.owner.email, None).await;
        let rotate = server.request(Method::POST, &format!("{}/rotate?overlap_hours=0", hook.path)).bearer_auth(&token);
        let secret = expect(rotate, StatusCode::OK).await["secret"].as_str().unwrap().to_owned();
        hook.secrets = [secret.clone(), secret];
        hook.still_signs(&server, 1).await;
        server.stop().await;
        assert_eq!(server.doctor(&[]).await.0, 0);
    }
}

impl Hook {
    /// The same where they are not encrypted.
    async fn secrets_of_before(&self, server: &Server) -> Vec<Vec<u8>> {
        let own = self.secrets.iter().map(|secret| BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let keys =
            kept(server, "SELECT id, private_key FROM signing_keys").await.into_iter().map(|(_, document)| document[36..68].to_vec());
        own.chain(keys).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_an_embedded_database_is_made_beside_it_for_its_user_alone() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&server.key_file()), 0o600);
    let log = server.log();
    assert!(log.contains("secret.key") && log.contains("not with the backups"), "{log}");
    assert!(!log.contains(std::fs::read_to_string(server.key_file()).unwrap().trim()), "{log}");
    server.stop().await;
    std::fs::set_permissions(server.key_file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    server.start_again().await;
    assert_eq!(mode(&server.key_file()), 0o600);
}

/// A server on a PostgreSQL database, with nothing but its address, and this key.
async fn starts(url: &str, folder: &Path, key: Option<&str>) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
    command.args(["serve", "--listen=127.0.0.1:0", "--data"]).arg(folder).arg("--database-url").arg(url);
    command.env("RUST_LOG", "warn").envs(key.map(|key| ("FREEHOLD_SECRET_KEY", key))).kill_on_drop(true);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let has_started = lines.next_line().await.unwrap().is_some();
    if has_started {
        let id = child.id().unwrap().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().await.unwrap().success());
    }
    let output = child.wait_with_output().await.unwrap();
    (has_started, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_a_key_is_named_and_until_then_the_server_and_the_doctor_say_so() {
    let (url, folder) = (make_database().await, tempfile::tempdir().unwrap());
    let doctor = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        let output = command.args(["doctor", "--database-url", &url]).output().await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (has_started, words) = starts(&url, folder.path(), None).await;
    assert!(has_started && words.contains("not encrypted") && words.contains("--secret-key-file"), "{words}");
    assert!(!folder.path().join("secret.key").exists(), "the disk of a server beside PostgreSQL may be gone tomorrow");
    let (code, found) = doctor().await;
    assert!(code == 1 && found.contains("FOUND    secrets") && found.contains("FREEHOLD_SECRET_KEY"), "{found}");
    let (has_started, words) = starts(&url, folder.path(), Some(&new_key(4))).await;
    assert!(has_started && !words.contains("not encrypted"), "{words}");
    let (code, found) = doctor().await;
    assert_eq!(code, 0, "{found}");
    for key in [None, Some(""), Some(new_key(5).as_str())] {
        let (has_started, words) = starts(&url, folder.path(), key).await;
        assert!(!has_started && words.contains("FREEHOLD_SECRET_KEY") && !words.contains(&new_key(5)), "{words}");
    }
}
