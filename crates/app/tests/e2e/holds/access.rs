//! Who may place, read and release holds.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{hold, placing, releasing};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, OTHER_ROLES, UNKNOWN_ID, answered, deleted, entries, new_customer, refused};

on_both_engines! {
    async fn owners_and_admins_place_and_owners_release(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        new_customer(&server, organization, "user123", Some(cast.member("reseller"))).await;
        let places = ["", "/customers/user123", &format!("/members/{}", cast.member("viewer"))];
        let path = format!("/api/organizations/{}/holds", organization.id);
        for place in places {
            let placed = expect(placing(&server, organization, place, cast.token("admin")), StatusCode::CREATED).await;
            let id = placed["id"].as_str().unwrap();
            for role in OTHER_ROLES {
                refused(releasing(&server, organization, id, cast.token(role)), StatusCode::FORBIDDEN).await;
                if role != "admin" {
                    refused(placing(&server, organization, place, cast.token(role)), StatusCode::FORBIDDEN).await;
                    for address in [path.clone(), format!("{path}/{id}")] {
                        refused(server.request(Method::GET, &address).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
                    }
                }
            }
            answered(server.request(Method::GET, &format!("{path}/{id}")).bearer_auth(cast.token("admin")), StatusCode::OK).await;
            answered(releasing(&server, organization, id, cast.token("owner")), StatusCode::OK).await;
        }
        assert_eq!(entries(&server, &path, cast.token("admin")).await.len(), 3);
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), cast.token("owner")).await;
        let count = |action: &str, outcome: &str| trail.iter().filter(|entry| entry["action"] == action && entry["outcome"] == outcome).count();
        assert_eq!((count("hold.place", "done"), count("hold.place", "refused")), (3, 15));
        assert_eq!((count("hold.release", "done"), count("hold.release", "refused")), (3, 18));
    }

    async fn holds_are_nothing_to_strangers(server: Server) {
        let organization = server.new_organization().await;
        let other = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let id = hold(&server, &organization, "/customers/user123").await;
        let path = |organization: &str| format!("/api/organizations/{organization}/holds");
        for stranger in [&other.owner.token, &server.new_person().await.token] {
            for place in ["", "/customers/user123"] {
                refused(placing(&server, &organization, place, stranger), StatusCode::FORBIDDEN).await;
            }
            refused(releasing(&server, &organization, &id, stranger), StatusCode::FORBIDDEN).await;
            for address in [path(&organization.id), format!("{}/{id}", path(&organization.id))] {
                refused(server.request(Method::GET, &address).bearer_auth(stranger), StatusCode::FORBIDDEN).await;
            }
        }
        refused(placing(&server, &organization, "", "nobody's"), StatusCode::UNAUTHORIZED).await;
        // By way of one's own organization neither.
        let token = &other.owner.token;
        for hold in [id.as_str(), UNKNOWN_ID] {
            let read = server.request(Method::GET, &format!("{}/{hold}", path(&other.id))).bearer_auth(token);
            assert_eq!(refused(read, StatusCode::NOT_FOUND).await["message"], "Hold not found.");
            refused(releasing(&server, &other, hold, token), StatusCode::NOT_FOUND).await;
        }
        refused(placing(&server, &other, "/customers/user123", token), StatusCode::NOT_FOUND).await;
        refused(placing(&server, &other, &format!("/members/{UNKNOWN_ID}"), token), StatusCode::NOT_FOUND).await;
        // And what is held here is free there.
        new_customer(&server, &other, "user123", None).await;
        deleted(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        refused(server.request(Method::DELETE, "/customer/user123").bearer_auth(&organization.owner.token), StatusCode::CONFLICT).await;
    }

    async fn a_key_needs_the_scope_of_the_whole_organization(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/holds", organization.id);
        for (scope, status) in [("write:customers", StatusCode::FORBIDDEN), ("admin:organization", StatusCode::CREATED)] {
            let (_, key) = server.new_api_key(&organization, token, &[scope]).await;
            let place = server.request(Method::POST, &path).header("X-API-Key", &key).json(&json!({"reason": "Case 2026-17"}));
            let answer = answered(place, status).await.json::<serde_json::Value>().await.unwrap();
            if status == StatusCode::CREATED {
                assert_eq!(answer["placedBy"], "api_key");
            }
        }
    }

    async fn what_an_operator_holds_only_an_operator_releases(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let placed = expect(placing(&server, &organization, "/customers/user123", &operator.token), StatusCode::CREATED).await;
        let id = placed["id"].as_str().unwrap();
        assert_eq!(placed["placedBy"], "operator");
        let answer = refused(releasing(&server, &organization, id, token), StatusCode::FORBIDDEN).await;
        assert!(answer["message"].as_str().unwrap().contains("operator"), "{answer}");
        let delete = || server.request(Method::DELETE, "/customer/user123").bearer_auth(token);
        let answer = refused(delete(), StatusCode::CONFLICT).await;
        assert!(answer["blockers"][0]["remedy"].as_str().unwrap().starts_with("An operator of the server"), "{answer}");
        let read = server.request(Method::GET, &format!("/api/organizations/{}/holds/{id}", organization.id));
        answered(read.bearer_auth(&operator.token), StatusCode::OK).await;
        // Operators hold, and delete nothing themselves.
        refused(server.request(Method::DELETE, "/customer/user123").header("X-Organization", &organization.id).bearer_auth(&operator.token), StatusCode::FORBIDDEN).await;
        answered(releasing(&server, &organization, id, &operator.token), StatusCode::OK).await;
        deleted(delete(), StatusCode::OK).await;
    }
}
