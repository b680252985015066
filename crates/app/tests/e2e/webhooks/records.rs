//! Webhooks as records: who may have them, where they may lead, what is shown of them.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::make;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, UNKNOWN_ID, deleted, entries, refused};

on_both_engines! {
    async fn a_webhook_shows_its_secret_once(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/webhooks", organization.id);
        let body = json!({"url": "https://example.com/hook?a=b", "events": ["customer.deleted", "customer.created", "customer.created"]});
        let made = make(&server, &organization, body).await;
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_") && secret.len() == "whsec_".len() + 44, "{secret}");
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let read = expect(server.request(Method::GET, &one).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(read["url"], "https://example.com/hook?a=b");
        assert_eq!((&read["events"], &read["isActive"]), (&json!(["customer.created", "customer.deleted"]), &json!(true)));
        let change = json!({"url": "https://Example.com:443", "isActive": false, "description": "Ours"});
        let changed = expect(server.request(Method::PUT, &one).bearer_auth(token).json(&change), StatusCode::OK).await;
        assert_eq!((&changed["url"], &changed["isActive"]), (&json!("https://example.com/"), &json!(false)));
        assert_eq!((&changed["description"], &changed["events"]), (&json!("Ours"), &read["events"]));
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["data"], json!([changed]));
        assert!([read, changed, list].iter().all(|shown| !shown.to_string().contains("whsec_")));
        let deletion = deleted(server.request(Method::DELETE, &one).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let record = server.wait_for_completion(&deletion, token).await;
        assert_eq!((&record["root"], &record["effects"]), (&json!("webhook"), &json!({})));
        refused(server.request(Method::GET, &one).bearer_auth(token), StatusCode::NOT_FOUND).await;
        refused(server.request(Method::DELETE, &one).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let actions: Vec<Json> = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await.iter().map(|entry| entry["action"].clone()).collect();
        for action in ["webhook.create", "webhook.update", "webhook.delete"] {
            assert!(actions.contains(&json!(action)), "{actions:?}");
        }
    }

    async fn webhooks_are_for_owners_and_admins(server: Server) {
        let cast = Cast::assemble(&server).await;
        let made = make(&server, &cast.organization, json!({"url": "https://example.com/", "events": ["member.added"]})).await;
        let path = format!("/api/organizations/{}/webhooks", cast.organization.id);
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let new = json!({"url": "https://example.com/", "events": ["member.added"]});
        let requests = |token: Option<&str>| {
            let sign = |request: reqwest::RequestBuilder| if let Some(token) = token { request.bearer_auth(token) } else { request };
            [
                sign(server.request(Method::GET, &path)),
                sign(server.request(Method::POST, &path).json(&new)),
                sign(server.request(Method::GET, &one)),
                sign(server.request(Method::PUT, &one).json(&json!({"isActive": true}))),
                sign(server.request(Method::GET, &format!("{one}/deliveries"))),
                sign(server.request(Method::POST, &format!("{one}/test"))),
                sign(server.request(Method::DELETE, &one)),
            ]
        };
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            for request in requests(Some(cast.token(role))) {
                refused(request, StatusCode::FORBIDDEN).await;
            }
        }
        for request in requests(Some(&cast.outsider.token)) {
            refused(request, StatusCode::FORBIDDEN).await;
        }
        for request in requests(None) {
            refused(request, StatusCode::UNAUTHORIZED).await;
        }
        for (request, status) in requests(Some(cast.token("admin"))).into_iter().zip([200, 201, 200, 200, 200, 202, 204]) {
            expect(request, StatusCode::from_u16(status).unwrap()).await;
        }
        // A webhook of elsewhere is nowhere here.
        let elsewhere = server.found_organization(&cast.organization.owner).await;
        let foreign = make(&server, &elsewhere, json!({"url": "https://example.com/", "events": ["member.added"]})).await;
        for id in [foreign["id"].as_str().unwrap(), UNKNOWN_ID] {
            for method in [Method::GET, Method::DELETE] {
                refused(server.request(method, &format!("{path}/{id}")).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND).await;
            }
            refused(server.request(Method::POST, &format!("{path}/{id}/test")).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND).await;
            refused(server.request(Method::GET, &format!("{path}/{id}/deliveries")).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND).await;
        }
    }

    async fn a_url_that_does_not_lead_to_the_public_internet_is_refused_with_the_remedy(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/webhooks", organization.id);
        let made = make(&server, &organization, json!({"url": "https://example.com/", "events": ["member.added"]})).await;
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let hosts = "127.0.0.1 2130706433 017700000001 0x7f.1 127.1 0 10.0.0.1 169.254.169.254 100.64.0.1 192.168.0.1 ①②⑦．⓪．⓪．① 127%2e0%2e0%2e1 \
                     127.0.0.1. [::1] [::ffff:127.0.0.1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [fd00::1] [fe80::1] localhost LOCALHOST. \
                     a.localhost";
        for host in hosts.split_whitespace() {
            let url = format!("https://{host}/hook");
            for request in [
                server.request(Method::POST, &path).json(&json!({"url": url, "events": ["member.added"]})),
                server.request(Method::PUT, &one).json(&json!({"url": url})),
            ] {
                let body = refused(request.bearer_auth(token), StatusCode::BAD_REQUEST).await;
                assert_eq!((&body["errors"][0]["field"], &body["errors"][0]["code"]), (&json!("url"), &json!("not_public")), "{url}");
                assert!(body["errors"][0]["message"].as_str().unwrap().contains("--webhook-allow"), "{body}");
            }
        }
        let urls = [
            ("http://example.com/", "invalid_scheme"),
            ("https://user:password@example.com/", "has_credentials"),
            ("https://example.com/#part", "has_fragment"),
            ("https://[fe80::1%25eth0]/", "invalid_url"),
            ("example.com", "invalid_url"),
        ];
        for (url, code) in urls {
            let request = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"url": url, "events": ["member.added"]}));
            let body = refused(request, StatusCode::BAD_REQUEST).await;
            assert_eq!(body["errors"][0]["code"], code, "{url}");
        }
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(list["data"].as_array().unwrap().len(), 1);
    }

    async fn what_is_wrong_with_a_webhook_is_said_at_once(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/webhooks", organization.id);
        let bad = json!({"url": "nowhere", "events": ["member.added", "moon.landed"], "description": "a".repeat(201)});
        let body = refused(server.request(Method::POST, &path).bearer_auth(token).json(&bad), StatusCode::BAD_REQUEST).await;
        let mut fields: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        fields.sort();
        assert_eq!(fields, ["description", "events.1", "url"]);
        assert!(body["errors"].to_string().contains("customer.deleted"), "the events that there are are named");
        for events in [json!([]), Json::Null] {
            let none = json!({"url": "https://example.com/", "events": events});
            let body = refused(server.request(Method::POST, &path).bearer_auth(token).json(&none), StatusCode::BAD_REQUEST).await;
            assert_eq!(body["errors"][0]["field"], "events");
        }
        for _ in 0..20 {
            make(&server, &organization, json!({"url": "https://example.com/", "events": ["member.added"]})).await;
        }
        let more = server.request(Method::POST, &path).bearer_auth(token).json(&json!({"url": "https://example.com/", "events": ["member.added"]}));
        let body = refused(more, StatusCode::CONFLICT).await;
        assert!(body["message"].as_str().unwrap().contains("delete one first"), "{body}");
    }
}
