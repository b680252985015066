//! Lost updates: who says what they had read changes and deletes only that.

use reqwest::header::IF_MATCH;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};

/// The addresses of one of each kind that has revisions, with a change of it.
async fn records(server: &Server, organization: &Organization) -> Vec<(String, Method, String, serde_json::Value)> {
    let base = format!("/api/organizations/{}", organization.id);
    let customer = server.new_customer(organization, &organization.owner.token).await;
    let (_, member) = server.new_member(organization, "viewer").await;
    let member = format!("{base}/members/{member}");
    vec![
        (base.clone(), Method::PUT, base.clone(), json!({"name": "Another name"})),
        (format!("{base}/customers/{customer}"), Method::PUT, format!("{base}/customers/{customer}"), json!({"name": "Another name"})),
        (member.clone(), Method::PUT, format!("{member}/role"), json!({"role": "member"})),
    ]
}

on_both_engines! {
    async fn a_change_of_what_was_read_is_done_and_the_next_one_of_the_same_reading_is_not(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for (path, method, change_at, change) in records(&server, &organization).await {
            let read = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
            let etag = header(&read, "etag").to_owned();
            assert!(etag.starts_with('"') && etag.ends_with('"'), "{path}: {etag}");
            let ask = |etag: &str| server.request(method.clone(), &change_at).bearer_auth(token).header(IF_MATCH, etag).json(&change);
            let changed = ask(&etag).send().await.unwrap();
            assert_eq!(changed.status(), StatusCode::OK, "{path}");
            let next = header(&changed, "etag").to_owned();
            assert_ne!(next, etag, "{path}");
            let refused = expect(ask(&etag), StatusCode::PRECONDITION_FAILED).await;
            assert_eq!(refused["error_code"], "precondition_failed");
            let again = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
            assert_eq!(header(&again, "etag"), next, "{path}: what was refused changed nothing");
        }
    }

    async fn a_deletion_of_what_has_changed_since_is_refused_and_audited(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for (path, method, change_at, change) in records(&server, &organization).await {
            let read = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
            let etag = header(&read, "etag").to_owned();
            expect(server.request(method, &change_at).bearer_auth(token).json(&change), StatusCode::OK).await;
            let delete = server.request(Method::DELETE, &path).bearer_auth(token).header(IF_MATCH, &etag);
            expect(delete, StatusCode::PRECONDITION_FAILED).await;
            expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        }
        let path = format!("/api/organizations/{}/audit", organization.id);
        let audit = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let blocked = audit["data"].as_array().unwrap().iter().filter(|entry| entry["outcome"] == "blocked").count();
        assert_eq!(blocked, 3);
    }

    async fn any_of_several_tags_will_do_a_star_stands_for_all_and_a_weak_one_for_none(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}", organization.id);
        let read = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
        let etag = header(&read, "etag").to_owned();
        let ask = |tags: String| {
            server.request(Method::PUT, &path).bearer_auth(token).header(IF_MATCH, tags).json(&json!({"name": "Test organization"}))
        };
        expect(ask(format!("\"0-0\", {etag}")), StatusCode::OK).await;
        expect(ask("*".into()), StatusCode::OK).await;
        expect(ask(format!("W/{etag}")), StatusCode::PRECONDITION_FAILED).await;
        expect(ask("nonsense".into()), StatusCode::PRECONDITION_FAILED).await;
    }

    async fn what_is_added_below_a_record_does_not_change_its_tag(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let customer = server.new_customer(&organization, token).await;
        let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
        let before = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
        server.new_dependant(&organization, &customer, "devices", json!({"name": "Laptop"})).await;
        let after = server.request(Method::GET, &path).bearer_auth(token).send().await.unwrap();
        assert_eq!(header(&before, "etag"), header(&after, "etag"));
    }

    async fn a_customer_made_anew_under_an_old_id_has_another_tag(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}/customers", organization.id);
        let make = || {
            let body = json!({"id": "user123", "name": "Ada", "email": "ada@example.com"});
            server.request(Method::POST, &base).bearer_auth(token).json(&body).send()
        };
        let first = make().await.unwrap();
        expect(server.request(Method::DELETE, &format!("{base}/user123")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let second = make().await.unwrap();
        assert_ne!(header(&first, "etag"), header(&second, "etag"));
    }
}
