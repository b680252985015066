//! OAuth: apps, and what token endpoints take and answer.

use super::Is::{Flag, Id, Named, Number, OrganizationId, Scopes, SomeScopes, Text, Texts, Time, Url, Word};
use super::words::TOKEN_TYPE;
use super::{Shape, optional, required, sometimes};

const CLIENT_ID: super::Is = super::Is::Pattern("^app_[0-9A-Za-z]{24}$", 28);
const CLIENT_ID_LIKE: &str = "app_0123456789abcdefGHIJKLMN";
const SECRET_LIKE: &str = "fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";
const SCOPE_LIKE: &str = "read:organization read:customers";
const CLIENT_ABOUT: &str = "Or in `Authorization: Basic`.";
const REDIRECT_ABOUT: &str = "An https address, or an http address of localhost, 127.0.0.1 or [::1]; no fragment.";

pub(crate) static NEW_APP: Shape = Shape::new(
    "NewOauthApp",
    "A new app. It acts as the member who makes it, within its scopes.",
    &[
        required("name", Text(1, 100), "").like("My Integration"),
        optional("description", Text(0, 500), "").like("Integration for managing organization data"),
        required("scopes", SomeScopes, "One or more; none wider than the credential that makes it."),
        optional("redirect_uri", Url, REDIRECT_ABOUT).like("https://example.com/callback"),
        optional("redirect_uris", Texts(10), "The same, several.").like("[\"https://example.com/callback\"]"),
        optional("organization_id", super::ORGANIZATION, "UUID, shortuuid or slug; the credential's organization if missing.").like("acme"),
    ],
);

pub(crate) static APP_CHANGES: Shape = Shape::new(
    "OauthAppChanges",
    "What shall change; what is missing stays as it is.",
    &[
        optional("name", Text(1, 100), "").like("Updated Integration Name"),
        optional("description", Text(0, 500), ""),
        optional(
            "scopes",
            SomeScopes,
            "One or more. Tokens that the app has are narrowed with it. Only the member who made the app can widen them.",
        ),
        optional("redirect_uri", Url, REDIRECT_ABOUT).like("https://example.com/callback"),
        optional("redirect_uris", Texts(10), "The same, several.").like("[\"https://example.com/callback\"]"),
        optional(
            "is_active",
            Flag,
            "Whether it gets tokens and those it has are good. Only the member who made the app can turn it on again.",
        ),
    ],
);

pub(crate) static APP: Shape = Shape::new(
    "OauthApp",
    "An OAuth app without its secret.",
    &[
        required("id", Id, "In the audit trail and in deletions."),
        required("client_id", CLIENT_ID, "").like(CLIENT_ID_LIKE),
        required("organization_id", OrganizationId, ""),
        required("member_id", Id, "The member it acts as."),
        required("name", Text(1, 100), "").like("My Integration"),
        optional("description", Text(0, 500), "").like("Integration for managing organization data"),
        optional("redirect_uri", Url, "The first of `redirectUris`.").like("https://example.com/callback"),
        required("redirect_uris", Texts(10), "").like("[\"https://example.com/callback\"]"),
        required("scopes", Scopes, ""),
        required("is_active", Flag, "Whether it gets tokens and those it has are good."),
        required("created_at", Time, ""),
        required("updated_at", Time, ""),
    ],
);

pub(crate) static CREATED_APP: Shape = Shape::new(
    "CreatedOauthApp",
    "An OAuth app with its secret.",
    &[required("client_secret", Text(1, 100), "Shown once.").like(SECRET_LIKE)],
)
.upon(&APP);

pub(crate) static TOKEN_REQUEST: Shape = Shape::new(
    "TokenRequest",
    "A grant (RFC 6749). What is not asked for here is ignored.",
    &[
        required("grant_type", Word(&["client_credentials", "refresh_token"]), ""),
        optional("client_id", Text(0, 200), CLIENT_ABOUT).like(CLIENT_ID_LIKE),
        optional("client_secret", Text(0, 200), CLIENT_ABOUT).like(SECRET_LIKE),
        optional("refresh_token", Text(0, 200), "For the grant type `refresh_token`. Good once.").like("fhr_c0ffee"),
        optional("scope", Text(0, 1_000), "Scopes with spaces between; all there are if missing.").like(SCOPE_LIKE),
    ],
)
.verbatim();

pub(crate) static DOCUMENTED_TOKEN_REQUEST: Shape = Shape::new(
    "ClientCredentials",
    "An app asks for a token. A form with names in OAuth's spelling is read too.",
    &[
        optional("client_id", Text(0, 200), CLIENT_ABOUT).like(CLIENT_ID_LIKE),
        optional("client_secret", Text(0, 200), CLIENT_ABOUT).like(SECRET_LIKE),
        optional("scopes", Scopes, "All of the app's if missing. `scope`, with spaces between, is read too."),
        optional("user_id", Id, "Only the user who made the app: its tokens act as them."),
        optional("grant_type", Word(&["client_credentials"]), "As if it were there if missing."),
    ],
);

pub(crate) static DOCUMENTED_REFRESH: Shape = Shape::new(
    "RefreshToken",
    "A refresh token. A form with names in OAuth's spelling is read too.",
    &[
        required("refresh_token", Text(1, 200), "Good once.").like("fhr_c0ffee"),
        optional("scopes", Scopes, "Narrows the new access token; all that was granted if missing."),
        optional("client_id", Text(0, 200), "If it is there, the token must be this client's.").like(CLIENT_ID_LIKE),
        optional("client_secret", Text(0, 200), "With `clientId`.").like(SECRET_LIKE),
    ],
);

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

pub(crate) static PRESENTED_TOKEN: Shape = Shape::new(
    "PresentedToken",
    "A token, and the client that asks. What is not asked for here is ignored.",
    &[
        required("token", Text(1, 2_000), "An access token or a refresh token.").like("fho_c0ffee"),
        optional("token_type_hint", Text(0, 100), "Needed by nobody here.").like("access_token"),
        optional("client_id", Text(0, 200), CLIENT_ABOUT).like(CLIENT_ID_LIKE),
        optional("client_secret", Text(0, 200), CLIENT_ABOUT).like(SECRET_LIKE),
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
