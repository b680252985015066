//! Refusals are short, whatever is refused: every operation of the server × bodies, parameters, addresses and headers with thousands of
//! errors. The operations come from the server's own catalogue, so that a new one is tried without being named here.

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value as Json, json};

use super::catalogue::{Operation, operations};
use super::world::{Standing, Target, World};
use crate::on_both_engines;
use crate::support::{Engine, Server};

/// Bytes of a refusal's body at the most.
const MOST: usize = 64 * 1024;
/// Entries of its lists at the most.
const MOST_ENTRIES: usize = 20;

/// A value of the same type that has as much wrong with it as fits.
fn oversized(good: &Json) -> Json {
    match good {
        Json::Array(_) => json!(vec!["\u{1}\"a"; 4_000]),
        Json::Object(_) => Json::Object((0..2_000).map(|number| (format!("\"field{number}"), json!(number))).collect()),
        _ => json!("\u{1}\"".repeat(40_000)),
    }
}

/// Bodies that are wrong in thousands of ways, by what is wrong with them.
fn bodies(good: &Json) -> Vec<(&'static str, String, Option<&'static str>)> {
    let fields = good.as_object().cloned().unwrap_or_default();
    let unknown: Map<String, Json> = (0..9_000).map(|number| (format!("{number:x}"), json!(1))).collect();
    let with =
        |change: fn(&Json) -> Json| Json::Object(fields.iter().map(|(name, good)| (name.clone(), change(good))).collect()).to_string();
    let form: String = (0..5_000).map(|number| format!("%22{number}=%22&")).chain([format!("email={}", "%22".repeat(50_000))]).collect();
    let list: String = (0..20_000).map(|number| format!("\"{number}\n")).collect();
    vec![
        ("unknown fields", Json::Object(unknown).to_string(), None),
        ("oversized fields", with(oversized), None),
        ("long lists", with(|_| json!(vec!["a"; 700])), None),
        ("wide objects", with(|_| oversized(&json!({}))), None),
        ("too many values", format!("{{\"name\":[{}1]}}", "1,".repeat(400_000)), None),
        ("a deep list", format!("{{\"name\":{}", "[".repeat(100_000)), None),
        ("a form", form, Some("application/x-www-form-urlencoded")),
        ("a list", list, Some("text/csv")),
    ]
}

/// The same request with more in its query.
fn asking(request: RequestBuilder, query: &str) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.url_mut().set_query(Some(query));
    RequestBuilder::from_parts(client, request)
}

/// Requests with much wrong beside their bodies. The head of a request has 32 KiB at the most.
fn heads(operation: &Operation, request: &dyn Fn() -> RequestBuilder) -> Vec<(&'static str, RequestBuilder)> {
    let unknown: String = (0..2_000).map(|number| format!("{number:x}={number}&")).collect();
    let each = 20_000 / operation.parameters.len().max(1);
    let known: Vec<String> = operation.parameters.iter().map(|name| format!("{name}={}", "%22".repeat(each / 3))).collect();
    let long = "\"".repeat(8_000);
    vec![
        ("unknown parameters", asking(request(), &unknown)),
        ("oversized parameters", asking(request(), &known.join("&"))),
        ("oversized headers", request().header("X-Organization", &long).header("If-Match", &long).header("X-Request-Id", &long)),
        ("an oversized key", request().header("Idempotency-Key", &long)),
    ]
}

on_both_engines! {
    async fn a_refusal_is_short_whatever_was_sent(server: Server) {
        let mut server = server;
        let world = World::make(&mut server).await;
        let owner = world.callers.iter().find(|caller| caller.name == "owner").unwrap();
        let unknown = world.callers.iter().find(|caller| caller.standing == Standing::Unknown).unwrap();
        let (mut cells, mut refused, mut faults) = (0, 0, Vec::new());
        for operation in &operations(&server).await {
            // A caller who signs out, or deletes their account, is unknown for the rest of the test.
            let ends = ["signOut", "dashboardSignOut", "deleteMe"].contains(&operation.id.as_str());
            let caller = if ends { unknown } else { owner };
            let target = if operation.is_destructive() { Target::Unknown } else { Target::Own };
            let (tenant, _) = world.case(&server, operation, target, false).await;
            let request = || operation.request(&server, caller, &tenant);
            let mut requests = heads(operation, &request);
            for (name, body, kind) in operation.body.iter().flat_map(bodies) {
                let kind = kind.unwrap_or("application/json");
                let request = RequestBuilder::header(operation.request(&server, caller, &tenant), "X-Cell", name);
                let (client, request) = request.build_split();
                let mut request = request.unwrap();
                request.headers_mut().insert("Content-Type", kind.parse().unwrap());
                *request.body_mut() = Some(body.into());
                requests.push((name, RequestBuilder::from_parts(client, request)));
            }
            for (name, request) in requests {
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let head: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
                cells += 1;
                if status.is_success() || status.is_redirection() {
                    continue;
                }
                refused += 1;
                let text = answer.text().await.unwrap();
                let problem: Json = serde_json::from_str(&text).unwrap_or_default();
                let entries = |list: &str| problem[list].as_array().map_or(0, Vec::len);
                let is_long = text.len() > MOST || head > 8 * 1024 || entries("errors").max(entries("blockers")) > MOST_ENTRIES;
                if status.is_server_error() || is_long {
                    let begin: String = text.chars().take(300).collect();
                    faults.push(format!("{} {} with {name}: {status}, {} bytes: {begin}", operation.method, operation.path, text.len()));
                }
            }
        }
        assert!(faults.is_empty(), "{} faults in {cells} cells:\n{}", faults.len(), faults.join("\n"));
        assert!(refused > cells / 4, "only {refused} of {cells} were refused");
        eprintln!("refusals: {cells} cells, {refused} refused, 0 long answers");
    }

    async fn the_errors_beyond_the_twentieth_are_counted_and_an_unknown_field_names_the_one_that_was_meant(server: Server) {
        let person = server.new_person().await;
        let send = async |body: Json| {
            let answer = server.request(Method::POST, "/api/organizations").bearer_auth(&person.token).json(&body).send().await.unwrap();
            answer.json::<Json>().await.unwrap()
        };
        let many: Map<String, Json> = (0..500).map(|number| (format!("field{number}"), json!(1))).collect();
        let problem = send(Json::Object(many)).await;
        assert_eq!(problem["errors"].as_array().unwrap().len(), MOST_ENTRIES);
        // Two fields of its own are missing.
        assert!(problem["detail"].as_str().unwrap().ends_with("; and 501 more."), "{problem}");
        let problem = send(json!({"name": "Acme", "slug": "acme", "Logo": "https://example.com/logo.png"})).await;
        assert_eq!(problem["detail"], "Logo is not a field here; the nearest is `logo`.");
    }
}
