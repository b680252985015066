//! Asking for less: an attack on what is asked, and so held up by it.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{age_sessions, approve, ask, asking, missing, two_owners};
use crate::on_both_engines;
use crate::support::{Engine, Server};
use crate::tools::{answered, entries, refused};

on_both_engines! {
    async fn less_is_asked_with_another_owners_approval_only(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        let strong = json!({"customer": {"approvalRequired": true, "reasonRequired": true, "graceDays": 30}});
        ask(&server, &organization, strong.clone()).await;
        for weaker in [
            json!({}),
            json!({"customer": {"approvalRequired": false, "reasonRequired": true, "graceDays": 30}}),
            json!({"customer": {"approvalRequired": true, "reasonRequired": false, "graceDays": 30}}),
            json!({"customer": {"approvalRequired": true, "reasonRequired": true, "graceDays": 29}}),
        ] {
            let refusal = refused(asking(&server, &organization, owner, &weaker), StatusCode::CONFLICT).await;
            assert_eq!(missing(&refusal), ["approval_required"], "{weaker}");
            let path = format!("/api/organizations/{}/deletion-requirements/approvals", organization.id);
            assert_eq!(refusal["blockers"][0]["call"], json!({"method": "POST", "path": path}));
        }
        // Neither one's own approval suffices, nor one of something else.
        approve(&server, &organization, "requirements", owner).await;
        approve(&server, &organization, "", &second.token).await;
        refused(asking(&server, &organization, owner, &json!({})), StatusCode::CONFLICT).await;
        // Asking for more takes nothing, and uses nothing up.
        approve(&server, &organization, "requirements", &second.token).await;
        let stronger = json!({"customer": {"approvalRequired": true, "reasonRequired": true, "graceDays": 60}, "member": {"reasonRequired": true}});
        ask(&server, &organization, stronger).await;
        ask(&server, &organization, strong.clone()).await;
        refused(asking(&server, &organization, owner, &json!({})), StatusCode::CONFLICT).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), owner).await;
        let entry = trail.iter().find(|entry| entry["action"] == "requirements.update" && entry["outcome"] == "done").unwrap();
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains("30 days of grace instead of") && detail.contains("; approval ") && detail.contains(" by the user "), "{detail}");
    }

    async fn only_an_owner_who_has_just_signed_in_asks_less(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        ask(&server, &organization, json!({"organization": {"freshMinutes": 30}, "customer": {"freshMinutes": 5, "reasonRequired": true}})).await;
        let (_, key) = server.new_api_key(&organization, &owner.token, &["admin:all"]).await;
        let path = format!("/api/organizations/{}/deletion-requirements", organization.id);
        let by_key = server.request(Method::PUT, &path).header("X-API-Key", &key).json(&json!({}));
        assert_eq!(missing(&refused(by_key, StatusCode::CONFLICT).await), ["reauthentication_required"]);
        age_sessions(&server, 6).await;
        let looser = json!({"organization": {"freshMinutes": 30}, "customer": {"freshMinutes": 6, "reasonRequired": true}});
        assert_eq!(missing(&refused(asking(&server, &organization, &owner.token, &looser), StatusCode::CONFLICT).await), ["reauthentication_required"]);
        // What is weakened asks for thirty minutes only.
        let other = json!({"customer": {"freshMinutes": 5, "reasonRequired": true}});
        answered(asking(&server, &organization, &owner.token, &other), StatusCode::OK).await;
        let fresh = server.sign_in(&owner.email, None).await;
        answered(asking(&server, &organization, &fresh, &json!({})), StatusCode::OK).await;
    }

    async fn what_asks_for_neither_is_taken_back_as_it_was_asked(server: Server) {
        let organization = server.new_organization().await;
        ask(&server, &organization, json!({"customer": {"reasonRequired": true, "confirmationRequired": true, "graceDays": 7}})).await;
        ask(&server, &organization, json!({})).await;
    }

    async fn an_approval_that_no_one_could_give_is_not_asked_for(server: Server) {
        let organization = server.new_organization().await;
        let wanted = json!({"organization": {"approvalRequired": true}});
        let refusal = refused(asking(&server, &organization, &organization.owner.token, &wanted), StatusCode::CONFLICT).await;
        assert!(refusal["message"].as_str().unwrap().contains("make another member an owner first"), "{refusal}");
        server.new_member(&organization, "admin").await;
        refused(asking(&server, &organization, &organization.owner.token, &wanted), StatusCode::CONFLICT).await;
        server.new_member(&organization, "owner").await;
        ask(&server, &organization, wanted).await;
    }
}
