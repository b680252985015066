//! The end of tokens: at once with the token, its app, the member who made the app and the organization, for tokens that were just used and
//! for those that were never used, for access and for refresh.

use reqwest::{Method, StatusCode};

use super::{SCOPES, me, refresh, refused_as};
use crate::on_both_engines;
use crate::support::{Engine, OauthApp, OauthTokens, Server};
use crate::tools::{answered, deleted, refused};

/// Tokens of one app: one that a request used before, so that it is in memory, and one that no request used.
struct Pair {
    app: OauthApp,
    used: OauthTokens,
    unused: OauthTokens,
}

impl Pair {
    async fn get(server: &Server, app: &OauthApp) -> Pair {
        let (used, unused) = (server.new_oauth_token(app).await, server.new_oauth_token(app).await);
        answered(me(server, &used.access), StatusCode::OK).await;
        Pair { app: app.clone(), used, unused }
    }

    async fn is_dead(&self, server: &Server) {
        for tokens in [&self.used, &self.unused] {
            refused(me(server, &tokens.access), StatusCode::UNAUTHORIZED).await;
            refused_as(refresh(server, &self.app, &tokens.refresh), StatusCode::UNAUTHORIZED, "invalid_client").await;
            let documented =
                server.request(Method::POST, "/api/oauth/token/refresh").json(&serde_json::json!({"refreshToken": tokens.refresh}));
            refused_as(documented, StatusCode::UNAUTHORIZED, "invalid_grant").await;
        }
        let grant =
            server.form("/oauth2/token", &[("grant_type", "client_credentials")]).basic_auth(&self.app.client_id, Some(&self.app.secret));
        refused_as(grant, StatusCode::UNAUTHORIZED, "invalid_client").await;
    }

    async fn is_alive(&self, server: &Server) {
        answered(me(server, &self.used.access), StatusCode::OK).await;
        answered(me(server, &self.unused.access), StatusCode::OK).await;
    }
}

on_both_engines! {
    async fn with_its_app(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let doomed = Pair::get(&server, &server.new_oauth_app(&organization, owner, &SCOPES).await).await;
        let neighbour = Pair::get(&server, &server.new_oauth_app(&organization, owner, &SCOPES).await).await;
        let path = format!("/api/oauth/apps/{}", doomed.app.client_id);
        deleted(server.request(Method::DELETE, &path).bearer_auth(owner), StatusCode::NO_CONTENT).await;
        doomed.is_dead(&server).await;
        neighbour.is_alive(&server).await;
    }

    async fn with_an_app_of_more_tokens_than_go_at_once(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let app = server.new_oauth_app(&organization, owner, &SCOPES).await;
        for _ in 0..205 {
            server.new_oauth_token(&app).await;
        }
        let doomed = Pair::get(&server, &app).await;
        let request = server.request(Method::DELETE, &format!("/api/oauth/apps/{}", app.client_id)).bearer_auth(owner);
        let deletion = deleted(request, StatusCode::NO_CONTENT).await;
        doomed.is_dead(&server).await;
        let record = server.wait_for_completion(&deletion, owner).await;
        assert_eq!(record["counts"]["oauth_tokens"], 207, "{record}");
        doomed.is_dead(&server).await;
    }

    async fn with_the_member_who_made_its_app(server: Server) {
        let organization = server.new_organization().await;
        let (admin, member) = server.new_member(&organization, "admin").await;
        let doomed = Pair::get(&server, &server.new_oauth_app(&organization, &admin.token, &SCOPES).await).await;
        let neighbour = Pair::get(&server, &server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await).await;
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        doomed.is_dead(&server).await;
        neighbour.is_alive(&server).await;
        let app = server.request(Method::GET, &format!("/api/oauth/apps/{}", doomed.app.client_id));
        refused(app.bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn with_the_organization(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        let elsewhere = server.found_organization(owner).await;
        let doomed = Pair::get(&server, &server.new_oauth_app(&organization, &owner.token, &SCOPES).await).await;
        let neighbour = Pair::get(&server, &server.new_oauth_app(&elsewhere, &owner.token, &SCOPES).await).await;
        let path = format!("/api/organizations/{}", organization.id);
        deleted(server.request(Method::DELETE, &path).bearer_auth(&owner.token), StatusCode::NO_CONTENT).await;
        doomed.is_dead(&server).await;
        neighbour.is_alive(&server).await;
    }

    async fn by_its_id_and_by_itself(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        // Without any scope for it: a token can always end itself, and no other.
        let app = server.new_oauth_app(&organization, owner, &SCOPES).await;
        let Pair { used, unused, .. } = Pair::get(&server, &app).await;
        let path = |tokens: &OauthTokens| format!("/api/oauth/token/{}", tokens.id);
        refused(server.request(Method::DELETE, &path(&unused)).bearer_auth(&used.access), StatusCode::FORBIDDEN).await;
        deleted(server.request(Method::DELETE, &path(&used)).bearer_auth(&used.access), StatusCode::NO_CONTENT).await;
        refused(me(&server, &used.access), StatusCode::UNAUTHORIZED).await;
        refused_as(refresh(&server, &app, &used.refresh), StatusCode::BAD_REQUEST, "invalid_grant").await;
        answered(me(&server, &unused.access), StatusCode::OK).await;
        let deletion = deleted(server.request(Method::DELETE, &path(&unused)).bearer_auth(owner), StatusCode::NO_CONTENT).await;
        assert_eq!(server.wait_for_completion(&deletion, owner).await["root"], "oauth_token");
        refused(me(&server, &unused.access), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::DELETE, &path(&unused)).bearer_auth(owner), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::DELETE, "/api/oauth/token/no-id").bearer_auth(owner), StatusCode::BAD_REQUEST).await;
    }
}
