//! Addresses: ids of every wrong form, pages that cannot be, methods that are not there, and paths that try to be clever.

use reqwest::{Method, StatusCode};

use super::{PATIENCE, is_ready, protocol::send};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header, short};
use crate::tools::{UNKNOWN_ID, refused, refused_somehow};

on_both_engines! {
    async fn an_id_of_another_form_is_400_or_422(server: Server) {
        let organization = server.new_organization().await;
        let one = format!("/api/organizations/{}", organization.id);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let uppercase = UNKNOWN_ID.to_uppercase();
        let bad = [
            "1",
            "-1",
            "null",
            "undefined",
            "*",
            "%20",
            "a%2Fb",
            "%00",
            "550e8400-e29b-41d4-a716-44665544000",
            "550e8400-e29b-41d4-a716-44665544000g",
            "550e8400e29b41d4a716446655440000",
            "%7B550e8400-e29b-41d4-a716-446655440000%7D",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9",
            "zzzzzzzzzzzzzzzzzzzzzz",
            "lllllllllllllllllllllll",
        ];
        for id in bad {
            for (path, status) in [
                (format!("{one}/members/{id}"), StatusCode::BAD_REQUEST),
                (format!("{one}/api-keys/{id}"), StatusCode::BAD_REQUEST),
                (format!("{one}/invites/{id}"), StatusCode::BAD_REQUEST),
                (format!("{account}/members/{id}"), StatusCode::UNPROCESSABLE_ENTITY),
                (format!("{account}/api-keys/{id}"), StatusCode::UNPROCESSABLE_ENTITY),
                (format!("/account/api/v1/organizations/{id}"), StatusCode::UNPROCESSABLE_ENTITY),
            ] {
                let problem = refused(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), status).await;
                assert_eq!(problem["errors"][0]["code"], "invalid_id", "{path}");
            }
            let request = server.request(Method::GET, &format!("/api/deletions/{id}"));
            refused(request.bearer_auth(&organization.owner.token), StatusCode::BAD_REQUEST).await;
            // A customer's id is any text: these are simply not there, or cannot be.
            let (status, _) =
                refused_somehow(server.request(Method::DELETE, &format!("/customer/{id}")).bearer_auth(&organization.owner.token)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{id}");
        }
        let request = server.request(Method::DELETE, &format!("{one}/members/{uppercase}"));
        refused(request.bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
        is_ready(&server).await;
    }

    async fn a_page_that_cannot_be_is_refused_and_one_past_the_end_is_empty(server: Server) {
        let organization = server.new_organization().await;
        let one = format!("/api/organizations/{}", organization.id);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let lists = [
            "/api/organizations".to_owned(),
            format!("{one}/members"),
            format!("{one}/invites"),
            format!("{one}/customers"),
            format!("{one}/api-keys"),
            format!("{one}/audit"),
            "/api/deletions".to_owned(),
            "/account/api/v1/organizations".to_owned(),
            format!("{account}/members"),
            format!("{account}/api-keys"),
        ];
        for list in &lists {
            let status = if list.starts_with("/api") { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
            let get = |query: &str| server.request(Method::GET, &format!("{list}?{query}")).bearer_auth(&organization.owner.token);
            for bad in [
                "0",
                "-1",
                "1.5",
                "1e3",
                "abc",
                "",
                "%00",
                "+1",
                "0x1",
                "99999999999999999999",
                "9223372036854775807",
                "-9223372036854775808",
                "%EF%BC%91",
            ] {
                for name in ["page", "page_size", "pageSize"] {
                    let problem = refused(get(&format!("{name}={bad}")), status).await;
                    assert_eq!(problem["errors"][0]["code"], "out_of_range", "{name}={bad}");
                }
            }
            refused(get("page"), status).await;
            refused(get("page_size=101"), status).await;
            let both = refused(get("page=0&page_size=0"), status).await;
            assert_eq!(both["errors"].as_array().unwrap().len(), 2);
            let body = expect(get("page=1000000000&page_size=100"), StatusCode::OK).await;
            assert_eq!(body["data"], serde_json::json!([]));
            expect(get("&&page=1&"), StatusCode::OK).await;
            for bad in ["=", "%ff=1", "page=%zz", "unknown=1", "page=1&page=1", "page_size=1&pageSize=1"] {
                refused_somehow(get(bad)).await;
            }
        }
        is_ready(&server).await;
    }

    async fn a_method_that_is_not_there_is_405_with_those_that_are(server: Server) {
        let organization = server.new_organization().await;
        let one = format!("/api/organizations/{}", organization.id);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let cases = [
            (format!("{one}/members"), "GET,HEAD"),
            (format!("{one}/members/{UNKNOWN_ID}"), "GET,HEAD,DELETE"),
            (format!("{one}/customers"), "GET,HEAD,POST"),
            (format!("{account}/members"), "GET,HEAD,POST"),
            ("/api/auth/sign-in".to_owned(), "POST"),
            ("/customer/user123".to_owned(), "GET,HEAD,PATCH,DELETE"),
            ("/health/ready".to_owned(), "GET,HEAD"),
            ("/docs/errors/not_found".to_owned(), "GET,HEAD"),
        ];
        for (path, allowed) in cases {
            for method in ["TRACE", "OPTIONS", "PROPFIND", "FROB", "get"] {
                let request = || {
                    server
                        .request(Method::from_bytes(method.as_bytes()).unwrap(), &path)
                        .bearer_auth(&organization.owner.token)
                        .timeout(PATIENCE)
                };
                refused(request(), StatusCode::METHOD_NOT_ALLOWED).await;
                let answer = request().send().await.unwrap();
                assert_eq!(header(&answer, "allow"), allowed, "{method} {path}");
            }
        }
        is_ready(&server).await;
    }

    async fn a_path_that_tries_to_be_clever_gets_nowhere(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let one = format!("/api/organizations/{}", organization.id);
        let paths = [
            "/api//organizations".to_owned(),
            "//api/organizations".into(),
            "/api/organizations/".into(),
            "/api/organizations//members".into(),
            "/api/organizations/%2e%2e/members".into(),
            "/api/organizations/..%2f..%2fhealth".into(),
            "/api/organizations/%ff".into(),
            "/api/organizations/%00".into(),
            "/api/organizations/%".into(),
            "/api/organizations/%zz".into(),
            "/api/organizations/a;b=c".into(),
            "/api%2forganizations".into(),
            "/API/organizations".into(),
            "/api/organizations.json".into(),
            format!("{one}/"),
            format!("{one}/customers/"),
            format!("{one}/customers//{customer}"),
            format!("{one}/customers/{customer}/"),
            format!("{one}/customers/{customer}/passwords"),
            format!("{one}/customers/{customer}%00"),
            format!("{one}/customers/{customer}%20"),
            format!("{one}/customers/{customer}%2f"),
            format!("{one}/customers/..%2f{customer}"),
            format!("{one}/customers/%ff%fe"),
            format!("{one}/customers/%ff/subscriptions"),
            format!("{one}/customers/x/%ff"),
            format!("{one}/customers/{}", "%41".repeat(5_000)),
            format!("{one}%20"),
            format!("{one}%00"),
            "/customer/".into(),
            "/customer/%ff".into(),
            "/customer/%00".into(),
            "/customer/%E2%80%AE".into(),
            format!("/customer/{customer}%0d%0aX-Injected:%20yes"),
            "/account/api/v1/organizations/%ff/members/%ff".into(),
            "/docs/errors/..%2f..%2fetc%2fpasswd".into(),
            "/docs/errors/%ff".into(),
            "/.well-known/..%2fapi/organizations".into(),
        ];
        for path in paths {
            for method in ["GET", "DELETE"] {
                let head = format!(
                    "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
                    organization.owner.token
                );
                let answer = send(&server, head.as_bytes()).await;
                answer.is_problem(&format!("{method} {path}"));
                assert!(!answer.head.to_lowercase().contains("x-injected"), "{path}");
            }
        }
        let path = format!("{one}/customers/{customer}");
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        is_ready(&server).await;
    }
}
