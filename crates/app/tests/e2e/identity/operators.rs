//! The people who run the server: who makes them, and what ends with it.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Person, Server, expect};
use crate::tools::{answered, change_database, entries, refused};

const OPERATORS: &str = "/api/operator/operators";
const SERVER_TRAIL: &str = "/api/organizations/00000000-0000-0000-0000-000000000000/audit";

fn adding(server: &Server, token: &str, email: &str, reason: &str) -> RequestBuilder {
    server.request(Method::POST, OPERATORS).bearer_auth(token).json(&json!({"email": email, "reason": reason}))
}

fn removing(server: &Server, token: &str, id: &str) -> RequestBuilder {
    server.request(Method::DELETE, &format!("{OPERATORS}/{id}?reason=left")).bearer_auth(token)
}

async fn listed(server: &Server, token: &str) -> Vec<Json> {
    expect(server.request(Method::GET, OPERATORS).bearer_auth(token), StatusCode::OK).await.as_array().unwrap().clone()
}

/// What `freehold operators` says when it does not do what it was asked for.
async fn refusal(server: &Server, arguments: &[&str]) -> String {
    let (code, out, words) = server.command(&[&["operators"], arguments].concat()).await;
    assert_eq!((code, out.as_str()), (1, ""), "{words}");
    words
}

async fn done(server: &Server, arguments: &[&str]) -> String {
    let (code, out, words) = server.command(&[&["operators"], arguments].concat()).await;
    assert_eq!(code, 0, "{words}");
    out
}

on_both_engines! {
    async fn operators_are_made_and_unmade_by_hand_while_no_server_runs(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let first = server.new_operator().await;
        let second = server.new_person().await;
        let figures = |token: &str| server.request(Method::GET, "/metrics").bearer_auth(token);
        assert_eq!(figures(&first.token).send().await.unwrap().status(), StatusCode::OK);
        refused(figures(&second.token), StatusCode::FORBIDDEN).await;
        let words = refusal(&server, &["remove", "--email", &first.email]).await;
        assert!(words.contains("another freehold"), "{words}");

        server.stop().await;
        let listed = done(&server, &["list"]).await;
        assert!(listed.lines().count() == 1 && listed.contains(&first.email), "{listed}");
        assert!(refusal(&server, &["remove", "--email", &first.email]).await.contains("the last operator"));
        assert!(refusal(&server, &["remove", "--email", &second.email]).await.contains("no operator"));
        assert!(refusal(&server, &["remove", "--email", "nobody@example.com"]).await.contains("not found"));
        assert!(refusal(&server, &["add", "--existing", "--email", &first.email]).await.contains("already"));
        done(&server, &["add", "--existing", "--email", &second.email.to_uppercase()]).await;
        assert_eq!(done(&server, &["list"]).await.lines().count(), 2);
        done(&server, &["remove", "--email", &first.email]).await;

        server.start_again().await;
        let figures = |token: &str| server.request(Method::GET, "/metrics").bearer_auth(token);
        for token in [&first.token, &second.token] {
            refused(figures(token), StatusCode::UNAUTHORIZED).await;
        }
        refused(figures(&server.sign_in(&first.email, None).await), StatusCode::FORBIDDEN).await;
        let token = server.sign_in(&second.email, None).await;
        assert_eq!(figures(&token).send().await.unwrap().status(), StatusCode::OK);
        let trail = expect(server.request(Method::GET, "/api/organizations/00000000-0000-0000-0000-000000000000/audit").bearer_auth(&token), StatusCode::OK).await;
        let actions: Vec<&str> = trail["data"].as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
        assert!(actions.contains(&"operator.add") && actions.contains(&"operator.remove"), "{trail}");
    }
}

on_both_engines! {
    async fn operators_make_and_unmake_each_other_with_a_reason_and_the_last_one_stays(server: Server) {
        let mut server = server;
        let first = server.new_operator().await;
        let second = server.new_person().await;
        let key = json!({"name": "Key", "scopes": ["admin:all"]});
        let key = expect(server.request(Method::POST, "/api/users/me/api-keys").bearer_auth(&first.token).json(&key), StatusCode::CREATED).await;
        // No other person, and no key of theirs.
        refused(server.request(Method::GET, OPERATORS).bearer_auth(&second.token), StatusCode::FORBIDDEN).await;
        refused(adding(&server, &second.token, &second.email, "why"), StatusCode::FORBIDDEN).await;
        let with_a_key = server.request(Method::POST, OPERATORS).header("X-API-Key", key["key"].as_str().unwrap());
        refused(with_a_key.json(&json!({"email": second.email, "reason": "why"})), StatusCode::FORBIDDEN).await;
        for (email, reason, field) in [("nobody@example.com", "why", "email"), ("no address", "why", "email"), (second.email.as_str(), " ", "reason")] {
            let answer = refused(adding(&server, &first.token, email, reason), StatusCode::BAD_REQUEST).await;
            assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        }
        let made = expect(adding(&server, &first.token, &second.email.to_uppercase(), "on call"), StatusCode::CREATED).await;
        assert_eq!(made["email"], second.email);
        refused(adding(&server, &first.token, &second.email, "again"), StatusCode::CONFLICT).await;
        // Their sessions were begun with fewer rights.
        refused(server.request(Method::GET, "/api/users/me").bearer_auth(&second.token), StatusCode::UNAUTHORIZED).await;
        let second = Person { token: server.sign_in(&second.email, None).await, ..second };
        assert_eq!(listed(&server, &second.token).await.len(), 2);
        let id = |email: &str, all: &[Json]| all.iter().find(|one| one["email"] == email).unwrap()["id"].as_str().unwrap().to_owned();
        let all = listed(&server, &second.token).await;
        let (first_id, second_id) = (id(&first.email, &all), id(&second.email, &all));
        let unreasoned = server.request(Method::DELETE, &format!("{OPERATORS}/{first_id}")).bearer_auth(&second.token);
        assert_eq!(refused(unreasoned, StatusCode::BAD_REQUEST).await["errors"][0]["field"], "reason");
        answered(removing(&server, &second.token, &first_id), StatusCode::NO_CONTENT).await;
        refused(server.request(Method::GET, "/api/users/me").bearer_auth(&first.token), StatusCode::UNAUTHORIZED).await;
        let again = server.sign_in(&first.email, None).await;
        refused(server.request(Method::GET, OPERATORS).bearer_auth(&again), StatusCode::FORBIDDEN).await;
        // The last one stays, also by their own hand.
        let answer = refused(removing(&server, &second.token, &second_id), StatusCode::CONFLICT).await;
        assert!(answer["detail"].as_str().unwrap().contains("last operator"), "{answer}");
        refused(removing(&server, &second.token, &first_id), StatusCode::CONFLICT).await;
        refused(removing(&server, &second.token, crate::tools::UNKNOWN_ID), StatusCode::NOT_FOUND).await;
        let trail = entries(&server, SERVER_TRAIL, &second.token).await;
        for (action, subject, reason) in [("operator.add", &second_id, "on call"), ("operator.remove", &first_id, "left")] {
            let is_it = |entry: &&Json| entry["action"] == action && entry["outcome"] == "done" && entry["reason"] == reason;
            let entry = trail.iter().find(is_it).unwrap_or_else(|| panic!("{action}: {trail:?}"));
            assert_eq!((&entry["actor"], &entry["subjectId"]), (&json!("operator"), &json!(subject)));
        }
        assert!(trail.iter().any(|entry| entry["action"] == "operator.remove" && entry["outcome"] == "blocked"), "{trail:?}");
        // A session that was left open somewhere does not suffice.
        change_database(&server, match server.engine {
            Engine::Sqlite => "UPDATE sessions SET created_at = created_at - 660000000",
            Engine::Postgresql => "UPDATE sessions SET created_at = created_at - interval '11 minutes'",
        }).await;
        assert!(refused(adding(&server, &second.token, &first.email, "why"), StatusCode::FORBIDDEN).await["detail"].as_str().unwrap().contains("Sign in again"));
        refused(removing(&server, &second.token, &second_id), StatusCode::FORBIDDEN).await;
    }

    async fn of_two_operators_who_remove_each_other_at_once_one_stays(server: Server) {
        let mut server = server;
        let first = server.new_operator().await;
        for _ in 0..5 {
            let other = server.new_person().await;
            let token = server.sign_in(&first.email, None).await;
            let all = listed(&server, &token).await;
            let survivor = all[0]["email"].as_str().unwrap().to_owned();
            let token = server.sign_in(&survivor, None).await;
            let made = expect(adding(&server, &token, &other.email, "a round"), StatusCode::CREATED).await;
            let others = server.sign_in(&other.email, None).await;
            let (mine, theirs) = (all[0]["id"].as_str().unwrap(), made["id"].as_str().unwrap());
            let (one, two) = tokio::join!(removing(&server, &token, theirs).send(), removing(&server, &others, mine).send());
            let removed = [one.unwrap().status(), two.unwrap().status()].iter().filter(|status| **status == StatusCode::NO_CONTENT).count();
            assert_eq!(removed, 1);
            // For the next round it is the first again.
            let left = if server.request(Method::GET, OPERATORS).bearer_auth(&token).send().await.unwrap().status() == StatusCode::OK { &token } else { &others };
            assert_eq!(listed(&server, left).await.len(), 1);
            if left == &others {
                expect(adding(&server, &others, &survivor, "back"), StatusCode::CREATED).await;
                let token = server.sign_in(&survivor, None).await;
                answered(removing(&server, &token, theirs), StatusCode::NO_CONTENT).await;
            }
        }
    }
}
