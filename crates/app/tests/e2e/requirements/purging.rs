//! What an organization asks of those who delete customers, it asks of those who purge them, too.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{age_sessions, approve, ask, missing, two_owners};
use crate::client::Shell;
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
        let meant = |token: &str, query: &str| {
            let path = format!("/api/organizations/{}/customers:purge?{query}", organization.id);
            server.request(Method::POST, &path).bearer_auth(token).json(&json!({"filter": {"all": true}}))
        };
        let purge = |token: &str, query: &str| meant(token, &format!("force=true{query}"));
        let refusal = refused(purge(&owner.token, ""), StatusCode::CONFLICT).await;
        assert_eq!(missing(&refusal), ["reason_required", "confirmation_required", "reauthentication_required"]);
        // A look says so before, with everything else, and what would make it better.
        for query in ["", "force=true&validate_only=true", "confirm=another&reason=%20"] {
            let look = expect(meant(&owner.token, query), StatusCode::OK).await;
            assert_eq!(missing(&look), ["reason_required", "confirmation_required", "reauthentication_required", "approval_required"], "{query}");
            assert_eq!((&look["count"], &look["outcomes"]), (&json!(1), &json!({"deleted": 1, "blocked": 1})));
            let calls: Vec<&Json> = look["blockers"].as_array().unwrap().iter().map(|blocker| &blocker["call"]).collect();
            let path = format!("/api/organizations/{}/customers:purge?force=true", organization.id);
            assert_eq!(calls[..2], [&json!({"method": "POST", "path": format!("{path}&reason=")}), &json!({"method": "POST", "path": format!("{path}&confirm=")})]);
            assert_eq!((&calls[2]["path"], calls[3]), (&json!("/api/auth/sign-in"), &Json::Null));
            assert_eq!(look["sample"], json!(["approved"]));
            assert!(look["blockers"][3]["detail"].as_str().unwrap().ends_with("would stay: 1."), "{look}");
        }
        let fresh = server.sign_in(&owner.email, None).await;
        let look = meant(&fresh, &format!("reason=Moved&confirm={}", organization.slug));
        assert_eq!(missing(&expect(look, StatusCode::OK).await), ["approval_required"]);
        // Who lists one who was approved lacks nothing.
        let path = format!("/api/organizations/{}/customers:purge?reason=Moved&confirm={}", organization.id, organization.slug);
        let look = server.request(Method::POST, &path).bearer_auth(&fresh).header("content-type", "text/csv").body("approved");
        assert_eq!(expect(look, StatusCode::OK).await["blockers"], json!([]));
        // The owner who approved of it would need another owner's approval for a purge of their own.
        let own = server.sign_in(&second.email, None).await;
        assert_eq!(expect(meant(&own, "reason=Moved"), StatusCode::OK).await["outcomes"], json!({"blocked": 2}));
        // The terminal says it before anybody has to confirm.
        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &fresh);
        let said = shell.run("customers purge --all --force --yes 1 --reason Moved").await;
        let (shown, refused) = said.err.split_once("They cannot be deleted now.").unwrap_or_else(|| panic!("{said:?}"));
        assert!(shown.contains("would stay: 1. Another owner"), "{said:?}");
        assert!(said.code != 0 && refused.contains("for its slug") && !refused.contains("Another owner"), "{said:?}");
        let said = format!("&reason=Moved&confirm={}", organization.slug);
        let ordered = expect(purge(&fresh, &said), StatusCode::ACCEPTED).await;
        server.wait_for_completion(ordered["id"].as_str().unwrap(), &fresh).await;
        // Each customer needs an approval of its own.
        let items = format!("/api/deletions/{}/items", ordered["id"].as_str().unwrap());
        let items = expect(server.request(Method::GET, &items).bearer_auth(&fresh), StatusCode::OK).await;
        let outcomes: Vec<(&str, &Json)> =
            items["data"].as_array().unwrap().iter().map(|item| (item["outcome"].as_str().unwrap(), &item["blockers"][0]["code"])).collect();
        assert_eq!(outcomes, [("deleted", &Json::Null), ("blocked", &json!("approval_required"))]);
    }
}
