//! `validate_only`: every DELETE can be asked what it would do, by those who may do it, and does nothing then.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header, short};
use crate::tools::{Cast, answered, deleted, entries, new_customer, refused};

/// Every row of every table, as text.
async fn everything(server: &Server) -> BTreeMap<String, Vec<String>> {
    let mut everything = BTreeMap::new();
    match server.engine {
        Engine::Sqlite => {
            let connection = rusqlite::Connection::open(server.database_file()).unwrap();
            let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").unwrap();
            for table in tables.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap) {
                let mut rows = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
                let width = rows.column_count();
                let text = |row: &rusqlite::Row<'_>| {
                    Ok((0..width).map(|column| format!("{:?},", row.get_ref(column).unwrap())).collect::<String>())
                };
                let mut rows: Vec<String> = rows.query_map([], text).unwrap().map(Result::unwrap).collect();
                rows.sort();
                everything.insert(table, rows);
            }
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let tables = client.query("SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()", &[]);
            for table in tables.await.unwrap().iter().map(|row| row.get::<_, String>(0)) {
                let rows = client.query(&format!("SELECT record::text FROM {table} AS record ORDER BY 1"), &[]).await.unwrap();
                everything.insert(table, rows.iter().map(|row| row.get(0)).collect());
            }
            drop(client);
            connection.await.unwrap().unwrap();
        }
    }
    assert!(everything.len() > 15 && everything["organizations"].len() == 1);
    everything
}

on_both_engines! {
    async fn every_deletion_can_be_looked_at_and_then_changes_nothing(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        let (path, account) = (format!("/api/organizations/{}", organization.id), format!("/account/api/v1/organizations/{}", short(&organization.id)));
        new_customer(&server, organization, "user123", None).await;
        server.new_dependant(organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let (key, _) = server.new_api_key(organization, token, &["read:user"]).await;
        let made = async |path: String, body: Json| {
            let made = expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
            made["id"].as_str().unwrap().to_owned()
        };
        let invitation = made(format!("{path}/members/invite"), json!({"email": "new@example.com"})).await;
        let hook = json!({"url": "https://example.com/there", "events": ["deletion.started", "deletion.completed", "organization.deleted"]});
        let webhook = made(format!("{path}/webhooks"), hook).await;
        let app = server.new_oauth_app(organization, token, &["read:customers"]).await;
        let oauth_token = server.new_oauth_token(&app).await.id;
        let both = json!([{"event": "deletion.started", "endpoints": 1}, {"event": "deletion.completed", "endpoints": 1}]);
        let last = json!([{"event": "organization.deleted", "endpoints": 1}, {"event": "deletion.started", "endpoints": 1}]);
        let member = cast.member("viewer");
        let cases = [
            (path.clone(), "organization", &last),
            (account.clone(), "organization", &last),
            (format!("{path}/members/{member}"), "member", &both),
            (format!("{account}/members/{}", short(member)), "member", &both),
            (format!("{path}/customers/user123"), "customer", &both),
            ("/customer/user123".into(), "retired_customer", &both),
            ("/customer/user123?hard=true".into(), "customer", &both),
            (format!("{path}/api-keys/{key}"), "api_key", &both),
            (format!("{account}/api-keys/{}", short(&key)), "api_key", &both),
            (format!("{path}/invites/{invitation}"), "invitation", &both),
            // A webhook hears nothing of its own end.
            (format!("{path}/webhooks/{webhook}"), "webhook", &json!([])),
            (format!("/api/oauth/apps/{}", app.client_id), "oauth_app", &both),
            (format!("/api/oauth/token/{oauth_token}"), "oauth_token", &both),
        ];
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        // One's own account is looked at in `accounts.rs`: here it belongs to the owner, who cannot go.
        let documented = document["paths"].as_object().unwrap().iter().filter(|(path, item)| *path != "/api/users/me" && {
            let parameters = item["delete"]["parameters"].as_array();
            parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == "validate_only"))
        });
        // One of the addresses deletes in two ways.
        assert_eq!(documented.count() + 1, cases.len());

        let before = everything(&server).await;
        for (path, root, effects) in cases {
            let mark = if path.contains('?') { '&' } else { '?' };
            for name in ["validate_only", "validateOnly"] {
                let request = server.request(Method::DELETE, &format!("{path}{mark}{name}=true")).header("Idempotency-Key", "once");
                let answer = answered(request.bearer_auth(token), StatusCode::OK).await;
                assert_eq!((header(&answer, "deletion-id"), header(&answer, "location")), ("", ""), "{path}");
                let plan: Json = answer.json().await.unwrap();
                assert_eq!((&plan["root"], &plan["effects"], &plan["blockers"]), (&json!(root), effects, &json!([])), "{path}: {plan}");
                let subject = plan.get("subjectId").or(plan.get("subject_id")).unwrap();
                let own = plan["tables"].as_array().unwrap().last().unwrap();
                let sample = if own["fate"] == "kept" { json!([]) } else { json!([subject]) };
                assert_eq!((&own["rows"], &own["sample"]), (&json!(1), &sample), "{path}: {own}");
                assert!(!path.starts_with("/account/") || subject.as_str().unwrap().len() == 22, "{path}: {plan}");
            }
        }
        assert_eq!(everything(&server).await, before);
    }

    async fn what_stands_in_the_way_is_shown_and_is_no_error(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        new_customer(&server, organization, "user123", None).await;
        server.new_dependant(organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let path = format!("/api/organizations/{}", organization.id);
        let look = async |path: &str| {
            let request = server.request(Method::DELETE, &format!("{path}?validate_only=true")).bearer_auth(token);
            let plan = expect(request, StatusCode::OK).await;
            plan["blockers"].as_array().unwrap().iter().map(|blocker| blocker["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(look("/customer/user123").await, ["active_subscription"]);
        assert_eq!(look(&format!("{path}/members/{}", cast.member("owner"))).await, ["last_owner"]);
        expect(server.request(Method::POST, &format!("{path}/archive")).bearer_auth(token), StatusCode::OK).await;
        for path in [format!("{path}/customers/user123"), "/customer/user123".into()] {
            assert_eq!(look(&path).await, ["active_subscription", "organization_archived"]);
            refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::CONFLICT).await;
        }
    }

    async fn the_call_of_each_blocker_takes_it_away(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        let (path, odd) = (format!("/api/organizations/{}", organization.id), "50%25?#+x");
        for customer in ["user123", odd] {
            new_customer(&server, organization, customer, None).await;
        }
        let dependant = async |kind: &str, body: Json| {
            let path = format!("{path}/customers/50%2525%3F%23%2Bx/{kind}");
            expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await
        };
        dependant("subscriptions", json!({"plan": "basic"})).await;
        dependant("transactions", json!({"amount": 1, "currency": "EUR", "status": "pending"})).await;
        let owner = cast.member("owner");
        let account = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(owner));
        let archive = async || expect(server.request(Method::POST, &format!("{path}/archive")).bearer_auth(token), StatusCode::OK).await;
        let ways = ["/customer/50%2525%3F%23%2Bx".to_owned(), format!("{path}/customers/50%2525%3F%23%2Bx"), account];
        // On each surface the plan and the refusal name the same calls.
        for path in &ways {
            let plan = expect(server.request(Method::DELETE, &format!("{path}?validate_only=true")).bearer_auth(token), StatusCode::OK).await;
            let told = refused(server.request(Method::DELETE, path).bearer_auth(token), StatusCode::CONFLICT).await;
            assert_eq!(plan["blockers"], told["blockers"], "{path}");
        }
        archive().await;
        // What holds an archive up goes first, or nothing of it could be changed.
        for path in ways.iter().rev() {
            let look = || server.request(Method::DELETE, &format!("{path}?validate_only=true")).bearer_auth(token);
            let mut plan = expect(look(), StatusCode::OK).await;
            assert_ne!(plan["blockers"], json!([]), "{path}");
            while let Some(blocker) = plan["blockers"].as_array().unwrap().last().cloned() {
                let call = &blocker["call"];
                let body = match blocker["code"].as_str().unwrap() {
                    "active_subscription" => json!({"status": "cancelled"}),
                    "pending_transaction" => json!({"status": "settled"}),
                    "last_owner" => break,
                    _ => Json::Null,
                };
                let method = Method::from_bytes(call["method"].as_str().unwrap().as_bytes()).unwrap();
                let request = server.request(method, call["path"].as_str().unwrap()).bearer_auth(token).json(&body);
                expect(if body.is_null() { request.body("") } else { request }, StatusCode::OK).await;
                plan = expect(look(), StatusCode::OK).await;
            }
            if path == &ways[1] {
                dependant("subscriptions", json!({"plan": "basic"})).await;
            }
        }
        let told = refused(server.request(Method::DELETE, &ways[2]).bearer_auth(token), StatusCode::CONFLICT).await;
        let call = &told["blockers"][0]["call"];
        assert_eq!(call["method"], "POST");
        let heir = json!({"memberId": cast.member("admin")});
        expect(server.request(Method::POST, call["path"].as_str().unwrap()).bearer_auth(token).json(&heir), StatusCode::OK).await;
        deleted(server.request(Method::DELETE, &ways[2]).bearer_auth(token), StatusCode::OK).await;
    }

    async fn what_cannot_be_looked_at_is_not_done_by_who_wants_to_look(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/exports", organization.id);
        let export = expect(server.request(Method::POST, &path).bearer_auth(token), StatusCode::ACCEPTED).await;
        let path = format!("/api/exports/{}", export["id"].as_str().unwrap());
        for query in ["validate_only=true", "validateOnly=true", "plan=none"] {
            refused(server.request(Method::DELETE, &format!("{path}?{query}")).bearer_auth(token), StatusCode::BAD_REQUEST).await;
        }
        answered(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn a_caller_who_may_not_delete_may_not_look_and_hears_the_same(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        new_customer(&server, organization, "user123", None).await;
        let (key, _) = server.new_api_key(organization, cast.token("owner"), &["read:user"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let paths = [
            path.clone(),
            format!("{path}/members/{}", cast.member("owner")),
            format!("{path}/customers/user123"),
            format!("{path}/customers/nobody"),
            "/customer/user123".into(),
            format!("{path}/api-keys/{key}"),
        ];
        let mut outcomes = BTreeMap::new();
        for path in paths {
            let looked = async |token: &str| {
                let named = server.request(Method::DELETE, &format!("{path}?validate_only=true")).header("X-Organization", &organization.slug);
                let answer = named.bearer_auth(token).send().await.unwrap();
                let (status, body) = (answer.status(), answer.json::<Json>().await.unwrap());
                (status, body["detail"].clone())
            };
            for role in ["viewer", "reseller", "billing"] {
                let token = cast.token(role);
                let (status, words) = looked(token).await;
                let tried = server.request(Method::DELETE, &path).header("X-Organization", &organization.slug).bearer_auth(token);
                let told = refused(tried, status).await;
                assert_eq!(told["detail"], words, "{path} as {role}");
                *outcomes.entry(status.as_u16()).or_insert(0) += 1;
            }
            // Only owners remove owners.
            if path.contains("/members/") {
                assert_eq!(looked(cast.token("admin")).await.0, StatusCode::FORBIDDEN, "{path}");
            }
            assert_eq!(looked("nobody's").await.0, StatusCode::UNAUTHORIZED, "{path}");
        }
        assert_eq!(outcomes.keys().copied().collect::<Vec<_>>(), [403, 404]);
    }

    async fn what_was_looked_at_is_done_when_it_is_meant(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let send = |query: &str| {
            server.request(Method::DELETE, &format!("{path}{query}")).header("Idempotency-Key", "the-same-for-both").bearer_auth(token)
        };
        let plan = expect(send("?validate_only=true"), StatusCode::OK).await;
        // What it would do is told as it is now, and is no answer that is kept.
        server.new_dependant(&organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let again = answered(send("?validate_only=true"), StatusCode::OK).await;
        assert_eq!(header(&again, "idempotency-replayed"), "");
        assert_ne!(again.json::<Json>().await.unwrap()["plan"], plan["plan"]);
        let with_old_plan = format!("?validate_only=true&plan={}", plan["plan"].as_str().unwrap());
        let told = refused(send(&with_old_plan), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "devices", "planned": 0, "now": 1}]));
        let stale = send("?validate_only=true").header("If-Match", "\"of-another-state\"");
        refused(stale, StatusCode::PRECONDITION_FAILED).await;
        let unclear = server.request(Method::DELETE, &format!("{path}?validate_only=perhaps")).bearer_auth(token);
        refused(unclear, StatusCode::BAD_REQUEST).await;
        let deletion = deleted(send("?validate_only=false"), StatusCode::NO_CONTENT).await;
        assert_eq!(deleted(send("?validate_only=false"), StatusCode::NO_CONTENT).await, deletion);
        refused(server.request(Method::DELETE, &format!("{path}?validate_only=true")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let deletions: Vec<&Json> = trail.iter().filter(|entry| entry["action"] == "customer.delete").map(|entry| &entry["outcome"]).collect();
        assert_eq!(deletions, ["done"]);
    }
}
