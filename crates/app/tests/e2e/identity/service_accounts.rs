//! Service accounts: keys that are the organization's own, with a role of their own. They outlive who made them and are no persons.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};
use crate::tools::{answered, deleted, entries, refused};

/// What a request is signed with.
#[derive(Clone, Copy)]
enum With<'a> {
    Token(&'a str),
    Key(&'a Json),
}

fn ask(server: &Server, method: Method, path: &str, with: With<'_>) -> RequestBuilder {
    let request = server.request(method, path);
    match with {
        With::Token(token) => request.bearer_auth(token),
        With::Key(key) => request.header("X-API-Key", key["key"].as_str().unwrap()),
    }
}

fn at(organization: &Organization, place: &str) -> String {
    format!("/api/organizations/{}{place}", organization.id)
}

fn id(record: &Json) -> &str {
    record["id"].as_str().unwrap()
}

fn making(server: &Server, organization: &Organization, with: With<'_>, role: &str, scopes: &[&str]) -> RequestBuilder {
    let body = json!({"name": "Service account", "role": role, "scopes": scopes});
    ask(server, Method::POST, &at(organization, "/api-keys"), with).json(&body)
}

async fn make(server: &Server, organization: &Organization, with: With<'_>, role: &str, scopes: &[&str]) -> Json {
    expect(making(server, organization, with, role, scopes), StatusCode::CREATED).await
}

fn listing(server: &Server, organization: &Organization, key: &Json) -> RequestBuilder {
    ask(server, Method::GET, &at(organization, "/members"), With::Key(key))
}

on_both_engines! {
    async fn a_service_account_outlives_who_made_it_and_the_plan_and_the_trail_say_so(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        let (admin, member) = server.new_member(&organization, "admin").await;
        let service = make(&server, &organization, With::Token(&admin.token), "admin", &["admin:organization"]).await;
        assert_eq!((&service["role"], &service["memberId"], &service["madeBy"]), (&json!("admin"), &Json::Null, &Json::Null), "{service}");
        let body = json!({"name": "Acts as its member", "scopes": ["read:members"]});
        let own = expect(ask(&server, Method::POST, &at(&organization, "/api-keys"), With::Token(&admin.token)).json(&body), StatusCode::CREATED).await;
        assert_eq!((&own["role"], own["memberId"].as_str()), (&Json::Null, Some(member.as_str())));
        for key in [&service, &own] {
            answered(listing(&server, &organization, key), StatusCode::OK).await;
        }
        assert_eq!((service["createdBy"].as_str(), &own["createdBy"]), (Some(member.as_str()), &Json::Null));
        let removal = at(&organization, &format!("/members/{member}"));
        let plan = expect(ask(&server, Method::GET, &format!("{removal}/deletion-plan"), owner), StatusCode::OK).await;
        let of_keys = |fate: &str| {
            let tables = plan["tables"].as_array().unwrap().iter();
            tables.filter(|table| table["table"] == "api_keys" && table["fate"] == fate).map(|table| table["rows"].as_i64().unwrap()).sum::<i64>()
        };
        assert_eq!((of_keys("erased"), of_keys("redacted")), (1, 1), "{plan}");
        assert!(plan.to_string().contains("a service account is the organization's and outlives who made it"), "{plan}");
        let deletion = deleted(ask(&server, Method::DELETE, &removal, owner), StatusCode::NO_CONTENT).await;
        refused(listing(&server, &organization, &own), StatusCode::UNAUTHORIZED).await;
        answered(listing(&server, &organization, &service), StatusCode::OK).await;
        let record = server.wait_for_completion(&deletion, &organization.owner.token).await;
        assert!(record.to_string().contains("api_keys"), "{record}");
        let kept = ask(&server, Method::GET, &at(&organization, &format!("/api-keys/{}", id(&service))), owner);
        assert_eq!(expect(kept, StatusCode::OK).await["createdBy"], Json::Null);
        answered(listing(&server, &organization, &service), StatusCode::OK).await;
        // What it does is told as its own.
        let customer = ask(&server, Method::POST, &at(&organization, "/customers"), With::Key(&service));
        let customer = expect(customer.json(&json!({"name": "Ada", "email": "ada@example.com"})), StatusCode::CREATED).await;
        let deletion = deleted(ask(&server, Method::DELETE, &at(&organization, &format!("/customers/{}", id(&customer))), With::Key(&service)), StatusCode::NO_CONTENT).await;
        let record = expect(ask(&server, Method::GET, &format!("/api/deletions/{deletion}"), With::Key(&service)), StatusCode::OK).await;
        assert_eq!((&record["actor"], &record["actorId"]), (&json!("service_account"), &service["id"]), "{record}");
        let trail = entries(&server, &at(&organization, "/audit"), &organization.owner.token).await;
        let entry = trail.iter().find(|entry| entry["action"] == "customer.delete").unwrap();
        assert_eq!((&entry["actor"], &entry["actorId"]), (&json!("service_account"), &service["id"]), "{entry}");
    }

    async fn a_service_account_is_no_person(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        let service = make(&server, &organization, owner, "admin", &["admin:all"]).await;
        let with = With::Key(&service);
        let own = expect(ask(&server, Method::GET, "/api/organizations", with), StatusCode::OK).await;
        assert_eq!((own["data"].as_array().unwrap().len(), &own["data"][0]["id"]), (1, &json!(organization.id)));
        for path in ["/api/users/me", "/account/api/v1/whoami", "/account/api/v1/preferences", "/api/users/me/api-keys"] {
            refused(ask(&server, Method::GET, path, with), StatusCode::FORBIDDEN).await;
        }
        for (path, body) in [
            ("/api/organizations", json!({"name": "Founded", "slug": "founded-by-a-service"})),
            ("/api/oauth/apps", json!({"name": "App", "scopes": ["read:user"], "organizationId": organization.id})),
            ("/api/users/me/api-keys", json!({"name": "A person's"})),
            (&at(&organization, "/api-keys"), json!({"name": "A member's"})),
            (&at(&organization, "/deletion-approvals"), json!({"reason": "agreed"})),
        ] {
            refused(ask(&server, Method::POST, path, with).json(&body), StatusCode::FORBIDDEN).await;
        }
        refused(ask(&server, Method::PATCH, "/api/users/me", with).json(&json!({"name": "Ada"})), StatusCode::FORBIDDEN).await;
        refused(ask(&server, Method::DELETE, "/api/users/me", with), StatusCode::FORBIDDEN).await;
    }

    async fn a_service_account_gets_no_role_that_its_maker_could_not_give(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        for (role, kind) in [("owner", "organization"), ("reseller", "organization"), ("viewer", "publishable"), ("viewer", "user")] {
            let body = json!({"name": "Service account", "role": role, "kind": kind, "scopes": ["read:organization"]});
            let problem = refused(ask(&server, Method::POST, &at(&organization, "/api-keys"), owner).json(&body), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["field"], "role", "{problem}");
        }
        let (_, narrow) = server.new_api_key(&organization, &organization.owner.token, &["write:organization", "read:organization"]).await;
        let narrow = json!({"key": narrow});
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        let admin = make(&server, &organization, owner, "admin", &["read:members"]).await;
        let rotate = |key: &Json, with| ask(&server, Method::POST, &at(&organization, &format!("/api-keys/{}/rotate", id(key))), with).json(&json!({}));
        let change = |key: &Json, with, change| ask(&server, Method::PATCH, &at(&organization, &format!("/api-keys/{}", id(key))), with).json(&change);
        for with in [With::Key(&narrow), With::Token(&viewer.token)] {
            for role in ["admin", "master", "member", "billing", "viewer"] {
                refused(making(&server, &organization, with, role, &["read:organization"]), StatusCode::FORBIDDEN).await;
            }
            refused(rotate(&admin, with), StatusCode::FORBIDDEN).await;
            refused(change(&admin, with, json!({"name": "Renamed"})), StatusCode::FORBIDDEN).await;
        }
        // One that is wide makes others, which end with it.
        let wide = make(&server, &organization, owner, "admin", &["admin:organization"]).await;
        let child = make(&server, &organization, With::Key(&wide), "admin", &["read:members"]).await;
        assert_eq!(child["madeBy"], wide["id"]);
        answered(listing(&server, &organization, &child), StatusCode::OK).await;
        // What is narrower than it was asked for gives a key nothing: it cannot widen itself either.
        refused(change(&admin, With::Key(&admin), json!({"scopes": ["admin:organization"]})), StatusCode::FORBIDDEN).await;
        refused(change(&child, With::Key(&wide), json!({"scopes": ["admin:all"]})), StatusCode::BAD_REQUEST).await;
        deleted(ask(&server, Method::DELETE, &at(&organization, &format!("/api-keys/{}", id(&wide))), With::Key(&wide)), StatusCode::NO_CONTENT).await;
        refused(listing(&server, &organization, &child), StatusCode::UNAUTHORIZED).await;
        // A viewer's account does what viewers do, whatever its scopes are.
        let looking = make(&server, &organization, owner, "viewer", &["admin:all"]).await;
        answered(listing(&server, &organization, &looking), StatusCode::OK).await;
        refused(ask(&server, Method::GET, &at(&organization, "/api-keys"), With::Key(&looking)), StatusCode::FORBIDDEN).await;
    }

    async fn a_service_account_gets_a_new_secret_from_those_who_could_make_another(server: Server) {
        let organization = server.new_organization().await;
        let service = make(&server, &organization, With::Token(&organization.owner.token), "member", &["read:members"]).await;
        let (admin, _) = server.new_member(&organization, "admin").await;
        let rotate = ask(&server, Method::POST, &at(&organization, &format!("/api-keys/{}/rotate", id(&service))), With::Token(&admin.token));
        let rotated = expect(rotate.json(&json!({"overlapSeconds": 3_600})), StatusCode::OK).await;
        for key in [&service, &rotated] {
            answered(listing(&server, &organization, key), StatusCode::OK).await;
        }
        let path = at(&organization, &format!("/api-keys/{}", id(&service)));
        let (reader, _) = server.new_member(&organization, "viewer").await;
        refused(ask(&server, Method::DELETE, &path, With::Token(&reader.token)), StatusCode::FORBIDDEN).await;
        deleted(ask(&server, Method::DELETE, &path, With::Token(&admin.token)), StatusCode::NO_CONTENT).await;
        for key in [&service, &rotated] {
            refused(listing(&server, &organization, key), StatusCode::UNAUTHORIZED).await;
        }
    }

    async fn a_service_account_ends_with_its_organization(server: Server) {
        for ending in ["archive", "deletion"] {
            let organization = server.new_organization().await;
            let owner = With::Token(&organization.owner.token);
            let service = make(&server, &organization, owner, "admin", &["read:members"]).await;
            answered(listing(&server, &organization, &service), StatusCode::OK).await;
            match ending {
                "archive" => drop(answered(ask(&server, Method::POST, &at(&organization, "/archive"), owner), StatusCode::OK).await),
                _ => drop(deleted(ask(&server, Method::DELETE, &at(&organization, ""), owner), StatusCode::NO_CONTENT).await),
            }
            refused(listing(&server, &organization, &service), StatusCode::UNAUTHORIZED).await;
        }
    }

    async fn an_approval_does_not_count_for_a_service_account_since_its_giver_may_hold_the_key(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        server.new_member(&organization, "owner").await;
        let asked = ask(&server, Method::PUT, &at(&organization, "/deletion-requirements"), owner);
        answered(asked.json(&json!({"customer": {"approvalRequired": true}})), StatusCode::OK).await;
        let service = make(&server, &organization, owner, "admin", &["admin:organization"]).await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let place = format!("/customers/{customer}");
        let approve = ask(&server, Method::POST, &at(&organization, &format!("{place}/deletion-approvals")), owner);
        answered(approve.json(&json!({"reason": "agreed"})), StatusCode::CREATED).await;
        let problem = refused(ask(&server, Method::DELETE, &at(&organization, &place), With::Key(&service)), StatusCode::CONFLICT).await;
        assert!(problem.to_string().contains("approval_required"), "{problem}");
        let purge = ask(&server, Method::POST, &at(&organization, "/customers:purge?force=true"), With::Key(&service));
        let answer = purge.header("Content-Type", "text/csv").body(format!("{customer}\n")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        server.wait_for_completion(header(&answer, "deletion-id"), &organization.owner.token).await;
        answered(ask(&server, Method::GET, &at(&organization, &place), owner), StatusCode::OK).await;
    }

    async fn an_invitation_ends_with_the_key_that_made_its_inviters_key(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        let maker = make(&server, &organization, owner, "admin", &["admin:organization"]).await;
        let made = make(&server, &organization, With::Key(&maker), "admin", &["admin:organization"]).await;
        let guest = server.new_person().await;
        let body = json!({"email": guest.email, "role": "viewer"});
        let invited = ask(&server, Method::POST, &at(&organization, "/members/invite"), With::Key(&made)).json(&body);
        let invited = expect(invited, StatusCode::CREATED).await;
        deleted(ask(&server, Method::DELETE, &at(&organization, &format!("/api-keys/{}", id(&maker))), owner), StatusCode::NO_CONTENT).await;
        let accept = ask(&server, Method::POST, "/api/invites/accept", With::Token(&guest.token)).json(&json!({"token": invited["token"]}));
        refused(accept, StatusCode::CONFLICT).await;
    }

    async fn an_invitation_and_a_purge_are_good_that_a_persons_own_key_or_a_service_account_ordered(server: Server) {
        let organization = server.new_organization().await;
        let owner = With::Token(&organization.owner.token);
        let body = json!({"name": "My key", "scopes": ["admin:organization"]});
        let personal = expect(ask(&server, Method::POST, "/api/users/me/api-keys", owner).json(&body), StatusCode::CREATED).await;
        let service = make(&server, &organization, owner, "admin", &["admin:organization"]).await;
        for (name, key) in [("personal", &personal), ("service", &service)] {
            let guest = server.new_person().await;
            let body = json!({"email": guest.email, "role": "viewer"});
            let invited = ask(&server, Method::POST, &at(&organization, "/members/invite"), With::Key(key)).json(&body);
            let invited = expect(invited, StatusCode::CREATED).await;
            let accept = ask(&server, Method::POST, "/api/invites/accept", With::Token(&guest.token)).json(&json!({"token": invited["token"]}));
            answered(accept, StatusCode::OK).await;
            let customer = server.new_customer(&organization, &organization.owner.token).await;
            let purge = ask(&server, Method::POST, &at(&organization, "/customers:purge?force=true"), With::Key(key));
            let answer = purge.header("Content-Type", "text/csv").body(format!("{customer}\n")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{name}");
            server.wait_for_completion(header(&answer, "deletion-id"), &organization.owner.token).await;
            refused(ask(&server, Method::GET, &at(&organization, &format!("/customers/{customer}")), owner), StatusCode::NOT_FOUND).await;
            // It ends with what it was ordered with.
            let body = json!({"email": server.new_person().await.email, "role": "viewer"});
            let invited = expect(ask(&server, Method::POST, &at(&organization, "/members/invite"), With::Key(key)).json(&body), StatusCode::CREATED).await;
            let path = match name {
                "personal" => format!("/api/users/me/api-keys/{}", id(key)),
                _ => at(&organization, &format!("/api-keys/{}", id(key))),
            };
            let ended = ask(&server, Method::DELETE, &path, owner).send().await.unwrap();
            assert!(ended.status().is_success(), "{name}");
            let listed = entries(&server, &at(&organization, "/invites"), &organization.owner.token).await;
            let status = listed.iter().find(|one| one["id"] == invited["id"]).map(|one| one["status"].clone());
            assert_eq!(status, Some(json!("revoked")), "{name}");
        }
    }
}
