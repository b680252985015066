//! OAuth: apps and their tokens as the organizations API has them, and the standard endpoints: token (RFC 6749), revocation (RFC 7009),
//! introspection (RFC 7662), and the metadata that leads to them (RFC 8414).

use plane::policy::Action;

use super::token_bodies::{ClientCredentials, PresentedToken, RefreshToken, TokenRequest};
use crate::catalogue::Content::Nothing;
use crate::catalogue::{Operation, Surface, tagged};
use crate::dialect::OAUTH;
use crate::handlers::oauth;

/// What of it is below `/api`.
pub(super) fn operations() -> Vec<Operation> {
    app_operations().into_iter().chain(token_operations()).collect()
}

/// The standard endpoints.
pub(crate) fn surface() -> Surface {
    let operations = tagged("oauth", standard_operations().into_iter().map(Operation::anybody)).collect();
    let tags = &[("oauth", "OAuth 2.0: the standard endpoints.")];
    Surface { name: "", tags, dialect: &OAUTH, prefix: "", operations }
}

fn app_operations() -> Vec<Operation> {
    const CLIENT: &[(&str, &str)] = &[("clientId", "body.clientId")];
    vec![
        Operation::post("/oauth/apps", "createOauthApp", oauth::create_app)
            .of_current()
            .etag()
            .says("Make an OAuth app")
            .may(Action::WriteOauthApps)
            .gives(201, "The app with its secret, shown once.")
            .refuses(409, "organizationId and X-Organization name two organizations, the organization has as many apps as it may have, or is archived.")
            .leads("readOauthApp", CLIENT)
            .leads("updateOauthApp", CLIENT)
            .leads("deleteOauthApp", CLIENT),
        Operation::get("/oauth/apps/organization/{organizationId}", "listOauthApps", oauth::list_apps)
            .says("List an organization's OAuth apps")
            .may(Action::ReadOauthApps)
            .gives(200, "Apps without their secrets, newest first."),
        Operation::get("/oauth/apps/{clientId}", "readOauthApp", oauth::read_app)
            .etag()
            .says("Read an OAuth app")
            .explains("For strangers to its organization there is no such app.")
            .may(Action::ReadOauthApps)
            .gives(200, "The app without its secret."),
        Operation::put("/oauth/apps/{clientId}", "updateOauthApp", oauth::update_app)
            .etag()
            .says("Change an OAuth app")
            .explains("Its tokens change with it, at once. Who did not make the app can take from it and not give to it.")
            .may(Action::WriteOauthApps)
            .gives(200, "The app without its secret.")
            .refuses(409, "The organization is archived."),
        Operation::delete("/oauth/apps/{clientId}", "deleteOauthApp", oauth::delete_app)
            .etag()
            .says("Delete an OAuth app")
            .explains("Every token of it is revoked: from the answer on none is good.")
            .may(Action::DeleteOauthApp)
            .answers(204, "The app and its tokens are gone.", Nothing),
        Operation::post("/oauth/apps/{clientId}/secret", "rotateOauthAppSecret", oauth::rotate_secret)
            .etag()
            .says("Give an OAuth app a new secret")
            .explains(
                "The old secret is no longer good; tokens got with it are. Only for the member who made the app, with a credential that has \
                 all of the app's scopes: what holds the secret acts as that member.",
            )
            .may_or_own(Action::GiveToOauthApp, Action::WriteOauthApps)
            .gives(200, "The app with its new secret, shown once.")
            .refuses(409, "The organization is archived."),
    ]
}

fn token_operations() -> Vec<Operation> {
    vec![
        Operation::post("/oauth/token", "createOauthToken", oauth::documented_token)
            .says("Get a token for an OAuth app")
            .explains("Errors carry `error` and `error_description` of RFC 6749 as well. The standard endpoint is `/oauth2/token`.")
            .anybody()
            .takes_form::<ClientCredentials>()
            .gives(200, "Tokens.")
            .refuses(401, "The client is unknown, or its secret is not the right one.")
            .leads("revokeOauthToken", &[("tokenId", "body.token_id")]),
        Operation::post("/oauth/token/refresh", "refreshOauthToken", oauth::documented_refresh)
            .says("Turn a refresh token into new tokens")
            .explains(
                "The refresh token is used up and the old access token ends. One that was used before ends them all. Errors carry `error` \
                 and `error_description` of RFC 6749 as well.",
            )
            .anybody()
            .takes_form::<RefreshToken>()
            .gives(200, "New tokens.")
            .refuses(401, "The refresh token is unknown, used or past its end.")
            .leads("revokeOauthToken", &[("tokenId", "body.token_id")]),
        Operation::delete("/oauth/token/{tokenId}", "revokeOauthToken", oauth::revoke_token)
            .says("Revoke a token of an OAuth app")
            .explains("A token can always revoke itself. For strangers to its organization there is no such token.")
            .may(Action::RevokeOauthToken)
            .answers(204, "The token and its refresh token are gone.", Nothing),
    ]
}

fn standard_operations() -> Vec<Operation> {
    const CLIENT: &str = "The client is unknown, or its secret is not the right one: `invalid_client`.";
    vec![
        Operation::post("/oauth2/token", "oauthToken", oauth::token)
            .says("The token endpoint (RFC 6749)")
            .explains("For the grants `client_credentials` and `refresh_token`. Errors carry `error` and `error_description` as well.")
            .takes_form::<TokenRequest>()
            .gives(200, "Tokens.")
            .refuses(400, "`invalid_request`, `invalid_grant`, `invalid_scope` or `unsupported_grant_type`.")
            .refuses(401, CLIENT)
            .leads("revokeOauthToken", &[("tokenId", "body.token_id")]),
        Operation::post("/oauth2/revoke", "oauthRevoke", oauth::revoke)
            .says("The revocation endpoint (RFC 7009)")
            .explains("Access token and refresh token go together. A token that is unknown or gone is no error.")
            .takes_form::<PresentedToken>()
            .answers(200, "The token is not good, if it ever was.", Nothing)
            .refuses(400, "`invalid_request`, or `invalid_grant` for another client's token.")
            .refuses(401, CLIENT),
        Operation::post("/oauth2/introspect", "oauthIntrospect", oauth::introspect)
            .says("The introspection endpoint (RFC 7662)")
            .explains("An app is told about tokens that are good for its own organization, access tokens of sessions too.")
            .takes_form::<PresentedToken>()
            .gives(200, "What the token is good for.")
            .refuses(400, "`invalid_request`.")
            .refuses(401, CLIENT),
        Operation::get("/.well-known/oauth-authorization-server", "oauthMetadata", oauth::metadata)
            .unlimited()
            .says("What this authorization server can do")
            .explains("RFC 8414.")
            .gives(200, "The metadata."),
    ]
}
