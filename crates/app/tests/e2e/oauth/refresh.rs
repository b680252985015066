//! Refresh tokens: good once, each in its turn; one that comes a second time ends everything that came of it.

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{SCOPES, me, refresh, refreshed, refused_as};
use crate::on_both_engines;
use crate::support::{Engine, OauthTokens, Server, expect};
use crate::tools::{answered, entries, refused};

on_both_engines! {
    async fn a_refresh_gives_a_new_pair_and_ends_the_old_access_token(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let mut tokens = server.new_oauth_token(&app).await;
        let mut seen = HashSet::from([tokens.access.clone(), tokens.refresh.clone()]);
        for _ in 0..5 {
            answered(me(&server, &tokens.access), StatusCode::OK).await;
            let next = refreshed(&server, &app, &tokens.refresh).await;
            assert!(seen.insert(next.access.clone()) && seen.insert(next.refresh.clone()));
            assert_eq!((&next.id, &next.scope), (&tokens.id, &tokens.scope));
            refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
            tokens = next;
        }
        answered(me(&server, &tokens.access), StatusCode::OK).await;
    }

    async fn a_used_refresh_token_ends_all_that_came_of_it_however_old_it_is(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        for generations in [1, 2, 5] {
            let stolen = server.new_oauth_token(&app).await;
            let mut tokens = stolen.clone();
            for _ in 0..generations {
                tokens = refreshed(&server, &app, &tokens.refresh).await;
            }
            answered(me(&server, &tokens.access), StatusCode::OK).await;
            refused_as(refresh(&server, &app, &stolen.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
            refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
            refused_as(refresh(&server, &app, &tokens.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
            let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &organization.owner.token).await;
            let entry = trail.iter().find(|entry| entry["action"] == "oauth_token.revoke").unwrap();
            assert_eq!(
                (&entry["subjectId"], &entry["actor"], &entry["reason"], &entry["outcome"]),
                (&json!(tokens.id), &json!("system"), &json!("A used refresh token was presented."), &json!("done"))
            );
            assert!(entry["deletionId"].is_string());
        }
        // Other tokens of the app have nothing to do with it.
        let other = server.new_oauth_token(&app).await;
        answered(me(&server, &other.access), StatusCode::OK).await;
    }

    async fn a_used_refresh_token_that_asks_for_too_much_ends_them_too(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let stolen = server.new_oauth_token(&app).await;
        let newest = refreshed(&server, &app, &stolen.refresh).await;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", stolen.refresh.as_str()), ("scope", "admin:everything")];
        let greedy = server.form("/oauth2/token", &fields).basic_auth(&app.client_id, Some(&app.secret));
        refused_as(greedy, StatusCode::BAD_REQUEST, "invalid_grant").await;
        refused(me(&server, &newest.access), StatusCode::UNAUTHORIZED).await;
    }

    async fn of_many_refreshes_at_once_exactly_one_wins(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        for _ in 0..10 {
            let tokens = server.new_oauth_token(&app).await;
            let racing = (0..4).map(|_| refresh(&server, &app, &tokens.refresh).send());
            let answers: Vec<_> = futures_util::future::join_all(racing).await.into_iter().map(|answer| answer.unwrap().status()).collect();
            let won = answers.iter().filter(|status| **status == StatusCode::OK).count();
            let lost = answers.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count();
            assert_eq!((won, lost), (1, 3), "{answers:?}");
            // The others came with a used token.
            refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
            refused_as(refresh(&server, &app, &tokens.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
        }
    }

    async fn a_refresh_token_is_its_clients(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let other = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        refused_as(refresh(&server, &other, &tokens.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
        refused_as(server.form("/oauth2/token", &fields), StatusCode::UNAUTHORIZED, "invalid_client").await;
        let mut wrong = app.clone();
        wrong.secret = other.secret.clone();
        refused_as(refresh(&server, &wrong, &tokens.refresh), StatusCode::UNAUTHORIZED, "invalid_client").await;
        for unknown in ["fhr_", "x", &tokens.access, &format!("fhr_{}", "0".repeat(65)), &tokens.refresh[..68]] {
            refused_as(refresh(&server, &app, unknown), StatusCode::BAD_REQUEST, "invalid_grant").await;
        }
        // Nothing of this used it up.
        refreshed(&server, &app, &tokens.refresh).await;
    }

    async fn the_documented_endpoint_needs_nothing_but_the_token(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let other = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        let request = |body: serde_json::Value| server.request(Method::POST, "/api/oauth/token/refresh").json(&body);
        let foreign = json!({"refreshToken": tokens.refresh, "clientId": other.client_id, "clientSecret": other.secret});
        refused_as(request(foreign), StatusCode::UNAUTHORIZED, "invalid_grant").await;
        let wrong = json!({"refreshToken": tokens.refresh, "clientId": app.client_id, "clientSecret": other.secret});
        refused_as(request(wrong), StatusCode::UNAUTHORIZED, "invalid_client").await;
        refused_as(request(json!({})), StatusCode::BAD_REQUEST, "invalid_request").await;
        let next = OauthTokens::read(&expect(request(json!({"refreshToken": tokens.refresh})), StatusCode::OK).await);
        let own = json!({"refresh_token": next.refresh, "clientId": app.client_id, "clientSecret": app.secret, "scopes": ["read:user"]});
        let last = OauthTokens::read(&expect(request(own), StatusCode::OK).await);
        assert_eq!(last.scope, "read:user");
        refused_as(request(json!({"refreshToken": next.refresh})), StatusCode::UNAUTHORIZED, "invalid_grant").await;
        refused(me(&server, &last.access), StatusCode::UNAUTHORIZED).await;
    }
}
