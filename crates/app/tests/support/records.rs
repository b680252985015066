//! What a server of a test has made or handed out.

use serde_json::{Value as Json, json};

/// What a sign-in hands out.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub token: String,
    /// Name and value, as they go into the header `Cookie`.
    pub cookie: String,
}

/// An OAuth app with its secret.
#[derive(Debug, Clone)]
pub struct OauthApp {
    pub id: String,
    pub client_id: String,
    pub secret: String,
}

/// What a token endpoint hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OauthTokens {
    pub id: String,
    pub access: String,
    pub refresh: String,
    pub scope: String,
}

impl OauthTokens {
    /// Reads a token endpoint's answer.
    pub fn read(body: &Json) -> OauthTokens {
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)), "{body}");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        OauthTokens { id: text("token_id"), access: text("access_token"), refresh: text("refresh_token"), scope: text("scope") }
    }
}

/// A user and their access token.
#[derive(Debug, Clone)]
pub struct Person {
    pub email: String,
    pub token: String,
}

/// An organization and its owner.
#[derive(Debug, Clone)]
pub struct Organization {
    pub id: String,
    pub slug: String,
    pub owner: Person,
}
