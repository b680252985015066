//! How subscriptions end, who counts as a seat, and the ways to Stripe's own pages.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{found, link, until};
use crate::on_both_engines;
use crate::stripe::Stripe;
use crate::support::{Engine, expect};
use crate::tools::{deleted, refused};

on_both_engines! {
    async fn an_organization_says_whether_its_subscriptions_end_at_once_and_with_which_bill(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        let billing = format!("{own}/billing");
        let read = expect(server.request(Method::GET, &billing).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(read, json!({"onDeletion": "cancel_now", "finalInvoice": false, "prorate": false, "seatRoles": [], "subscriptions": []}));
        let change = |body: serde_json::Value| server.request(Method::PATCH, &billing).bearer_auth(token).json(&body);
        for bad in [json!({"onDeletion": "never"}), json!({"seatRoles": ["king"]}), json!({"prorate": "yes"}), json!({"taxes": true})] {
            refused(change(bad), StatusCode::BAD_REQUEST).await;
        }
        let (first, second) = (server.new_customer(&organization, token).await, server.new_customer(&organization, token).await);
        for (customer, id) in [(&first, "sub_1"), (&second, "sub_2")] {
            stripe.subscribe(id, json!({}));
            link(&server, &operator, &organization, id, Some(customer)).await;
        }
        let delete = async |customer: &str| {
            let path = format!("{own}/customers/{customer}");
            let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
            let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
            let record = server.wait_for_completion(&deletion, token).await;
            (plan["subscriptions"][0]["endsAt"].clone(), record["effects"]["billing"]["subscriptions"][0].clone())
        };
        let changed = expect(change(json!({"finalInvoice": true, "prorate": true})), StatusCode::OK).await;
        assert_eq!((&changed["onDeletion"], &changed["finalInvoice"], &changed["prorate"]), (&json!("cancel_now"), &json!(true), &json!(true)));
        delete(&first).await;
        assert_eq!(stripe.subscription("sub_1").changes, ["cancelled, invoice true, prorate true"]);
        expect(change(json!({"onDeletion": "cancel_at_period_end"})), StatusCode::OK).await;
        let (planned, done) = delete(&second).await;
        assert_eq!(stripe.subscription("sub_2").changes, ["cancel_at_period_end true"]);
        // What the plan said is what the receipt says.
        assert_eq!((&done["endsAt"], &done["status"]), (&planned, &json!("active")), "{done}");
        let trail = expect(server.request(Method::GET, &format!("{own}/audit")).bearer_auth(token), StatusCode::OK).await;
        let actions: Vec<_> = trail["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions.iter().filter(|action| **action == "billing.update").count(), 2, "{actions:?}");
    }

    async fn only_the_owner_and_the_billing_role_go_to_stripe_s_pages_and_they_go_for_their_organization(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let billing = format!("/api/organizations/{}/billing", organization.id);
        let (biller, _) = server.new_member(&organization, "billing").await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let checkout = json!({"price": "price_basic", "successUrl": "https://example.com/welcome"});
        let portal = json!({"returnUrl": "https://example.com/account"});
        let ask = |token: &str, page: &str, body: &serde_json::Value| {
            server.request(Method::POST, &format!("{billing}/{page}")).bearer_auth(token).json(body)
        };
        refused(ask(&admin.token, "checkout", &checkout), StatusCode::FORBIDDEN).await;
        refused(ask(&biller.token, "portal", &portal), StatusCode::CONFLICT).await;
        refused(ask(&biller.token, "checkout", &json!({"price": "price_basic", "successUrl": "javascript:alert(1)"})), StatusCode::BAD_REQUEST).await;
        let page = expect(ask(&biller.token, "checkout", &checkout), StatusCode::CREATED).await;
        assert!(page["url"].as_str().unwrap().ends_with("/v1/checkout/sessions"), "{page}");
        let form = stripe.forms().remove(0);
        assert_eq!((form["mode"].as_str(), form["line_items[0][quantity]"].as_str()), ("subscription", "1"));
        let hidden = json!({"price": "price_of_others", "successUrl": "https://example.com/welcome"});
        refused(ask(&biller.token, "checkout", &hidden), StatusCode::BAD_REQUEST).await;
        assert_eq!(form["subscription_data[metadata][freehold_organization]"], organization.id);
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        expect(ask(&organization.owner.token, "portal", &portal), StatusCode::CREATED).await;
        assert_eq!(stripe.forms()[1]["customer"], "cus_of_sub_1");
        stripe.set_down(Some(500));
        refused(ask(&biller.token, "portal", &portal), StatusCode::SERVICE_UNAVAILABLE).await;
        stripe.set_down(Some(400));
        let refusal = refused(ask(&biller.token, "portal", &portal), StatusCode::CONFLICT).await;
        assert!(refusal["detail"].as_str().unwrap().contains("An error occurred"), "{refusal}");
    }

    async fn a_subscription_is_linked_once_and_only_by_operators_who_say_why(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let other = server.new_organization().await;
        stripe.subscribe("sub_1", json!({}));
        let path = |organization: &str, id: &str| format!("/api/operator/organizations/{organization}/billing/subscriptions/{id}");
        let put = |token: &str, path: String, body: serde_json::Value| server.request(Method::PUT, &path).bearer_auth(token).json(&body);
        let why = json!({"reason": "They pay"});
        refused(put(&organization.owner.token, path(&organization.id, "sub_1"), why.clone()), StatusCode::FORBIDDEN).await;
        refused(put(&operator.token, path(&organization.id, "sub_1"), json!({})), StatusCode::BAD_REQUEST).await;
        refused(put(&operator.token, path(&organization.id, "cus_1"), why.clone()), StatusCode::BAD_REQUEST).await;
        refused(put(&operator.token, path(&organization.id, "sub_2"), why.clone()), StatusCode::CONFLICT).await;
        refused(put(&operator.token, path(&organization.id, "sub_1"), json!({"reason": "x", "customerId": "nobody"})), StatusCode::NOT_FOUND).await;
        let first = link(&server, &operator, &organization, "sub_1", None).await;
        assert_eq!(link(&server, &operator, &organization, "sub_1", None).await["id"], first["id"]);
        refused(put(&operator.token, path(&other.id, "sub_1"), why.clone()), StatusCode::CONFLICT).await;
        let unlink = |path: String| server.request(Method::DELETE, &path).bearer_auth(&operator.token);
        refused(unlink(path(&organization.id, "sub_1")), StatusCode::BAD_REQUEST).await;
        refused(unlink(path(&other.id, "sub_1") + "?reason=moves"), StatusCode::NOT_FOUND).await;
        // What its metadata says would link it again.
        stripe.subscribe("sub_1", json!({"freehold_organization": organization.id}));
        refused(unlink(path(&organization.id, "sub_1") + "?reason=moves"), StatusCode::CONFLICT).await;
        stripe.subscribe("sub_1", json!({}));
        expect(unlink(path(&organization.id, "sub_1") + "?reason=moves"), StatusCode::NO_CONTENT).await;
        // No portal leads to who pays for what is another's now.
        let record = server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).bearer_auth(&organization.owner.token);
        let record = expect(record, StatusCode::OK).await;
        assert_eq!((&record["stripeCustomerId"], &record["subscriptionStatus"]), (&json!(null), &json!("none")));
        link(&server, &operator, &other, "sub_1", None).await;
        stripe.set_down(Some(503));
        refused(put(&operator.token, path(&organization.id, "sub_3"), why), StatusCode::SERVICE_UNAVAILABLE).await;
        assert_eq!(stripe.subscription("sub_1").changes, Vec::<String>::new());
    }

    async fn the_quantity_follows_the_members_who_count_as_seats(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (billing, token) = (format!("/api/organizations/{}/billing", organization.id), &organization.owner.token);
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        for role in ["member", "member", "viewer"] {
            server.new_member(&organization, role).await;
        }
        let seats = json!({"seatRoles": ["member", "owner"]});
        let changed = expect(server.request(Method::PATCH, &billing).bearer_auth(token).json(&seats), StatusCode::OK).await;
        assert_eq!(changed["seatRoles"], json!(["owner", "member"]));
        until(&server, &billing, token, |billing| billing["subscriptions"][0]["quantity"] == 3).await;
        assert_eq!(stripe.subscription("sub_1").changes, ["quantity 3"]);
        let checkout = json!({"price": "price_basic", "quantity": 5, "successUrl": "https://example.com/welcome"});
        refused(server.request(Method::POST, &format!("{billing}/checkout")).bearer_auth(token).json(&checkout), StatusCode::BAD_REQUEST).await;
    }
}
