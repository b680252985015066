//! Credits and screens of the customer API.

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Cast, answered, deleted, new_customer, refused};

const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

fn extend(server: &Server, customer: &str, credits: Json, token: &str) -> RequestBuilder {
    server.request(Method::PATCH, &format!("/customer/extend/{customer}")).bearer_auth(token).json(&json!({"credits": credits}))
}

fn add_screen(server: &Server, customer: &str, pass: &str, token: &str) -> RequestBuilder {
    server.request(Method::PATCH, &format!("/customer/addscreen/{customer}")).bearer_auth(token).json(&json!({"passId": pass}))
}

fn end(answer: &Json) -> Timestamp {
    answer["expiresAt"].as_str().unwrap().parse().unwrap()
}

on_both_engines! {
    async fn credits_count_from_now_and_then_from_the_end_of_those_that_are_left(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let before = Timestamp::now();
        let first = expect(extend(&server, "user123", json!(2), token), StatusCode::OK).await;
        assert_eq!((&first["success"], &first["message"]), (&json!(true), &json!("Customer extended successfully")));
        assert!(end(&first) >= before.round(jiff::Unit::Millisecond).unwrap() + MONTH * 2 - SignedDuration::from_millis(1), "{first}");
        assert!(end(&first) <= Timestamp::now() + MONTH * 2, "{first}");
        let second = expect(extend(&server, "user123", json!(1), token), StatusCode::OK).await;
        assert_eq!(end(&second), end(&first) + MONTH);
        let read = expect(server.request(Method::GET, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&read["expiresAt"], &read["screens"]), (&second["expiresAt"], &json!(0)));
        for credits in [json!(0), json!(121), json!(-1), json!(1.5), json!("1"), Json::Null] {
            refused(extend(&server, "user123", credits, token), StatusCode::UNPROCESSABLE_ENTITY).await;
        }
        refused(extend(&server, "nobody", json!(1), token), StatusCode::NOT_FOUND).await;
    }

    async fn credits_that_are_added_at_once_add_up(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let first = expect(extend(&server, "user123", json!(1), token), StatusCode::OK).await;
        futures_util::future::join_all((0..20).map(|_| expect(extend(&server, "user123", json!(3), token), StatusCode::OK))).await;
        let read = expect(server.request(Method::GET, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        assert_eq!(end(&read), end(&first) + MONTH * 60);
    }

    async fn credits_end_with_the_calendar(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let token = &organization.owner.token;
        let later = match server.engine {
            Engine::Sqlite => "UPDATE customers SET expires_at = 253402207199999999",
            Engine::Postgresql => "UPDATE customers SET expires_at = '9999-12-30 21:59:59.999999+00'",
        };
        crate::tools::change_database(&server, later).await;
        refused(extend(&server, "user123", json!(1), token), StatusCode::CONFLICT).await;
    }

    async fn a_pass_is_used_once_in_an_organization(server: Server) {
        let (one, other) = (server.new_organization().await, server.new_organization().await);
        for organization in [&one, &other] {
            for customer in ["user123", "user124"] {
                new_customer(&server, organization, customer, None).await;
            }
        }
        let token = &one.owner.token;
        let added = expect(add_screen(&server, "user123", "pass-1", token), StatusCode::OK).await;
        assert_eq!(added, json!({"success": true, "message": "Screen added successfully", "screens": 1}));
        assert_eq!(expect(add_screen(&server, "user123", "pass-2", token), StatusCode::OK).await["screens"], 2);
        for customer in ["user123", "user124"] {
            refused(add_screen(&server, customer, "pass-1", token), StatusCode::CONFLICT).await;
        }
        assert_eq!(expect(add_screen(&server, "user123", "pass-1", &other.owner.token), StatusCode::OK).await["screens"], 1);
        let read = expect(server.request(Method::GET, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&read["screens"], &read["expiresAt"]), (&json!(2), &Json::Null));
        for pass in ["", &"x".repeat(101), "\u{0}"] {
            refused(add_screen(&server, "user123", pass, token), StatusCode::UNPROCESSABLE_ENTITY).await;
        }
        // A pass stays used while its customer is kept, and no longer.
        answered(server.request(Method::DELETE, "/customer/user123").bearer_auth(token), StatusCode::OK).await;
        refused(add_screen(&server, "user124", "pass-1", token), StatusCode::CONFLICT).await;
        deleted(server.request(Method::DELETE, "/customer/user123?hard=true").bearer_auth(token), StatusCode::OK).await;
        expect(add_screen(&server, "user124", "pass-1", token), StatusCode::OK).await;
    }

    async fn of_many_who_use_a_pass_at_once_one_does(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let uses = (0..12).map(|_| async { add_screen(&server, "user123", "pass", token).send().await.unwrap().status() });
        let statuses = futures_util::future::join_all(uses).await;
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count(), 11, "{statuses:?}");
    }

    async fn a_customer_may_be_called_like_an_address(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for id in ["extend", "addscreen"] {
            new_customer(&server, &organization, id, None).await;
            expect(server.request(Method::PATCH, &format!("/customer/{id}")).bearer_auth(token).json(&json!({"name": "New"})), StatusCode::OK)
                .await;
            let read = expect(server.request(Method::GET, &format!("/customer/{id}")).bearer_auth(token), StatusCode::OK).await;
            assert_eq!((&read["id"], &read["name"]), (&json!(id), &json!("New")));
            expect(extend(&server, id, json!(1), token), StatusCode::OK).await;
            expect(add_screen(&server, id, id, token), StatusCode::OK).await;
            deleted(server.request(Method::DELETE, &format!("/customer/{id}")).bearer_auth(token), StatusCode::OK).await;
        }
    }

    async fn credits_and_screens_are_for_those_who_write_customers(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "of-nobody", None).await;
        new_customer(&server, &cast.organization, "own", Some(cast.member("reseller"))).await;
        for (number, role) in ["owner", "admin", "master", "member"].into_iter().enumerate() {
            expect(extend(&server, "of-nobody", json!(1), cast.token(role)), StatusCode::OK).await;
            expect(add_screen(&server, "of-nobody", &format!("pass-{number}"), cast.token(role)), StatusCode::OK).await;
        }
        expect(extend(&server, "own", json!(1), cast.token("reseller")), StatusCode::OK).await;
        expect(add_screen(&server, "own", "pass", cast.token("reseller")), StatusCode::OK).await;
        for role in ["reseller", "billing", "viewer"] {
            refused(extend(&server, "of-nobody", json!(1), cast.token(role)), StatusCode::FORBIDDEN).await;
            refused(add_screen(&server, "of-nobody", "other", cast.token(role)), StatusCode::FORBIDDEN).await;
        }
    }
}
