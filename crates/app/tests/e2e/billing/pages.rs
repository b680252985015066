//! The commands of the page about billing, as it shows them.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::until;
use crate::on_both_engines;
use crate::stripe::Stripe;
use crate::support::pasting::{block, paste};
use crate::support::{Engine, Server, expect};
use crate::tools::deleted;

const PAGE: &str = "docs/guide/billing.md";

on_both_engines! {
    async fn what_is_paid_for_is_linked_and_its_end_is_looked_after_as_the_page_says(engine: Engine) {
        let stripe = Stripe::open().await;
        let arguments = stripe.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut server = Server::start(engine, &arguments).await;
        let (operator, owner) = (server.new_operator().await, server.new_person().await);
        let initech = json!({"name": "Initech", "slug": "initech"});
        expect(server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&initech), StatusCode::CREATED).await;
        let customer = json!({"id": "user123", "name": "Ada", "email": "ada@example.com"});
        let path = "/api/organizations/initech/customers";
        expect(server.request(Method::POST, path).bearer_auth(&owner.token).json(&customer), StatusCode::CREATED).await;
        for id in ["sub_1PqR", "sub_1PqS"] {
            stripe.subscribe(id, json!({}));
        }
        let run = async |beginning: &str, token: &str, effect: &str| {
            let text = block(PAGE, beginning).replace(" ID", &format!(" {effect}"));
            paste(&text, server.folder(), &[("FREEHOLD_SERVER", &server.url), ("FREEHOLD_TOKEN", token)]).await
        };
        let linked = run("freehold billing link", &operator.token, "").await;
        assert!(linked.contains("sub_1PqR") && linked.contains("user123"), "{linked}");
        let pages = run("freehold billing checkout", &owner.token, "").await;
        assert!(pages.contains("/v1/checkout/sessions") && pages.contains("/v1/billing_portal/sessions"), "{pages}");
        stripe.set_down(Some(503));
        let deletion = server.request(Method::DELETE, &format!("{path}/user123")).bearer_auth(&owner.token);
        let deletion = deleted(deletion, StatusCode::NO_CONTENT).await;
        let effects = format!("/api/deletions/{deletion}/effects");
        let page = until(&server, &effects, &owner.token, |page| page["data"][0]["error"].is_string()).await;
        let said = run("freehold effects list", &operator.token, page["data"][0]["id"].as_str().unwrap()).await;
        assert!(said.contains("subscription.cancel") && said.contains("Stripe failed (5xx)"), "{said}");
        let record = server.wait_for_completion(&deletion, &owner.token).await;
        assert_eq!(record["effects"]["billing"]["givenUp"], 1);
    }
}
