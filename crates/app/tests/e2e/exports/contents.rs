//! What is in an archive: all that is in the database, told by an eye of its own, and no secret.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Archive, download, order, order_customer, wait_until_done};
use crate::bulk::{Filling, fill, make_users};
use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Organization, Server, expect, header};
use crate::tools::{answered, new_customer};

/// More than a batch of every kind.
const FILLING: Filling = Filling { number: 1, customers: 2_500, dependants: 3_000 };

/// One of everything that has a secret, made through the front door. Returns the secrets.
async fn make_secrets(server: &Server, organization: &Organization) -> Vec<String> {
    let token = &organization.owner.token;
    let (_, key) = server.new_api_key(organization, token, &["read:customers"]).await;
    let app = server.new_oauth_app(organization, token, &["read:customers"]).await;
    let tokens = server.new_oauth_token(&app).await;
    let path = format!("/api/organizations/{}", organization.id);
    let hook = json!({"url": "https://example.com/hook", "events": ["oauth_app.revoked"]});
    let webhook =
        expect(server.request(Method::POST, &format!("{path}/webhooks")).bearer_auth(token).json(&hook), StatusCode::CREATED).await;
    let invite = server.request(Method::POST, &format!("{path}/members/invite")).bearer_auth(token);
    let invitation = expect(invite.json(&json!({"email": "invited@example.com"})), StatusCode::CREATED).await;
    let session = server.sign_in_fully(&organization.owner.email, Some(&organization.slug)).await;
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let cookie = session.cookie.strip_prefix("sessionid=").unwrap().to_owned();
    vec![key, app.secret, tokens.access, tokens.refresh, text(&webhook["secret"]), text(&invitation["token"]), cookie]
}

/// Every value of a column of bytes, and of passwords: nothing else in the schema can hold a secret or the hash of one.
async fn secrets_in(store: &Store) -> Vec<(String, Vec<u8>)> {
    let mut secrets = Vec::new();
    for (table, columns) in store.tables().await {
        for column in columns.iter().filter(|column| column.kind == "bytea" || column.name == "password_hash") {
            let value = match (store, column.kind.as_str()) {
                (_, "text") => column.name.clone(),
                (Store::Sqlite(_), _) => format!("lower(hex({}))", column.name),
                (Store::Postgresql(_), _) => format!("encode({}, 'hex')", column.name),
            };
            let query = format!("SELECT {value} FROM {table} WHERE {} IS NOT NULL LIMIT 200", column.name);
            for [value] in store.texts(&query).await {
                let bytes = if column.kind == "text" { value.into_bytes() } else { unhex(&value) };
                secrets.push((format!("{table}.{}", column.name), bytes));
            }
        }
    }
    secrets
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    // The first byte first: a search in megabytes for hundreds of values.
    bytes.windows(wanted.len()).any(|window| window[0] == wanted[0] && window == wanted)
}

fn check_manifest(archive: &Archive) {
    let listed: BTreeMap<String, &Json> =
        archive.manifest["files"].as_array().unwrap().iter().map(|file| (file["name"].as_str().unwrap().to_owned(), file)).collect();
    let there: BTreeSet<&String> = archive.files.keys().filter(|name| *name != "manifest.json").collect();
    assert_eq!(listed.keys().collect::<BTreeSet<_>>(), there);
    for (name, file) in listed {
        let bytes = &archive.files[&name];
        let hash: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&file["sha256"], &file["bytes"]), (&json!(hash), &json!(bytes.len())), "{name}");
        if file["table"].is_string() {
            assert_eq!(file["rows"], bytes.iter().filter(|byte| **byte == b'\n').count(), "{name}");
        }
    }
}

on_both_engines! {
    async fn everything_an_organization_owns_is_in_the_archive(server: Server) {
        let organization = server.new_organization().await;
        let neighbour = server.new_organization().await;
        new_customer(&server, &organization, "ada", None).await;
        new_customer(&server, &neighbour, "somebody-elses", None).await;
        make_secrets(&server, &organization).await;
        let (store, id) = (Store::open_to_change(&server).await, organization.id.parse::<Uuid>().unwrap());
        make_users(&store).await;
        fill(&store, id, FILLING).await;
        let export = order(&server, &organization).await;
        let record = wait_until_done(&server, &export, &organization.owner.token).await;
        let mut counts = store.counts(id).await;
        counts.insert("organizations".into(), 1);

        let request = server.request(Method::GET, &format!("/api/exports/{export}/download")).bearer_auth(&organization.owner.token);
        let answer = answered(request, StatusCode::OK).await;
        assert_eq!(header(&answer, "content-type"), "application/zip");
        assert_eq!(header(&answer, "content-disposition"), format!("attachment; filename=\"freehold-organization-{export}.zip\""));
        assert_eq!(header(&answer, "cache-control"), "no-store");
        let bytes = answer.bytes().await.unwrap().to_vec();
        assert_eq!(record["bytes"], bytes.len());
        let archive = Archive::unpack(bytes);

        check_manifest(&archive);
        assert_eq!(archive.counts(), counts);
        let told: BTreeMap<String, i64> = record["tables"].as_array().unwrap().iter().map(|table| (table["table"].as_str().unwrap().to_owned(), table["rows"].as_i64().unwrap())).collect();
        assert_eq!(told, counts);
        assert_eq!((&record["rowsDone"], &record["rowsTotal"]), (&json!(counts.values().sum::<i64>()), &json!(counts.values().sum::<i64>())));
        assert_eq!((&archive.manifest["format"], &archive.manifest["exportId"], &archive.manifest["organizationId"]), (&json!("freehold-export"), &json!(export), &json!(organization.id)));
        compare_with(&store, &archive, id).await;
        let all: Vec<u8> = archive.files.into_values().flatten().collect();
        assert!(!holds(&all, b"somebody-elses") && !holds(&all, neighbour.id.as_bytes()));
    }

    async fn no_secret_is_ever_exported(server: Server) {
        let organization = server.new_organization().await;
        let mut secrets: Vec<(String, Vec<u8>)> =
            make_secrets(&server, &organization).await.into_iter().map(|secret| ("handed out".into(), secret.into_bytes())).collect();
        // An answer that is kept for repetitions.
        let path = format!("/api/organizations/{}/api-keys", organization.id);
        let request = server.request(Method::POST, &path).bearer_auth(&organization.owner.token).header("Idempotency-Key", "the-name-of-this");
        expect(request.json(&json!({"name": "Another"})), StatusCode::CREATED).await;
        let store = Store::open_to_change(&server).await;
        secrets.extend(secrets_in(&store).await);
        let columns: BTreeSet<&str> = secrets.iter().map(|(column, _)| column.as_str()).collect();
        assert!(columns.len() >= 12, "the eye finds only {columns:?}");
        let export = order(&server, &organization).await;
        wait_until_done(&server, &export, &organization.owner.token).await;
        let archive = download(&server, &export, &organization.owner.token).await;
        let rows: Vec<u8> = archive.files.iter().filter(|(name, _)| name.ends_with(".ndjson")).flat_map(|(_, bytes)| bytes.clone()).collect();
        assert!(holds(&rows, b"invited@example.com"), "the search finds what is there");
        for (column, secret) in &secrets {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            for form in [secret.clone(), hex.into_bytes(), STANDARD.encode(secret).into_bytes()] {
                assert!(!holds(&rows, &form), "{column} is in the export");
            }
        }
        for word in ["_hash\"", "\"secret\"", "\"answer\"", "password"] {
            assert!(!holds(&rows, word.as_bytes()), "{word} is a column of the export");
        }
    }

    async fn an_export_of_a_customer_has_the_customers_rows_only(server: Server) {
        let organization = server.new_organization().await;
        for customer in ["ada", "alan"] {
            new_customer(&server, &organization, customer, None).await;
            for (kind, body) in [("transactions", json!({"amount": 1999, "currency": "EUR", "description": customer})), ("devices", json!({"name": customer})), ("devices", json!({"name": customer}))] {
                server.new_dependant(&organization, customer, kind, body).await;
            }
        }
        let export = order_customer(&server, &organization, "ada").await;
        let record = wait_until_done(&server, &export, &organization.owner.token).await;
        let id = record["subjectId"].as_str().unwrap();
        assert_eq!((&record["root"], &record["subjectLabel"]), (&json!("customer"), &json!("ada")));
        let archive = download(&server, &export, &organization.owner.token).await;
        check_manifest(&archive);
        let counts = archive.counts();
        assert_eq!((counts["customers"], counts["transactions"], counts["devices"], counts["exports"]), (1, 1, 2, 1), "{counts:?}");
        assert_eq!(archive.rows("customers")[0]["reference"], "ada");
        assert!(archive.rows("devices").iter().all(|device| device["name"] == "ada" && device["customer_id"] == id));
        // What was said about the customer goes with it.
        assert!(archive.rows("audit_entries").iter().any(|entry| entry["action"] == "export.create" && entry["subject_label"] == "ada"));
        assert!(!holds(&archive.files.into_values().flatten().collect::<Vec<u8>>(), b"alan"));
    }
}

/// Every row has every column of the live schema that is not secret, and nothing but what stands there.
async fn compare_with(store: &Store, archive: &Archive, organization: Uuid) {
    let tables = store.tables().await;
    for described in archive.schema["tables"].as_array().unwrap() {
        let table = described["name"].as_str().unwrap();
        let names = |list: &Json, field: Option<&str>| -> BTreeSet<String> {
            let entries = list.as_array().unwrap().iter();
            entries.map(|entry| field.map_or(entry, |field| &entry[field]).as_str().unwrap().to_owned()).collect()
        };
        let exported = names(&described["columns"], Some("name"));
        let live: BTreeSet<String> = tables[table].iter().map(|column| column.name.clone()).collect();
        assert_eq!(&exported | &names(&described["leftOut"], None), live, "{table}");
        for row in archive.rows(table) {
            assert_eq!(row.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), exported, "{table}");
        }
    }
    let id = match store {
        Store::Sqlite(_) => "lower(hex(id))",
        Store::Postgresql(_) => "replace(id::text, '-', '')",
    };
    let micros = match store {
        Store::Sqlite(_) => "created_at",
        Store::Postgresql(_) => "(extract(epoch FROM created_at) * 1000000)::bigint",
    };
    let query =
        format!("SELECT {id}, reference, name, cast({micros} AS text) FROM customers WHERE organization_id = {}", store.uuid(organization));
    let there: BTreeSet<[String; 4]> = store.texts(&query).await.into_iter().collect();
    let exported: BTreeSet<[String; 4]> = archive
        .rows("customers")
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let born: jiff::Timestamp = text("created_at").parse().unwrap();
            assert!(row["metadata"].is_object() && row["version"].is_i64(), "{row}");
            [text("id").replace('-', ""), text("reference"), text("name"), born.as_microsecond().to_string()]
        })
        .collect();
    assert_eq!(there, exported);
}
