//! Every way to delete something, against a hold on it, on what it is in, and on what is in it; and what takes access away, which goes on.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{blockers, hold, placing, release};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{answered, deleted, entries, new_customer, refused};

/// Every address that deletes a customer.
fn ways(organization: &Organization, customer: &str) -> [String; 3] {
    let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
    [path, format!("/customer/{customer}"), format!("/customer/{customer}?hard=true")]
}

/// Both addresses that delete an organization, and both that remove a member.
fn of_organization(organization: &Organization) -> [String; 2] {
    let account = short(&organization.id);
    [format!("/api/organizations/{}", organization.id), format!("/account/api/v1/organizations/{account}")]
}

fn of_member(organization: &Organization, member: &str) -> [String; 2] {
    let account = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(member));
    [format!("/api/organizations/{}/members/{member}", organization.id), account]
}

/// Each of these deletions is refused because of this hold and nothing else.
async fn are_blocked(server: &Server, token: &str, paths: impl IntoIterator<Item = String>, hold: &str) {
    for path in paths {
        let body = refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::CONFLICT).await;
        let id = if path.starts_with("/account/") { short(hold) } else { hold.to_owned() };
        assert_eq!(blockers(&body), [("legal_hold", id.as_str())], "{path}");
        // Why is in the hold's record, for those who may read holds.
        assert!(body["detail"].as_str().unwrap().contains("A legal hold") && !body.to_string().contains("Case 2026-17"), "{body}");
        assert!(body["blockers"][0]["remedy"].as_str().unwrap().contains("/holds/{holdId}/release"), "{body}");
    }
}

async fn hook(server: &Server, organization: &Organization, event: &str) -> String {
    let path = format!("/api/organizations/{}/webhooks", organization.id);
    let body = json!({"url": "https://example.com/hook", "events": [event]});
    let made = expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
    format!("{path}/{}", made["id"].as_str().unwrap())
}

on_both_engines! {
    async fn a_held_customer_is_deleted_in_no_way_until_the_hold_is_released(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["held", "other"] {
            new_customer(&server, &organization, customer, None).await;
        }
        server.new_dependant(&organization, "held", "subscriptions", json!({"plan": "basic", "status": "cancelled"})).await;
        let id = hold(&server, &organization, "/customers/held").await;
        are_blocked(&server, token, ways(&organization, "held").into_iter().chain(of_organization(&organization)), &id).await;
        // Plans say so beforehand.
        for path in [&ways(&organization, "held")[0], &format!("/api/organizations/{}", organization.id)] {
            let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(blockers(&plan), [("legal_hold", id.as_str())]);
        }
        // No other customer is blocked.
        deleted(server.request(Method::DELETE, &ways(&organization, "other")[0]).bearer_auth(token), StatusCode::NO_CONTENT).await;
        release(&server, &organization, &id).await;
        let soft = server.request(Method::DELETE, "/customer/held").bearer_auth(token);
        deleted(soft, StatusCode::OK).await;
        // What was softly deleted is still there, and can be held.
        let again = hold(&server, &organization, "/customers/held").await;
        are_blocked(&server, token, [ways(&organization, "held")[2].clone()], &again).await;
        release(&server, &organization, &again).await;
        deleted(server.request(Method::DELETE, &ways(&organization, "held")[2]).bearer_auth(token), StatusCode::OK).await;
        let gone = placing(&server, &organization, "/customers/held", token);
        assert_eq!(refused(gone, StatusCode::NOT_FOUND).await["message"], "Customer not found.");
        deleted(server.request(Method::DELETE, &of_organization(&organization)[0]).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(placing(&server, &organization, "", token), StatusCode::NOT_FOUND).await;
    }

    async fn a_held_user_is_not_removed_and_can_lose_access_all_the_same(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (person, member) = server.new_member(&organization, "admin").await;
        let (_, other) = server.new_member(&organization, "admin").await;
        let (key, _) = server.new_api_key(&organization, &person.token, &["read:members"]).await;
        let id = hold(&server, &organization, &format!("/members/{member}")).await;
        are_blocked(&server, token, of_member(&organization, &member).into_iter().chain(of_organization(&organization)), &id).await;
        are_blocked(&server, &person.token, of_member(&organization, &member), &id).await;
        let path = &of_member(&organization, &member)[0];
        let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(blockers(&plan), [("legal_hold", id.as_str())]);
        deleted(server.request(Method::DELETE, &of_member(&organization, &other)[0]).bearer_auth(token), StatusCode::NO_CONTENT).await;
        // In another organization they are as free as anybody.
        let elsewhere = server.new_organization().await;
        let there = server.add_member(&elsewhere, &person, "member").await;
        let leave = server.request(Method::DELETE, &of_member(&elsewhere, &there)[0]).bearer_auth(&person.token);
        deleted(leave, StatusCode::NO_CONTENT).await;

        let role = server.request(Method::PUT, &format!("{path}/role")).bearer_auth(token).json(&json!({"role": "viewer"}));
        expect(role, StatusCode::OK).await;
        let revoke = format!("/api/organizations/{}/api-keys/{key}", organization.id);
        deleted(server.request(Method::DELETE, &revoke).bearer_auth(token), StatusCode::NO_CONTENT).await;
        release(&server, &organization, &id).await;
        deleted(server.request(Method::DELETE, path).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn a_held_organization_keeps_what_is_in_it_and_access_to_it_can_be_taken_away(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let (_, member) = server.new_member(&organization, "member").await;
        let (key, _) = server.new_api_key(&organization, token, &["read:members"]).await;
        let webhook = hook(&server, &organization, "member.added").await;
        let app = server.new_oauth_app(&organization, token, &["read:members"]).await;
        let granted = server.new_oauth_token(&app).await;
        let path = format!("/api/organizations/{}", organization.id);
        let invite = server.request(Method::POST, &format!("{path}/members/invite")).bearer_auth(token);
        let invitation = expect(invite.json(&json!({"email": "guest@example.com"})), StatusCode::CREATED).await;

        let id = hold(&server, &organization, "").await;
        let kept = of_organization(&organization).into_iter().chain(of_member(&organization, &member)).chain(ways(&organization, "user123"));
        are_blocked(&server, token, kept.chain([webhook.clone()]), &id).await;
        let revocations = [
            format!("{path}/api-keys/{key}"),
            format!("{path}/invites/{}", invitation["id"].as_str().unwrap()),
            format!("/api/oauth/token/{}", granted.id),
            format!("/api/oauth/apps/{}", app.client_id),
        ];
        for path in revocations {
            answered(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        }
        // No one is kept from working.
        let change = server.request(Method::PUT, &format!("{path}/customers/user123")).bearer_auth(token);
        expect(change.json(&json!({"name": "Ada King"})), StatusCode::OK).await;

        release(&server, &organization, &id).await;
        for path in [webhook, format!("{path}/members/{member}"), format!("{path}/customers/user123"), path] {
            deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        }
    }

    async fn a_webhook_that_was_told_of_a_held_customer_keeps_its_history(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (told, other) = (hook(&server, &organization, "customer.created").await, hook(&server, &organization, "member.added").await);
        new_customer(&server, &organization, "user123", None).await;
        let id = hold(&server, &organization, "/customers/user123").await;
        are_blocked(&server, token, [told.clone()], &id).await;
        deleted(server.request(Method::DELETE, &other).bearer_auth(token), StatusCode::NO_CONTENT).await;
        release(&server, &organization, &id).await;
        deleted(server.request(Method::DELETE, &told).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn every_hold_that_stands_in_the_way_is_named_with_who_and_until_when_and_all_must_go(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let subscription = server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let own = json!({"reason": "Case 2026-17", "until": "2099-12-31T23:59:59Z"});
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let first = expect(server.request(Method::POST, &format!("{path}/holds")).bearer_auth(token).json(&own), StatusCode::CREATED).await;
        let (first, second) = (first["id"].as_str().unwrap(), hold(&server, &organization, "").await);
        let delete = || server.request(Method::DELETE, &path).bearer_auth(token);
        let body = refused(delete(), StatusCode::CONFLICT).await;
        assert_eq!(blockers(&body), [("legal_hold", first), ("legal_hold", &second), ("active_subscription", &subscription)]);
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
        let detail = body["blockers"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(me["id"].as_str().unwrap()) && detail.contains("until 2099-12-31T23:59:59Z"), "{detail}");
        let of_organization = body["blockers"][1]["detail"].as_str().unwrap();
        assert!(of_organization.contains("on the organization") && of_organization.contains("until it is released"), "{of_organization}");
        release(&server, &organization, first).await;
        assert_eq!(blockers(&refused(delete(), StatusCode::CONFLICT).await), [("legal_hold", second.as_str()), ("active_subscription", &subscription)]);
        release(&server, &organization, &second).await;
        assert_eq!(blockers(&refused(delete(), StatusCode::CONFLICT).await), [("active_subscription", subscription.as_str())]);
        // Each refusal is in the audit trail with what was told.
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let blocked: Vec<&str> =
            trail.iter().filter(|entry| entry["outcome"] == "blocked").map(|entry| entry["detail"].as_str().unwrap()).collect();
        assert_eq!(blocked.iter().filter(|detail| detail.contains("legal hold")).count(), 2, "{blocked:?}");
    }
}
