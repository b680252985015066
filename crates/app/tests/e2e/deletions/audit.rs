//! The audit trail: who did, or tried to do, what, when and why; who may read it; and that no name of a customer outlives the customer in
//! it.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};
use crate::tools::{Cast, UNKNOWN_ID, answered, change_database, deleted, entries, is_like, new_customer, refused, refused_somehow};

/// The organization under which attempts on unknown organizations are kept.
const SERVER_SCOPE: &str = "00000000-0000-0000-0000-000000000000";

/// The entries of an organization's trail with this action, newest first.
async fn trail(server: &Server, organization: &str, action: &str, token: &str) -> Vec<Json> {
    let all = entries(server, &format!("/api/organizations/{organization}/audit"), token).await;
    all.into_iter().filter(|entry| entry["action"] == action).collect()
}

async fn user_id(server: &Server, token: &str) -> Json {
    expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await["id"].clone()
}

on_both_engines! {
    async fn the_trail_is_followed_a_line_an_entry(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/audit/log", organization.id);
        let ask = async |query: &str| {
            let answer = server.request(Method::GET, &format!("{path}{query}")).bearer_auth(token).send().await.unwrap();
            assert_eq!((answer.status(), header(&answer, "content-type")), (StatusCode::OK, "application/x-ndjson"));
            answer.text().await.unwrap()
        };
        assert_eq!(ask("").await, "", "it comes two minutes later");
        let id = match server.engine {
            Engine::Sqlite => "x'01900000000070008000000000000001'",
            Engine::Postgresql => "'01900000-0000-7000-8000-000000000001'",
        };
        change_database(&server, &format!("UPDATE audit_entries SET id = {id} WHERE action = 'organization.create'")).await;
        let lines = ask("").await;
        let entry: Json = serde_json::from_str(lines.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(entry, trail(&server, &organization.id, "organization.create", token).await[0]);
        assert_eq!(ask(&format!("?after_id={}", entry["id"].as_str().unwrap())).await, "");
        for query in ["?after_id=yesterday", "?limit=0", "?limit=1001"] {
            refused(server.request(Method::GET, &format!("{path}{query}")).bearer_auth(token), StatusCode::BAD_REQUEST).await;
        }
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        refused(server.request(Method::GET, &path).bearer_auth(&viewer.token), StatusCode::FORBIDDEN).await;
    }

    async fn a_deletion_is_filed_with_who_what_when_and_why(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let request = server
            .request(Method::DELETE, "/customer/user123?reason=asked%20by+mail%3A%20%C3%BC")
            .header("X-Request-Id", "audited-request");
        let deletion = deleted(request.bearer_auth(token), StatusCode::OK).await;
        let entries = trail(&server, &organization.id, "customer.retire", token).await;
        assert_eq!(entries.len(), 1);
        let entry = &entries[0];
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!((&entry["outcome"], &entry["subject"], &entry["subjectId"]), (&json!("done"), &json!("customer"), &record["subjectId"]));
        assert_eq!((&entry["actor"], &entry["actorId"]), (&json!("user"), &user_id(&server, token).await));
        assert_eq!((&entry["reason"], &entry["deletionId"]), (&json!("asked by mail: ü"), &json!(deletion)));
        assert_eq!((&entry["requestId"], &record["reason"]), (&json!("audited-request"), &json!("asked by mail: ü")));
        assert!(is_like(entry["createdAt"].as_str().unwrap(), "9999-99-99T99:99:99.999Z") && entry["credentialId"].is_string(), "{entry}");
    }

    async fn every_attempt_is_filed_whatever_its_outcome(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        new_customer(&server, organization, "user123", None).await;
        let subscription = server.new_dependant(organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let path = format!("/api/organizations/{}", organization.id);
        let (_, key) = server.new_api_key(organization, token, &["read:customers"]).await;
        let delete = |place: &str, token: &str| server.request(Method::DELETE, &format!("{path}{place}?reason=why")).bearer_auth(token);
        refused(delete("", cast.token("admin")), StatusCode::FORBIDDEN).await;
        refused(delete(&format!("/members/{}", cast.member("owner")), cast.token("owner")), StatusCode::CONFLICT).await;
        refused(delete(&format!("/members/{UNKNOWN_ID}"), cast.token("owner")), StatusCode::NOT_FOUND).await;
        refused(delete(&format!("/members/{}", cast.member("admin")), cast.token("viewer")), StatusCode::FORBIDDEN).await;
        refused(delete("/customers/user123", cast.token("viewer")), StatusCode::FORBIDDEN).await;
        refused(delete("/customers/user123", cast.token("owner")), StatusCode::CONFLICT).await;
        refused(
            server.request(Method::DELETE, &format!("{path}/customers/user123?reason=why")).header("X-API-Key", key),
            StatusCode::FORBIDDEN,
        )
        .await;
        refused(delete("/customers/nobody", cast.token("owner")), StatusCode::NOT_FOUND).await;
        refused(delete(&format!("/api-keys/{UNKNOWN_ID}"), cast.token("owner")), StatusCode::NOT_FOUND).await;
        refused(delete(&format!("/invites/{UNKNOWN_ID}"), cast.token("owner")), StatusCode::NOT_FOUND).await;
        let cancel = server.request(Method::PATCH, &format!("{path}/customers/user123/subscriptions/{subscription}"));
        expect(cancel.bearer_auth(token).json(&json!({"status": "cancelled"})), StatusCode::OK).await;
        answered(delete("/customers/user123", cast.token("owner")), StatusCode::NO_CONTENT).await;

        let mut outcomes = Vec::new();
        for entry in entries(&server, &format!("{path}/audit"), token).await {
            if entry["reason"] == "why" {
                let detail = entry["detail"].is_string();
                assert_eq!(detail, entry["outcome"] != "done", "{entry}");
                assert!(entry["actorId"].is_string() && entry["credentialId"].is_string(), "{entry}");
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                outcomes.push((text("action"), text("outcome"), text("actor")));
            }
        }
        let wanted = [
            ("organization.delete", "refused", "user"),
            ("member.remove", "blocked", "user"),
            ("member.remove", "not_found", "user"),
            ("member.remove", "refused", "user"),
            ("customer.delete", "refused", "user"),
            ("customer.delete", "blocked", "user"),
            ("customer.delete", "refused", "api_key"),
            ("customer.delete", "not_found", "user"),
            ("api_key.revoke", "not_found", "user"),
            ("invitation.cancel", "not_found", "user"),
            ("customer.delete", "done", "user"),
        ];
        let mut wanted: Vec<_> =
            wanted.iter().map(|(action, outcome, actor)| ((*action).to_owned(), (*outcome).to_owned(), (*actor).to_owned())).collect();
        // Entries of one millisecond have no order.
        outcomes.sort();
        wanted.sort();
        assert_eq!(outcomes, wanted);
    }

    async fn a_refused_attempt_names_its_actor_and_its_subject(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        refused(server.request(Method::DELETE, &path).bearer_auth(&viewer.token), StatusCode::FORBIDDEN).await;
        let entry = trail(&server, &organization.id, "customer.delete", token).await.remove(0);
        assert_eq!((&entry["actorId"], &entry["outcome"]), (&user_id(&server, &viewer.token).await, &json!("refused")));
        assert!(entry["subjectLabel"] == "user123" && entry["detail"].is_string(), "{entry}");
        let created = trail(&server, &organization.id, "customer.create", token).await.remove(0);
        assert_eq!(entry["subjectId"], created["subjectId"]);
    }

    async fn strangers_write_the_bare_fact_into_a_trail_and_that_once_a_minute(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let elsewhere = server.new_organization().await;
        let outsider = &elsewhere.owner;
        // A key that is bound to another organization is a stranger here, whosever it is.
        server.add_member(&elsewhere, &organization.owner, "admin").await;
        let (_, key) = server.new_api_key(&elsewhere, token, &["read:customers"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let member = server.new_member(&organization, "viewer").await.1;
        let (member, key_of_it) = (format!("/members/{member}"), format!("/api-keys/{UNKNOWN_ID}"));
        let places = ["", "/customers/user123", member.as_str(), key_of_it.as_str(), "/webhooks/no-such"];
        for _ in 0..4 {
            for place in places {
                let request = server.request(Method::DELETE, &format!("{path}{place}?reason=buy+cheap+pills"));
                let request = request.header("X-Request-Id", "buy-cheap-pills");
                refused_somehow(request.try_clone().unwrap().bearer_auth(&outsider.token)).await;
                refused_somehow(request.header("X-API-Key", &key)).await;
            }
        }
        let all = entries(&server, &format!("{path}/audit"), token).await;
        let refused: Vec<&Json> = all.iter().filter(|entry| entry["outcome"] != "done").collect();
        let mut actors: Vec<&str> = refused.iter().map(|entry| entry["actor"].as_str().unwrap()).collect();
        actors.sort_unstable();
        // One each; a second of each if a minute ended meanwhile.
        actors.dedup();
        assert!(actors == ["api_key", "user"] && refused.len() <= 4, "{refused:?}");
        for entry in refused {
            assert!(entry["actorId"].is_string() && entry["createdAt"].is_string(), "{entry}");
            let texts = ["reason", "subjectId", "subjectLabel"].map(|name| &entry[name]);
            assert!(texts.iter().all(|text| text.is_null()) && !entry.to_string().contains("pills"), "{entry}");
        }
    }

    async fn only_owners_and_admins_read_it(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/audit", cast.organization.id);
        for role in ["owner", "admin"] {
            answered(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::OK).await;
        }
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        refused(server.request(Method::GET, &path).bearer_auth(&cast.outsider.token), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::GET, &path), StatusCode::UNAUTHORIZED).await;
        let (_, narrow) = server.new_api_key(&cast.organization, cast.token("owner"), &["read:organization", "write:organization"]).await;
        refused(server.request(Method::GET, &path).header("X-API-Key", narrow), StatusCode::FORBIDDEN).await;
    }

    async fn no_name_of_a_customer_outlives_the_customer(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        let customer = "ada-lovelace";
        let path = format!("/api/organizations/{}", organization.id);
        let delete = |query: &str, token: &str| server.request(Method::DELETE, &format!("/customer/{customer}{query}")).bearer_auth(token);
        // Attempts of every outcome while the customer is there, and some after it is gone.
        refused(delete("", token), StatusCode::NOT_FOUND).await;
        new_customer(&server, &organization, customer, None).await;
        let subscription = server.new_dependant(&organization, customer, "subscriptions", json!({"plan": "basic"})).await;
        refused(delete("", &viewer.token), StatusCode::FORBIDDEN).await;
        refused(delete("", token), StatusCode::CONFLICT).await;
        let cancel = server.request(Method::PATCH, &format!("{path}/customers/{customer}/subscriptions/{subscription}"));
        expect(cancel.bearer_auth(token).json(&json!({"status": "cancelled"})), StatusCode::OK).await;
        deleted(delete("", token), StatusCode::OK).await;
        refused(delete("?hard=true", &viewer.token), StatusCode::FORBIDDEN).await;
        let known = expect(server.request(Method::GET, &format!("{path}/audit")).bearer_auth(token), StatusCode::OK).await;
        assert!(known.to_string().contains(customer), "{known}");
        let known = expect(server.request(Method::GET, "/api/deletions").bearer_auth(token), StatusCode::OK).await;
        assert!(known.to_string().contains(customer), "{known}");

        deleted(delete("?hard=true", token), StatusCode::OK).await;
        refused(delete("?hard=true", token), StatusCode::NOT_FOUND).await;
        refused(delete("", &viewer.token), StatusCode::FORBIDDEN).await;
        for path in [format!("{path}/audit?pageSize=100"), "/api/deletions?pageSize=100".to_owned()] {
            let left = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
            assert!(!left.to_string().contains(customer), "{left}");
        }
    }

    async fn operators_read_the_trail_of_what_is_gone(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}", organization.id);
        deleted(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        let deletion =
            deleted(server.request(Method::DELETE, &format!("{path}?reason=closing+down")).bearer_auth(token), StatusCode::NO_CONTENT)
                .await;
        server.wait_for_completion(&deletion, token).await;
        // Who owned it is a stranger to it now.
        refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::DELETE, &format!("{path}/customers/user123")).bearer_auth(token), StatusCode::NOT_FOUND).await;

        refused(server.request(Method::GET, &format!("{path}/audit")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let entries = entries(&server, &format!("{path}/audit"), &operator.token).await;
        let mut told: Vec<(&str, &str)> =
            entries.iter().map(|entry| (entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap())).collect();
        let wanted = [
            ("customer.create", "done"),
            ("customer.retire", "done"),
            ("organization.create", "done"),
            ("organization.delete", "done"),
            ("organization.delete", "not_found"),
        ];
        told.sort_unstable();
        assert_eq!(told, wanted);
        assert!(entries.iter().any(|entry| entry["outcome"] == "done" && entry["reason"] == "closing down"), "{entries:?}");
        assert!(entries.iter().all(|entry| entry["subjectLabel"].is_null()), "{entries:?}");
        let record =
            expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(&operator.token), StatusCode::OK).await;
        assert_eq!(record["state"], "completed");
        let named = server.request(Method::GET, "/api/deletions").header("X-Organization", &organization.id);
        let records = expect(named.bearer_auth(&operator.token), StatusCode::OK).await;
        assert_eq!(records["pagination"]["totalCount"], 2);
    }

    async fn attempts_on_organizations_that_never_were_are_kept_for_operators(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let (person, other) = (server.new_person().await, server.new_person().await);
        refused(
            server.request(Method::DELETE, &format!("/api/organizations/{UNKNOWN_ID}")).bearer_auth(&person.token),
            StatusCode::NOT_FOUND,
        )
        .await;
        refused(server.request(Method::DELETE, "/api/organizations/no-such-slug").bearer_auth(&person.token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::DELETE, "/customer/user123").bearer_auth(&other.token), StatusCode::FORBIDDEN).await;
        // Of one person one attempt a minute, wherever it went.
        let entries = trail(&server, SERVER_SCOPE, "organization.delete", &operator.token).await;
        assert!((1..=2).contains(&entries.len()), "{entries:?}");
        assert_eq!(trail(&server, SERVER_SCOPE, "customer.retire", &operator.token).await.len(), 1);
        refused(
            server.request(Method::GET, &format!("/api/organizations/{SERVER_SCOPE}/audit")).bearer_auth(&person.token),
            StatusCode::NOT_FOUND,
        )
        .await;
    }

    async fn operators_look_and_do_not_touch(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}", organization.id);
        for place in ["", "/audit"] {
            answered(server.request(Method::GET, &format!("{path}{place}")).bearer_auth(&operator.token), StatusCode::OK).await;
        }
        for place in ["/members", "/customers", "/customers/user123", "/api-keys", "/invites"] {
            refused(server.request(Method::GET, &format!("{path}{place}")).bearer_auth(&operator.token), StatusCode::FORBIDDEN).await;
        }
        for place in ["", "/customers/user123"] {
            refused(server.request(Method::DELETE, &format!("{path}{place}")).bearer_auth(&operator.token), StatusCode::FORBIDDEN).await;
        }
        let entry = trail(&server, &organization.id, "organization.delete", &organization.owner.token).await.remove(0);
        assert_eq!((&entry["actor"], &entry["outcome"]), (&json!("operator"), &json!("refused")));
    }

    async fn a_reason_that_is_too_long_or_not_text_is_refused_and_not_kept(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        for reason in ["x".repeat(501), "%00".to_owned(), "line%07bell".to_owned()] {
            let path = format!("/api/organizations/{}/customers/user123?reason={reason}", organization.id);
            let body = refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::BAD_REQUEST).await;
            assert_eq!(body["errors"][0]["field"], "reason");
        }
        let entries = trail(&server, &organization.id, "customer.delete", token).await;
        assert_eq!(entries.len(), 3);
        assert!(entries.iter().all(|entry| entry["outcome"] == "invalid" && entry["reason"].is_null()), "{entries:?}");
        let longest = "é".repeat(500);
        let request = server.request(Method::DELETE, &format!("/customer/user123?reason={longest}"));
        deleted(request.bearer_auth(token), StatusCode::OK).await;
        assert_eq!(trail(&server, &organization.id, "customer.retire", token).await[0]["reason"], longest);
    }
}
