//! Bodies: of the wrong form, type, size and encoding, over every operation that takes one.

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};

use super::{PATIENCE, World, fresh, is_ready};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{answered, refused, refused_somehow};

/// What a field of this value's type does not take.
fn wrong_values(good: &Json) -> Vec<Json> {
    let mut wrong = vec![json!(true), json!(1.5), json!(-1e300)];
    match good {
        Json::String(_) => wrong.extend([
            json!(42),
            json!([]),
            json!(["text"]),
            json!({}),
            json!("\0"),
            json!("a\0b"),
            json!("\u{7}"),
            json!("x".repeat(10_000)),
        ]),
        Json::Number(_) => wrong.extend([json!("42"), json!([42]), json!({}), json!(u64::MAX)]),
        Json::Array(_) => wrong.extend([json!(42), json!("text"), json!({}), json!([42]), json!([null]), json!([["text"]]), json!(["\0"])]),
        Json::Object(_) => wrong.extend([
            json!(42),
            json!("text"),
            json!([]),
            json!({"a": 1}),
            json!({"a": null}),
            json!({"a": {"b": "c"}}),
            json!({"a": "\0"}),
            json!({"\0": "a"}),
            json!({"": "a"}),
            json!({"x".repeat(41): "a"}),
            json!({"a": "x".repeat(501)}),
            Json::Object((0..51).map(|number| (number.to_string(), json!("x"))).collect()),
        ]),
        // A field that may be null takes an id.
        Json::Null => wrong.extend([json!("nonsense"), json!(42), json!([]), json!("\0"), json!("550e8400-e29b-41d4-a716-446655440000")]),
        Json::Bool(_) => unreachable!("no operation takes one"),
    }
    wrong
}

on_both_engines! {
    async fn the_bodies_that_the_others_are_made_from_are_good(server: Server) {
        let world = World::make(&server).await;
        for (number, endpoint) in world.endpoints.iter().enumerate() {
            let answer = world.request(&server, endpoint, fresh(&endpoint.body, number)).send().await.unwrap();
            // Two need a secret that only they know.
            let needs_secret = endpoint.path.ends_with("/refresh") || endpoint.path.ends_with("/accept");
            assert_eq!(answer.status().is_success(), !needs_secret, "{}: {}", endpoint.path, answer.text().await.unwrap());
        }
    }

    async fn a_field_of_another_type_or_content_is_refused(server: Server) {
        let world = World::make(&server).await;
        let mut number = 0;
        for endpoint in &world.endpoints {
            for (name, good) in endpoint.body.as_object().unwrap() {
                for wrong in wrong_values(good) {
                    number += 1;
                    let mut body = endpoint.body.clone();
                    body[name] = wrong;
                    let (status, problem) = refused_somehow(world.request(&server, endpoint, fresh(&body, number))).await;
                    let is_secret = ["password", "token", "refresh_token"].contains(&name.as_str());
                    let expected = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&status) || is_secret;
                    assert!(expected || endpoint.path.ends_with("/sign-in"), "{} {name}: {problem}", endpoint.path);
                    if let Some(error) = problem["errors"].get(0) {
                        assert!(
                            error["field"].as_str().unwrap().starts_with(name.as_str()) || name == "refresh_token",
                            "{name}: {problem}"
                        );
                    }
                }
            }
        }
        is_ready(&server).await;
    }

    async fn a_field_that_is_missing_null_or_unknown_is_refused(server: Server) {
        let world = World::make(&server).await;
        for endpoint in &world.endpoints {
            for name in endpoint.required {
                let mut missing = endpoint.body.clone();
                missing.as_object_mut().unwrap().remove(*name);
                let mut null = endpoint.body.clone();
                null[*name] = Json::Null;
                for body in [missing, null] {
                    let (status, problem) = refused_somehow(world.request(&server, endpoint, fresh(&body, 1))).await;
                    assert!(
                        [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&status),
                        "{} {name}: {problem}",
                        endpoint.path
                    );
                }
            }
            for name in ["surprise", "", "__proto__", "Name", "organization_id", "is_operator", "isOperator", "role\0"] {
                let mut body = endpoint.body.clone();
                body[name] = json!("x");
                let (status, problem) = refused_somehow(world.request(&server, endpoint, fresh(&body, 1))).await;
                assert!(
                    [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&status),
                    "{} {name}: {problem}",
                    endpoint.path
                );
                assert!(problem["errors"].as_array().unwrap().iter().any(|error| error["code"] == "unknown_field"), "{problem}");
            }
            let many: Map<String, Json> = (0..5_000).map(|number| (format!("field{number}"), json!(number))).collect();
            refused_somehow(world.request(&server, endpoint, Json::Object(many).to_string())).await;
        }
        is_ready(&server).await;
    }

    async fn what_is_no_json_object_is_400(server: Server) {
        let world = World::make(&server).await;
        let deep = |open: &str, close: &str| format!("{{\"name\":{}{}}}", open.repeat(50_000), close.repeat(50_000)).into_bytes();
        let bodies: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b" ".to_vec(),
            b"{".to_vec(),
            b"}".to_vec(),
            b"null".to_vec(),
            b"true".to_vec(),
            b"42".to_vec(),
            b"\"text\"".to_vec(),
            b"[]".to_vec(),
            b"[{}]".to_vec(),
            b"{} {}".to_vec(),
            b"{}x".to_vec(),
            b"{\"name\":\"Ada\",}".to_vec(),
            b"{'name':'Ada'}".to_vec(),
            b"{name:1}".to_vec(),
            b"{\"name\":NaN}".to_vec(),
            b"{\"name\":1e999}".to_vec(),
            b"{\"name\":-1e999}".to_vec(),
            b"{\"name\":01}".to_vec(),
            b"{\"name\":\"\\ud800\"}".to_vec(),
            b"{\"name\":\"\\udc00\\ud800\"}".to_vec(),
            b"{\"name\":\"\\x41\"}".to_vec(),
            b"{\"name\":\"line\nbreak\"}".to_vec(),
            b"{\"name\":\"\x00\"}".to_vec(),
            b"{\"name\":\"\xff\"}".to_vec(),
            b"{\"\xc3\x28\":1}".to_vec(),
            b"\xff\xfe{\x00}\x00".to_vec(),
            b"\xef\xbb\xbf{}".to_vec(),
            b"name=Ada&slug=acme".to_vec(),
            b"<name>Ada</name>".to_vec(),
            deep("[", "]"),
            deep("{\"a\":", "}"),
            format!("{{\"name\":{}}}", "9".repeat(100_000)).into_bytes(),
        ];
        for endpoint in &world.endpoints {
            for body in &bodies {
                refused(world.request(&server, endpoint, body.clone()), StatusCode::BAD_REQUEST).await;
            }
        }
        is_ready(&server).await;
    }

    async fn a_body_of_more_than_a_mebibyte_is_413_and_one_of_a_mebibyte_is_read(server: Server) {
        let world = World::make(&server).await;
        for endpoint in &world.endpoints {
            for size in [1024 * 1024 + 1, 2 * 1024 * 1024] {
                refused(world.request(&server, endpoint, vec![b' '; size]), StatusCode::PAYLOAD_TOO_LARGE).await;
            }
            let mut largest = vec![b' '; 1024 * 1024];
            largest[..14].copy_from_slice(b"{\"surprise\":1}");
            let (status, problem) = refused_somehow(world.request(&server, endpoint, largest)).await;
            assert!([StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY].contains(&status), "{problem}");
        }
        is_ready(&server).await;
    }

    async fn a_body_of_another_content_type_is_415(server: Server) {
        let world = World::make(&server).await;
        for endpoint in &world.endpoints {
            for kind in [
                "",
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/jsonp",
                "json",
                "application/xml, application/json",
            ] {
                let request = server.request(endpoint.method.clone(), &endpoint.path).bearer_auth(&world.organization.owner.token);
                let request = request.header("Content-Type", kind).timeout(PATIENCE).body(fresh(&endpoint.body, 1));
                refused(request, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
            }
        }
        let request = server.request(Method::POST, "/api/organizations").bearer_auth(&world.organization.owner.token);
        let body = json!({"name": "Acme", "slug": "with-a-charset"}).to_string();
        answered(request.header("Content-Type", "Application/JSON; charset=utf-8").body(body), StatusCode::CREATED).await;
    }

    async fn a_delete_takes_any_body_and_looks_at_none(server: Server) {
        let organization = server.new_organization().await;
        for (number, body) in [b"".to_vec(), b"{}".to_vec(), b"{".to_vec(), b"\xff".to_vec(), vec![b'x'; 100_000]].into_iter().enumerate() {
            let customer = format!("user{number}");
            crate::tools::new_customer(&server, &organization, &customer, None).await;
            let request = server.request(Method::DELETE, &format!("/customer/{customer}")).header("Content-Type", "application/json");
            expect(request.bearer_auth(&organization.owner.token).body(body), StatusCode::OK).await;
        }
    }

    async fn times_that_one_engine_cannot_hold_are_refused_by_both(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let path = format!("/api/organizations/{}/customers/{customer}/subscriptions", organization.id);
        let make = |time: &str| {
            let body = json!({"plan": "basic", "startsAt": time, "endsAt": time});
            server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body)
        };
        for time in [
            "-009999-01-02T01:59:59Z",
            "-004713-01-01T00:00:00Z",
            "-000001-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "9999-12-30T22:00:00.5Z",
            "2026-02-30T00:00:00Z",
            "2026-01-31",
            "now",
            "",
        ] {
            refused(make(time), StatusCode::BAD_REQUEST).await;
        }
        for time in ["0001-01-01T00:00:00Z", "9999-12-30T21:59:59.999999Z", "2026-01-31T12:00:00+14:00"] {
            expect(make(time), StatusCode::CREATED).await;
        }
        let list = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!(list["pagination"]["totalCount"], 3);
    }
}
