//! Headers that say who asks, for what, of which host: there once and readable, or refused.

use reqwest::{Method, StatusCode};

use crate::bad_input::protocol::send;
use crate::on_both_engines;
use crate::support::{Engine, Server, header};

on_both_engines! {
    async fn a_challenge_says_what_is_wrong_with_a_credential_and_which_scope_it_lacks(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let get = |path: &str| server.request(Method::GET, path);
        for (request, status, challenge) in [
            (get(&path), StatusCode::UNAUTHORIZED, "Bearer realm=\"freehold\""),
            (get(&path).bearer_auth("guess"), StatusCode::UNAUTHORIZED, "Bearer realm=\"freehold\", error=\"invalid_token\""),
            (get(&path).header("X-API-Key", "guess"), StatusCode::UNAUTHORIZED, "Bearer realm=\"freehold\", error=\"invalid_token\""),
            (
                get(&path).header("X-API-Key", &key),
                StatusCode::FORBIDDEN,
                "Bearer realm=\"freehold\", error=\"insufficient_scope\", scope=\"read:customers\"",
            ),
            (
                get("/account/api/v1/whoami").header("X-API-Key", &key),
                StatusCode::FORBIDDEN,
                "Bearer realm=\"freehold\", error=\"insufficient_scope\", scope=\"read:user\"",
            ),
            (get("/customer/user123").header("X-API-Key", &key), StatusCode::FORBIDDEN, "Bearer realm=\"freehold\", error=\"insufficient_scope\""),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status);
            let told = header(&answer, "www-authenticate");
            assert!(told.starts_with(challenge), "{told}");
            assert_eq!(told.contains("error="), challenge.contains("error="), "{told}");
        }
        // A role that does not suffice is no matter of scopes.
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        let answer = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id)).bearer_auth(&viewer.token).send();
        let answer = answer.await.unwrap();
        assert_eq!((answer.status(), header(&answer, "www-authenticate")), (StatusCode::FORBIDDEN, ""));
    }

    async fn of_two_credentials_or_hosts_none_is_chosen(server: Server) {
        let organization = server.new_organization().await;
        let token = server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        let customer = server.new_customer(&organization, &token).await;
        let (_, key) = server.new_api_key(&organization, &token, &["read:customers"]).await;
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let by_key = format!("X-API-Key: {key}\r\n");
        let of = format!("X-Organization: {}\r\n", organization.slug);
        let host = "Host: localhost\r\n";
        for (head, status) in [
            (format!("{host}{bearer}"), 200),
            (format!("{host}{by_key}{of}"), 200),
            (format!("{host}{bearer}Cookie: other=\u{fc}; x\r\n"), 200),
            (format!("{host}{by_key}{by_key}"), 401),
            (format!("{host}{bearer}{bearer}"), 401),
            (format!("{host}{bearer}{by_key}"), 400),
            (format!("{host}Cookie: sessionid=a; sessionid=b\r\n"), 401),
            (format!("{host}Cookie: sessionid=a\r\nCookie: sessionid=b\r\n"), 401),
            (format!("{host}{bearer}{of}{of}"), 422),
            (format!("{host}{bearer}X-Organization: B\u{fc}ro\r\n"), 422),
            (format!("{host}{host}{bearer}"), 422),
            (bearer.clone(), 422),
            (format!("Host: a b\r\n{bearer}"), 422),
        ] {
            let wire = format!("GET /customer/{customer} HTTP/1.1\r\nConnection: close\r\n{head}\r\n");
            let answer = send(&server, wire.as_bytes()).await;
            let got = if answer.status == 400 { 422 } else { answer.status };
            assert_eq!(got, if status == 400 { 422 } else { status }, "{head}: {}", answer.head);
        }
        // HTTP/1.0 has no Host.
        let wire = format!("GET /customer/{customer} HTTP/1.0\r\n{bearer}\r\n");
        assert_eq!(send(&server, wire.as_bytes()).await.status, 200);
    }
}
