//! Invitations that are sent again, and those whose time has passed.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect};
use crate::tools::{change_database, deleted, entries, refused};

async fn invite(server: &Server, organization: &Organization, email: &str) -> Json {
    invite_as(server, organization, email, &organization.owner.token).await
}

async fn invite_as(server: &Server, organization: &Organization, email: &str, token: &str) -> Json {
    let path = format!("/api/organizations/{}/members/invite", organization.id);
    expect(server.request(Method::POST, &path).bearer_auth(token).json(&json!({"email": email})), StatusCode::CREATED).await
}

fn accept(server: &Server, invitation: &Json, person: &Person) -> RequestBuilder {
    server.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token).json(&json!({"token": invitation["token"]}))
}

async fn statuses(server: &Server, organization: &Organization) -> Vec<Json> {
    let list = entries(server, &format!("/api/organizations/{}/invites", organization.id), &organization.owner.token).await;
    list.into_iter().map(|invitation| invitation["status"].clone()).collect()
}

on_both_engines! {
    async fn inviting_the_same_address_again_replaces_the_earlier_invitation(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        let other = invite(&server, &organization, "other@example.org").await;
        let first = invite(&server, &organization, &person.email).await;
        let second = invite(&server, &organization, &person.email.to_uppercase()).await;
        assert_eq!(statuses(&server, &organization).await, ["pending", "cancelled", "pending"]);
        refused(accept(&server, &first, &person), StatusCode::NOT_FOUND).await;
        refused(accept(&server, &other, &person), StatusCode::NOT_FOUND).await;
        expect(accept(&server, &second, &person), StatusCode::OK).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), &organization.owner.token).await;
        let entry = trail.iter().find(|entry| entry["action"] == "invitation.cancel").unwrap();
        assert_eq!((&entry["subjectId"], entry["deletionId"].is_string()), (&first["id"], true));
    }

    async fn of_many_invitations_of_one_address_at_once_one_is_left(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let inviters = [&organization.owner.token, &admin.token].into_iter().cycle().take(8);
        let invitations = inviters.map(|token| invite_as(&server, &organization, &person.email, token));
        let sent = futures_util::future::join_all(invitations).await;
        let statuses = statuses(&server, &organization).await;
        assert_eq!(statuses.iter().filter(|status| *status == "pending").count(), 1, "{statuses:?}");
        let mut accepted = 0;
        for invitation in &sent {
            accepted += usize::from(accept(&server, invitation, &person).send().await.unwrap().status() == StatusCode::OK);
        }
        assert_eq!(accepted, 1);
    }

    async fn an_invitation_past_its_end_is_shown_as_expired_and_a_new_one_does_not_cancel_it(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        let first = invite(&server, &organization, &person.email).await;
        change_database(&server, "UPDATE invitations SET expires_at = created_at").await;
        assert_eq!(statuses(&server, &organization).await, ["expired"]);
        refused(accept(&server, &first, &person), StatusCode::NOT_FOUND).await;
        let second = invite(&server, &organization, &person.email).await;
        assert_eq!(statuses(&server, &organization).await, ["pending", "expired"]);
        let path = format!("/api/organizations/{}/invites/{}", organization.id, first["id"].as_str().unwrap());
        deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        assert_eq!(statuses(&server, &organization).await, ["pending", "cancelled"]);
        expect(accept(&server, &second, &person), StatusCode::OK).await;
        assert_eq!(statuses(&server, &organization).await, ["accepted", "cancelled"]);
    }
}
