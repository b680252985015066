//! Seed 001: `DELETE /customer/{id}` of the customer API, whose organization is the credential's.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect, short};
use crate::tools::{Cast, Credential, Session, UNAUTHORIZED, UNKNOWN_ID, answered, change_database, is_like, new_customer, refused};

/// The document's own request.
fn request(server: &Server, token: &str) -> RequestBuilder {
    server
        .request(Method::DELETE, "/customer/user123")
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", "application/json")
}

on_both_engines! {
    async fn the_documents_request_is_answered_in_the_documents_form(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        let answer = answered(request(&server, &session.token), StatusCode::OK).await;
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body: Json = answer.json().await.unwrap();
        let names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["success", "message", "deletedAt"]);
        assert_eq!((&body["success"], &body["message"]), (&json!(true), &json!("Customer deleted successfully")));
        assert!(is_like(body["deletedAt"].as_str().unwrap(), "9999-99-99T99:99:99.999Z"), "{body}");
        refused(server.request(Method::GET, "/customer/user123").bearer_auth(&session.token), StatusCode::NOT_FOUND).await;
    }

    async fn without_a_good_token_it_is_401(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        for token in ["", "YOUR_JWT_TOKEN", "e30.e30.e30"] {
            let body = refused(request(&server, token), StatusCode::UNAUTHORIZED).await;
            assert_eq!((&body["success"], &body["message"]), (&json!(false), &json!(UNAUTHORIZED)));
        }
        refused(server.request(Method::DELETE, "/customer/user123"), StatusCode::UNAUTHORIZED).await;
    }

    async fn admin_and_master_may_delete_every_customer(server: Server) {
        let cast = Cast::assemble(&server).await;
        for (number, role) in ["owner", "admin", "master"].into_iter().enumerate() {
            let id = format!("user{number}");
            new_customer(&server, &cast.organization, &id, Some(cast.member("reseller"))).await;
            let request = server.request(Method::DELETE, &format!("/customer/{id}")).bearer_auth(cast.token(role));
            let body = expect(request, StatusCode::OK).await;
            assert_eq!(body["success"], true);
        }
    }

    async fn a_reseller_may_delete_customers_under_their_management_only(server: Server) {
        let cast = Cast::assemble(&server).await;
        let (_, other_reseller) = server.new_member(&cast.organization, "reseller").await;
        new_customer(&server, &cast.organization, "own", Some(cast.member("reseller"))).await;
        new_customer(&server, &cast.organization, "of-another", Some(&other_reseller)).await;
        new_customer(&server, &cast.organization, "of-nobody", None).await;
        let delete = |id: &str| server.request(Method::DELETE, &format!("/customer/{id}")).bearer_auth(cast.token("reseller"));
        for id in ["of-another", "of-nobody"] {
            let body = refused(delete(id), StatusCode::FORBIDDEN).await;
            let words =
                "Access denied. Deleting a customer needs the role ADMIN, MASTER or RESALE (for customers under their own management).";
            assert_eq!(body["message"], words);
        }
        expect(delete("own"), StatusCode::OK).await;
        refused(delete("own"), StatusCode::NOT_FOUND).await;
    }

    async fn every_other_role_and_every_outsider_is_refused(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "user123", None).await;
        for role in ["member", "billing", "viewer"] {
            let body = refused(request(&server, cast.token(role)), StatusCode::FORBIDDEN).await;
            assert!(body["message"].as_str().unwrap().contains("ADMIN, MASTER or RESALE"), "{body}");
        }
        // A person without any organization, one who names an organization that is not theirs, and one with another of their own.
        let body = refused(request(&server, &cast.outsider.token), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "User is not a member of this organization.");
        let elsewhere = server.new_organization().await.owner;
        let named = request(&server, &elsewhere.token).header("X-Organization", &cast.organization.id);
        let body = refused(named, StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "User is not a member of this organization.");
        let body = refused(request(&server, &elsewhere.token), StatusCode::NOT_FOUND).await;
        assert_eq!(body["message"], "Customer not found.");
        expect(request(&server, cast.token("owner")), StatusCode::OK).await;
    }

    async fn a_customer_that_is_not_there_is_404(server: Server) {
        let organization = server.new_organization().await;
        for _ in 0..2 {
            let body = refused(request(&server, &organization.owner.token), StatusCode::NOT_FOUND).await;
            assert_eq!((&body["success"], &body["message"]), (&json!(false), &json!("Customer not found.")));
        }
    }

    async fn an_active_subscription_or_a_pending_transaction_is_409(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        server.new_dependant(&organization, "user123", "subscriptions", json!({"plan": "basic"})).await;
        server.new_dependant(&organization, "user123", "transactions", json!({"amount": 1, "currency": "EUR", "status": "pending"})).await;
        let body = refused(request(&server, &organization.owner.token), StatusCode::CONFLICT).await;
        assert_eq!((&body["success"], &body["message"]), (&json!(false), &body["detail"]));
        let codes: Vec<&str> = body["blockers"].as_array().unwrap().iter().map(|blocker| blocker["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["active_subscription", "pending_transaction"]);
        expect(server.request(Method::GET, "/customer/user123").bearer_auth(&organization.owner.token), StatusCode::OK).await;
    }

    async fn a_defect_is_500_and_tells_nothing_of_the_inside(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        change_database(&server, "ALTER TABLE subscriptions RENAME TO misplaced").await;
        let body = refused(request(&server, token), StatusCode::INTERNAL_SERVER_ERROR).await;
        assert_eq!(body["message"], "Something went wrong on our side.");
        let path = format!("/api/organizations/{}/audit", organization.id);
        let audit = expect(server.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
        assert_eq!(audit["data"][0]["outcome"], "failed");
        assert!(!audit.to_string().contains("subscriptions") && !body.to_string().contains("subscriptions"), "{audit} {body}");
        change_database(&server, "ALTER TABLE misplaced RENAME TO subscriptions").await;
        expect(request(&server, token), StatusCode::OK).await;
    }

    async fn the_organization_is_the_one_of_the_credential_or_of_the_header(server: Server) {
        let owner = server.new_person().await;
        let mut slugs = Vec::new();
        for slug in ["first", "second"] {
            let body = json!({"name": slug, "slug": slug});
            let made = server.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body);
            let id = expect(made, StatusCode::CREATED).await["id"].as_str().unwrap().to_owned();
            let body = json!({"id": "user123", "name": slug, "email": "ada@example.com"});
            let path = format!("/api/organizations/{id}/customers");
            expect(server.request(Method::POST, &path).bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
            slugs.push((slug, id));
        }
        let (first, second) = (&slugs[0], &slugs[1]);
        let body = refused(request(&server, &owner.token), StatusCode::BAD_REQUEST).await;
        assert!(body["message"].as_str().unwrap().contains("X-Organization"), "{body}");
        for name in [first.0.to_owned(), first.1.clone(), short(&first.1)] {
            let request = server.request(Method::GET, "/customer/user123").bearer_auth(&owner.token).header("X-Organization", name);
            assert_eq!(expect(request, StatusCode::OK).await["name"], "first");
        }
        let bound = Session::begin(&server, &owner.email, Some(&second.1)).await;
        refused(request(&server, &bound.token).header("X-Organization", first.0), StatusCode::FORBIDDEN).await;
        expect(request(&server, &bound.token), StatusCode::OK).await;
        let gone = server.request(Method::GET, "/customer/user123").bearer_auth(&owner.token).header("X-Organization", second.0);
        refused(gone, StatusCode::NOT_FOUND).await;
        expect(request(&server, &owner.token).header("X-Organization", first.0), StatusCode::OK).await;
    }

    async fn the_header_names_an_organization_or_the_answer_says_what_is_wrong_with_it(server: Server) {
        let organization = server.new_organization().await;
        for (name, status) in [
            ("No Organization", StatusCode::UNPROCESSABLE_ENTITY),
            ("no-such-slug", StatusCode::NOT_FOUND),
            (UNKNOWN_ID, StatusCode::NOT_FOUND),
        ] {
            refused(request(&server, &organization.owner.token).header("X-Organization", name), status).await;
        }
    }

    async fn keys_and_cookies_are_as_good_and_a_key_needs_the_scope(server: Server) {
        let organization = server.new_organization().await;
        new_customer(&server, &organization, "user123", None).await;
        let (_, narrow) = server.new_api_key(&organization, &organization.owner.token, &["read:customers"]).await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:customers"]).await;
        let body = refused(server.request(Method::DELETE, "/customer/user123").header("X-API-Key", narrow), StatusCode::FORBIDDEN).await;
        assert_eq!(body["message"], "Access denied. This credential lacks the scope write:customers.");
        answered(Credential::Key(key).on(server.request(Method::DELETE, "/customer/user123")), StatusCode::OK).await;
        new_customer(&server, &organization, "user124", None).await;
        let session = Session::begin(&server, &organization.owner.email, Some(&organization.slug)).await;
        answered(Credential::Cookie(session.cookie).on(server.request(Method::DELETE, "/customer/user124")), StatusCode::OK).await;
    }

    async fn only_an_admin_may_delete_for_good(server: Server) {
        let cast = Cast::assemble(&server).await;
        new_customer(&server, &cast.organization, "user123", Some(cast.member("reseller"))).await;
        let delete = |token: &str| server.request(Method::DELETE, "/customer/user123?hard=true").bearer_auth(token);
        for role in ["master", "reseller", "member", "billing", "viewer"] {
            let body = refused(delete(cast.token(role)), StatusCode::FORBIDDEN).await;
            assert_eq!(body["message"], "Access denied. Only an ADMIN can hard-delete a customer.");
        }
        let body = expect(delete(cast.token("admin")), StatusCode::OK).await;
        assert_eq!(body["success"], true);
        new_customer(&server, &cast.organization, "user123", None).await;
        expect(delete(cast.token("owner")), StatusCode::OK).await;
        refused(
            server.request(Method::DELETE, "/customer/user123?hard=perhaps").bearer_auth(cast.token("owner")),
            StatusCode::UNPROCESSABLE_ENTITY,
        )
        .await;
    }
}
