//! The terms of API keys: changed with effect from the next request, switched off and on, bound to addresses; what a key tells about itself
//! and when it was last used.

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, UNKNOWN_ID, answered, refused};

const NETWORKS: [&str; 2] = ["203.0.113.7", "10.0.0.0/8"];

/// Makes a key of the owner as the body says and returns its record with the secret.
async fn make(server: &Server, organization: &Organization, body: Json) -> Json {
    expect(keys(server, organization).json(&body), StatusCode::CREATED).await
}

fn keys(server: &Server, organization: &Organization) -> RequestBuilder {
    server.request(Method::POST, &format!("/api/organizations/{}/api-keys", organization.id)).bearer_auth(&organization.owner.token)
}

fn change(server: &Server, organization: &Organization, key: &Json, token: &str, body: Json) -> RequestBuilder {
    let path = format!("/api/organizations/{}/api-keys/{}", organization.id, key["id"].as_str().unwrap());
    server.request(Method::PATCH, &path).bearer_auth(token).json(&body)
}

fn with(request: RequestBuilder, key: &Json) -> RequestBuilder {
    request.header("X-API-Key", key["key"].as_str().unwrap())
}

fn validate(server: &Server) -> RequestBuilder {
    server.request(Method::POST, "/api/api-keys/validate")
}

on_both_engines! {
    async fn a_key_has_the_terms_it_was_made_with(server: Server) {
        let organization = server.new_organization().await;
        let body = json!({"name": "Test key", "rateLimitPerMinute": 1_000_000, "rateLimitPerHour": 5, "allowedIps": ["10.1.2.3/8", "::1", "::1"]});
        let made = make(&server, &organization, body).await;
        let path = format!("/api/organizations/{}/api-keys/{}", organization.id, made["id"].as_str().unwrap());
        let read = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((&read["rateLimitPerMinute"], &read["rateLimitPerHour"]), (&json!(1_000_000), &json!(5)));
        assert_eq!((&read["allowedIps"], &read["isActive"], &read["lastUsedAt"]), (&json!(["10.0.0.0/8", "::1"]), &json!(true), &Json::Null));
        assert!(read.get("key").is_none());
        let account = format!("/account/api/v1/organizations/{}/api-keys/{}", short(&organization.id), short(made["id"].as_str().unwrap()));
        let read = expect(server.request(Method::GET, &account).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((&read["rate_limit_per_hour"], &read["allowed_ips"], &read["is_active"]), (&json!(5), &json!(["10.0.0.0/8", "::1"]), &json!(true)));
        refused(server.request(Method::GET, &path.replace(made["id"].as_str().unwrap(), UNKNOWN_ID)).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn terms_that_make_no_sense_are_refused_each_by_name(server: Server) {
        let organization = server.new_organization().await;
        let many: Vec<String> = (0..51).map(|number| format!("10.0.0.{number}")).collect();
        let cases = [
            (json!({"rateLimitPerMinute": 0}), "rateLimitPerMinute", "out_of_range"),
            (json!({"rateLimitPerMinute": 1_000_001}), "rateLimitPerMinute", "out_of_range"),
            (json!({"rateLimitPerMinute": 1u64 << 40}), "rateLimitPerMinute", "out_of_range"),
            (json!({"rateLimitPerMinute": "5"}), "rateLimitPerMinute", "invalid_type"),
            (json!({"rateLimitPerMinute": -5}), "rateLimitPerMinute", "invalid_type"),
            (json!({"rateLimitPerHour": 60_000_001}), "rateLimitPerHour", "out_of_range"),
            (json!({"rateLimitPerMinute": 101, "kind": "publishable"}), "rateLimitPerMinute", "out_of_range"),
            (json!({"allowedIps": ["10.0.0.1", "here"]}), "allowedIps.1", "invalid_address"),
            (json!({"allowedIps": ["10.0.0.0/33"]}), "allowedIps.0", "invalid_address"),
            (json!({"allowedIps": many}), "allowedIps", "too_many"),
        ];
        for (mut body, field, code) in cases {
            body["name"] = "Test key".into();
            let problem = refused(keys(&server, &organization).json(&body), StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!(code)), "{body}");
        }
        let key = make(&server, &organization, json!({"name": "Test key", "kind": "publishable"})).await;
        for (body, code) in [
            (json!({"scopes": ["read:customers"]}), "not_publishable"),
            (json!({"rateLimitPerMinute": 101}), "out_of_range"),
            (json!({"expiresAt": "2020-01-01T00:00:00Z"}), "in_the_past"),
            (json!({"name": "no"}), "too_short"),
            (json!({"isActive": "yes"}), "invalid_type"),
            (json!({"kind": "user"}), "unknown_field"),
        ] {
            let problem = refused(change(&server, &organization, &key, &organization.owner.token, body), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["code"], code);
        }
    }

    async fn a_change_holds_from_the_next_request_and_what_is_not_named_stays(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let key = make(&server, &organization, json!({"name": "Test key", "description": "Before", "scopes": ["read:user"], "rateLimitPerHour": 9})).await;
        let members = || with(server.request(Method::GET, &format!("/api/organizations/{}/members", organization.id)), &key);
        refused(members(), StatusCode::FORBIDDEN).await;
        let body = json!({"scopes": ["read:members"], "expiresAt": "2999-12-31T23:59:59Z"});
        let changed = expect(change(&server, &organization, &key, token, body), StatusCode::OK).await;
        assert_eq!((&changed["scopes"], &changed["description"], &changed["rateLimitPerHour"]), (&json!(["read:members"]), &json!("Before"), &json!(9)));
        answered(members(), StatusCode::OK).await;
        let emptied = json!({"description": null, "rateLimitPerHour": null, "expiresAt": null, "name": "After"});
        let changed = expect(change(&server, &organization, &key, token, emptied), StatusCode::OK).await;
        assert_eq!((&changed["description"], &changed["rateLimitPerHour"], &changed["expiresAt"]), (&Json::Null, &Json::Null, &Json::Null));
        assert_eq!((&changed["name"], &changed["scopes"], &changed["hint"]), (&json!("After"), &json!(["read:members"]), &key["hint"]));
        let audit = expect(server.request(Method::GET, &format!("/api/organizations/{}/audit", organization.id)).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&audit["data"][0]["action"], &audit["data"][0]["subjectId"]), (&json!("api_key.update"), &key["id"]));
    }

    async fn a_key_that_is_switched_off_is_refused_everywhere_until_it_is_on_again(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let key = make(&server, &organization, json!({"name": "Test key"})).await;
        let uses = || {
            ["/api/users/me", "/account/api/v1/whoami", "/customer/user123"].map(|path| with(server.request(Method::GET, path), &key))
        };
        answered(with(validate(&server), &key), StatusCode::OK).await;
        answered(change(&server, &organization, &key, token, json!({"isActive": false})), StatusCode::OK).await;
        for request in uses() {
            let problem = refused(request, StatusCode::UNAUTHORIZED).await;
            assert!(problem["detail"].as_str().unwrap().contains("isActive"), "{problem}");
        }
        refused(with(validate(&server), &key), StatusCode::FORBIDDEN).await;
        answered(change(&server, &organization, &key, token, json!({"isActive": true})), StatusCode::OK).await;
        let [me, who, _] = uses();
        answered(me, StatusCode::OK).await;
        answered(who, StatusCode::OK).await;
    }

    async fn no_client_is_believed_about_its_address_without_a_trusted_proxy(server: Server) {
        let organization = server.new_organization().await;
        let key = make(&server, &organization, json!({"name": "Test key", "allowedIps": ["203.0.113.7"]})).await;
        let me = with(server.request(Method::GET, "/api/users/me"), &key);
        refused(me.header("X-Forwarded-For", "203.0.113.7").header("Forwarded", "for=203.0.113.7").header("X-Real-IP", "203.0.113.7"), StatusCode::FORBIDDEN).await;
        let here = make(&server, &organization, json!({"name": "Test key", "allowedIps": ["127.0.0.1"]})).await;
        answered(with(server.request(Method::GET, "/api/users/me"), &here), StatusCode::OK).await;
    }

    async fn a_key_is_validated_by_itself_whatever_else_came_with_it(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let key = make(&server, &organization, json!({"name": "Test key", "scopes": ["read:customers"], "expiresAt": "2999-12-31T23:59:59Z"})).await;
        let valid = expect(with(validate(&server), &key), StatusCode::OK).await;
        let told = json!({"valid": true, "id": key["id"], "name": "Test key", "organizationId": organization.id, "scopes": ["read:customers"],
                          "expiresAt": key["expiresAt"], "isActive": true});
        assert_eq!(valid, told);
        assert_eq!(expect(with(validate(&server), &key).bearer_auth(token), StatusCode::OK).await, told);
        refused(validate(&server), StatusCode::UNAUTHORIZED).await;
        refused(validate(&server).bearer_auth(token), StatusCode::UNAUTHORIZED).await;
        refused(validate(&server).header("X-API-Key", "csb_0123456789ABCDEFGHIJKLMNOPQRSTUV_2d4f1c81"), StatusCode::UNAUTHORIZED).await;
        let path = format!("/api/organizations/{}/api-keys/{}", organization.id, key["id"].as_str().unwrap());
        answered(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(with(validate(&server), &key), StatusCode::UNAUTHORIZED).await;
    }

    async fn only_owners_change_what_acts_as_an_owner_and_no_key_gives_what_it_lacks(server: Server) {
        let cast = Cast::assemble(&server).await;
        let owners = make(&server, &cast.organization, json!({"name": "Owner's key", "scopes": ["read:user"]})).await;
        let wide = json!({"scopes": ["admin:all"]});
        for role in ["admin", "master", "reseller", "member", "billing", "viewer"] {
            refused(change(&server, &cast.organization, &owners, cast.token(role), wide.clone()), StatusCode::FORBIDDEN).await;
        }
        refused(change(&server, &cast.organization, &owners, &cast.outsider.token, wide.clone()), StatusCode::FORBIDDEN).await;
        let (id, secret) = server.new_api_key(&cast.organization, cast.token("admin"), &["write:organization", "read:members"]).await;
        let admins = json!({"id": id});
        expect(change(&server, &cast.organization, &admins, cast.token("owner"), json!({"name": "Renamed"})), StatusCode::OK).await;
        let own = |body: Json| {
            let path = format!("/api/organizations/{}/api-keys/{id}", cast.organization.id);
            server.request(Method::PATCH, &path).header("X-API-Key", &secret).json(&body)
        };
        let problem = refused(own(json!({"scopes": ["write:organization", "read:customers"]})), StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("scopes.1"), &json!("wider_than_own")));
        expect(own(json!({"scopes": ["write:organization"]})), StatusCode::OK).await;
        refused(own(json!({"scopes": ["write:organization", "read:members"]})), StatusCode::BAD_REQUEST).await;
    }
}

on_both_engines! {
    async fn a_key_is_refused_from_addresses_that_are_not_on_its_list(engine: Engine) {
        let server = Server::start(engine, &["--trusted-proxies=127.0.0.1"]).await;
        let organization = server.new_organization().await;
        let key = make(&server, &organization, json!({"name": "Test key", "allowedIps": NETWORKS})).await;
        let me = |from: &str| with(server.request(Method::GET, "/api/users/me"), &key).header("X-Forwarded-For", from);
        for from in ["203.0.113.7", "10.200.0.1", "::ffff:10.0.0.1", "198.51.100.1, 10.0.0.1", "198.51.100.1, 10.0.0.1, 127.0.0.1"] {
            answered(me(from), StatusCode::OK).await;
        }
        for from in ["203.0.113.8", "10.0.0.1, 198.51.100.1", "2001:db8::1", "unknown"] {
            let problem = refused(me(from), StatusCode::FORBIDDEN).await;
            assert!(problem["detail"].as_str().unwrap().contains("allowedIps"), "{problem}");
        }
        let problem = refused(with(validate(&server), &key).header("X-Forwarded-For", "203.0.113.8"), StatusCode::FORBIDDEN).await;
        assert!(problem["detail"].as_str().unwrap().contains("203.0.113.8"), "{problem}");
        let everywhere = json!({"allowedIps": null});
        answered(change(&server, &organization, &key, &organization.owner.token, everywhere), StatusCode::OK).await;
        answered(me("203.0.113.8"), StatusCode::OK).await;
    }

    async fn the_last_use_is_told_at_once_and_written_down_before_the_server_stops(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let key = make(&server, &organization, json!({"name": "Test key"})).await;
        let path = format!("/api/organizations/{}/api-keys/{}", organization.id, key["id"].as_str().unwrap());
        let before = Timestamp::now();
        answered(with(server.request(Method::GET, "/api/users/me"), &key), StatusCode::OK).await;
        let read = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let used: Timestamp = read["lastUsedAt"].as_str().unwrap().parse().unwrap();
        assert!(used.as_millisecond() >= before.as_millisecond() && used <= Timestamp::now(), "{used}");
        server.stop().await;
        server.start_again().await;
        let token = server.sign_in(&organization.owner.email, None).await;
        let read = expect(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::OK).await;
        assert_eq!(read["lastUsedAt"].as_str().unwrap().parse::<Timestamp>().unwrap(), used);
    }

    async fn what_keys_begin_with_can_be_chosen(engine: Engine) {
        let server = Server::start(engine, &["--key-prefixes=acme,acmeu,pub"]).await;
        let organization = server.new_organization().await;
        for (kind, beginning) in [("organization", "acme_"), ("user", "acmeu_"), ("publishable", "pub_")] {
            let key = make(&server, &organization, json!({"name": "Test key", "kind": kind})).await;
            assert!(key["key"].as_str().unwrap().starts_with(beginning) && key["hint"].as_str().unwrap().starts_with(beginning), "{key}");
            answered(with(validate(&server), &key), StatusCode::OK).await;
        }
    }
}
