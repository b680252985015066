//! Addresses: each of the equivalent spellings of one leads to the same place (RFC 3986, section 6.2.2), whatever a customer's id is.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::bad_input::protocol::send;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

on_both_engines! {
    async fn an_address_is_found_in_each_of_its_equivalent_spellings(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}", organization.id);
        let body = json!({"id": "a~c:", "name": "Ada", "email": "ada@example.com"});
        expect(server.request(Method::POST, &format!("{base}/customers")).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let one = format!("{base}/customers/a~c:");
        for path in [
            one.clone(),
            one.replace("/api", "/%61pi"),
            one.replace("customers", "c%75stomers"),
            one.replace("a~c:", "%61%7Ec%3A"),
            one.replace("a~c:", "%61%7ec%3a"),
            one.replace("/customers", "/./customers"),
            one.replace("/customers", "/members/../customers"),
            one.replace("/customers", "/members/%2e%2E/customers"),
        ] {
            let wire = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
            assert_eq!(send(&server, wire.as_bytes()).await.status, 200, "{path}");
        }
        // These are other addresses, or none.
        for (path, status) in [
            (one.replace("/api", "/API"), 404),
            (one.replace("/customers", "//customers"), 404),
            (format!("{one}/"), 404),
            (format!("{one}/."), 404),
            (one.replace("/customers/", "/customers%2F"), 404),
            (one.replace("a~c:", "a%257Ec:"), 404),
            (one.replace("a~c:", "a%7"), 400),
            (format!("{one}%zz"), 400),
        ] {
            let wire = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
            assert_eq!(send(&server, wire.as_bytes()).await.status, status, "{path}");
        }
    }

    async fn no_customers_id_is_hidden_by_an_address_of_something_else(server: Server) {
        let organization = server.new_organization().await;
        let token = &server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        let base = format!("/api/organizations/{}/customers", organization.id);
        let ids = [
            "extend", "addscreen", "deletion-plan", "me", "new", "archive", "invite", "a%b", "a?b", "a#b", "..a", "%2e%2e", "a:purge",
            "customers:purge", "a;b", "+", "&", "a\\b", "%", "%65xtend", "...", "~", "*", "a|b", "\"", "<>", "{id}", "{1}",
        ];
        let encoded = |id: &str| id.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        for id in ids {
            let body = json!({"id": id, "name": "Ada", "email": "ada@example.com"});
            expect(server.request(Method::POST, &base).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        }
        for id in ids {
            let quoted = encoded(id);
            let ask = |method: Method, path: String| server.request(method, &path).bearer_auth(token);
            assert_eq!(expect(ask(Method::GET, format!("{base}/{quoted}")), StatusCode::OK).await["id"], id);
            assert_eq!(expect(ask(Method::GET, format!("/customer/{quoted}")), StatusCode::OK).await["id"], id);
            for path in [format!("{base}/{quoted}/deletion-plan"), format!("/customer/{quoted}/deletion-plan")] {
                assert_eq!(expect(ask(Method::GET, path), StatusCode::OK).await["root"].as_str().map(|root| root.ends_with("customer")), Some(true), "{id}");
            }
            let extended = ask(Method::PATCH, format!("/customer/extend/{quoted}")).json(&json!({"credits": 1}));
            expect(extended, StatusCode::OK).await;
            expect(ask(Method::PATCH, format!("/customer/addscreen/{quoted}")).json(&json!({"passId": id})), StatusCode::OK).await;
        }
        let left = |id: &str| server.request(Method::GET, &format!("{base}/{}", encoded(id))).bearer_auth(token);
        for (number, id) in ids.iter().enumerate() {
            expect(server.request(Method::DELETE, &format!("/customer/{}?hard=true", encoded(id))).bearer_auth(token), StatusCode::OK).await;
            expect(left(id), StatusCode::NOT_FOUND).await;
            if let Some(next) = ids.get(number + 1) {
                expect(left(next), StatusCode::OK).await;
            }
        }
        for impossible in [".", "..", "", "a/b", "a b"] {
            let body = json!({"id": impossible, "name": "Ada", "email": "ada@example.com"});
            expect(server.request(Method::POST, &base).bearer_auth(token).json(&body), StatusCode::BAD_REQUEST).await;
        }
    }
}
