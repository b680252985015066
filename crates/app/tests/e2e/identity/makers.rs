//! What credentials make: nothing that has more than they have, and nothing that outlives them.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, Server, expect};
use crate::tools::{answered, deleted, refused};

/// A key or a token.
#[derive(Clone)]
enum Credential {
    Key(String),
    Token(String),
}

impl Credential {
    fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Credential::Key(secret) => request.header("X-API-Key", secret),
            Credential::Token(access) => request.bearer_auth(access),
        }
    }
}

fn keys(organization: &Organization) -> String {
    format!("/api/organizations/{}/api-keys", organization.id)
}

fn new_key(server: &Server, organization: &Organization, maker: &Credential, body: &Json) -> RequestBuilder {
    maker.sign(server.request(Method::POST, &keys(organization)).json(body))
}

fn change(server: &Server, organization: &Organization, key: &str, by: &Credential, body: &Json) -> RequestBuilder {
    by.sign(server.request(Method::PATCH, &format!("{}/{key}", keys(organization))).json(body))
}

/// Makes a key with these scopes and returns its id and the key.
async fn make(server: &Server, organization: &Organization, maker: &Credential, scopes: &[&str]) -> (String, Credential) {
    let made = expect(new_key(server, organization, maker, &json!({"name": "Test key", "scopes": scopes})), StatusCode::CREATED).await;
    (made["id"].as_str().unwrap().to_owned(), Credential::Key(made["key"].as_str().unwrap().to_owned()))
}

async fn make_app(server: &Server, organization: &Organization, maker: &Credential, scopes: &[&str]) -> OauthApp {
    let body = json!({"name": "Test app", "scopes": scopes, "organizationId": organization.id});
    let made = expect(maker.sign(server.request(Method::POST, "/api/oauth/apps").json(&body)), StatusCode::CREATED).await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    OauthApp { id: text("id"), client_id: text("clientId"), secret: text("clientSecret") }
}

fn use_of(server: &Server, organization: &Organization, credential: &Credential) -> RequestBuilder {
    credential.sign(server.request(Method::GET, &keys(organization)))
}

const ALL_IT_NEEDS: [&str; 3] = ["read:organization", "write:organization", "write:oauth-apps"];

/// The ways in which a maker ends, and whether it is one of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    KeyRevoked,
    KeySwitchedOff,
    KeyExpired,
    TokenRevoked,
    AppDeleted,
    AppInactive,
}

impl End {
    const ALL: [End; 6] = [End::KeyRevoked, End::KeySwitchedOff, End::KeyExpired, End::TokenRevoked, End::AppDeleted, End::AppInactive];
}

on_both_engines! {
    async fn no_credential_gives_a_key_more_than_it_has(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=300"]).await;
        let organization = server.new_organization().await;
        let owner = Credential::Token(organization.owner.token.clone());
        let end = (Timestamp::now() + Duration::from_secs(3_600)).to_string();
        let limited = json!({"name": "Limited", "scopes": ["write:organization"], "allowedIps": ["127.0.0.0/8", "::1"], "expiresAt": end,
                             "rateLimitPerMinute": 250, "rateLimitPerHour": 9_000});
        let made = expect(new_key(&server, &organization, &owner, &limited), StatusCode::CREATED).await;
        let (itself, key) = (made["id"].as_str().unwrap().to_owned(), Credential::Key(made["key"].as_str().unwrap().to_owned()));
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["write:organization"]).await;
        let token = Credential::Token(server.new_oauth_token(&app).await.access);
        let (other, _) = make(&server, &organization, &owner, &["read:user"]).await;
        let wider = [
            ("scopes", json!(["read:customers"])),
            ("expiresAt", json!("2999-12-31T23:59:59Z")),
            ("rateLimitPerMinute", json!(301)),
            ("allowedIps", json!(["10.0.0.0/8"])),
            ("allowedIps", json!(["0.0.0.0/0"])),
            ("rateLimitPerMinute", json!(251)),
            ("rateLimitPerHour", json!(9_001)),
        ];
        let emptied = [("expiresAt", Json::Null), ("allowedIps", json!([])), ("rateLimitPerMinute", Json::Null), ("rateLimitPerHour", Json::Null)];
        let mut cells = 0;
        for (credential, knows) in [(&key, 7), (&token, 3)] {
            // A token has no addresses and limits of its own, but those that everybody has.
            for (field, value) in wider.iter().take(knows) {
                let body = json!({"name": "Wider key", "scopes": ["write:organization"], *field: value});
                let mut requests = vec![new_key(&server, &organization, credential, &body), change(&server, &organization, &other, credential, &json!({*field: value}))];
                requests.extend((knows == 7).then(|| change(&server, &organization, &itself, credential, &json!({*field: value}))));
                for request in requests {
                    let problem = refused(request, StatusCode::BAD_REQUEST).await;
                    let first = &problem["errors"][0];
                    assert!(first["code"] == "wider_than_own" && first["field"].as_str().unwrap().starts_with(field), "{field} {value}: {problem}");
                    cells += 1;
                }
            }
        }
        for (field, value) in emptied {
            let problem = refused(change(&server, &organization, &itself, &key, &json!({field: value})), StatusCode::BAD_REQUEST).await;
            assert_eq!((&problem["errors"][0]["field"], &problem["errors"][0]["code"]), (&json!(field), &json!("wider_than_own")));
            cells += 1;
        }
        eprintln!("wider than own: {cells} cells, all refused");
        // What is not said is as the maker has it; what is narrower is given.
        let child = expect(new_key(&server, &organization, &key, &json!({"name": "Child", "scopes": []})), StatusCode::CREATED).await;
        for field in ["allowedIps", "expiresAt", "rateLimitPerMinute", "rateLimitPerHour"] {
            assert_eq!(child[field], made[field], "{field}");
        }
        assert_eq!((&child["madeBy"], &made["madeBy"]), (&json!(itself), &Json::Null));
        let narrow = json!({"allowedIps": ["127.0.0.1"], "rateLimitPerMinute": 10, "rateLimitPerHour": 10});
        answered(change(&server, &organization, child["id"].as_str().unwrap(), &key, &narrow), StatusCode::OK).await;
        let of_token = expect(new_key(&server, &organization, &token, &json!({"name": "Child", "scopes": []})), StatusCode::CREATED).await;
        assert!(of_token["expiresAt"].as_str().unwrap().parse::<Timestamp>().unwrap() <= Timestamp::now() + Duration::from_secs(3_600));
        // One that has more is not switched on by one that has less.
        answered(change(&server, &organization, &other, &owner, &json!({"isActive": false})), StatusCode::OK).await;
        refused(change(&server, &organization, &other, &key, &json!({"isActive": true})), StatusCode::BAD_REQUEST).await;
        answered(change(&server, &organization, &other, &owner, &json!({"isActive": true})), StatusCode::OK).await;
    }
}

on_both_engines! {
    async fn what_a_credential_made_ends_with_it_down_to_the_last_of_its_line(server: Server) {
        let organization = server.new_organization().await;
        let owner = Credential::Token(organization.owner.token.clone());
        let (_, of_a_person) = make(&server, &organization, &owner, &ALL_IT_NEEDS).await;
        for end in End::ALL {
            let (id, key) = make(&server, &organization, &owner, &ALL_IT_NEEDS).await;
            let app = server.new_oauth_app(&organization, &organization.owner.token, &ALL_IT_NEEDS).await;
            let tokens = server.new_oauth_token(&app).await;
            let token = Credential::Token(tokens.access.clone());
            let maker = if matches!(end, End::KeyRevoked | End::KeySwitchedOff | End::KeyExpired) { key } else { token };
            let (_, child) = make(&server, &organization, &maker, &ALL_IT_NEEDS).await;
            let (_, grandchild) = make(&server, &organization, &child, &ALL_IT_NEEDS).await;
            let apps = [make_app(&server, &organization, &maker, &ALL_IT_NEEDS).await, make_app(&server, &organization, &child, &ALL_IT_NEEDS).await];
            let mut line = vec![maker.clone(), child, grandchild];
            for app in &apps {
                let token = Credential::Token(server.new_oauth_token(app).await.access);
                line.extend([make(&server, &organization, &token, &["write:organization"]).await.1, token]);
            }
            for credential in &line {
                answered(use_of(&server, &organization, credential), StatusCode::OK).await;
            }
            let of_app = |method: Method| server.request(method, &format!("/api/oauth/apps/{}", app.client_id)).bearer_auth(&organization.owner.token);
            match end {
                End::KeyRevoked => {
                    let request = server.request(Method::DELETE, &format!("{}/{id}", keys(&organization))).bearer_auth(&organization.owner.token);
                    deleted(request, StatusCode::NO_CONTENT).await;
                }
                End::KeySwitchedOff => {
                    answered(change(&server, &organization, &id, &owner, &json!({"isActive": false})), StatusCode::OK).await;
                }
                End::KeyExpired => {
                    let soon = (Timestamp::now() + Duration::from_millis(300)).to_string();
                    answered(change(&server, &organization, &id, &owner, &json!({"expiresAt": soon})), StatusCode::OK).await;
                    while use_of(&server, &organization, &maker).send().await.unwrap().status() != StatusCode::UNAUTHORIZED {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                End::TokenRevoked => {
                    let request = server.request(Method::DELETE, &format!("/api/oauth/token/{}", tokens.id)).bearer_auth(&organization.owner.token);
                    answered(request, StatusCode::NO_CONTENT).await;
                }
                End::AppDeleted => {
                    deleted(of_app(Method::DELETE), StatusCode::NO_CONTENT).await;
                }
                End::AppInactive => {
                    answered(of_app(Method::PUT).json(&json!({"isActive": false})), StatusCode::OK).await;
                }
            }
            for (place, credential) in line.iter().enumerate() {
                let status = use_of(&server, &organization, credential).send().await.unwrap().status();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{end:?}: number {place} of the line is good");
            }
            for app in &apps {
                let form = [("grant_type", "client_credentials"), ("client_id", app.client_id.as_str()), ("client_secret", app.secret.as_str())];
                answered(server.form("/oauth2/token", &form), StatusCode::UNAUTHORIZED).await;
            }
            if end == End::KeySwitchedOff {
                // What was not ended for good goes on where it was.
                answered(change(&server, &organization, &id, &owner, &json!({"isActive": true})), StatusCode::OK).await;
                for credential in &line {
                    answered(use_of(&server, &organization, credential), StatusCode::OK).await;
                }
            }
            answered(use_of(&server, &organization, &of_a_person), StatusCode::OK).await;
        }
    }

    async fn a_credential_never_has_more_than_its_maker_has_now_and_gives_no_secret_to_what_others_made(server: Server) {
        let organization = server.new_organization().await;
        let owner = Credential::Token(organization.owner.token.clone());
        let (id, maker) = make(&server, &organization, &owner, &["write:organization", "write:oauth-apps", "read:members"]).await;
        let (_, child) = make(&server, &organization, &maker, &["read:members"]).await;
        let members = || child.sign(server.request(Method::GET, &format!("/api/organizations/{}/members", organization.id)));
        answered(members(), StatusCode::OK).await;
        answered(change(&server, &organization, &id, &owner, &json!({"scopes": ["write:organization", "write:oauth-apps"]})), StatusCode::OK).await;
        refused(members(), StatusCode::FORBIDDEN).await;
        let others = server.new_oauth_app(&organization, &organization.owner.token, &["write:oauth-apps"]).await;
        let own = make_app(&server, &organization, &maker, &["write:oauth-apps"]).await;
        let rotate = |app: &OauthApp| maker.sign(server.request(Method::POST, &format!("/api/oauth/apps/{}/secret", app.client_id)));
        refused(rotate(&others), StatusCode::FORBIDDEN).await;
        answered(rotate(&own), StatusCode::OK).await;
    }

    async fn a_line_of_makers_has_an_end(server: Server) {
        let organization = server.new_organization().await;
        let mut maker = Credential::Token(organization.owner.token.clone());
        for _ in 0..8 {
            maker = make(&server, &organization, &maker, &["write:organization"]).await.1;
        }
        let body = json!({"name": "One too many", "scopes": ["write:organization"]});
        let problem = refused(new_key(&server, &organization, &maker, &body), StatusCode::FORBIDDEN).await;
        assert!(problem["detail"].as_str().unwrap().contains("have a person"), "{problem}");
    }
}
