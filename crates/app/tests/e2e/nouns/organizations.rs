//! Organizations, their members and their people, on both surfaces that show them.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, is_like, refused};

fn names(object: &Json) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

on_both_engines! {
    async fn an_organization_is_spelled_in_camel_case_with_uuids_on_the_organizations_api(server: Server) {
        let owner = server.new_person().await;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&owner.token), StatusCode::OK).await;
        assert_eq!(names(&me), ["id", "email", "name", "metadata"]);
        let body = json!({"name": "Acme", "slug": "acme", "logo": "https://example.com/logo.png"});
        let made =
            expect(server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
        let spelled = [
            "id",
            "name",
            "slug",
            "logo",
            "plan",
            "ownerId",
            "stripeCustomerId",
            "subscriptionStatus",
            "metadata",
            "archivedAt",
            "createdAt",
            "updatedAt",
        ];
        assert_eq!(names(&made), spelled);
        assert_eq!((&made["name"], &made["slug"], &made["logo"]), (&body["name"], &body["slug"], &body["logo"]));
        assert_eq!((&made["plan"], &made["subscriptionStatus"], &made["stripeCustomerId"]), (&json!("free"), &json!("none"), &Json::Null));
        assert_eq!(made["ownerId"], me["id"]);
        assert!(uuid::Uuid::parse_str(made["id"].as_str().unwrap()).is_ok());
        for name in ["createdAt", "updatedAt"] {
            assert!(is_like(made[name].as_str().unwrap(), "9999-99-99T99:99:99.999Z"), "{made}");
        }
        for name in [made["id"].as_str().unwrap().to_owned(), "acme".to_owned(), short(made["id"].as_str().unwrap())] {
            let read = server.request(Method::GET, &format!("/api/organizations/{name}")).bearer_auth(&owner.token);
            assert_eq!(expect(read, StatusCode::OK).await, made);
        }
        let list = expect(server.request(Method::GET, "/api/organizations").bearer_auth(&owner.token), StatusCode::OK).await;
        assert_eq!(list["data"], json!([made]));
    }

    async fn an_organization_is_spelled_in_snake_case_with_short_ids_on_the_account_api(server: Server) {
        let owner = server.new_person().await;
        let body = json!({"name": "Acme", "slug": "acme"});
        let path = "/account/api/v1/organizations";
        let made = expect(server.request(Method::POST, path).bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
        let spelled = [
            "id",
            "name",
            "slug",
            "logo",
            "plan",
            "owner_id",
            "stripe_customer_id",
            "subscription_status",
            "metadata",
            "archived_at",
            "created_at",
            "updated_at",
        ];
        assert_eq!(names(&made), spelled);
        let id = made["id"].as_str().unwrap();
        assert_eq!((id.len(), made["owner_id"].as_str().unwrap().len()), (22, 22));
        let read = server.request(Method::GET, &format!("{path}/{id}")).bearer_auth(&owner.token);
        assert_eq!(expect(read, StatusCode::OK).await, made);
        let on_the_other = expect(server.request(Method::GET, "/api/organizations/acme").bearer_auth(&owner.token), StatusCode::OK).await;
        assert_eq!(short(on_the_other["id"].as_str().unwrap()), id);
        let who = expect(server.request(Method::GET, "/account/api/v1/whoami").bearer_auth(&owner.token), StatusCode::OK).await;
        assert_eq!(names(&who), ["user_id", "email", "organizations", "metadata", "api_key"]);
        assert_eq!((&who["email"], &who["organizations"]), (&json!(owner.email), &json!([{"id": id, "name": "Acme"}])));
    }

    async fn a_slug_can_be_had_once(server: Server) {
        let (first, second) = (server.new_person().await, server.new_person().await);
        let body = json!({"name": "Acme", "slug": "acme"});
        expect(server.request(Method::POST, "/api/organizations").bearer_auth(&first.token).json(&body), StatusCode::CREATED).await;
        for path in ["/api/organizations", "/account/api/v1/organizations"] {
            for person in [&first, &second] {
                refused(server.request(Method::POST, path).bearer_auth(&person.token).json(&body), StatusCode::CONFLICT).await;
            }
        }
        let requests = (0..8).map(|_| {
            server
                .request(Method::POST, "/api/organizations")
                .bearer_auth(&second.token)
                .json(&json!({"name": "Race", "slug": "race"}))
                .send()
        });
        let statuses: Vec<StatusCode> =
            futures_util::future::join_all(requests).await.into_iter().map(|answer| answer.unwrap().status()).collect();
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count(), 7, "{statuses:?}");
    }

    async fn a_slug_has_3_to_50_of_its_characters_and_reads_as_no_id(server: Server) {
        let person = server.new_person().await;
        let make = |name: &str, slug: &str| {
            server.request(Method::POST, "/api/organizations").bearer_auth(&person.token).json(&json!({"name": name, "slug": slug}))
        };
        for slug in
            ["ab", "", "Acme", "a b", "a_b", "ümlaut", "550e8400-e29b-41d4-a716-446655440000", "2222222222222222222222", &"a".repeat(51)]
        {
            let problem = refused(make("Acme", slug), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["code"], "invalid_slug", "{slug}");
        }
        for name in ["ab", "", &"x".repeat(101)] {
            refused(make(name, "acme"), StatusCode::BAD_REQUEST).await;
        }
        for (name, slug) in [("abc", "abc"), (&*"ü".repeat(100), &*"a-1".repeat(16)), ("Acme", "1234567890123456789012")] {
            expect(make(name, slug), StatusCode::CREATED).await;
        }
    }

    async fn members_bear_the_role_names_of_the_surface(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/members", cast.organization.id);
        let list = expect(server.request(Method::GET, &path).bearer_auth(cast.token("viewer")), StatusCode::OK).await;
        assert_eq!(names(&list["data"][0]), ["id", "userId", "email", "name", "role", "createdAt"]);
        let roles: Vec<&str> = list["data"].as_array().unwrap().iter().map(|member| member["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["owner", "admin", "master", "reseller", "member", "billing", "viewer"]);
        let path = format!("/account/api/v1/organizations/{}/members", short(&cast.organization.id));
        let list = expect(server.request(Method::GET, &path).bearer_auth(cast.token("viewer")), StatusCode::OK).await;
        assert_eq!(names(&list["data"][0]), ["id", "user_email", "user_name", "user_metadata", "role", "role_display"]);
        let text = |member: &Json, name: &str| member[name].as_str().unwrap().to_owned();
        let roles: Vec<(String, String)> =
            list["data"].as_array().unwrap().iter().map(|member| (text(member, "role"), text(member, "role_display"))).collect();
        let told = ["owner", "manager", "master", "reseller", "editor", "billing", "viewer"];
        let displayed = ["Owner", "Manager", "Master", "Reseller", "Editor", "Billing", "Viewer"];
        assert_eq!(roles, std::iter::zip(told, displayed).map(|(role, display)| (role.to_owned(), display.to_owned())).collect::<Vec<_>>());
        assert_eq!(list["data"][6]["id"], short(cast.member("viewer")));
        assert_eq!(list["data"][6]["user_email"], cast.email("viewer"));
        // A reseller sees customers, not colleagues.
        refused(server.request(Method::GET, &path).bearer_auth(cast.token("reseller")), StatusCode::FORBIDDEN).await;
    }

    async fn everybody_who_is_a_member_reads_the_organization(server: Server) {
        let cast = Cast::assemble(&server).await;
        for role in ["owner", "admin", "master", "reseller", "member", "billing", "viewer"] {
            for path in [
                format!("/api/organizations/{}", cast.organization.slug),
                format!("/account/api/v1/organizations/{}", short(&cast.organization.id)),
            ] {
                let read = expect(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::OK).await;
                assert_eq!(read["name"], "Test organization");
            }
        }
        refused(
            server.request(Method::GET, &format!("/api/organizations/{}", cast.organization.id)).bearer_auth(&cast.outsider.token),
            StatusCode::FORBIDDEN,
        )
        .await;
        refused(
            server
                .request(Method::GET, &format!("/account/api/v1/organizations/{}", cast.organization.id))
                .bearer_auth(&cast.outsider.token),
            StatusCode::NOT_FOUND,
        )
        .await;
    }
}
