//! The rate limits of seed 003: headers on every answer whatever it says, and 429 past the limit.

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::on_both_engines;
use crate::support::{Engine, Server, header, short};
use crate::tools::{Credential, UNKNOWN_ID, refused};

const DEFAULTS: [&str; 2] = ["--rate-limit-per-minute=300", "--rate-limit-per-day=10000"];

fn number(answer: &Response, name: &str) -> i64 {
    header(answer, name).parse().unwrap()
}

/// Sends a request and checks the headers of its answer. Returns how many requests are left.
async fn remaining(request: RequestBuilder, status: StatusCode, limit: i64, policy: &str) -> i64 {
    let before = Timestamp::now().as_second();
    let answer = request.send().await.unwrap();
    let after = Timestamp::now().as_second();
    assert_eq!(answer.status(), status, "{}", answer.url());
    assert_eq!(header(&answer, "ratelimit-policy"), policy);
    assert_eq!((number(&answer, "ratelimit-limit"), number(&answer, "x-ratelimit-limit")), (limit, limit));
    let remaining = number(&answer, "ratelimit-remaining");
    assert_eq!(number(&answer, "x-ratelimit-remaining"), remaining);
    assert!((0..limit).contains(&remaining));
    // Relative in one, absolute in the other: the ends of the same window, which is a minute of the clock.
    let (relative, absolute) = (number(&answer, "ratelimit-reset"), number(&answer, "x-ratelimit-reset"));
    assert!((1..=60).contains(&relative));
    assert_eq!(absolute % 60, 0);
    assert!((before..=after).contains(&(absolute - relative)));
    remaining
}

/// Asks until the limit is used up and returns the refusal, or nothing after so many requests.
async fn exhaust(request: impl Fn() -> RequestBuilder, most: usize) -> Option<Response> {
    for _ in 0..most {
        let answer = request().send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Some(answer);
        }
    }
    None
}

on_both_engines! {
    async fn every_answer_says_how_many_requests_are_left(engine: Engine) {
        let server = Server::start(engine, &DEFAULTS).await;
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let (owner, key) = (Credential::Bearer(organization.owner.token.clone()), Credential::Key(key));
        let one = format!("/api/organizations/{}", organization.id);
        let accounts = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let requests = [
            (StatusCode::OK, owner.on(server.request(Method::GET, &one))),
            (StatusCode::OK, key.on(server.request(Method::GET, &one))),
            (StatusCode::FORBIDDEN, key.on(server.request(Method::DELETE, &one))),
            (StatusCode::OK, owner.on(server.request(Method::GET, &accounts))),
            (StatusCode::NOT_FOUND, owner.on(server.request(Method::DELETE, &format!("{accounts}/{}", short(UNKNOWN_ID))))),
            (StatusCode::UNPROCESSABLE_ENTITY, owner.on(server.request(Method::DELETE, &format!("{accounts}/2")))),
            (StatusCode::UNAUTHORIZED, server.request(Method::DELETE, &accounts.replace("members", "api-keys/2"))),
            (StatusCode::METHOD_NOT_ALLOWED, owner.on(server.request(Method::PUT, &accounts))),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, owner.on(server.request(Method::POST, "/api/organizations"))),
            (StatusCode::NOT_FOUND, server.request(Method::GET, "/nothing/here")),
            (StatusCode::OK, server.request(Method::GET, "/")),
            (StatusCode::OK, server.request(Method::GET, "/health/ready")),
            (StatusCode::OK, server.request(Method::GET, "/.well-known/jwks.json")),
            (StatusCode::UNAUTHORIZED, server.request(Method::DELETE, "/customer/user123")),
            (StatusCode::NOT_FOUND, owner.on(server.request(Method::DELETE, "/customer/user123"))),
            (StatusCode::OK, owner.on(server.request(Method::DELETE, &format!("/customer/{customer}")))),
            (StatusCode::NO_CONTENT, owner.on(server.request(Method::DELETE, &one))),
        ];
        for (status, request) in requests {
            remaining(request, status, 300, "300;w=60, 10000;w=86400").await;
        }
    }

    async fn past_the_limit_it_is_429_with_the_seconds_to_wait(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=20", "--rate-limit-per-day=10000"]).await;
        let person = server.new_person().await;
        for path in ["/api/users/me", "/account/api/v1/whoami", "/customer/user123"] {
            // A minute may end while the limit is being used up.
            let answer = exhaust(|| server.request(Method::GET, path).bearer_auth(&person.token), 45).await.unwrap();
            assert_eq!(header(&answer, "ratelimit-remaining"), "0");
            assert_eq!(header(&answer, "ratelimit-policy"), "20;w=60, 10000;w=86400");
            let seconds = number(&answer, "retry-after");
            assert_eq!(seconds, number(&answer, "ratelimit-reset"));
            let body: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(body["retry_after_seconds"], seconds);
            assert_eq!(
                (body["status"].as_u64(), body["error_code"].as_str(), body["retryable"].as_bool()),
                (Some(429), Some("rate_limited"), Some(true))
            );
            assert_eq!(body["statusCode"].is_number(), path.starts_with("/api"));
            assert_eq!(body["success"].is_boolean(), path.starts_with("/customer"));
        }
    }

    async fn keys_people_and_addresses_are_counted_apart(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=20", "--rate-limit-per-day=10000"]).await;
        let organization = server.new_organization().await;
        let other = server.new_person().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let owner = || server.request(Method::GET, &path).bearer_auth(&organization.owner.token);
        exhaust(owner, 45).await.unwrap();
        let policy = "20;w=60, 10000;w=86400";
        remaining(server.request(Method::GET, &path).header("X-API-Key", &key), StatusCode::OK, 20, policy).await;
        remaining(server.request(Method::GET, "/api/users/me").bearer_auth(&other.token), StatusCode::OK, 20, policy).await;
        remaining(server.request(Method::GET, "/health/live"), StatusCode::OK, 20, policy).await;
        // Bad credentials are counted on the address they come from: guessing is limited too.
        let guess = || server.request(Method::GET, "/api/users/me").bearer_auth("guess");
        assert!(exhaust(guess, 45).await.is_some());
    }

    async fn the_tighter_of_the_windows_is_the_one_that_is_told(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=300", "--rate-limit-per-day=5"]).await;
        let answer = exhaust(|| server.request(Method::GET, "/llms.txt"), 11).await.unwrap();
        assert_eq!((header(&answer, "ratelimit-limit"), header(&answer, "ratelimit-policy")), ("5", "300;w=60, 5;w=86400"));
        assert_eq!(number(&answer, "x-ratelimit-reset") % 86_400, 0);
        assert!((1..=86_400).contains(&number(&answer, "retry-after")));
    }

    async fn without_limits_there_are_no_headers(engine: Engine) {
        let server = Server::start(engine, &[]).await;
        let answer = server.request(Method::GET, "/health/live").send().await.unwrap();
        assert!(answer.headers().keys().all(|name| !name.as_str().contains("ratelimit")));
        refused(server.request(Method::GET, "/api/users/me"), StatusCode::UNAUTHORIZED).await;
    }
}
