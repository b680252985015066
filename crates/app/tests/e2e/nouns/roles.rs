//! Roles of members: who changes them, that a change counts at once for all that the member holds, and that an owner stays.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, Credential, Session, UNKNOWN_ID, answered, entries, refused};

fn change(server: &Server, organization: &Organization, member: &str, role: &str, token: &str) -> RequestBuilder {
    let path = format!("/api/organizations/{}/members/{member}/role", organization.id);
    server.request(Method::PUT, &path).bearer_auth(token).json(&json!({"role": role}))
}

fn change_on_account(server: &Server, organization: &Organization, member: &str, role: &str, token: &str) -> RequestBuilder {
    let path = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(member));
    server.request(Method::PUT, &path).bearer_auth(token).json(&json!({"role": role}))
}

on_both_engines! {
    async fn a_role_is_changed_and_read_on_both_surfaces_by_their_names(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (person, member) = server.new_member(&organization, "viewer").await;
        let changed = expect(change(&server, &organization, &member, "admin", token), StatusCode::OK).await;
        assert_eq!((&changed["id"], &changed["email"], &changed["role"]), (&json!(member), &json!(person.email), &json!("admin")));
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await, changed);
        let changed = expect(change_on_account(&server, &organization, &member, "editor", token), StatusCode::OK).await;
        assert_eq!((&changed["id"], &changed["role"], &changed["role_display"]), (&json!(short(&member)), &json!("editor"), &json!("Editor")));
        let path = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(&member));
        assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await, changed);
        refused(change(&server, &organization, &member, "manager", token), StatusCode::BAD_REQUEST).await;
        refused(change_on_account(&server, &organization, &member, "king", token), StatusCode::UNPROCESSABLE_ENTITY).await;
        refused(change(&server, &organization, UNKNOWN_ID, "viewer", token), StatusCode::NOT_FOUND).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let details: Vec<&Json> = trail
            .iter()
            .filter(|entry| entry["action"] == "member.change_role" && entry["outcome"] == "done")
            .map(|entry| &entry["detail"])
            .collect();
        assert_eq!(details, ["from admin to member", "from viewer to admin"]);
    }

    async fn an_invitation_through_the_account_api_is_accepted_like_any_other(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        let path = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let body = json!({"email": person.email, "role": "manager"});
        let invitation =
            expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        assert_eq!((&invitation["role"], &invitation["status"]), (&json!("manager"), &json!("invited")));
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token);
        expect(accept.json(&json!({"token": invitation["token"]})), StatusCode::OK).await;
        let list = server.request(Method::GET, &format!("{path}?role=manager")).bearer_auth(&person.token);
        assert_eq!(expect(list, StatusCode::OK).await["data"][0]["user_email"], person.email);
    }

    async fn owners_and_admins_change_roles_and_only_owners_make_and_unmake_owners(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(change(&server, organization, cast.member("viewer"), "member", cast.token(role)), StatusCode::FORBIDDEN).await;
        }
        refused(change(&server, organization, cast.member("viewer"), "member", &cast.outsider.token), StatusCode::FORBIDDEN).await;
        refused(change_on_account(&server, organization, cast.member("viewer"), "editor", &cast.outsider.token), StatusCode::NOT_FOUND).await;
        expect(change(&server, organization, cast.member("viewer"), "billing", cast.token("admin")), StatusCode::OK).await;
        for (member, role) in [("viewer", "owner"), ("admin", "owner"), ("owner", "viewer")] {
            let problem = refused(change(&server, organization, cast.member(member), role, cast.token("admin")), StatusCode::FORBIDDEN).await;
            assert_eq!(problem["detail"], "Access denied. Only an owner can make or unmake an owner.", "{member} to {role}");
        }
        expect(change(&server, organization, cast.member("admin"), "owner", cast.token("owner")), StatusCode::OK).await;
        expect(change(&server, organization, cast.member("owner"), "viewer", cast.token("admin")), StatusCode::OK).await;
        let scopes = ["read:members", "read:organization"];
        let (_, key) = server.new_api_key(organization, cast.token("admin"), &scopes).await;
        let path = format!("/api/organizations/{}/members/{}/role", organization.id, cast.member("viewer"));
        let by_key = server.request(Method::PUT, &path).header("X-API-Key", key).json(&json!({"role": "viewer"}));
        refused(by_key, StatusCode::FORBIDDEN).await;
    }

    async fn the_last_owner_is_demoted_on_no_path(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        server.new_member(&organization, "admin").await;
        let list = entries(&server, &format!("/api/organizations/{}/members", organization.id), token).await;
        let own = list[0]["id"].as_str().unwrap();
        for request in
            [change(&server, &organization, own, "admin", token), change_on_account(&server, &organization, own, "manager", token)]
        {
            let problem = refused(request, StatusCode::CONFLICT).await;
            assert_eq!((&problem["blockers"][0]["code"], problem["blockers"].as_array().unwrap().len()), (&json!("last_owner"), 1));
        }
        // To be what one is already is no change.
        expect(change(&server, &organization, own, "owner", token), StatusCode::OK).await;
    }

    async fn a_change_counts_at_once_for_every_session_and_key_of_the_member(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        let bound = Session::begin(&server, &person.email, Some(&organization.slug)).await;
        let (_, key) = server.new_api_key(&organization, &person.token, &["admin:all"]).await;
        let credentials = [
            Credential::Bearer(person.token.clone()),
            Credential::Bearer(bound.token.clone()),
            Credential::Cookie(bound.cookie.clone()),
            Credential::Key(key),
        ];
        let keys = format!("/api/organizations/{}/api-keys", organization.id);
        let customers = format!("/api/organizations/{}/customers", organization.id);
        for (role, status) in [("viewer", StatusCode::FORBIDDEN), ("admin", StatusCode::OK), ("reseller", StatusCode::FORBIDDEN)] {
            expect(change(&server, &organization, &member, role, &organization.owner.token), StatusCode::OK).await;
            for credential in &credentials {
                answered(credential.on(server.request(Method::GET, &keys)), status).await;
                // None of them has ended.
                answered(credential.on(server.request(Method::GET, &customers)), StatusCode::OK).await;
            }
        }
    }

    async fn who_is_made_a_reseller_sees_their_own_customers_only(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "admin").await;
        crate::tools::new_customer(&server, &organization, "own", Some(&member)).await;
        crate::tools::new_customer(&server, &organization, "of-nobody", None).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let seen = || entries(&server, &path, &person.token);
        assert_eq!(seen().await.len(), 2);
        expect(change(&server, &organization, &member, "reseller", &organization.owner.token), StatusCode::OK).await;
        assert_eq!(seen().await.iter().map(|one| one["id"].clone()).collect::<Vec<_>>(), ["own"]);
    }
}
