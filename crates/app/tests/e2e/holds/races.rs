//! A hold that is placed while its subject is being deleted: one of the two comes first, and the other is told so.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};

use super::{placing, release};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server};

async fn after(start: Duration, request: RequestBuilder) -> reqwest::Response {
    tokio::time::sleep(start).await;
    request.send().await.unwrap()
}

/// Places and deletes at once, one of them up to a millisecond later than the other. Returns whether the hold came first.
async fn race(server: &Server, organization: &Organization, place: &str, delete: RequestBuilder, round: u64) -> bool {
    let place = placing(server, organization, place, &organization.owner.token);
    let start = Duration::from_micros(round % 5 * 250);
    let (held, deleted) = match round % 2 {
        0 => tokio::join!(after(Duration::ZERO, place), after(start, delete)),
        _ => tokio::join!(after(start, place), after(Duration::ZERO, delete)),
    };
    let statuses = (held.status(), deleted.status());
    match statuses {
        (StatusCode::CREATED, StatusCode::CONFLICT) => {
            let record: serde_json::Value = held.json().await.unwrap();
            release(server, organization, record["id"].as_str().unwrap()).await;
            true
        }
        (StatusCode::NOT_FOUND, StatusCode::NO_CONTENT | StatusCode::OK) => false,
        _ => panic!("placing and deleting were answered with {statuses:?}"),
    }
}

on_both_engines! {
    async fn either_the_hold_or_the_deletion_of_a_customer_comes_first(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for round in 0..60 {
            let customer = server.new_customer(&organization, token).await;
            let path = match round % 3 {
                0 => format!("/customer/{customer}?hard=true"),
                _ => format!("/api/organizations/{}/customers/{customer}", organization.id),
            };
            let delete = server.request(Method::DELETE, &path).bearer_auth(token);
            race(&server, &organization, &format!("/customers/{customer}"), delete, round).await;
        }
    }

    async fn either_the_hold_or_the_removal_of_a_member_comes_first(server: Server) {
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        for round in 0..30 {
            let member = server.add_member(&organization, &person, "member").await;
            let path = format!("/api/organizations/{}/members/{member}", organization.id);
            let remove = || server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token);
            if race(&server, &organization, &format!("/members/{member}"), remove(), round).await {
                assert_eq!(remove().send().await.unwrap().status(), StatusCode::NO_CONTENT);
            }
        }
    }

    async fn either_a_hold_in_an_organization_or_its_deletion_comes_first(server: Server) {
        let owner = server.new_person().await;
        for round in 0..30 {
            let organization = server.found_organization(&owner).await;
            let customer = server.new_customer(&organization, &owner.token).await;
            let place = if round % 3 == 0 { String::new() } else { format!("/customers/{customer}") };
            let delete = server.request(Method::DELETE, &format!("/api/organizations/{}", organization.id)).bearer_auth(&owner.token);
            race(&server, &organization, &place, delete, round).await;
        }
    }
}
