//! The shortest way through: an organization is made, seen and deleted.

use reqwest::{Method, StatusCode};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, header};

on_both_engines! {
    async fn an_organization_lives_and_dies(server: Server) {
        let organization = server.new_organization().await;
        let customer = server.new_customer(&organization, &organization.owner.token).await;
        server.new_dependant(&organization, &customer, "devices", serde_json::json!({"name": "Laptop"})).await;
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let answer = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let deletion = header(&answer, "deletion-id").to_owned();
        let record = server.wait_for_seal(&deletion, &organization.owner.token).await;
        assert_eq!(record["counts"]["customers"], 1);
        expect(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }
}
