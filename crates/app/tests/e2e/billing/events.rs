//! What Stripe tells: believed when it is signed, read again at Stripe, and never an error for being late.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{found, link, until};
use crate::on_both_engines;
use crate::stripe::{Stripe, event};
use crate::support::{Engine, Server, expect};
use crate::tools::{deleted, refused};

async fn tell(server: &Server, (body, signature): (String, String)) -> String {
    let request =
        server.request(Method::POST, "/stripe/events").header("Stripe-Signature", signature).header("content-type", "application/json");
    expect(request.body(body), StatusCode::OK).await["outcome"].as_str().unwrap().to_owned()
}

on_both_engines! {
    async fn events_are_heard_signed_in_whatever_order_and_however_often(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (billing, token) = (format!("/api/organizations/{}/billing", organization.id), &organization.owner.token);
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        let before = stripe.event("customer.subscription.updated", "sub_1");
        stripe.cancel_by_hand("sub_1", false);
        let updated = stripe.event("customer.subscription.updated", "sub_1");
        assert_eq!(tell(&server, updated.clone()).await, "read");
        until(&server, &billing, token, |billing| billing["subscriptions"][0]["cancelAt"].is_string()).await;
        stripe.cancel_by_hand("sub_1", true);
        let ended = stripe.event("customer.subscription.deleted", "sub_1");
        for late in [ended.clone(), before, updated, ended] {
            assert_eq!(tell(&server, late).await, "read");
        }
        until(&server, &billing, token, |billing| billing["subscriptions"][0]["status"] == "canceled").await;
        let record = expect(server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(record["subscriptionStatus"], "canceled");
        let (body, signature) = stripe.event("customer.subscription.deleted", "sub_1");
        let send = |body: String, signature: &str| {
            server.request(Method::POST, "/stripe/events").header("Stripe-Signature", signature).header("content-type", "application/json").body(body)
        };
        refused(send(body.replace("canceled", "active"), &signature), StatusCode::BAD_REQUEST).await;
        refused(send(body.clone(), "t=1,v1=00"), StatusCode::BAD_REQUEST).await;
        refused(server.request(Method::POST, "/stripe/events").header("content-type", "application/json").body(body), StatusCode::BAD_REQUEST).await;
        assert_eq!(tell(&server, event(&json!({"id": "evt_1", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}))).await, "ignored");
        assert_eq!(tell(&server, event(&json!({"id": "evt_1", "type": "customer.subscription.updated", "data": {"object": {"id": "sub_9"}}}))).await, "unknown");
        let metrics = server.request(Method::GET, "/metrics").bearer_auth(&operator.token).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("freehold_stripe_events_total{outcome=\"read\"} 5"), "{metrics}");
    }

    async fn a_checkout_and_metadata_link_a_subscription_to_its_organization_and_customer(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, _, organization) = found(engine, &stripe).await;
        let other = server.new_organization().await;
        let (billing, token) = (format!("/api/organizations/{}/billing", organization.id), &organization.owner.token);
        let customer = server.new_customer(&organization, token).await;
        stripe.subscribe("sub_own", json!({}));
        let checkout = json!({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": {
            "id": "cs_1", "client_reference_id": organization.id, "subscription": "sub_own", "metadata": {}}}});
        assert_eq!(tell(&server, event(&checkout)).await, "linked");
        stripe.subscribe("sub_theirs", json!({"freehold_organization": organization.id, "freehold_customer": customer}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_theirs")).await, "linked");
        let path = format!("{billing}/subscriptions");
        let are_read = |page: &Json| page["data"].as_array().unwrap().iter().filter(|one| one["status"] == "active").count() == 2;
        let list = until(&server, &path, token, are_read).await;
        let of: Vec<(&Json, &Json)> = list["data"].as_array().unwrap().iter().map(|one| (&one["stripeSubscriptionId"], &one["customerId"])).collect();
        assert_eq!(of, [(&json!("sub_theirs"), &json!(customer)), (&json!("sub_own"), &json!(null))]);
        // Metadata that says otherwise later moves nothing.
        stripe.subscribe("sub_own", json!({"freehold_organization": other.id}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.updated", "sub_own")).await, "read");
        stripe.subscribe("sub_nobody", json!({"freehold_organization": organization.id, "freehold_customer": "nobody"}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_nobody")).await, "unknown");
    }

    async fn what_begins_for_an_organization_that_is_deleted_is_cancelled_and_what_ends_late_is_no_error(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let token = &organization.owner.token;
        stripe.subscribe("sub_1", json!({"freehold_organization": organization.id}));
        link(&server, &operator, &organization, "sub_1", None).await;
        let own = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &own).bearer_auth(token), StatusCode::NO_CONTENT).await;
        server.wait_for_completion(&deletion, token).await;
        assert_eq!(tell(&server, stripe.event("customer.subscription.deleted", "sub_1")).await, "unknown");
        // Its owner was at the checkout while another deleted the organization.
        stripe.subscribe("sub_2", json!({"freehold_organization": organization.id}));
        for _ in 0..2 {
            assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_2")).await, "cancelled");
        }
        until(&server, "/api/operator/effects?state=delivered", &operator.token, |page| {
            page["data"].as_array().unwrap().iter().any(|effect| effect["action"] == "subscription.cancel" && effect["outcome"]["status"] == "canceled")
        })
        .await;
        assert_eq!((stripe.subscription("sub_2").status, stripe.subscription("sub_2").changes.len()), ("canceled", 1));
        // An account at Stripe may serve several servers: what this one has not deleted is none of its business.
        stripe.subscribe("sub_3", json!({"freehold_organization": crate::tools::UNKNOWN_ID}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_3")).await, "unknown");
        assert_eq!(stripe.subscription("sub_3").status, "active");
    }
}
