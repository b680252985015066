//! OAuth apps, and the endpoints at which they get, renew, revoke and introspect tokens.
//!
//! The standard endpoints below `/oauth2` keep to their RFCs to the letter. Those below `/api/oauth` do the same for clients of the
//! organizations API's document, which sends JSON, names no grant type, lists scopes and refreshes without saying who it is.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use plane::access::{enter, find};
use plane::ids::{self, OrganizationRef};
use plane::oauth_apps::{self, OauthApp, OauthAppChanges};
use plane::oauth_tokens::{self, Client, Issued};
use plane::plans::Subject;
use plane::policy::{Action, SCOPES};
use plane::wire::{OrganizationName, Scope, TokenType, Url};
use plane::{Error, FieldError, OauthRefusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::answers::{One, OrPlan, Paged};
use crate::body::{Body as Given, MOST_BYTES, TOO_LARGE};
use crate::caller::{Anonymous, Caller, Segments};
use crate::content::media_type;
use crate::handlers::{Deleted, delete_or_plan};
use crate::json;
use crate::limits::{Attempts, LimitClass};
use crate::problem::{Answer, Failure};
use crate::query::Query;

/// An OAuth app without its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OauthApp")]
pub(crate) struct App {
    #[serde(flatten)]
    app: OauthApp,
    /// The first of `redirectUris`.
    #[schemars(with = "Option<Url>", example = &"https://example.com/callback")]
    redirect_uri: Option<String>,
}

impl From<OauthApp> for App {
    fn from(app: OauthApp) -> App {
        App { redirect_uri: app.redirect_uris.first().cloned(), app }
    }
}

/// An OAuth app with its secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedOauthApp")]
pub(crate) struct CreatedApp {
    #[serde(flatten)]
    app: App,
    /// Shown once.
    #[schemars(length(min = 1, max = 100), example = &"fhs_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg")]
    client_secret: String,
}

/// A new app. It acts as the member who makes it, within its scopes.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct NewOauthApp {
    #[serde(flatten)]
    new: oauth_apps::NewOauthApp,
    /// An https address, or an http address of localhost, 127.0.0.1 or [::1]; no fragment.
    #[schemars(with = "Option<Url>", example = &"https://example.com/callback")]
    redirect_uri: Option<String>,
    /// UUID, shortuuid or slug; the credential's organization if missing.
    #[schemars(with = "Option<OrganizationName>", example = &"acme")]
    organization_id: Option<String>,
}

/// What shall change; what is missing stays as it is.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "OauthAppChanges")]
pub(crate) struct AppChanges {
    #[serde(flatten)]
    changes: OauthAppChanges,
    /// An https address, or an http address of localhost, 127.0.0.1 or [::1]; no fragment.
    #[schemars(with = "Option<Url>", example = &"https://example.com/callback")]
    redirect_uri: Option<String>,
}

pub(crate) async fn create_app(caller: Caller, Given(body): Given<NewOauthApp>) -> Answer<One<CreatedApp>> {
    let several = Some(body.new.redirect_uris).filter(|several| !several.is_empty());
    let redirect_uris = redirect_uris(body.redirect_uri, several)?.unwrap_or_default();
    let new = oauth_apps::NewOauthApp { redirect_uris, ..body.new };
    let organization = body.organization_id.as_deref().and_then(OrganizationRef::parse);
    let organization = match (organization, caller.current_organization()?) {
        (Some(named), OrganizationRef::Current) => named,
        // Both are read: of two that differ neither is guessed. A stranger to the one in the header is told no more than that.
        (Some(named), other)
            if enter(&caller.cx, &other, Action::WriteOauthApps).await?.organization() != find(&caller.cx, &named).await? =>
        {
            let words = "organizationId and X-Organization name two organizations: send one of them.";
            return Err(Error::Conflict(words.into()).into());
        }
        (_, by_header) => by_header,
    };
    let (app, secret) = oauth_apps::create(&caller.cx, &organization, new).await?;
    Ok(caller.created(&app.etag(), &CreatedApp { app: app.into(), client_secret: secret }))
}

/// The document has one address, in `redirectUri`; there can be several, in `redirectUris`.
fn redirect_uris(one: Option<String>, several: Option<Vec<String>>) -> Result<Option<Vec<String>>, Error> {
    match (one, several) {
        (Some(one), Some(several)) if !several.contains(&one) => {
            Err(FieldError::new("redirect_uri", "not_listed", "must be one of redirectUris, or be left out").into())
        }
        (one, several) => Ok(several.or(one.map(|one| vec![one]))),
    }
}

pub(crate) async fn list_apps(caller: Caller, Segments(organization): Segments<String>) -> Answer<Paged<App>> {
    let page = oauth_apps::list(&caller.cx, &caller.organization(&organization)?, caller.query.page()?).await?;
    Ok(caller.page(page, App::from))
}

pub(crate) async fn read_app(caller: Caller, Segments(client_id): Segments<String>) -> Answer<One<App>> {
    let app = oauth_apps::get(&caller.cx, &client_id).await?;
    Ok(caller.tagged(&app.etag(), &App::from(app)))
}

pub(crate) async fn update_app(caller: Caller, Segments(client_id): Segments<String>, Given(body): Given<AppChanges>) -> Answer<One<App>> {
    let redirect_uris = redirect_uris(body.redirect_uri, body.changes.redirect_uris)?;
    let changes = OauthAppChanges { redirect_uris, ..body.changes };
    let app = oauth_apps::update(&caller.cx, &client_id, changes).await?;
    Ok(caller.tagged(&app.etag(), &App::from(app)))
}

pub(crate) async fn rotate_secret(caller: Caller, Segments(client_id): Segments<String>) -> Answer<One<CreatedApp>> {
    let (app, secret) = oauth_apps::rotate_secret(&caller.cx, &client_id).await?;
    Ok(caller.tagged(&app.etag(), &CreatedApp { app: app.into(), client_secret: secret }))
}

pub(crate) async fn delete_app(caller: Caller, Segments(client_id): Segments<String>) -> Answer<OrPlan<Deleted>> {
    let deleting = oauth_apps::delete(&caller.cx, &client_id, caller.reason());
    delete_or_plan(&caller, Subject::OauthApp(client_id.clone()), deleting).await
}

pub(crate) async fn revoke_token(caller: Caller, Segments(token): Segments<String>) -> Answer<OrPlan<Deleted>> {
    let token = caller.id("token_id", &token)?;
    delete_or_plan(&caller, Subject::OauthToken(token), oauth_tokens::revoke(&caller.cx, token, caller.reason())).await
}

/// Tokens, in OAuth's spelling (RFC 6749).
#[derive(Serialize, JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct OauthTokens {
    /// For `Authorization: Bearer`.
    #[schemars(length(min = 1, max = 200), example = &"fho_c0ffee")]
    access_token: String,
    #[schemars(with = "TokenType")]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schemars(example = 3_600)]
    expires_in: u64,
    /// Good for one new pair.
    #[schemars(length(min = 1, max = 200), example = &"fhr_c0ffee")]
    refresh_token: String,
    /// What the access token may be used for.
    #[schemars(length(min = 1, max = 1_000), example = &"read:organization read:customers")]
    scope: String,
    /// What revokes it; it stays the same over refreshes.
    token_id: Uuid,
}

/// What a token is good for (RFC 7662).
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "Introspection", extend("x-verbatim" = true))]
pub(crate) struct Introspected {
    /// Whether the token is good now, for the organization of the app that asks. If not, nothing else is told.
    active: bool,
    /// This server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2_000), example = &"http://localhost:3001")]
    iss: Option<String>,
    /// The user it acts as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Uuid")]
    sub: Option<Uuid>,
    /// The token's id, or that of the session behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Uuid")]
    jti: Option<Uuid>,
    /// The app it was given to; missing for a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 28), extend("pattern" = "^app_[0-9A-Za-z]{24}$"), example = &"app_0123456789abcdefGHIJKLMN")]
    client_id: Option<String>,
    /// Of access tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TokenType")]
    token_type: Option<&'static str>,
    /// Missing where there is no limit but the user's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 0, max = 1_000), example = &"read:organization read:customers")]
    scope: Option<String>,
    /// When it ends by itself, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", example = 1_767_225_600)]
    exp: Option<i64>,
}

/// Where the endpoints are and what they can do (RFC 8414).
#[derive(Serialize, JsonSchema)]
#[schemars(extend("x-verbatim" = true))]
pub(crate) struct AuthorizationServerMetadata {
    #[schemars(with = "Url", example = &"http://localhost:3001")]
    issuer: String,
    #[schemars(with = "Url", example = &"http://localhost:3001/oauth2/token")]
    token_endpoint: String,
    #[schemars(with = "Vec<String>", length(max = 10), example = METHODS)]
    token_endpoint_auth_methods_supported: [&'static str; 2],
    #[schemars(with = "Url", example = &"http://localhost:3001/oauth2/revoke")]
    revocation_endpoint: String,
    #[schemars(with = "Vec<String>", length(max = 10), example = METHODS)]
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    #[schemars(with = "Url", example = &"http://localhost:3001/oauth2/introspect")]
    introspection_endpoint: String,
    #[schemars(with = "Vec<String>", length(max = 10), example = METHODS)]
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    #[schemars(with = "Url", example = &"http://localhost:3001/.well-known/jwks.json")]
    jwks_uri: String,
    #[schemars(with = "Vec<String>", length(max = 10), example = GRANTS)]
    grant_types_supported: [&'static str; 2],
    #[schemars(with = "Vec<Scope>")]
    scopes_supported: Vec<&'static str>,
}

const METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
const GRANTS: [&str; 2] = ["client_credentials", "refresh_token"];

/// `POST /oauth2/token`.
pub(crate) async fn token(form: ClientForm) -> Answer<One<OauthTokens>> {
    let grant = form.text("grant_type")?.ok_or_else(|| refuse(OauthRefusal::InvalidRequest, "Name a grant_type."))?;
    let issued = match grant {
        "client_credentials" => issue(&form).await?,
        "refresh_token" => refresh(&form, Some(form.known_client()?)).await?,
        _ => return Err(refuse(OauthRefusal::UnsupportedGrantType, "The grant types are client_credentials and refresh_token.").into()),
    };
    Ok(form.tokens(issued))
}

/// `POST /api/oauth/token`: its document names no grant type.
pub(crate) async fn documented_token(form: ClientForm) -> Answer<One<OauthTokens>> {
    match form.text("grant_type")? {
        Some(_) => token(form).await,
        None => Ok(form.tokens(issue(&form).await?)),
    }
}

/// `POST /api/oauth/token/refresh`: its document asks for nothing but the refresh token, and answers 401 when that is no good. A client that
/// says who it is must be the right one.
pub(crate) async fn documented_refresh(form: ClientForm) -> Answer<One<OauthTokens>> {
    if form.text("grant_type")?.is_some_and(|grant| grant != "refresh_token") {
        return Err(refuse(OauthRefusal::UnsupportedGrantType, "The grant type here is refresh_token.").into());
    }
    match refresh(&form, form.client()?).await {
        Ok(issued) => Ok(form.tokens(issued)),
        Err(Failure::Plane(error @ Error::Oauth(OauthRefusal::InvalidGrant, _))) => Err(Failure::As(StatusCode::UNAUTHORIZED, error)),
        Err(failure) => Err(failure),
    }
}

/// `POST /oauth2/revoke` (RFC 7009).
pub(crate) async fn revoke(form: ClientForm) -> Answer {
    oauth_tokens::revoke_presented(&form.anonymous.cx, &form.known_client()?, form.token()?).await?;
    Ok(uncached(Response::new(Body::empty())))
}

/// `POST /oauth2/introspect` (RFC 7662).
pub(crate) async fn introspect(form: ClientForm) -> Answer<One<Introspected>> {
    let cx = &form.anonymous.cx;
    let told = oauth_tokens::introspect(cx, &form.known_client()?, form.token()?).await?.map(|token| Introspected {
        active: true,
        iss: Some(cx.plane.config.public_url.clone()),
        sub: Some(token.user),
        jti: Some(token.id),
        client_id: token.client_id,
        token_type: token.is_access.then_some("Bearer"),
        scope: token.scopes.map(|scopes| scopes.join(" ")),
        exp: token.expires_at.map(Timestamp::as_second),
    });
    Ok(form.anonymous.one(StatusCode::OK, &told.unwrap_or_default()).with(uncached))
}

/// `GET /.well-known/oauth-authorization-server` (RFC 8414).
pub(crate) async fn metadata(anonymous: Anonymous) -> Answer<One<AuthorizationServerMetadata>> {
    let issuer = &anonymous.cx.plane.config.public_url;
    let metadata = AuthorizationServerMetadata {
        issuer: issuer.clone(),
        token_endpoint: format!("{issuer}/oauth2/token"),
        token_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint: format!("{issuer}/oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: METHODS,
        introspection_endpoint: format!("{issuer}/oauth2/introspect"),
        introspection_endpoint_auth_methods_supported: METHODS,
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        grant_types_supported: GRANTS,
        // No `response_types_supported`: there is no authorization endpoint, and lists without elements are left out (section 3.2).
        scopes_supported: SCOPES.to_vec(),
    };
    Ok(anonymous.one(StatusCode::OK, &metadata).with(for_a_while))
}

/// What caches may keep for five minutes.
pub(crate) fn for_a_while(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

async fn issue(form: &ClientForm) -> Result<Issued, Failure> {
    let user = match form.text("user_id")? {
        Some(text) => Some(ids::parse(text).ok_or_else(|| refuse(OauthRefusal::InvalidRequest, "The user is not an id."))?),
        None => None,
    };
    let client = form.known_client()?;
    let scopes = form.scopes()?;
    counted(&form.anonymous, LimitClass::Token, Some(&client), oauth_tokens::issue(&form.anonymous.cx, &client, scopes, user)).await
}

async fn refresh(form: &ClientForm, client: Option<Client>) -> Result<Issued, Failure> {
    let (token, scopes) = (form.refresh_token()?, form.scopes()?);
    counted(
        &form.anonymous,
        LimitClass::TokenRefresh,
        client.as_ref(),
        oauth_tokens::refresh(&form.anonymous.cx, client.as_ref(), token, scopes),
    )
    .await
}

/// Counts what is asked of a token endpoint, for the address it comes from and for the app. Who is not the app uses up nothing of the app's.
async fn counted(
    anonymous: &Anonymous,
    class: LimitClass,
    client: Option<&Client>,
    work: impl Future<Output = Result<Issued, Error>>,
) -> Result<Issued, Failure> {
    anonymous.attempt(class, Attempts::Here)?;
    let attempts = client.map(|client| Attempts::EverywhereFor(&client.client_id));
    attempts.map_or(Ok(()), |attempts| anonymous.attempt(class, attempts))?;
    let outcome = work.await;
    if let (Err(Error::Oauth(OauthRefusal::InvalidClient, _)), Some(attempts)) = (&outcome, attempts) {
        anonymous.give_back(class, attempts);
    }
    Ok(outcome?)
}

fn refuse(refusal: OauthRefusal, words: &str) -> Error {
    Error::Oauth(refusal, words.into())
}

/// For caches that know nothing newer (RFC 6749, section 5.1).
fn uncached(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// What a client sends to a token endpoint: a form (RFC 6749) or a JSON object, names in either spelling, and who it is in the body or in
/// `Authorization: Basic`. Parameters that the endpoint does not know are ignored, those without a value too.
pub(crate) struct ClientForm {
    anonymous: Anonymous,
    fields: Vec<(String, String)>,
    basic: Option<Client>,
}

impl<S: Send + Sync> FromRequest<S> for ClientForm {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<ClientForm, Failure> {
        use axum::extract::FromRequestParts;
        let (mut parts, body) = request.into_parts();
        let anonymous = Anonymous::from_request_parts(&mut parts, state).await?;
        let bytes = to_bytes(body, MOST_BYTES).await.map_err(|_| TOO_LARGE)?;
        let fields = match media_type(&parts.headers)?.as_str() {
            "application/x-www-form-urlencoded" => {
                std::str::from_utf8(&bytes).ok().and_then(|text| Query::parse(Some(text)).ok()).map(Query::into_pairs)
            }
            "application/json" => json::parse(&bytes).ok().and_then(from_json),
            _ => return Err(refuse(OauthRefusal::InvalidRequest, "Send application/x-www-form-urlencoded or application/json.").into()),
        };
        let fields = fields.ok_or_else(|| refuse(OauthRefusal::InvalidRequest, "The body is not what its Content-Type says."))?;
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Ok(ClientForm { anonymous, fields, basic: basic(&parts.headers)? })
    }
}

/// Texts as they are, and lists of texts as OAuth writes them.
fn from_json(body: Json) -> Option<Vec<(String, String)>> {
    let Json::Object(object) = body else { return None };
    let text = |value: Json| match value {
        Json::String(text) => Some(text),
        Json::Null => Some(String::new()),
        Json::Array(list) => list.iter().map(Json::as_str).collect::<Option<Vec<&str>>>().map(|texts| texts.join(" ")),
        other => Some(other.to_string()),
    };
    object.into_iter().map(|(name, value)| Some((name, text(value)?))).collect()
}

/// Client id and secret from the header, each encoded like a form's value first (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<Client>, Error> {
    let Some((scheme, coded)) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let pair = STANDARD.decode(coded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((id, secret)) => {
            // A secret may come as it is, and hold a % that no two digits follow.
            let decoded = |text: &str| Query::decode(text).unwrap_or_else(|| text.to_owned());
            Ok(Some(Client { client_id: decoded(id), secret: decoded(secret) }))
        }
        None => Err(refuse(OauthRefusal::InvalidClient, "The header Authorization is not that of HTTP Basic.")),
    }
}

impl ClientForm {
    fn tokens(&self, issued: Issued) -> One<OauthTokens> {
        let Issued { id: token_id, access_token, refresh_token, scopes, expires_in } = issued;
        let (scope, expires_in) = (scopes.join(" "), expires_in.as_secs());
        let tokens = OauthTokens { access_token, token_type: "Bearer", expires_in, refresh_token, scope, token_id };
        self.anonymous.one(StatusCode::OK, &tokens).with(uncached)
    }

    /// A parameter, by its name in OAuth's spelling or in camel case.
    fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        let camel_case = crate::dialect::API.name(name);
        let mut found = self.fields.iter().filter(|(known, _)| known == name || *known == camel_case).map(|(_, value)| value.as_str());
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(refuse(OauthRefusal::InvalidRequest, &format!("The parameter {name} is there more than once."))),
        }
    }

    fn refresh_token(&self) -> Result<&str, Error> {
        self.text("refresh_token")?.ok_or_else(|| refuse(OauthRefusal::InvalidRequest, "The parameter refresh_token is missing."))
    }

    fn token(&self) -> Result<&str, Error> {
        self.text("token")?.ok_or_else(|| refuse(OauthRefusal::InvalidRequest, "The parameter token is missing."))
    }

    /// `scope`, with spaces between, or a list in `scopes`.
    fn scopes(&self) -> Result<Option<Vec<String>>, Error> {
        let scope = self.text("scope")?;
        // A form has a list as a parameter that is there several times.
        let listed: Vec<&str> = self.fields.iter().filter(|(known, _)| known == "scopes").map(|(_, value)| value.as_str()).collect();
        if scope.is_some() && !listed.is_empty() {
            return Err(refuse(OauthRefusal::InvalidRequest, "Send scope or scopes, not both."));
        }
        let texts = if scope.is_none() && listed.is_empty() { return Ok(None) } else { scope.into_iter().chain(listed) };
        Ok(Some(texts.flat_map(|text| text.split(' ')).filter(|word| !word.is_empty()).map(str::to_owned).collect()))
    }

    fn client(&self) -> Result<Option<Client>, Error> {
        let (client_id, secret) = (self.text("client_id")?, self.text("client_secret")?);
        match (&self.basic, client_id, secret) {
            (Some(basic), id, None) if id.is_none_or(|id| id == basic.client_id) => Ok(Some(basic.clone())),
            (Some(_), ..) => Err(refuse(OauthRefusal::InvalidRequest, "Say who the client is in the header or in the body, not in both.")),
            (None, Some(id), Some(secret)) => Ok(Some(Client { client_id: id.to_owned(), secret: secret.to_owned() })),
            (None, None, None) => Ok(None),
            (None, ..) => Err(no_client()),
        }
    }

    fn known_client(&self) -> Result<Client, Error> {
        self.client()?.ok_or_else(no_client)
    }
}

fn no_client() -> Error {
    refuse(OauthRefusal::InvalidClient, "Say who the client is: HTTP Basic, or client_id and client_secret in the body.")
}
