//! Parameters, headers and bodies that an operation does not know, or that can be read in two ways.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::access::catalogue::{Access, Operation, operations};
use crate::access::world::{Caller, Tenant, furnish};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

/// What is wrong with a request, and what must be heard of it: the status, and a text of the answer.
struct Fault {
    name: String,
    query: String,
    headers: Vec<(&'static str, &'static [u8])>,
    body: Option<Vec<u8>>,
    statuses: &'static [u16],
    words: String,
}

const INVALID: &[u16] = &[400, 422];

fn fault(name: &str, query: String, words: String) -> Fault {
    Fault { name: name.to_owned(), query, headers: Vec::new(), body: None, statuses: INVALID, words }
}

/// Everything that can be wrong with a request of this operation.
fn faults(operation: &Operation) -> Vec<Fault> {
    let mut faults = vec![
        fault("an unknown parameter", "surprise=1".into(), "surprise is not a parameter here".into()),
        fault("a parameter without a name", "=1".into(), "is not a parameter here".into()),
        fault("a query with an escape that is none", "a=%zz".into(), "percent-encoded".into()),
        fault("a query that is not UTF-8", "%ff=1".into(), "percent-encoded".into()),
    ];
    for name in &operation.parameters {
        let misspelled = format!("{}-{}", &name[..1], &name[1..]);
        let meant = format!("is `{name}` meant?");
        faults.push(fault(&format!("{name} misspelled"), format!("{misspelled}=true"), meant));
        faults.push(fault(&format!("{name} twice"), format!("{name}=1&{name}=1"), "is there more than once".into()));
        // In the other spelling too, where it has one.
        let camel_case = crate::tools::camel_case(name);
        if camel_case != *name {
            faults.push(fault(&format!("{name} in both spellings"), format!("{name}=1&{camel_case}=1"), "is there more than once".into()));
        }
    }
    let header = |name: &str, headers: Vec<(&'static str, &'static [u8])>, statuses, words: &str| Fault {
        headers,
        statuses,
        ..fault(name, String::new(), words.into())
    };
    faults.push(header("an unreadable organization", vec![("x-organization", b"B\xfcro")], INVALID, "x-organization"));
    let both = vec![("x-organization", &b"one"[..]), ("x-organization", b"two")];
    faults.push(header("two organizations", both, INVALID, "x-organization"));
    let both = vec![("x-api-key", &b"one"[..]), ("x-api-key", b"two")];
    faults.push(header("two keys", both, &[401], "X-API-Key"));
    faults.push(header("two hosts", vec![("host", b"one"), ("host", b"two")], INVALID, "host"));
    faults.push(header("two cookies", vec![("cookie", b"sessionid=one; sessionid=two")], &[401], "sessionid"));
    faults.push(header("a part of a body", vec![("content-range", b"bytes 0-1/2")], INVALID, "Content-Range"));
    faults.push(header("an expectation that no server meets", vec![("expect", b"a-miracle")], &[417], "Expect"));
    faults.push(header("an unknown coding", vec![("content-encoding", b"br")], &[415], "gzip"));
    let twice = vec![("content-type", &b"application/json"[..]), ("content-type", b"text/csv")];
    faults.push(header("two types", twice, INVALID, "content-type"));
    let json: Vec<(&'static str, &'static [u8])> = vec![("content-type", b"application/json")];
    match (&operation.body, operation.takes_fields) {
        (Some(_), _) => {
            let doubled = br#"{"name":"one","address":{"a":1,"a":2}}"#.to_vec();
            faults.push(Fault { body: Some(doubled), ..header("a name twice in the body", json.clone(), INVALID, "") });
            let compressed = header("no gzip where it is said", [json, vec![("content-encoding", b"gzip")]].concat(), &[415], "gzip");
            faults.push(Fault { body: Some(b"{}".to_vec()), ..compressed });
            let latin = header("another charset", vec![("content-type", b"application/json; charset=iso-8859-1")], &[415], "UTF-8");
            faults.push(Fault { body: Some(b"{}".to_vec()), ..latin });
        }
        (None, false) => {
            let body = br#"{"validate_only":true}"#.to_vec();
            faults.push(Fault { body: Some(body), ..header("a body where none is taken", json, INVALID, "takes no body") });
        }
        (None, true) => {}
    }
    faults
}

async fn ask(server: &Server, operation: &Operation, owner: &Caller, tenant: &Tenant, fault: &Fault) -> (u16, String) {
    let mut builder = operation.request(server, owner, tenant);
    for (name, value) in &fault.headers {
        builder = builder.header(*name, *value);
    }
    let mut request = builder.build().unwrap();
    if !fault.query.is_empty() {
        request.url_mut().set_query(Some(&fault.query));
    }
    if fault.headers.iter().any(|(name, _)| *name == "host") {
        // Only one of them would replace the client's own.
        request.headers_mut().append("host", "three".parse().unwrap());
    }
    if let Some(body) = &fault.body {
        // In the place of the client's own.
        let (name, value) = fault.headers[0];
        request.headers_mut().insert(name, value.try_into().unwrap());
        *request.body_mut() = Some(body.clone().into());
    }
    let answer = server.client.execute(request).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

on_both_engines! {
    async fn whatever_an_operation_does_not_know_is_refused_by_every_operation_and_nothing_is_done(server: Server) {
        let organization = server.new_organization().await;
        let tenant = furnish(&server, &organization).await;
        let owner = Caller::with_token(&organization.owner.token);
        let operations = operations(&server).await;
        let (mut cells, mut ignored) = (0, Vec::new());
        for operation in &operations {
            for fault in faults(operation) {
                let (status, text) = ask(&server, operation, &owner, &tenant, &fault).await;
                cells += 1;
                // Metrics are for operators, and the caller is none.
                let is_refused = fault.statuses.contains(&status) && text.contains(&fault.words);
                if !is_refused {
                    ignored.push(format!("{} {} with {}: {status} {text}", operation.method, operation.path, fault.name));
                }
                // Clients of token endpoints read nothing else (RFC 6749, section 5.2).
                if operation.path.starts_with("/oauth2/") && operation.access == Access::Anybody && !fault.query.is_empty() {
                    let error: Json = serde_json::from_str(&text).unwrap();
                    assert_eq!(error["error"], "invalid_request", "{text}");
                }
            }
        }
        assert!(ignored.is_empty(), "{} of {cells} cells:\n{}", ignored.len(), ignored.join("\n"));
        for path in [format!("/api/organizations/{}", tenant.organization), format!("/api/organizations/{}/customers/{}", tenant.organization, tenant.customer)] {
            expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        }
        assert!(cells > 2_000, "{cells}");
        eprintln!("silence test: {} operations, {cells} cells, 0 ignored", operations.len());
    }

    async fn a_parameter_that_is_known_is_read_in_both_spellings(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}/customers", organization.id);
        let customer = server.new_customer(&organization, token).await;
        for name in ["page_size", "pageSize", "page%5Fsize"] {
            let page = expect(server.request(Method::GET, &format!("{base}?{name}=7&&")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(page["pagination"]["pageSize"], 7);
        }
        for name in ["validate_only", "validateOnly"] {
            let path = format!("{base}/{customer}?{name}=true");
            let plan = expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(plan["root"], "customer");
        }
        expect(server.request(Method::GET, &format!("{base}/{customer}")).bearer_auth(token), StatusCode::OK).await;
    }

    async fn a_compressed_body_is_read_within_its_bound(server: Server) {
        use std::io::Write;
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let send = |coding: &str, body: Vec<u8>| {
            let request = server.request(Method::POST, &path).bearer_auth(&organization.owner.token);
            request.header("Content-Type", "application/json; charset=UTF-8").header("Content-Encoding", coding).body(body)
        };
        let customer = |id: &str| json!({"id": id, "name": "Ada", "email": "ada@example.com"}).to_string().into_bytes();
        expect(send("gzip", gzip(&customer("one"))), StatusCode::CREATED).await;
        expect(send("X-GZIP", gzip(&customer("two"))), StatusCode::CREATED).await;
        expect(send("identity", customer("three")), StatusCode::CREATED).await;
        // A mebibyte may come out, and no more: what went in would be 20 kB.
        expect(send("gzip", gzip(&[b' '; 20 << 20])), StatusCode::PAYLOAD_TOO_LARGE).await;
        let whole = gzip(&customer("four"));
        for (coding, body) in [("gzip", whole[..whole.len() - 9].to_vec()), ("gzip, gzip", gzip(&whole)), ("deflate", whole.clone()), ("\u{fc}", whole)] {
            let answer = send(coding, body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{coding}");
            assert_eq!(answer.headers()["accept-encoding"], "gzip");
        }
        expect(server.request(Method::GET, &format!("{path}/four")).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn a_name_that_is_twice_in_a_body_is_refused_however_it_is_written(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        for body in [
            r#"{"name":"A","name":"B","email":"a@example.com"}"#,
            r#"{"name":"A","n\u0061me":"A","email":"a@example.com"}"#,
            r#"{"name":"A","email":"a@example.com","metadata":{"k":"1","k":"2"}}"#,
        ] {
            let request = server.request(Method::POST, &path).bearer_auth(&organization.owner.token);
            let problem = expect(request.header("Content-Type", "application/json").body(body), StatusCode::BAD_REQUEST).await;
            assert!(problem["detail"].as_str().unwrap().contains("twice"), "{problem}");
        }
        let both = json!({"refresh_token": "one", "refreshToken": "two"});
        expect(server.request(Method::POST, "/api/auth/refresh").json(&both), StatusCode::BAD_REQUEST).await;
    }
}
