//! New secrets for keys: the one before is good for a chosen time, and only those get one who could act as the key's member anyway.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{answered, deleted, entries, refused};

fn at(organization: &Organization, key: &str) -> String {
    format!("/api/organizations/{}/api-keys/{key}", organization.id)
}

fn rotate(server: &Server, organization: &Organization, key: &str, seconds: u64) -> RequestBuilder {
    server.request(Method::POST, &format!("{}/rotate", at(organization, key))).json(&json!({"overlapSeconds": seconds}))
}

fn secret_of(rotated: &Json) -> String {
    rotated["key"].as_str().unwrap().to_owned()
}

fn me(server: &Server, secret: &str) -> RequestBuilder {
    server.request(Method::GET, "/api/users/me").header("X-API-Key", secret)
}

on_both_engines! {
    async fn both_secrets_of_a_rotated_key_are_good_for_the_chosen_time(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (id, first) = server.new_api_key(&organization, token, &["read:user"]).await;
        answered(me(&server, &first), StatusCode::OK).await;
        let rotated = expect(rotate(&server, &organization, &id, 604_800).bearer_auth(token), StatusCode::OK).await;
        let second = secret_of(&rotated);
        assert!(second != first && rotated["id"] == json!(id) && rotated["previousUntil"].is_string(), "{rotated}");
        assert!(second.ends_with(rotated["hint"].as_str().unwrap().rsplit('…').next().unwrap()), "{rotated}");
        for secret in [&first, &second] {
            answered(me(&server, secret), StatusCode::OK).await;
        }
        // The one before the last is no longer good, whatever time it had.
        let third = secret_of(&expect(rotate(&server, &organization, &id, 1).bearer_auth(token), StatusCode::OK).await);
        refused(me(&server, &first), StatusCode::UNAUTHORIZED).await;
        answered(me(&server, &third), StatusCode::OK).await;
        while me(&server, &second).send().await.unwrap().status() != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let fourth = secret_of(&expect(rotate(&server, &organization, &id, 0).bearer_auth(token), StatusCode::OK).await);
        refused(me(&server, &third), StatusCode::UNAUTHORIZED).await;
        let fifth = secret_of(&expect(rotate(&server, &organization, &id, 60).bearer_auth(token), StatusCode::OK).await);
        for secret in [&fourth, &fifth] {
            answered(me(&server, secret), StatusCode::OK).await;
        }
        deleted(server.request(Method::DELETE, &at(&organization, &id)).bearer_auth(token), StatusCode::NO_CONTENT).await;
        for secret in [&fourth, &fifth] {
            refused(me(&server, secret), StatusCode::UNAUTHORIZED).await;
        }
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        assert_eq!(trail.iter().filter(|entry| entry["action"] == "api_key.rotate" && entry["subjectId"] == json!(id)).count(), 4);
        assert!(trail.iter().all(|entry| !entry.to_string().contains(&fifth[4..36])));
    }

    async fn a_new_secret_is_given_to_the_keys_member_to_the_key_and_to_what_made_it(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let admin = server.new_member(&organization, "admin").await.0;
        let (id, key) = server.new_api_key(&organization, &admin.token, &["write:organization"]).await;
        let (_, other) = server.new_api_key(&organization, &admin.token, &["admin:all"]).await;
        for request in [
            rotate(&server, &organization, &id, 60).bearer_auth(owner),
            rotate(&server, &organization, &id, 60).header("X-API-Key", &other),
        ] {
            refused(request, StatusCode::FORBIDDEN).await;
        }
        answered(rotate(&server, &organization, &id, 60).bearer_auth(&admin.token), StatusCode::OK).await;
        let newest = secret_of(&expect(rotate(&server, &organization, &id, 60).header("X-API-Key", &key), StatusCode::OK).await);
        let body = json!({"name": "Child", "scopes": []});
        let request = server.request(Method::POST, &format!("/api/organizations/{}/api-keys", organization.id)).json(&body);
        let child = expect(request.header("X-API-Key", &newest), StatusCode::CREATED).await;
        let of_child = || rotate(&server, &organization, child["id"].as_str().unwrap(), 60);
        answered(of_child().header("X-API-Key", &newest), StatusCode::OK).await;
        refused(of_child().header("X-API-Key", &other), StatusCode::FORBIDDEN).await;
        for (seconds, code) in [(604_801, "out_of_range"), (1 << 40, "out_of_range")] {
            let problem = refused(rotate(&server, &organization, &id, seconds).bearer_auth(&admin.token), StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("overlapSeconds"), &json!(code)));
        }
    }
}
