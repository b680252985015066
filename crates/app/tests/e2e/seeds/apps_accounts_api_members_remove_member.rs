//! Seed 003: `DELETE /account/api/v1/organizations/{org_id}/members/{member_id}` of the account API.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, Credential, OTHER_ROLES, Session, UNAUTHORIZED, UNKNOWN_ID, answered, refused};

/// The alphabet of the document's pattern.
const ALPHABET: &str = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

const NOT_FOUND: &str = "The requested resource was not found.";

fn path(organization: &str, member: &str) -> String {
    format!("/account/api/v1/organizations/{organization}/members/{member}")
}

on_both_engines! {
    async fn the_documents_request_is_answered_with_200(server: Server) {
        let organization = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "member").await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:members"]).await;
        let (organization_id, member_id) = (short(&organization.id), short(&member));
        for id in [&organization_id, &member_id] {
            assert!(id.len() == 22 && id.chars().all(|character| ALPHABET.contains(character)), "{id}");
        }
        let request = server.request(Method::DELETE, &path(&organization_id, &member_id)).header("X-API-Key", &key);
        let answer = answered(request, StatusCode::OK).await;
        assert!(answer.json::<Json>().await.unwrap().is_object());
        let organization = format!("/account/api/v1/organizations/{organization_id}");
        refused(server.request(Method::GET, &organization).bearer_auth(&person.token), StatusCode::NOT_FOUND).await;
    }

    async fn an_oauth_bearer_and_the_session_cookie_are_as_good(server: Server) {
        let organization = server.new_organization().await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        for credential in [Credential::Bearer(session.token), Credential::Cookie(session.cookie)] {
            let (_, member) = server.new_member(&organization, "viewer").await;
            let request = server.request(Method::DELETE, &path(&short(&organization.id), &short(&member)));
            answered(credential.on(request), StatusCode::OK).await;
        }
    }

    async fn ids_may_be_shortuuids_or_uuids(server: Server) {
        let organization = server.new_organization().await;
        let ids = [organization.id.clone(), short(&organization.id)];
        for (place, id) in ids.iter().enumerate() {
            let (_, member) = server.new_member(&organization, "viewer").await;
            let member = if place == 0 { short(&member) } else { member };
            let request = server.request(Method::DELETE, &path(id, &member)).bearer_auth(&organization.owner.token);
            answered(request, StatusCode::OK).await;
        }
    }

    async fn the_ids_of_the_list_are_the_ids_to_delete_by(server: Server) {
        let organization = server.new_organization().await;
        let (person, _) = server.new_member(&organization, "viewer").await;
        let list = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let members = expect(server.request(Method::GET, &list).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let viewer = members["data"].as_array().unwrap().iter().find(|member| member["user_email"] == person.email).unwrap();
        let request = server.request(Method::DELETE, &format!("{list}/{}", viewer["id"].as_str().unwrap()));
        answered(request.bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let left = expect(server.request(Method::GET, &list).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!(left["pagination"]["total_count"], 1);
    }

    async fn without_a_good_credential_it_is_401(server: Server) {
        let organization = server.new_organization().await;
        let (_, member) = server.new_member(&organization, "member").await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:members"]).await;
        let path = path(&short(&organization.id), &short(&member));
        // A right checksum under a made-up body, a wrong checksum under the right one, and no key at all.
        let made_up = "csb_00000000000000000000000000000000_a0f292d0".to_owned();
        let mistyped = format!("{}0", &key[..key.len() - 1]);
        let mistyped = if mistyped == key { format!("{}1", &key[..key.len() - 1]) } else { mistyped };
        for key in [made_up, mistyped, key.to_uppercase(), key.replacen("csb_", "csu_", 1), String::new()] {
            let body = refused(server.request(Method::DELETE, &path).header("X-API-Key", &key), StatusCode::UNAUTHORIZED).await;
            assert_eq!(body["detail"], UNAUTHORIZED);
        }
        refused(server.request(Method::DELETE, &path), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::DELETE, &path).header("Cookie", "sessionid="), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::DELETE, &path).bearer_auth("nonsense"), StatusCode::UNAUTHORIZED).await;
    }

    async fn only_owners_and_admins_may_remove_others(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = short(&cast.organization.id);
        let (_, someone) = server.new_member(&cast.organization, "viewer").await;
        let remove = |member: &str, token: &str| server.request(Method::DELETE, &path(&organization, &short(member))).bearer_auth(token);
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            let body = refused(remove(&someone, cast.token(role)), StatusCode::FORBIDDEN).await;
            assert_eq!(body["detail"], "Access denied. Your role in this organization does not allow this.");
        }
        answered(remove(&someone, cast.token("admin")), StatusCode::OK).await;
        for role in OTHER_ROLES {
            answered(remove(cast.member(role), cast.token("owner")), StatusCode::OK).await;
        }
    }

    async fn an_admin_removes_admins_but_no_owner(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (_, second_admin) = server.new_member(&cast.organization, "admin").await;
        let (_, second_owner) = server.new_member(&cast.organization, "owner").await;
        let remove = |member: &str| {
            server.request(Method::DELETE, &path(&short(&cast.organization.id), &short(member))).bearer_auth(cast.token("admin"))
        };
        for owner in [cast.member("owner"), second_owner.as_str()] {
            let body = refused(remove(owner), StatusCode::FORBIDDEN).await;
            assert_eq!(body["detail"], "Access denied. Only an owner can remove an owner.");
        }
        answered(remove(&second_admin), StatusCode::OK).await;
    }

    async fn anyone_may_leave(server: Server) {
        let cast = Cast::assemble(&server).await;
        for role in OTHER_ROLES {
            let request = server.request(Method::DELETE, &path(&short(&cast.organization.id), &short(cast.member(role))));
            answered(request.bearer_auth(cast.token(role)), StatusCode::OK).await;
        }
    }

    async fn an_outsider_does_not_learn_that_the_organization_exists(server: Server) {
        let organization = server.new_organization().await;
        let outsider = server.new_organization().await.owner;
        let (_, member) = server.new_member(&organization, "member").await;
        let request = |organization: &str| server.request(Method::DELETE, &path(&short(organization), &short(&member)));
        let existing = refused(request(&organization.id).bearer_auth(&outsider.token), StatusCode::NOT_FOUND).await;
        let unknown = refused(request(UNKNOWN_ID).bearer_auth(&outsider.token), StatusCode::NOT_FOUND).await;
        for body in [existing, unknown] {
            let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names, ["type", "title", "status", "detail", "error_code", "retryable", "timestamp", "request_id"]);
            assert_eq!((&body["title"], &body["status"], &body["detail"]), (&json!("Not Found"), &json!(404), &json!(NOT_FOUND)));
        }
    }

    async fn a_membership_that_is_not_there_is_404(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        let (person, member) = server.new_member(&organization, "member").await;
        let (_, foreign) = server.new_member(&elsewhere, "member").await;
        let token = &organization.owner.token;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await;
        // The user's id is not the membership's.
        for id in [UNKNOWN_ID, foreign.as_str(), me["id"].as_str().unwrap()] {
            let request = server.request(Method::DELETE, &path(&short(&organization.id), &short(id)));
            let body = refused(request.bearer_auth(token), StatusCode::NOT_FOUND).await;
            assert_eq!(body["detail"], NOT_FOUND);
        }
        let request = || server.request(Method::DELETE, &path(&short(&organization.id), &short(&member))).bearer_auth(token);
        answered(request(), StatusCode::OK).await;
        refused(request(), StatusCode::NOT_FOUND).await;
    }

    async fn an_id_of_another_form_is_422(server: Server) {
        let organization = server.new_organization().await;
        let good = short(&organization.id);
        for bad in ["2", "222222222222222222222", "22222222222222222222222", "zzzzzzzzzzzzzzzzzzzzzz", "0000000000000000000000", "acme"] {
            for (path, field) in [(path(bad, &good), "org_id"), (path(&good, bad), "member_id")] {
                let request = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token);
                let body = refused(request, StatusCode::UNPROCESSABLE_ENTITY).await;
                assert_eq!((&body["errors"][0]["field"], &body["errors"][0]["code"]), (&json!(field), &json!("invalid_id")));
            }
        }
    }

    async fn the_last_owner_is_409_with_the_remedy(server: Server) {
        let organization = server.new_organization().await;
        let list = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let members = expect(server.request(Method::GET, &list).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let owner = members["data"][0]["id"].as_str().unwrap();
        let request = server.request(Method::DELETE, &format!("{list}/{owner}")).bearer_auth(&organization.owner.token);
        let body = refused(request, StatusCode::CONFLICT).await;
        let blocker = &body["blockers"][0];
        assert_eq!((&blocker["code"], &blocker["kind"], &blocker["id"]), (&json!("last_owner"), &json!("member"), &json!(owner)));
        assert!(blocker["remedy"].as_str().unwrap().contains("owner"), "{body}");
    }

    async fn a_key_needs_the_scope(server: Server) {
        let organization = server.new_organization().await;
        let (_, member) = server.new_member(&organization, "member").await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:members", "write:customers"]).await;
        let request = server.request(Method::DELETE, &path(&short(&organization.id), &short(&member))).header("X-API-Key", key);
        let body = refused(request, StatusCode::FORBIDDEN).await;
        assert_eq!(body["detail"], "Access denied. This credential lacks the scope write:members.");
    }

    async fn the_organizations_api_removes_members_too(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/members/{}", cast.organization.slug, cast.member("viewer"));
        refused(server.request(Method::DELETE, &path), StatusCode::UNAUTHORIZED).await;
        let body = refused(server.request(Method::DELETE, &path).bearer_auth(&cast.outsider.token), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "User is not a member of this organization.");
        refused(server.request(Method::DELETE, &path).bearer_auth(cast.token("member")), StatusCode::FORBIDDEN).await;
        answered(server.request(Method::DELETE, &path).bearer_auth(cast.token("admin")), StatusCode::NO_CONTENT).await;
        let body = refused(server.request(Method::DELETE, &path).bearer_auth(cast.token("admin")), StatusCode::NOT_FOUND).await;
        assert_eq!(body["message"], "Member not found.");
    }
}
