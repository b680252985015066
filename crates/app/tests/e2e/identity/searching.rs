//! What operators find of the whole server, and that they find nothing of its customers.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::client::Shell;
use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect};
use crate::tools::{new_customer, refused};

fn searching(server: &Server, text: &str, token: &str) -> RequestBuilder {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    server.request(Method::GET, &format!("/api/operator/search?q={encoded}")).bearer_auth(token)
}

/// What is found that is of this kind.
async fn found(server: &Server, text: &str, kind: &str, token: &str) -> Vec<Json> {
    let all = expect(searching(server, text, token), StatusCode::OK).await;
    all.as_array().unwrap().iter().filter(|one| one["kind"] == kind).cloned().collect()
}

on_both_engines! {
    async fn operators_find_by_id_slug_address_key_and_request(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        let (key_id, key) = server.new_api_key(&organization, &owner.token, &["read:customers"]).await;
        let new_own = server.request(Method::POST, "/api/users/me/api-keys").bearer_auth(&owner.token);
        let own = expect(new_own.json(&json!({"name": "Mine", "scopes": ["read:user"]})), StatusCode::CREATED).await;
        let path = format!("/api/organizations/{}", organization.id);
        let change = server.request(Method::PUT, &path).bearer_auth(&owner.token).header("X-Request-Id", "a-request-of-theirs");
        expect(change.json(&json!({"name": "Another name"})), StatusCode::OK).await;
        new_customer(&server, &organization, "user123", None).await;

        for text in [&organization.id, &organization.slug] {
            let one = found(&server, text, "organization", &operator.token).await.remove(0);
            assert_eq!((&one["id"], &one["slug"], &one["state"]), (&json!(organization.id), &json!(organization.slug), &json!("live")));
            assert_eq!(one["sizes"], json!({"members": 1, "customers": 1, "keys": 1, "openDeletions": 0}));
        }
        let person = found(&server, &owner.email.to_uppercase(), "user", &operator.token).await.remove(0);
        assert_eq!((&person["email"], &person["isOperator"]), (&json!(owner.email), &json!(false)));
        assert_eq!(person["memberships"], json!([{"organizationId": organization.id, "slug": organization.slug, "role": "owner"}]));
        assert_eq!(person["sizes"], json!({"memberships": 1, "keys": 1}));
        assert_eq!(found(&server, person["id"].as_str().unwrap(), "user", &operator.token).await, std::slice::from_ref(&person));
        for (text, id, organization) in [
            (key_id.as_str(), json!(key_id), json!(organization.id)),
            (&key[key.len() - 4..], json!(key_id), json!(organization.id)),
            (&key[key.len() - 8..], json!(key_id), json!(organization.id)),
            (own["id"].as_str().unwrap(), own["id"].clone(), Json::Null),
            (own["hint"].as_str().unwrap(), own["id"].clone(), Json::Null),
        ] {
            let keys = found(&server, text, "api_key", &operator.token).await;
            let one = keys.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{text}: {keys:?}"));
            assert_eq!((&one["userId"], &one["state"], &one["organizationId"]), (&person["id"], &json!("active"), &organization), "{one}");
        }
        let entry = found(&server, "a-request-of-theirs", "audit_entry", &operator.token).await.remove(0);
        assert_eq!((&entry["action"], &entry["organizationId"]), (&json!("organization.update"), &json!(organization.id)));
        for text in ["no-such-thing", "nobody@example.com"] {
            assert_eq!(expect(searching(&server, text, &operator.token), StatusCode::OK).await, json!([]));
        }
        let answer = refused(searching(&server, &key, &operator.token), StatusCode::BAD_REQUEST).await;
        assert!(answer["errors"][0]["code"] == "secret" && !answer.to_string().contains(&key), "{answer}");
        for text in ["", "ab", "line\u{7}bell"] {
            refused(searching(&server, text, &operator.token), StatusCode::BAD_REQUEST).await;
        }
        let shell = Shell::new(&server);
        shell.run_with(&format!("sign-in --email {}", operator.email), &format!("{PASSWORD}\n")).await;
        let said = shell.run(&format!("find {}", organization.slug)).await;
        assert!(said.code == 0 && said.out.contains("customers=1") && said.out.contains(&organization.id), "{said:?}");
    }

    async fn no_one_else_searches_and_no_customer_is_found(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["admin:all"]).await;
        new_customer(&server, &organization, "customer-of-theirs", None).await;
        let path = format!("/api/organizations/{}/customers/customer-of-theirs", organization.id);
        let customer = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        refused(searching(&server, &organization.slug, &organization.owner.token), StatusCode::FORBIDDEN).await;
        let with_a_key = server.request(Method::GET, "/api/operator/search?q=acme").header("X-API-Key", &key);
        refused(with_a_key, StatusCode::FORBIDDEN).await;
        refused(server.request(Method::GET, "/api/operator/search?q=acme"), StatusCode::UNAUTHORIZED).await;
        for text in ["customer-of-theirs", customer["name"].as_str().unwrap(), customer["email"].as_str().unwrap()] {
            assert_eq!(expect(searching(&server, text, &operator.token), StatusCode::OK).await, json!([]), "{text}");
        }
        let all = expect(searching(&server, &organization.slug, &operator.token), StatusCode::OK).await.to_string();
        assert!(!all.contains("customer-of-theirs") && !all.contains(customer["email"].as_str().unwrap()), "{all}");
    }
}
