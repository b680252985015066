//! Lists that are narrowed down: by text, by address, by role, by manager.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, refused};

async fn make(server: &Server, organization: &Organization, id: &str, name: &str, email: &str, managed_by: Option<&str>) {
    let path = format!("/api/organizations/{}/customers", organization.id);
    let body = json!({"id": id, "name": name, "email": email, "managedBy": managed_by});
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
}

/// The ids of the customers that a query finds, in their alphabet's order, held against the total.
async fn found(server: &Server, path: &str, query: &str, token: &str) -> Vec<String> {
    let list = expect(server.request(Method::GET, &format!("{path}?{query}")).bearer_auth(token), StatusCode::OK).await;
    let mut ids: Vec<String> = list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(list["pagination"]["totalCount"], ids.len(), "{query}");
    ids.sort_unstable();
    ids
}

on_both_engines! {
    async fn customers_are_found_by_a_part_of_their_name_address_or_id_in_whatever_case(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        make(&server, &organization, "A-1", "Ada Lovelace", "Ada@example.com", None).await;
        make(&server, &organization, "A-2", "Émile Zola", "emile@example.org", None).await;
        make(&server, &organization, "B-3", "100% Ducks_and!Geese", "ducks@example.com", None).await;
        for path in [format!("/api/organizations/{}/customers", organization.id), "/customer".to_owned()] {
            for (query, wanted) in [
                ("q=LOVE", vec!["A-1"]),
                ("q=a-", vec!["A-1", "A-2"]),
                ("q=EXAMPLE.com", vec!["A-1", "B-3"]),
                ("q=%C3%A9mile", vec!["A-2"]),
                ("q=%C3%89MILE", vec!["A-2"]),
                ("q=%25", vec!["B-3"]),
                ("q=0%25+d", vec!["B-3"]),
                ("q=_", vec!["B-3"]),
                ("q=!", vec!["B-3"]),
                ("q=nobody", vec![]),
                ("q=", vec!["A-1", "A-2", "B-3"]),
                ("email=ada%40EXAMPLE.com", vec!["A-1"]),
                ("email=ada", vec![]),
                ("q=duck&email=ada%40example.com", vec![]),
            ] {
                assert_eq!(found(&server, &path, query, token).await, wanted, "{path} {query}");
            }
            let too_long = format!("{path}?q={}", "x".repeat(201));
            let status = if path == "/customer" { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
            refused(server.request(Method::GET, &too_long).bearer_auth(token), status).await;
            refused(server.request(Method::GET, &format!("{path}?q=%00")).bearer_auth(token), status).await;
            refused(server.request(Method::GET, &format!("{path}?email=%00")).bearer_auth(token), status).await;
            refused(server.request(Method::GET, &format!("{path}?managedBy=")).bearer_auth(token), status).await;
            refused(server.request(Method::GET, &format!("{path}?managedBy=nobody")).bearer_auth(token), status).await;
        }
    }

    async fn customers_are_found_by_their_manager_and_a_reseller_finds_their_own_only(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, reseller, admin) = (&cast.organization, cast.member("reseller"), cast.member("admin"));
        make(&server, organization, "one", "Ada", "ada@example.com", Some(reseller)).await;
        make(&server, organization, "two", "Alan", "alan@example.com", Some(reseller)).await;
        make(&server, organization, "three", "Ada", "ada@example.com", Some(admin)).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let owner = cast.token("owner");
        assert_eq!(found(&server, &path, &format!("managedBy={reseller}"), owner).await, ["one", "two"]);
        assert_eq!(found(&server, &path, &format!("managedBy={}&q=ada", short(reseller)), owner).await, ["one"]);
        assert_eq!(found(&server, &path, &format!("managedBy={admin}"), owner).await, ["three"]);
        let theirs = cast.token("reseller");
        assert_eq!(found(&server, &path, "q=ada", theirs).await, ["one"]);
        assert_eq!(found(&server, &path, &format!("managedBy={reseller}"), theirs).await, ["one", "two"]);
        assert_eq!(found(&server, &path, &format!("managedBy={admin}"), theirs).await, Vec::<String>::new());
    }

    async fn members_are_found_by_role_and_by_a_part_of_their_name_or_address(server: Server) {
        let cast = Cast::assemble(&server).await;
        let api = format!("/api/organizations/{}/members", cast.organization.id);
        let account = format!("/account/api/v1/organizations/{}/members", short(&cast.organization.id));
        let roles = async |path: &str, query: &str| -> Vec<Json> {
            let list = expect(server.request(Method::GET, &format!("{path}?{query}")).bearer_auth(cast.token("owner")), StatusCode::OK).await;
            list["data"].as_array().unwrap().iter().map(|member| member["role"].clone()).collect()
        };
        assert_eq!(roles(&api, "role=admin").await, ["admin"]);
        assert_eq!(roles(&account, "role=manager").await, ["manager"]);
        assert_eq!(roles(&account, "role=editor&q=PERSON").await, ["editor"]);
        let address = cast.email("billing").to_uppercase();
        assert_eq!(roles(&api, &format!("q={address}")).await, ["billing"]);
        assert_eq!(roles(&account, "q=person").await.len(), 7);
        assert_eq!(roles(&api, "q=%25").await.len(), 0);
        assert_eq!(roles(&api, "role=viewer&q=nobody").await.len(), 0);
        refused(server.request(Method::GET, &format!("{api}?role=manager")).bearer_auth(cast.token("owner")), StatusCode::BAD_REQUEST).await;
        let unknown = server.request(Method::GET, &format!("{account}?role=king")).bearer_auth(cast.token("owner"));
        refused(unknown, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
}
