//! What the server says about itself: the OpenAPI document, the pages for people and for machines, the figures.

mod by_hand;
mod examples;
mod generators;
mod guide;
mod links;
mod pages;
mod seeds;
mod sizes;
mod wording;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

fn in_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    let file = in_the_repository(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The pages for those who use the server: the README and the guide.
fn pages() -> Vec<String> {
    let mut pages = pages_in("docs/guide");
    pages.push("README.md".into());
    pages.sort();
    pages
}

fn pages_in(folder: &str) -> Vec<String> {
    let files = std::fs::read_dir(in_the_repository(folder)).unwrap().map(|file| file.unwrap().file_name());
    files.map(|name| format!("{folder}/{}", name.to_str().unwrap())).collect()
}

async fn text(server: &Server, path: &str) -> String {
    let answer = server.request(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.text().await.unwrap()
}

/// Every operation of the document with its address and method.
pub fn operations(document: &Json) -> Vec<(&String, &String, &Json)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))).collect()
}

on_both_engines! {
    async fn every_operation_is_described_with_its_errors_and_examples(server: Server) {
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path} has no summary");
            assert!(operation["responses"]["429"].is_object(), "{method} {path} does not say that there are limits");
            if let Some(body) = operation["requestBody"]["content"]["application/json"].as_object() {
                assert!(body["example"].is_object(), "{method} {path} has no example of its body");
            }
        }
        assert!(ids.len() > 90, "{} operations", ids.len());
        for (path, _, operation) in operations(&document) {
            let links = operation["responses"].as_object().unwrap().values().filter_map(|answer| answer["links"].as_object());
            for link in links.flat_map(|links| links.values()) {
                assert!(ids.contains(link["operationId"].as_str().unwrap()), "{path} links to {link}");
            }
        }
    }

    async fn every_operation_has_a_page_that_the_indexes_lead_to(server: Server) {
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        let (docs, index) = (text(&server, "/docs").await, text(&server, "/llms.txt").await);
        for (path, _, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            let page = text(&server, &format!("/docs/operations/{id}.md")).await;
            assert!(page.contains(path.as_str()), "{id}");
            assert!(index.contains(&format!("/docs/operations/{id}.md")), "{id} is not in llms.txt");
            assert!(docs.contains(&format!("id=\"{id}\"")), "{id} is not in /docs");
        }
    }

    async fn the_documentation_loads_nothing_from_elsewhere(server: Server) {
        for path in ["/", "/docs", "/docs/errors/not_found"] {
            let page = text(&server, path).await;
            for attribute in ["src=\"", "<script", "@import", "url("] {
                assert!(!page.contains(attribute), "{path} has {attribute}");
            }
            // Styles come from this server: the policy of its pages allows no others.
            for link in page.split("<link ").skip(1) {
                assert!(link.split('>').next().unwrap().contains("href=\"/dashboard/assets/"), "{path}: {link}");
            }
        }
    }

}

on_both_engines! {
    async fn the_figures_are_for_operators_and_for_those_who_have_the_token(engine: Engine) {
        let mut server = Server::start(engine, &["--metrics-token=figures-for-prometheus"]).await;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        server.new_customer(&organization, &organization.owner.token).await;
        let ask = |token: &str| server.request(Method::GET, "/metrics").bearer_auth(token).send();
        assert_eq!(server.request(Method::GET, "/metrics").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert_eq!(ask("figures-for-prometheuS").await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&organization.owner.token).await.unwrap().status(), StatusCode::FORBIDDEN);
        for token in ["figures-for-prometheus", &operator.token] {
            let figures = ask(token).await.unwrap().text().await.unwrap();
            for line in [
                "freehold_http_requests_total{operation=\"createCustomer\",status=\"201\"} 1",
                "freehold_deletions_open{state=\"closed\"} 0",
                "freehold_effects_pending{kind=\"billing\"} 0",
            ] {
                assert!(figures.contains(line), "{line} is not in\n{figures}");
            }
        }
    }
}
