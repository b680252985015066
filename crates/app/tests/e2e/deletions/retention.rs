//! What goes, what is kept, and what is free again: soft and hard deletion of customers, slugs after the completion, and what a removed member
//! leaves behind. The counts of a deletion's record say which rows were touched.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect};
use crate::tools::{Cast, deleted, new_customer, refused};

/// Gives a customer one of everything, two of those that a soft deletion drops.
async fn fill(server: &Server, organization: &Organization, customer: &str) {
    for (kind, body) in [
        ("subscriptions", json!({"plan": "basic", "status": "cancelled"})),
        ("transactions", json!({"amount": 1999, "currency": "EUR"})),
        ("devices", json!({"name": "Laptop"})),
        ("devices", json!({"name": "Phone"})),
        ("sessions", json!({"ipAddress": "192.0.2.7"})),
        ("sessions", json!({})),
        ("activity", json!({"kind": "signed_in"})),
    ] {
        server.new_dependant(organization, customer, kind, body).await;
    }
}

/// A completed deletion's counts.
async fn counts(server: &Server, deletion: &str, token: &str) -> Json {
    server.wait_for_completion(deletion, token).await["counts"].clone()
}

on_both_engines! {
    async fn a_soft_deletion_ends_sessions_and_devices_and_keeps_the_rest(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        fill(&server, &organization, "user123").await;
        let soft = deleted(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        assert_eq!(counts(&server, &soft, token).await, json!({"customer_sessions": 2, "devices": 2}));
        // Its id stays taken: what is kept is kept under it.
        let again = json!({"id": "user123", "name": "Ada", "email": "ada@example.com"});
        let path = format!("/api/organizations/{}/customers", organization.id);
        refused(server.request(Method::POST, &path).bearer_auth(token).json(&again), StatusCode::CONFLICT).await;
        refused(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::DELETE, &format!("{path}/user123")).bearer_auth(token), StatusCode::NOT_FOUND).await;
    }

    async fn a_hard_deletion_takes_what_a_soft_one_kept_and_frees_the_id(server: Server) {
        let cast = Cast::assemble(&server).await;
        let token = cast.token("owner");
        new_customer(&server, &cast.organization, "user123", Some(cast.member("reseller"))).await;
        fill(&server, &cast.organization, "user123").await;
        deleted(server.request(Method::DELETE, "/customer/user123").bearer_auth(cast.token("reseller")), StatusCode::OK).await;
        let hard = |role: &str| server.request(Method::DELETE, "/customer/user123?hard=true").bearer_auth(cast.token(role));
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            refused(hard(role), StatusCode::FORBIDDEN).await;
        }
        let deletion = deleted(hard("admin"), StatusCode::OK).await;
        let counts = counts(&server, &deletion, token).await;
        assert_eq!(
            (&counts["subscriptions"], &counts["transactions"], &counts["activity_entries"]),
            (&json!(1), &json!(1), &json!(1)),
            "{counts}"
        );
        assert_eq!((&counts["devices"], &counts["customer_sessions"]), (&Json::Null, &Json::Null), "{counts}");
        refused(hard("owner"), StatusCode::NOT_FOUND).await;
        new_customer(&server, &cast.organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123/subscriptions", cast.organization.id);
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["pagination"]["totalCount"], 0);
    }

    async fn a_permanent_deletion_takes_everything_at_once(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        for request in [server.request(Method::DELETE, &path), server.request(Method::DELETE, "/customer/user123?hard=true")] {
            new_customer(&server, &organization, "user123", None).await;
            fill(&server, &organization, "user123").await;
            let status = if request.try_clone().unwrap().build().unwrap().url().path().starts_with("/api") {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::OK
            };
            let deletion = deleted(request.bearer_auth(token), status).await;
            let wanted = json!({"activity_entries": 1, "customer_sessions": 2, "devices": 2, "transactions": 1, "subscriptions": 1});
            assert_eq!(counts(&server, &deletion, token).await, wanted);
        }
    }

    async fn the_slug_of_a_deleted_organization_is_free_after_the_completion(server: Server) {
        let first = server.new_organization().await;
        let second = server.new_person().await;
        let body = json!({"name": "Second", "slug": first.slug});
        let make = || server.request(Method::POST, "/api/organizations").bearer_auth(&second.token).json(&body);
        refused(make(), StatusCode::CONFLICT).await;
        let path = format!("/api/organizations/{}", first.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(&first.owner.token), StatusCode::NO_CONTENT).await;
        server.wait_for_completion(&deletion, &first.owner.token).await;
        let made = expect(make(), StatusCode::CREATED).await;
        assert_ne!(made["id"], first.id);
        // The organization that had the slug before is a stranger to the one that has it now.
        let by_slug = server.request(Method::GET, &format!("/api/organizations/{}", first.slug));
        refused(by_slug.bearer_auth(&first.owner.token), StatusCode::FORBIDDEN).await;
    }

    async fn an_organization_with_much_in_it_goes_in_the_background_and_frees_its_slug_too(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let activity = json!({"kind": "signed_in"});
        for _ in 0..11 {
            join_all((0..50).map(|_| server.new_dependant(&organization, "user123", "activity", activity.clone()))).await;
        }
        let path = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!(
            (&record["counts"]["activity_entries"], &record["counts"]["customers"], &record["counts"]["members"]),
            (&json!(550), &json!(1), &json!(1))
        );
        assert!(record["batches"].as_i64().unwrap() >= 2 && record["longestBatchMicros"].as_i64().unwrap() > 0, "{record}");
        let body = json!({"name": "Again", "slug": organization.slug});
        expect(server.request(Method::POST, "/api/organizations").bearer_auth(token).json(&body), StatusCode::CREATED).await;
    }

    async fn customers_outlive_the_member_who_made_them_and_their_invitations_are_listed_and_good_no_more(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (admin, member) = server.new_member(&organization, "admin").await;
        let invited = server.new_person().await;
        new_customer(&server, &organization, "user123", Some(&member)).await;
        let path = format!("/api/organizations/{}", organization.id);
        let invite = server.request(Method::POST, &format!("{path}/members/invite")).json(&json!({"email": invited.email}));
        let invitation = expect(invite.bearer_auth(&admin.token), StatusCode::CREATED).await;
        let deletion =
            deleted(server.request(Method::DELETE, &format!("{path}/members/{member}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        assert_eq!(counts(&server, &deletion, token).await, json!({"customers": 1, "invitations": 1}));
        let customer = expect(server.request(Method::GET, &format!("{path}/customers/user123")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(customer["managedBy"], Json::Null);
        let listed = expect(server.request(Method::GET, &format!("{path}/invites")).bearer_auth(token), StatusCode::OK).await;
        let states: Vec<&Json> = listed["data"].as_array().unwrap().iter().filter(|one| one["id"] == invitation["id"]).map(|one| &one["status"]).collect();
        assert_eq!(states, ["revoked"]);
        let accept = server.request(Method::POST, "/api/invites/accept").json(&json!({"token": invitation["token"]}));
        expect(accept.bearer_auth(&invited.token), StatusCode::CONFLICT).await;
    }
}
