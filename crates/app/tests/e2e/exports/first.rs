//! `?export=true` on a deletion: access ends at once, and nothing is erased before the archive is there.

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use super::{download, wait_until_done};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, deleted, new_customer, refused};

/// The export that a deletion's record names.
async fn export_of(server: &Server, deletion: &str, token: &str) -> String {
    let record: Json = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token), StatusCode::OK).await;
    record["exportId"].as_str().unwrap_or_else(|| panic!("{record}")).to_owned()
}

on_both_engines! {
    async fn an_organization_is_exported_before_it_is_erased_and_no_one_gets_in_meanwhile(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["ada", "grace"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let (_, key) = server.new_api_key(&organization, token, &["read:customers"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &format!("{path}?export=true")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, &format!("{path}/customers")).header("X-API-Key", &key), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::GET, &path).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let export = export_of(&server, &deletion, token).await;
        let completed = server.wait_for_completion(&deletion, token).await;
        assert_eq!(completed["counts"]["customers"], 2);
        wait_until_done(&server, &export, token).await;
        let archive = download(&server, &export, token).await;
        assert_eq!(archive.rows("customers").len(), 2);
        assert_eq!(archive.rows("organizations").len(), 1);
    }

    async fn a_customer_who_would_be_gone_at_once_waits_for_the_export_too(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "ada", None).await;
        new_customer(&server, &organization, "grace", None).await;
        let path = |customer: &str, query: &str| format!("/api/organizations/{}/customers/{customer}{query}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path("ada", "?export=true")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, &path("ada", "")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let export = export_of(&server, &deletion, token).await;
        server.wait_for_completion(&deletion, token).await;
        wait_until_done(&server, &export, token).await;
        let archive = download(&server, &export, token).await;
        let rows = archive.rows("customers");
        let named: Vec<&Json> = rows.iter().map(|row| &row["reference"]).collect();
        assert_eq!(named, ["ada"]);
        expect(server.request(Method::GET, &path("grace", "")).bearer_auth(token), StatusCode::OK).await;
    }

    async fn who_may_delete_and_not_export_is_refused_and_nothing_is_deleted(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "ada", None).await;
        let path = format!("/api/organizations/{}/customers/ada", cast.organization.id);
        refused(server.request(Method::DELETE, &format!("{path}?export=true")).bearer_auth(cast.token("member")), StatusCode::FORBIDDEN).await;
        expect(server.request(Method::GET, &path).bearer_auth(cast.token("owner")), StatusCode::OK).await;
        refused(server.request(Method::DELETE, &format!("{path}?export=perhaps")).bearer_auth(cast.token("owner")), StatusCode::BAD_REQUEST).await;
        deleted(server.request(Method::DELETE, &path).bearer_auth(cast.token("member")), StatusCode::NO_CONTENT).await;
    }
}
