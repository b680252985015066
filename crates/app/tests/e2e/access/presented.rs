//! What a secret is good for depends on how it comes: as what it was given out, and in no other header, whatever the server remembers of it.

use futures_util::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::catalogue::{Access, Operation, operations};
use super::world::{Caller, Credential, Standing, Tenant, caller};
use crate::on_both_engines;
use crate::support::{Engine, PASSWORD, Server, expect, header};

/// A name, and what makes a credential of a secret.
type Way = (&'static str, fn(String) -> Credential);

/// The ways in which a secret can come.
const WAYS: [Way; 3] = [("bearer token", Credential::Bearer), ("key", Credential::Key), ("cookie", Credential::Cookie)];

on_both_engines! {
    async fn a_secret_is_good_only_in_the_way_for_which_it_was_given(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner;
        let body = json!({"email": owner.email, "password": PASSWORD});
        let answer = server.request(Method::POST, "/api/auth/sign-in").json(&body).send().await.unwrap();
        let cookie = header(&answer, "set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
        let signed_in: serde_json::Value = answer.json().await.unwrap();
        let text = |name: &str| signed_in[name].as_str().unwrap().to_owned();
        let key = server.new_api_key(&organization, &owner.token, &["admin:all"]).await.1;
        let path = format!("/api/organizations/{}/api-keys", organization.id);
        let publishable = json!({"name": "Test key", "kind": "publishable"});
        let made = expect(server.request(Method::POST, &path).bearer_auth(&owner.token).json(&publishable), StatusCode::CREATED).await;
        let app = server.new_oauth_app(&organization, &owner.token, &["admin:all"]).await;
        let tokens = server.new_oauth_token(&app).await;
        // Each secret, and the way in which it is good.
        let secrets = [
            ("session's token", text("access_token"), Some("bearer token")),
            ("session's refresh token", text("refresh_token"), None),
            ("session's cookie", cookie, Some("cookie")),
            ("API key", key, Some("key")),
            ("publishable key", made["key"].as_str().unwrap().to_owned(), Some("key")),
            ("app's token", tokens.access, Some("bearer token")),
            ("app's refresh token", tokens.refresh, None),
            ("app's secret", app.secret, None),
        ];
        let wrong: Vec<Caller> = secrets
            .iter()
            .flat_map(|(what, secret, good)| {
                let ways = WAYS.into_iter().filter(move |(way, _)| Some(*way) != *good);
                ways.map(move |(way, credential)| caller(&format!("{what} as a {way}"), Standing::Unknown, credential(secret.clone())))
            })
            .collect();
        let operations = operations(&server).await;
        let guarded: Vec<&Operation> = operations.iter().filter(|operation| operation.access != Access::Anybody).collect();
        let tenant = Tenant::unknown();
        let mut cells = 0;
        for memory in ["cold", "warm"] {
            let all = guarded.iter().flat_map(|operation| wrong.iter().map(move |caller| (*operation, caller)));
            let answers = stream::iter(all).map(async |(operation, caller)| {
                let answer = operation.request(&server, caller, &tenant).send().await.unwrap();
                (operation, caller, answer.status())
            });
            let answers: Vec<_> = answers.buffer_unordered(16).collect().await;
            cells += answers.len();
            let let_in = answers.iter().filter(|(.., status)| *status != StatusCode::UNAUTHORIZED);
            let let_in: Vec<String> =
                let_in.map(|(operation, caller, status)| format!("{} with a {}: {status}", operation.id, caller.name)).collect();
            assert!(let_in.is_empty(), "{memory}: {}", let_in.join("\n"));
            // From here on the server remembers every one of them.
            for (what, secret, good) in &secrets {
                let Some((_, credential)) = WAYS.into_iter().find(|(way, _)| Some(*way) == *good) else { continue };
                let right = caller(what, Standing::Unknown, credential(secret.clone()));
                let path = format!("/api/organizations/{}", organization.id);
                expect(right.sign(server.request(Method::GET, &path)), StatusCode::OK).await;
            }
        }
        assert!(cells > 2_000, "only {cells} cells");
        eprintln!("presented: {} operations, {} secrets the wrong way, {cells} cells", guarded.len(), wrong.len());
    }
}
