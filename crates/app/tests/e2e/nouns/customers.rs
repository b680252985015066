//! Customers and what they own, and how far a reseller's eyes reach.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, answered, new_customer, refused};

on_both_engines! {
    async fn a_customer_comes_back_as_it_was_given(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let body = json!({
            "id": "user123", "name": "Ada Lovelace 🦆", "email": "Ada@example.com", "phone": "+44 20", "taxId": "GB123",
            "address": {"city": "London", "zip code": "N1"}, "metadata": {"tier": "gold"}
        });
        let made = expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let spelled: Vec<&str> = made.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = [
            "id",
            "organizationId",
            "name",
            "email",
            "phone",
            "taxId",
            "address",
            "metadata",
            "managedBy",
            "expiresAt",
            "screens",
            "archivedAt",
            "createdAt",
            "updatedAt",
        ];
        assert_eq!(spelled, wanted);
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(made[name], *value, "{name}");
        }
        assert_eq!((&made["organizationId"], &made["managedBy"]), (&json!(organization.id), &Json::Null));
        for path in [format!("{path}/user123"), "/customer/user123".to_owned()] {
            assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await, made);
        }
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["data"], json!([made]));
    }

    async fn a_customer_without_an_id_gets_one_and_needs_little_else(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let body = json!({"legalName": "Ada Ltd", "email": "ada@example.com"});
        let make = || server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body);
        let (first, second) = (expect(make(), StatusCode::CREATED).await, expect(make(), StatusCode::CREATED).await);
        let id = first["id"].as_str().unwrap();
        assert!(id.len() == 24 && id.bytes().all(|character| character.is_ascii_hexdigit()), "{id}");
        assert_ne!(first["id"], second["id"]);
        assert_eq!(
            (&first["name"], &first["address"], &first["metadata"], &first["phone"]),
            (&json!("Ada Ltd"), &json!({}), &json!({}), &Json::Null)
        );
    }

    async fn a_name_that_is_given_twice_is_checked_twice(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let make = |body: Json| server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body);
        for wrong in ["\u{9b}", "", &"x".repeat(201)] {
            let body = json!({"id": "user123", "name": "Ada", "legalName": wrong, "email": "ada@example.com"});
            let problem = refused(make(body), StatusCode::BAD_REQUEST).await;
            assert_eq!(problem["errors"][0]["field"], "legalName", "{problem}");
        }
        let body = json!({"id": "user123", "name": "Ada", "legalName": "Ada Ltd", "email": "ada@example.com"});
        assert_eq!(expect(make(body), StatusCode::CREATED).await["name"], "Ada");
        let change = server.request(Method::PATCH, &format!("{path}/user123")).bearer_auth(&organization.owner.token);
        refused(change.json(&json!({"name": "Ada", "legalName": "\u{7}"})), StatusCode::BAD_REQUEST).await;
    }

    async fn an_id_is_unique_in_its_organization_and_free_in_every_other(server: Server) {
        let (one, other) = (server.new_organization().await, server.new_organization().await);
        new_customer(&server, &one, "user123", None).await;
        new_customer(&server, &other, "user123", None).await;
        let body = json!({"id": "user123", "name": "Ada", "email": "ada@example.com"});
        let path = format!("/api/organizations/{}/customers", one.id);
        refused(server.request(Method::POST, &path).bearer_auth(&one.owner.token).json(&body), StatusCode::CONFLICT).await;
        answered(server.request(Method::DELETE, &format!("{path}/user123")).bearer_auth(&one.owner.token), StatusCode::NO_CONTENT).await;
        answered(server.request(Method::GET, "/customer/user123").bearer_auth(&other.owner.token), StatusCode::OK).await;
        for id in ["a b", "a/b", "é", "", ".", "..", &"x".repeat(101)] {
            let body = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
            refused(server.request(Method::POST, &path).bearer_auth(&one.owner.token).json(&body), StatusCode::BAD_REQUEST).await;
        }
        for id in ["!$&'()*+,;=:@~", "%", "?", "#", "...", &"x".repeat(100)] {
            new_customer(&server, &one, id, None).await;
            let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
            answered(server.request(Method::DELETE, &format!("/customer/{encoded}")).bearer_auth(&one.owner.token), StatusCode::OK).await;
        }
    }

    async fn what_a_customer_owns_is_made_and_listed_newest_first(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let time = "2026-01-31T12:00:00Z";
        let kinds = [
            ("subscriptions", json!({"plan": "basic", "status": "expired", "startsAt": time, "endsAt": time})),
            ("transactions", json!({"amount": -9_007_199_254_740_993_i64, "currency": "EUR", "status": "failed", "description": "Refund"})),
            ("devices", json!({"name": "Laptop", "platform": "linux"})),
            ("sessions", json!({"ipAddress": "2001:db8::1", "userAgent": "curl"})),
            ("activity", json!({"kind": "signed_in", "message": "from\nhome"})),
        ];
        for (kind, body) in kinds {
            let make = || server.request(Method::POST, &format!("{path}/{kind}")).bearer_auth(token).json(&body);
            let first = expect(make(), StatusCode::CREATED).await;
            for (name, value) in body.as_object().unwrap() {
                assert_eq!(first[name], *value, "{kind} {name}");
            }
            let second = expect(make(), StatusCode::CREATED).await;
            let list = expect(server.request(Method::GET, &format!("{path}/{kind}")).bearer_auth(token), StatusCode::OK).await;
            let mut listed: Vec<&Json> = list["data"].as_array().unwrap().iter().collect();
            // Two of one millisecond have no order.
            listed.sort_by_key(|entry| entry["id"].as_str().unwrap() != second["id"]);
            assert_eq!(listed, [&second, &first], "{kind}");
        }
        refused(server.request(Method::GET, &format!("{path}/passwords")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::POST, &format!("{path}/passwords")).bearer_auth(token).json(&json!({})), StatusCode::NOT_FOUND)
            .await;
    }

    async fn what_is_not_said_has_a_sensible_default(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let make = |kind: &str, body: Json| {
            let path = format!("/api/organizations/{}/customers/user123/{kind}", organization.id);
            server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body)
        };
        let subscription = expect(make("subscriptions", json!({"plan": "basic"})), StatusCode::CREATED).await;
        assert_eq!((&subscription["status"], &subscription["endsAt"]), (&json!("active"), &Json::Null));
        assert!(subscription["startsAt"].is_string());
        let transaction = expect(make("transactions", json!({"amount": 1, "currency": "EUR"})), StatusCode::CREATED).await;
        assert_eq!((&transaction["status"], &transaction["description"]), (&json!("settled"), &Json::Null));
        expect(make("sessions", json!({})), StatusCode::CREATED).await;
    }

    async fn a_reseller_sees_their_own_customers_and_no_others(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let token = cast.token("reseller");
        new_customer(&server, organization, "of-nobody", None).await;
        new_customer(&server, organization, "of-an-admin", Some(cast.member("admin"))).await;
        new_customer(&server, organization, "assigned", Some(cast.member("reseller"))).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        // What a reseller makes is theirs, no matter which manager they name.
        let body = json!({"id": "own", "name": "Ada", "email": "ada@example.com", "managedBy": cast.member("admin")});
        let made = expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        assert_eq!(made["managedBy"], cast.member("reseller"));
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let mut ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|customer| customer["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!((ids, &list["pagination"]["totalCount"]), (vec!["assigned", "own"], &json!(2)));
        for (id, status) in [
            ("own", StatusCode::OK),
            ("assigned", StatusCode::OK),
            ("of-nobody", StatusCode::FORBIDDEN),
            ("of-an-admin", StatusCode::FORBIDDEN),
        ] {
            for path in [format!("{path}/{id}"), format!("{path}/{id}/devices"), format!("/customer/{id}")] {
                answered(server.request(Method::GET, &path).bearer_auth(token), status).await;
            }
            let written = if status == StatusCode::OK { StatusCode::CREATED } else { status };
            let device = server.request(Method::POST, &format!("{path}/{id}/devices")).bearer_auth(token).json(&json!({"name": "Laptop"}));
            answered(device, written).await;
        }
        for role in ["owner", "admin", "master", "member", "billing", "viewer"] {
            let list = expect(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::OK).await;
            assert_eq!(list["pagination"]["totalCount"], 4, "{role}");
        }
    }

    async fn those_who_lead_may_assign_a_customer_and_members_may_not(server: Server) {
        let cast = Cast::assemble(&server).await;
        let path = format!("/api/organizations/{}/customers", cast.organization.id);
        let make = |role: &str, manager: &str| {
            let body = json!({"name": "Ada", "email": "ada@example.com", "managedBy": manager});
            server.request(Method::POST, &path).bearer_auth(cast.token(role)).json(&body)
        };
        for role in ["owner", "admin", "master"] {
            assert_eq!(expect(make(role, cast.member("reseller")), StatusCode::CREATED).await["managedBy"], cast.member("reseller"));
        }
        refused(make("member", cast.member("reseller")), StatusCode::FORBIDDEN).await;
        expect(make("member", cast.member("member")), StatusCode::CREATED).await;
        for role in ["billing", "viewer"] {
            refused(make(role, cast.member(role)), StatusCode::FORBIDDEN).await;
        }
        let problem = refused(make("owner", crate::tools::UNKNOWN_ID), StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("managedBy"), &json!("unknown_member")));
    }
}
