//! Lists come in pages, in the documented envelope and in the surface's spelling.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};

on_both_engines! {
    async fn pages_follow_one_another_without_gap_or_overlap(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        join_all((0..30).map(|_| server.new_customer(&organization, token))).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let get = |query: &str| expect(server.request(Method::GET, &format!("{path}{query}")).bearer_auth(token), StatusCode::OK);
        let first = get("").await;
        let wanted = json!({"page": 1, "pageSize": 25, "totalCount": 30, "totalPages": 2, "hasNext": true, "hasPrevious": false});
        assert_eq!((first["data"].as_array().unwrap().len(), &first["pagination"]), (25, &wanted));
        let last = get("?page=2").await;
        let wanted = json!({"page": 2, "pageSize": 25, "totalCount": 30, "totalPages": 2, "hasNext": false, "hasPrevious": true});
        assert_eq!((last["data"].as_array().unwrap().len(), &last["pagination"]), (5, &wanted));
        let beyond = get("?page=3").await;
        let wanted = json!({"page": 3, "pageSize": 25, "totalCount": 30, "totalPages": 2, "hasNext": false, "hasPrevious": true});
        assert_eq!((&beyond["data"], &beyond["pagination"]), (&json!([]), &wanted));
        let ids = |page: &Json| -> Vec<String> {
            page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = [ids(&first), ids(&last)].concat();
        assert_eq!(ids(&get("?pageSize=100").await), all);
        let mut small = Vec::new();
        for page in 1..=5 {
            small.extend(ids(&get(&format!("?page_size=7&page={page}")).await));
        }
        assert_eq!(small, all);
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 30);
    }

    async fn the_account_api_spells_the_envelope_as_its_document_does(server: Server) {
        let organization = server.new_organization().await;
        for _ in 0..2 {
            server.new_member(&organization, "viewer").await;
        }
        let path = format!("/account/api/v1/organizations/{}/members", short(&organization.id));
        let get = |query: &str| {
            expect(server.request(Method::GET, &format!("{path}{query}")).bearer_auth(&organization.owner.token), StatusCode::OK)
        };
        let page = get("?page=2&page_size=2").await;
        let wanted = json!({"page": 2, "page_size": 2, "total_count": 3, "total_pages": 2, "has_next": false, "has_previous": true});
        assert_eq!((page["data"].as_array().unwrap().len(), &page["pagination"]), (1, &wanted));
        assert_eq!(get("").await["pagination"]["page_size"], 25);
        assert_eq!(get("?page_size=100").await["pagination"]["page_size"], 100);
    }

    async fn an_empty_list_has_no_pages(server: Server) {
        let person = server.new_person().await;
        let list = expect(server.request(Method::GET, "/api/organizations").bearer_auth(&person.token), StatusCode::OK).await;
        let wanted = json!({"page": 1, "pageSize": 25, "totalCount": 0, "totalPages": 0, "hasNext": false, "hasPrevious": false});
        assert_eq!((&list["data"], &list["pagination"]), (&json!([]), &wanted));
    }

    async fn every_list_pages(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for _ in 0..3 {
            server.new_member(&organization, "viewer").await;
            server.new_api_key(&organization, token, &["read:user"]).await;
        }
        let one = format!("/api/organizations/{}", organization.id);
        for (place, total) in [("members", 4), ("invites", 3), ("api-keys", 3), ("audit", 10)] {
            let mut seen = Vec::new();
            for page in 1..=total {
                let path = format!("{one}/{place}?page={page}&pageSize=1");
                let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
                assert_eq!((list["data"].as_array().unwrap().len(), &list["pagination"]["totalCount"]), (1, &json!(total)), "{place}");
                seen.push(list["data"][0]["id"].clone());
            }
            seen.sort_by_key(Json::to_string);
            seen.dedup();
            assert_eq!(seen.len(), total, "{place}");
        }
    }
}
