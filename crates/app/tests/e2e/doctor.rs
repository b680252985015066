//! `freehold doctor`: nothing on a sound database, and each defect that is planted behind the server's back with its place and its remedy.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{answered, change_database, deleted, new_customer};

/// A moment long ago, as SQL.
fn long_ago(server: &Server) -> &'static str {
    match server.engine {
        Engine::Sqlite => "1000000",
        Engine::Postgresql => "'1970-01-01T00:00:01Z'",
    }
}

/// SQL that removes rows without what hangs on them.
fn without_cascade(server: &Server, statement: &str) -> String {
    match server.engine {
        Engine::Sqlite => format!("PRAGMA foreign_keys = OFF; {statement}"),
        Engine::Postgresql => format!("SET session_replication_role = replica; {statement}"),
    }
}

/// A demo server that has deleted one of everything that leaves a receipt, and is stopped.
async fn well_used(server: &mut Server) -> Organization {
    let organization = server.new_organization().await;
    let token = &organization.owner.token;
    for customer in ["erased", "retired", "kept"] {
        new_customer(server, &organization, customer, None).await;
        server.new_dependant(&organization, customer, "devices", json!({"name": "Laptop"})).await;
    }
    let hook = server.request(Method::POST, &format!("/api/organizations/{}/webhooks", organization.id)).bearer_auth(token);
    expect(hook.json(&json!({"url": "http://127.0.0.1:9/", "events": ["customer.created"]})), StatusCode::CREATED).await;
    let completed = deleted(server.request(Method::DELETE, "/customer/erased?hard=true").bearer_auth(token), StatusCode::OK).await;
    server.wait_for_completion(&completed, token).await;
    let completed = deleted(server.request(Method::DELETE, "/customer/retired").bearer_auth(token), StatusCode::OK).await;
    server.wait_for_completion(&completed, token).await;
    let made = server.request(Method::POST, &format!("/api/organizations/{}/customers", organization.id)).bearer_auth(token);
    let made = made.header("Idempotency-Key", "doctor-1").json(&json!({"id": "late", "name": "Ada", "email": "ada@example.com"}));
    answered(made, StatusCode::CREATED).await;
    server.stop().await;
    organization
}

/// The findings of one check, from the JSON document; no other check has any but those named.
async fn findings(server: &Server, check: &str, others: &[&str]) -> Vec<Json> {
    let (code, out, err) = server.doctor(&["--json"]).await;
    assert_eq!(code, 1, "{check}: {out}{err}");
    let document: Json = serde_json::from_str(&out).unwrap();
    let mut found = Vec::new();
    for result in document["checks"].as_array().unwrap() {
        let these = result["findings"].as_array().unwrap();
        if result["check"] == check {
            found.clone_from(these);
        } else if !others.contains(&result["check"].as_str().unwrap()) {
            assert!(these.is_empty(), "{check}: {result}");
        }
    }
    assert!(!found.is_empty(), "{check}: {out}");
    for finding in &found {
        assert!(finding["rows"].as_i64().unwrap() > 0 && finding["sample"].as_array().unwrap().len() <= 5, "{finding}");
        assert!(!finding["remedy"].as_str().unwrap().is_empty() && !finding["what"].as_str().unwrap().is_empty(), "{finding}");
    }
    // People are told the same.
    let (code, out, _) = server.doctor(&[]).await;
    let remedy = found[0]["remedy"].as_str().unwrap();
    assert!(code == 1 && out.contains(&format!("FOUND    {check}")) && out.contains(remedy), "{out}");
    found
}

/// Does what a remedy says, as it is when it is pasted.
fn paste(command: &str) {
    assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

async fn is_sound(server: &Server) {
    let (code, out, err) = server.doctor(&[]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.ends_with("Nothing was found.\n"), "{out}");
}

async fn start(engine: Engine) -> Server {
    Server::start(engine, &["--demo", "--webhook-allow=127.0.0.0/8"]).await
}

on_both_engines! {
    async fn what_waits_or_is_kept_rightly_is_not_found(engine: Engine) {
        let mut server = start(engine).await;
        let organization = server.new_organization().await;
        let token = organization.owner.token.clone();
        let base = format!("/api/organizations/{}", organization.id);
        // An account in a grace period.
        let asked = json!({"member": {"reasonRequired": false, "confirmationRequired": false, "approvalRequired": false, "graceDays": 3}});
        expect(server.request(Method::PUT, &format!("{base}/deletion-requirements")).bearer_auth(&token).json(&asked), StatusCode::OK).await;
        let (person, _) = server.new_member(&organization, "member").await;
        deleted(server.request(Method::DELETE, "/api/users/me").bearer_auth(&person.token), StatusCode::NO_CONTENT).await;
        // What was ordered with a deletion, of a customer and of a softly deleted one.
        for (customer, parameters) in [("gone", "?hard=true&export=true"), ("retired", "?export=true")] {
            new_customer(&server, &organization, customer, None).await;
            server.new_dependant(&organization, customer, "devices", json!({"name": "Laptop"})).await;
            let path = format!("/customer/{customer}{parameters}");
            let completed = deleted(server.request(Method::DELETE, &path).bearer_auth(&token), StatusCode::OK).await;
            server.wait_for_completion(&completed, &token).await;
        }
        // An approval of the deletion for good that is to follow.
        let (second, _) = server.new_member(&organization, "owner").await;
        let approvals = server.request(Method::POST, &format!("{base}/customers/retired/deletion-approvals"));
        expect(approvals.bearer_auth(&second.token).json(&json!({})), StatusCode::CREATED).await;
        server.stop().await;
        is_sound(&server).await;
    }

    async fn a_well_used_database_is_sound_and_what_is_left_of_the_deleted_is_found_and_repaired(engine: Engine) {
        let mut server = start(engine).await;
        let organization = well_used(&mut server).await;
        is_sound(&server).await;

        // A label that should have been redacted, and a row that should have been erased.
        change_database(&server, "UPDATE audit_entries SET subject_label = 'erased' WHERE subject_id IN (SELECT subject_id FROM deletions WHERE root = 'customer')").await;
        let found = findings(&server, "residue", &[]).await;
        assert_eq!((found.len(), &found[0]["table"], &found[0]["of"]), (1, &json!("audit_entries"), &json!("deletions")));
        change_database(
            &server,
            "INSERT INTO devices (organization_id, customer_id, id, name, created_at)
             SELECT organization_id, subject_id, id, 'left', created_at FROM deletions WHERE root = 'retired_customer'",
        )
        .await;
        let found = findings(&server, "residue", &[]).await;
        let tables: Vec<&str> = found.iter().map(|finding| finding["table"].as_str().unwrap()).collect();
        assert_eq!(tables, ["audit_entries", "devices"]);
        let deletion = found[1]["sample"][0].as_str().unwrap().to_owned();

        // A customer that no reader finds and no worker deletes.
        change_database(&server, "UPDATE customers SET state = 'closed' WHERE reference = 'kept'").await;
        let closed = findings(&server, "closed", &["residue"]).await;
        assert_eq!((&closed[0]["table"], &closed[0]["rows"]), (&json!("customers"), &json!(1)));

        let (code, out, err) = server.doctor(&["--repair", "--json"]).await;
        assert_eq!(code, 0, "{out}{err}");
        let document: Json = serde_json::from_str(&out).unwrap();
        assert_eq!(document["repaired"], json!({"reopened": 2, "ordered": 1}));
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        server.wait_for_completion(&deletion, &token).await;
        let list = server.request(Method::GET, "/api/deletions").header("X-Organization", &organization.slug).bearer_auth(&token);
        for record in expect(list, StatusCode::OK).await["data"].as_array().unwrap() {
            server.wait_for_completion(record["id"].as_str().unwrap(), &token).await;
        }
        server.stop().await;
        is_sound(&server).await;
        // What was repaired is in the audit trail.
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        let trail = expect(server.request(Method::GET, &format!("/api/organizations/{}/audit", organization.id)).bearer_auth(&token), StatusCode::OK).await;
        let orders = trail["data"].as_array().unwrap().iter().filter(|entry| entry["reason"] == "freehold doctor --repair").count();
        assert_eq!(orders, 3, "{trail}");
        // The id of the customer who was closed is free again.
        new_customer(&server, &Organization { owner: crate::support::Person { token, ..organization.owner.clone() }, ..organization }, "kept", None).await;
    }

    async fn what_should_have_happened_by_now_is_found(engine: Engine) {
        let mut server = start(engine).await;
        well_used(&mut server).await;
        let ago = long_ago(&server);
        let plants = [
            (
                "stuck",
                "deletions",
                format!("UPDATE deletions SET state = 'draining', waiting_for = 'webhook_deliveries 2', waiting_since = {ago} WHERE root = 'retired_customer'"),
                "UPDATE deletions SET state = 'completed', waiting_for = NULL, waiting_since = NULL",
            ),
            (
                "stuck",
                "deletions",
                format!("UPDATE deletions SET state = 'draining', lease_until = {ago} WHERE root = 'retired_customer'"),
                "UPDATE deletions SET state = 'completed', lease_until = NULL",
            ),
            (
                "holds",
                "holds",
                "INSERT INTO holds (organization_id, id, subject, subject_id, reason, placed_by, placed_at)
                 SELECT organization_id, id, 'customer', id, 'Case 2026-17', 'user', created_at FROM deletions".to_owned(),
                "DELETE FROM holds",
            ),
            (
                "overdue",
                "idempotent_answers",
                format!("UPDATE idempotent_answers SET created_at = {ago}"),
                "DELETE FROM idempotent_answers",
            ),
            (
                "overdue",
                "customers",
                format!("UPDATE customers SET deleted_at = {ago} WHERE reference = 'retired'"),
                "UPDATE customers SET deleted_at = updated_at WHERE reference = 'retired'",
            ),
            (
                "overdue",
                "audit_entries",
                format!("UPDATE audit_entries SET created_at = {ago}"),
                "UPDATE audit_entries SET created_at = (SELECT max(created_at) FROM deletions)",
            ),
            (
                "overdue",
                "deletions",
                format!("UPDATE deletions SET completed_at = {ago}"),
                "UPDATE deletions SET completed_at = created_at",
            ),
            (
                "deliveries",
                "effects",
                format!("UPDATE effects SET state = 'pending', next_attempt_at = {ago}"),
                "DELETE FROM effects",
            ),
        ];
        for (check, table, plant, undo) in plants {
            is_sound(&server).await;
            change_database(&server, &plant).await;
            let found = findings(&server, check, &[]).await;
            assert_eq!(found[0]["table"], table, "{check}: {found:?}");
            change_database(&server, undo).await;
        }
        is_sound(&server).await;
        // A deletion that waits for what takes its time is not stuck.
        let lately = match server.engine {
            Engine::Sqlite => "(CAST(strftime('%s', 'now') AS integer) - 120) * 1000000",
            Engine::Postgresql => "now() - interval '2 minutes'",
        };
        for waits_for in ["legal_hold", "customers", "memberships 2", "webhook_deliveries 1"] {
            let plant = format!("UPDATE deletions SET state = 'draining', waiting_for = '{waits_for}', waiting_since = {lately}");
            change_database(&server, &format!("{plant} WHERE root = 'retired_customer'")).await;
            is_sound(&server).await;
        }
        change_database(&server, "UPDATE deletions SET waiting_for = 'export' WHERE root = 'retired_customer'").await;
        findings(&server, "stuck", &[]).await;
        // Unless a worker makes it.
        let export = "INSERT INTO exports (organization_id, id, root, subject_id, state, actor, request_id, counts, rows_done, attempts, fence, created_at, lease_until)
                      SELECT organization_id, id, 'customer', subject_id, 'running', 'user', 'test', '{}', 0, 1, 1, created_at";
        let until = if server.engine == Engine::Sqlite { "created_at + 300000000" } else { "created_at + interval '5 minutes'" };
        change_database(&server, &format!("{export}, {until} FROM deletions WHERE root = 'retired_customer'")).await;
        is_sound(&server).await;
    }

    async fn times_in_the_future_are_found_and_what_is_pasted_or_a_start_mends_them(engine: Engine) {
        let mut server = start(engine).await;
        well_used(&mut server).await;
        is_sound(&server).await;
        let later = |base: &str, hours: u32| match engine {
            Engine::Sqlite => format!("{base} + {hours} * 3600000000"),
            Engine::Postgresql => format!("{base} + interval '{hours} hours'"),
        };
        for (table, column) in [("customers", "created_at"), ("audit_entries", "created_at"), ("customers", "deleted_at"), ("deletions", "completed_at")] {
            // What is minutes ahead is another machine's clock.
            change_database(&server, &format!("UPDATE {table} SET {column} = {} WHERE {column} IS NOT NULL", later(column, 2))).await;
            let found = findings(&server, "ahead", &[]).await;
            assert_eq!((found.len(), &found[0]["table"]), (1, &json!(table)), "{found:?}");
            // The command is all that comes after the words. It is pasted from elsewhere.
            let remedy = found[0]["remedy"].as_str().unwrap();
            let (program, url) = if engine == Engine::Sqlite { ("sqlite3", "") } else { ("psql", server.database_url().unwrap()) };
            let command = remedy.find(&format!("{program} ")).map(|place| &remedy[place..]).unwrap_or_else(|| panic!("{remedy}"));
            let is_installed = std::process::Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
            if is_installed {
                let pasted = std::process::Command::new("sh").args(["-c", command]).env("FREEHOLD_DATABASE_URL", url).current_dir("/").status();
                assert!(pasted.unwrap().success(), "{command}");
            } else {
                let (_, statement) = command.split_once('"').unwrap();
                change_database(&server, statement.strip_suffix('"').unwrap()).await;
            }
            is_sound(&server).await;
        }
        let waits = [
            ("deletions", format!("UPDATE deletions SET state = 'draining', lease_until = {} WHERE root = 'retired_customer'", later("updated_at", 240))),
            ("effects", format!("UPDATE effects SET state = 'pending', next_attempt_at = {}", later("created_at", 240))),
        ];
        for (table, plant) in waits {
            change_database(&server, &plant).await;
            let found = findings(&server, "ahead", &[]).await;
            assert_eq!((found.len(), &found[0]["table"]), (1, &json!(table)), "{found:?}");
            server.start_again().await;
            // A request is answered when the maintenance of the start may still be at it: a stop ends with one more.
            server.stop().await;
            let (_, out, _) = server.doctor(&[]).await;
            assert!(!out.contains("FOUND    ahead"), "{out}");
        }
    }

    async fn files_that_others_can_open_are_found_and_what_is_pasted_closes_them(engine: Engine) {
        use std::os::unix::fs::PermissionsExt;
        let mut server = start(engine).await;
        well_used(&mut server).await;
        is_sound(&server).await;
        let widen = |path: &std::path::Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let folder = server.key_file().parent().unwrap().to_owned();
        let ledger = server.ledger_folder();
        let line = std::fs::read_dir(&ledger).unwrap().map(|file| file.unwrap().path()).find(|path| path.extension().is_some()).unwrap();
        for (path, mode) in [(folder.clone(), 0o755), (server.key_file(), 0o640), (ledger, 0o711), (line, 0o604)] {
            widen(&path, mode);
            let found = findings(&server, "files", &[]).await;
            assert_eq!(found[0]["sample"][0], path.display().to_string(), "{found:?}");
            paste(found[0]["remedy"].as_str().unwrap());
            is_sound(&server).await;
        }
        if engine == Engine::Sqlite {
            // Who opens the database closes it to others: it is told once.
            widen(&server.database_file(), 0o644);
            let (code, out, _) = server.doctor(&[]).await;
            assert!(code == 1 && out.contains("FOUND    files") && out.contains(server.database_file().to_str().unwrap()), "{out}");
            is_sound(&server).await;
        }
        // What a system puts into new home folders is not the server's.
        std::fs::write(folder.join(".profile"), "").unwrap();
        widen(&folder.join(".profile"), 0o644);
        is_sound(&server).await;
        // A key that is named, here by a link, and a configuration that holds a secret.
        let elsewhere = tempfile::tempdir().unwrap();
        let (key, config) = (elsewhere.path().join("it's the key"), elsewhere.path().join("freehold.toml"));
        std::fs::copy(server.key_file(), elsewhere.path().join("real")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("real"), &key).unwrap();
        std::fs::write(&config, "metrics-token = \"hunter2\"\n").unwrap();
        widen(&config, 0o640);
        let arguments = ["--secret-key-file", key.to_str().unwrap(), "--config", config.to_str().unwrap()];
        for (path, mode) in [(&key, 0o640), (&config, 0o644)] {
            widen(path, mode);
            let (code, out, _) = server.doctor(&[&["--json"], &arguments[..]].concat()).await;
            let document: Json = serde_json::from_str(&out).unwrap();
            let found = document["checks"].as_array().unwrap().iter().find(|check| check["check"] == "files").unwrap()["findings"].clone();
            assert!(code == 1 && found[0]["sample"] == json!([path.display().to_string()]), "{out}");
            assert!(!out.contains("hunter2"), "{out}");
            paste(found[0]["remedy"].as_str().unwrap());
            let (code, out, _) = server.doctor(&arguments).await;
            assert_eq!(code, 0, "{out}");
        }
        // The start warns of it. A configuration without a secret is for everybody to read.
        for (settings, is_told) in [("metrics-token = \"hunter2\"\n", true), ("rate-limit-per-day = 5\n", false)] {
            std::fs::write(&config, settings).unwrap();
            widen(&config, 0o644);
            let before = server.log().len();
            server.start_again_with(&[&format!("--config={}", config.display())]).await;
            server.stop().await;
            let log = server.log().split_off(before);
            assert_eq!(log.contains("other users of this machine can read the secrets in the configuration file"), is_told, "{log}");
            assert!(!log.contains("hunter2"), "{log}");
            let (code, out, _) = server.doctor(&["--config", config.to_str().unwrap()]).await;
            assert_eq!(code, i32::from(is_told), "{out}");
        }
    }

    async fn a_schema_or_rows_that_are_not_as_they_should_be_are_found(engine: Engine) {
        let mut server = start(engine).await;
        well_used(&mut server).await;
        is_sound(&server).await;
        change_database(&server, "ALTER TABLE customers ADD COLUMN shoe_size bigint").await;
        let found = findings(&server, "schema", &[]).await;
        assert!(found[0]["sample"][0].as_str().unwrap().contains("customers.shoe_size"), "{found:?}");
        // What reads tables as the program knows them says that it did not.
        let (_, out, _) = server.doctor(&[]).await;
        assert!(out.contains("UNKNOWN  residue"), "{out}");
        change_database(&server, "ALTER TABLE customers DROP COLUMN shoe_size").await;

        change_database(&server, "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_future', 'none')").await;
        let found = findings(&server, "migrations", &[]).await;
        assert_eq!(found[0]["sample"], json!(["9999_future"]));
        change_database(&server, "DELETE FROM schema_migrations WHERE name IN ('9999_future', '0004_progress')").await;
        let found = findings(&server, "migrations", &[]).await;
        assert_eq!(found[0]["sample"], json!(["0004_progress"]));
        assert!(found[0]["remedy"].as_str().unwrap().contains("freehold serve"), "{found:?}");

        let orphan = without_cascade(&server, "DELETE FROM customers WHERE reference = 'kept'");
        change_database(&server, &orphan).await;
        let found = findings(&server, "integrity", &["migrations"]).await;
        assert_eq!((&found[0]["table"], &found[0]["rows"]), (&json!("devices"), &json!(1)), "{found:?}");
    }

    async fn what_cannot_be_looked_at_is_told_apart_from_what_is_sound(engine: Engine) {
        let mut server = start(engine).await;
        let (code, _, err) = server.doctor(&["--database-url", "postgres://nobody@127.0.0.1:9/none"]).await;
        assert!(code == 2 && err.contains("not available"), "{err}");
        let folder = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["doctor", "--data"]).arg(folder.path()).env_remove("FREEHOLD_DATABASE_URL");
        let output = command.output().await.unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && words.contains("--data"), "{words}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something was made");
        server.stop().await;
        is_sound(&server).await;
    }

    async fn a_running_server_is_looked_at_while_it_works_and_a_file_is_repaired_by_none_beside_it(engine: Engine) {
        let mut server = start(engine).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let work = async {
            for _ in 0..40 {
                let customer = server.new_customer(&organization, token).await;
                let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
                expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
            }
        };
        let looks = async {
            for _ in 0..3 {
                let (code, out, err) = server.doctor(&[]).await;
                assert_eq!(code, 0, "{out}{err}");
            }
        };
        tokio::join!(work, looks);
        let (code, out, err) = server.doctor(&["--repair"]).await;
        match engine {
            Engine::Sqlite => assert!(code == 2 && err.contains("in use by another freehold"), "{out}{err}"),
            Engine::Postgresql => assert_eq!(code, 0, "{out}{err}"),
        }
        // It holds nothing up: the server writes on, and is one file when it stops.
        server.new_customer(&organization, token).await;
        server.stop().await;
        is_sound(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_found() {
    let mut server = start(Engine::Sqlite).await;
    well_used(&mut server).await;
    server.note_altered();
    let connection = rusqlite::Connection::open(server.database_file()).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let page: i64 =
        connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'deletions_of_subject'", [], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(server.database_file()).unwrap();
    let start = usize::try_from((page - 1) * 4_096).unwrap();
    // An index that lists nothing any more: nothing fails, and what it should find is not found.
    bytes[start + 3..start + 5].copy_from_slice(&[0, 0]);
    std::fs::write(server.database_file(), bytes).unwrap();
    let (code, out, err) = server.doctor(&[]).await;
    assert!(code != 0 && (out.contains("FOUND    integrity") || out.contains("UNKNOWN  integrity")), "{out}{err}");
    assert!(out.contains("the database file is damaged") && out.contains("restore the last backup"), "{out}");
}
