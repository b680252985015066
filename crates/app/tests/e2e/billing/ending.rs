//! What a deletion does to subscriptions.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{found, link, until};
use crate::on_both_engines;
use crate::stripe::{Stripe, Way};
use crate::support::{Engine, expect};
use crate::tools::{deleted, refused};

on_both_engines! {
    // Seeds 002 and 004, "Billing Data" and "Cancel subscriptions".
    async fn the_stripe_subscription_of_a_deleted_organization_is_cancelled_and_its_history_is_preserved_in_stripe(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let own = format!("/api/organizations/{}", organization.id);
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        for id in ["sub_own", "sub_customer"] {
            stripe.subscribe(id, json!({}));
        }
        let linked = link(&server, &operator, &organization, "sub_own", None).await;
        assert_eq!((&linked["status"], &linked["amount"], &linked["currency"], &linked["interval"]), (&json!("active"), &json!(2900), &json!("eur"), &json!("month")));
        let linked = link(&server, &operator, &organization, "sub_customer", Some(&customer)).await;
        assert_eq!(linked["customerId"], customer);
        let record = expect(server.request(Method::GET, &own).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&record["subscriptionStatus"], &record["stripeCustomerId"]), (&json!("active"), &json!("cus_of_sub_own")));
        // The plan names the subscription, its price and when it ends.
        let plan = expect(server.request(Method::GET, &format!("{own}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
        let planned: Vec<&str> = plan["subscriptions"].as_array().unwrap().iter().map(|one| one["stripeSubscriptionId"].as_str().unwrap()).collect();
        assert_eq!(planned, ["sub_own", "sub_customer"]);
        assert_eq!((&plan["subscriptions"][0]["amount"], plan["subscriptions"][0]["endsAt"].is_string()), (&json!(2900), true));
        let deletion = deleted(server.request(Method::DELETE, &own).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, token).await;
        for id in ["sub_own", "sub_customer"] {
            // It is there at Stripe, cancelled once.
            let subscription = stripe.subscription(id);
            assert_eq!((subscription.status, subscription.changes), ("canceled", vec!["cancelled, invoice false, prorate false".to_owned()]));
        }
        let billing = &record["effects"]["billing"];
        assert_eq!((&billing["confirmed"], &billing["givenUp"]), (&json!(2), &json!(0)));
        let told = &billing["subscriptions"][0];
        assert_eq!((&told["action"], &told["status"], &told["state"]), (&json!("subscription.cancel"), &json!("canceled"), &json!("delivered")), "{record}");
        assert!(told["stripeSubscriptionId"].as_str().unwrap().starts_with("sub_") && told["requestId"].as_str().unwrap().starts_with("req_"), "{told}");
        assert!(told["at"].is_string() && told["endsAt"].is_string(), "{told}");
        assert_eq!(record["counts"]["billing_subscriptions"], 2);
        // Nothing was deleted at Stripe but the subscriptions: who paid what stays there.
        assert!(stripe.requests().iter().all(|request| request.contains("/v1/subscriptions/")), "{:?}", stripe.requests());
    }

    async fn an_outage_of_stripe_lets_access_end_and_nothing_is_erased_before_it_is_over(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        stripe.set_down(Some(503));
        let deletion = deleted(server.request(Method::DELETE, &own).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, &own).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let (record, effects) = (format!("/api/deletions/{deletion}"), format!("/api/deletions/{deletion}/effects"));
        let waiting = until(&server, &record, &operator.token, |record| record["waitingFor"].is_string()).await;
        assert_eq!((&waiting["waitingFor"], &waiting["conditions"][0]["type"]), (&json!("1 subscriptions at the payment provider"), &json!("billing")), "{waiting}");
        assert_eq!((&waiting["counts"], &waiting["completedAt"]), (&json!({}), &json!(null)), "nothing is erased: {waiting}");
        let seen = until(&server, &effects, &operator.token, |page| page["data"][0]["error"].is_string()).await;
        let effect = &seen["data"][0];
        assert_eq!((&effect["kind"], &effect["state"], &effect["responseStatus"]), (&json!("billing"), &json!("pending"), &json!(503)));
        assert!(effect["remedy"].as_str().unwrap().contains("freehold effects retry"), "{effect}");
        stripe.set_down(None);
        let again = format!("/api/operator/effects/{}/retry", effect["id"].as_str().unwrap());
        let body = json!({"reason": "Stripe is up again"});
        expect(server.request(Method::POST, &again).bearer_auth(&operator.token).json(&body), StatusCode::ACCEPTED).await;
        let record = server.wait_for_completion(&deletion, &operator.token).await;
        assert_eq!(record["effects"]["billing"]["confirmed"], 1);
        assert_eq!(stripe.subscription("sub_1").changes.len(), 1);
        refused(server.request(Method::POST, &again).bearer_auth(&operator.token).json(&body), StatusCode::NOT_FOUND).await;
    }

    async fn what_is_cancelled_already_or_unknown_to_stripe_is_done(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let token = &organization.owner.token;
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        stripe.cancel_by_hand("sub_1", true);
        let own = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &own).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!(record["effects"]["billing"]["subscriptions"][0]["status"], "canceled");
        assert_eq!(stripe.subscription("sub_1").changes, Vec::<String>::new());
    }

    async fn a_change_whose_answer_was_lost_is_made_once(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", Some(&customer)).await;
        stripe.fail_with(&[Way::DoesAndBreaks, Way::Refuses(500)]);
        let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!(record["effects"]["billing"]["confirmed"], 1);
        assert_eq!(stripe.subscription("sub_1").changes.len(), 1);
    }

    async fn a_grace_period_ends_the_subscription_with_its_period_and_a_restore_undoes_that_however_often(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        let none = json!({"reasonRequired": false, "confirmationRequired": false, "freshMinutes": null, "approvalRequired": false, "graceDays": 0});
        let mut grace = none.clone();
        grace["graceDays"] = json!(1);
        let asked = json!({"organization": grace, "member": none, "customer": grace});
        expect(server.request(Method::PUT, &format!("{own}/deletion-requirements")).bearer_auth(token).json(&asked), StatusCode::OK).await;
        let customer = server.new_customer(&organization, token).await;
        for id in ["sub_ours", "sub_theirs"] {
            stripe.subscribe(id, json!({}));
            link(&server, &operator, &organization, id, Some(&customer)).await;
        }
        // The customer has this one end at Stripe: no restore takes that back.
        stripe.cancel_by_hand("sub_theirs", false);
        let path = format!("{own}/customers/{customer}");
        for round in 1..=2 {
            // The answer to the first change is lost, and it is known all the same whose it was.
            stripe.fail_with(&[Way::DoesAndBreaks]);
            let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
            let effects = format!("/api/deletions/{deletion}/effects");
            let all_done = |page: &serde_json::Value, number: usize| {
                let all = page["data"].as_array().unwrap();
                all.len() == number && all.iter().all(|effect| effect["state"] == "delivered")
            };
            until(&server, &effects, token, |page| all_done(page, 2)).await;
            assert!(stripe.subscription("sub_ours").cancel_at_period_end);
            let restored = server.request(Method::POST, &format!("/api/deletions/{deletion}/restore")).bearer_auth(token);
            assert_eq!(expect(restored, StatusCode::OK).await["state"], "restored");
            until(&server, &effects, token, |page| all_done(page, 4)).await;
            assert!(!stripe.subscription("sub_ours").cancel_at_period_end && stripe.subscription("sub_theirs").cancel_at_period_end);
            assert_eq!(stripe.subscription("sub_ours").changes.len(), 2 * round);
        }
        assert_eq!(stripe.subscription("sub_theirs").changes, Vec::<String>::new());
        // Each change had a key of its own.
        assert_eq!(stripe.keys().len(), 4);
        // One that has ended at Stripe meanwhile cannot be taken up again, and that is said.
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let effects = format!("/api/deletions/{deletion}/effects");
        until(&server, &effects, token, |page| page["data"].as_array().unwrap().iter().all(|effect| effect["state"] == "delivered")).await;
        stripe.cancel_by_hand("sub_ours", true);
        expect(server.request(Method::POST, &format!("/api/deletions/{deletion}/restore")).bearer_auth(token), StatusCode::OK).await;
        let failed = |page: &serde_json::Value| page["data"].as_array().unwrap().iter().find(|effect| effect["state"] == "failed").cloned();
        let page = until(&server, &effects, token, |page| failed(page).is_some()).await;
        let failed = failed(&page).unwrap();
        assert!(failed["error"].as_str().unwrap().contains("cannot be taken up again"), "{failed}");
        // The doctor finds it, until an operator has dealt with it.
        let metrics = server.request(Method::GET, "/metrics").bearer_auth(&operator.token).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("freehold_effects_dead{kind=\"billing\"} 1"), "{metrics}");
        let id = failed["id"].as_str().unwrap();
        let body = json!({"reason": "They begin a new one"});
        let given_up = server.request(Method::POST, &format!("/api/operator/effects/{id}/give-up")).bearer_auth(&operator.token).json(&body);
        assert_eq!(expect(given_up, StatusCode::OK).await["isGivenUp"], true);
    }

    async fn a_restored_database_ends_and_takes_up_again_what_it_does_not_know_of(engine: Engine) {
        let stripe = Stripe::open().await;
        let (mut server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        let none = json!({"reasonRequired": false, "confirmationRequired": false, "freshMinutes": null, "approvalRequired": false, "graceDays": 0});
        let mut grace = none.clone();
        grace["graceDays"] = json!(1);
        let asked = json!({"organization": none, "member": none, "customer": grace});
        expect(server.request(Method::PUT, &format!("{own}/deletion-requirements")).bearer_auth(token).json(&asked), StatusCode::OK).await;
        let customer = server.new_customer(&organization, token).await;
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", Some(&customer)).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let (code, out, err) = server.command(&["backup", file.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{out}{err}");
        let deletion = deleted(server.request(Method::DELETE, &format!("{own}/customers/{customer}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let effects = format!("/api/deletions/{deletion}/effects");
        let are_done = |page: &serde_json::Value, number: usize| {
            let all = page["data"].as_array().unwrap();
            all.len() == number && all.iter().all(|effect| effect["state"] == "delivered")
        };
        until(&server, &effects, token, |page| are_done(page, 1)).await;
        server.kill().await;
        let restored = server.start_restored(engine, &file).await;
        let token = restored.sign_in(&organization.owner.email, None).await;
        until(&restored, &effects, &token, |page| are_done(page, 1)).await;
        assert_eq!(stripe.subscription("sub_1").changes, ["cancel_at_period_end true"], "it was so already");
        expect(restored.request(Method::POST, &format!("/api/deletions/{deletion}/restore")).bearer_auth(&token), StatusCode::OK).await;
        until(&restored, &effects, &token, |page| are_done(page, 2)).await;
        assert_eq!(stripe.subscription("sub_1").changes, ["cancel_at_period_end true", "cancel_at_period_end false"]);
    }

    async fn a_server_without_a_key_waits_until_an_operator_gives_the_subscription_up(engine: Engine) {
        let stripe = Stripe::open().await;
        let (mut server, operator, organization) = found(engine, &stripe).await;
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        server.kill().await;
        server.forget_argument(&stripe.arguments()[0]);
        server.start_again().await;
        let (token, operator) = (server.sign_in(&organization.owner.email, None).await, server.sign_in(&operator.email, None).await);
        let own = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &own).bearer_auth(&token), StatusCode::NO_CONTENT).await;
        let list = until(&server, "/api/operator/effects", &operator, |page| page["data"][0]["error"].is_string()).await;
        let effect = &list["data"][0];
        assert_eq!((&effect["deletionId"], &effect["organizationId"]), (&json!(deletion), &json!(organization.id)));
        assert!(effect["error"].as_str().unwrap().contains("--stripe-secret-key"), "{effect}");
        let path = format!("/api/operator/effects/{}", effect["id"].as_str().unwrap());
        refused(server.request(Method::GET, &path).bearer_auth(&token), StatusCode::FORBIDDEN).await;
        let give_up = |body: serde_json::Value| server.request(Method::POST, &format!("{path}/give-up")).bearer_auth(&operator).json(&body);
        refused(give_up(json!({"reason": ""})), StatusCode::BAD_REQUEST).await;
        expect(give_up(json!({"reason": "Cancelled by hand"})), StatusCode::OK).await;
        let record = server.wait_for_completion(&deletion, &operator).await;
        assert_eq!((&record["effects"]["billing"]["confirmed"], &record["effects"]["billing"]["givenUp"]), (&json!(0), &json!(1)));
        assert_eq!(stripe.subscription("sub_1").status, "active");
    }

    // Seeds 002 and 004: what is archived "keeps billing records".
    async fn an_archive_keeps_billing_records(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        stripe.subscribe("sub_1", json!({}));
        link(&server, &operator, &organization, "sub_1", None).await;
        expect(server.request(Method::POST, &format!("{own}/archive")).bearer_auth(token), StatusCode::OK).await;
        let token = server.sign_in(&organization.owner.email, None).await;
        let billing = expect(server.request(Method::GET, &format!("{own}/billing")).bearer_auth(&token), StatusCode::OK).await;
        assert_eq!((&billing["subscriptions"][0]["stripeSubscriptionId"], &billing["subscriptions"][0]["status"]), (&json!("sub_1"), &json!("active")));
        assert_eq!(stripe.subscription("sub_1").changes, Vec::<String>::new());
    }

    async fn a_customer_s_subscription_ends_with_the_customer_softly_deleted_or_for_good(engine: Engine) {
        let stripe = Stripe::open().await;
        let (server, operator, organization) = found(engine, &stripe).await;
        let (own, token) = (format!("/api/organizations/{}", organization.id), &organization.owner.token);
        let (soft, hard, other) = (server.new_customer(&organization, token).await, server.new_customer(&organization, token).await, server.new_customer(&organization, token).await);
        for (customer, id) in [(&soft, "sub_soft"), (&hard, "sub_hard"), (&other, "sub_other")] {
            stripe.subscribe(id, json!({}));
            link(&server, &operator, &organization, id, Some(customer)).await;
        }
        let softly = server.request(Method::DELETE, &format!("/customer/{soft}")).bearer_auth(token);
        let first = deleted(softly, StatusCode::OK).await;
        let second = deleted(server.request(Method::DELETE, &format!("{own}/customers/{hard}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        for deletion in [first, second] {
            server.wait_for_completion(&deletion, token).await;
        }
        let states = ["sub_soft", "sub_hard", "sub_other"].map(|id| stripe.subscription(id).status);
        assert_eq!(states, ["canceled", "canceled", "active"]);
        let list = expect(server.request(Method::GET, &format!("{own}/billing/subscriptions")).bearer_auth(token), StatusCode::OK).await;
        let left: Vec<_> = list["data"].as_array().unwrap().iter().map(|one| one["stripeSubscriptionId"].as_str().unwrap()).collect();
        assert_eq!(left, ["sub_other", "sub_soft"], "that of one who is kept is kept for the books");
    }
}
