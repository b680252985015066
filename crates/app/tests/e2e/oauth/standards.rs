//! The endpoints as their documents have them: RFC 6749, 7009, 7662 and 8414, and the organizations API's own.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use super::{SCOPES, me, refresh, refreshed, refused_as};
use crate::on_both_engines;
use crate::support::{Engine, OauthApp, OauthTokens, Server, expect, header};
use crate::tools::{answered, refused};

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// A request of an app that says who it is in the header.
fn of(app: &OauthApp, request: RequestBuilder) -> RequestBuilder {
    request.basic_auth(&app.client_id, Some(&app.secret))
}

async fn introspect(server: &Server, app: &OauthApp, token: &str) -> Json {
    expect(of(app, server.form("/oauth2/introspect", &[("token", token)])), StatusCode::OK).await
}

on_both_engines! {
    async fn the_documents_request_for_a_token_works_as_it_stands(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let request = |body: Json| server.request(Method::POST, "/api/oauth/token").json(&body);
        let body = json!({"clientId": app.client_id, "clientSecret": app.secret, "scopes": ["read:organization"]});
        let tokens = OauthTokens::read(&expect(request(body.clone()), StatusCode::OK).await);
        assert_eq!(tokens.scope, "read:organization");
        answered(server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).bearer_auth(&tokens.access), StatusCode::OK).await;
        let profile = expect(me(&server, &organization.owner.token), StatusCode::OK).await;
        let mut own = body.clone();
        own["userId"] = profile["id"].clone();
        answered(request(own), StatusCode::OK).await;
        let mut foreign = body.clone();
        foreign["userId"] = json!(organization.id);
        refused_as(request(foreign), StatusCode::BAD_REQUEST, "invalid_request").await;
        let mut wide = body.clone();
        wide["scopes"] = json!(["admin:all"]);
        refused_as(request(wide), StatusCode::BAD_REQUEST, "invalid_scope").await;
        let mut standard = body;
        standard["grant_type"] = json!("client_credentials");
        answered(request(standard), StatusCode::OK).await;
    }

    async fn a_client_says_who_it_is_in_one_of_the_ways_there_are(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let (id, secret) = (("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str()));
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        for path in ["/oauth2/token", "/api/oauth/token"] {
            let json = |body: Json| server.request(Method::POST, path).json(&body);
            for good in [
                server.form(path, &[GRANT, id, secret]),
                of(&app, server.form(path, &[GRANT])),
                of(&app, server.form(path, &[GRANT, id])),
                server.form(path, &[GRANT]).basic_auth(encoded(&app.client_id), Some(encoded(&app.secret))),
                server.form(path, &[GRANT, id, secret, ("scope", ""), ("refresh_token", ""), ("unknown", "x")]),
                json(json!({"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.secret})),
                json(json!({"grantType": "client_credentials", "clientId": app.client_id, "clientSecret": app.secret, "scope": null})),
            ] {
                let answer = answered(good, StatusCode::OK).await;
                assert_eq!((header(&answer, "cache-control"), header(&answer, "pragma")), ("no-store", "no-cache"));
                assert_eq!(OauthTokens::read(&answer.json().await.unwrap()).scope, SCOPES.join(" "));
            }
            for (bad, error) in [
                (of(&app, server.form(path, &[GRANT, secret])), "invalid_request"),
                (of(&app, server.form(path, &[GRANT, ("client_id", "app_other")])), "invalid_request"),
                (server.form(path, &[GRANT, GRANT, id, secret]), "invalid_request"),
                (server.form(path, &[GRANT, id, secret, ("clientSecret", "x")]), "invalid_request"),
                (server.form(path, &[GRANT, id, secret, ("scope", "read:user"), ("scopes", "read:user")]), "invalid_request"),
                (server.form(path, &[("grant_type", "password"), id, secret]), "unsupported_grant_type"),
                (server.form(path, &[("grant_type", "authorization_code"), id, secret]), "unsupported_grant_type"),
                (server.form(path, &[("grant_type", "refresh_token"), id, secret]), "invalid_request"),
                (json(json!([])), "invalid_request"),
                (server.request(Method::POST, path).body("grant_type=client_credentials"), "invalid_request"),
                (server.request(Method::POST, path).header("Content-Type", "application/json").body("{"), "invalid_request"),
            ] {
                refused_as(bad, StatusCode::BAD_REQUEST, error).await;
            }
            for unknown in [
                server.form(path, &[GRANT]),
                server.form(path, &[GRANT, id]),
                server.form(path, &[GRANT, secret]),
                server.form(path, &[GRANT]).header("Authorization", "Basic !"),
                server.form(path, &[GRANT]).header("Authorization", "Basic YQ=="),
                server.form(path, &[GRANT]).bearer_auth(&organization.owner.token),
            ] {
                refused_as(unknown, StatusCode::UNAUTHORIZED, "invalid_client").await;
            }
        }
        let without = server.form("/oauth2/token", &[id, secret]);
        refused_as(without, StatusCode::BAD_REQUEST, "invalid_request").await;
    }

    async fn an_unknown_client_hears_what_one_with_a_wrong_secret_hears(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let wrong = OauthApp { secret: format!("fhs_{}", "0".repeat(43)), ..app.clone() };
        let unknown = OauthApp { client_id: format!("app_{}", "0".repeat(24)), ..app.clone() };
        let strange = OauthApp { client_id: "\0".into(), ..app.clone() };
        for (path, fields) in [("/oauth2/token", [GRANT]), ("/api/oauth/token", [GRANT]), ("/oauth2/revoke", [("token", "x")]), ("/oauth2/introspect", [("token", "x")])] {
            let mut told = Vec::new();
            for client in [&wrong, &unknown, &strange] {
                let mut body = refused_as(of(client, server.form(path, &fields)), StatusCode::UNAUTHORIZED, "invalid_client").await;
                for differs in ["request_id", "timestamp"] {
                    body.as_object_mut().unwrap().remove(differs);
                }
                told.push(body);
            }
            assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
        }
    }

    async fn a_client_revokes_its_own_tokens(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let other = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let revoke = |client: &OauthApp, token: &str| of(client, server.form("/oauth2/revoke", &[("token", token), ("token_type_hint", "x")]));
        for is_refresh in [false, true] {
            let tokens = server.new_oauth_token(&app).await;
            answered(me(&server, &tokens.access), StatusCode::OK).await;
            let token = if is_refresh { &tokens.refresh } else { &tokens.access };
            refused_as(revoke(&other, token), StatusCode::BAD_REQUEST, "invalid_grant").await;
            answered(me(&server, &tokens.access), StatusCode::OK).await;
            answered(revoke(&app, token), StatusCode::OK).await;
            refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
            refused_as(refresh(&server, &app, &tokens.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
            answered(revoke(&app, token), StatusCode::OK).await;
        }
        for unknown in ["x", "fho_", &organization.owner.token, &format!("fhr_{}", "0".repeat(65))] {
            answered(revoke(&app, unknown), StatusCode::OK).await;
        }
        answered(me(&server, &organization.owner.token), StatusCode::OK).await;
        refused_as(of(&app, server.form("/oauth2/revoke", &[])), StatusCode::BAD_REQUEST, "invalid_request").await;
    }

    async fn an_app_is_told_about_tokens_of_its_own_organization(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        let app = server.new_oauth_app(&organization, &owner.token, &SCOPES).await;
        let reader = server.new_oauth_app(&organization, &owner.token, &["read:user"]).await;
        let elsewhere = server.new_organization().await;
        let stranger = server.new_oauth_app(&elsewhere, &elsewhere.owner.token, &SCOPES).await;
        let profile = expect(me(&server, &owner.token), StatusCode::OK).await;
        let first = server.new_oauth_token(&app).await;
        let tokens = refreshed(&server, &app, &first.refresh).await;
        let told = introspect(&server, &reader, &tokens.access).await;
        assert_eq!((&told["active"], &told["client_id"], &told["scope"]), (&json!(true), &json!(app.client_id), &json!(SCOPES.join(" "))));
        assert_eq!((&told["sub"], &told["jti"], &told["token_type"]), (&profile["id"], &json!(tokens.id), &json!("Bearer")));
        let end = told["exp"].as_i64().unwrap();
        let told = introspect(&server, &reader, &tokens.refresh).await;
        assert_eq!((&told["active"], told.get("token_type")), (&json!(true), None));
        assert!(told["exp"].as_i64().unwrap() > end);
        let bound = server.sign_in(&owner.email, Some(&organization.id)).await;
        for session in [&owner.token, &bound] {
            let told = introspect(&server, &reader, session).await;
            assert_eq!((&told["active"], &told["sub"], told.get("scope")), (&json!(true), &profile["id"], None));
        }
        let nothing = json!({"active": false});
        let (_, key) = server.new_api_key(&organization, &owner.token, &["read:user"]).await;
        for unknown in [&first.access, &first.refresh, &elsewhere.owner.token, &key, &app.secret, &"x".to_owned()] {
            assert_eq!(introspect(&server, &reader, unknown).await, nothing);
        }
        for foreign in [&tokens.access, &tokens.refresh, &owner.token, &bound] {
            assert_eq!(introspect(&server, &stranger, foreign).await, nothing);
        }
        // Asking used nothing up, not even the used refresh token.
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        let path = format!("/api/oauth/token/{}", tokens.id);
        answered(server.request(Method::DELETE, &path).bearer_auth(&owner.token), StatusCode::NO_CONTENT).await;
        assert_eq!(introspect(&server, &reader, &tokens.access).await, nothing);
    }

    async fn the_metadata_leads_to_endpoints_that_are_there_and_claims_no_others(server: Server) {
        let told = expect(server.request(Method::GET, "/.well-known/oauth-authorization-server"), StatusCode::OK).await;
        let issuer = told["issuer"].as_str().unwrap();
        for endpoint in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
            let path = told[endpoint].as_str().unwrap().strip_prefix(issuer).unwrap();
            refused_as(server.form(path, &[GRANT, ("token", "x")]), StatusCode::UNAUTHORIZED, "invalid_client").await;
        }
        answered(server.request(Method::GET, told["jwks_uri"].as_str().unwrap().strip_prefix(issuer).unwrap()), StatusCode::OK).await;
        assert_eq!(told["grant_types_supported"], json!(["client_credentials", "refresh_token"]));
        // RFC 8414, section 3.2: what has no elements is left out.
        assert!(told.as_object().unwrap().values().all(|value| value.as_array().is_none_or(|list| !list.is_empty())), "{told}");
        for absent in ["authorization_endpoint", "registration_endpoint", "code_challenge_methods_supported"] {
            assert!(told.get(absent).is_none(), "{told}");
        }
    }
}
