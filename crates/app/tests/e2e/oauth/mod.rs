//! OAuth apps and their tokens: the documented and the standard endpoints, and the end of a token with whatever it hangs on.

mod apps;
mod grants;
mod life;
mod refresh;
mod standards;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{OauthApp, OauthTokens, Server, expect, header};
use crate::tools::answered;

/// Every scope that most of these tests need.
const SCOPES: [&str; 4] = ["read:user", "read:organization", "read:members", "read:customers"];

/// Sends a request to a token endpoint that must be refused in OAuth's words and ours, and returns the body.
async fn refused_as(request: RequestBuilder, status: StatusCode, error: &str) -> Json {
    let answer = answered(request, status).await;
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    assert_eq!(header(&answer, "www-authenticate").is_empty(), status != StatusCode::UNAUTHORIZED);
    if error == "invalid_client" {
        assert!(header(&answer, "www-authenticate").starts_with("Basic "));
    }
    let body: Json = answer.json().await.unwrap();
    assert_eq!((&body["error"], &body["status"]), (&json!(error), &json!(status.as_u16())), "{body}");
    let words = body["error_description"].as_str().unwrap();
    // RFC 6749, section 5.2.
    assert!(words.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'), "{words}");
    assert_eq!((&body["detail"], &body["message"]), (&json!(words), &json!(words)));
    body
}

/// The request with which an app turns its refresh token into new tokens.
fn refresh(server: &Server, app: &OauthApp, refresh_token: &str) -> RequestBuilder {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    server.form("/oauth2/token", &fields).basic_auth(&app.client_id, Some(&app.secret))
}

async fn refreshed(server: &Server, app: &OauthApp, refresh_token: &str) -> OauthTokens {
    OauthTokens::read(&expect(refresh(server, app, refresh_token), StatusCode::OK).await)
}

/// Presents an access token where only the token decides.
fn me(server: &Server, access_token: &str) -> RequestBuilder {
    server.request(Method::GET, "/api/users/me").bearer_auth(access_token)
}
