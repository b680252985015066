//! `serve --demo`: the printed requests, pasted into a shell, do what the documents say, in any order and after every start.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::refused;

/// The statuses of the four printed requests, in the order they are printed.
const STATUSES: [&str; 4] = ["HTTP/1.1 204 No Content", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 204 No Content"];

fn printed(server: &Server) -> Vec<(String, &'static str)> {
    let lines: Vec<String> = server.greeting.iter().filter(|line| line.starts_with("curl ")).cloned().collect();
    assert_eq!(lines.len(), 4, "{:?}", server.greeting);
    lines.into_iter().zip(STATUSES).collect()
}

/// Pastes a line into a shell, without curl's progress bar, and returns what it prints.
async fn paste(line: &str) -> String {
    let quiet = line.replacen("curl ", "curl -sS ", 1);
    let output = Command::new("sh").arg("-c").arg(&quiet).output().await.unwrap();
    assert!(output.status.success(), "{quiet}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

on_both_engines! {
    async fn each_printed_request_succeeds_once_in_any_order_after_every_start(engine: Engine) {
        let mut server = Server::start(engine, &["--demo"]).await;
        for backwards in [false, true] {
            let mut lines = printed(&server);
            if backwards {
                lines.reverse();
            }
            for (line, status) in &lines {
                let answer = paste(line).await;
                assert_eq!(answer.lines().next(), Some(*status), "{line}\n{answer}");
                assert_eq!(answer.contains("\"success\":true"), line.contains("/customer/"), "{line}\n{answer}");
                assert!(answer.to_lowercase().contains("deletion-id: "), "{line}\n{answer}");
            }
            for (line, _) in &lines {
                let answer = paste(line).await;
                assert_eq!(answer.lines().next(), Some("HTTP/1.1 404 Not Found"), "{line}\n{answer}");
            }
            server.kill().await;
            server.start_again().await;
        }
    }

    async fn everybody_in_the_demo_can_sign_in_with_a_password_that_is_another_at_every_start(engine: Engine) {
        let mut server = Server::start(engine, &["--demo"]).await;
        let password = |server: &Server| {
            let line = server.greeting.iter().find_map(|line| line.strip_prefix("Everybody's password is ")).unwrap();
            line.split(' ').next().unwrap().to_owned()
        };
        let sign_in = |server: &Server, name: &str, password: &str| {
            let body = json!({"email": format!("{name}@demo.example"), "password": password});
            server.request(Method::POST, "/api/auth/sign-in").json(&body)
        };
        let first = password(&server);
        for name in ["owner", "admin", "master", "reseller", "member", "billing", "viewer", "operator"] {
            expect(sign_in(&server, name, &first), StatusCode::OK).await;
        }
        // All are members of the one organization that was filled once.
        let token = expect(sign_in(&server, "owner", &first), StatusCode::OK).await["access_token"].clone();
        let listed = server.request(Method::GET, "/api/organizations").bearer_auth(token.as_str().unwrap());
        let mut slugs: Vec<Json> = expect(listed, StatusCode::OK).await["data"].as_array().unwrap().iter().map(|one| one["slug"].clone()).collect();
        slugs.sort_by_key(Json::to_string);
        assert_eq!(slugs, [json!("acme"), json!("globex")]);
        server.kill().await;
        server.start_again().await;
        expect(sign_in(&server, "operator", &first), StatusCode::UNAUTHORIZED).await;
        expect(sign_in(&server, "operator", &password(&server)), StatusCode::OK).await;
    }

    async fn a_database_of_the_demo_is_served_to_others_only_after_the_demo_was_ended(engine: Engine) {
        let mut server = Server::start(engine, &["--demo"]).await;
        let other = server.new_organization().await;
        let line = server.greeting.iter().find_map(|line| line.strip_prefix("Everybody's password is ")).unwrap();
        let password = line.split(' ').next().unwrap().to_owned();
        let (code, _, words) = server.command(&["demo", "end"]).await;
        assert!(code == 1 && words.contains("another freehold"), "{words}");
        // The demo's people can have organizations of their own.
        let body = json!({"email": "admin@demo.example", "password": &password});
        let token = expect(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::OK).await["access_token"].clone();
        let new = server.request(Method::POST, "/api/organizations").bearer_auth(token.as_str().unwrap());
        expect(new.json(&json!({"name": "Another", "slug": "another"})), StatusCode::CREATED).await;
        server.stop().await;
        let (code, _, words) = server.command(&["serve", "--listen=127.0.0.1:0"]).await;
        assert!(code == 1 && words.contains("freehold demo end"), "{words}");
        // What they own beside it may be real work.
        let (code, _, words) = server.command(&["demo", "end"]).await;
        assert!(code == 1 && words.contains("another") && words.contains("--all"), "{words}");
        let (code, out, words) = server.command(&["demo", "end", "--all"]).await;
        assert!(code == 0 && out.contains("are removed"), "{out}{words}");
        let (code, _, words) = server.command(&["demo", "end"]).await;
        assert!(code == 1 && words.contains("not filled by --demo"), "{words}");
        let (code, _, words) = server.command(&["serve", "--demo", "--listen=127.0.0.1:0"]).await;
        assert!(code == 1 && words.contains("people in this database already"), "{words}");

        server.forget_argument("--demo");
        let operator = server.new_operator().await;
        for name in ["owner", "admin", "viewer", "operator"] {
            let body = json!({"email": format!("{name}@demo.example"), "password": password});
            refused(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::UNAUTHORIZED).await;
        }
        for slug in ["acme", "globex", "another"] {
            let read = server.request(Method::GET, &format!("/api/organizations/{slug}")).bearer_auth(&operator.token);
            refused(read, StatusCode::NOT_FOUND).await;
        }
        // What is not the demo's stays.
        let token = server.sign_in(&other.owner.email, None).await;
        expect(server.request(Method::GET, &format!("/api/organizations/{}", other.id)).bearer_auth(&token), StatusCode::OK).await;
        let open = server.request(Method::GET, "/api/deletions?state=open").bearer_auth(&operator.token);
        assert_eq!(expect(open, StatusCode::OK).await["data"], json!([]));
    }
}

#[tokio::test]
async fn the_demo_is_for_this_machine_and_for_a_database_of_its_own() {
    let mut server = Server::start(Engine::Sqlite, &[]).await;
    server.new_person().await;
    server.stop().await;
    let (code, _, words) = server.command(&["serve", "--demo", "--listen=127.0.0.1:0"]).await;
    assert!(code == 1 && words.contains("people in this database already"), "{words}");
    let (code, _, words) = server.command(&["serve", "--demo", "--listen=0.0.0.0:0"]).await;
    assert!(code == 1 && words.contains("loopback"), "{words}");
}
