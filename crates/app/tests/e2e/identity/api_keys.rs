//! API keys: their documented form, shown once; scopes that only narrow; and no power anywhere but in their own organization.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, UNKNOWN_ID, answered, change_database, is_like, new_customer, refused};

/// CRC-32 as in zlib, bit by bit: written again here so that the server's is held against another.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Makes a key as the body says.
async fn make(server: &Server, organization: &Organization, body: Json) -> Json {
    let path = format!("/api/organizations/{}/api-keys", organization.id);
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await
}

on_both_engines! {
    async fn a_key_has_the_documented_form(server: Server) {
        let organization = server.new_organization().await;
        for (kind, prefix) in [("organization", "csb"), ("user", "csu"), ("publishable", "cpk")] {
            let made = make(&server, &organization, json!({"name": "Test key", "kind": kind})).await;
            let key = made["key"].as_str().unwrap();
            let parts: Vec<&str> = key.split('_').collect();
            assert_eq!((parts.len(), parts[0], parts[1].len()), (3, prefix, 32), "{key}");
            assert!(parts[1].bytes().all(|character| character.is_ascii_alphanumeric()), "{key}");
            assert_eq!(parts[2], format!("{:08x}", crc32(parts[1].as_bytes())), "{key}");
            let request = server.request(Method::GET, &format!("/api/organizations/{}", organization.id));
            answered(request.header("X-API-Key", key), StatusCode::OK).await;
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    async fn a_key_is_shown_once_and_listed_by_its_hint(server: Server) {
        let organization = server.new_organization().await;
        let body = json!({"name": "Test key", "description": "For tests", "scopes": ["read:user"], "expiresAt": "2999-12-31T23:59:59Z"});
        let made = make(&server, &organization, body).await;
        let key = made["key"].as_str().unwrap();
        for path in [
            format!("/api/organizations/{}/api-keys", organization.id),
            format!("/account/api/v1/organizations/{}/api-keys", short(&organization.id)),
        ] {
            let list = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
            let listed = &list["data"][0];
            assert!(listed.get("key").is_none() && !list.to_string().contains(&key[4..36]), "{list}");
            assert_eq!(
                (&listed["name"], &listed["description"], &listed["scopes"]),
                (&json!("Test key"), &json!("For tests"), &json!(["read:user"]))
            );
            let hint = listed["hint"].as_str().unwrap();
            assert!(hint.starts_with("csb_") && key.ends_with(&hint[hint.len() - 4..]) && hint.chars().count() <= 12, "{hint}");
            assert!(is_like(
                listed[if path.starts_with("/api") { "expiresAt" } else { "expires_at" }].as_str().unwrap(),
                "9999-99-99T99:99:99.999Z"
            ));
        }
    }

    async fn any_change_of_a_key_makes_it_unknown(server: Server) {
        let organization = server.new_organization().await;
        let made = make(&server, &organization, json!({"name": "Test key"})).await;
        let key = made["key"].as_str().unwrap();
        for place in [0, 2, 3, 4, 20, 35, 36, 37, 44] {
            let mut changed = key.as_bytes().to_vec();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let request = server.request(Method::GET, "/api/users/me").header("X-API-Key", String::from_utf8(changed).unwrap());
            refused(request, StatusCode::UNAUTHORIZED).await;
        }
        // Not a bearer either, nor good with anything before or after it.
        refused(server.request(Method::GET, "/api/users/me").bearer_auth(key), StatusCode::UNAUTHORIZED).await;
        for changed in [format!("{key}0"), format!("{key}_"), format!("csb_{key}"), key[..44].to_owned()] {
            refused(server.request(Method::GET, "/api/users/me").header("X-API-Key", changed), StatusCode::UNAUTHORIZED).await;
        }
        answered(server.request(Method::GET, "/api/users/me").header("X-API-Key", key), StatusCode::OK).await;
    }

    async fn a_key_past_its_end_is_refused_and_none_is_made_that_has_ended(server: Server) {
        let organization = server.new_organization().await;
        let made = make(&server, &organization, json!({"name": "Test key", "expiresAt": "2999-12-31T23:59:59Z"})).await;
        change_database(&server, "UPDATE api_keys SET expires_at = created_at").await;
        let request = server.request(Method::GET, "/api/users/me").header("X-API-Key", made["key"].as_str().unwrap());
        refused(request, StatusCode::UNAUTHORIZED).await;
        let path = format!("/api/organizations/{}/api-keys", organization.id);
        let body = json!({"name": "Old key", "expiresAt": "2020-01-01T00:00:00Z"});
        let problem =
            refused(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::BAD_REQUEST).await;
        assert_eq!(problem["errors"][0]["code"], "in_the_past");
    }

    async fn each_operation_needs_its_scope_and_the_refusal_names_it(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let all = [
            "read:user",
            "read:organization",
            "write:organization",
            "read:members",
            "write:members",
            "read:customers",
            "write:customers",
            "admin:organization",
        ];
        let one = format!("/api/organizations/{}", organization.id);
        let operations: [(&str, Method, String); 15] = [
            ("read:user", Method::GET, "/api/users/me".into()),
            ("read:organization", Method::GET, "/api/organizations".into()),
            ("read:organization", Method::GET, one.clone()),
            ("write:organization", Method::GET, format!("{one}/api-keys")),
            ("admin:organization", Method::GET, "/api/deletions".into()),
            ("read:members", Method::GET, format!("{one}/members")),
            ("read:members", Method::GET, format!("{one}/invites")),
            ("write:members", Method::DELETE, format!("{one}/members/{UNKNOWN_ID}")),
            ("write:members", Method::DELETE, format!("{one}/invites/{UNKNOWN_ID}")),
            ("read:customers", Method::GET, format!("{one}/customers")),
            ("read:customers", Method::GET, "/customer/user123".into()),
            ("write:customers", Method::DELETE, "/customer/nobody".into()),
            ("write:customers", Method::DELETE, format!("{one}/customers/nobody")),
            ("write:organization", Method::DELETE, format!("{one}/api-keys/{UNKNOWN_ID}")),
            ("admin:organization", Method::GET, format!("{one}/audit")),
        ];
        for scope in all {
            let (_, with) = server.new_api_key(&organization, &organization.owner.token, &[scope]).await;
            // admin:organization covers most of the others, so a key without a scope must be without it too.
            let others: Vec<&str> = all.iter().copied().filter(|other| *other != scope && *other != "admin:organization").collect();
            let (_, without) = server.new_api_key(&organization, &organization.owner.token, &others).await;
            for (_, method, path) in operations.iter().filter(|(needed, ..)| *needed == scope) {
                let body = refused(server.request(method.clone(), path).header("X-API-Key", &without), StatusCode::FORBIDDEN).await;
                assert_eq!(body["detail"], format!("Access denied. This credential lacks the scope {scope}."), "{path}");
                let allowed = if *method == Method::GET { StatusCode::OK } else { StatusCode::NOT_FOUND };
                answered(server.request(method.clone(), path).header("X-API-Key", &with), allowed).await;
            }
        }
    }

    async fn a_key_can_introspect_itself(server: Server) {
        let organization = server.new_organization().await;
        let made = make(&server, &organization, json!({"name": "Test key"})).await;
        let whoami = || server.request(Method::GET, "/account/api/v1/whoami");
        let who = expect(whoami().header("X-API-Key", made["key"].as_str().unwrap()), StatusCode::OK).await;
        assert_eq!((&who["email"], &who["organizations"][0]["id"]), (&json!(organization.owner.email), &json!(short(&organization.id))));
        assert_eq!((&who["api_key"]["id"], &who["api_key"]["scopes"]), (&json!(short(made["id"].as_str().unwrap())), &made["scopes"]));
        let who = expect(whoami().bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((who.get("api_key"), &who["metadata"]), (Some(&Json::Null), &json!({})));
    }

    async fn scopes_do_not_widen_what_the_role_allows(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (_, key) = server.new_api_key(&cast.organization, cast.token("admin"), &["admin:all"]).await;
        let path = format!("/api/organizations/{}", cast.organization.id);
        refused(server.request(Method::DELETE, &path).header("X-API-Key", &key), StatusCode::FORBIDDEN).await;
        let owner = format!("{path}/members/{}", cast.member("owner"));
        refused(server.request(Method::DELETE, &owner).header("X-API-Key", &key), StatusCode::FORBIDDEN).await;
        answered(server.request(Method::GET, &format!("{path}/audit")).header("X-API-Key", &key), StatusCode::OK).await;
    }

    async fn a_key_makes_no_key_that_is_wider_than_itself(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:organization", "read:members"]).await;
        let path = format!("/api/organizations/{}/api-keys", organization.id);
        let make =
            |scopes: Json| server.request(Method::POST, &path).header("X-API-Key", &key).json(&json!({"name": "Child", "scopes": scopes}));
        expect(make(json!(["read:members"])), StatusCode::CREATED).await;
        for scopes in [json!(["write:members"]), json!(["admin:all"]), json!(["read:members", "read:customers"]), Json::Null] {
            let body = refused(make(scopes), StatusCode::BAD_REQUEST).await;
            assert_eq!(body["errors"][0]["code"], "wider_than_own");
        }
        let body = refused(make(json!(["no:such"])), StatusCode::BAD_REQUEST).await;
        assert_eq!((&body["errors"][0]["field"], &body["errors"][0]["code"]), (&json!("scopes.0"), &json!("unknown_scope")));
    }

    async fn a_publishable_key_reads_the_organization_and_nothing_else(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let made = make(&server, &organization, json!({"name": "Public key", "kind": "publishable"})).await;
        assert_eq!(made["scopes"], json!(["read:organization"]));
        let key = made["key"].as_str().unwrap();
        let one = format!("/api/organizations/{}", organization.id);
        let with_key = |method: Method, path: &str| -> RequestBuilder { server.request(method, path).header("X-API-Key", key) };
        answered(with_key(Method::GET, &one), StatusCode::OK).await;
        let secret = [
            "/api/users/me".to_owned(),
            "/api/organizations".into(),
            format!("{one}/api-keys"),
            "/api/deletions".into(),
            "/account/api/v1/whoami".into(),
            format!("{one}/members"),
            format!("{one}/customers"),
            format!("{one}/audit"),
            "/customer/user123".into(),
        ];
        for path in &secret {
            refused(with_key(Method::GET, path), StatusCode::FORBIDDEN).await;
        }
        for path in [one.clone(), "/customer/user123".into(), format!("{one}/customers/user123"), format!("{one}/members/{UNKNOWN_ID}")] {
            refused(with_key(Method::DELETE, &path), StatusCode::FORBIDDEN).await;
        }
        let wide = json!({"name": "Public key", "kind": "publishable", "scopes": ["read:customers"]});
        let body = refused(
            server.request(Method::POST, &format!("{one}/api-keys")).bearer_auth(&organization.owner.token).json(&wide),
            StatusCode::BAD_REQUEST,
        )
        .await;
        assert_eq!(body["errors"][0]["code"], "not_publishable");
    }

    async fn a_key_is_a_stranger_in_every_other_organization_of_its_maker(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let body = json!({"name": "Elsewhere", "slug": "elsewhere"});
        let elsewhere =
            expect(server.request(Method::POST, "/api/organizations").bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let (_, key) = server.new_api_key(&organization, token, &["admin:all"]).await;
        let id = elsewhere["id"].as_str().unwrap();
        let read = |path: &str| server.request(Method::GET, path).header("X-API-Key", &key);
        for place in ["", "/members", "/customers", "/audit", "/api-keys"] {
            refused(read(&format!("/api/organizations/{id}{place}")), StatusCode::FORBIDDEN).await;
            refused(read(&format!("/api/organizations/elsewhere{place}")), StatusCode::FORBIDDEN).await;
        }
        refused(read(&format!("/account/api/v1/organizations/{}", short(id))), StatusCode::NOT_FOUND).await;
        refused(read(&format!("/account/api/v1/organizations/{}/members", short(id))), StatusCode::NOT_FOUND).await;
        refused(read("/customer/user123").header("X-Organization", "elsewhere"), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::DELETE, &format!("/api/organizations/{id}")).header("X-API-Key", &key), StatusCode::FORBIDDEN).await;
        let listed = expect(read("/api/organizations"), StatusCode::OK).await;
        assert_eq!((&listed["pagination"]["totalCount"], &listed["data"][0]["id"]), (&json!(1), &json!(organization.id)));
        let who = expect(read("/account/api/v1/whoami"), StatusCode::OK).await;
        assert_eq!(who["organizations"].as_array().unwrap().len(), 1);
        let body = json!({"name": "Third", "slug": "third"});
        refused(server.request(Method::POST, "/api/organizations").header("X-API-Key", &key).json(&body), StatusCode::FORBIDDEN).await;
    }

    async fn owners_and_admins_make_keys_and_revoke_everybodys(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/api-keys", cast.organization.id);
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(
                server.request(Method::POST, &path).bearer_auth(cast.token(role)).json(&json!({"name": "Test key"})),
                StatusCode::FORBIDDEN,
            )
            .await;
            refused(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        for (maker, revoker) in [("owner", "admin"), ("admin", "owner"), ("admin", "admin")] {
            let (id, key) = server.new_api_key(&cast.organization, cast.token(maker), &["read:user"]).await;
            let revoke = |token: &str| server.request(Method::DELETE, &format!("{path}/{id}")).bearer_auth(token);
            refused(revoke(cast.token("viewer")), StatusCode::FORBIDDEN).await;
            refused(revoke(&cast.outsider.token), StatusCode::FORBIDDEN).await;
            answered(server.request(Method::GET, "/api/users/me").header("X-API-Key", &key), StatusCode::OK).await;
            answered(revoke(cast.token(revoker)), StatusCode::NO_CONTENT).await;
        }
    }
}
