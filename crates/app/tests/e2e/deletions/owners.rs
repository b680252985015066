//! An organization always keeps an owner, on every path and however many of them go at the same moment.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Person, Server, expect, short};
use crate::tools::{answered, entries, refused};

/// The memberships of an organization's owners.
async fn owners(server: &Server, organization: &Organization, token: &str) -> Vec<String> {
    let members = entries(server, &format!("/api/organizations/{}/members", organization.id), token).await;
    members.iter().filter(|member| member["role"] == "owner").map(|member| member["id"].as_str().unwrap().to_owned()).collect()
}

fn removal(server: &Server, organization: &Organization, member: &str, token: &str) -> RequestBuilder {
    server.request(Method::DELETE, &format!("/api/organizations/{}/members/{member}", organization.id)).bearer_auth(token)
}

/// An organization of the first person, with the second as its second owner. Returns both memberships in that order.
async fn organization_of(server: &Server, first: &Person, second: &Person) -> (Organization, [String; 2]) {
    let slug = format!("org-{}", uuid::Uuid::new_v4().simple());
    let body = json!({"name": "Of two owners", "slug": &slug});
    let made = expect(server.request(Method::POST, "/api/organizations").bearer_auth(&first.token).json(&body), StatusCode::CREATED).await;
    let organization = Organization { id: made["id"].as_str().unwrap().to_owned(), slug, owner: first.clone() };
    let own = owners(server, &organization, &first.token).await.remove(0);
    let other = server.add_member(&organization, second, "owner").await;
    (organization, [own, other])
}

on_both_engines! {
    async fn the_last_owner_can_neither_leave_nor_be_removed(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        server.new_member(&organization, "admin").await;
        let own = owners(&server, &organization, token).await.remove(0);
        let (_, key) = server.new_api_key(&organization, token, &["admin:all"]).await;
        let account = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(&own));
        let requests = [
            removal(&server, &organization, &own, token),
            server.request(Method::DELETE, &account).bearer_auth(token),
            server.request(Method::DELETE, &account).header("X-API-Key", &key),
        ];
        for request in requests {
            let body = refused(request, StatusCode::CONFLICT).await;
            assert_eq!(body["blockers"].as_array().unwrap().len(), 1);
            assert_eq!(body["blockers"][0]["code"], "last_owner");
        }
        assert_eq!(owners(&server, &organization, token).await, [own]);
    }

    async fn of_two_owners_one_can_leave_or_be_removed(server: Server) {
        let (first, second) = (server.new_person().await, server.new_person().await);
        let (organization, [own, _]) = organization_of(&server, &first, &second).await;
        answered(removal(&server, &organization, &own, &first.token), StatusCode::NO_CONTENT).await;
        assert_eq!(owners(&server, &organization, &second.token).await.len(), 1);
        let (organization, [own, other]) = organization_of(&server, &first, &second).await;
        answered(removal(&server, &organization, &other, &first.token), StatusCode::NO_CONTENT).await;
        refused(removal(&server, &organization, &own, &first.token), StatusCode::CONFLICT).await;
    }

    async fn an_invited_owner_counts_only_once_the_invitation_is_accepted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let invited = server.new_person().await;
        let own = owners(&server, &organization, token).await.remove(0);
        let path = format!("/api/organizations/{}/members/invite", organization.id);
        let invite = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"email": invited.email, "role": "owner"}));
        let invitation = expect(invite, StatusCode::CREATED).await;
        refused(removal(&server, &organization, &own, token), StatusCode::CONFLICT).await;
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&invited.token);
        expect(accept.json(&json!({"token": invitation["token"]})), StatusCode::OK).await;
        answered(removal(&server, &organization, &own, token), StatusCode::NO_CONTENT).await;
    }

    async fn two_owners_who_leave_at_once_leave_exactly_one_behind(server: Server) {
        let (first, second) = (server.new_person().await, server.new_person().await);
        for _ in 0..20 {
            let (organization, [own, other]) = organization_of(&server, &first, &second).await;
            let (one, two) = tokio::join!(
                removal(&server, &organization, &own, &first.token).send(),
                removal(&server, &organization, &other, &second.token).send()
            );
            let outcomes = [one.unwrap().status(), two.unwrap().status()];
            let (stayed, staying) = if outcomes[0] == StatusCode::CONFLICT { (&first, own) } else { (&second, other) };
            assert!(outcomes.contains(&StatusCode::CONFLICT) && outcomes.contains(&StatusCode::NO_CONTENT), "{outcomes:?}");
            assert_eq!(owners(&server, &organization, &stayed.token).await, [staying]);
        }
    }

    async fn two_owners_who_remove_each_other_at_once_leave_exactly_one_behind(server: Server) {
        let (first, second) = (server.new_person().await, server.new_person().await);
        for _ in 0..20 {
            let (organization, [own, other]) = organization_of(&server, &first, &second).await;
            let (one, two) = tokio::join!(
                removal(&server, &organization, &other, &first.token).send(),
                removal(&server, &organization, &own, &second.token).send()
            );
            let outcomes = [one.unwrap().status(), two.unwrap().status()];
            let removed = outcomes.iter().filter(|status| **status == StatusCode::NO_CONTENT).count();
            assert_eq!(removed, 1, "{outcomes:?}");
            let (stayed, staying) = if outcomes[0] == StatusCode::NO_CONTENT { (&first, own) } else { (&second, other) };
            assert_eq!(owners(&server, &organization, &stayed.token).await, [staying]);
        }
    }
}
