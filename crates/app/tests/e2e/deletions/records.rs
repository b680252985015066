//! A deletion is a noun: every DELETE answers with its id and its address, and its record says who ordered what and what came of it, to
//! those who may know.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, UNKNOWN_ID, answered, deleted, entries, is_like, new_customer, refused};

on_both_engines! {
    async fn every_delete_leads_to_its_record(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        let path = format!("/api/organizations/{}", organization.id);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        for customer in ["one", "two", "three"] {
            new_customer(&server, organization, customer, None).await;
        }
        let (first_key, _) = server.new_api_key(organization, token, &["read:user"]).await;
        let (second_key, _) = server.new_api_key(organization, token, &["read:user"]).await;
        let invite =
            server.request(Method::POST, &format!("{path}/members/invite")).bearer_auth(token).json(&json!({"email": "new@example.com"}));
        let invitation = expect(invite, StatusCode::CREATED).await;
        let requests = [
            (format!("{path}/customers/one"), 204, "customer", Some("one")),
            ("/customer/two".to_owned(), 200, "retired_customer", Some("two")),
            ("/customer/three?hard=true".to_owned(), 200, "customer", Some("three")),
            (format!("{path}/members/{}", cast.member("viewer")), 204, "member", None),
            (format!("{account}/members/{}", short(cast.member("member"))), 200, "member", None),
            (format!("{path}/api-keys/{first_key}"), 204, "api_key", None),
            (format!("{account}/api-keys/{}", short(&second_key)), 200, "api_key", None),
            (format!("{path}/invites/{}", invitation["id"].as_str().unwrap()), 204, "invitation", None),
            (account.clone(), 200, "organization", None),
        ];
        for (path, status, root, label) in requests {
            let request = server.request(Method::DELETE, &path).header("X-Request-Id", "request-of-record").bearer_auth(token);
            let deletion = deleted(request, StatusCode::from_u16(status).unwrap()).await;
            let record = server.wait_for_completion(&deletion, token).await;
            assert_eq!((&record["root"], &record["organizationId"]), (&json!(root), &json!(organization.id)), "{path}");
            assert_eq!((&record["actor"], &record["requestId"]), (&json!("user"), &json!("request-of-record")));
            // What is erased leaves no name behind.
            let kept = if root == "retired_customer" { json!(label) } else { Json::Null };
            assert_eq!(record["subjectLabel"], kept, "{path}");
            for name in ["createdAt", "updatedAt", "completedAt"] {
                assert!(is_like(record[name].as_str().unwrap(), "9999-99-99T99:99:99.999Z"), "{record}");
            }
            assert!(record["counts"].is_object() && record["waitingFor"].is_null(), "{record}");
        }
    }

    async fn a_record_is_for_owners_admins_and_the_one_who_ordered_it(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", cast.organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(cast.token("member")), StatusCode::NO_CONTENT).await;
        let read = |token: &str| server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token);
        for role in ["owner", "admin", "member"] {
            assert_eq!(expect(read(cast.token(role)), StatusCode::OK).await["id"], deletion);
        }
        let elsewhere = server.new_organization().await.owner;
        let strangers = ["master", "reseller", "billing", "viewer"].map(|role| cast.token(role)).into_iter();
        for token in strangers.chain([cast.outsider.token.as_str(), elsewhere.token.as_str()]) {
            let body = refused(read(token), StatusCode::NOT_FOUND).await;
            assert_eq!(body["message"], "Deletion not found.");
        }
        refused(server.request(Method::GET, &format!("/api/deletions/{deletion}")), StatusCode::UNAUTHORIZED).await;
        refused(
            server.request(Method::GET, &format!("/api/deletions/{UNKNOWN_ID}")).bearer_auth(cast.token("owner")),
            StatusCode::NOT_FOUND,
        )
        .await;
        refused(server.request(Method::GET, "/api/deletions/1").bearer_auth(cast.token("owner")), StatusCode::BAD_REQUEST).await;
    }

    async fn the_key_that_ordered_a_deletion_may_follow_it_and_a_key_of_elsewhere_may_not(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        let body = json!({"name": "Elsewhere", "slug": "elsewhere"});
        let made = server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body);
        let elsewhere = expect(made, StatusCode::CREATED).await;
        let elsewhere = crate::support::Organization {
            id: elsewhere["id"].as_str().unwrap().to_owned(),
            slug: "elsewhere".into(),
            owner: owner.clone(),
        };
        let (_, key) = server.new_api_key(&organization, &owner.token, &["write:customers"]).await;
        let (_, stranger) = server.new_api_key(&elsewhere, &owner.token, &["admin:all"]).await;
        new_customer(&server, &organization, "user123", None).await;
        let deletion = deleted(server.request(Method::DELETE, "/customer/user123").header("X-API-Key", &key), StatusCode::OK).await;
        let read = || server.request(Method::GET, &format!("/api/deletions/{deletion}"));
        let record = expect(read().header("X-API-Key", &key), StatusCode::OK).await;
        assert_eq!(record["actor"], "api_key");
        refused(read().header("X-API-Key", &stranger), StatusCode::NOT_FOUND).await;
        let bound = server.sign_in(&owner.email, Some("elsewhere")).await;
        refused(read().bearer_auth(bound), StatusCode::NOT_FOUND).await;
    }

    async fn the_one_who_deleted_the_organization_can_still_read_the_record(server: Server) {
        let organization = server.new_organization().await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let request = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id));
        let deletion = deleted(request.bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, &organization.owner.token).await;
        assert_eq!((&record["counts"]["members"], &record["counts"]["organizations"]), (&json!(2), &Json::Null));
        refused(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(&admin.token), StatusCode::NOT_FOUND).await;
    }

    async fn the_list_is_for_owners_and_admins_newest_first(server: Server) {
        let cast = Cast::assemble(&server).await;
        let mut ordered: Vec<String> = Vec::new();
        for customer in ["one", "two", "three"] {
            new_customer(&server, &cast.organization, customer, None).await;
            let request = server.request(Method::DELETE, &format!("/customer/{customer}?reason=a+test"));
            ordered.push(deleted(request.bearer_auth(cast.token("master")), StatusCode::OK).await);
        }
        ordered.sort_unstable();
        for role in ["owner", "admin"] {
            let list = entries(&server, "/api/deletions", cast.token(role)).await;
            assert!(list.iter().all(|record| record["reason"] == "a test"), "{list:?}");
            let mut ids: Vec<&str> = list.iter().map(|record| record["id"].as_str().unwrap()).collect();
            ids.sort_unstable();
            assert_eq!(ids, ordered);
            assert!(list.is_sorted_by_key(|record| std::cmp::Reverse(record["createdAt"].as_str().unwrap().to_owned())), "{list:?}");
        }
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(server.request(Method::GET, "/api/deletions").bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        let named = server.request(Method::GET, "/api/deletions").header("X-Organization", &cast.organization.slug);
        answered(named.bearer_auth(cast.token("owner")), StatusCode::OK).await;
        let foreign = server.request(Method::GET, "/api/deletions").header("X-Organization", &cast.organization.slug);
        refused(foreign.bearer_auth(&cast.outsider.token), StatusCode::FORBIDDEN).await;
    }
}
