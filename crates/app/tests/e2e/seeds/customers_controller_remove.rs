//! Seed 000: `DELETE /organizations/{organizationId}/customers/{customerId}` of the organizations API.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Server, short};
use crate::tools::{Cast, Credential, Session, UNAUTHORIZED, UNKNOWN_ID, answered, new_customer, refused};

/// The id of the document's example.
const CUSTOMER: &str = "590ce6c56d04f840aa8438af";

on_both_engines! {
    async fn the_documents_request_is_answered_with_204_and_no_body(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        let path = format!("/api/organizations/{}/customers/{CUSTOMER}", organization.id);
        let request = server.request(Method::DELETE, &path).header("Authorization", format!("Bearer {}", organization.owner.token));
        let answer = answered(request, StatusCode::NO_CONTENT).await;
        assert!(!answer.headers().contains_key("content-type"));
        assert_eq!(answer.bytes().await.unwrap().len(), 0);
        refused(server.request(Method::GET, &path).bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn every_form_of_the_organizations_id_and_every_credential_will_do(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:customers"]).await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let credentials = [
            Credential::Bearer(organization.owner.token.clone()),
            Credential::Bearer(session.token),
            Credential::Key(key),
            Credential::Cookie(session.cookie),
        ];
        for id in [organization.id.clone(), organization.slug.clone(), short(&organization.id)] {
            for credential in &credentials {
                new_customer(&server, &organization, CUSTOMER, None).await;
                let path = format!("/api/organizations/{id}/customers/{CUSTOMER}");
                answered(credential.on(server.request(Method::DELETE, &path)), StatusCode::NO_CONTENT).await;
            }
        }
    }

    async fn without_a_good_credential_it_is_401(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        for (organization, customer) in [(organization.id.as_str(), CUSTOMER), (organization.id.as_str(), "nobody"), (UNKNOWN_ID, CUSTOMER)]
        {
            let path = format!("/api/organizations/{organization}/customers/{customer}");
            let body = refused(server.request(Method::DELETE, &path), StatusCode::UNAUTHORIZED).await;
            assert_eq!(body["message"], UNAUTHORIZED);
            let request = server.request(Method::DELETE, &path).header("Authorization", "Bearer <your_token>");
            let body = refused(request, StatusCode::UNAUTHORIZED).await;
            assert_eq!(body["message"], UNAUTHORIZED);
        }
    }

    async fn only_those_who_work_with_customers_may(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let path = format!("/api/organizations/{}/customers/{CUSTOMER}", organization.id);
        for role in ["owner", "admin", "master", "member"] {
            new_customer(&server, organization, CUSTOMER, None).await;
            answered(server.request(Method::DELETE, &path).bearer_auth(cast.token(role)), StatusCode::NO_CONTENT).await;
        }
        new_customer(&server, organization, CUSTOMER, Some(cast.member("admin"))).await;
        for role in ["billing", "viewer", "reseller"] {
            let body = refused(server.request(Method::DELETE, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
            assert!(body["message"].as_str().unwrap().starts_with("Access denied."), "{body}");
        }
        answered(server.request(Method::DELETE, &path).bearer_auth(cast.token("owner")), StatusCode::NO_CONTENT).await;
        new_customer(&server, organization, CUSTOMER, Some(cast.member("reseller"))).await;
        answered(server.request(Method::DELETE, &path).bearer_auth(cast.token("reseller")), StatusCode::NO_CONTENT).await;
    }

    async fn an_outsider_is_refused_in_the_documents_words(server: Server) {
        let organization = server.new_organization().await;
        let outsider = server.new_organization().await.owner;
        new_customer(&server, &organization, CUSTOMER, None).await;
        for customer in [CUSTOMER, "nobody"] {
            let path = format!("/api/organizations/{}/customers/{customer}", organization.id);
            let body = refused(server.request(Method::DELETE, &path).bearer_auth(&outsider.token), StatusCode::FORBIDDEN).await;
            assert_eq!((&body["statusCode"], &body["message"]), (&json!(403), &json!("User is not a member of this organization.")));
        }
    }

    async fn a_customer_that_is_not_there_is_404_in_the_documents_words(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        new_customer(&server, &elsewhere, "of-another-organization", None).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let remove = |customer: &str| server.request(Method::DELETE, &format!("{path}/{customer}")).bearer_auth(&organization.owner.token);
        answered(remove(CUSTOMER), StatusCode::NO_CONTENT).await;
        let long = "x".repeat(1_000);
        for customer in [CUSTOMER, "nobody", "of-another-organization", "a%2Fb", "%C3%A9", long.as_str()] {
            let body = refused(remove(customer), StatusCode::NOT_FOUND).await;
            assert_eq!((&body["statusCode"], &body["message"]), (&json!(404), &json!("Customer not found.")));
        }
        let request = server.request(Method::DELETE, &format!("/api/organizations/{UNKNOWN_ID}/customers/{CUSTOMER}"));
        let body = refused(request.bearer_auth(&organization.owner.token), StatusCode::NOT_FOUND).await;
        assert_eq!(body["message"], "Organization not found");
    }

    async fn the_id_is_free_again_and_no_other_customer_is_touched(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers", organization.id);
        let token = &organization.owner.token;
        answered(server.request(Method::DELETE, &format!("{path}/{CUSTOMER}")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        answered(server.request(Method::GET, &format!("{path}/user123")).bearer_auth(token), StatusCode::OK).await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        answered(server.request(Method::GET, &format!("{path}/{CUSTOMER}")).bearer_auth(token), StatusCode::OK).await;
    }

    async fn a_key_needs_the_scope_whatever_its_makers_role(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, CUSTOMER, None).await;
        let others = ["read:customers", "write:members", "write:organization"];
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &others).await;
        let path = format!("/api/organizations/{}/customers/{CUSTOMER}", organization.id);
        let body = refused(server.request(Method::DELETE, &path).header("X-API-Key", key), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "Access denied. This credential lacks the scope write:customers.");
    }
}
