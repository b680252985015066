//! A hold from its placing to its end, as its record, the list and the audit trail tell it.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use super::{hold, placing, release, releasing};
use crate::exports::{Archive, download, order, order_customer, wait_until_done};
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{change_database, deleted, entries, new_customer, refused};

on_both_engines! {
    async fn a_hold_says_who_placed_and_who_released_it_and_why(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await["id"].clone();
        new_customer(&server, &organization, "user123", None).await;
        let body = json!({"reason": "Case 2026-17", "until": "2099-01-31T12:00:00Z"});
        let path = format!("/api/organizations/{}/customers/user123/holds", organization.id);
        let placed = expect(server.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        assert_eq!((&placed["subject"], &placed["subjectLabel"], &placed["state"]), (&json!("customer"), &json!("user123"), &json!("active")));
        assert_eq!((&placed["reason"], &placed["until"]), (&json!("Case 2026-17"), &json!("2099-01-31T12:00:00.000Z")));
        assert_eq!((&placed["placedBy"], &placed["placedById"]), (&json!("user"), &me));
        assert_eq!((&placed["releasedAt"], &placed["releasedBy"], &placed["releaseReason"]), (&json!(null), &json!(null), &json!(null)));
        let id = placed["id"].as_str().unwrap();
        let read = || server.request(Method::GET, &format!("/api/organizations/{}/holds/{id}", organization.slug)).bearer_auth(token);
        assert_eq!(expect(read(), StatusCode::OK).await, placed);

        let released = release(&server, &organization, id).await;
        assert_eq!((&released["state"], &released["releaseReason"]), (&json!("released"), &json!("The case is closed")));
        assert_eq!((&released["releasedBy"], &released["releasedById"]), (&json!("user"), &me));
        assert!(released["releasedAt"].as_str().unwrap() >= placed["placedAt"].as_str().unwrap());
        assert_eq!(expect(read(), StatusCode::OK).await, released);
        refused(releasing(&server, &organization, id, token), StatusCode::CONFLICT).await;

        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let told = |action: &str, outcome: &str| -> Json {
            let found = trail.iter().find(|entry| entry["action"] == action && entry["outcome"] == outcome);
            found.unwrap_or_else(|| panic!("no {action} {outcome} in {trail:?}")).clone()
        };
        let (placing, releasing) = (told("hold.place", "done"), told("hold.release", "done"));
        for (entry, reason) in [(&placing, "Case 2026-17"), (&releasing, "The case is closed")] {
            assert_eq!((&entry["subject"], &entry["subjectLabel"]), (&json!("customer"), &json!("user123")));
            assert_eq!((&entry["subjectId"], &entry["reason"]), (&placed["subjectId"], &json!(reason)));
            assert_eq!((&entry["detail"], &entry["actorId"]), (&json!(format!("hold {id}")), &me));
        }
        told("hold.release", "blocked");

        // The record outlives the customer, without the customer's id.
        deleted(server.request(Method::DELETE, &path.replace("/holds", "")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let kept = expect(read(), StatusCode::OK).await;
        assert_eq!((&kept["subjectLabel"], &kept["subjectId"]), (&json!(null), &placed["subjectId"]));
    }

    async fn holds_are_listed_by_what_has_become_of_them(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["active", "released", "expired"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let (_, member) = server.new_member(&organization, "member").await;
        let path = format!("/api/organizations/{}", organization.id);
        let mut ids = Vec::new();
        for place in ["/customers/active", "/customers/released", "/customers/expired", &format!("/members/{member}")] {
            ids.push(hold(&server, &organization, place).await);
        }
        release(&server, &organization, &ids[1]).await;
        // Its time has come.
        let expired = ids[2].replace('-', "");
        let id = match server.engine {
            Engine::Sqlite => format!("x'{expired}'"),
            Engine::Postgresql => format!("'{expired}'"),
        };
        change_database(&server, &format!("UPDATE holds SET until = placed_at WHERE id = {id}")).await;
        let listed = async |query: &str| -> Vec<Json> {
            let list = expect(server.request(Method::GET, &format!("{path}/holds{query}")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!(list["pagination"]["totalCount"], list["data"].as_array().unwrap().len());
            list["data"].as_array().unwrap().iter().map(|hold| hold["id"].clone()).collect()
        };
        assert_eq!(listed("").await, [&ids[3], &ids[2], &ids[1], &ids[0]].map(|id| json!(id)));
        assert_eq!(listed("?state=active").await, [&ids[3], &ids[0]].map(|id| json!(id)));
        assert_eq!(listed("?state=released").await, [json!(ids[1])]);
        assert_eq!(listed("?state=expired").await, [json!(ids[2])]);
        refused(server.request(Method::GET, &format!("{path}/holds?state=over")).bearer_auth(token), StatusCode::BAD_REQUEST).await;
        // What has ended stops nothing, and can be released for the record.
        deleted(server.request(Method::DELETE, &format!("{path}/customers/expired")).bearer_auth(token), StatusCode::NO_CONTENT).await;
        assert_eq!(release(&server, &organization, &ids[2]).await["state"], "released");
        refused(server.request(Method::DELETE, &format!("{path}/customers/active")).bearer_auth(token), StatusCode::CONFLICT).await;
    }

    async fn what_is_wrong_with_a_hold_is_said(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/holds", organization.id);
        let place = |body: Json| server.request(Method::POST, &path).bearer_auth(token).json(&body);
        for (body, field) in [
            (json!({}), "reason"),
            (json!({"reason": ""}), "reason"),
            (json!({"reason": "x".repeat(501)}), "reason"),
            (json!({"reason": "x", "until": "2020-01-01T00:00:00Z"}), "until"),
            (json!({"reason": "x", "until": "tomorrow"}), "until"),
        ] {
            let answer = refused(place(body), StatusCode::BAD_REQUEST).await;
            assert_eq!(answer["errors"][0]["field"], field);
        }
        let mut first = None;
        for _ in 0..20 {
            let placed = expect(place(json!({"reason": "é".repeat(500)})), StatusCode::CREATED).await;
            first.get_or_insert(placed["id"].as_str().unwrap().to_owned());
        }
        // A refused deletion names each of them, and so there are only so many.
        refused(place(json!({"reason": "One more"})), StatusCode::CONFLICT).await;
        let body = refused(server.request(Method::DELETE, &path.replace("/holds", "")).bearer_auth(token), StatusCode::CONFLICT).await;
        assert_eq!(body["blockers"].as_array().unwrap().len(), 20);
        release(&server, &organization, &first.unwrap()).await;
        expect(place(json!({"reason": "One more"})), StatusCode::CREATED).await;
        let nothing = server.request(Method::POST, &format!("{path}/{}/release", hold_of(&server, &path, token).await)).bearer_auth(token);
        let answer = refused(nothing.json(&json!({})), StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["errors"][0]["field"], "reason");
    }

    async fn a_hold_can_be_placed_in_an_archive_and_is_in_exports(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["held", "other"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let archive = server.request(Method::POST, &format!("/api/organizations/{}/archive", organization.id)).bearer_auth(token);
        expect(archive, StatusCode::OK).await;
        let id = hold(&server, &organization, "/customers/held").await;
        let made = [
            (order(&server, &organization).await, 1),
            (order_customer(&server, &organization, "held").await, 1),
            (order_customer(&server, &organization, "other").await, 0),
        ];
        for (export, rows) in made {
            wait_until_done(&server, &export, token).await;
            let archive: Archive = download(&server, &export, token).await;
            let holds = archive.rows("holds");
            assert_eq!(holds.len(), rows);
            assert!(holds.iter().all(|row| row["id"] == id && row["reason"] == "Case 2026-17"));
        }
        refused(placing(&server, &organization, "/customers/nobody", token), StatusCode::NOT_FOUND).await;
    }
}

/// Some hold of a list.
async fn hold_of(server: &Server, path: &str, token: &str) -> String {
    entries(server, path, token).await[0]["id"].as_str().unwrap().to_owned()
}
