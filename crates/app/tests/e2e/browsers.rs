//! What browsers are told: what a page may do, and whose scripts may read an answer.

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};
use crate::tools::UNKNOWN_ID;

/// Every address of the document that a GET reaches, with something in the place of its variable parts.
async fn addresses(server: &Server) -> Vec<String> {
    let document: Json = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
    let readable = document["paths"].as_object().unwrap().iter().filter(|(_, item)| item["get"].is_object());
    let filled =
        |path: &String| path.split('/').map(|part| if part.starts_with('{') { UNKNOWN_ID } else { part }).collect::<Vec<_>>().join("/");
    readable.map(|(path, _)| filled(path)).chain(["/nowhere".into(), "/docs/errors/not_found".into()]).collect()
}

async fn preflight(server: &Server, path: &str, origin: &str, method: &str) -> Response {
    let request = server.request(Method::OPTIONS, path).header("Origin", origin).header("Access-Control-Request-Method", method);
    let answer = request.header("Access-Control-Request-Headers", "x-api-key").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    answer
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    assert!(!headers.contains_key("access-control-allow-credentials"), "cookies are for this server's own pages");
    headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap())
}

on_both_engines! {
    async fn every_answer_says_what_a_browser_may_do_with_it(engine: Engine) {
        let server = Server::start(engine, &["--public-url=https://freehold.example"]).await;
        let mut pages = 0;
        for path in addresses(&server).await {
            let answer = server.request(Method::GET, &path).send().await.unwrap();
            let policy = header(&answer, "content-security-policy");
            assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{path}: {policy}");
            assert!(["no-referrer", "same-origin"].contains(&header(&answer, "referrer-policy")), "{path}");
            assert_eq!(header(&answer, "x-frame-options"), "DENY", "{path}");
            assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header(&answer, "strict-transport-security"), "max-age=31536000", "{path}");
            if header(&answer, "content-type").starts_with("text/html") {
                let page = answer.text().await.unwrap();
                assert!(!page.contains("<style") && !page.contains("style=\"") && !page.contains("<script>"), "{path}: the policy forbids it");
                pages += 1;
            }
        }
        assert!(pages >= 4, "{pages} pages");
    }

    async fn scripts_of_configured_origins_may_use_all_and_those_of_others_read_with_a_publishable_key(engine: Engine) {
        let arguments = ["--cors-origins=https://app.example,http://localhost:5173", "--rate-limit-per-minute=300"];
        let server = Server::start(engine, &arguments).await;
        let organization = server.new_organization().await;
        let at = format!("/api/organizations/{}", organization.id);
        let keys = format!("{at}/api-keys");
        let mut secrets = Vec::new();
        for kind in ["publishable", "organization"] {
            let body = json!({"name": "Browser", "kind": kind, "scopes": ["read:organization"]});
            let made = expect(server.request(Method::POST, &keys).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
            secrets.push(made["key"].as_str().unwrap().to_owned());
        }
        let left = async || {
            let answer = server.request(Method::GET, "/nowhere").send().await.unwrap();
            header(&answer, "ratelimit-remaining").parse::<u32>().unwrap()
        };
        let before = left().await;
        for (origin, method) in [("https://app.example", "DELETE"), ("http://localhost:5173", "GET"), ("https://other.example", "GET")] {
            let answer = preflight(&server, &at, origin, method).await;
            let is_known = origin != "https://other.example";
            assert_eq!(allowed(answer.headers()), Some(if is_known { origin } else { "*" }), "{origin}");
            let (methods, headers) = (header(&answer, "access-control-allow-methods"), header(&answer, "access-control-allow-headers"));
            assert!(methods.contains("GET") && headers.contains("x-api-key"), "{origin}: {methods}; {headers}");
            assert_eq!((methods.contains("DELETE"), headers.contains("authorization")), (is_known, is_known), "{origin}");
            assert_eq!(header(&answer, "ratelimit-remaining"), "", "a preflight is not counted");
        }
        assert_eq!(left().await, before - 1, "a preflight is not counted");

        let send = async |method: Method, origin: &str, credential: (&str, &str)| {
            let answer = server.request(method, &at).header("Origin", origin).header(credential.0, credential.1).send().await.unwrap();
            assert!(answer.headers().get_all("vary").iter().any(|value| value.to_str().unwrap().contains("origin")));
            (answer.status(), allowed(answer.headers()).map(str::to_owned))
        };
        let bearer = format!("Bearer {}", organization.owner.token);
        let (public, secret, token) = (("X-API-Key", &*secrets[0]), ("X-API-Key", &*secrets[1]), ("Authorization", &*bearer));
        for credential in [public, secret, token] {
            let (status, origin) = send(Method::GET, "https://app.example", credential).await;
            assert_eq!((status, origin.as_deref()), (StatusCode::OK, Some("https://app.example")));
        }
        assert_eq!(send(Method::GET, "https://other.example", public).await, (StatusCode::OK, Some("*".into())));
        for (method, credential) in [(Method::GET, secret), (Method::GET, token), (Method::DELETE, public)] {
            assert_eq!(send(method, "https://other.example", credential).await.1, None);
        }
        let near = ["https://app.example.evil", "https://evil.app.example", "http://app.example", "https://app.example:8443", "null"];
        for origin in near {
            assert_eq!(send(Method::GET, origin, token).await.1, None, "{origin}");
        }
    }
}

on_both_engines! {
    async fn a_server_without_encryption_does_not_ask_for_it(server: Server) {
        let answer = server.request(Method::GET, "/").send().await.unwrap();
        assert_eq!(header(&answer, "strict-transport-security"), "");
    }
}
