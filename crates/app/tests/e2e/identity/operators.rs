//! The people who run the server: who makes them, and what ends with it.

use reqwest::{Method, StatusCode};

use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::refused;

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
