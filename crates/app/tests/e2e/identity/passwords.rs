//! Sign-up and sign-in by password: neither tells a stranger whose addresses are known here.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect};
use crate::tools::{UNAUTHORIZED, answered, change_database, refused};

/// An answer without what is different in each: its request and its time.
fn comparable(mut body: Json) -> Json {
    for name in ["request_id", "timestamp"] {
        body.as_object_mut().unwrap().remove(name);
    }
    body
}

on_both_engines! {
    async fn a_sign_up_is_answered_the_same_for_a_taken_and_for_a_free_address(server: Server) {
        let mut answers = Vec::new();
        for email in ["ada@example.com", "ada@example.com", "ADA@example.com", "grace@example.com"] {
            let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
            let answer = answered(server.request(Method::POST, "/api/auth/sign-up").json(&body), StatusCode::ACCEPTED).await;
            let names: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
            answers.push((names, answer.text().await.unwrap()));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }

    async fn a_sign_up_with_a_taken_address_changes_nothing(server: Server) {
        let person = server.new_person().await;
        let me = || server.request(Method::GET, "/api/users/me").bearer_auth(&person.token);
        let before = expect(me(), StatusCode::OK).await;
        let takeover = json!({"email": person.email, "password": "another password", "name": "Mallory"});
        answered(server.request(Method::POST, "/api/auth/sign-up").json(&takeover), StatusCode::ACCEPTED).await;
        refused(
            server.request(Method::POST, "/api/auth/sign-in").json(&json!({"email": person.email, "password": "another password"})),
            StatusCode::UNAUTHORIZED,
        )
        .await;
        server.sign_in(&person.email, None).await;
        assert_eq!(expect(me(), StatusCode::OK).await, before);
    }

    async fn a_wrong_password_and_an_unknown_address_are_refused_alike(server: Server) {
        let organization = server.new_organization().await;
        let mut answers = Vec::new();
        for (email, organization) in [
            (organization.owner.email.as_str(), None),
            ("nobody@example.com", None),
            ("not an address", None),
            (organization.owner.email.as_str(), Some(&organization.slug)),
            ("nobody@example.com", Some(&organization.slug)),
        ] {
            let body = json!({"email": email, "password": "a wrong password", "organization": organization});
            answers
                .push(comparable(refused(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::UNAUTHORIZED).await));
        }
        assert_eq!(answers[0]["message"], UNAUTHORIZED);
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }

    async fn addresses_are_compared_without_regard_to_case_and_surrounding_space(server: Server) {
        let person = server.new_person().await;
        for email in [person.email.to_uppercase(), format!("  {} ", person.email)] {
            let token = server.sign_in(&email, None).await;
            let me = expect(server.request(Method::GET, "/api/users/me").bearer_auth(token), StatusCode::OK).await;
            assert_eq!(me["email"], person.email);
        }
    }

    async fn a_sign_up_says_everything_that_is_wrong_with_it(server: Server) {
        let body = json!({"email": "nobody", "password": "tiny#77", "name": ""});
        let problem = refused(server.request(Method::POST, "/api/auth/sign-up").json(&body), StatusCode::BAD_REQUEST).await;
        let fields: Vec<&str> = problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["email", "name", "password"]);
        assert!(!problem.to_string().contains("tiny#77"), "the password came back: {problem}");
        for (length, status) in
            [(7, StatusCode::BAD_REQUEST), (8, StatusCode::ACCEPTED), (128, StatusCode::ACCEPTED), (129, StatusCode::BAD_REQUEST)]
        {
            let body = json!({"email": format!("of-{length}@example.com"), "password": "é".repeat(length)});
            answered(server.request(Method::POST, "/api/auth/sign-up").json(&body), status).await;
        }
        let body = json!({"email": "of-128@example.com", "password": "é".repeat(128)});
        answered(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::OK).await;
    }

    async fn what_others_would_guess_is_no_password(server: Server) {
        let sign_up = |password: &str| {
            let body = json!({"email": "jane.doe@globex.example", "name": "Jane Ödegård", "password": password});
            server.request(Method::POST, "/api/auth/sign-up").json(&body)
        };
        let code = |problem: &serde_json::Value| problem["errors"][0]["code"].as_str().unwrap().to_owned();
        for password in ["12345678", "Password1", "qwertyuiop", "sunshine!!"] {
            assert_eq!(code(&refused(sign_up(password), StatusCode::BAD_REQUEST).await), "common_password", "{password}");
        }
        for password in ["jane.doe2026", "globexglobex", "JaneÖdegård1", "freehold-freehold"] {
            assert_eq!(code(&refused(sign_up(password), StatusCode::BAD_REQUEST).await), "guessable_password", "{password}");
        }
        // Nothing is asked of the characters.
        for password in ["xkqvwzjh", "jane loves globes"] {
            answered(sign_up(password), StatusCode::ACCEPTED).await;
        }
        // Who is in organizations has more that others know.
        let organization = server.new_organization().await;
        let named = json!({"name": "Umbrella Supplies", "logo": null});
        let rename = server.request(Method::PUT, &format!("/api/organizations/{}", organization.id)).bearer_auth(&organization.owner.token);
        answered(rename.json(&named), StatusCode::OK).await;
        let body = json!({"currentPassword": PASSWORD, "newPassword": "umbrella-supplies-1"});
        let change = server.request(Method::POST, "/api/users/me/password").bearer_auth(&organization.owner.token).json(&body);
        assert_eq!(code(&refused(change, StatusCode::BAD_REQUEST).await), "guessable_password");
    }

    async fn a_password_of_before_there_were_rules_still_signs_in(server: Server) {
        let person = server.new_person().await;
        // `password1`, as it was hashed when it was still allowed.
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$6W8rxoWbY1DlhIR7EhhAnA$bsJOEHblvQyF5zaXknauj1GxHeozwWwvillR6U4vMlE";
        change_database(&server, &format!("UPDATE users SET password_hash = '{hash}' WHERE email = '{}'", person.email)).await;
        let body = json!({"email": person.email, "password": "password1"});
        answered(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::OK).await;
    }

    async fn a_sign_in_names_an_organization_of_ones_own_or_none(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        for name in [organization.id.clone(), organization.slug.clone(), crate::support::short(&organization.id)] {
            server.sign_in(&organization.owner.email, Some(&name)).await;
        }
        let sign_in = |name: &str| {
            let body = json!({"email": organization.owner.email, "password": PASSWORD, "organization": name});
            server.request(Method::POST, "/api/auth/sign-in").json(&body)
        };
        refused(sign_in(&elsewhere.id), StatusCode::FORBIDDEN).await;
        refused(sign_in(&elsewhere.slug), StatusCode::FORBIDDEN).await;
        refused(sign_in("no-such-slug"), StatusCode::NOT_FOUND).await;
        refused(sign_in("No Slug"), StatusCode::BAD_REQUEST).await;
    }
}
