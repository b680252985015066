//! What an organization asks of those who delete customers, it asks of those who purge them, too.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{age_sessions, approve, ask, missing, two_owners};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{new_customer, refused};

on_both_engines! {
    async fn a_purge_is_no_way_around_what_is_asked(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner;
        for reference in ["approved", "unapproved"] {
            new_customer(&server, &organization, reference, None).await;
        }
        let asked = json!({"reasonRequired": true, "confirmationRequired": true, "freshMinutes": 5, "approvalRequired": true});
        ask(&server, &organization, json!({"customer": asked})).await;
        approve(&server, &organization, "/customers/approved", &second.token).await;
        age_sessions(&server, 6).await;
        let purge = |token: &str, query: &str| {
            let path = format!("/api/organizations/{}/customers:purge?force=true{query}", organization.id);
            server.request(Method::POST, &path).bearer_auth(token).json(&json!({"filter": {"all": true}}))
        };
        let refusal = refused(purge(&owner.token, ""), StatusCode::CONFLICT).await;
        assert_eq!(missing(&refusal), ["reason_required", "confirmation_required", "reauthentication_required"]);
        let fresh = server.sign_in(&owner.email, None).await;
        let said = format!("&reason=Moved&confirm={}", organization.slug);
        let ordered = expect(purge(&fresh, &said), StatusCode::ACCEPTED).await;
        server.wait_for_seal(ordered["id"].as_str().unwrap(), &fresh).await;
        // Each customer needs an approval of its own.
        let items = format!("/api/deletions/{}/items", ordered["id"].as_str().unwrap());
        let items = expect(server.request(Method::GET, &items).bearer_auth(&fresh), StatusCode::OK).await;
        let outcomes: Vec<(&str, &Json)> =
            items["data"].as_array().unwrap().iter().map(|item| (item["outcome"].as_str().unwrap(), &item["blockers"][0]["code"])).collect();
        assert_eq!(outcomes, [("deleted", &Json::Null), ("blocked", &json!("approval_required"))]);
    }
}
