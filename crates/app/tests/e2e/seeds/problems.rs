//! Errors as seed 003 documents them for all: RFC 9457 bodies whose `type` leads to a page that this server really serves, and on every
//! surface the members that its own document shows besides.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, short};
use crate::tools::{UNKNOWN_ID, answered, keys_of, new_customer, refused};

/// Reads the page that a problem's `type` points at, at the very address it names.
async fn read_page(server: &Server, problem: &Json) -> String {
    let answer = answered(server.client.get(problem["type"].as_str().unwrap()), StatusCode::OK).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    answer.text().await.unwrap()
}

on_both_engines! {
    async fn the_type_of_every_problem_is_an_address_that_this_server_serves(server: Server) {
        let organization = server.new_organization().await;
        let outsider = server.new_person().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}", organization.id);
        new_customer(&server, &organization, "user123", None).await;
        server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let customers = format!("{path}/customers");
        let too_long = vec![b' '; 1024 * 1024 + 1];
        let requests = [
            (StatusCode::BAD_REQUEST, server.request(Method::DELETE, "/api/organizations/a").bearer_auth(token)),
            (StatusCode::UNAUTHORIZED, server.request(Method::DELETE, &path)),
            (StatusCode::FORBIDDEN, server.request(Method::DELETE, &path).bearer_auth(&outsider.token)),
            (StatusCode::NOT_FOUND, server.request(Method::DELETE, &format!("/api/organizations/{UNKNOWN_ID}")).bearer_auth(token)),
            (StatusCode::METHOD_NOT_ALLOWED, server.request(Method::PATCH, &customers).bearer_auth(token)),
            (StatusCode::CONFLICT, server.request(Method::DELETE, &format!("{customers}/user123")).bearer_auth(token)),
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                server.request(Method::POST, &customers).bearer_auth(token).header("Content-Type", "application/json").body(too_long),
            ),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, server.request(Method::POST, &customers).bearer_auth(token).body("x")),
            (StatusCode::UNPROCESSABLE_ENTITY, server.request(Method::GET, "/account/api/v1/organizations?page=0").bearer_auth(token)),
        ];
        for (status, request) in requests {
            let problem = refused(request, status).await;
            let page = read_page(&server, &problem).await;
            assert!(page.contains(problem["error_code"].as_str().unwrap()), "{page}");
            assert!(page.contains(&format!("{} {}", status.as_u16(), problem["title"].as_str().unwrap())), "{page}");
        }
        // Those that cannot be had by asking.
        for code in ["request_timeout", "precondition_failed", "rate_limited", "internal_error", "unavailable"] {
            answered(server.request(Method::GET, &format!("/docs/errors/{code}")), StatusCode::OK).await;
        }
        refused(server.request(Method::GET, "/docs/errors/no_such_code"), StatusCode::NOT_FOUND).await;
    }

    async fn every_surface_speaks_of_an_unknown_address_in_its_own_form(server: Server) {
        for path in [
            "/api/nothing/here",
            "/api",
            "/account/api/v1/nothing",
            "/customer/a/b",
            "/customer/a/b/c",
            "/customers",
            "/nothing",
            "/organizations",
        ] {
            let body = refused(server.request(Method::GET, path), StatusCode::NOT_FOUND).await;
            assert_eq!(body["detail"], "The requested resource was not found.", "{path}");
        }
    }

    async fn invalid_input_is_400_on_the_organizations_api_and_422_elsewhere(server: Server) {
        let person = server.new_person().await;
        let body = json!({"name": "A", "slug": "!", "surprise": 1});
        for (path, status) in
            [("/api/organizations", StatusCode::BAD_REQUEST), ("/account/api/v1/organizations", StatusCode::UNPROCESSABLE_ENTITY)]
        {
            let problem = refused(server.request(Method::POST, path).bearer_auth(&person.token).json(&body), status).await;
            let errors = problem["errors"].as_array().unwrap();
            assert_eq!((errors.len(), &errors[0]["field"], &errors[0]["code"]), (1, &json!("surprise"), &json!("unknown_field")));
            let body = json!({"name": "A", "slug": "!"});
            let problem = refused(server.request(Method::POST, path).bearer_auth(&person.token).json(&body), status).await;
            let fields: Vec<&str> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
            assert_eq!(fields, ["name", "slug"]);
            for error in problem["errors"].as_array().unwrap() {
                assert_eq!(keys_of(error, &["field", "code", "message"]).len(), 3);
            }
        }
    }

    async fn a_surface_names_fields_in_its_own_spelling(server: Server) {
        let organization = server.new_organization().await;
        let spellings = [
            (format!("/api/organizations/{}/api-keys", organization.id), "expiresAt", StatusCode::BAD_REQUEST),
            (format!("/account/api/v1/organizations/{}/api-keys", short(&organization.id)), "expires_at", StatusCode::UNPROCESSABLE_ENTITY),
        ];
        for (path, field, status) in spellings {
            let body = json!({"name": "Old", field: "2001-01-01T00:00:00Z"});
            let problem = refused(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), status).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!("in_the_past")));
            assert!(problem["detail"].as_str().unwrap().starts_with(field), "{problem}");
        }
    }

    async fn a_callers_own_request_id_comes_back(server: Server) {
        let answer = server.request(Method::GET, "/api/users/me").header("X-Request-Id", "my-request-0001").send().await.unwrap();
        assert_eq!(answer.headers()["x-request-id"], "my-request-0001");
        assert_eq!(answer.json::<Json>().await.unwrap()["request_id"], "my-request-0001");
        for id in ["short", "has space in it", "quote\"quote\"", &"x".repeat(65)] {
            let answer = server.request(Method::GET, "/health/live").header("X-Request-Id", id).send().await.unwrap();
            assert_ne!(answer.headers()["x-request-id"], *id);
        }
    }
}
