//! OAuth: apps, and what token endpoints take and answer.

use super::Is::{Flag, Id, Named, Number, Scopes, Text, Texts, Url};
use super::words::TOKEN_TYPE;
use super::{Shape, required, sometimes};

const CLIENT_ID: super::Is = super::Is::Pattern("^app_[0-9A-Za-z]{24}$", 28);
const CLIENT_ID_LIKE: &str = "app_0123456789abcdefGHIJKLMN";
const SCOPE_LIKE: &str = "read:organization read:customers";

pub(crate) static TOKENS: Shape = Shape::new(
    "OauthTokens",
    "Tokens, in OAuth's spelling (RFC 6749).",
    &[
        required("access_token", Text(1, 200), "For `Authorization: Bearer`.").like("fho_c0ffee"),
        required("token_type", Named(&TOKEN_TYPE), ""),
        required("expires_in", Number(0, super::MOST_COUNTED), "Seconds for which the access token is good.").like("3600"),
        required("refresh_token", Text(1, 200), "Good for one new pair.").like("fhr_c0ffee"),
        required("scope", Text(1, 1_000), "What the access token may be used for.").like(SCOPE_LIKE),
        required("token_id", Id, "What revokes it; it stays the same over refreshes."),
    ],
)
.verbatim();

pub(crate) static INTROSPECTION: Shape = Shape::new(
    "Introspection",
    "What a token is good for (RFC 7662).",
    &[
        required("active", Flag, "Whether the token is good now, for the organization of the app that asks. If not, nothing else is told."),
        sometimes("iss", Text(1, 2_000), "This server.").like("http://localhost:3001"),
        sometimes("sub", Id, "The user it acts as."),
        sometimes("jti", Id, "The token's id, or that of the session behind it."),
        sometimes("client_id", CLIENT_ID, "The app it was given to; missing for a session.").like(CLIENT_ID_LIKE),
        sometimes("token_type", Named(&TOKEN_TYPE), "Of access tokens."),
        sometimes("scope", Text(0, 1_000), "Missing where there is no limit but the user's role.").like(SCOPE_LIKE),
        sometimes("exp", Number(0, super::MOST_COUNTED), "When it ends by itself, in seconds since 1970.").like("1767225600"),
    ],
)
.verbatim();

pub(crate) static SERVER_METADATA: Shape = Shape::new(
    "AuthorizationServerMetadata",
    "Where the endpoints are and what they can do (RFC 8414).",
    &[
        required("issuer", Url, "").like("http://localhost:3001"),
        required("token_endpoint", Url, "").like("http://localhost:3001/oauth2/token"),
        required("token_endpoint_auth_methods_supported", Texts(10), "").like(METHODS),
        required("revocation_endpoint", Url, "").like("http://localhost:3001/oauth2/revoke"),
        required("revocation_endpoint_auth_methods_supported", Texts(10), "").like(METHODS),
        required("introspection_endpoint", Url, "").like("http://localhost:3001/oauth2/introspect"),
        required("introspection_endpoint_auth_methods_supported", Texts(10), "").like(METHODS),
        required("jwks_uri", Url, "").like("http://localhost:3001/.well-known/jwks.json"),
        required("grant_types_supported", Texts(10), "").like("[\"client_credentials\",\"refresh_token\"]"),
        required("scopes_supported", Scopes, ""),
    ],
)
.verbatim();

const METHODS: &str = "[\"client_secret_basic\",\"client_secret_post\"]";
