//! Keys of a person: good in all their organizations as they are a member there, able to found some, and gone with their account.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Person, Server, expect, short};
use crate::tools::{answered, change_database, deleted, entries, refused};

const MINE: &str = "/api/users/me/api-keys";

/// Makes a key of the person with these scopes and returns its record with the secret.
async fn make(server: &Server, person: &Person, scopes: &[&str]) -> Json {
    let body = json!({"name": "My key", "scopes": scopes});
    expect(server.request(Method::POST, MINE).bearer_auth(&person.token).json(&body), StatusCode::CREATED).await
}

fn with(request: RequestBuilder, key: &Json) -> RequestBuilder {
    request.header("X-API-Key", key["key"].as_str().unwrap())
}

fn get(server: &Server, key: &Json, path: &str) -> RequestBuilder {
    with(server.request(Method::GET, path), key)
}

on_both_engines! {
    async fn a_persons_key_acts_as_them_in_all_their_organizations_and_founds_some(server: Server) {
        let own = server.new_organization().await;
        let other = server.new_organization().await;
        let strange = server.new_organization().await;
        let person = own.owner.clone();
        server.add_member(&other, &person, "viewer").await;
        let key = make(&server, &person, &["read:user", "read:organization", "write:organization", "read:customers"]).await;
        assert!(key["key"].as_str().unwrap().starts_with("csu_") && key["memberId"] == Json::Null && key["kind"] == "user", "{key}");
        let mine = expect(get(&server, &key, "/api/organizations"), StatusCode::OK).await;
        assert_eq!(mine["data"].as_array().unwrap().len(), 2);
        let who = expect(get(&server, &key, "/account/api/v1/whoami"), StatusCode::OK).await;
        assert_eq!((who["organizations"].as_array().unwrap().len(), &who["api_key"]["id"]), (2, &json!(short(key["id"].as_str().unwrap()))));
        let valid = expect(with(server.request(Method::POST, "/api/api-keys/validate"), &key), StatusCode::OK).await;
        assert_eq!((&valid["valid"], &valid["organizationId"]), (&json!(true), &Json::Null));
        // As they are a member there.
        let rename = |id: &str| with(server.request(Method::PUT, &format!("/api/organizations/{id}")), &key).json(&json!({"name": "Renamed"}));
        answered(rename(&own.id), StatusCode::OK).await;
        refused(rename(&other.id), StatusCode::FORBIDDEN).await;
        answered(get(&server, &key, &format!("/api/organizations/{}", other.slug)), StatusCode::OK).await;
        refused(get(&server, &key, &format!("/api/organizations/{}", strange.id)), StatusCode::FORBIDDEN).await;
        // Where the address names none, the header does.
        refused(get(&server, &key, "/customer/nobody"), StatusCode::BAD_REQUEST).await;
        for organization in [&own, &other] {
            refused(get(&server, &key, "/customer/nobody").header("X-Organization", &organization.slug), StatusCode::NOT_FOUND).await;
        }
        for (path, slug) in [("/api/organizations", "founded-with-a-key"), ("/account/api/v1/organizations", "founded-with-a-key-too")] {
            let body = json!({"name": "Founded", "slug": slug});
            let founded = expect(with(server.request(Method::POST, path), &key).json(&body), StatusCode::CREATED).await;
            let path = format!("/api/organizations/{}", founded["id"].as_str().unwrap());
            answered(server.request(Method::GET, &path).bearer_auth(&person.token), StatusCode::OK).await;
        }
        let reading = make(&server, &person, &["read:organization"]).await;
        let body = json!({"name": "Founded", "slug": "founded-by-a-reader"});
        refused(with(server.request(Method::POST, "/api/organizations"), &reading).json(&body), StatusCode::FORBIDDEN).await;
    }

    async fn a_persons_key_is_rotated_by_them_and_by_itself_alone(server: Server) {
        let person = server.new_person().await;
        let other = server.new_person().await;
        let key = make(&server, &person, &["read:user"]).await;
        let sibling = make(&server, &person, &["read:user"]).await;
        let path = format!("{MINE}/{}/rotate", key["id"].as_str().unwrap());
        let rotate = |seconds: u32| server.request(Method::POST, &path).json(&json!({"overlapSeconds": seconds}));
        refused(with(rotate(60), &sibling), StatusCode::FORBIDDEN).await;
        refused(rotate(60).bearer_auth(&other.token), StatusCode::NOT_FOUND).await;
        refused(rotate(604_801).bearer_auth(&person.token), StatusCode::BAD_REQUEST).await;
        let second = expect(rotate(60).bearer_auth(&person.token), StatusCode::OK).await;
        assert_eq!((&second["id"], second["previousUntil"].is_string()), (&key["id"], true), "{second}");
        for secret in [&key, &second] {
            answered(get(&server, secret, "/api/users/me"), StatusCode::OK).await;
        }
        // The one before the one before is good no longer.
        let third = expect(with(rotate(60), &second), StatusCode::OK).await;
        refused(get(&server, &key, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        let last = expect(rotate(0).bearer_auth(&person.token), StatusCode::OK).await;
        assert_eq!(last["previousUntil"], Json::Null, "{last}");
        for secret in [&second, &third] {
            refused(get(&server, secret, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        }
        answered(get(&server, &last, "/api/users/me"), StatusCode::OK).await;
        // What was under way with it ends with it, too.
        let until = "UPDATE user_api_keys SET previous_until = created_at";
        let newest = expect(rotate(60).bearer_auth(&person.token), StatusCode::OK).await;
        change_database(&server, until).await;
        refused(get(&server, &last, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        answered(get(&server, &newest, "/api/users/me"), StatusCode::OK).await;
    }

    async fn a_persons_key_ends_where_they_leave_and_everywhere_with_their_account(server: Server) {
        let person = server.new_person().await;
        let left = server.new_organization().await;
        let kept = server.new_organization().await;
        let member = server.add_member(&left, &person, "admin").await;
        server.add_member(&kept, &person, "admin").await;
        let key = make(&server, &person, &["read:organization", "write:organization"]).await;
        let at = |id: &str| format!("/api/organizations/{id}");
        let made = |id: &str| {
            let body = json!({"name": "Made with it", "scopes": ["write:organization"]});
            with(server.request(Method::POST, &format!("{}/api-keys", at(id))), &key).json(&body)
        };
        let (there, here) = (expect(made(&left.id), StatusCode::CREATED).await, expect(made(&kept.id), StatusCode::CREATED).await);
        assert_eq!(here["madeBy"], key["id"]);
        let keys_of = |id: &str| format!("{}/api-keys", at(id));
        for (key, organization) in [(&key, &left), (&key, &kept), (&there, &left), (&here, &kept)] {
            answered(get(&server, key, &keys_of(&organization.id)), StatusCode::OK).await;
        }
        deleted(server.request(Method::DELETE, &format!("{}/members/{member}", at(&left.id))).bearer_auth(&person.token), StatusCode::NO_CONTENT).await;
        refused(get(&server, &key, &at(&left.id)), StatusCode::FORBIDDEN).await;
        refused(get(&server, &there, &at(&left.id)), StatusCode::UNAUTHORIZED).await;
        answered(get(&server, &key, &at(&kept.id)), StatusCode::OK).await;
        answered(get(&server, &here, &keys_of(&kept.id)), StatusCode::OK).await;
        let token = server.sign_in(&person.email, None).await;
        deleted(server.request(Method::DELETE, "/api/users/me").bearer_auth(&token), StatusCode::NO_CONTENT).await;
        for key in [&key, &here] {
            refused(get(&server, key, &at(&kept.id)), StatusCode::UNAUTHORIZED).await;
        }
    }

    async fn only_the_person_makes_and_changes_their_keys_and_a_key_ends_itself(server: Server) {
        let organization = server.new_organization().await;
        let person = organization.owner.clone();
        let key = make(&server, &person, &["admin:all"]).await;
        let other = make(&server, &person, &["admin:all"]).await;
        let (_, bound) = server.new_api_key(&organization, &person.token, &["admin:all"]).await;
        let bound = json!({"key": bound});
        let one = format!("{MINE}/{}", other["id"].as_str().unwrap());
        let through_the_organization = format!("/api/organizations/{}/api-keys", organization.id);
        for credential in [&key, &bound] {
            for (path, body) in [(MINE, json!({"name": "My key"})), (through_the_organization.as_str(), json!({"name": "My key", "kind": "user"}))] {
                refused(with(server.request(Method::POST, path), credential).json(&body), StatusCode::FORBIDDEN).await;
            }
            refused(with(server.request(Method::PATCH, &one), credential).json(&json!({"scopes": []})), StatusCode::FORBIDDEN).await;
            refused(with(server.request(Method::DELETE, &one), credential), StatusCode::FORBIDDEN).await;
        }
        refused(get(&server, &bound, MINE), StatusCode::FORBIDDEN).await;
        assert_eq!(expect(get(&server, &key, MINE), StatusCode::OK).await["data"].as_array().unwrap().len(), 2);
        let stranger = server.new_person().await;
        for method in [Method::GET, Method::DELETE] {
            refused(server.request(method, &one).bearer_auth(&stranger.token), StatusCode::NOT_FOUND).await;
        }
        let change = |body: Json| server.request(Method::PATCH, &one).bearer_auth(&person.token).json(&body);
        answered(change(json!({"scopes": ["read:user"]})), StatusCode::OK).await;
        refused(get(&server, &other, "/api/organizations"), StatusCode::FORBIDDEN).await;
        answered(change(json!({"isActive": false})), StatusCode::OK).await;
        refused(get(&server, &other, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        answered(change(json!({"isActive": true, "allowedIps": ["203.0.113.7"]})), StatusCode::OK).await;
        refused(get(&server, &other, "/api/users/me"), StatusCode::FORBIDDEN).await;
        let itself = format!("{MINE}/{}", key["id"].as_str().unwrap());
        answered(with(server.request(Method::DELETE, &itself), &key), StatusCode::NO_CONTENT).await;
        refused(get(&server, &key, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
        assert_eq!(entries(&server, MINE, &person.token).await.len(), 1);
    }

    async fn a_users_key_made_through_an_organization_is_the_persons_and_one_from_before_stays_bound(server: Server) {
        let organization = server.new_organization().await;
        let second = server.found_organization(&organization.owner).await;
        let token = &organization.owner.token;
        let keys = format!("/api/organizations/{}/api-keys", organization.id);
        let body = json!({"name": "My key", "kind": "user", "scopes": ["read:organization"]});
        let key = expect(server.request(Method::POST, &keys).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let reads = |organization: &str| get(&server, &key, &format!("/api/organizations/{organization}"));
        answered(reads(&second.id), StatusCode::OK).await;
        let one = format!("{keys}/{}", key["id"].as_str().unwrap());
        assert_eq!(expect(server.request(Method::GET, &one).bearer_auth(token), StatusCode::OK).await["name"], "My key");
        let changed = server.request(Method::PATCH, &one).bearer_auth(token).json(&json!({"name": "Renamed"}));
        assert_eq!(expect(changed, StatusCode::OK).await["name"], "Renamed");
        let admin = server.new_member(&organization, "admin").await.0;
        refused(server.request(Method::DELETE, &one).bearer_auth(&admin.token), StatusCode::NOT_FOUND).await;
        answered(server.request(Method::DELETE, &one).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(reads(&second.id), StatusCode::UNAUTHORIZED).await;
        // As they were made until now.
        let old = make(&server, &organization.owner, &["read:organization"]).await;
        server.new_api_key(&organization, token, &["read:organization"]).await;
        change_database(&server, "INSERT INTO api_keys (organization_id, id, member_id, kind, name, hint, hash, scopes, created_at) \
                                  SELECT bound.organization_id, own.id, bound.member_id, 'user', own.name, own.hint, own.hash, own.scopes, own.created_at \
                                  FROM user_api_keys AS own, api_keys AS bound; DELETE FROM user_api_keys").await;
        answered(get(&server, &old, &format!("/api/organizations/{}", organization.id)), StatusCode::OK).await;
        refused(get(&server, &old, &format!("/api/organizations/{}", second.id)), StatusCode::FORBIDDEN).await;
    }
}
