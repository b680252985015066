//! Slices: long lists read along a cursor.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

fn ids(slice: &Json) -> Vec<String> {
    slice["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

on_both_engines! {
    async fn slices_follow_one_another_without_gap_or_overlap_whatever_is_added_meanwhile(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let mut made = Vec::new();
        for _ in 0..7 {
            made.push(server.new_customer(&organization, token).await);
        }
        made.reverse();
        let path = format!("/api/organizations/{}/customers?page_size=3", organization.id);
        let (mut cursor, mut read) = (String::new(), Vec::new());
        loop {
            let slice = expect(server.request(Method::GET, &format!("{path}&after={cursor}")).bearer_auth(token), StatusCode::OK).await;
            read.extend(ids(&slice));
            assert_eq!(slice["pagination"]["pageSize"], 3);
            assert_eq!(slice["pagination"]["hasNext"], !slice["pagination"]["nextCursor"].is_null());
            match slice["pagination"]["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
            // The list is newest first: what comes now was before the beginning.
            server.new_customer(&organization, token).await;
        }
        assert_eq!(read, made);
    }

    async fn a_slice_has_the_filters_of_its_list(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}/customers", organization.id);
        for (id, name) in [("1", "Ada"), ("2", "Alan"), ("3", "Grace"), ("4", "Adele")] {
            // An id that the server makes may have the searched letters in it.
            let body = json!({"id": id, "name": name, "email": "x@example.com"});
            expect(server.request(Method::POST, &base).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        }
        let slice = expect(server.request(Method::GET, &format!("{base}?q=ad&after=&page_size=1")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(slice["data"][0]["name"], "Adele");
        let next = slice["pagination"]["nextCursor"].as_str().unwrap();
        let path = format!("{base}?q=ad&after={next}&page_size=1");
        let slice = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&slice["data"][0]["name"], &slice["pagination"]["hasNext"]), (&json!("Ada"), &json!(false)));
    }

    async fn the_audit_trail_and_deliveries_can_be_read_in_slices_too(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let base = format!("/api/organizations/{}", organization.id);
        let hook = json!({"url": "https://example.com/hook", "events": ["customer.created"]});
        let hook = expect(server.request(Method::POST, &format!("{base}/webhooks")).bearer_auth(token).json(&hook), StatusCode::CREATED).await;
        for _ in 0..3 {
            server.new_customer(&organization, token).await;
        }
        let hook = hook["id"].as_str().unwrap();
        for path in [format!("{base}/audit"), format!("{base}/webhooks/{hook}/deliveries")] {
            let all = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
            let (mut cursor, mut read) = (String::new(), Vec::new());
            loop {
                let at = format!("{path}?page_size=2&after={cursor}");
                let slice = expect(server.request(Method::GET, &at).bearer_auth(token), StatusCode::OK).await;
                read.extend(ids(&slice));
                match slice["pagination"]["nextCursor"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(read, ids(&all), "{path}");
        }
    }

    async fn what_is_no_cursor_is_refused_with_the_remedy(server: Server) {
        let organization = server.new_organization().await;
        let path = format!("/api/organizations/{}/customers?after=nonsense", organization.id);
        let refused = expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::BAD_REQUEST).await;
        assert_eq!(refused["errors"][0]["code"], "invalid_cursor");
    }
}
