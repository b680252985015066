//! Apps: made, read, changed and deleted by those who may; only their makers give to them; strangers do not learn that they are there.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use super::{SCOPES, me, refresh, refused_as};
use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, Server, expect, short};
use crate::tools::{Cast, OTHER_ROLES, UNKNOWN_ID, answered, change_database, deleted, entries, is_like, keys_of, refused};

fn at(app: &OauthApp) -> String {
    format!("/api/oauth/apps/{}", app.client_id)
}

fn change(server: &Server, app: &OauthApp, token: &str, body: Json) -> RequestBuilder {
    server.request(Method::PUT, &at(app)).bearer_auth(token).json(&body)
}

fn rotate(server: &Server, app: &OauthApp) -> RequestBuilder {
    server.request(Method::POST, &format!("{}/secret", at(app)))
}

fn grant(server: &Server, app: &OauthApp) -> RequestBuilder {
    server.form("/oauth2/token", &[("grant_type", "client_credentials")]).basic_auth(&app.client_id, Some(&app.secret))
}

/// Makes an app as the body says.
fn make(server: &Server, organization: &Organization, body: &Json) -> RequestBuilder {
    server.request(Method::POST, "/api/oauth/apps").bearer_auth(&organization.owner.token).json(body)
}

on_both_engines! {
    async fn an_app_is_made_read_changed_and_deleted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let body = json!({"name": "My Integration", "description": "For tests", "redirectUri": "https://example.com/callback",
                          "scopes": ["write:organization", "read:organization", "read:organization"]});
        let made = expect(make(&server, &organization, &body), StatusCode::CREATED).await;
        let client_id = made["clientId"].as_str().unwrap();
        assert!(client_id.len() == 28 && client_id.starts_with("app_"), "{client_id}");
        let secret = made["clientSecret"].as_str().unwrap();
        assert!(secret.len() == 47 && secret.starts_with("fhs_"), "{secret}");
        assert_eq!(made["organizationId"], json!(organization.id));
        assert_eq!((&made["name"], &made["description"], &made["isActive"]), (&json!("My Integration"), &json!("For tests"), &json!(true)));
        assert_eq!(made["scopes"], json!(["read:organization", "write:organization"]));
        assert_eq!((&made["redirectUri"], &made["redirectUris"]), (&body["redirectUri"], &json!(["https://example.com/callback"])));
        assert!(is_like(made["createdAt"].as_str().unwrap(), "9999-99-99T99:99:99.999Z"));

        let path = format!("/api/oauth/apps/{client_id}");
        let read = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let listed = entries(&server, &format!("/api/oauth/apps/organization/{}", organization.id), token).await;
        let mut shown = made.clone();
        shown.as_object_mut().unwrap().remove("clientSecret");
        assert_eq!((&read, &listed), (&shown, &vec![shown.clone()]));
        assert_eq!(entries(&server, &format!("/api/oauth/apps/organization/{}", organization.slug), token).await, listed);

        let changes = json!({"name": "Renamed", "redirectUris": ["http://localhost:3000/", "https://example.com"]});
        let changed = expect(server.request(Method::PUT, &path).bearer_auth(token).json(&changes), StatusCode::OK).await;
        assert_eq!((&changed["name"], &changed["redirectUris"]), (&changes["name"], &changes["redirectUris"]));
        assert_eq!((&changed["description"], &changed["scopes"]), (&made["description"], &made["scopes"]));

        let deletion = deleted(server.request(Method::DELETE, &format!("{path}?reason=over")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(
            (&record["root"], &record["state"], &record["subjectId"], &record["reason"]),
            (&json!("oauth_app"), &json!("completed"), &made["id"], &json!("over"))
        );
        for method in [Method::GET, Method::DELETE] {
            refused(server.request(method, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        }
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let told: Vec<_> = trail.iter().filter(|entry| entry["subject"] == "oauth_app").map(|entry| (&entry["action"], &entry["outcome"])).collect();
        let wanted = [
            (&json!("oauth_app.delete"), &json!("not_found")),
            (&json!("oauth_app.delete"), &json!("done")),
            (&json!("oauth_app.update"), &json!("done")),
            (&json!("oauth_app.create"), &json!("done")),
        ];
        // The attempt on what is gone has no organization any more.
        assert_eq!(told, wanted[1..]);
    }

    async fn an_app_belongs_to_the_organization_that_the_request_means(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.found_organization(&organization.owner).await;
        let body = json!({"name": "App", "scopes": ["read:user"]});
        refused(make(&server, &organization, &body), StatusCode::BAD_REQUEST).await;
        let mut named = body.clone();
        named["organizationId"] = elsewhere.slug.clone().into();
        let made = expect(make(&server, &organization, &named), StatusCode::CREATED).await;
        assert_eq!(made["organizationId"], json!(elsewhere.id));
        let made = expect(make(&server, &organization, &body).header("X-Organization", &organization.slug), StatusCode::CREATED).await;
        assert_eq!(made["organizationId"], json!(organization.id));
        // Of two names that differ neither is guessed; two spellings of one are one.
        let both = |header: &str| make(&server, &organization, &named).header("X-Organization", header);
        expect(both(&elsewhere.id), StatusCode::CREATED).await;
        for other in ["a".repeat(51).as_str(), "no such"] {
            refused(both(other), StatusCode::BAD_REQUEST).await;
        }
        refused(both(&organization.slug), StatusCode::CONFLICT).await;
        refused(both("00000000-0000-0000-0000-000000000000"), StatusCode::NOT_FOUND).await;
        refused(both(&server.new_organization().await.id), StatusCode::FORBIDDEN).await;
        let bound = server.sign_in(&organization.owner.email, Some(&elsewhere.id)).await;
        let made = expect(server.request(Method::POST, "/api/oauth/apps").bearer_auth(&bound).json(&body), StatusCode::CREATED).await;
        assert_eq!(made["organizationId"], json!(elsewhere.id));
        named["organizationId"] = organization.id.clone().into();
        refused(server.request(Method::POST, "/api/oauth/apps").bearer_auth(&bound).json(&named), StatusCode::FORBIDDEN).await;
    }

    async fn what_is_not_acceptable_is_refused_with_the_fields_name(server: Server) {
        let organization = server.new_organization().await;
        let good = json!({"name": "App", "scopes": ["read:user"]});
        let uris: Vec<String> = (0..11).map(|number| format!("https://example.com/{number}")).collect();
        let bad = [
            ("name", json!(""), "name", "too_short"),
            ("name", json!("x".repeat(101)), "name", "too_long"),
            ("description", json!("x".repeat(501)), "description", "too_long"),
            ("scopes", json!([]), "scopes", "required"),
            ("scopes", json!(["read:user", "no:such"]), "scopes.1", "unknown_scope"),
            ("redirectUris", json!(uris), "redirectUris", "too_many"),
            ("redirectUris", json!(["https://example.com/", "http://example.com/"]), "redirectUris.1", "invalid_uri"),
            ("redirectUri", json!("https://example.com/#fragment"), "redirectUris.0", "invalid_uri"),
            ("isActive", json!("yes"), "isActive", "invalid_type"),
        ];
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["read:user"]).await;
        for (name, value, field, code) in bad {
            let mut body = good.clone();
            body[name] = value;
            if name != "isActive" {
                let problem = refused(make(&server, &organization, &body), StatusCode::BAD_REQUEST).await;
                assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!(code)), "{body}");
            }
            let problem = refused(change(&server, &app, &organization.owner.token, body.clone()), StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!(code)), "{body}");
        }
    }

    async fn only_owners_and_admins_have_to_do_with_apps(server: Server) {
        let cast = Cast::assemble(&server).await;
        let app = server.new_oauth_app(&cast.organization, cast.token("owner"), &["read:user"]).await;
        let tokens = server.new_oauth_token(&app).await;
        let list = format!("/api/oauth/apps/organization/{}", cast.organization.id);
        let new = json!({"name": "App", "scopes": ["read:user"], "organizationId": cast.organization.id});
        for role in OTHER_ROLES.into_iter().filter(|role| *role != "admin") {
            let asked = |method: Method, path: &str| server.request(method, path).bearer_auth(cast.token(role));
            refused(asked(Method::GET, &list), StatusCode::FORBIDDEN).await;
            refused(asked(Method::POST, "/api/oauth/apps").json(&new), StatusCode::FORBIDDEN).await;
            refused(asked(Method::GET, &at(&app)), StatusCode::FORBIDDEN).await;
            refused(asked(Method::PUT, &at(&app)).json(&json!({"name": "Mine"})), StatusCode::FORBIDDEN).await;
            refused(asked(Method::POST, &format!("{}/secret", at(&app))), StatusCode::FORBIDDEN).await;
            refused(asked(Method::DELETE, &format!("/api/oauth/token/{}", tokens.id)), StatusCode::FORBIDDEN).await;
            refused(asked(Method::DELETE, &at(&app)), StatusCode::FORBIDDEN).await;
        }
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        let admin = |method: Method, path: &str| server.request(method, path).bearer_auth(cast.token("admin"));
        answered(admin(Method::GET, &list), StatusCode::OK).await;
        deleted(admin(Method::DELETE, &format!("/api/oauth/token/{}", tokens.id)), StatusCode::NO_CONTENT).await;
        refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
        deleted(admin(Method::DELETE, &at(&app)), StatusCode::NO_CONTENT).await;
    }

    async fn a_stranger_cannot_tell_a_foreign_client_id_from_an_unknown_one(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        let elsewhere = server.new_organization().await;
        let (_, key) = server.new_api_key(&elsewhere, &elsewhere.owner.token, &["admin:all"]).await;
        // The owner themselves, with a credential of another organization of theirs.
        let other = server.found_organization(&organization.owner).await;
        let bound = server.sign_in(&organization.owner.email, Some(&other.id)).await;
        let unknown = format!("app_{}", "0".repeat(24));
        let pairs = [
            (Method::GET, at(&app), format!("/api/oauth/apps/{unknown}")),
            (Method::PUT, at(&app), format!("/api/oauth/apps/{unknown}")),
            (Method::DELETE, at(&app), format!("/api/oauth/apps/{unknown}")),
            (Method::POST, format!("{}/secret", at(&app)), format!("/api/oauth/apps/{unknown}/secret")),
            (Method::DELETE, format!("/api/oauth/token/{}", tokens.id), format!("/api/oauth/token/{UNKNOWN_ID}")),
        ];
        for credential in [("Authorization", format!("Bearer {}", elsewhere.owner.token)), ("X-API-Key", key), ("Authorization", format!("Bearer {bound}"))] {
            for (method, foreign, unknown) in &pairs {
                let mut told = Vec::new();
                for path in [foreign, unknown] {
                    let request = server.request(method.clone(), path).header(credential.0, &credential.1);
                    let request = if *method == Method::PUT { request.json(&json!({"name": "Mine"})) } else { request };
                    let mut body = refused(request, StatusCode::NOT_FOUND).await;
                    for differs in ["request_id", "timestamp"] {
                        body.as_object_mut().unwrap().remove(differs);
                    }
                    told.push(body);
                }
                assert_eq!(told[0], told[1], "{method} {foreign}");
            }
        }
        for strange in ["app_", "app", "%00", "app_%00%00%00", "..%2f", "app_00000000000000000000000%C3%A9"] {
            let request = server.request(Method::GET, &format!("/api/oauth/apps/{strange}")).bearer_auth(&organization.owner.token);
            refused(request, StatusCode::NOT_FOUND).await;
        }
        answered(me(&server, &tokens.access), StatusCode::OK).await;
    }

    async fn a_credential_gives_no_app_what_it_lacks_itself(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (_, key) = server.new_api_key(&organization, token, &["write:oauth-apps", "read:members"]).await;
        let make = |scopes: Json| {
            server.request(Method::POST, "/api/oauth/apps").header("X-API-Key", &key).json(&json!({"name": "App", "scopes": scopes}))
        };
        expect(make(json!(["read:members"])), StatusCode::CREATED).await;
        for scopes in [json!(["write:members"]), json!(["read:members", "admin:all"])] {
            let problem = refused(make(scopes), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["code"], "wider_than_own");
        }
        // Nor through an app that has it already, by way of its secret.
        let wide = server.new_oauth_app(&organization, token, &["admin:all"]).await;
        let narrow = server.new_oauth_app(&organization, token, &["read:members", "write:oauth-apps"]).await;
        refused(rotate(&server, &wide).header("X-API-Key", &key), StatusCode::FORBIDDEN).await;
        let access = server.new_oauth_token(&narrow).await.access;
        refused(rotate(&server, &wide).bearer_auth(&access), StatusCode::FORBIDDEN).await;
        answered(grant(&server, &wide), StatusCode::OK).await;
        answered(rotate(&server, &narrow).bearer_auth(&access), StatusCode::OK).await;
        // What it has may stay when something else goes.
        let request = server.request(Method::PUT, &at(&wide)).header("X-API-Key", &key).json(&json!({"scopes": ["write:customers"]}));
        answered(request, StatusCode::OK).await;
    }

    async fn only_its_maker_gives_to_an_app_and_others_may_take(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (owner, admin) = (cast.token("owner"), cast.token("admin"));
        let app = server.new_oauth_app(&cast.organization, owner, &["read:user", "read:members"]).await;
        let tokens = server.new_oauth_token(&app).await;
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        refused(change(&server, &app, admin, json!({"scopes": ["read:user", "write:members"]})), StatusCode::FORBIDDEN).await;
        refused(rotate(&server, &app).bearer_auth(admin), StatusCode::FORBIDDEN).await;
        answered(change(&server, &app, admin, json!({"scopes": ["read:user"]})), StatusCode::OK).await;
        refused(change(&server, &app, admin, json!({"scopes": ["read:user", "read:members"]})), StatusCode::FORBIDDEN).await;
        answered(change(&server, &app, admin, json!({"isActive": false})), StatusCode::OK).await;
        refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
        refused_as(grant(&server, &app), StatusCode::UNAUTHORIZED, "invalid_client").await;
        refused_as(refresh(&server, &app, &tokens.refresh), StatusCode::UNAUTHORIZED, "invalid_client").await;
        refused(change(&server, &app, admin, json!({"isActive": true})), StatusCode::FORBIDDEN).await;
        answered(change(&server, &app, owner, json!({"isActive": true, "scopes": ["read:user", "read:members", "write:members"]})), StatusCode::OK).await;
        answered(me(&server, &tokens.access), StatusCode::OK).await;
    }

    async fn a_new_secret_ends_the_old_one_and_no_token(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        let rotated = expect(rotate(&server, &app).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let renewed = OauthApp { secret: rotated["clientSecret"].as_str().unwrap().to_owned(), ..app.clone() };
        assert_ne!(renewed.secret, app.secret);
        refused_as(grant(&server, &app), StatusCode::UNAUTHORIZED, "invalid_client").await;
        answered(grant(&server, &renewed), StatusCode::OK).await;
        answered(me(&server, &tokens.access), StatusCode::OK).await;
        answered(refresh(&server, &renewed, &tokens.refresh), StatusCode::OK).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &organization.owner.token).await;
        assert!(trail.iter().any(|entry| entry["action"] == "oauth_app.rotate_secret" && entry["subjectId"] == json!(app.id)));
        assert!(trail.iter().all(|entry| keys_of(entry, &["clientSecret", "secret"]).is_empty()));
    }

    async fn an_archived_organization_gives_nothing_to_apps_and_takes_from_them(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let app = server.new_oauth_app(&organization, token, &["read:user", "read:members"]).await;
        let tokens = server.new_oauth_token(&app).await;
        change_database(&server, "UPDATE organizations SET archived_at = created_at").await;
        let new = json!({"name": "App", "scopes": ["read:user"], "organizationId": organization.id});
        refused(make(&server, &organization, &new), StatusCode::CONFLICT).await;
        refused(change(&server, &app, token, json!({"name": "Renamed"})), StatusCode::CONFLICT).await;
        refused(change(&server, &app, token, json!({"scopes": ["admin:all"]})), StatusCode::CONFLICT).await;
        refused(rotate(&server, &app).bearer_auth(token), StatusCode::CONFLICT).await;
        answered(change(&server, &app, token, json!({"scopes": ["read:user"]})), StatusCode::OK).await;
        // One that is still there, as the last of very many may be for a moment, opens nothing.
        refused(me(&server, &tokens.access), StatusCode::UNAUTHORIZED).await;
        deleted(server.request(Method::DELETE, &at(&app)).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn the_secret_is_nowhere_in_the_database(server: Server) {
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &SCOPES).await;
        let tokens = server.new_oauth_token(&app).await;
        assert_eq!(short(&app.id).len(), 22);
        if server.engine == Engine::Sqlite {
            let mut bytes = std::fs::read(server.database_file()).unwrap();
            bytes.extend(std::fs::read(server.database_file().with_extension("db-wal")).unwrap_or_default());
            let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(holds(&app.client_id), "the search finds what is there");
            for secret in [&app.secret, &tokens.access, &tokens.refresh] {
                assert!(!holds(secret));
            }
        }
    }
}
