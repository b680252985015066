//! Metadata of organizations, keys and customers: flat texts that merge, and lists filtered by them.

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{new_customer, refused};

on_both_engines! {
    async fn metadata_merges_on_organizations_and_keys_and_an_empty_text_takes_a_key_away(server: Server) {
        let owner = server.new_person().await;
        let call = |method: Method, path: &str, body: &Json| server.request(method, path).bearer_auth(&owner.token).json(body);
        let body = json!({"name": "Acme", "slug": "acme", "metadata": {"plan": "gold", "from": "web"}});
        let made = expect(call(Method::POST, "/api/organizations", &body), StatusCode::CREATED).await;
        assert_eq!(made["metadata"], json!({"plan": "gold", "from": "web"}));
        let key = json!({"name": "Import", "metadata": {"plan": "gold", "from": "web"}});
        let key = expect(call(Method::POST, "/api/organizations/acme/api-keys", &key), StatusCode::CREATED).await["id"].as_str().unwrap().to_owned();
        let organization = format!("/organizations/{}", made["id"].as_str().unwrap());
        let key = format!("{organization}/api-keys/{key}");
        let full: serde_json::Map<String, Json> = (0..50).map(|number| (format!("key{number}"), json!("x"))).collect();
        let places = [
            (Method::PUT, format!("/api{organization}"), StatusCode::BAD_REQUEST),
            (Method::PATCH, format!("/api{key}"), StatusCode::BAD_REQUEST),
            (Method::PUT, format!("/account/api/v1{organization}"), StatusCode::UNPROCESSABLE_ENTITY),
            (Method::PATCH, format!("/account/api/v1{key}"), StatusCode::UNPROCESSABLE_ENTITY),
        ];
        for (method, path, invalid) in places {
            expect(call(method.clone(), &path, &json!({"metadata": {"plan": "gold", "from": "web", "more": ""}})), StatusCode::OK).await;
            let changed = expect(call(method.clone(), &path, &json!({"metadata": {"plan": "silver", "from": "", "note": "ü"}})), StatusCode::OK).await;
            assert_eq!(changed["metadata"], json!({"plan": "silver", "note": "ü"}), "{path}");
            let same = expect(call(method.clone(), &path, &json!({"name": "Renamed"})), StatusCode::OK).await;
            assert_eq!(same["metadata"], changed["metadata"], "{path}");
            assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(&owner.token), StatusCode::OK).await["metadata"], changed["metadata"]);
            for wrong in [
                json!({"x".repeat(41): "text"}),
                json!({"key": "x".repeat(501)}),
                json!({"": "text"}),
                json!({"key": 7}),
                json!({"key": {"inner": "text"}}),
                json!(["text"]),
                Json::Object(full.clone()),
            ] {
                refused(call(method.clone(), &path, &json!({"metadata": wrong})), invalid).await;
            }
            let cleared = expect(call(method, &path, &json!({"metadata": {"plan": "", "note": ""}})), StatusCode::OK).await;
            assert_eq!(cleared["metadata"], json!({}), "{path}");
        }
    }

    async fn lists_are_filtered_by_texts_of_their_metadata(server: Server) {
        let owner = server.new_person().await;
        let post = |path: &str, body: Json| server.request(Method::POST, path).bearer_auth(&owner.token).json(&body);
        let metadata = [json!({"plan": "gold", "a.b [c]": "it's \"so\" & $more"}), json!({"plan": "gold", "from": "web"}), json!({"plan": "Gold"}), json!({})];
        let mut first = String::new();
        for (number, metadata) in metadata.iter().enumerate() {
            let slug = format!("org{number}");
            let made = expect(post("/api/organizations", json!({"name": slug, "slug": slug, "metadata": metadata})), StatusCode::CREATED).await;
            if number == 0 {
                first = made["id"].as_str().unwrap().to_owned();
            }
            for keys in ["/api/organizations/org0/api-keys", "/api/users/me/api-keys"] {
                expect(post(keys, json!({"name": slug, "metadata": metadata})), StatusCode::CREATED).await;
            }
            let customer = json!({"id": slug, "name": slug, "email": "ada@example.com", "metadata": metadata});
            expect(post("/api/organizations/org0/customers", customer), StatusCode::CREATED).await;
        }
        let keys = format!("/account/api/v1/organizations/{first}/api-keys");
        let lists = [
            ("/api/organizations", StatusCode::BAD_REQUEST),
            ("/account/api/v1/organizations", StatusCode::UNPROCESSABLE_ENTITY),
            ("/api/organizations/org0/api-keys", StatusCode::BAD_REQUEST),
            ("/api/users/me/api-keys", StatusCode::BAD_REQUEST),
            (keys.as_str(), StatusCode::UNPROCESSABLE_ENTITY),
            ("/api/organizations/org0/customers", StatusCode::BAD_REQUEST),
            ("/customer", StatusCode::UNPROCESSABLE_ENTITY),
        ];
        for (path, invalid) in lists {
            let list = |query: &[(&str, &str)]| {
                let query = Url::parse_with_params("http://localhost", query).unwrap().query().unwrap().to_owned();
                let request = server.request(Method::GET, &format!("{path}?{query}")).bearer_auth(&owner.token);
                if path == "/customer" { request.header("X-Organization", "org0") } else { request }
            };
            let names = async |query: &[(&str, &str)]| {
                let page = expect(list(query), StatusCode::OK).await;
                let mut names: Vec<String> = page["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
                names.sort();
                let total = page["pagination"]["totalCount"].as_u64().or(page["pagination"]["total_count"].as_u64());
                assert_eq!(total, Some(names.len() as u64), "{path} {query:?}");
                names
            };
            assert_eq!(names(&[("metadata[plan]", "gold")]).await, ["org0", "org1"], "{path}");
            assert_eq!(names(&[("metadata[plan]", "gold"), ("metadata[from]", "web")]).await, ["org1"], "{path}");
            assert_eq!(names(&[("metadata[a.b [c]]", "it's \"so\" & $more")]).await, ["org0"], "{path}");
            assert_eq!(names(&[("metadata[plan]", "silver")]).await, [""; 0], "{path}");
            assert_eq!(names(&[("metadata[$]", "gold")]).await, [""; 0], "{path}");
            for wrong in [
                vec![("metadata[plan]", "")],
                vec![("metadata[]", "gold")],
                vec![("metadata", "gold")],
                vec![("metadata[plan]", "gold"), ("metadata[plan]", "silver")],
                vec![("metadata[a]", "1"), ("metadata[b]", "1"), ("metadata[c]", "1"), ("metadata[d]", "1"), ("metadata[e]", "1"), ("metadata[f]", "1"),
                     ("metadata[g]", "1"), ("metadata[h]", "1"), ("metadata[i]", "1"), ("metadata[j]", "1"), ("metadata[k]", "1")],
            ] {
                let answer = list(&wrong).send().await.unwrap();
                assert!([invalid, StatusCode::BAD_REQUEST].contains(&answer.status()), "{path} {wrong:?}: {}", answer.status());
            }
        }
    }

    async fn a_pass_is_a_number_or_a_text_and_the_same_either_way(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let add = |pass: Json| server.request(Method::PATCH, "/customer/addscreen/user123").bearer_auth(token).json(&json!({"passId": pass}));
        assert_eq!(expect(add(json!(7)), StatusCode::OK).await["screens"], 1);
        refused(add(json!("7")), StatusCode::CONFLICT).await;
        refused(add(json!(7)), StatusCode::CONFLICT).await;
        assert_eq!(expect(add(json!("8")), StatusCode::OK).await["screens"], 2);
        refused(add(json!(8)), StatusCode::CONFLICT).await;
        assert_eq!(expect(add(json!(9_007_199_254_740_993_i64)), StatusCode::OK).await["screens"], 3);
        for wrong in [json!(7.5), json!(true), json!(["7"]), Json::Null, json!("")] {
            refused(add(wrong), StatusCode::UNPROCESSABLE_ENTITY).await;
        }
    }
}
