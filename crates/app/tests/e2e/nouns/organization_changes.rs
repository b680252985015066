//! What can be changed about an organization, who may do so, and how it goes into other hands.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, OTHER_ROLES, UNKNOWN_ID, answered, entries, refused};

on_both_engines! {
    async fn an_owner_changes_name_and_logo_and_what_is_not_said_stays(server: Server) {
        let organization = server.new_organization().await;
        let api = format!("/api/organizations/{}", organization.slug);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let put = |path: &str, body: serde_json::Value| server.request(Method::PUT, path).bearer_auth(&organization.owner.token).json(&body);
        let changed = expect(put(&api, json!({"name": "Acme", "logo": "https://example.com/logo.png"})), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["logo"]), (&json!("Acme"), &json!("https://example.com/logo.png")));
        let changed = expect(put(&account, json!({"name": "Acme & Sons"})), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["logo"]), (&json!("Acme & Sons"), &json!("https://example.com/logo.png")));
        let changed = expect(put(&api, json!({"logo": null})), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["logo"]), (&json!("Acme & Sons"), &json!(null)));
        // What changes nothing leaves no trace.
        assert_eq!(expect(put(&api, json!({"name": "Acme & Sons", "slug": organization.slug})), StatusCode::OK).await, changed);
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &organization.owner.token).await;
        assert_eq!(trail.iter().filter(|entry| entry["action"] == "organization.update").count(), 3);
        for body in [json!({"name": "ab"}), json!({"logo": ""}), json!({"logo": 1}), json!({"plan": "pro"})] {
            refused(put(&api, body), StatusCode::BAD_REQUEST).await;
        }
        for logo in ["logo.png", "javascript:alert(1)", "data:image/png;base64,AAAA", "file:///etc/passwd", "https://a:b@example.com/"] {
            refused(put(&api, json!({"logo": logo})), StatusCode::BAD_REQUEST).await;
            let make = server.request(Method::POST, "/api/organizations").bearer_auth(&organization.owner.token);
            refused(make.json(&json!({"name": "Acme", "slug": "a-logo", "logo": logo})), StatusCode::BAD_REQUEST).await;
        }
    }

    async fn a_slug_never_changes(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}", organization.id);
        let put = server.request(Method::PUT, &path).bearer_auth(&organization.owner.token).json(&json!({"name": "Acme", "slug": "other"}));
        let problem = refused(put, StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("slug"), &json!("immutable")));
        let read = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((&read["name"], &read["slug"]), (&json!("Test organization"), &json!(organization.slug)));
    }

    async fn only_an_owner_changes_or_hands_over_the_organization(server: Server) {
        let cast = Cast::assemble(&server).await;
        let one = format!("/api/organizations/{}", cast.organization.id);
        let hand_over = |token: &str| {
            let body = json!({"memberId": cast.member("admin")});
            server.request(Method::POST, &format!("{one}/transfer")).bearer_auth(token).json(&body)
        };
        for role in OTHER_ROLES {
            let put = server.request(Method::PUT, &one).bearer_auth(cast.token(role)).json(&json!({"name": "Acme"}));
            refused(put, StatusCode::FORBIDDEN).await;
            refused(hand_over(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        refused(hand_over(&cast.outsider.token), StatusCode::FORBIDDEN).await;
        let (_, key) = server.new_api_key(&cast.organization, cast.token("owner"), &["read:organization"]).await;
        let put = server.request(Method::PUT, &one).header("X-API-Key", &key).json(&json!({"name": "Acme"}));
        refused(put, StatusCode::FORBIDDEN).await;
    }

    async fn a_transfer_makes_the_member_an_owner_and_the_owner_an_admin(server: Server) {
        let organization = server.new_organization().await;
        let (heir, member) = server.new_member(&organization, "viewer").await;
        let owner = &organization.owner.token;
        let one = format!("/api/organizations/{}", organization.id);
        // Both are in memory with their old roles.
        answered(server.request(Method::GET, &one).bearer_auth(&heir.token), StatusCode::OK).await;
        let hand_over = server.request(Method::POST, &format!("{one}/transfer")).bearer_auth(owner).json(&json!({"memberId": member}));
        let handed = expect(hand_over, StatusCode::OK).await;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&heir.token), StatusCode::OK).await;
        assert_eq!(handed["ownerId"], me["id"]);
        let put = |token: &str| server.request(Method::PUT, &one).bearer_auth(token).json(&json!({"name": "Of the heir"}));
        refused(put(owner), StatusCode::FORBIDDEN).await;
        expect(put(&heir.token), StatusCode::OK).await;
        let roles: Vec<_> = entries(&server, &format!("{one}/members"), owner).await.iter().map(|one| one["role"].clone()).collect();
        assert_eq!(roles, ["admin", "owner"]);
        let trail = entries(&server, &format!("{one}/audit"), owner).await;
        let entry = trail.iter().find(|entry| entry["action"] == "organization.transfer").unwrap();
        assert!(entry["detail"].as_str().unwrap().ends_with(&member), "{entry}");
    }

    async fn it_is_handed_over_to_another_member_of_it_only(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        let (_, stranger) = server.new_member(&elsewhere, "admin").await;
        let owner = &organization.owner.token;
        let one = format!("/api/organizations/{}", organization.id);
        let own = entries(&server, &format!("{one}/members"), owner).await[0]["id"].as_str().unwrap().to_owned();
        for (member, code) in [(&*own, "own_membership"), (&*stranger, "unknown_member"), (UNKNOWN_ID, "unknown_member"), ("x", "invalid_id")] {
            let request = server.request(Method::POST, &format!("{one}/transfer")).bearer_auth(owner).json(&json!({"memberId": member}));
            let problem = refused(request, StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("memberId"), &json!(code)));
        }
    }
}
