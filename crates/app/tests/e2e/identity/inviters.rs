//! No member gives more than they have now: roles that are given, taken and offered with a key of few scopes, and invitations whose inviter
//! has lost the right since.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect};

async fn invite(server: &Server, organization: &Organization, key: &str, email: &str, role: &str) -> (StatusCode, Json) {
    let path = format!("/api/organizations/{}/members/invite", organization.id);
    let answer = server.request(Method::POST, &path).header("X-API-Key", key).json(&json!({"email": email, "role": role})).send();
    let answer = answer.await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn status_of(server: &Server, organization: &Organization, invitation: &Json) -> String {
    let path = format!("/api/organizations/{}/invites", organization.id);
    let listed = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
    let one = listed["data"].as_array().unwrap().iter().find(|one| one["id"] == invitation["id"]).unwrap().clone();
    one["status"].as_str().unwrap().to_owned()
}

async fn accept(server: &Server, person: &Person, invitation: &Json) -> StatusCode {
    let body = json!({"token": invitation["token"]});
    server.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token).json(&body).send().await.unwrap().status()
}

on_both_engines! {
    async fn a_key_handles_only_roles_whose_scopes_it_has(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (_, narrow) = server.new_api_key(&organization, token, &["read:members", "write:members"]).await;
        let (_, wide) = server.new_api_key(&organization, token, &["admin:organization"]).await;
        for role in ["owner", "admin", "master", "member", "viewer"] {
            let (status, told) = invite(&server, &organization, &narrow, &format!("{role}@example.org"), role).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{role}: {told}");
            let (status, told) = invite(&server, &organization, &wide, &format!("{role}@example.org"), role).await;
            assert_eq!(status, StatusCode::CREATED, "{role}: {told}");
        }
        let (_, member) = server.new_member(&organization, "member").await;
        let (_, owner) = server.new_member(&organization, "owner").await;
        let path = |member: &str| format!("/api/organizations/{}/members/{member}", organization.id);
        for (member, role) in [(&member, "owner"), (&member, "viewer"), (&owner, "viewer")] {
            let change = server.request(Method::PUT, &format!("{}/role", path(member))).header("X-API-Key", &narrow);
            expect(change.json(&json!({"role": role})), StatusCode::FORBIDDEN).await;
        }
        // Who runs the organization is out of its reach; to take another role gives no rights.
        expect(server.request(Method::DELETE, &path(&owner)).header("X-API-Key", &narrow), StatusCode::FORBIDDEN).await;
        let look = format!("{}?validate_only=true", path(&owner));
        expect(server.request(Method::DELETE, &look).header("X-API-Key", &narrow), StatusCode::FORBIDDEN).await;
        expect(server.request(Method::DELETE, &path(&owner)).header("X-API-Key", &wide), StatusCode::NO_CONTENT).await;
        expect(server.request(Method::DELETE, &path(&member)).header("X-API-Key", &narrow), StatusCode::NO_CONTENT).await;
    }

    async fn an_invitation_is_good_while_its_inviter_could_still_give_its_role(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for loss in ["removal", "demotion", "revocation", "narrowing", "none"] {
            let (inviter, member) = server.new_member(&organization, "admin").await;
            let (key_id, key) = server.new_api_key(&organization, &inviter.token, &["admin:organization"]).await;
            let guest = server.new_person().await;
            let (status, invitation) = invite(&server, &organization, &key, &guest.email, "admin").await;
            assert_eq!(status, StatusCode::CREATED, "{invitation}");
            let at = |path: String| format!("/api/organizations/{}{path}", organization.id);
            match loss {
                "removal" => {
                    let path = at(format!("/members/{member}"));
                    expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
                }
                "demotion" => {
                    let change = server.request(Method::PUT, &at(format!("/members/{member}/role"))).json(&json!({"role": "member"}));
                    expect(change.bearer_auth(token), StatusCode::OK).await;
                }
                "revocation" => {
                    let path = at(format!("/api-keys/{key_id}"));
                    expect(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
                }
                "narrowing" => {
                    let change = server.request(Method::PATCH, &at(format!("/api-keys/{key_id}"))).json(&json!({"scopes": ["read:members"]}));
                    expect(change.bearer_auth(token), StatusCode::OK).await;
                }
                _ => {}
            }
            let (listed, accepted) = if loss == "none" { ("pending", StatusCode::OK) } else { ("revoked", StatusCode::CONFLICT) };
            assert_eq!(status_of(&server, &organization, &invitation).await, listed, "{loss}");
            assert_eq!(accept(&server, &guest, &invitation).await, accepted, "{loss}");
        }
    }

    async fn a_publishable_key_reads_the_public_profile_and_nothing_else(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}", organization.id);
        let new = server.request(Method::POST, &format!("{path}/api-keys")).json(&json!({"name": "Pages", "kind": "publishable"}));
        let key = expect(new.bearer_auth(&organization.owner.token), StatusCode::CREATED).await["key"].as_str().unwrap().to_owned();
        let profile = expect(server.request(Method::GET, &path).header("X-API-Key", &key), StatusCode::OK).await;
        assert_eq!((&profile["id"], &profile["slug"]), (&json!(organization.id), &json!(organization.slug)));
        for hidden in ["plan", "ownerId", "stripeCustomerId", "subscriptionStatus"] {
            assert_eq!(profile[hidden], Json::Null, "{hidden}");
        }
        let document = expect(server.request(Method::GET, "/openapi.json"), StatusCode::OK).await;
        let mut cells = 0;
        for (address, item) in document["paths"].as_object().unwrap() {
            let reads = item["get"].is_object() && !["anybody"].contains(&item["get"]["x-access"]["for"].as_str().unwrap());
            if !reads || address.ends_with("/organizations/{id}") {
                continue;
            }
            let filled: Vec<&str> = address
                .split('/')
                .map(|part| match part {
                    "{organizationId}" | "{org_id}" | "{organization_id}" => &organization.id,
                    part if part.starts_with('{') => crate::tools::UNKNOWN_ID,
                    part => part,
                })
                .collect();
            let answer = server.request(Method::GET, &filled.join("/")).header("X-API-Key", &key).send().await.unwrap();
            assert!(answer.status().is_client_error(), "{address}: {}", answer.status());
            cells += 1;
        }
        assert!(cells > 30, "{cells} operations");
        eprintln!("publishable key: {cells} operations refused");
    }
}
