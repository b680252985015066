//! Invitations: good for the invited address, once, for seven days.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect};
use crate::tools::{Cast, Credential, change_database, refused};

async fn invite(server: &Server, organization: &Organization, email: &str, role: &str) -> Json {
    let path = format!("/api/organizations/{}/members/invite", organization.id);
    let body = json!({"email": email, "role": role});
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await
}

fn accept(server: &Server, invitation: &Json, person: &Person) -> RequestBuilder {
    server.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token).json(&json!({"token": invitation["token"]}))
}

on_both_engines! {
    async fn it_lets_only_the_invited_address_in(server: Server) {
        let organization = server.new_organization().await;
        let (invited, other) = (server.new_person().await, server.new_person().await);
        let invitation = invite(&server, &organization, &invited.email.to_uppercase(), "viewer").await;
        assert_eq!(invitation["email"], invited.email.to_uppercase());
        for person in [&other, &organization.owner] {
            refused(accept(&server, &invitation, person), StatusCode::NOT_FOUND).await;
        }
        let anonymous = server.request(Method::POST, "/api/invites/accept").json(&json!({"token": invitation["token"]}));
        refused(anonymous, StatusCode::UNAUTHORIZED).await;
        let accepted = expect(accept(&server, &invitation, &invited), StatusCode::OK).await;
        assert_eq!(accepted["organizationId"], organization.id);
        expect(server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).bearer_auth(&invited.token), StatusCode::OK)
            .await;
    }

    async fn it_is_good_once(server: Server) {
        let organization = server.new_organization().await;
        let invited = server.new_person().await;
        let first = invite(&server, &organization, &invited.email, "viewer").await;
        let accepted = expect(accept(&server, &first, &invited), StatusCode::OK).await;
        refused(accept(&server, &first, &invited), StatusCode::NOT_FOUND).await;
        let member = format!("/api/organizations/{}/members/{}", organization.id, accepted["memberId"].as_str().unwrap());
        let leave = server.request(Method::DELETE, &member).bearer_auth(&invited.token);
        crate::tools::answered(leave, StatusCode::NO_CONTENT).await;
        refused(accept(&server, &first, &invited), StatusCode::NOT_FOUND).await;
    }

    async fn accepted_twice_at_once_it_makes_one_member(server: Server) {
        let organization = server.new_organization().await;
        for _ in 0..5 {
            let invited = server.new_person().await;
            let invitation = invite(&server, &organization, &invited.email, "viewer").await;
            let (one, two) = tokio::join!(accept(&server, &invitation, &invited).send(), accept(&server, &invitation, &invited).send());
            let mut statuses = [one.unwrap().status(), two.unwrap().status()];
            statuses.sort();
            assert_eq!(statuses, [StatusCode::OK, StatusCode::NOT_FOUND]);
        }
    }

    async fn it_ends_after_seven_days(server: Server) {
        let organization = server.new_organization().await;
        let invited = server.new_person().await;
        let invitation = invite(&server, &organization, &invited.email, "viewer").await;
        let time = |name: &str| invitation[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(time("expiresAt").duration_since(time("createdAt")), jiff::SignedDuration::from_hours(7 * 24));
        change_database(&server, "UPDATE invitations SET expires_at = created_at").await;
        refused(accept(&server, &invitation, &invited), StatusCode::NOT_FOUND).await;
    }

    async fn its_secret_is_shown_once(server: Server) {
        let organization = server.new_organization().await;
        let invitation = invite(&server, &organization, "new@example.com", "viewer").await;
        let path = format!("/api/organizations/{}/invites", organization.id);
        let list = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!((&list["data"][0]["id"], &list["data"][0]["status"]), (&invitation["id"], &json!("pending")));
        assert!(!list.to_string().contains(invitation["token"].as_str().unwrap()), "{list}");
    }

    async fn a_key_accepts_none(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        let invitation = invite(&server, &organization, &elsewhere.owner.email, "viewer").await;
        let (_, key) = server.new_api_key(&elsewhere, &elsewhere.owner.token, &["admin:all"]).await;
        let request = server.request(Method::POST, "/api/invites/accept").json(&json!({"token": invitation["token"]}));
        refused(Credential::Key(key).on(request), StatusCode::FORBIDDEN).await;
        expect(accept(&server, &invitation, &elsewhere.owner), StatusCode::OK).await;
    }

    async fn owners_and_admins_invite_and_only_owners_invite_owners(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/members/invite", cast.organization.id);
        let request = |role: &str, invited_as: &str| {
            let body = json!({"email": "new@example.com", "role": invited_as});
            server.request(Method::POST, &path).bearer_auth(cast.token(role)).json(&body)
        };
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(request(role, "viewer"), StatusCode::FORBIDDEN).await;
            refused(
                server.request(Method::GET, &format!("/api/organizations/{}/invites", cast.organization.id)).bearer_auth(cast.token(role)),
                StatusCode::FORBIDDEN,
            )
            .await;
        }
        for invited_as in ["admin", "master", "reseller", "member", "billing", "viewer", "manager"] {
            let status = if invited_as == "manager" { StatusCode::BAD_REQUEST } else { StatusCode::CREATED };
            crate::tools::answered(request("admin", invited_as), status).await;
        }
        let body = refused(request("admin", "owner"), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "Access denied. Only an owner can invite an owner.");
        expect(request("owner", "owner"), StatusCode::CREATED).await;
        let member = json!({"email": cast.email("viewer"), "role": "admin"});
        refused(server.request(Method::POST, &path).bearer_auth(cast.token("owner")).json(&member), StatusCode::CONFLICT).await;
    }
}
