//! Another key to sign access tokens: an operator makes it, and who has a token notices nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::client::Shell;
use crate::on_both_engines;
use crate::support::{Engine, Server, expect};
use crate::tools::{Session, answered, refused};

const ROTATE: &str = "/api/auth/signing-keys/rotate";

async fn published(server: &Server) -> Vec<Json> {
    let set = expect(server.request(Method::GET, "/.well-known/jwks.json"), StatusCode::OK).await;
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

/// The key that a token names in its header.
fn kid(token: &str) -> Json {
    use base64::Engine as _;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Json>(&header).unwrap()["kid"].clone()
}

on_both_engines! {
    async fn a_new_key_signs_and_tokens_of_the_one_before_are_good(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        let me = |token: &str| server.request(Method::GET, "/api/users/me").bearer_auth(token);
        let [first] = published(&server).await.try_into().unwrap();
        let old = &organization.owner.token;
        assert_eq!(kid(old), first);

        let shell = Shell::new(&server).with("FREEHOLD_TOKEN", &operator.token);
        let said = shell.run("keys rotate-signing --json").await;
        assert_eq!(said.code, 0, "{}", said.err);
        let second = said.json()["kid"].clone();
        assert!(said.json()["previousUntil"].is_string(), "{}", said.out);
        assert_eq!(published(&server).await, [second.clone(), first.clone()]);
        let new = Session::begin(&server, &organization.owner.email, None).await.token;
        assert_eq!(kid(&new), second);
        for token in [old, &new, &operator.token] {
            answered(me(token), StatusCode::OK).await;
        }
        // A second time, while tokens of the first are about.
        let rotated = expect(server.request(Method::POST, ROTATE).bearer_auth(&operator.token), StatusCode::OK).await;
        let third = rotated["kid"].clone();
        assert_eq!(published(&server).await, [third.clone(), second.clone(), first.clone()]);
        for token in [old, &new] {
            answered(me(token), StatusCode::OK).await;
        }
        // A restart knows them all. The port is in the issuer, so tokens from before it are no longer good here.
        server.stop().await;
        server.start_again().await;
        assert_eq!(published(&server).await, [third, second, first]);
        assert_eq!(kid(&server.sign_in(&organization.owner.email, None).await), published(&server).await[0]);
    }

    async fn a_key_that_others_know_ends_at_once_with_its_tokens_and_sessions_go_on(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let operator = server.new_operator().await;
        let person = server.new_person().await;
        let session = Session::begin(&server, &person.email, None).await;
        let me = |token: &str| server.request(Method::GET, "/api/users/me").bearer_auth(token);
        answered(me(&session.token), StatusCode::OK).await;
        expect(server.request(Method::POST, ROTATE).bearer_auth(&operator.token), StatusCode::OK).await;
        let rotated = expect(server.request(Method::POST, &format!("{ROTATE}?at_once=true")).bearer_auth(&operator.token), StatusCode::OK).await;
        assert_eq!(rotated["previousUntil"], Json::Null);
        assert_eq!(published(&server).await, [rotated["kid"].clone()]);
        for token in [&session.token, &operator.token, &person.token] {
            refused(me(token), StatusCode::UNAUTHORIZED).await;
        }
        let renewed = Session::read(answered(session.refresh(&server), StatusCode::OK).await).await;
        answered(me(&renewed.token), StatusCode::OK).await;
    }

    async fn it_is_for_operators_in_a_session_and_in_the_audit_trail(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let operator = server.new_operator().await;
        let organization = server.new_organization().await;
        refused(server.request(Method::POST, ROTATE), StatusCode::UNAUTHORIZED).await;
        refused(server.request(Method::POST, ROTATE).bearer_auth(&organization.owner.token), StatusCode::FORBIDDEN).await;
        let own = server.request(Method::POST, "/api/users/me/api-keys").bearer_auth(&operator.token);
        let key = expect(own.json(&json!({"name": "Import", "scopes": ["admin:all"]})), StatusCode::CREATED).await;
        let with_key = server.request(Method::POST, ROTATE).header("X-API-Key", key["key"].as_str().unwrap());
        refused(with_key, StatusCode::FORBIDDEN).await;
        let before = published(&server).await;
        assert_eq!(before.len(), 1);

        // Those who verify tokens read all of them, so there are not many.
        for _ in 0..9 {
            expect(server.request(Method::POST, ROTATE).bearer_auth(&operator.token), StatusCode::OK).await;
        }
        refused(server.request(Method::POST, ROTATE).bearer_auth(&operator.token), StatusCode::CONFLICT).await;
        let keys = published(&server).await;
        assert!(keys.len() == 10 && keys.contains(&before[0]), "{keys:?}");
        let path = "/api/organizations/00000000-0000-0000-0000-000000000000/audit";
        let trail = expect(server.request(Method::GET, path).bearer_auth(&operator.token), StatusCode::OK).await;
        let entries: Vec<&Json> = trail["data"].as_array().unwrap().iter().filter(|entry| entry["action"] == "signing_key.rotate").collect();
        assert_eq!(entries.len(), 9, "{trail}");
        assert!(entries[0]["detail"].as_str().unwrap().contains(keys[0].as_str().unwrap()) && entries[0]["actor"] == "operator", "{}", entries[0]);
    }
}
