//! Examples in the document: those of errors are errors, and those of bodies are what the server takes.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::operations;
use crate::access::{Standing, Target, World};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

on_both_engines! {
    async fn every_error_has_an_example_of_its_status(server: Server) {
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        let mut examples = 0;
        for (path, _, operation) in operations(&document) {
            for (status, answer) in operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
                let answer = match answer["$ref"].as_str() {
                    Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
                    None => answer,
                };
                let example = answer["content"].as_object().unwrap().values().next().unwrap()["example"].clone();
                assert_eq!(example["status"].to_string(), *status, "{path}");
                assert_eq!(example["error_code"], answer["x-error-code"], "{path} {status}");
                assert_eq!(example["type"], format!("{}/docs/errors/{}", document["servers"][0]["url"].as_str().unwrap(), example["error_code"].as_str().unwrap()));
                assert_eq!(example["detail"], answer["description"], "{path} {status}");
                examples += 1;
            }
        }
        assert!(examples > 500, "{examples} examples");
    }

    /// Whether what it names exists is another matter; what it is made of is right.
    async fn the_server_takes_every_example_of_a_body(server: Server) {
        let mut server = server;
        let world = World::make(&mut server).await;
        let owner = world.callers.iter().find(|caller| caller.name == "owner").unwrap();
        assert!(matches!(owner.standing, Standing::Member(_)));
        let (mut sent, mut wrong) = (0, Vec::new());
        for operation in crate::access::operations(&server).await.iter().filter(|operation| operation.has_a_body()) {
            let (tenant, _) = world.case(&server, operation, Target::Own, true).await;
            let answer = operation.request(&server, owner, &tenant).send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            let errors = serde_json::from_str::<Json>(&text).unwrap_or_default()["errors"].take();
            // What only the person knows.
            let is_password = operation.id == "changePassword" && errors[0]["field"] == "currentPassword" && errors[1] == json!(null);
            // And what is named by an id need not be there.
            let names_nothing = errors.as_array().is_some_and(|errors| errors.iter().all(|error| error["code"] == "unknown_member"));
            // And what only Stripe can sign.
            let is_signed = operation.id == "hearStripeEvent";
            if !is_password && !names_nothing && !is_signed && (status >= 500 || [400, 413, 415, 422].contains(&status)) {
                wrong.push(format!("{}: {status} {text}", operation.id));
            }
            sent += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(sent > 45, "{sent} examples");
    }
}
