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
        let (server, operator, organization) = found(engine, &stripe).await;
        let other = server.new_organization().await;
        let (billing, token) = (format!("/api/organizations/{}/billing", organization.id), &organization.owner.token);
        let customer = server.new_customer(&organization, token).await;
        let checkout = json!({"price": "price_basic", "successUrl": "https://example.com/welcome"});
        expect(server.request(Method::POST, &format!("{billing}/checkout")).bearer_auth(token).json(&checkout), StatusCode::CREATED).await;
        // What the server has asked Stripe to write there.
        let form = stripe.forms().remove(0);
        stripe.subscribe("sub_own", json!({"freehold_organization": form["subscription_data[metadata][freehold_organization]"]}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_own")).await, "linked");
        // A browser can give a payment link whatever reference it likes.
        stripe.subscribe("sub_alices", json!({}));
        let spoofed = json!({"id": "evt_1", "type": "checkout.session.completed", "data": {"object": {
            "id": "cs_1", "client_reference_id": organization.id, "subscription": "sub_alices", "metadata": {"freehold_organization": organization.id}}}});
        assert_eq!(tell(&server, event(&spoofed)).await, "ignored");
        // And what an event says of the metadata counts for nothing: Stripe is asked.
        let mut old = json!({"id": "evt_2", "type": "customer.subscription.updated", "data": {"object": {"id": "sub_alices"}}});
        old["data"]["object"]["metadata"] = json!({"freehold_organization": organization.id});
        assert_eq!(tell(&server, event(&old)).await, "unknown");
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
        // Of a customer who is not there operators hear.
        stripe.subscribe("sub_nobody", json!({"freehold_organization": organization.id, "freehold_customer": "nobody"}));
        for _ in 0..2 {
            assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_nobody")).await, "unknown");
        }
        let list = expect(server.request(Method::GET, "/api/operator/effects?state=failed").bearer_auth(&operator.token), StatusCode::OK).await;
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
        let again = format!("/api/operator/effects/{}/retry", list["data"][0]["id"].as_str().unwrap());
        let body = json!({"reason": "They left meanwhile"});
        expect(server.request(Method::POST, &again).bearer_auth(&operator.token).json(&body), StatusCode::ACCEPTED).await;
        until(&server, "/api/operator/effects?state=failed", &operator.token, |page| page["data"] == json!([])).await;
        let cancelled = "/api/operator/effects?state=delivered";
        until(&server, cancelled, &operator.token, |page| page["data"].to_string().contains("subscription.cancel")).await;
        assert_eq!(stripe.subscription("sub_nobody").status, "canceled");
        // One that was softly deleted is known, and what begins for it ends.
        expect(server.request(Method::DELETE, &format!("/customer/{customer}")).bearer_auth(token), StatusCode::OK).await;
        stripe.subscribe("sub_late", json!({"freehold_organization": organization.id, "freehold_customer": customer}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_late")).await, "cancelled");
        until(&server, &path, token, |page| {
            page["data"].as_array().unwrap().iter().any(|one| one["stripeSubscriptionId"] == "sub_late" && one["status"] == "canceled")
        })
        .await;
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
        let begun = stripe.event("customer.subscription.created", "sub_2");
        assert_eq!(tell(&server, begun.clone()).await, "cancelled");
        // Once more, before or after it was.
        assert_ne!(tell(&server, begun).await, "linked");
        until(&server, "/api/operator/effects?state=delivered", &operator.token, |page| {
            page["data"].as_array().unwrap().iter().any(|effect| effect["action"] == "subscription.cancel" && effect["outcome"]["status"] == "canceled")
        })
        .await;
        assert_eq!((stripe.subscription("sub_2").status, stripe.subscription("sub_2").changes.len()), ("canceled", 1));
        // While Stripe does not answer, the event is refused, and comes again.
        stripe.subscribe("sub_4", json!({"freehold_organization": organization.id}));
        let (body, signature) = stripe.event("customer.subscription.created", "sub_4");
        stripe.set_down(Some(500));
        let request = server.request(Method::POST, "/stripe/events").header("Stripe-Signature", signature).header("content-type", "application/json");
        refused(request.body(body), StatusCode::SERVICE_UNAVAILABLE).await;
        stripe.set_down(None);
        // An account at Stripe may serve several servers: what this one has not deleted is none of its business.
        stripe.subscribe("sub_3", json!({"freehold_organization": crate::tools::UNKNOWN_ID}));
        assert_eq!(tell(&server, stripe.event("customer.subscription.created", "sub_3")).await, "unknown");
        assert_eq!(stripe.subscription("sub_3").status, "active");
    }
}
