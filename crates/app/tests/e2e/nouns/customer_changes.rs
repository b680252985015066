//! Changes of a customer: what is said changes, what is not stays, and who may give it into whose hands.

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, UNKNOWN_ID, entries, new_customer, refused};

on_both_engines! {
    async fn what_is_said_changes_and_what_is_not_stays(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let all = format!("/api/organizations/{}/customers", organization.id);
        let body = json!({"id": "user123", "name": "Ada", "email": "ada@example.com", "phone": "1", "taxId": "2", "address": {"city": "London"}});
        let made = expect(server.request(Method::POST, &all).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let path = format!("{all}/user123");
        let change = |method: Method, path: &str, body: Json| server.request(method, path).bearer_auth(token).json(&body);
        let mut wanted = made.clone();
        let steps = [
            (Method::PUT, path.as_str(), json!({"name": "Ada Lovelace"}), "name", json!("Ada Lovelace")),
            (Method::PATCH, &path, json!({"legalName": "Ada Ltd"}), "name", json!("Ada Ltd")),
            (Method::PATCH, "/customer/user123", json!({"email": "a@example.com"}), "email", json!("a@example.com")),
            (Method::PATCH, &path, json!({"phone": null}), "phone", Json::Null),
            (Method::PUT, &path, json!({"taxId": null, "id": "user123"}), "taxId", Json::Null),
            (Method::PATCH, &path, json!({"taxId": "3"}), "taxId", json!("3")),
            (Method::PATCH, &path, json!({"address": {"street": "1 Main"}}), "address", json!({"street": "1 Main"})),
            (Method::PATCH, "/customer/user123", json!({"address": null}), "address", json!({})),
        ];
        for (method, path, body, field, value) in steps {
            let changed = expect(change(method, path, body), StatusCode::OK).await;
            wanted[field] = value;
            wanted["updatedAt"] = changed["updatedAt"].clone();
            assert_eq!(changed, wanted, "{field}");
        }
        // What changes nothing leaves no trace.
        assert_eq!(expect(change(Method::PATCH, &path, json!({})), StatusCode::OK).await, wanted);
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        assert_eq!(trail.iter().filter(|entry| entry["action"] == "customer.update").count(), 8);
        for body in [
            json!({"name": ""}),
            json!({"email": "nobody"}),
            json!({"phone": "x".repeat(51)}),
            json!({"phone": "\u{0}"}),
            json!({"address": {"a": 1}}),
            json!({"address": "London"}),
            json!({"metadata": {"a": 1}}),
            json!({"managedBy": "nobody"}),
            json!({"id": "user124"}),
            json!({"createdAt": "2026-01-01T00:00:00Z"}),
        ] {
            refused(change(Method::PATCH, &path, body), StatusCode::BAD_REQUEST).await;
        }
        for path in [format!("{all}/nobody"), format!("{all}/%20")] {
            refused(change(Method::PUT, &path, json!({"name": "Ada"})), StatusCode::NOT_FOUND).await;
        }
    }

    async fn metadata_merges_and_an_empty_text_takes_a_key_away(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let all = format!("/api/organizations/{}/customers", organization.id);
        let body = json!({"id": "user123", "name": "Ada", "email": "ada@example.com", "metadata": {"a": "1", "b": "2", "c": ""}});
        let made = expect(server.request(Method::POST, &all).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        assert_eq!(made["metadata"], json!({"a": "1", "b": "2"}));
        let path = format!("{all}/user123");
        let change = |metadata: Json| server.request(Method::PATCH, &path).bearer_auth(token).json(&json!({"metadata": metadata}));
        let changed = expect(change(json!({"b": "", "c": "3"})), StatusCode::OK).await;
        assert_eq!(changed["metadata"], json!({"a": "1", "c": "3"}));
        let many = |range: std::ops::Range<i32>| -> Map<String, Json> { range.map(|number| (format!("k{number}"), json!("v"))).collect() };
        assert_eq!(expect(change(many(0..48).into()), StatusCode::OK).await["metadata"].as_object().unwrap().len(), 50);
        let problem = refused(change(json!({"one-more": "x"})), StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("metadata"), &json!("too_many")));
        expect(change(json!({"one-more": "x", "a": ""})), StatusCode::OK).await;
        refused(change(json!({"x".repeat(41): "x"})), StatusCode::BAD_REQUEST).await;
        refused(change(json!({"x": "x".repeat(501)})), StatusCode::BAD_REQUEST).await;
    }

    async fn keys_that_are_written_at_once_are_all_kept(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let writes = (0..16).map(|number| {
            let body = json!({"metadata": {format!("k{number}"): "v"}});
            expect(server.request(Method::PATCH, "/customer/user123").bearer_auth(token).json(&body), StatusCode::OK)
        });
        futures_util::future::join_all(writes).await;
        let read = expect(server.request(Method::GET, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        assert_eq!(read["metadata"].as_object().unwrap().len(), 16);
    }

    async fn those_who_lead_give_a_customer_into_other_hands_and_resellers_do_not(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "user123", Some(cast.member("reseller"))).await;
        let path = format!("/api/organizations/{}/customers/user123", cast.organization.id);
        let assign = |role: &str, manager: Json| {
            server.request(Method::PATCH, &path).bearer_auth(cast.token(role)).json(&json!({"name": "Ada", "managedBy": manager}))
        };
        // What they have already is no change.
        for role in ["reseller", "member"] {
            expect(assign(role, json!(cast.member("reseller"))), StatusCode::OK).await;
            refused(assign(role, json!(cast.member("admin"))), StatusCode::FORBIDDEN).await;
            refused(assign(role, Json::Null), StatusCode::FORBIDDEN).await;
        }
        for role in ["billing", "viewer"] {
            refused(assign(role, json!(cast.member("reseller"))), StatusCode::FORBIDDEN).await;
        }
        let problem = refused(assign("owner", json!(UNKNOWN_ID)), StatusCode::BAD_REQUEST).await;
        assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!("managedBy"), &json!("unknown_member")));
        for (role, manager) in [("owner", "member"), ("admin", "viewer"), ("master", "admin")] {
            assert_eq!(expect(assign(role, json!(cast.member(manager))), StatusCode::OK).await["managedBy"], cast.member(manager));
        }
        // It is no longer theirs.
        refused(assign("reseller", json!(cast.member("reseller"))), StatusCode::FORBIDDEN).await;
        assert_eq!(expect(assign("master", Json::Null), StatusCode::OK).await["managedBy"], Json::Null);
    }

    async fn customers_are_made_and_listed_on_the_customer_api(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let body = json!({"id": "user123", "name": "Ada", "email": "ada@example.com"});
        let made = expect(server.request(Method::POST, "/customer").bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let list = expect(server.request(Method::GET, "/customer").bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&list["data"], &list["pagination"]["totalCount"]), (&json!([made]), &json!(1)));
        refused(server.request(Method::POST, "/customer").bearer_auth(token).json(&body), StatusCode::CONFLICT).await;
        // Who is a member of several organizations says which one.
        let other = server.found_organization(&organization.owner).await;
        refused(server.request(Method::GET, "/customer").bearer_auth(token), StatusCode::BAD_REQUEST).await;
        let list = server.request(Method::GET, "/customer").bearer_auth(token).header("X-Organization", &other.slug);
        assert_eq!(expect(list, StatusCode::OK).await["data"], json!([]));
        refused(server.request(Method::GET, "/customer"), StatusCode::UNAUTHORIZED).await;
    }
}
