//! Who may export, see and download what, and what is written down about it.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::{made, order, order_customer, wait_until_done};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, OTHER_ROLES, UNKNOWN_ID, answered, entries, new_customer, refused};

on_both_engines! {
    async fn an_organization_is_exported_by_its_owner_and_a_customer_by_admins_too(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "ada", Some(cast.member("reseller"))).await;
        let path = format!("/api/organizations/{}", cast.organization.id);
        let of_organization = |token: &str| server.request(Method::POST, &format!("{path}/exports")).bearer_auth(token);
        let of_customer = |token: &str| server.request(Method::POST, &format!("{path}/customers/ada/exports")).bearer_auth(token);
        answered(of_organization(cast.token("owner")), StatusCode::ACCEPTED).await;
        for role in OTHER_ROLES {
            refused(of_organization(cast.token(role)), StatusCode::FORBIDDEN).await;
            let status = if role == "admin" { StatusCode::ACCEPTED } else { StatusCode::FORBIDDEN };
            assert_eq!(of_customer(cast.token(role)).send().await.unwrap().status(), status, "{role}");
        }
        answered(of_customer(cast.token("owner")), StatusCode::ACCEPTED).await;
        refused(of_organization(&cast.outsider.token), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::POST, &format!("{path}/exports")), StatusCode::UNAUTHORIZED).await;
        let unknown = server.request(Method::POST, &format!("{path}/customers/nobody/exports")).bearer_auth(cast.token("owner"));
        refused(unknown, StatusCode::NOT_FOUND).await;
        let list = |role: &str| {
            let (path, token) = (format!("{path}/exports"), cast.token(role).to_owned());
            let server = &server;
            async move { entries(server, &path, &token).await }
        };
        assert_eq!((list("owner").await.len(), list("admin").await.len()), (3, 2));
        assert!(list("admin").await.iter().all(|export| export["root"] == "customer"));
        for role in OTHER_ROLES.into_iter().filter(|role| *role != "admin") {
            refused(server.request(Method::GET, &format!("{path}/exports")).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
        }
    }

    async fn an_export_is_nothing_to_strangers(server: Server) {
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        new_customer(&server, organization, "ada", None).await;
        let of_organization = made(&server, organization).await;
        let of_customer = order_customer(&server, organization, "ada").await;
        wait_until_done(&server, &of_customer, cast.token("owner")).await;
        let elsewhere = server.new_organization().await.owner;
        for export in [&of_organization, &of_customer] {
            let path = format!("/api/exports/{export}");
            let ways = [(Method::GET, path.clone()), (Method::GET, format!("{path}/download")), (Method::DELETE, path)];
            for (method, path) in ways {
                let ask = || server.request(method.clone(), &path);
                for stranger in [&cast.outsider.token, &elsewhere.token] {
                    let body = refused(ask().bearer_auth(stranger), StatusCode::NOT_FOUND).await;
                    assert_eq!(body["message"], "Export not found.");
                }
                refused(ask(), StatusCode::UNAUTHORIZED).await;
                for role in OTHER_ROLES.into_iter().filter(|role| *role != "admin" || export == &of_organization) {
                    refused(ask().bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
                }
            }
        }
        let unknown = server.request(Method::GET, &format!("/api/exports/{UNKNOWN_ID}")).bearer_auth(cast.token("owner"));
        refused(unknown, StatusCode::NOT_FOUND).await;
        for suffix in ["", "/download"] {
            let ask = server.request(Method::GET, &format!("/api/exports/{of_customer}{suffix}")).bearer_auth(cast.token("admin"));
            answered(ask, StatusCode::OK).await;
        }
    }

    async fn a_key_exports_within_its_scopes(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "ada", None).await;
        let (_, reader) = server.new_api_key(&organization, token, &["read:customers"]).await;
        let (_, other) = server.new_api_key(&organization, token, &["read:members"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let by = |request: RequestBuilder, key: &str| request.header("X-API-Key", key);
        let of_customer = || server.request(Method::POST, &format!("{path}/customers/ada/exports"));
        let of_organization = || server.request(Method::POST, &format!("{path}/exports"));
        answered(by(of_customer(), &reader), StatusCode::ACCEPTED).await;
        refused(by(of_organization(), &reader), StatusCode::FORBIDDEN).await;
        refused(by(of_customer(), &other), StatusCode::FORBIDDEN).await;
        let export = made(&server, &organization).await;
        refused(by(server.request(Method::GET, &format!("/api/exports/{export}")), &reader), StatusCode::FORBIDDEN).await;
        refused(by(server.request(Method::GET, &format!("/api/exports/{export}/download")), &reader), StatusCode::FORBIDDEN).await;
    }

    async fn every_step_is_in_the_audit_trail(server: Server) {
        let cast = Cast::assemble(&server).await;
        let export = made(&server, &cast.organization).await;
        let path = format!("/api/exports/{export}");
        refused(server.request(Method::GET, &format!("{path}/download")).bearer_auth(cast.token("admin")), StatusCode::FORBIDDEN).await;
        refused(server.request(Method::GET, &format!("{path}/download")).bearer_auth(&cast.outsider.token), StatusCode::NOT_FOUND).await;
        answered(server.request(Method::GET, &format!("{path}/download")).bearer_auth(cast.token("owner")), StatusCode::OK).await;
        answered(server.request(Method::DELETE, &path).bearer_auth(cast.token("owner")), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::POST, &format!("/api/organizations/{}/exports", cast.organization.id)).bearer_auth(cast.token("viewer")), StatusCode::FORBIDDEN).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", cast.organization.id), cast.token("owner")).await;
        let told: Vec<(&str, &str)> = trail
            .iter()
            .filter(|entry| entry["action"].as_str().unwrap().starts_with("export."))
            .map(|entry| (entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
            .rev()
            .collect();
        let wanted = [
            ("export.create", "done"),
            ("export.download", "refused"),
            ("export.download", "not_found"),
            ("export.download", "done"),
            ("export.delete", "done"),
            ("export.create", "refused"),
        ];
        assert_eq!(told, wanted);
        let done = trail.iter().find(|entry| entry["action"] == "export.download" && entry["outcome"] == "done").unwrap();
        assert_eq!((&done["subjectId"], &done["detail"]), (&json!(cast.organization.id), &json!(format!("export {export}"))));
    }

    async fn no_more_exports_are_kept_than_may_be(server: Server) {
        let organization = server.new_organization().await;
        let mut first = None;
        for _ in 0..10 {
            let export = order(&server, &organization).await;
            first.get_or_insert(export);
        }
        let again = || server.request(Method::POST, &format!("/api/organizations/{}/exports", organization.id)).bearer_auth(&organization.owner.token);
        refused(again(), StatusCode::CONFLICT).await;
        let path = format!("/api/exports/{}", first.unwrap());
        expect(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        answered(again(), StatusCode::ACCEPTED).await;
    }
}
