//! Many customers deleted at once: those of a list and those that meet criteria, each with an outcome of its own.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, StatusCode, header as names};
use serde_json::{Value as Json, json};

use crate::holds::{blockers, hold};
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};
use crate::tools::{answered, deleted, entries, new_customer, refused};

fn purge(server: &Server, organization: &Organization, query: &str, token: &str) -> RequestBuilder {
    let path = format!("/api/organizations/{}/customers:purge{query}", organization.id);
    server.request(Method::POST, &path).bearer_auth(token)
}

pub(super) fn listed(server: &Server, organization: &Organization, query: &str, token: &str, list: impl Into<String>) -> RequestBuilder {
    purge(server, organization, query, token).header(names::CONTENT_TYPE, "text/csv; charset=utf-8").body(list.into())
}

/// Sends an order that must be accepted, and returns the deletion once it is completed.
async fn done(server: &Server, order: RequestBuilder, token: &str) -> Json {
    let answer = answered(order, StatusCode::ACCEPTED).await;
    let deletion = header(&answer, "deletion-id").to_owned();
    assert_eq!(header(&answer, "location"), format!("/api/deletions/{deletion}"));
    let record: Json = answer.json().await.unwrap();
    assert_eq!((&record["id"], &record["root"]), (&json!(deletion), &json!("customer_purge")));
    server.wait_for_completion(&deletion, token).await
}

pub(super) async fn items(server: &Server, deletion: &Json, query: &str, token: &str) -> Vec<Json> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/api/deletions/{}/items?page_size=100&after={after}{query}", deletion["id"].as_str().unwrap());
        let slice = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        all.extend(slice["data"].as_array().unwrap().iter().cloned());
        match slice["pagination"]["nextCursor"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return all,
        }
    }
}

/// The ids of the customers who are there.
pub(super) async fn left(server: &Server, organization: &Organization) -> Vec<String> {
    let path = format!("/api/organizations/{}/customers", organization.id);
    let mut left: Vec<String> = entries(server, &path, &organization.owner.token)
        .await
        .iter()
        .map(|customer| customer["id"].as_str().unwrap().to_owned())
        .collect();
    left.sort();
    left
}

/// Makes customers of these ids, with these fields beside.
pub(super) async fn populate(server: &Server, organization: &Organization, ids: &[String], fields: Json) {
    let path = format!("/api/organizations/{}/customers", organization.id);
    for part in ids.chunks(50) {
        join_all(part.iter().map(async |id| {
            let mut body = json!({"id": id, "name": "Ada Lovelace", "email": "ada@example.com"});
            body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        }))
        .await;
    }
}

pub(super) fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("customer-{number:03}")).collect()
}

on_both_engines! {
    async fn hundreds_of_customers_go_in_one_deletion_and_those_who_stay_are_named_with_the_reason(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        populate(&server, &organization, &ids(0..300), json!({})).await;
        let subscription = server.new_dependant(&organization, "customer-010", "subscriptions", json!({"plan": "basic"})).await;
        let held = hold(&server, &organization, "/customers/customer-250").await;
        for number in 0..3 {
            server.new_dependant(&organization, "customer-020", "devices", json!({"name": format!("device {number}")})).await;
        }
        let mut list = vec!["id".to_owned()];
        list.extend(ids(0..299));
        list.extend(["nobody", "customer-000", "nobody-else"].map(str::to_owned));
        let list = list.join("\r\n");

        // First a look, which changes nothing.
        let expected = json!({"deleted": 297, "blocked": 2, "not_found": 2, "repeated": 1});
        for query in ["", "?force=false", "?force=true&validate_only=true"] {
            let plan = expect(listed(&server, &organization, query, token, &list), StatusCode::OK).await;
            assert_eq!((&plan["count"], &plan["outcomes"]), (&json!(297), &expected), "{query}");
            assert_eq!((plan["sample"].as_array().unwrap().len(), &plan["sample"][0]), (100, &json!("customer-000")));
        }
        assert_eq!(left(&server, &organization).await.len(), 300);

        let completed = done(&server, listed(&server, &organization, "?force=true&reason=Trials", token, &list), token).await;
        assert_eq!((&completed["counts"], &completed["rowsDone"], &completed["rowsToDo"]), (&expected, &json!(302), &json!(0)));
        assert_eq!((&completed["reason"], &completed["actor"]), (&json!("Trials"), &json!("user")));
        assert_eq!(left(&server, &organization).await, ["customer-010", "customer-250", "customer-299"]);

        let all = items(&server, &completed, "", token).await;
        let numbers: Vec<i64> = all.iter().map(|item| item["number"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (1..=302).collect::<Vec<i64>>(), "the order of the list");
        let blocked = items(&server, &completed, "&outcome=blocked", token).await;
        let named: Vec<_> = blocked.iter().map(|item| (item["number"].as_i64().unwrap(), item["customerId"].as_str().unwrap())).collect();
        assert_eq!(named, [(11, "customer-010"), (251, "customer-250")]);
        assert_eq!(blockers(&blocked[0]), [("active_subscription", subscription.as_str())]);
        assert_eq!(blockers(&blocked[1]), [("legal_hold", held.as_str())]);
        let call = &blocked[0]["blockers"][0]["call"];
        let path = format!("/api/organizations/{}/customers/customer-010/subscriptions/{subscription}", organization.id);
        assert_eq!(call, &json!({"method": "PATCH", "path": path}));
        // Items of customers that are gone, or were never there, have no id.
        for item in all.iter().filter(|item| item["outcome"] != "blocked") {
            assert_eq!(item["customerId"], Json::Null, "{item}");
            assert_eq!(item["deletionId"].is_null(), item["outcome"] != "deleted", "{item}");
        }
        // Each has its own receipt and its own entry in the audit trail, in the name of the member who ordered it.
        let own = server.wait_for_completion(all[20]["deletionId"].as_str().unwrap(), token).await;
        assert_eq!((&own["root"], &own["counts"]), (&json!("customer"), &json!({"devices": 3})));
        assert_eq!((&own["subjectId"], &own["requestId"], &own["actorId"]), (&all[20]["subjectId"], &completed["requestId"], &completed["actorId"]));
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let count = |action: &str, outcome: &str| trail.iter().filter(|entry| entry["action"] == action && entry["outcome"] == outcome).count();
        assert_eq!([count("customer.delete", "done"), count("customer.delete", "blocked"), count("customers.purge", "done")], [297, 2, 1]);
        let ordered = trail.iter().find(|entry| entry["action"] == "customers.purge").unwrap();
        assert_eq!((&ordered["detail"], &ordered["reason"]), (&json!("customers: a list of 302"), &json!("Trials")));
        assert!(trail.iter().filter(|entry| entry["action"] == "customer.delete").all(|entry| entry["credentialId"] == ordered["credentialId"]));
    }

    async fn criteria_take_those_who_meet_all_of_them(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (_, member) = server.new_member(&organization, "member").await;
        populate(&server, &organization, &["trial".into()], json!({"metadata": {"plan": "trial", "city": "London"}})).await;
        populate(&server, &organization, &["other".into()], json!({"metadata": {"plan": "paid"}})).await;
        populate(&server, &organization, &["domain".into()], json!({"email": "Ada@Elsewhere.Example"})).await;
        populate(&server, &organization, &["managed".into()], json!({"managedBy": member})).await;
        // Times are told in milliseconds: this takes longer.
        server.new_person().await;
        populate(&server, &organization, &["last".into()], json!({})).await;
        let path = format!("/api/organizations/{}/customers/last", organization.id);
        let last = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let look = async |filter: Json| {
            let plan = expect(purge(&server, &organization, "", token).json(&json!({"filter": filter})), StatusCode::OK).await;
            let mut sample: Vec<String> = plan["sample"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            sample.sort();
            sample.join(" ")
        };
        assert_eq!(look(json!({"all": true})).await, "domain last managed other trial");
        assert_eq!(look(json!({"metadata": {"plan": "trial"}})).await, "trial");
        assert_eq!(look(json!({"metadata": {"plan": "trial", "city": "Paris"}})).await, "");
        assert_eq!(look(json!({"emailDomain": "elsewhere.example"})).await, "domain");
        assert_eq!(look(json!({"managedBy": member})).await, "managed");
        assert_eq!(look(json!({"createdBefore": last["createdAt"]})).await, "domain managed other trial");
        assert_eq!(look(json!({"createdAfter": last["createdAt"], "createdBefore": "9999-01-01T00:00:00Z"})).await, "last");
        assert_eq!(look(json!({"updatedBefore": "2000-01-01T00:00:00Z"})).await, "");

        let order = json!({"filter": {"metadata": {"plan": "trial"}}, "force": true, "reason": "Over"});
        let completed = done(&server, purge(&server, &organization, "", token).json(&order), token).await;
        assert_eq!((&completed["counts"], &completed["reason"]), (&json!({"deleted": 1}), &json!("Over")));
        assert_eq!(left(&server, &organization).await, ["domain", "last", "managed", "other"]);
        // The trail says what was asked for, and nothing about a person.
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), token).await;
        let detail = trail.iter().find(|entry| entry["action"] == "customers.purge").unwrap()["detail"].as_str().unwrap();
        assert!(detail.contains("1 given texts among their metadata") && !detail.contains("trial"), "{detail}");

        // Those who were softly deleted are another matter.
        deleted(server.request(Method::DELETE, "/customer/last").bearer_auth(token).header("X-Organization", &organization.slug), StatusCode::OK).await;
        assert_eq!(look(json!({"all": true})).await, "domain managed other");
        assert_eq!(look(json!({"state": "deleted"})).await, "last");
        let order = json!({"filter": {"state": "deleted"}, "force": true});
        assert_eq!(done(&server, purge(&server, &organization, "", token).json(&order), token).await["counts"], json!({"deleted": 1}));
        new_customer(&server, &organization, "last", None).await;
        let (person, _) = server.new_member(&organization, "member").await;
        refused(purge(&server, &organization, "", &person.token).json(&json!({"filter": {"state": "deleted"}})), StatusCode::FORBIDDEN).await;
    }

    async fn an_order_that_names_its_number_deletes_as_many_customers_or_none(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        populate(&server, &organization, &ids(0..5), json!({})).await;
        server.new_dependant(&organization, "customer-004", "subscriptions", json!({"plan": "basic"})).await;
        let all = json!({"filter": {"all": true}, "force": true});
        let order = |query: &str| purge(&server, &organization, query, token).json(&all);
        let look = async || expect(order("?validate_only=true"), StatusCode::OK).await;
        let plan = look().await;
        assert_eq!((&plan["count"], &plan["complete"]), (&json!(4), &json!(true)));
        // One more who would go, though as many are there.
        let path = format!("/api/organizations/{}/customers/customer-004/subscriptions", organization.id);
        let list = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        let path = format!("{path}/{}", list["data"][0]["id"].as_str().unwrap());
        let cancel = server.request(Method::PATCH, &path).bearer_auth(token).json(&json!({"status": "cancelled"}));
        expect(cancel, StatusCode::OK).await;
        for request in [order("?count=4"), listed(&server, &organization, "?force=true&count=2", token, "customer-000")] {
            let answer = refused(request, StatusCode::PRECONDITION_FAILED).await;
            assert_eq!(answer["drift"][0]["table"], "customers", "{answer}");
        }
        for wrong in ["?count=", "?count=-1", "?count=many", "?count=99999999999999999999"] {
            refused(order(wrong), StatusCode::BAD_REQUEST).await;
        }
        assert_eq!(left(&server, &organization).await.len(), 5);
        let count = look().await["count"].clone();
        let completed = done(&server, order(&format!("?count={count}")), token).await;
        assert_eq!(completed["counts"], json!({"deleted": 5}));
        let listed = listed(&server, &organization, "?force=true&count=0", token, "customer-000");
        assert_eq!(done(&server, listed, token).await["counts"], json!({"not_found": 1}));
    }

    async fn an_order_without_criteria_purges_no_one(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        for (body, field) in [
            (json!({"filter": {}, "force": true}), "filter"),
            (json!({"force": true}), "filter"),
            (json!({"filter": {"metadata": {}}, "force": true}), "filter.metadata"),
            (json!({"filter": {"metadata": {}, "all": true}, "force": true}), "filter.metadata"),
            (json!({"filter": {"createdBefore": null}, "force": true}), "filter.createdBefore"),
            (json!({"filter": {"all": false}, "force": true}), "filter.all"),
            (json!({"filter": {"state": "live"}, "force": true}), "filter.state"),
            (json!({"filter": {"createdbefore": "2000-01-01T00:00:00Z", "all": true}, "force": true}), "filter.createdbefore"),
            (json!({"filter": {"emailDomain": ""}, "force": true}), "filter.emailDomain"),
        ] {
            let answer = refused(purge(&server, &organization, "", token).json(&body), StatusCode::BAD_REQUEST).await;
            let fields: Vec<&str> = answer["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
            assert!(fields.contains(&field), "{body}: {answer}");
        }
        refused(purge(&server, &organization, "", token).body("x"), StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
        for query in ["?force=maybe", "?validate_only=maybe", "?reason=%00"] {
            refused(listed(&server, &organization, query, token, "user123"), StatusCode::BAD_REQUEST).await;
            let all = json!({"filter": {"all": true}, "reason": "Trials"});
            refused(purge(&server, &organization, query, token).json(&all), StatusCode::BAD_REQUEST).await;
        }
        assert_eq!(left(&server, &organization).await, ["user123"]);
        // An empty list deletes no customer.
        let completed = done(&server, listed(&server, &organization, "?force=true", token, "id\n"), token).await;
        assert_eq!(completed["counts"], json!({}));
        assert_eq!(left(&server, &organization).await, ["user123"]);
    }

    async fn a_reseller_purges_only_customers_under_their_own_management(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let (reseller, own) = server.new_member(&organization, "reseller").await;
        for (id, manager) in [("mine-1", Some(own.as_str())), ("mine-2", Some(own.as_str())), ("theirs", None)] {
            new_customer(&server, &organization, id, manager).await;
        }
        let token = &reseller.token;
        let list = "theirs\nmine-1";
        let expected = json!({"deleted": 1, "refused": 1});
        let plan = expect(listed(&server, &organization, "", token, list), StatusCode::OK).await;
        assert_eq!((&plan["outcomes"], &plan["sample"]), (&expected, &json!(["mine-1"])));
        let completed = done(&server, listed(&server, &organization, "?force=true", token, list), token).await;
        assert_eq!(completed["counts"], expected);
        let of_others = &items(&server, &completed, "&outcome=refused", token).await[0];
        assert_eq!(of_others["detail"], "Access denied. This customer is not under your management.");
        let all = json!({"filter": {"all": true}, "force": true});
        assert_eq!(done(&server, purge(&server, &organization, "", token).json(&all), token).await["counts"], json!({"deleted": 1}));
        assert_eq!(left(&server, &organization).await, ["theirs"]);

        // Those who may not delete customers may not purge them, and what became of them is for those who may read the deletion.
        let (viewer, _) = server.new_member(&organization, "viewer").await;
        refused(listed(&server, &organization, "?force=true", &viewer.token, "theirs"), StatusCode::FORBIDDEN).await;
        let path = format!("/api/deletions/{}/items", completed["id"].as_str().unwrap());
        refused(server.request(Method::GET, &path).bearer_auth(&viewer.token), StatusCode::NOT_FOUND).await;
        expect(server.request(Method::GET, &path).bearer_auth(owner), StatusCode::OK).await;
        let outsider = server.new_person().await;
        refused(listed(&server, &organization, "?force=true", &outsider.token, "theirs"), StatusCode::FORBIDDEN).await;
        let trail = entries(&server, &format!("/api/organizations/{}/audit", organization.id), owner).await;
        assert_eq!(trail.iter().filter(|entry| entry["action"] == "customers.purge" && entry["outcome"] == "refused").count(), 2);
    }

    async fn what_is_held_or_archived_as_a_whole_is_not_purged(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let id = hold(&server, &organization, "").await;
        let completed = done(&server, listed(&server, &organization, "?force=1", token, "user123"), token).await;
        assert_eq!(completed["counts"], json!({"blocked": 1}));
        assert_eq!(blockers(&items(&server, &completed, "", token).await[0]), [("legal_hold", id.as_str())]);
        let path = format!("/api/organizations/{}", organization.id);
        expect(server.request(Method::POST, &format!("{path}/archive")).bearer_auth(token), StatusCode::OK).await;
        for query in ["", "?force=true"] {
            refused(listed(&server, &organization, query, token, "user123"), StatusCode::CONFLICT).await;
        }
    }

    async fn a_list_may_be_as_long_as_it_says_and_no_longer(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let long = |ids: usize| {
            let mut list: String = (1..ids).map(|number| format!("{number:0>90}\n")).collect();
            list.push_str("user123");
            list
        };
        let plan = expect(listed(&server, &organization, "", token, long(100_000)), StatusCode::OK).await;
        assert_eq!(plan["outcomes"], json!({"deleted": 1, "not_found": 99_999}));
        let answer = refused(listed(&server, &organization, "?force=true", token, long(100_001)), StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["errors"][0]["field"], "list");
        refused(listed(&server, &organization, "", token, "x".repeat(12 * 1024 * 1024 + 1)), StatusCode::PAYLOAD_TOO_LARGE).await;
        // The server reads from an unknown caller no longer than elsewhere.
        refused(listed(&server, &organization, "", "nobody", long(100_000)), StatusCode::PAYLOAD_TOO_LARGE).await;
        refused(listed(&server, &organization, "", "nobody", "user123"), StatusCode::UNAUTHORIZED).await;
        assert_eq!(left(&server, &organization).await, ["user123"]);
    }

    async fn an_order_that_is_sent_twice_with_one_key_is_one_purge(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        populate(&server, &organization, &ids(0..5), json!({})).await;
        let order = || listed(&server, &organization, "?force=true", token, "customer-000").header("Idempotency-Key", "once");
        let first = done(&server, order(), token).await;
        new_customer(&server, &organization, "customer-000", None).await;
        assert_eq!(done(&server, order(), token).await["id"], first["id"]);
        assert_eq!(left(&server, &organization).await.len(), 5);
        // It is listed among the deletions, and another one has no items.
        let own = items(&server, &first, "", token).await[0]["deletionId"].clone();
        let path = format!("/api/deletions/{}/items", own.as_str().unwrap());
        assert!(entries(&server, &path, token).await.is_empty());
        let roots: Vec<Json> = entries(&server, "/api/deletions", token).await.iter().map(|deletion| deletion["root"].clone()).collect();
        assert_eq!(roots.iter().filter(|root| **root == "customer_purge").count(), 1);
    }
}
