//! What one caller or one organization may take of a server that others use too: requests and bodies under way, connections, and quotas.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};
use crate::tools::{answered, refused};

const MEBIBYTE: usize = 1024 * 1024;

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// A request from this address whose body lacks its last byte.
async fn unfinished(server: &Server, from: &str, bytes: usize) -> TcpStream {
    let mut stream = connect(server).await;
    let head = format!(
        "POST /api/auth/sign-in HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {from}\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes - 1]).await.unwrap();
    stream
}

/// Sends the last byte, and returns the beginning of the answer.
async fn finish(mut stream: TcpStream) -> String {
    stream.write_all(b" ").await.unwrap();
    head_of(stream).await
}

async fn head_of(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    while !received.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// A sign-in from this address with a body of so many bytes.
fn sign_in(server: &Server, from: &str, bytes: usize) -> RequestBuilder {
    let request = server.request(Method::POST, "/api/auth/sign-in").header("X-Forwarded-For", from);
    request.header("Content-Type", "application/json").body(vec![b' '; bytes])
}

/// Sends until the answer has this status: what was sent before arrives at the server in its own time.
async fn until(request: impl Fn() -> RequestBuilder, status: StatusCode) -> Response {
    loop {
        // A connection that is refused may be closed before the request is out.
        let Ok(answer) = request().send().await else { continue };
        if answer.status() == status {
            return answer;
        }
    }
}

async fn make(server: &Server, organization: &Organization, path: &str, body: Json) -> Response {
    let request = server.request(Method::POST, &path.replace("{id}", &organization.id)).bearer_auth(&organization.owner.token);
    // What takes no body is sent none.
    let request = if body.is_null() { request } else { request.json(&body) };
    request.send().await.unwrap()
}

on_both_engines! {
    async fn bodies_are_held_up_to_a_bound_for_each_caller_and_for_all_and_small_ones_come_in_all_the_same(engine: Engine) {
        let server = Server::start(engine, &["--body-memory=32", "--trusted-proxies=127.0.0.1"]).await;
        // A quarter of the memory is one caller's. More come until it is full: the server gives up on the first after half a minute.
        let mut held = Vec::new();
        let answer = loop {
            held.push(unfinished(&server, "192.0.2.1", MEBIBYTE).await);
            let answer = sign_in(&server, "192.0.2.1", MEBIBYTE).send().await.unwrap();
            if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                break answer;
            }
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        };
        assert!(held.len() >= 8, "{} were held", held.len());
        assert_eq!(header(&answer, "retry-after"), "1");
        assert_eq!(answer.json::<Json>().await.unwrap()["retry_after_seconds"], 1);
        answered(sign_in(&server, "192.0.2.1", 1000), StatusCode::BAD_REQUEST).await;
        answered(sign_in(&server, "192.0.2.2", MEBIBYTE), StatusCode::BAD_REQUEST).await;
        let mut addresses = (10..250).map(|number| format!("192.0.2.{number}"));
        let answer = loop {
            let from = addresses.next().unwrap();
            for _ in 0..8 {
                held.push(unfinished(&server, &from, MEBIBYTE).await);
            }
            let answer = sign_in(&server, "192.0.2.6", MEBIBYTE).send().await.unwrap();
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                break answer;
            }
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        };
        assert_eq!(header(&answer, "retry-after"), "1");
        assert!(answer.json::<Json>().await.unwrap()["detail"].as_str().unwrap().contains("as many bodies"));
        answered(sign_in(&server, "192.0.2.6", 8_192), StatusCode::BAD_REQUEST).await;
        // The room comes back with the callers who go.
        drop(held);
        until(|| sign_in(&server, "192.0.2.6", MEBIBYTE), StatusCode::BAD_REQUEST).await;
    }

    async fn a_caller_has_so_many_requests_under_way_and_no_other_is_kept_out(engine: Engine) {
        let server = Server::start(engine, &["--requests-at-once=2", "--trusted-proxies=127.0.0.1"]).await;
        let held = [unfinished(&server, "192.0.2.1", 1_000).await, unfinished(&server, "192.0.2.1", 1_000).await];
        let live = |from: &'static str| server.request(Method::GET, "/api/users/me").header("X-Forwarded-For", from);
        let answer = until(|| live("192.0.2.1"), StatusCode::TOO_MANY_REQUESTS).await;
        assert_eq!(header(&answer, "retry-after"), "1");
        assert_eq!(answer.json::<Json>().await.unwrap()["error_code"], "rate_limited");
        answered(live("192.0.2.2"), StatusCode::UNAUTHORIZED).await;
        let person = server.new_person().await;
        answered(live("192.0.2.1").bearer_auth(&person.token), StatusCode::OK).await;
        for stream in held {
            assert!(finish(stream).await.starts_with("HTTP/1.1 400"));
        }
        until(|| live("192.0.2.1"), StatusCode::UNAUTHORIZED).await;
    }

    async fn a_caller_who_comes_too_often_is_refused_before_the_body_has_come(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-day=3", "--trusted-proxies=127.0.0.1"]).await;
        for _ in 0..3 {
            answered(sign_in(&server, "192.0.2.1", 10), StatusCode::BAD_REQUEST).await;
        }
        // The last byte of its body never comes.
        assert!(head_of(unfinished(&server, "192.0.2.1", MEBIBYTE).await).await.starts_with("HTTP/1.1 429"));
    }

    async fn the_newest_connection_beyond_the_last_is_refused_and_told_why(engine: Engine) {
        let server = Server::start(engine, &["--max-connections=10"]).await;
        let mut held = Vec::new();
        let refusal = loop {
            assert!(held.len() < 20);
            let mut stream = connect(&server).await;
            stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut first = vec![0; 2048];
            let count = stream.read(&mut first).await.unwrap();
            let answer = String::from_utf8_lossy(&first[..count]).into_owned();
            match answer.starts_with("HTTP/1.1 200") {
                true => held.push(stream),
                false => break answer,
            }
        };
        assert_eq!(held.len(), 10);
        assert!(refusal.starts_with("HTTP/1.1 503") && refusal.contains("Retry-After: ") && refusal.contains("open connections"), "{refusal}");
        drop(held);
        until(|| server.request(Method::GET, "/health/live"), StatusCode::OK).await;
    }

    async fn an_organization_has_as_much_as_its_quotas_say_and_what_is_refused_is_counted(engine: Engine) {
        let quotas = ["api-keys", "webhooks", "oauth-apps", "exports", "invitations"].map(|quota| format!("--organization-{quota}=2"));
        let mut arguments: Vec<&str> = quotas.iter().map(String::as_str).collect();
        arguments.push("--metrics-token=figures");
        let server = Server::start(engine, &arguments).await;
        let (organization, other) = (server.new_organization().await, server.new_organization().await);
        let cases = [
            ("api_keys", "/api/organizations/{id}/api-keys", json!({"name": "Test key"})),
            ("webhooks", "/api/organizations/{id}/webhooks", json!({"url": "https://example.com/", "events": ["member.added"]})),
            ("oauth_apps", "/api/oauth/apps", json!({"name": "Test app", "scopes": ["read:user"], "organizationId": "{id}"})),
            ("exports", "/api/organizations/{id}/exports", Json::Null),
            ("invitations", "/api/organizations/{id}/members/invite", json!({"email": "guest{n}@example.com", "role": "viewer"})),
        ];
        let body = |body: &Json, organization: &Organization, number: usize| -> Json {
            let text = body.to_string().replace("{id}", &organization.id).replace("{n}", &number.to_string());
            serde_json::from_str(&text).unwrap()
        };
        for (quota, path, good) in &cases {
            // Two at the same moment must not both find the last place.
            let requests = (0..4).map(|number| make(&server, &organization, path, body(good, &organization, number)));
            let answers = futures_util::future::join_all(requests).await;
            let (made, refused): (Vec<Response>, Vec<Response>) = answers.into_iter().partition(|answer| answer.status().is_success());
            assert_eq!((made.len(), refused.len()), (2, 2), "{quota}");
            for answer in refused {
                assert_eq!(answer.status(), StatusCode::CONFLICT, "{quota}");
                let problem: Json = answer.json().await.unwrap();
                assert!(problem["detail"].as_str().unwrap().contains('2'), "{problem}");
            }
            let elsewhere = make(&server, &other, path, body(good, &other, 9)).await;
            assert!(elsewhere.status().is_success(), "{quota}: {}", elsewhere.text().await.unwrap());
        }
        let figures = server.request(Method::GET, "/metrics").bearer_auth("figures").send().await.unwrap().text().await.unwrap();
        for (quota, ..) in &cases {
            assert!(figures.contains(&format!("freehold_quota_refusals_total{{quota=\"{quota}\"}} 2")), "{figures}");
        }
    }

    async fn all_callers_of_an_organization_together_come_as_often_as_it_may_and_strangers_are_not_counted(engine: Engine) {
        let server = Server::start(engine, &["--organization-requests-per-minute=30"]).await;
        let (organization, other) = (server.new_organization().await, server.new_organization().await);
        let (member, _) = server.new_member(&organization, "viewer").await;
        let path = format!("/api/organizations/{}", organization.id);
        let read = |token: &str| server.request(Method::GET, &path).bearer_auth(token);
        for _ in 0..40 {
            refused(read(&other.owner.token), StatusCode::FORBIDDEN).await;
        }
        let refusal = 'refusal: {
            for _ in 0..61 {
                for token in [&member.token, &organization.owner.token] {
                    let answer = read(token).send().await.unwrap();
                    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                        break 'refusal answer;
                    }
                }
            }
            panic!("no caller was refused");
        };
        assert!((1..=60).contains(&header(&refusal, "retry-after").parse::<i64>().unwrap()));
        assert!(refusal.json::<Json>().await.unwrap()["detail"].as_str().unwrap().contains("30 requests in this minute"));
        let path = format!("/api/organizations/{}", other.id);
        answered(server.request(Method::GET, &path).bearer_auth(&other.owner.token), StatusCode::OK).await;
        // No key of it is given more.
        let path = format!("{path}/api-keys");
        let key = |limits: Json| server.request(Method::POST, &path).bearer_auth(&other.owner.token).json(&limits);
        for (field, limit) in [("rateLimitPerMinute", 31), ("rateLimitPerHour", 1_801)] {
            let answer = refused(key(json!({"name": "Test key", field: limit})), StatusCode::BAD_REQUEST).await;
            assert_eq!(answer["errors"][0]["field"], field);
        }
        expect(key(json!({"name": "Test key", "rateLimitPerMinute": 30, "rateLimitPerHour": 1_800})), StatusCode::CREATED).await;
    }
}
