//! Archived organizations and customers: nothing but credentials is lost, nothing changes, access can be taken away, and they come back as
//! they were.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, Server, expect, short};
use crate::tools::{Cast, answered, deleted, new_customer, refused};

/// Archives or unarchives an organization as its owner.
async fn set(server: &Server, organization: &Organization, verb: &str) -> serde_json::Value {
    let path = format!("/api/organizations/{}/{verb}", organization.id);
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await
}

on_both_engines! {
    async fn an_owner_archives_and_unarchives_and_doing_so_twice_changes_nothing(server: Server) {
        let organization = server.new_organization().await;
        let archived = set(&server, &organization, "archive").await;
        assert!(archived["archivedAt"].is_string(), "{archived}");
        assert_eq!(set(&server, &organization, "archive").await, archived);
        let path = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let read = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        assert_eq!(read["archived_at"], archived["archivedAt"]);
        let back = set(&server, &organization, "unarchive").await;
        assert!(back["archivedAt"].is_null(), "{back}");
        assert_eq!(set(&server, &organization, "unarchive").await, back);
    }

    async fn only_an_owner_archives(server: Server) {
        let cast = Cast::assemble(&server).await;
        for verb in ["archive", "unarchive"] {
            let path = format!("/api/organizations/{}/{verb}", cast.organization.id);
            for role in crate::tools::OTHER_ROLES {
                let problem = refused(server.request(Method::POST, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
                assert_eq!(problem["detail"], "Access denied. Only the organization owner can archive or unarchive the organization.");
            }
            refused(server.request(Method::POST, &path).bearer_auth(&cast.outsider.token), StatusCode::FORBIDDEN).await;
            refused(server.request(Method::POST, &path), StatusCode::UNAUTHORIZED).await;
        }
    }

    async fn nothing_is_made_or_changed_in_an_archive(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let device = server.new_dependant(&organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let (_, member) = server.new_member(&organization, "member").await;
        let invited = server.new_person().await;
        let invite = server.request(Method::POST, &format!("/api/organizations/{}/members/invite", organization.id));
        let invitation = expect(invite.bearer_auth(token).json(&json!({"email": invited.email})), StatusCode::CREATED).await;
        set(&server, &organization, "archive").await;
        let one = format!("/api/organizations/{}", organization.id);
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let person = json!({"name": "Ada", "email": "new@example.com"});
        let writes = [
            (Method::PUT, one.clone(), json!({"name": "Other"})),
            (Method::PUT, account.clone(), json!({"name": "Other"})),
            (Method::POST, format!("{one}/transfer"), json!({"memberId": member})),
            (Method::POST, format!("{one}/members/invite"), json!({"email": "new@example.com"})),
            (Method::POST, format!("{account}/members"), json!({"email": "new@example.com"})),
            (Method::PUT, format!("{one}/members/{member}/role"), json!({"role": "viewer"})),
            (Method::PUT, format!("{account}/members/{member}"), json!({"role": "viewer"})),
            (Method::POST, format!("{one}/customers"), person.clone()),
            (Method::PUT, format!("{one}/customers/user123"), json!({"name": "Other"})),
            (Method::PATCH, format!("{one}/customers/user123"), json!({"name": "Other"})),
            (Method::POST, format!("{one}/customers/user123/devices"), json!({"name": "Phone"})),
            (Method::PATCH, format!("{one}/customers/user123/devices/{device}"), json!({"name": "Phone"})),
            (Method::POST, "/customer".into(), person),
            (Method::PATCH, "/customer/user123".into(), json!({"name": "Other"})),
            (Method::PATCH, "/customer/extend/user123".into(), json!({"credits": 1})),
            (Method::PATCH, "/customer/addscreen/user123".into(), json!({"passId": "pass"})),
            (Method::POST, format!("{one}/api-keys"), json!({"name": "Test key"})),
        ];
        for (method, path, body) in writes {
            let problem = refused(server.request(method.clone(), &path).bearer_auth(token).json(&body), StatusCode::CONFLICT).await;
            let words = "This organization is archived and read-only: an owner can unarchive it.";
            assert_eq!(problem["detail"], words, "{method} {path}");
        }
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&invited.token);
        refused(accept.json(&json!({"token": invitation["token"]})), StatusCode::CONFLICT).await;
        set(&server, &organization, "unarchive").await;
        let accept = server.request(Method::POST, "/api/invites/accept").bearer_auth(&invited.token);
        expect(accept.json(&json!({"token": invitation["token"]})), StatusCode::OK).await;
    }

    async fn customers_of_an_archive_are_read_and_kept_from_deletion_on_every_surface(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        set(&server, &organization, "archive").await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        for path in [path.clone(), "/customer/user123".into(), "/customer/user123?hard=true".into()] {
            refused(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::CONFLICT).await;
        }
        for path in [path.clone(), format!("{path}/devices"), "/customer/user123".into(), "/customer".into()] {
            answered(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        }
        let trail = format!("/api/organizations/{}/audit", organization.id);
        let trail = expect(server.request(Method::GET, &trail).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&trail["data"][0]["action"], &trail["data"][0]["outcome"]), (&json!("customer.delete"), &json!("blocked")));
        set(&server, &organization, "unarchive").await;
        deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn what_opens_an_organization_ends_when_it_is_archived_and_does_not_come_back(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (_, key) = server.new_api_key(&organization, token, &["read:organization"]).await;
        let app = server.new_oauth_app(&organization, token, &["read:organization"]).await;
        let granted = server.new_oauth_token(&app).await;
        let one = format!("/api/organizations/{}", organization.id);
        let by_key = || server.request(Method::GET, &one).header("X-API-Key", &key);
        let by_token = || server.request(Method::GET, &one).bearer_auth(&granted.access);
        answered(by_key(), StatusCode::OK).await;
        answered(by_token(), StatusCode::OK).await;
        set(&server, &organization, "archive").await;
        refused(by_key(), StatusCode::UNAUTHORIZED).await;
        refused(by_token(), StatusCode::UNAUTHORIZED).await;
        set(&server, &organization, "unarchive").await;
        refused(by_key(), StatusCode::UNAUTHORIZED).await;
        refused(by_token(), StatusCode::UNAUTHORIZED).await;
        let form = [("grant_type", "client_credentials"), ("client_id", &app.client_id), ("client_secret", &app.secret)];
        answered(server.form("/oauth2/token", &form), StatusCode::UNAUTHORIZED).await;
        // The app is there all the same, and the member who made it gives it a new secret.
        let rotate = server.request(Method::POST, &format!("/api/oauth/apps/{}/secret", app.client_id)).bearer_auth(token);
        let rotated = expect(rotate, StatusCode::OK).await;
        let app = OauthApp { secret: rotated["clientSecret"].as_str().unwrap().to_owned(), ..app };
        server.new_oauth_token(&app).await;
    }

    async fn an_archived_customer_is_read_only_until_it_is_unarchived(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let entry = server.new_dependant(&organization, "user123", "activity", json!({"kind": "signed_in"})).await;
        for (kind, body) in [("devices", json!({"name": "Laptop"})), ("sessions", json!({"ipAddress": "192.0.2.1"}))] {
            server.new_dependant(&organization, "user123", kind, body).await;
        }
        let one = format!("/api/organizations/{}/customers/user123", organization.id);
        let change = async |verb: &str| {
            expect(server.request(Method::POST, &format!("{one}/{verb}")).bearer_auth(token), StatusCode::OK).await
        };
        let archived = change("archive").await;
        assert!(archived["archivedAt"].is_string(), "{archived}");
        assert_eq!(change("archive").await, archived);
        let writes = [
            (Method::PUT, one.clone(), json!({"name": "Other"})),
            (Method::PATCH, one.clone(), json!({"name": "Other"})),
            (Method::POST, format!("{one}/devices"), json!({"name": "Phone"})),
            (Method::PATCH, format!("{one}/activity/{entry}"), json!({"message": "Other"})),
            (Method::PATCH, "/customer/user123".into(), json!({"name": "Other"})),
            (Method::PATCH, "/customer/extend/user123".into(), json!({"credits": 1})),
            (Method::PATCH, "/customer/addscreen/user123".into(), json!({"passId": "pass"})),
        ];
        for (method, path, body) in writes {
            let problem = refused(server.request(method.clone(), &path).bearer_auth(token).json(&body), StatusCode::CONFLICT).await;
            let words = "This customer is archived and read-only: unarchive it with POST …/customers/{customerId}/unarchive.";
            assert_eq!(problem["detail"], words, "{method} {path}");
        }
        for (kind, left) in [("activity", 1), ("devices", 0), ("sessions", 0)] {
            let list = expect(server.request(Method::GET, &format!("{one}/{kind}")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(list["data"].as_array().unwrap().len(), left, "{kind}");
        }
        let back = change("unarchive").await;
        assert!(back["archivedAt"].is_null(), "{back}");
        assert_eq!(change("unarchive").await, back);
        expect(server.request(Method::PATCH, &one).bearer_auth(token).json(&json!({"name": "Other"})), StatusCode::OK).await;
        change("archive").await;
        deleted(server.request(Method::DELETE, &one).bearer_auth(token), StatusCode::NO_CONTENT).await;
    }

    async fn only_those_who_may_archive_a_customer_do(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "user123", None).await;
        for role in crate::tools::OTHER_ROLES {
            for verb in ["archive", "unarchive"] {
                let path = format!("/api/organizations/{}/customers/user123/{verb}", cast.organization.id);
                let request = server.request(Method::POST, &path).bearer_auth(cast.token(role));
                match role {
                    "admin" | "master" => drop(answered(request, StatusCode::OK).await),
                    _ => drop(refused(request, StatusCode::FORBIDDEN).await),
                }
            }
        }
    }

    async fn access_to_an_archive_can_be_taken_away_and_the_archive_be_deleted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (person, member) = server.new_member(&organization, "admin").await;
        let invite = server.request(Method::POST, &format!("/api/organizations/{}/members/invite", organization.id));
        let invitation = expect(invite.bearer_auth(token).json(&json!({"email": "guest@example.org"})), StatusCode::CREATED).await;
        set(&server, &organization, "archive").await;
        let one = format!("/api/organizations/{}", organization.id);
        answered(server.request(Method::GET, &one).bearer_auth(&person.token), StatusCode::OK).await;
        let invitation = invitation["id"].as_str().unwrap();
        for path in [format!("{one}/members/{member}"), format!("{one}/invites/{invitation}"), one.clone()] {
            deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        }
        refused(server.request(Method::GET, &one).bearer_auth(&person.token), StatusCode::NOT_FOUND).await;
    }
}
