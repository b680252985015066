//! Seeds 002 and 004: `DELETE /organizations/{id}` of the organizations API.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, Credential, OTHER_ROLES, Session, UNAUTHORIZED, UNKNOWN_ID, answered, refused};

const OWNERS_ONLY: &str = "Access denied. Only the organization owner can delete the organization";

on_both_engines! {
    async fn the_documents_request_is_answered_with_204_and_no_body(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}", organization.id);
        let request = server.request(Method::DELETE, &path).header("Authorization", format!("Bearer {}", organization.owner.token));
        let answer = answered(request, StatusCode::NO_CONTENT).await;
        assert!(!answer.headers().contains_key("content-type"));
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
        refused(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn the_id_may_be_a_uuid_in_either_case_a_shortuuid_or_the_slug(server: Server) {
        let owner = server.new_person().await;
        for form in 0..4 {
            let body = json!({"name": "Acme", "slug": "acme"});
            let made =
                expect(server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
            let id = made["id"].as_str().unwrap();
            let name = [id.to_owned(), id.to_uppercase(), short(id), "acme".to_owned()][form].clone();
            let request = server.request(Method::DELETE, &format!("/api/organizations/{name}")).bearer_auth(&owner.token);
            answered(request, StatusCode::NO_CONTENT).await;
            refused(server.request(Method::GET, &format!("/api/organizations/{id}")).bearer_auth(&owner.token), StatusCode::NOT_FOUND)
                .await;
        }
    }

    async fn a_key_an_oauth_bearer_and_a_cookie_are_as_good(server: Server) {
        for kind in 0..3 {
            let organization = server.new_organization().await;
            let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["admin:organization"]).await;
            let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
            let credential = [Credential::Key(key), Credential::Bearer(session.token), Credential::Cookie(session.cookie)][kind].clone();
            let path = format!("/api/organizations/{}", organization.id);
            answered(credential.on(server.request(Method::DELETE, &path)), StatusCode::NO_CONTENT).await;
            refused(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
        }
    }

    async fn without_a_good_credential_it_is_401(server: Server) {
        let organization = server.new_organization().await;
        let bad = [
            ("X-Nothing", "".to_owned()),
            ("Authorization", "".to_owned()),
            ("Authorization", "Bearer".to_owned()),
            ("Authorization", "Bearer ".to_owned()),
            ("Authorization", "Bearer your_token".to_owned()),
            ("Authorization", format!("Basic {}", organization.owner.token)),
            ("Authorization", organization.owner.token.clone()),
            ("X-API-Key", "csb_body_checksum".to_owned()),
            ("X-API-Key", organization.owner.token.clone()),
            ("Cookie", "sessionid=0123456789abcdef".to_owned()),
            ("Cookie", format!("other={}", organization.owner.token)),
        ];
        // An unknown caller does not learn which organizations exist.
        for id in [organization.id.as_str(), UNKNOWN_ID, "no-such-slug"] {
            for (name, value) in &bad {
                let request = server.request(Method::DELETE, &format!("/api/organizations/{id}")).header(*name, value);
                let body = refused(request, StatusCode::UNAUTHORIZED).await;
                assert_eq!(body["message"], UNAUTHORIZED);
            }
        }
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
    }

    async fn everybody_but_an_owner_is_refused_in_the_documents_words(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}", cast.organization.id);
        let tokens = OTHER_ROLES.iter().map(|role| cast.token(role)).chain([cast.outsider.token.as_str()]);
        for token in tokens {
            let body = refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::FORBIDDEN).await;
            assert_eq!((&body["statusCode"], &body["message"]), (&json!(403), &json!(OWNERS_ONLY)));
        }
        let (second_owner, _) = server.new_member(&cast.organization, "owner").await;
        answered(server.request(Method::DELETE, &path).bearer_auth(&second_owner.token), StatusCode::NO_CONTENT).await;
    }

    async fn a_key_of_the_owner_needs_the_scope(server: Server) {
        let organization = server.new_organization().await;
        let scopes = ["write:organization", "write:members", "write:customers", "read:organization"];
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &scopes).await;
        let path = format!("/api/organizations/{}", organization.id);
        let body = refused(server.request(Method::DELETE, &path).header("X-API-Key", key), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "Access denied. This credential lacks the scope admin:organization.");
    }

    async fn an_organization_that_is_not_there_is_404_in_the_documents_words(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}", organization.id);
        answered(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        let forms = [organization.id.clone(), short(&organization.id), organization.slug, UNKNOWN_ID.to_owned(), short(UNKNOWN_ID)];
        for id in forms {
            let request = server.request(Method::DELETE, &format!("/api/organizations/{id}")).bearer_auth(&organization.owner.token);
            let body = refused(request, StatusCode::NOT_FOUND).await;
            assert_eq!((&body["statusCode"], &body["message"]), (&json!(404), &json!("Organization not found")));
        }
    }

    async fn an_id_that_cannot_be_one_is_400(server: Server) {
        let person = server.new_person().await;
        for id in ["ab", "Not-A-Slug", "a_b"] {
            let request = server.request(Method::DELETE, &format!("/api/organizations/{id}")).bearer_auth(&person.token);
            let body = refused(request, StatusCode::BAD_REQUEST).await;
            assert_eq!(body["errors"][0]["field"], "id");
        }
    }

    async fn the_account_api_deletes_organizations_too(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/account/api/v1/organizations/{}", short(&cast.organization.id));
        refused(server.request(Method::DELETE, &path), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::DELETE, &path).bearer_auth(&cast.outsider.token), StatusCode::NOT_FOUND).await;
        let body = refused(server.request(Method::DELETE, &path).bearer_auth(cast.token("admin")), StatusCode::FORBIDDEN).await;
        assert_eq!(body["detail"], OWNERS_ONLY);
        let answer = answered(server.request(Method::DELETE, &path).bearer_auth(cast.token("owner")), StatusCode::OK).await;
        assert!(answer.json::<serde_json::Value>().await.unwrap().is_object());
        refused(server.request(Method::DELETE, &path).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND).await;
    }
}
