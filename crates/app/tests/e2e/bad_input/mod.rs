//! Whatever comes in: an answer of 4xx in the documented form, never a 5xx and never silence, and a server that goes on afterwards.

mod addresses;
mod bodies;
mod fuzz;
pub mod protocol;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Organization, PASSWORD, Server, expect, short};

/// When to take silence for a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// An operation that takes a body, and a body that it takes. The text `{n}` in a body stands for a number that is new every time.
struct Endpoint {
    method: Method,
    path: String,
    body: Json,
    required: &'static [&'static str],
}

/// An organization with a customer, and every operation that writes to it.
struct World {
    organization: Organization,
    endpoints: Vec<Endpoint>,
}

impl World {
    async fn make(server: &Server) -> World {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        let subscription = server.new_dependant(&organization, &customer, "subscriptions", json!({"plan": "basic"})).await;
        let one = format!("/api/organizations/{}", organization.id);
        let customers = format!("{one}/customers");
        let of_customer = |kind: &str| format!("{customers}/{customer}/{kind}");
        let account = format!("/account/api/v1/organizations/{}", short(&organization.id));
        let post = |path: String, body: Json, required: &'static [&'static str]| Endpoint { method: Method::POST, path, body, required };
        let time = "2026-01-31T12:00:00Z";
        let key =
            json!({"name": "Test key", "description": "x", "kind": "user", "scopes": ["read:user"], "expiresAt": "2999-01-01T00:00:00Z"});
        let mut snake_key = key.clone();
        let expires_at = snake_key.as_object_mut().unwrap().remove("expiresAt").unwrap();
        snake_key["expires_at"] = expires_at;
        let new_customer = json!({
            "id": "customer-{n}", "name": "Ada", "email": "ada@example.com", "phone": "+44", "taxId": "GB1", "address": {"city": "London"},
            "metadata": {"tier": "gold"}, "managedBy": null
        });
        let endpoints = vec![
            post(
                "/api/auth/sign-up".into(),
                json!({"email": "new{n}@example.com", "password": PASSWORD, "name": "Ada"}),
                &["email", "password"],
            ),
            post(
                "/api/auth/sign-in".into(),
                json!({"email": organization.owner.email, "password": PASSWORD, "organization": organization.slug}),
                &["email", "password"],
            ),
            post("/api/auth/refresh".into(), json!({"refresh_token": "{n}"}), &["refresh_token"]),
            post(
                "/api/organizations".into(),
                json!({"name": "Acme", "slug": "acme-{n}", "logo": "https://example.com/logo.png"}),
                &["name", "slug"],
            ),
            post(format!("{one}/members/invite"), json!({"email": "guest{n}@example.com", "role": "member"}), &["email"]),
            post("/api/invites/accept".into(), json!({"token": "{n}"}), &["token"]),
            post(customers.clone(), new_customer, &["name", "email"]),
            post(of_customer("subscriptions"), json!({"plan": "basic", "status": "expired", "startsAt": time, "endsAt": time}), &["plan"]),
            post(
                of_customer("transactions"),
                json!({"amount": 1, "currency": "EUR", "status": "settled", "description": "x"}),
                &["amount", "currency"],
            ),
            post(of_customer("devices"), json!({"name": "Laptop", "platform": "linux"}), &["name"]),
            post(of_customer("sessions"), json!({"ipAddress": "192.0.2.7", "userAgent": "x"}), &[]),
            post(of_customer("activity"), json!({"kind": "signed_in", "message": "x"}), &["kind"]),
            post(format!("{one}/api-keys"), key, &["name"]),
            post(format!("{account}/api-keys"), snake_key, &["name"]),
            post(
                "/account/api/v1/organizations".into(),
                json!({"name": "Acme", "slug": "account-{n}", "logo": "https://example.com/"}),
                &["name", "slug"],
            ),
            Endpoint {
                method: Method::PATCH,
                path: of_customer(&format!("subscriptions/{subscription}")),
                body: json!({"status": "cancelled"}),
                required: &[],
            },
            Endpoint {
                method: Method::PUT,
                path: one.clone(),
                body: json!({"name": "Acme", "logo": "https://example.com/logo.png"}),
                required: &[],
            },
            Endpoint {
                method: Method::PATCH,
                path: format!("{customers}/{customer}"),
                body: json!({
                    "name": "Ada", "email": "ada@example.com", "phone": "+44", "taxId": "GB1", "address": {"city": "London"},
                    "metadata": {"tier": "gold"}
                }),
                required: &[],
            },
            Endpoint {
                method: Method::PATCH,
                path: "/api/users/me".into(),
                body: json!({"name": "Ada", "metadata": {"team": "red"}}),
                required: &[],
            },
        ];
        World { organization, endpoints }
    }

    /// A request of the owner to an endpoint, with these bytes as its JSON.
    fn request(&self, server: &Server, endpoint: &Endpoint, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = server.request(endpoint.method.clone(), &endpoint.path).bearer_auth(&self.organization.owner.token);
        request.header("Content-Type", "application/json").timeout(PATIENCE).body(body)
    }
}

/// A body with its `{n}` replaced.
fn fresh(body: &Json, number: usize) -> String {
    body.to_string().replace("{n}", &number.to_string())
}

/// The server still works.
async fn is_ready(server: &Server) {
    let ready = expect(server.request(Method::GET, "/health/ready").timeout(PATIENCE), StatusCode::OK).await;
    assert_eq!(ready["status"], "ready");
}
