//! What a token may be used for: what its app's maker may, within the scopes of the app and its own, in their organization, on every
//! surface.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::{SCOPES, me, refresh, refreshed, refused_as};
use crate::on_both_engines;
use crate::support::{Engine, OauthApp, OauthTokens, Server, expect, short};
use crate::tools::{Cast, answered, change_database, deleted, entries, new_customer, refused};

/// The request with which an app asks for scopes.
fn ask(server: &Server, app: &OauthApp, scope: &str) -> RequestBuilder {
    server.form("/oauth2/token", &[("grant_type", "client_credentials"), ("scope", scope)]).basic_auth(&app.client_id, Some(&app.secret))
}

on_both_engines! {
    async fn a_token_is_good_on_every_surface(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["admin:all"]).await;
        let tokens = server.new_oauth_token(&app).await;
        let read = |path: String| server.request(Method::GET, &path).bearer_auth(&tokens.access);
        let profile = expect(me(&server, &tokens.access), StatusCode::OK).await;
        assert_eq!(profile["email"], json!(organization.owner.email));
        answered(read(format!("/api/organizations/{}", organization.slug)), StatusCode::OK).await;
        answered(read(format!("/account/api/v1/organizations/{}", short(&organization.id))), StatusCode::OK).await;
        answered(read("/customer/user123".into()), StatusCode::OK).await;
        let who = expect(read("/account/api/v1/whoami".into()), StatusCode::OK).await;
        assert_eq!((who.get("api_key"), &who["organizations"][0]["id"]), (Some(&json!(null)), &json!(short(&organization.id))));
        deleted(server.request(Method::DELETE, &format!("/api/organizations/{}/customers/user123", organization.id)).bearer_auth(&tokens.access), StatusCode::NO_CONTENT).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &organization.owner.token).await;
        let entry = trail.iter().find(|entry| entry["action"] == "customer.delete").unwrap();
        assert_eq!((&entry["actor"], &entry["credentialId"], &entry["actorId"]), (&json!("oauth_app"), &json!(tokens.id), &profile["id"]));
        let entry = trail.iter().find(|entry| entry["action"] == "oauth_token.create").unwrap();
        assert_eq!((&entry["actor"], &entry["credentialId"], &entry["subjectId"]), (&json!("oauth_app"), &json!(app.id), &json!(tokens.id)));
    }

    async fn a_token_is_a_bearer_and_nothing_else_passes_for_it(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        let longer = format!("{}0", tokens.access);
        let mut changed = tokens.access.clone();
        changed.replace_range(20..21, if &changed[20..21] == "0" { "1" } else { "0" });
        for bad in [&tokens.refresh, &app.secret, &app.client_id, &tokens.id, &longer, &changed, &tokens.access[..46].to_owned(), &"fho_".to_owned()] {
            refused(me(&server, bad), StatusCode::UNAUTHORIZED).await;
        }
        for request in [
            server.request(Method::GET, "/api/users/me").header("X-API-Key", &tokens.access),
            server.request(Method::GET, "/api/users/me").header("Cookie", format!("sessionid={}", tokens.access)),
            server.request(Method::GET, "/api/users/me").basic_auth(&app.client_id, Some(&app.secret)),
            server.request(Method::GET, &format!("/api/users/me?access_token={}", tokens.access)),
        ] {
            refused(request, StatusCode::UNAUTHORIZED).await;
        }
        answered(me(&server, &tokens.access), StatusCode::OK).await;
    }

    async fn a_token_does_what_its_scopes_and_its_makers_role_allow_in_one_organization(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}", cast.organization.id);
        let app = server.new_oauth_app(&cast.organization, cast.token("admin"), &["admin:all"]).await;
        let access = server.new_oauth_token(&app).await.access;
        let asked = |method: Method, path: &str| server.request(method, path).bearer_auth(&access);
        answered(asked(Method::GET, &format!("{path}/audit")), StatusCode::OK).await;
        refused(asked(Method::DELETE, &path), StatusCode::FORBIDDEN).await;
        let narrow = server.new_oauth_app(&cast.organization, cast.token("owner"), &["read:organization"]).await;
        let narrow = server.new_oauth_token(&narrow).await.access;
        answered(server.request(Method::GET, &path).bearer_auth(&narrow), StatusCode::OK).await;
        let problem = refused(server.request(Method::DELETE, &path).bearer_auth(&narrow), StatusCode::FORBIDDEN).await;
        assert_eq!(problem["detail"], "Access denied. This credential lacks the scope admin:organization.");
        // A stranger in every other organization of the same person, and no person.
        let elsewhere = server.found_organization(&cast.organization.owner).await;
        let wide = server.new_oauth_app(&cast.organization, cast.token("owner"), &["admin:all"]).await;
        let wide = server.new_oauth_token(&wide).await.access;
        let asked = |method: Method, path: &str| server.request(method, path).bearer_auth(&wide);
        refused(asked(Method::GET, &format!("/api/organizations/{}", elsewhere.id)), StatusCode::FORBIDDEN).await;
        refused(asked(Method::DELETE, &format!("/api/organizations/{}", elsewhere.id)), StatusCode::FORBIDDEN).await;
        refused(asked(Method::POST, "/api/organizations").json(&json!({"name": "Third", "slug": "third"})), StatusCode::FORBIDDEN).await;
        refused(asked(Method::POST, "/api/auth/sign-out"), StatusCode::FORBIDDEN).await;
        refused(asked(Method::POST, "/api/invites/accept").json(&json!({"token": "x"})), StatusCode::FORBIDDEN).await;
    }

    async fn scopes_narrow_and_narrow_again(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["read:user", "read:members", "read:customers"]).await;
        let tokens = OauthTokens::read(&expect(ask(&server, &app, "read:members read:user"), StatusCode::OK).await);
        assert_eq!(tokens.scope, "read:user read:members");
        let members = format!("/api/organizations/{}/members", organization.id);
        let customers = format!("/api/organizations/{}/customers", organization.id);
        let read = |path: &str, access: &str| server.request(Method::GET, path).bearer_auth(access);
        answered(read(&members, &tokens.access), StatusCode::OK).await;
        refused(read(&customers, &tokens.access), StatusCode::FORBIDDEN).await;
        refused_as(ask(&server, &app, "read:user write:members"), StatusCode::BAD_REQUEST, "invalid_scope").await;
        refused_as(ask(&server, &app, "no:such"), StatusCode::BAD_REQUEST, "invalid_scope").await;

        // The refresh narrows the access token, and the next one may have again what was granted.
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("scope", "read:user")];
        let narrowed = server.form("/oauth2/token", &fields).basic_auth(&app.client_id, Some(&app.secret));
        let narrowed = OauthTokens::read(&expect(narrowed, StatusCode::OK).await);
        assert_eq!(narrowed.scope, "read:user");
        refused(read(&members, &narrowed.access), StatusCode::FORBIDDEN).await;
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &narrowed.refresh), ("scope", "read:customers")];
        let widened = server.form("/oauth2/token", &fields).basic_auth(&app.client_id, Some(&app.secret));
        refused_as(widened, StatusCode::BAD_REQUEST, "invalid_scope").await;
        let again = refreshed(&server, &app, &narrowed.refresh).await;
        assert_eq!(again.scope, "read:user read:members");
        answered(read(&members, &again.access), StatusCode::OK).await;

        // The app is narrowed, and with it the tokens that it has.
        let change = server.request(Method::PUT, &format!("/api/oauth/apps/{}", app.client_id)).bearer_auth(&organization.owner.token);
        answered(change.json(&json!({"scopes": ["read:user", "read:customers"]})), StatusCode::OK).await;
        refused(read(&members, &again.access), StatusCode::FORBIDDEN).await;
        refused(read(&customers, &again.access), StatusCode::FORBIDDEN).await;
        answered(me(&server, &again.access), StatusCode::OK).await;
        assert_eq!(refreshed(&server, &app, &again.refresh).await.scope, "read:user");
    }

    async fn a_wide_scope_stands_for_those_under_it(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["admin:all"]).await;
        let tokens = OauthTokens::read(&expect(ask(&server, &app, "read:user"), StatusCode::OK).await);
        assert_eq!(tokens.scope, "read:user");
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        let wide = server.new_oauth_token(&app).await;
        assert_eq!(wide.scope, "admin:all");
        let change = server.request(Method::PUT, &format!("/api/oauth/apps/{}", app.client_id)).bearer_auth(&organization.owner.token);
        answered(change.json(&json!({"scopes": ["read:organization"]})), StatusCode::OK).await;
        refused(me(&server, &wide.access), StatusCode::FORBIDDEN).await;
        answered(server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).bearer_auth(&wide.access), StatusCode::OK).await;
    }

    async fn a_token_past_its_end_is_refused(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        change_database(&server, "UPDATE oauth_tokens SET expires_at = created_at").await;
        refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
        let tokens = refreshed(&server, &app, &tokens.refresh).await;
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        change_database(&server, "UPDATE oauth_tokens SET refresh_expires_at = created_at").await;
        refused_as(refresh(&server, &app, &tokens.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
    }
}
