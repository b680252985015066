//! Customers who were softly deleted: listed and read by those who may delete them, and by no one else.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, answered, deleted, entries, new_customer, refused};

on_both_engines! {
    async fn softly_deleted_customers_are_listed_and_read_by_those_who_may_delete_them(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (id, owner) = (&cast.organization.id, cast.token("owner"));
        new_customer(&server, &cast.organization, "here", None).await;
        new_customer(&server, &cast.organization, "gone", None).await;
        new_customer(&server, &cast.organization, "own", Some(cast.member("reseller"))).await;
        for customer in ["gone", "own"] {
            answered(server.request(Method::DELETE, &format!("/customer/{customer}")).bearer_auth(owner), StatusCode::OK).await;
        }
        let lists = [format!("/api/organizations/{id}/customers"), "/customer".to_owned()];
        for list in &lists {
            for role in ["owner", "admin", "master"] {
                let ids: Vec<_> = entries(&server, &format!("{list}?state=deleted"), cast.token(role)).await.iter().map(|one| one["id"].clone()).collect();
                assert_eq!(ids, [json!("own"), json!("gone")], "{list} {role}");
                let read = expect(server.request(Method::GET, &format!("{list}/gone?state=deleted")).bearer_auth(cast.token(role)), StatusCode::OK).await;
                assert!(read["deletedAt"].is_string() && read["email"].is_string(), "{read}");
            }
            let ids: Vec<_> =
                entries(&server, &format!("{list}?state=deleted"), cast.token("reseller")).await.iter().map(|one| one["id"].clone()).collect();
            assert_eq!(ids, [json!("own")], "{list}");
            expect(server.request(Method::GET, &format!("{list}/own?state=deleted")).bearer_auth(cast.token("reseller")), StatusCode::OK).await;
            refused(server.request(Method::GET, &format!("{list}/gone?state=deleted")).bearer_auth(cast.token("reseller")), StatusCode::FORBIDDEN).await;
            for role in ["member", "billing", "viewer"] {
                for path in [format!("{list}?state=deleted"), format!("{list}/gone?state=deleted")] {
                    refused(server.request(Method::GET, &path).bearer_auth(cast.token(role)), StatusCode::FORBIDDEN).await;
                }
            }
            // A key that may read and not delete finds what everybody finds.
            let (_, key) = server.new_api_key(&cast.organization, owner, &["read:customers"]).await;
            refused(server.request(Method::GET, &format!("{list}?state=deleted")).header("X-API-Key", &key), StatusCode::FORBIDDEN).await;
            // Those who are there are in the other list, and no customer is in both.
            let here: Vec<_> = entries(&server, &format!("{list}?state=live"), owner).await.iter().map(|one| one["id"].clone()).collect();
            assert_eq!(here, [json!("here")]);
            assert_eq!(entries(&server, list, owner).await.len(), 1);
            refused(server.request(Method::GET, &format!("{list}/gone")).bearer_auth(owner), StatusCode::NOT_FOUND).await;
            refused(server.request(Method::GET, &format!("{list}/here?state=deleted")).bearer_auth(owner), StatusCode::NOT_FOUND).await;
            let read = expect(server.request(Method::GET, &format!("{list}/here")).bearer_auth(owner), StatusCode::OK).await;
            assert_eq!(read.get("deletedAt"), None);
        }
        deleted(server.request(Method::DELETE, "/customer/gone?hard=true").bearer_auth(owner), StatusCode::OK).await;
        refused(server.request(Method::GET, "/customer/gone?state=deleted").bearer_auth(owner), StatusCode::NOT_FOUND).await;
    }

    async fn one_device_and_one_session_of_a_customer_are_removed(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, owner) = (&cast.organization, cast.token("owner"));
        new_customer(&server, organization, "user123", Some(cast.member("reseller"))).await;
        new_customer(&server, organization, "user124", None).await;
        let base = format!("/api/organizations/{}", organization.id);
        let remove = |path: &str, token: &str| server.request(Method::DELETE, &format!("{base}/customers/{path}")).bearer_auth(token);
        for (kind, body) in [("devices", json!({"name": "Laptop"})), ("sessions", json!({"ipAddress": "192.0.2.7"}))] {
            let mut ids = Vec::new();
            for _ in 0..3 {
                ids.push(server.new_dependant(organization, "user123", kind, body.clone()).await);
            }
            let path = format!("user123/{kind}/{}", ids[0]);
            for role in ["billing", "viewer"] {
                refused(remove(&path, cast.token(role)), StatusCode::FORBIDDEN).await;
            }
            refused(remove(&format!("user124/{kind}/{}", ids[0]), owner), StatusCode::NOT_FOUND).await;
            // What is held stays.
            let held = server.request(Method::POST, &format!("{base}/customers/user123/holds")).bearer_auth(owner);
            let held = expect(held.json(&json!({"reason": "Case 2026-17"})), StatusCode::CREATED).await;
            let blocked = refused(remove(&path, owner), StatusCode::CONFLICT).await;
            assert_eq!(blocked["blockers"][0]["code"], "legal_hold", "{blocked}");
            let release = server.request(Method::POST, &format!("{base}/holds/{}/release", held["id"].as_str().unwrap())).bearer_auth(owner);
            expect(release.json(&json!({"reason": "Over"})), StatusCode::OK).await;

            answered(remove(&format!("{path}?reason=lost"), cast.token("reseller")), StatusCode::NO_CONTENT).await;
            refused(remove(&path, owner), StatusCode::NOT_FOUND).await;
            refused(server.request(Method::GET, &format!("{base}/customers/{path}")).bearer_auth(owner), StatusCode::NOT_FOUND).await;
            assert_eq!(entries(&server, &format!("{base}/customers/user123/{kind}"), owner).await.len(), 2);
            let trail = entries(&server, &format!("{base}/audit"), owner).await;
            let of_removal: Vec<_> = trail.iter().filter(|entry| entry["action"] == "customer.remove_entry" && entry["outcome"] == "done").collect();
            let detail = format!("{kind} {}", ids[0]);
            assert!(of_removal.iter().any(|entry| entry["detail"] == *detail && entry["reason"] == "lost"), "{of_removal:?}");
            assert!(trail.iter().any(|entry| entry["action"] == "customer.remove_entry" && entry["outcome"] != "done"), "refused attempts are there, too");
        }
        for kind in ["subscriptions", "transactions", "activity"] {
            let path = format!("{base}/customers/user123/{kind}/{}", crate::tools::UNKNOWN_ID);
            refused(server.request(Method::DELETE, &path).bearer_auth(owner), StatusCode::METHOD_NOT_ALLOWED).await;
        }
    }
}
