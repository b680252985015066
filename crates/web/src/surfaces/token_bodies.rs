//! Bodies of token endpoints, which are read by their parameters and not into a type: what the documents say of them.
#![expect(dead_code, reason = "only their schemas are used")]

use plane::wire::Scope;
use schemars::JsonSchema;
use uuid::Uuid;

/// A grant (RFC 6749). What is not asked for here is ignored.
#[derive(JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct TokenRequest {
    #[schemars(with = "String", extend("enum" = ["client_credentials", "refresh_token"]))]
    grant_type: (),
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"app_0123456789abcdefGHIJKLMN")]
    client_id: Option<String>,
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg")]
    client_secret: Option<String>,
    /// For the grant type `refresh_token`. Good once.
    #[schemars(length(min = 0, max = 200), example = &"fhr_c0ffee")]
    refresh_token: Option<String>,
    /// Scopes with spaces between; all there are if missing.
    #[schemars(length(min = 0, max = 1_000), example = &"read:organization read:customers")]
    scope: Option<String>,
}

/// An app asks for a token. A form with names in OAuth's spelling is read too.
#[derive(JsonSchema)]
pub(crate) struct ClientCredentials {
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"app_0123456789abcdefGHIJKLMN")]
    client_id: Option<String>,
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg")]
    client_secret: Option<String>,
    /// All of the app's if missing. `scope`, with spaces between, is read too.
    scopes: Option<Vec<Scope>>,
    /// Only the user who made the app: its tokens act as them.
    user_id: Option<Uuid>,
    /// As if it were there if missing.
    #[schemars(with = "Option<String>", extend("enum" = ["client_credentials"]))]
    grant_type: (),
}

/// A refresh token. A form with names in OAuth's spelling is read too.
#[derive(JsonSchema)]
pub(crate) struct RefreshToken {
    /// Good once.
    #[schemars(length(min = 1, max = 200), example = &"fhr_c0ffee")]
    refresh_token: String,
    /// Narrows the new access token; all that was granted if missing.
    scopes: Option<Vec<Scope>>,
    /// If it is there, the token must be this client's.
    #[schemars(length(min = 0, max = 200), example = &"app_0123456789abcdefGHIJKLMN")]
    client_id: Option<String>,
    /// With `clientId`.
    #[schemars(length(min = 0, max = 200), example = &"fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg")]
    client_secret: Option<String>,
}

/// A token, and the client that asks. What is not asked for here is ignored.
#[derive(JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct PresentedToken {
    /// An access token or a refresh token.
    #[schemars(length(min = 1, max = 2_000), example = &"fho_c0ffee")]
    token: String,
    /// Not needed here.
    #[schemars(length(min = 0, max = 100), example = &"access_token")]
    token_type_hint: Option<String>,
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"app_0123456789abcdefGHIJKLMN")]
    client_id: Option<String>,
    /// Or in `Authorization: Basic`.
    #[schemars(length(min = 0, max = 200), example = &"fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg")]
    client_secret: Option<String>,
}
