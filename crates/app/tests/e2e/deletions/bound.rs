//! A deletion that is bound to a plan does what that says, or nothing: what came, went or was exchanged since is told, table by table.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, short};
use crate::tools::{Cast, answered, change_database, deleted, new_customer, refused};

/// The plan of what is deleted at an address, as its token and as a whole.
async fn plan(server: &Server, path: &str, token: &str) -> (String, Json) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let plan = expect(server.request(Method::GET, &format!("{path}/deletion-plan?{query}")).bearer_auth(token), StatusCode::OK).await;
    (plan["plan"].as_str().unwrap().to_owned(), plan)
}

/// A deletion that is bound to a plan.
fn delete(server: &Server, path: &str, plan: &str, token: &str) -> RequestBuilder {
    let mark = if path.contains('?') { '&' } else { '?' };
    server.request(Method::DELETE, &format!("{path}{mark}plan={plan}")).bearer_auth(token)
}

/// Rows by table that would be touched, without the subject's own, which no receipt counts.
fn touched(plan: &Json) -> BTreeMap<String, i64> {
    let (_, tables) = plan["tables"].as_array().unwrap().split_last().unwrap();
    let mut touched = BTreeMap::new();
    for table in tables.iter().filter(|table| table["fate"] != "kept" && table["rows"] != 0) {
        *touched.entry(table["table"].as_str().unwrap().to_owned()).or_default() += table["rows"].as_i64().unwrap();
    }
    touched
}

fn counts(receipt: &Json) -> BTreeMap<String, i64> {
    receipt["counts"].as_object().unwrap().iter().map(|(table, rows)| (table.clone(), rows.as_i64().unwrap())).collect()
}

/// An organization with some of everything that can be deleted, as the addresses at which each is, the organization's own last.
async fn furnish(server: &Server) -> (Organization, String, Vec<String>) {
    let organization = server.new_organization().await;
    let path = format!("/api/organizations/{}", organization.id);
    let token = organization.owner.token.clone();
    let (admin, member) = server.new_member(&organization, "admin").await;
    server.sign_in(&admin.email, Some(&organization.slug)).await;
    for customer in ["one", "two", "three"] {
        new_customer(server, &organization, customer, Some(&member)).await;
        for kind in ["devices", "devices", "activity", "sessions"] {
            let body = if kind == "activity" { json!({"kind": "signed_in"}) } else { json!({"name": "Laptop"}) };
            let body = if kind == "sessions" { json!({"ipAddress": "192.0.2.7"}) } else { body };
            server.new_dependant(&organization, customer, kind, body).await;
        }
    }
    let (key, _) = server.new_api_key(&organization, &token, &["read:organization"]).await;
    server.new_api_key(&organization, &admin.token, &["read:organization"]).await;
    let made = async |path: String, body: Json| {
        let made = expect(server.request(Method::POST, &path).bearer_auth(&token).json(&body), StatusCode::CREATED).await;
        made["id"].as_str().unwrap().to_owned()
    };
    let invitation = made(format!("{path}/members/invite"), json!({"email": "new@example.com"})).await;
    let hook = json!({"url": "https://example.com/there", "events": ["customer.created"]});
    let webhook = made(format!("{path}/webhooks"), hook).await;
    let test = server.request(Method::POST, &format!("{path}/webhooks/{webhook}/test"));
    answered(test.bearer_auth(&token), StatusCode::ACCEPTED).await;
    let app = server.new_oauth_app(&organization, &token, &["read:customers"]).await;
    let tokens = [server.new_oauth_token(&app).await, server.new_oauth_token(&app).await];
    let others = server.new_oauth_app(&organization, &admin.token, &["read:customers"]).await;
    server.new_oauth_token(&others).await;
    let paths = vec![
        format!("{path}/customers/one"),
        "/customer/two".into(),
        "/customer/two?hard=true".into(),
        format!("{path}/api-keys/{key}"),
        format!("{path}/invites/{invitation}"),
        format!("/api/oauth/token/{}", tokens[0].id),
        format!("/api/oauth/apps/{}", app.client_id),
        format!("{path}/members/{member}"),
        format!("{path}/webhooks/{webhook}"),
        path,
    ];
    (organization, token, paths)
}

on_both_engines! {
    async fn what_is_bound_to_its_plan_does_exactly_that(server: Server) {
        let (_, token, paths) = furnish(&server).await;
        for path in paths {
            let (bound, plan) = plan(&server, &path, &token).await;
            let status = if path.starts_with("/api") { StatusCode::NO_CONTENT } else { StatusCode::OK };
            let deletion = deleted(delete(&server, &path, &bound, &token), status).await;
            let receipt = server.wait_for_completion(&deletion, &token).await;
            assert_eq!((&receipt["root"], &receipt["subjectId"]), (&plan["root"], &plan["subjectId"]), "{path}");
            assert_eq!(counts(&receipt), touched(&plan), "{path}: {plan}");
            let is_alone = ["api_key", "invitation", "oauth_token"].contains(&plan["root"].as_str().unwrap());
            assert_eq!(counts(&receipt).is_empty(), is_alone, "{path}: {plan}");
        }
    }

    async fn what_came_what_went_and_what_was_exchanged_is_told_and_nothing_is_deleted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}", organization.id);
        for customer in ["one", "two"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let (bound, _) = plan(&server, &path, token).await;
        let drift = async || refused(delete(&server, &path, &bound, token), StatusCode::PRECONDITION_FAILED).await;
        new_customer(&server, &organization, "three", None).await;
        let told = drift().await;
        assert_eq!(told["drift"], json!([{"table": "customers", "planned": 2, "now": 3}]));
        assert!(told["detail"].as_str().unwrap().ends_with("customers: 2 planned, now 3."), "{told}");
        let gone = |customer: &str| server.request(Method::DELETE, &format!("{path}/customers/{customer}")).bearer_auth(token);
        deleted(gone("one"), StatusCode::NO_CONTENT).await;
        let told = drift().await;
        assert_eq!(told["drift"], json!([{"table": "customers", "planned": 2, "now": 2}]));
        assert!(told["detail"].as_str().unwrap().ends_with("customers: 2 planned, now 2 others."), "{told}");
        deleted(gone("two"), StatusCode::NO_CONTENT).await;
        server.new_api_key(&organization, token, &["read:organization"]).await;
        let both = [("customers", 2, 1), ("api_keys", 0, 1)].map(|(table, planned, now)| json!({"table": table, "planned": planned, "now": now}));
        assert_eq!(drift().await["drift"], json!(both));
        // Nothing of it was done; and what is planned anew is.
        let left = expect(server.request(Method::GET, &format!("{path}/customers")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&left["pagination"]["totalCount"], &left["data"][0]["id"]), (&json!(1), &json!("three")));
        let (bound, _) = plan(&server, &path, token).await;
        deleted(delete(&server, &path, &bound, token), StatusCode::NO_CONTENT).await;
    }

    async fn every_way_to_delete_a_customer_is_bound_by_its_own_plan(server: Server) {
        let organization = server.new_organization().await;
        let token = server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        new_customer(&server, &organization, "user123", None).await;
        let device = async || server.new_dependant(&organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let permanently = format!("/api/organizations/{}/customers/user123", organization.id);
        for path in [permanently.as_str(), "/customer/user123", "/customer/user123?hard=true"] {
            let (bound, _) = plan(&server, path, &token).await;
            device().await;
            let told = refused(delete(&server, path, &bound, &token), StatusCode::PRECONDITION_FAILED).await;
            assert_eq!((&told["drift"][0]["table"], told["drift"].as_array().unwrap().len()), (&json!("devices"), 1), "{path}: {told}");
        }
        // Marking a customer is not what was planned by who planned to erase it.
        let (bound, _) = plan(&server, "/customer/user123?hard=true", &token).await;
        let told = refused(delete(&server, "/customer/user123", &bound, &token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([]));
        // To erase it is to erase it, by either API.
        deleted(delete(&server, &permanently, &bound, &token), StatusCode::NO_CONTENT).await;
    }

    async fn what_depends_on_a_member_or_an_app_is_bound_too(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (organization, token) = (&cast.organization, cast.token("owner"));
        let member = format!("/api/organizations/{}/members/{}", organization.id, cast.member("admin"));
        let (bound, _) = plan(&server, &member, token).await;
        new_customer(&server, organization, "user123", Some(cast.member("admin"))).await;
        let told = refused(delete(&server, &member, &bound, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "customers", "planned": 0, "now": 1}]));
        let account = format!("/account/api/v1/organizations/{}/members/{}", short(&organization.id), short(cast.member("admin")));
        let told = refused(delete(&server, &account, &bound, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "customers", "planned": 0, "now": 1}]));

        let app = server.new_oauth_app(organization, token, &["read:customers"]).await;
        let path = format!("/api/oauth/apps/{}", app.client_id);
        let (bound, _) = plan(&server, &path, token).await;
        server.new_oauth_token(&app).await;
        let told = refused(delete(&server, &path, &bound, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "oauth_tokens", "planned": 0, "now": 1}]));
    }

    async fn of_what_is_large_the_number_is_bound(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let (path, activity) = (format!("/api/organizations/{}/customers/user123", organization.id), json!({"kind": "signed_in"}));
        let add = async || server.new_dependant(&organization, "user123", "activity", activity.clone()).await;
        // More at a time would only wait for the customer's lock.
        let add_many = async |many: usize| stream::iter((0..many).map(|_| add())).buffer_unordered(16).count().await;
        assert_eq!(add_many(500).await, 500);
        let (few, _) = plan(&server, &path, token).await;
        add().await;
        let (many, plan_of_many) = plan(&server, &path, token).await;
        let of = |name: &str| plan_of_many["tables"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap().clone();
        assert_eq!(of("activity_entries")["sample"].as_array().unwrap().len(), 100);
        assert_eq!((&of("customers")["sample"], &plan_of_many["estimatedSeconds"]), (&json!([plan_of_many["subjectId"]]), &json!(1)));
        let told = refused(delete(&server, &path, &few, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "activity_entries", "planned": 500, "now": 501}]));
        add().await;
        let told = refused(delete(&server, &path, &many, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "activity_entries", "planned": 501, "now": 502}]));
        change_database(&server, "DELETE FROM activity_entries").await;
        let told = refused(delete(&server, &path, &many, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!(told["drift"], json!([{"table": "activity_entries", "planned": 501, "now": 0}]));
        assert_eq!(add_many(501).await, 501);
        let deletion = deleted(delete(&server, &path, &many, token), StatusCode::NO_CONTENT).await;
        assert_eq!(server.wait_for_completion(&deletion, token).await["counts"]["activity_entries"], 501);
    }

    async fn what_the_server_writes_down_by_itself_drifts_from_no_plan(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = format!("/api/organizations/{}", organization.id);
        let hook = json!({"url": "https://example.com/there", "events": ["organization.updated"]});
        expect(server.request(Method::POST, &format!("{path}/webhooks")).bearer_auth(token).json(&hook), StatusCode::CREATED).await;
        let (bound, before) = plan(&server, &path, token).await;
        // A session, an answer that is kept, deliveries, and entries of the audit trail with and without a deletion.
        server.sign_in(&organization.owner.email, Some(&organization.slug)).await;
        let change = server.request(Method::PUT, &path).json(&json!({"name": "Another name"}));
        answered(change.bearer_auth(token), StatusCode::OK).await;
        refused(server.request(Method::DELETE, &format!("{path}/customers/nobody")).bearer_auth(token), StatusCode::NOT_FOUND).await;
        let repeatable = server.request(Method::POST, &format!("{path}/archive")).header("Idempotency-Key", "archive");
        answered(repeatable.bearer_auth(token), StatusCode::OK).await;
        let (again, after) = plan(&server, &path, token).await;
        assert_eq!(again, bound);
        assert_ne!(before["tables"], after["tables"]);
        deleted(delete(&server, &path, &bound, token), StatusCode::NO_CONTENT).await;
    }

    async fn the_plan_of_something_else_binds_nothing_else(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for customer in ["one", "two"] {
            new_customer(&server, &organization, customer, None).await;
        }
        let [one, two] = ["one", "two"].map(|customer| format!("/api/organizations/{}/customers/{customer}", organization.id));
        let (of_one, _) = plan(&server, &one, token).await;
        let told = refused(delete(&server, &two, &of_one, token), StatusCode::PRECONDITION_FAILED).await;
        assert_eq!((&told["drift"], &told["detail"]), (&json!([]), &json!("This is the plan of another deletion. Ask for the plan of this one.")));
        // One that was cut off or made up is no plan at all.
        for plan in [&of_one[..of_one.len() - 4], &of_one.to_uppercase(), &"A".repeat(100)] {
            let told = refused(delete(&server, &one, plan, token), StatusCode::PRECONDITION_FAILED).await;
            assert!(told["detail"].as_str().unwrap().starts_with("This is no plan"), "{told}");
        }
        for (path, status) in [(&one, StatusCode::BAD_REQUEST), (&"/customer/one".to_owned(), StatusCode::UNPROCESSABLE_ENTITY)] {
            for plan in ["", "yes", &"A".repeat(401), &"%20".repeat(50)] {
                let told = refused(delete(&server, path, plan, token), status).await;
                assert_eq!((&told["errors"][0]["field"], &told["errors"][0]["code"]), (&json!("plan"), &json!("invalid_plan")));
            }
        }
        deleted(delete(&server, &one, &of_one, token), StatusCode::NO_CONTENT).await;
        // A customer of the same name is another one.
        new_customer(&server, &organization, "one", None).await;
        refused(delete(&server, &one, &of_one, token), StatusCode::PRECONDITION_FAILED).await;
    }

    async fn what_stands_in_the_way_is_told_before_what_has_drifted(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let (bound, _) = plan(&server, &path, token).await;
        server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        let told = refused(delete(&server, &path, &bound, token), StatusCode::CONFLICT).await;
        assert_eq!(told["blockers"][0]["code"], "active_subscription");
    }

    async fn of_many_with_the_same_plan_one_deletes(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        server.new_dependant(&organization, "user123", "devices", json!({"name": "Laptop"})).await;
        let path = format!("/api/organizations/{}", organization.id);
        for path in [format!("{path}/customers/user123"), path] {
            let (bound, _) = plan(&server, &path, token).await;
            let orders = (0..32).map(|_| delete(&server, &path, &bound, token).send());
            let mut statuses: Vec<u16> = join_all(orders).await.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
            statuses.sort_unstable();
            assert_eq!((statuses[0], &statuses[1..]), (204, [404; 31].as_slice()), "{path}");
        }
    }

    async fn of_customers_deleted_at_once_those_that_have_drifted_stay(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = |number: usize| format!("/api/organizations/{}/customers/customer-{number}", organization.id);
        let plans = join_all((0..64).map(async |number| {
            let id = format!("customer-{number}");
            new_customer(&server, &organization, &id, None).await;
            server.new_dependant(&organization, &id, "devices", json!({"name": "Laptop"})).await;
            let (bound, _) = plan(&server, &path(number), token).await;
            if number % 2 == 0 {
                server.new_dependant(&organization, &id, "devices", json!({"name": "Phone"})).await;
            }
            bound
        }))
        .await;
        let orders = plans.iter().enumerate().map(async |(number, plan)| {
            // Some are bound to nothing.
            let order = match number % 8 {
                7 => server.request(Method::DELETE, &path(number)).bearer_auth(token),
                _ => delete(&server, &path(number), plan, token),
            };
            match number % 2 {
                0 => {
                    let told = refused(order, StatusCode::PRECONDITION_FAILED).await;
                    assert_eq!(told["drift"], json!([{"table": "devices", "planned": 1, "now": 2}]));
                }
                _ => drop(deleted(order, StatusCode::NO_CONTENT).await),
            }
        });
        join_all(orders).await;
        let list = format!("/api/organizations/{}/customers", organization.id);
        let left = expect(server.request(Method::GET, &list).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(left["pagination"]["totalCount"], 32);
    }
}
