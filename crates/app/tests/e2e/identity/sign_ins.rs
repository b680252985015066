//! Sign-ins and refused ones in the server's audit trail: who, with which session, from where; and no more of it than strangers may write.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Person, Server, expect};
use crate::tools::{deleted, entries, refused};

/// The entries of the server's trail with this action.
async fn told(server: &Server, action: &str, operator: &Person) -> Vec<Json> {
    let all = entries(server, "/api/organizations/00000000-0000-0000-0000-000000000000/audit", &operator.token).await;
    all.into_iter().filter(|entry| entry["action"] == action).collect()
}

/// Waits until there is an entry with this action and subject: no answer waits for it.
async fn wait_for(server: &Server, action: &str, subject: &Json, operator: &Person) -> Vec<Json> {
    loop {
        let found = told(server, action, operator).await;
        if found.iter().any(|entry| entry["subjectId"] == *subject) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

on_both_engines! {
    async fn who_signs_in_is_filed_with_session_and_address_until_the_account_goes(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let person = server.new_person().await;
        let id = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await["id"].clone();
        let of_person = |found: Vec<Json>| found.into_iter().filter(|entry| entry["subjectId"] == id).collect::<Vec<_>>();
        let found = of_person(told(&server, "session.create", &operator).await);
        assert_eq!(found.len(), 1, "{found:?}");
        let entry = &found[0];
        assert_eq!((&entry["actor"], &entry["actorId"], &entry["outcome"]), (&json!("user"), &id, &json!("done")));
        assert!(entry["credentialId"].is_string() && entry["clientAddress"] == "127.0.0.1", "{entry}");
        // What the session does names it.
        let change = server.request(Method::PATCH, "/api/users/me").bearer_auth(&person.token).json(&json!({"name": "Another"}));
        expect(change, StatusCode::OK).await;
        let change = of_person(told(&server, "user.update", &operator).await).remove(0);
        assert_eq!((&change["credentialId"], &change["clientAddress"]), (&entry["credentialId"], &Json::Null));
        let operators = told(&server, "session.create", &operator).await;
        assert!(operators.iter().any(|entry| entry["actor"] == "operator"), "{operators:?}");

        let wrong = server.request(Method::POST, "/api/auth/sign-in").json(&json!({"email": person.email, "password": "wrong password"}));
        refused(wrong, StatusCode::UNAUTHORIZED).await;
        wait_for(&server, "session.refuse", &id, &operator).await;
        let deletion = deleted(server.request(Method::DELETE, "/api/users/me").bearer_auth(&person.token), StatusCode::NO_CONTENT).await;
        server.wait_for_completion(&deletion, &operator.token).await;
        for action in ["session.create", "session.refuse"] {
            let left = of_person(told(&server, action, &operator).await);
            assert!(left.len() == 1 && left[0]["clientAddress"].is_null(), "{left:?}");
        }
    }

    async fn a_refused_sign_in_is_filed_once_a_minute_and_without_a_word_of_its_sender(server: Server) {
        let mut server = server;
        let operator = server.new_operator().await;
        let person = server.new_person().await;
        let id = expect(server.request(Method::GET, "/api/users/me").bearer_auth(&person.token), StatusCode::OK).await["id"].clone();
        let signing_in = |email: &str, password: &str| {
            let request = server.request(Method::POST, "/api/auth/sign-in").header("X-Request-Id", "buy-cheap-pills");
            request.json(&json!({"email": email, "password": password}))
        };
        for number in 0..5 {
            refused(signing_in(&person.email, "wrong password"), StatusCode::UNAUTHORIZED).await;
            refused(signing_in(&format!("nobody{number}@example.com"), PASSWORD), StatusCode::UNAUTHORIZED).await;
        }
        wait_for(&server, "session.refuse", &id, &operator).await;
        let found = wait_for(&server, "session.refuse", &Json::Null, &operator).await;
        // One each; a second of each if a minute ended meanwhile.
        for subject in [&id, &Json::Null] {
            let of_them: Vec<&Json> = found.iter().filter(|entry| entry["subjectId"] == *subject).collect();
            assert!((1..=2).contains(&of_them.len()), "{found:?}");
            for entry in of_them {
                assert_eq!((&entry["actor"], &entry["outcome"]), (&json!("nobody"), &json!("refused")));
                // Of those who name no account the log alone says from where they came.
                assert_eq!(entry["clientAddress"].is_string(), !subject.is_null(), "{entry}");
                let text = entry.to_string();
                assert!(!text.contains("pills") && !text.contains("nobody0@") && !text.contains(&person.email), "{text}");
            }
        }
    }
}
