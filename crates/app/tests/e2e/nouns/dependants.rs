//! What customers own: read and changed, entry by entry.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{UNKNOWN_ID, entries, new_customer, refused};

on_both_engines! {
    async fn a_status_is_changed_where_there_is_one(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["user123", "user124"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let id = server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let device = server.new_dependant(&organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let change = |place: &str, status: &str| {
            let path = format!("/api/organizations/{}/customers/{place}", organization.id);
            server.request(Method::PATCH, &path).bearer_auth(token).json(&json!({"status": status}))
        };
        let changed = expect(change(&format!("user123/subscriptions/{id}"), "cancelled"), StatusCode::OK).await;
        assert_eq!((&changed["id"], &changed["status"]), (&json!(id), &json!("cancelled")));
        let list = server.request(Method::GET, &format!("/api/organizations/{}/customers/user123/subscriptions", organization.id));
        assert_eq!(expect(list.bearer_auth(token), StatusCode::OK).await["data"][0]["status"], "cancelled");
        refused(change(&format!("user123/subscriptions/{id}"), "paused"), StatusCode::BAD_REQUEST).await;
        refused(change(&format!("user123/devices/{device}"), "active"), StatusCode::BAD_REQUEST).await;
        refused(change(&format!("user124/subscriptions/{id}"), "active"), StatusCode::NOT_FOUND).await;
        refused(change(&format!("user123/subscriptions/{device}"), "active"), StatusCode::NOT_FOUND).await;
        refused(change(&format!("user123/passwords/{id}"), "active"), StatusCode::NOT_FOUND).await;
        refused(change(&format!("nobody/subscriptions/{id}"), "active"), StatusCode::NOT_FOUND).await;
    }

    async fn every_field_of_an_entry_is_read_and_changed(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let (time, later) = ("2026-01-31T12:00:00Z", "2027-01-31T12:00:00.5Z");
        let kinds = [
            (
                "subscriptions",
                json!({"plan": "basic", "status": "expired", "startsAt": time, "endsAt": time}),
                json!({"plan": "pro", "status": "active", "startsAt": later, "endsAt": null}),
            ),
            (
                "transactions",
                json!({"amount": 1, "currency": "EUR", "status": "pending", "description": "Refund"}),
                json!({"amount": -9_007_199_254_740_993_i64, "currency": "USD", "status": "settled", "description": null}),
            ),
            ("devices", json!({"name": "Laptop", "platform": "linux"}), json!({"name": "Phone", "platform": null})),
            ("sessions", json!({"ipAddress": "192.0.2.1", "userAgent": "curl"}), json!({"ipAddress": null, "userAgent": "curl/8"})),
            ("activity", json!({"kind": "signed_in", "message": "x"}), json!({"kind": "signed_out", "message": null})),
        ];
        for (kind, body, changes) in kinds {
            let id = server.new_dependant(&organization, "user123", kind, body).await;
            let path = format!("/api/organizations/{}/customers/user123/{kind}/{id}", organization.id);
            let change = |body: &Json| server.request(Method::PATCH, &path).bearer_auth(token).json(body);
            let mut wanted = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(wanted["id"], json!(id), "{kind}");
            for (name, value) in changes.as_object().unwrap() {
                wanted[name] = value.clone();
                assert_eq!(expect(change(&json!({name: value})), StatusCode::OK).await, wanted, "{kind} {name}");
                assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await, wanted, "{kind} {name}");
            }
            assert_eq!(expect(change(&json!({})), StatusCode::OK).await, wanted, "{kind}");
            refused(change(&json!({"colour": "red"})), StatusCode::BAD_REQUEST).await;
            refused(change(&json!({"id": UNKNOWN_ID})), StatusCode::BAD_REQUEST).await;
        }
    }

    async fn what_must_be_there_is_not_emptied(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let subscription = server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let transaction = server.new_dependant(&organization, "user123", "transactions", json!({"amount": 1, "currency": "EUR"})).await;
        for (place, field) in [
            (format!("subscriptions/{subscription}"), "plan"),
            (format!("subscriptions/{subscription}"), "status"),
            (format!("subscriptions/{subscription}"), "startsAt"),
            (format!("transactions/{transaction}"), "amount"),
            (format!("transactions/{transaction}"), "currency"),
        ] {
            let path = format!("/api/organizations/{}/customers/user123/{place}", organization.id);
            let request = server.request(Method::PATCH, &path).bearer_auth(token).json(&json!({field: null}));
            let problem = refused(request, StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!("required")));
            assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
        }
    }

    async fn a_change_of_an_entry_is_in_the_audit_trail(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let id = server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let path = format!("/api/organizations/{}/customers/user123/subscriptions/{id}", organization.id);
        for _ in 0..2 {
            expect(server.request(Method::PATCH, &path).bearer_auth(token).json(&json!({"status": "cancelled"})), StatusCode::OK).await;
        }
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let changes: Vec<&Json> =
            trail.iter().filter(|entry| entry["action"] == "customer.change_entry").map(|entry| &entry["detail"]).collect();
        assert_eq!(changes, [&json!(format!("subscriptions {id}"))]);
    }
}
