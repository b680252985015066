//! What generators of clients make something of: the whole document, swept for what they cannot read or would make several types of.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;
use plane::audit::ACTIONS;
use plane::deletions::{BLOCKER_CODES, BLOCKER_KINDS, CONDITION_TYPES, Root};
use plane::events::Event;
use plane::policy::{Role, SCOPES};
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::operations;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};

const DOCUMENTS: [&str; 4] =
    ["/openapi.json", "/openapi/openapi-organizations.json", "/openapi/openapi-account.json", "/openapi/openapi-customer.json"];

async fn read(server: &Server, path: &str) -> Json {
    expect(server.request(Method::GET, path), StatusCode::OK).await
}

/// Every object of a document, with its place.
fn objects<'a>(place: &str, value: &'a Json, found: &mut Vec<(String, &'a Json)>) {
    match value {
        Json::Object(members) => {
            found.push((place.to_owned(), value));
            members.iter().for_each(|(name, member)| objects(&format!("{place}/{name}"), member, found));
        }
        Json::Array(list) => list.iter().enumerate().for_each(|(number, entry)| objects(&format!("{place}/{number}"), entry, found)),
        _ => {}
    }
}

fn all(document: &Json) -> Vec<(String, &Json)> {
    let mut found = Vec::new();
    objects("", document, &mut found);
    // What is in an example is a value and no part of the document.
    found.retain(|(place, _)| !place.contains("/example"));
    found
}

/// What a reference leads to; anything else is itself.
fn follow<'a>(document: &'a Json, value: &'a Json) -> &'a Json {
    match value["$ref"].as_str() {
        Some(reference) => follow(document, document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"))),
        None => value,
    }
}

/// All properties of a schema, those of its parts too.
fn properties<'a>(document: &'a Json, schema: &'a Json) -> BTreeMap<&'a str, &'a Json> {
    let schema = follow(document, schema);
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, property)| (name.as_str(), property));
    let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|name| schema[name].as_array()).flatten();
    own.chain(parts.flat_map(|part| properties(document, part))).collect()
}

fn words(schema: &Json) -> BTreeSet<&str> {
    schema["enum"].as_array().unwrap_or_else(|| panic!("{schema}")).iter().map(|word| word.as_str().unwrap()).collect()
}

on_both_engines! {
    async fn no_schema_is_one_that_generators_lose_or_linters_die_of(server: Server) {
        for path in DOCUMENTS {
            let document = read(&server, path).await;
            for (place, value) in all(&document) {
                if let Some(words) = value["enum"].as_array() {
                    assert!(words.iter().all(|word| !word.is_null()), "{path} {place}: null is one of the words");
                }
                for name in ["anyOf", "oneOf"] {
                    for part in value[name].as_array().into_iter().flatten() {
                        let part = follow(&document, part);
                        let is_empty = part["type"] == "object" && properties(&document, part).is_empty() && part["additionalProperties"] != true;
                        assert!(!is_empty && part.as_object().is_some_and(|part| !part.is_empty()), "{path} {place}: {part} fits anything");
                    }
                }
                if let Some(stream) = value.get("text/event-stream") {
                    assert_eq!(stream["schema"]["type"], "string", "{path} {place}");
                }
                if let Some(reference) = value["$ref"].as_str() {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{path} {place}: {reference} leads nowhere");
                }
            }
        }
    }

    async fn a_deletion_that_is_only_looked_at_answers_a_plan_by_its_type(server: Server) {
        let document = read(&server, "/openapi.json").await;
        let mut looked_at = 0;
        for (path, _, operation) in operations(&document) {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            if !parameters.into_iter().any(|parameter| parameter["name"] == "validate_only") {
                continue;
            }
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            let parts: Vec<&Json> = schema["oneOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
            let of = |part: &Json| follow(&document, part)["required"].as_array().cloned().unwrap_or_default();
            let plans = parts.iter().filter(|part| part["$ref"].as_str().is_some_and(|name| name.ends_with("Plan"))).count();
            assert_eq!(plans, 1, "{path}: {schema}");
            // With two, each requires something that the other does not have.
            if let [done, plan] = parts[..] {
                let (done, plan) = (of(done), of(plan));
                assert!(done.iter().any(|name| !plan.contains(name)) && plan.iter().any(|name| !done.contains(name)), "{path}: {schema}");
            }
            looked_at += 1;
        }
        assert!(looked_at > 12, "{looked_at} deletions");
    }

    async fn each_set_of_words_is_one_component(server: Server) {
        let document = read(&server, "/openapi.json").await;
        let schemas = &document["components"]["schemas"];
        let events: Vec<&str> = Event::ALL.iter().map(|event| event.name()).collect();
        for (name, expected) in [
            ("Scope", &SCOPES[..]),
            ("Role", &Role::ALL.map(Role::name)[..]),
            ("Event", &events[..]),
            ("BlockerCode", &BLOCKER_CODES[..]),
            ("BlockerKind", &BLOCKER_KINDS[..]),
            ("DeletionRoot", &Root::ALL.map(Root::name)[..]),
            ("AuditAction", ACTIONS),
            ("ConditionType", &CONDITION_TYPES[..]),
        ] {
            assert_eq!(words(&schemas[name]), expected.iter().copied().collect(), "{name}");
        }
        for code in words(&schemas["ErrorCode"]) {
            let page = server.request(Method::GET, &format!("/docs/errors/{code}")).send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK, "{code}");
        }
        // No set of words is written down in two places.
        let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (place, value) in all(&document) {
            if value["enum"].as_array().is_some_and(|words| words.len() > 1) && !place.ends_with("/properties/enum") {
                places.entry(value["enum"].to_string()).or_default().push(place);
            }
        }
        places.retain(|_, places| places.len() > 1);
        assert!(places.is_empty(), "{places:#?}");
    }

    async fn errors_and_lists_have_the_same_types_wherever_they_are_answered(server: Server) {
        let document = read(&server, "/openapi.json").await;
        for (path, _, operation) in operations(&document) {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                for (kind, content) in follow(&document, answer)["content"].as_object().into_iter().flatten() {
                    if matches!(status.as_bytes()[0], b'4' | b'5' | b'd') {
                        let name = content["schema"]["$ref"].as_str().unwrap_or_else(|| panic!("{path} {status} {kind}: {content}"));
                        let common = &follow(&document, &content["schema"])["allOf"][0];
                        assert_eq!(common, &json!({"$ref": "#/components/schemas/Problem"}), "{path} {status}: {name}");
                    } else if properties(&document, &content["schema"]).contains_key("pagination") {
                        assert!(content["schema"]["$ref"].as_str().unwrap().ends_with("Page"), "{path}: {content}");
                    }
                }
            }
        }
    }

    async fn an_id_has_the_same_type_in_a_body_as_in_an_address(server: Server) {
        let document = read(&server, "/openapi.json").await;
        let all = operations(&document);
        let mut followed = 0;
        for (path, _, operation) in &all {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                for link in answer["links"].as_object().into_iter().flatten().map(|(_, link)| link) {
                    let (_, _, target) = all.iter().find(|(_, _, target)| target["operationId"] == link["operationId"]).unwrap();
                    for (name, place) in link["parameters"].as_object().unwrap() {
                        let parameters = target["parameters"].as_array().unwrap();
                        let wanted = parameters.iter().find(|parameter| parameter["name"] == **name).unwrap();
                        let given = match place.as_str().unwrap().strip_prefix("$response.body#/") {
                            Some(field) => properties(&document, &answer["content"]["application/json"]["schema"])[field],
                            None => {
                                // What the address calls it here, which may not be what the other calls it.
                                let called = place.as_str().unwrap().strip_prefix("$request.path.").unwrap();
                                let own = operation["parameters"].as_array().unwrap().iter().find(|own| own["name"] == called);
                                own.map(|own| &own["schema"]).unwrap()
                            }
                        };
                        let kind = |schema: &Json| (schema["type"].clone(), schema["format"].clone());
                        // What takes an organization's slug too has no format.
                        let takes_any_text = wanted["schema"]["type"] == "string" && wanted["schema"]["format"].is_null();
                        assert!(
                            takes_any_text || kind(&wanted["schema"]) == kind(given),
                            "{path} {status}: {name} of {}: {} and {given}",
                            target["operationId"],
                            wanted["schema"]
                        );
                        followed += 1;
                    }
                }
            }
        }
        assert!(followed > 50, "{followed} parameters of links");
    }

    async fn the_headers_of_answers_and_requests_are_declared(server: Server) {
        let document = read(&server, "/openapi.json").await;
        let mut with_key = 0;
        for (path, method, operation) in operations(&document) {
            let sent: Vec<&Json> = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "header").collect();
            let takes = |name: &str| sent.iter().any(|header| header["name"] == name);
            assert_eq!(takes("X-Organization"), path.starts_with("/customer") || path == "/api/deletions" || path == "/api/oauth/apps", "{path}");
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let headers = &follow(&document, answer)["headers"];
                let says = |name: &str| headers[name]["$ref"] == format!("#/components/headers/{name}");
                assert_eq!(says("WWW-Authenticate"), matches!(status.as_str(), "401" | "403"), "{method} {path} {status}");
                assert_eq!(says("Retry-After"), matches!(status.as_str(), "408" | "429" | "503"), "{method} {path} {status}");
                assert!(says("RateLimit-Limit") && says("X-Request-Id"), "{method} {path} {status}");
                // The first success is the operation's own.
                if status.starts_with('2') && takes("Idempotency-Key") && says("Idempotency-Replayed") {
                    with_key += 1;
                }
            }
        }
        let keyed = operations(&document).into_iter().filter(|(_, _, operation)| {
            operation["parameters"].as_array().into_iter().flatten().any(|one| one["name"] == "Idempotency-Key") && operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2'))
        });
        assert_eq!(with_key, keyed.count());
        for (path, status) in [("/api/auth/sign-in", "200"), ("/api/auth/refresh", "200"), ("/api/auth/sign-out", "204"), ("/dashboard/sign-in", "303")] {
            assert!(document["paths"][path]["post"]["responses"][status]["headers"]["Set-Cookie"].is_object(), "{path}");
        }
    }

    async fn every_event_has_its_payload(server: Server) {
        for path in &DOCUMENTS[..2] {
            let document = read(&server, path).await;
            let webhooks = document["webhooks"].as_object().unwrap();
            assert_eq!(webhooks.len(), Event::ALL.len() + 1);
            for event in Event::ALL.iter().map(|event| event.name()).chain(["webhook.test"]) {
                let sent = &webhooks[event]["post"];
                let headers: Vec<&Json> = sent["parameters"].as_array().unwrap().iter().map(|header| &header["name"]).collect();
                assert_eq!(headers, ["webhook-id", "webhook-timestamp", "webhook-signature", "x-webhook-signature"], "{event}");
                let content = &sent["requestBody"]["content"]["application/json"];
                let envelope = properties(&document, &content["schema"]);
                assert_eq!((envelope.len(), &envelope["type"]["const"]), (4, &json!(event)));
                let data = properties(&document, envelope["data"]);
                let example = content["example"]["data"].as_object().unwrap();
                assert!(data.contains_key("organizationId") && data.keys().copied().eq(example.keys().map(String::as_str).collect::<BTreeSet<_>>()), "{event}");
            }
        }
    }

    async fn a_document_is_compressed_and_not_sent_twice(server: Server) {
        let mut tags = BTreeSet::new();
        for path in DOCUMENTS {
            let plain = server.request(Method::GET, path).send().await.unwrap();
            assert_eq!((header(&plain, "content-encoding"), header(&plain, "vary")), ("", "Accept-Encoding"), "{path}");
            let tag = header(&plain, "etag").to_owned();
            let text = plain.text().await.unwrap();
            let ask = |name: &str, value: &str| server.request(Method::GET, path).header("Accept-Encoding", "gzip").header(name, value).send();
            let packed = ask("Accept", "*/*").await.unwrap();
            let packed_tag = header(&packed, "etag").to_owned();
            assert_eq!((header(&packed, "content-encoding"), header(&packed, "vary")), ("gzip", "Accept-Encoding"), "{path}");
            let bytes = packed.bytes().await.unwrap();
            let mut unpacked = String::new();
            GzDecoder::new(&bytes[..]).read_to_string(&mut unpacked).unwrap();
            assert!(unpacked == text && bytes.len() * 5 < text.len(), "{path}: {} bytes of {}", bytes.len(), text.len());
            for (value, status) in [
                (packed_tag.clone(), StatusCode::NOT_MODIFIED),
                (format!("\"other\", W/{packed_tag}"), StatusCode::NOT_MODIFIED),
                ("*".to_owned(), StatusCode::NOT_MODIFIED),
                ("\"other\"".to_owned(), StatusCode::OK),
            ] {
                let answer = ask("If-None-Match", &value).await.unwrap();
                assert_eq!((answer.status(), header(&answer, "etag")), (status, packed_tag.as_str()), "{path} {value}");
                assert_eq!(answer.bytes().await.unwrap().is_empty(), status == StatusCode::NOT_MODIFIED);
            }
            assert!(tags.insert(tag) && tags.insert(packed_tag), "{path} has the tag of another");
        }
    }
}
