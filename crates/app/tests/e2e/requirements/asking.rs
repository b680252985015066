//! What is asked: for each kind of subject on its own, on every surface alike, and of no member who leaves.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{age_sessions, approve, ask, asking, missing, two_owners};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, OTHER_ROLES, answered, deleted, entries, new_customer, refused};

/// Each way to delete a kind of subject, with the address of its plan where that has one.
async fn ways(server: &Server, organization: &Organization, kind: &str) -> Vec<(String, Option<String>, StatusCode)> {
    let (api, account) =
        (format!("/api/organizations/{}", organization.id), format!("/account/api/v1/organizations/{}", short(&organization.id)));
    let planned = |path: String, status| (path.clone(), Some(format!("{path}/deletion-plan")), status);
    match kind {
        "organization" => {
            let other = server.found_organization(&organization.owner).await;
            vec![planned(format!("/api/organizations/{}", other.id), StatusCode::NO_CONTENT)]
        }
        "member" => {
            let (_, first) = server.new_member(organization, "viewer").await;
            let (_, second) = server.new_member(organization, "viewer").await;
            vec![
                planned(format!("{api}/members/{first}"), StatusCode::NO_CONTENT),
                (format!("{account}/members/{}", short(&second)), None, StatusCode::OK),
            ]
        }
        _ => {
            let token = &organization.owner.token;
            let (first, second) = (server.new_customer(organization, token).await, server.new_customer(organization, token).await);
            vec![
                planned(format!("{api}/customers/{first}"), StatusCode::NO_CONTENT),
                planned(format!("/customer/{second}"), StatusCode::OK),
            ]
        }
    }
}

on_both_engines! {
    async fn nothing_is_asked_until_an_owner_says_so(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/deletion-requirements", organization.id);
        let nothing = json!({
            "reasonRequired": false, "confirmationRequired": false, "freshMinutes": null, "approvalRequired": false, "graceDays": 0,
        });
        let read = async || expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(read().await, json!({"organization": nothing, "member": nothing, "customer": nothing, "updatedAt": null}));
        let wanted = json!({"customer": {"reasonRequired": true, "freshMinutes": 15, "graceDays": 30}, "member": {"confirmationRequired": true}});
        let asked = ask(&server, &organization, wanted).await;
        assert_eq!(read().await, asked);
        assert_eq!(asked["organization"], nothing);
        assert_eq!(asked["customer"], json!({
            "reasonRequired": true, "confirmationRequired": false, "freshMinutes": 15, "approvalRequired": false, "graceDays": 30,
        }));
        assert_eq!((&asked["member"]["confirmationRequired"], asked["updatedAt"].is_string()), (&json!(true), true));
        // What is put takes the place of all there was.
        assert_eq!(ask(&server, &organization, json!({})).await["customer"], nothing);
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let details: Vec<&Json> = trail.iter().filter(|entry| entry["action"] == "requirements.update").map(|entry| &entry["detail"]).collect();
        assert_eq!(details[1], "member: the slug instead of nothing; customer: a reason, a sign-in within 15 minutes, 30 days of grace instead of nothing");
        assert_eq!(details.len(), 2);
    }

    async fn a_reason_is_asked_for_on_every_surface(server: Server) {
        let organization = server.new_organization().await;
        let token = server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        for kind in ["member", "customer"] {
            ask(&server, &organization, json!({kind: {"reasonRequired": true}})).await;
            for (path, plan, status) in ways(&server, &organization, kind).await {
                let delete = |query: &str| server.request(Method::DELETE, &format!("{path}{query}")).bearer_auth(&token);
                for query in ["", "?reason=", "?reason=%20%20"] {
                    assert_eq!(missing(&refused(delete(query), StatusCode::CONFLICT).await), ["reason_required"], "{path}{query}");
                }
                if let Some(plan) = plan {
                    let look = |query: &str| server.request(Method::GET, &format!("{plan}{query}")).bearer_auth(&token);
                    assert_eq!(missing(&expect(look(""), StatusCode::OK).await), ["reason_required"], "{plan}");
                    assert_eq!(expect(look("?reason=Moved"), StatusCode::OK).await["blockers"], json!([]), "{plan}");
                }
                assert_eq!(expect(delete("?validate_only=true&reason=Moved"), StatusCode::OK).await["blockers"], json!([]), "{path}");
                deleted(delete("?reason=Moved"), status).await;
            }
        }
    }

    async fn the_slug_is_asked_for_exactly(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"confirmationRequired": true}})).await;
        for (path, plan, status) in ways(&server, &organization, "customer").await {
            let delete = |query: &str| server.request(Method::DELETE, &format!("{path}{query}")).bearer_auth(token);
            let (slug, loud) = (&organization.slug, organization.slug.to_uppercase());
            for wrong in ["", "?confirm=", "?confirm=yes", &format!("?confirm={loud}"), &format!("?confirm={}", organization.id)] {
                assert_eq!(missing(&refused(delete(wrong), StatusCode::CONFLICT).await), ["confirmation_required"], "{path}{wrong}");
            }
            let plan = server.request(Method::GET, &format!("{}?confirm={slug}", plan.unwrap())).bearer_auth(token);
            assert_eq!(expect(plan, StatusCode::OK).await["blockers"], json!([]));
            deleted(delete(&format!("?confirm={slug}")), status).await;
        }
    }

    async fn a_fresh_sign_in_is_no_key_and_no_old_session(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        ask(&server, &organization, json!({"customer": {"freshMinutes": 5}})).await;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let delete = || server.request(Method::DELETE, &path);
        let (_, key) = server.new_api_key(&organization, &owner.token, &["admin:all"]).await;
        let app = server.new_oauth_app(&organization, &owner.token, &["write:customers"]).await;
        let app = server.new_oauth_token(&app).await;
        for request in [delete().header("X-API-Key", &key), delete().bearer_auth(&app.access)] {
            let refusal = refused(request, StatusCode::CONFLICT).await;
            assert_eq!(missing(&refusal), ["reauthentication_required"]);
            assert!(refusal["blockers"][0]["detail"].as_str().unwrap().contains("no key or app's token"), "{refusal}");
            assert_eq!(refusal["blockers"][0]["call"], json!({"method": "POST", "path": "/api/auth/sign-in"}));
        }
        age_sessions(&server, 6).await;
        assert_eq!(missing(&refused(delete().bearer_auth(&owner.token), StatusCode::CONFLICT).await), ["reauthentication_required"]);
        let plan = server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(&owner.token);
        assert_eq!(missing(&expect(plan, StatusCode::OK).await), ["reauthentication_required"]);
        let fresh = server.sign_in(&owner.email, None).await;
        answered(delete().bearer_auth(fresh), StatusCode::NO_CONTENT).await;
    }

    async fn all_that_is_missing_is_told_at_once_and_following_the_remedies_opens_the_way(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let everything = json!({"reasonRequired": true, "confirmationRequired": true, "freshMinutes": 5, "approvalRequired": true});
        ask(&server, &organization, json!({"organization": everything, "member": everything, "customer": everything})).await;
        age_sessions(&server, 6).await;
        let old = &organization.owner.token;
        let (_, member) = server.new_member(&organization, "admin").await;
        new_customer(&server, &organization, "user123", None).await;
        let subscription = server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let base = format!("/api/organizations/{}", organization.id);
        let asked = ["reason_required", "confirmation_required", "reauthentication_required", "approval_required"];
        let places = [format!("/members/{member}"), "/customers/user123".to_owned(), String::new()];
        for place in &places {
            let refusal = refused(server.request(Method::DELETE, &format!("{base}{place}")).bearer_auth(old), StatusCode::CONFLICT).await;
            let before: &[&str] = if place.starts_with("/customers") { &["active_subscription"] } else { &[] };
            assert_eq!(missing(&refusal), [before, &asked].concat(), "{place}");
            let plan = expect(server.request(Method::GET, &format!("{base}{place}/deletion-plan")).bearer_auth(old), StatusCode::OK).await;
            assert_eq!(plan["blockers"], refusal["blockers"], "{place}");
            let calls: Vec<&Json> = refusal["blockers"].as_array().unwrap().iter().rev().take(4).map(|one| &one["call"]).collect();
            assert_eq!(calls[0], &json!({"method": "POST", "path": format!("{base}{place}/deletion-approvals")}));
            assert_eq!(calls[3], &json!({"method": "DELETE", "path": format!("{base}{place}?reason=")}));
        }
        let cancel = server.request(Method::PATCH, &format!("{base}/customers/user123/subscriptions/{subscription}"));
        answered(cancel.bearer_auth(old).json(&json!({"status": "cancelled"})), StatusCode::OK).await;
        let (fresh, second) = (server.sign_in(&organization.owner.email, None).await, server.sign_in(&second.email, None).await);
        for place in &places {
            approve(&server, &organization, place, &second).await;
            let path = format!("{base}{place}?reason=Moved&confirm={}", organization.slug);
            deleted(server.request(Method::DELETE, &path).bearer_auth(&fresh), StatusCode::NO_CONTENT).await;
        }
    }

    async fn what_is_asked_for_one_kind_is_not_asked_for_another(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        ask(&server, &organization, json!({"organization": {"reasonRequired": true, "confirmationRequired": true}})).await;
        for kind in ["member", "customer", "organization"] {
            for (path, _, status) in ways(&server, &organization, kind).await {
                deleted(server.request(Method::DELETE, &path).bearer_auth(token), status).await;
            }
        }
        // What takes access away and nothing else is never held up.
        let (key, _) = server.new_api_key(&organization, token, &["read:organization"]).await;
        let path = format!("/api/organizations/{}/api-keys/{key}", organization.id);
        deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn leaving_is_a_right(server: Server) {
        let (organization, _) = two_owners(&server).await;
        let everything = json!({"reasonRequired": true, "confirmationRequired": true, "freshMinutes": 1, "approvalRequired": true});
        ask(&server, &organization, json!({"member": everything})).await;
        let (leaving, own) = server.new_member(&organization, "admin").await;
        let (going, _) = server.new_member(&organization, "admin").await;
        let (_, other) = server.new_member(&organization, "viewer").await;
        let path = |member: &str| format!("/api/organizations/{}/members/{member}", organization.id);
        let refusal = refused(server.request(Method::DELETE, &path(&other)).bearer_auth(&leaving.token), StatusCode::CONFLICT).await;
        assert_eq!(missing(&refusal), ["reason_required", "confirmation_required", "approval_required"]);
        deleted(server.request(Method::DELETE, &path(&own)).bearer_auth(&leaving.token), StatusCode::NO_CONTENT).await;
        let plan = expect(server.request(Method::GET, "/api/users/me/deletion-plan").bearer_auth(&going.token), StatusCode::OK).await;
        assert_eq!(plan["blockers"], json!([]));
        deleted(server.request(Method::DELETE, "/api/users/me").bearer_auth(&going.token), StatusCode::NO_CONTENT).await;
    }

    async fn customers_who_are_deleted_together_are_asked_for_each_alone(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true, "reasonRequired": true}})).await;
        let mut requests = Vec::new();
        for number in 0..12 {
            let customer = format!("user{number}");
            new_customer(&server, &organization, &customer, None).await;
            if number % 3 == 0 {
                approve(&server, &organization, &format!("/customers/{customer}"), &second.token).await;
            }
            // The second owner cannot use what they approved themselves.
            let token = if number % 6 == 0 { &second.token } else { owner };
            let path = format!("/api/organizations/{}/customers/{customer}?reason=Moved", organization.id);
            requests.push(server.request(Method::DELETE, &path).bearer_auth(token).send());
        }
        let statuses: Vec<u16> = futures_util::future::join_all(requests).await.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
        let expected: Vec<u16> = (0..12).map(|number| if number % 6 == 3 { 204 } else { 409 }).collect();
        assert_eq!(statuses, expected);
    }

    async fn owners_ask_and_all_members_may_know(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let path = format!("/api/organizations/{}/deletion-requirements", organization.id);
        for role in OTHER_ROLES {
            answered(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::OK).await;
            refused(asking(&server, organization, cast.token(role), &json!({"customer": {"reasonRequired": true}})), StatusCode::FORBIDDEN).await;
        }
        for wrong in [
            json!({"customer": {"freshMinutes": 0}}), json!({"customer": {"freshMinutes": 1441}}), json!({"customer": {"graceDays": 91}}),
            json!({"customer": {"reason": true}}), json!({"customer": true}), json!({"webhook": {}}), json!({"member": {"reasonRequired": "yes"}}),
        ] {
            refused(asking(&server, organization, cast.token("owner"), &wrong), StatusCode::BAD_REQUEST).await;
        }
        let read = server.request(Method::GET, &path).bearer_auth(cast.token("owner")).send().await.unwrap();
        let etag = read.headers()["etag"].to_str().unwrap().to_owned();
        let change = |wanted: Json| asking(&server, organization, cast.token("owner"), &wanted).header("If-Match", &etag);
        answered(change(json!({"customer": {"reasonRequired": true}})), StatusCode::OK).await;
        refused(change(json!({})), StatusCode::PRECONDITION_FAILED).await;
        let archive = server.request(Method::POST, &format!("/api/organizations/{}/archive", organization.id));
        answered(archive.bearer_auth(cast.token("owner")), StatusCode::OK).await;
        refused(asking(&server, organization, cast.token("owner"), &json!({})), StatusCode::CONFLICT).await;
    }
}
