//! Approvals: whose count, for what, how long, and once.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{approve, approving, ask, missing, two_owners, withdrawing};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{Cast, OTHER_ROLES, UNKNOWN_ID, answered, change_database, deleted, entries, new_customer, refused};

/// Tries to delete a customer whose deletion has no approval that counts.
async fn unapproved(server: &Server, organization: &Organization, customer: &str, token: &str) {
    let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
    let refusal = refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::CONFLICT).await;
    assert_eq!(missing(&refusal), ["approval_required"]);
}

on_both_engines! {
    async fn another_owner_approves_and_it_is_written_down(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        unapproved(&server, &organization, "user123", owner).await;
        let approval = expect(approving(&server, &organization, "/customers/user123", &second.token), StatusCode::CREATED).await;
        assert_eq!((&approval["subject"], &approval["subjectLabel"]), (&json!("customer"), &json!("user123")));
        let path = format!("/api/organizations/{}/deletion-approvals", organization.id);
        assert_eq!(entries(&server, &path, owner).await, std::slice::from_ref(&approval));
        let plan = format!("/api/organizations/{}/customers/user123/deletion-plan", organization.id);
        let plan = expect(server.request(Method::GET, &plan).bearer_auth(owner), StatusCode::OK).await;
        assert_eq!(plan["blockers"], json!([]));
        // An owner's approval of their own deletion does not count.
        unapproved(&server, &organization, "user123", &second.token).await;
        let delete = format!("/api/organizations/{}/customers/user123", organization.id);
        deleted(server.request(Method::DELETE, &delete).bearer_auth(owner), StatusCode::NO_CONTENT).await;
        assert_eq!(entries(&server, &path, owner).await, Vec::<Json>::new());
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), owner).await;
        let entry = |action: &str| trail.iter().find(|entry| entry["action"] == action && entry["outcome"] == "done").unwrap();
        let (id, by) = (approval["id"].as_str().unwrap(), approval["approvedBy"].as_str().unwrap());
        assert_eq!(entry("customer.delete")["detail"], format!("approval {id} by the user {by}"));
        assert_eq!((&entry("deletion.approve")["actorId"], &entry("deletion.approve")["detail"]), (&json!(by), &json!(format!("approval {id}"))));
    }

    async fn an_approval_that_came_after_the_plan_is_nothing_the_plan_did_not_say(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}, "organization": {"approvalRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        for place in ["/customers/user123", ""] {
            let path = format!("/api/organizations/{}{place}", organization.id);
            let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan")).bearer_auth(owner), StatusCode::OK).await;
            approve(&server, &organization, place, &second.token).await;
            let bound = format!("{path}?plan={}", plan["plan"].as_str().unwrap());
            deleted(server.request(Method::DELETE, &bound).bearer_auth(owner), StatusCode::NO_CONTENT).await;
        }
    }

    async fn an_approval_is_used_once(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        approve(&server, &organization, "/customers/user123", &second.token).await;
        // Two are no more than one.
        let (third, _) = server.new_member(&organization, "owner").await;
        approve(&server, &organization, "/customers/user123", &third.token).await;
        let delete = |query: &str| server.request(Method::DELETE, &format!("/customer/user123{query}")).bearer_auth(owner);
        deleted(delete(""), StatusCode::OK).await;
        // It was softly deleted with it, and is not erased with it.
        assert_eq!(missing(&refused(delete("?hard=true"), StatusCode::CONFLICT).await), ["approval_required"]);
        approve(&server, &organization, "/customers/user123", &second.token).await;
        deleted(delete("?hard=true"), StatusCode::OK).await;
        // A customer who has the id after that has no approval.
        new_customer(&server, &organization, "user123", None).await;
        unapproved(&server, &organization, "user123", owner).await;
    }

    async fn an_approval_is_used_up_when_the_deletion_is_ordered_however_long_that_takes(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        approve(&server, &organization, "/customers/user123", &second.token).await;
        let path = format!("/api/organizations/{}/deletion-approvals", organization.id);
        // It erases nothing before its export is there.
        let deletion = deleted(server.request(Method::DELETE, "/customer/user123?export=true").bearer_auth(owner), StatusCode::OK).await;
        assert_eq!(entries(&server, &path, owner).await, Vec::<Json>::new());
        let hard = server.request(Method::DELETE, "/customer/user123?hard=true").bearer_auth(owner);
        assert_eq!(missing(&refused(hard, StatusCode::CONFLICT).await), ["approval_required"]);
        server.wait_for_completion(&deletion, owner).await;
    }

    async fn a_refused_deletion_uses_no_approval(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true, "reasonRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        approve(&server, &organization, "/customers/user123", &second.token).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let refusal = refused(server.request(Method::DELETE, &path).bearer_auth(owner), StatusCode::CONFLICT).await;
        assert_eq!(missing(&refusal), ["reason_required"]);
        deleted(server.request(Method::DELETE, &format!("{path}?reason=Moved")).bearer_auth(owner), StatusCode::NO_CONTENT).await;
    }

    async fn what_has_ended_or_is_about_something_else_does_not_count(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        for customer in ["user123", "user124"] {
            new_customer(&server, &organization, customer, None).await;
        }
        // Of another customer, of the organization, of its requirements.
        for place in ["/customers/user124", "", "requirements"] {
            approve(&server, &organization, place, &second.token).await;
        }
        unapproved(&server, &organization, "user123", owner).await;
        let withdrawn = approve(&server, &organization, "/customers/user123", &second.token).await;
        answered(withdrawing(&server, &organization, &withdrawn, owner), StatusCode::NO_CONTENT).await;
        refused(withdrawing(&server, &organization, &withdrawn, owner), StatusCode::NOT_FOUND).await;
        unapproved(&server, &organization, "user123", owner).await;
        approve(&server, &organization, "/customers/user123", &second.token).await;
        change_database(&server, "UPDATE deletion_approvals SET expires_at = created_at").await;
        unapproved(&server, &organization, "user123", owner).await;
        let path = format!("/api/organizations/{}/deletion-approvals", organization.id);
        assert_eq!(entries(&server, &path, owner).await, Vec::<Json>::new());
    }

    async fn an_approval_counts_while_its_maker_is_an_owner(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let (_, _) = server.new_member(&organization, "owner").await;
        let owner = &organization.owner.token;
        ask(&server, &organization, json!({"customer": {"approvalRequired": true}})).await;
        new_customer(&server, &organization, "user123", None).await;
        approve(&server, &organization, "/customers/user123", &second.token).await;
        let members = entries(&server, &format!("/api/organizations/{}/members", organization.id), owner).await;
        let second_member = members.iter().find(|member| member["email"] == second.email.as_str()).unwrap()["id"].as_str().unwrap();
        let path = format!("/api/organizations/{}/members/{second_member}", organization.id);
        let role = |role: &str| server.request(Method::PUT, &format!("{path}/role")).bearer_auth(owner).json(&json!({"role": role}));
        answered(role("admin"), StatusCode::OK).await;
        unapproved(&server, &organization, "user123", owner).await;
        answered(role("owner"), StatusCode::OK).await;
        deleted(server.request(Method::DELETE, &path).bearer_auth(owner), StatusCode::NO_CONTENT).await;
        server.add_member(&organization, &second, "owner").await;
        // It was given by a member who is no longer there.
        unapproved(&server, &organization, "user123", owner).await;
    }

    async fn approvals_of_other_organizations_do_not_count_and_are_not_shown(server: Server) {
        let (organization, second) = two_owners(&server).await;
        let (other, their_second) = two_owners(&server).await;
        for tenant in [&organization, &other] {
            ask(&server, tenant, json!({"customer": {"approvalRequired": true}})).await;
            new_customer(&server, tenant, "user123", None).await;
        }
        let theirs = approve(&server, &other, "/customers/user123", &their_second.token).await;
        unapproved(&server, &organization, "user123", &organization.owner.token).await;
        refused(approving(&server, &organization, "/customers/user123", &their_second.token), StatusCode::FORBIDDEN).await;
        refused(withdrawing(&server, &organization, &theirs, &second.token), StatusCode::NOT_FOUND).await;
        refused(withdrawing(&server, &other, &theirs, &second.token), StatusCode::FORBIDDEN).await;
        for place in [format!("/members/{UNKNOWN_ID}"), "/customers/nobody".into()] {
            refused(approving(&server, &organization, &place, &second.token), StatusCode::NOT_FOUND).await;
        }
        // An owner of both has approved of the one in the other alone.
        server.add_member(&organization, &their_second, "owner").await;
        unapproved(&server, &organization, "user123", &organization.owner.token).await;
    }

    async fn only_owners_who_have_signed_in_approve(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        new_customer(&server, organization, "user123", Some(cast.member("reseller"))).await;
        let places = [String::new(), "/customers/user123".into(), format!("/members/{}", cast.member("viewer")), "requirements".into()];
        let path = format!("/api/organizations/{}/deletion-approvals", organization.id);
        let (_, key) = server.new_api_key(organization, cast.token("owner"), &["admin:all"]).await;
        for place in &places {
            let approval = approve(&server, organization, place, cast.token("owner")).await;
            for role in OTHER_ROLES {
                refused(approving(&server, organization, place, cast.token(role)), StatusCode::FORBIDDEN).await;
                refused(withdrawing(&server, organization, &approval, cast.token(role)), StatusCode::FORBIDDEN).await;
            }
            let (client, request) = approving(&server, organization, place, "").build_split();
            let mut request = request.unwrap();
            request.headers_mut().remove("authorization");
            request.headers_mut().insert("X-API-Key", key.parse().unwrap());
            assert_eq!(client.execute(request).await.unwrap().status(), StatusCode::FORBIDDEN);
        }
        for role in OTHER_ROLES {
            let status = if role == "admin" { StatusCode::OK } else { StatusCode::FORBIDDEN };
            answered(server.request(Method::GET, &path).bearer_auth(cast.token(role)), status).await;
        }
        // A later one takes the place of an earlier one.
        let first = entries(&server, &path, cast.token("owner")).await;
        approve(&server, organization, "/customers/user123", cast.token("owner")).await;
        assert_eq!((first.len(), entries(&server, &path, cast.token("owner")).await.len()), (4, 4));
    }
}
