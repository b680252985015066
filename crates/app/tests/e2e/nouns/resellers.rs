//! A master invites, lists and removes resellers only. A person who is invited through the account API looks like a member.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, deleted, entries, refused};

on_both_engines! {
    async fn a_master_invites_lists_and_removes_resellers_only(server: Server) {
        let cast = Cast::assemble(&server).await;
        let base = format!("/api/organizations/{}/members", cast.organization.id);
        let master = cast.token("master");
        let invite = |role: &str, token: &str| {
            let body = json!({"email": format!("{role}@example.org"), "role": role});
            server.request(Method::POST, &format!("{base}/invite")).bearer_auth(token).json(&body)
        };
        for role in ["owner", "admin", "master", "member", "billing", "viewer"] {
            refused(invite(role, master), StatusCode::FORBIDDEN).await;
        }
        assert_eq!(expect(invite("reseller", master), StatusCode::CREATED).await["role"], "reseller");
        for role in ["reseller", "member", "billing", "viewer"] {
            refused(invite("reseller", cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        let reseller = cast.member("reseller").to_owned();
        let listed = entries(&server, &format!("{base}?role=reseller"), master).await;
        assert_eq!(listed.iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(), [reseller.as_str()]);
        for role in ["owner", "admin", "member", "billing", "viewer"] {
            let path = format!("{base}/{}", cast.member(role));
            refused(server.request(Method::DELETE, &path).bearer_auth(master), StatusCode::FORBIDDEN).await;
            refused(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(master), StatusCode::FORBIDDEN).await;
        }
        let path = format!("{base}/{reseller}");
        for role in ["member", "billing", "viewer"] {
            refused(server.request(Method::DELETE, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        refused(server.request(Method::PUT, &format!("{path}/role")).bearer_auth(master).json(&json!({"role": "member"})), StatusCode::FORBIDDEN).await;
        expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(master), StatusCode::OK).await;
        deleted(server.request(Method::DELETE, &path).bearer_auth(master), StatusCode::NO_CONTENT).await;
        assert!(entries(&server, &format!("{base}?role=reseller"), master).await.is_empty());
    }

    async fn who_is_invited_through_the_account_api_looks_like_a_member(server: Server) {
        let organization = server.new_organization().await;
        let known = server.new_person().await;
        for email in [known.email.as_str(), "stranger@example.com"] {
            let path = format!("/account/api/v1/organizations/{}/members", organization.id);
            let request = server.request(Method::POST, &path).bearer_auth(&organization.owner.token);
            let invited = expect(request.json(&json!({"email": email, "role": "manager"})), StatusCode::CREATED).await;
            let told = (&invited["user_email"], &invited["user_name"], &invited["user_metadata"]);
            // Whether the address has an account here is not told.
            assert_eq!(told, (&json!(email), &json!(email.split('@').next().unwrap()), &json!({})));
            assert_eq!((&invited["role"], &invited["role_display"], &invited["status"]), (&json!("manager"), &json!("Manager"), &json!("invited")));
            assert_eq!(invited["id"].as_str().unwrap().len(), 22);
            if email == known.email {
                let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&known.token);
                expect(accept.json(&json!({"token": invited["token"]})), StatusCode::OK).await;
            }
        }
    }
}
