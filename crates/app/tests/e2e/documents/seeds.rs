//! The OpenAPI text of the reference documents (`seeds/`) against the documents of the surfaces, statement by statement: what a generated
//! client depends on is held to the letter, and of a sentence that it is there.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

/// A document, once it says what all of them must.
async fn document(server: &Server, path: &str, title: &str, version: &str) -> Json {
    let document = expect(server.request(Method::GET, path), StatusCode::OK).await;
    assert_eq!(document["openapi"], "3.1.0", "{path}");
    assert_eq!((&document["info"]["title"], &document["info"]["version"]), (&json!(title), &json!(version)), "{path}");
    assert!(is_said(&document["info"]["description"]) && document["info"]["contact"].is_object(), "{path}");
    assert_eq!(document["security"], json!([]), "{path}");
    assert!(is_said(&document["externalDocs"]["description"]) && is_said(&document["externalDocs"]["url"]), "{path}");
    let servers = document["servers"].as_array().unwrap();
    assert!(!servers.is_empty() && servers.iter().all(|server| is_said(&server["url"]) && is_said(&server["description"])), "{path}");
    document
}

fn is_said(text: &Json) -> bool {
    text.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// The names of the tags, each of which has a description of its own.
fn tags(document: &Json) -> Vec<&str> {
    let tags = document["tags"].as_array().unwrap();
    let mut descriptions: Vec<&str> = tags.iter().map(|tag| tag["description"].as_str().unwrap()).collect();
    descriptions.sort_unstable();
    descriptions.dedup();
    assert!(descriptions.len() == tags.len() && descriptions.iter().all(|words| !words.is_empty()), "{tags:?}");
    tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect()
}

/// The parameters of an address, as the operation has them.
fn in_path(operation: &Json) -> Vec<&Json> {
    operation["parameters"].as_array().unwrap().iter().filter(|parameter| parameter["in"] == "path").collect()
}

fn assert_answers(operation: &Json, statuses: &[u16]) {
    for status in statuses {
        assert!(is_said(&operation["responses"][status.to_string()]["description"]), "{status} of {}", operation["operationId"]);
    }
}

/// An answer, behind its reference if it is shared.
fn answer<'a>(document: &'a Json, operation: &'a Json, status: &str) -> &'a Json {
    let answer = &operation["responses"][status];
    match answer["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => answer,
    }
}

const BEARER: &[(&str, &str)] = &[("type", "http"), ("scheme", "bearer"), ("bearerFormat", "JWT")];

fn assert_scheme(document: &Json, name: &str, expected: &[(&str, &str)]) {
    for (member, value) in expected {
        assert_eq!(document["components"]["securitySchemes"][name][member], *value, "{name}");
    }
}

on_both_engines! {
    async fn the_account_api_is_described_as_seed_003_does(server: Server) {
        let document = document(&server, "/openapi/openapi-account.json", "Account API", "1.0.0").await;
        let words = document["info"]["description"].as_str().unwrap();
        for said in [
            "X-API-Key", "csb_<body>_<checksum>", "300", "10,000", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining",
            "RateLimit-Reset", "X-RateLimit-Reset", "429", "retry_after_seconds", "Retry-After", "page_size", "total_count", "total_pages",
            "has_next", "has_previous", "RFC 9457", "application/problem+json", "unauthorized", "forbidden", "not_found", "validation_error",
            "rate_limited", "internal_error",
        ] {
            assert!(words.contains(said), "the introduction does not speak of {said}");
        }
        assert_eq!(tags(&document), ["Account", "Organizations", "Members", "API Keys", "Preferences"]);
        let operation = &document["paths"]["/account/api/v1/organizations/{org_id}/members/{member_id}"]["delete"];
        assert_eq!(operation["tags"], json!(["Members"]));
        assert_eq!(operation["summary"], "Remove a member");
        assert!(is_said(&operation["description"]));
        assert_eq!(operation["operationId"], "apps_accounts_api_members_remove_member");
        let parameters = in_path(operation);
        assert_eq!(parameters.len(), 2);
        for (parameter, (name, title)) in parameters.into_iter().zip([("org_id", "Org Id"), ("member_id", "Member Id")]) {
            assert_eq!((&parameter["name"], &parameter["required"]), (&json!(name), &json!(true)));
            assert!(is_said(&parameter["description"]) && is_said(&parameter["schema"]["description"]));
            for (member, value) in [
                ("format", json!("shortuuid")),
                ("maxLength", json!(22)),
                ("minLength", json!(22)),
                ("pattern", json!("^[23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz]{22}$")),
                ("title", json!(title)),
                ("type", json!("string")),
            ] {
                assert_eq!(parameter["schema"][member], value, "{name}");
            }
        }
        assert_eq!(operation["responses"]["200"]["description"], "OK");
        assert_eq!(operation["security"], json!([{"APIKeyHeaderAuth": []}, {"OAuthTokenAuth": []}, {"SessionAuth": []}]));
        assert_scheme(&document, "APIKeyHeaderAuth", &[("type", "apiKey"), ("in", "header"), ("name", "X-API-Key")]);
        assert_scheme(&document, "OAuthTokenAuth", &[("type", "http"), ("scheme", "bearer")]);
        assert_scheme(&document, "SessionAuth", &[("type", "apiKey"), ("in", "cookie"), ("name", "sessionid")]);
        let not_found = &answer(&document, operation, "404")["content"]["application/problem+json"]["example"];
        let members: Vec<&String> = not_found.as_object().unwrap().keys().take(7).collect();
        assert_eq!(members, ["type", "title", "status", "detail", "error_code", "retryable", "timestamp"]);
        assert_eq!(not_found["error_code"], "not_found");
        assert!(document["paths"].as_object().unwrap().keys().all(|path| path.starts_with("/account/api/v1/")));
    }

    async fn the_organizations_api_is_described_as_seeds_000_and_004_do(server: Server) {
        let document = document(&server, "/openapi/openapi-organizations.json", "Organizations API", "1.0").await;
        let tags = tags(&document);
        for tag in ["organizations", "oauth", "webhooks", "users", "api-keys", "customers"] {
            assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
        }
        let servers = document["servers"].as_array().unwrap();
        assert_eq!(servers[0]["url"], format!("http://localhost:{}/api", server.url.rsplit(':').next().unwrap()));
        assert!(servers.iter().any(|server| server["url"] == "http://localhost:3001/api" && server["description"] == "Local development"));
        assert_scheme(&document, "bearer", BEARER);

        let operation = &document["paths"]["/organizations/{id}"]["delete"];
        assert_eq!(operation["tags"], json!(["organizations"]));
        assert_eq!(operation["summary"], "Delete organization (owner only)");
        let words = operation["description"].as_str().unwrap().to_lowercase();
        assert!(words.contains("owners only") && words.contains("cannot be undone"), "{words}");
        assert_eq!(operation["operationId"], "OrganizationsController_delete");
        let [id] = in_path(operation)[..] else { panic!("{operation}") };
        assert_eq!((&id["name"], &id["required"], &id["schema"]["type"]), (&json!("id"), &json!(true), &json!("string")));
        assert_answers(operation, &[204, 403, 404]);
        assert!(operation["responses"]["204"]["content"].is_null());
        assert_eq!(answer(&document, operation, "401")["description"], "Authentication required. Provide a valid bearer token.");
        assert!(operation["security"].as_array().unwrap().contains(&json!({"bearer": []})));

        let operation = &document["paths"]["/organizations/{organizationId}/customers/{customerId}"]["delete"];
        assert_eq!(operation["tags"], json!(["customers"]));
        assert_eq!(operation["summary"], "Delete a customer");
        assert_eq!(operation["operationId"], "CustomersController_remove");
        let parameters = in_path(operation);
        assert_eq!(parameters.len(), 2);
        for (parameter, name) in parameters.into_iter().zip(["organizationId", "customerId"]) {
            assert_eq!((&parameter["name"], &parameter["required"], &parameter["schema"]["type"]), (&json!(name), &json!(true), &json!("string")));
        }
        assert_answers(operation, &[204]);
        assert!(operation["responses"]["204"]["content"].is_null());
        assert!(operation["security"].as_array().unwrap().contains(&json!({"bearer": []})));
    }

    async fn the_customer_api_is_described_as_seed_001_does(server: Server) {
        let document = document(&server, "/openapi/openapi-customer.json", "Customer API", "1.0.0").await;
        assert_eq!(tags(&document), ["Customers"]);
        assert_scheme(&document, "bearer", BEARER);
        let operation = &document["paths"]["/customer/{id}"]["delete"];
        for status in ["200", "401", "403", "404", "409", "500"] {
            assert!(is_said(&answer(&document, operation, status)["description"]), "{status}");
        }
        assert!(operation["security"].as_array().unwrap().contains(&json!({"bearer": []})));
        let words = document["info"]["description"].as_str().unwrap();
        for said in ["JWT", "ADMIN", "MASTER", "RESALE", "audit"] {
            assert!(words.contains(said), "the introduction does not speak of {said}");
        }
        let deleted = &operation["responses"]["200"]["content"]["application/json"]["examples"]["deleted"]["value"];
        assert_eq!((&deleted["success"], &deleted["message"]), (&json!(true), &json!("Customer deleted successfully")));
        assert!(deleted["deletedAt"].as_str().unwrap().ends_with(".000Z"));
        for status in ["401", "403", "404", "409"] {
            let example = &answer(&document, operation, status)["content"]["application/problem+json"]["example"];
            assert_eq!(example["success"], false, "{status}");
            assert!(is_said(&example["message"]), "{status}");
        }
        assert!(document["paths"].as_object().unwrap().keys().all(|path| path.starts_with("/customer")));
    }
}
