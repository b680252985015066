//! The plan of a deletion: what it would do, told before anybody orders it.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};

fn rows(plan: &Json, table: &str) -> Json {
    let tables = plan["tables"].as_array().unwrap();
    tables.iter().find(|entry| entry["table"] == table).unwrap_or_else(|| panic!("no {table} in {plan}"))["rows"].clone()
}

on_both_engines! {
    async fn the_plan_says_what_the_receipt_will_say(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        server.new_dependant(&organization, &customer, "devices", json!({"name": "Laptop"})).await;
        server.new_dependant(&organization, &customer, "devices", json!({"name": "Phone"})).await;
        server.new_api_key(&organization, token, &["read:organization"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&plan["root"], &plan["subjectId"]), (&json!("organization"), &json!(organization.id)));
        assert_eq!((rows(&plan, "customers"), rows(&plan, "devices"), rows(&plan, "organizations")), (json!(1), json!(2), json!(1)));
        assert_eq!((&plan["credentials"], &plan["blockers"]), (&json!(1), &json!([])));
        let deleted = server.request(Method::DELETE, &path).bearer_auth(token).send().await.unwrap();
        let receipt = server.wait_for_completion(header(&deleted, "deletion-id"), token).await;
        for (table, count) in receipt["counts"].as_object().unwrap() {
            assert_eq!(rows(&plan, table), *count, "{table}");
        }
    }

    async fn everything_that_stands_in_the_way_is_part_of_the_plan(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        server.new_dependant(&organization, &customer, "subscriptions", json!({"plan": "basic"})).await;
        server.new_dependant(&organization, &customer, "transactions", json!({"amount": 1, "currency": "EUR", "status": "pending"})).await;
        let path = format!("/api/organizations/{}/customers/{customer}/deletion-plan", organization.id);
        let plan = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let codes: Vec<&str> = plan["blockers"].as_array().unwrap().iter().map(|blocker| blocker["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["active_subscription", "pending_transaction"]);
    }

    async fn the_customer_api_plans_both_of_its_ways(server: Server) {
        let organization = server.new_organization().await;
        let token = server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let (softly, hard) = (format!("/customer/{customer}/deletion-plan"), format!("/customer/{customer}/deletion-plan?hard=true"));
        let plan = async |path: &str, token: &str, status| expect(server.request(Method::GET, path).bearer_auth(token), status).await;
        assert_eq!(plan(&softly, &token, StatusCode::OK).await["root"], "retired_customer");
        assert_eq!(plan(&hard, &token, StatusCode::OK).await["root"], "customer");
        let (reseller, _) = server.new_member(&organization, "reseller").await;
        let reseller = server.sign_in(&reseller.email, Some(&organization.slug)).await;
        plan(&softly, &reseller, StatusCode::FORBIDDEN).await;
        plan(&hard, &reseller, StatusCode::FORBIDDEN).await;
        expect(server.request(Method::DELETE, &format!("/customer/{customer}")).bearer_auth(&token), StatusCode::OK).await;
        plan(&softly, &token, StatusCode::NOT_FOUND).await;
        assert_eq!(plan(&hard, &token, StatusCode::OK).await["root"], "customer");
    }

    async fn a_caller_who_may_not_delete_does_not_see_the_plan(server: Server) {
        let organization = server.new_organization().await;
        let (admin, member) = server.new_member(&organization, "admin").await;
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(&admin.token), StatusCode::FORBIDDEN).await;
        let own = format!("{path}/members/{member}/deletion-plan");
        let plan = expect(server.request(Method::GET, &own).bearer_auth(&admin.token), StatusCode::OK).await;
        assert_eq!(rows(&plan, "members"), json!(1));
    }
}
