//! Customers who are deleted at the same time: the server may do it in one transaction, and the answers, the records and the audit trail do
//! not show it.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, deleted, entries, new_customer};

on_both_engines! {
    async fn customers_deleted_at_once_each_have_their_own_answer_record_and_entry(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, owner, reseller) = (&cast.organization, cast.token("owner"), cast.token("reseller"));
        let path = format!("/api/organizations/{}/customers", organization.id);
        // Of the first forty, each has as many devices as its number says, up to four; the reseller manages the even ones.
        join_all((0..40).map(async |number| {
            let id = format!("customer-{number}");
            let managed_by = (number % 2 == 0).then(|| cast.member("reseller"));
            new_customer(&server, organization, &id, managed_by).await;
            for _ in 0..number % 5 {
                server.new_dependant(organization, &id, "devices", json!({"name": "Laptop"})).await;
            }
        }))
        .await;
        new_customer(&server, organization, "subscriber", None).await;
        server.new_dependant(organization, "subscriber", "subscriptions", json!({"plan": "basic"})).await;

        let delete = async |id: String, token: &str| {
            let answer = server.request(Method::DELETE, &format!("{path}/{id}")).bearer_auth(token).send().await.unwrap();
            let deletion = answer.headers().get("deletion-id").map(|id| id.to_str().unwrap().to_owned());
            (answer.status(), id, deletion)
        };
        let mut orders: Vec<(String, &str)> = (0..40).map(|number| (format!("customer-{number}"), owner)).collect();
        // Twice the same, one who is unknown, one who is blocked, and those who are not the reseller's.
        orders.extend((0..5).map(|number| (format!("customer-{number}"), owner)));
        orders.extend([("nobody".to_owned(), owner), ("no%20customer".to_owned(), owner), ("subscriber".to_owned(), owner)]);
        orders.push(("subscriber".to_owned(), reseller));
        let answers = join_all(orders.into_iter().map(|(id, token)| delete(id, token))).await;

        let mut outcomes: BTreeMap<(&str, u16), usize> = BTreeMap::new();
        for (status, id, _) in &answers {
            let who = id.split_once('-').map_or(id.as_str(), |(kind, _)| kind);
            *outcomes.entry((who, status.as_u16())).or_default() += 1;
        }
        let wanted = [(("customer", 204), 40), (("customer", 404), 5), (("no%20customer", 404), 1), (("nobody", 404), 1)];
        let refused = [(("subscriber", 403), 1), (("subscriber", 409), 1)];
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), [wanted.as_slice(), &refused].concat());

        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), owner).await;
        for (_, id, deletion) in answers.iter().filter(|(status, ..)| *status == StatusCode::NO_CONTENT) {
            let deletion = deletion.as_deref().unwrap();
            let record = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(owner), StatusCode::OK).await;
            let number: i64 = id.trim_start_matches("customer-").parse().unwrap();
            let devices = record["counts"]["devices"].as_i64().unwrap_or(0);
            assert_eq!((&record["state"], devices), (&json!("completed"), number % 5), "{id}: {record}");
            let of_this = |entry: &&Json| entry["deletionId"] == deletion && entry["action"] == "customer.delete" && entry["outcome"] == "done";
            assert_eq!(trail.iter().filter(of_this).count(), 1, "{id}");
        }
        let left = expect(server.request(Method::GET, &path).bearer_auth(owner), StatusCode::OK).await;
        assert_eq!((&left["pagination"]["totalCount"], &left["data"][0]["id"]), (&json!(1), &json!("subscriber")));
    }

    async fn customers_with_much_on_them_go_in_parts_and_none_waits_for_another(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}/customers", organization.id);
        for number in 0..8 {
            let id = format!("customer-{number}");
            new_customer(&server, &organization, &id, None).await;
            join_all((0..150).map(|_| server.new_dependant(&organization, &id, "activity", json!({"kind": "signed_in"})))).await;
        }
        let orders = (0..8).map(|number| server.request(Method::DELETE, &format!("{path}/customer-{number}")).bearer_auth(token));
        for deletion in join_all(orders.map(|order| deleted(order, StatusCode::NO_CONTENT))).await {
            let record = server.wait_for_completion(&deletion, token).await;
            assert_eq!(record["counts"]["activity_entries"], 150, "{record}");
        }
    }
}
