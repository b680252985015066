//! `serve --demo`: the printed requests, pasted into a shell, do what the documents say, in any order and after every start.

use serde_json::json;
use tokio::process::Command;

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};

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
            server.request(reqwest::Method::POST, "/api/auth/sign-in").json(&body)
        };
        let first = password(&server);
        for name in ["owner", "admin", "master", "reseller", "member", "billing", "viewer", "operator"] {
            expect(sign_in(&server, name, &first), reqwest::StatusCode::OK).await;
        }
        server.kill().await;
        server.start_again().await;
        expect(sign_in(&server, "operator", &first), reqwest::StatusCode::UNAUTHORIZED).await;
        expect(sign_in(&server, "operator", &password(&server)), reqwest::StatusCode::OK).await;
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
