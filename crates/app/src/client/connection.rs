//! The way to the server: which server, who is asking, one request and its answer, lists to their end.

use super::call::Call;
use std::time::Duration;

use clap::Args;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::{Value as Json, json};

use super::credentials::{CredentialsFile, Stored};
use super::failure::{Code, Failure, Result};
use super::output::{clean, note, text};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a download may take. That it goes on is watched piece by piece.
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(24 * 3_600);
/// How often a question is asked again while the server is not available.
const MOST_TRIES: u32 = 20;
/// Entries to ask for at once: the most that a page holds.
const PAGE: usize = 100;
const DEFAULT_SERVER: &str = "http://localhost:3001";
const HEADING: &str = "Connection";

/// Which server.
#[derive(Args)]
pub(crate) struct ServerArgs {
    /// The server's address [default: the one signed in to, or http://localhost:3001].
    #[arg(long, value_name = "URL", env = "FREEHOLD_SERVER", global = true, help_heading = HEADING)]
    server: Option<String>,
}

/// Which server, and who is asking.
#[derive(Args)]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// An API key. Better given as FREEHOLD_API_KEY: others can see a command line.
    #[arg(long, value_name = "KEY", global = true, help_heading = HEADING, conflicts_with = "token")]
    api_key: Option<String>,
    /// An access token. Better given as FREEHOLD_TOKEN. Without key and token: what `freehold sign-in` left.
    #[arg(long, value_name = "TOKEN", global = true, help_heading = HEADING)]
    token: Option<String>,
    /// Names the request, for a command whose answer was lost: repeated with the same name it does nothing twice [default: a new one].
    #[arg(long, value_name = "NAME", global = true, help_heading = HEADING)]
    idempotency_key: Option<String>,
}

/// Which organization.
#[derive(Args)]
pub(crate) struct OrganizationArgs {
    /// The organization's slug or id [default: the only one that the credential is good for].
    #[arg(long, value_name = "SLUG", env = "FREEHOLD_ORGANIZATION", global = true, help_heading = HEADING)]
    organization: Option<String>,
}

/// Whose name requests are made in.
enum Credential {
    None,
    ApiKey(String),
    Token(String),
    /// Renewed when the access token has ended.
    SignedIn(CredentialsFile, Stored),
}

/// A server, and a credential for it.
pub(super) struct Connection {
    client: Client,
    server: Url,
    credential: Credential,
    idempotency_key: Option<String>,
}

/// A file on its way.
pub(super) struct Incoming(Response);

impl Incoming {
    /// Its size, if the server says so.
    pub fn length(&self) -> Option<u64> {
        self.0.content_length()
    }

    /// The next piece of it; none after the last.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        match tokio::time::timeout(PATIENCE, self.0.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(Failure::new(Code::Unavailable, format!("The download broke off: {}.", cause(&error)))),
            Err(_) => Err(Failure::new(Code::Unavailable, "The download has come to a standstill.")),
        }
    }
}

impl ServerArgs {
    fn given(&self) -> Option<&str> {
        self.server.as_deref().filter(|server| !server.is_empty())
    }

    /// For what needs no credential.
    pub fn open(&self) -> Result<Connection> {
        let stored = match self.given() {
            Some(_) => None,
            None => CredentialsFile::find().ok().and_then(|file| file.load().ok()).flatten(),
        };
        let server = self.given().map(str::to_owned).or(stored.map(|stored| stored.server));
        Connection::open(server.as_deref().unwrap_or(DEFAULT_SERVER), Credential::None)
    }
}

impl ConnectionArgs {
    /// Finds the credential: an option goes before the environment, and that before the file. Tokens of the file go to their server only.
    pub fn open(&self) -> Result<Connection> {
        let given = match (&self.api_key, &self.token) {
            (Some(key), _) => Some(Credential::ApiKey(key.clone())),
            (None, Some(token)) => Some(Credential::Token(token.clone())),
            (None, None) => match (variable("FREEHOLD_API_KEY"), variable("FREEHOLD_TOKEN")) {
                (Some(_), Some(_)) => return Err(Failure::usage("FREEHOLD_API_KEY and FREEHOLD_TOKEN are both set: unset one.")),
                (Some(key), None) => Some(Credential::ApiKey(key)),
                (None, token) => token.map(Credential::Token),
            },
        };
        let mut connection = match given {
            Some(credential) => Connection::open(self.server.given().unwrap_or(DEFAULT_SERVER), credential)?,
            None => Connection::signed_in(self.server.given())?,
        };
        connection.idempotency_key.clone_from(&self.idempotency_key);
        Ok(connection)
    }

    /// The same without a credential.
    pub fn open_for_anybody(&self) -> Result<Connection> {
        let mut connection = self.server.open()?;
        connection.idempotency_key.clone_from(&self.idempotency_key);
        Ok(connection)
    }
}

impl OrganizationArgs {
    /// The organization that was named, if one was.
    pub fn named(&self) -> Option<String> {
        self.organization.clone().filter(|named| !named.is_empty())
    }

    /// The organization that is meant: the one named, or the only one there is.
    pub async fn find(&self, connection: &mut Connection) -> Result<String> {
        if let Some(named) = self.named() {
            return Ok(named);
        }
        let mine = connection
            .list(&Call::get(["api", "organizations"]), None)
            .await
            .map_err(|failure| failure.with("Name the organization with --organization."))?;
        match mine.as_slice() {
            [] => Err(Failure::usage("The credential is good for no organization. Make one with `freehold organizations create`.")),
            [only] => Ok(text(&only["id"])),
            several => {
                let slugs: Vec<String> = several.iter().take(10).map(|one| text(&one["slug"])).collect();
                Err(Failure::usage(format!("Name the organization with --organization: {}.", slugs.join(", "))))
            }
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Connection {
    fn open(server: &str, credential: Credential) -> Result<Connection> {
        let form = "The server's address must look like https://accounts.example.com or http://localhost:3001.";
        let server = Url::parse(server.trim()).map_err(|_| Failure::usage(form))?;
        let is_plain =
            server.username().is_empty() && server.password().is_none() && server.query().is_none() && server.fragment().is_none();
        if !matches!(server.scheme(), "http" | "https") || server.host().is_none() || !is_plain {
            return Err(Failure::usage(form));
        }
        let mut builder =
            Client::builder().redirect(Policy::none()).timeout(PATIENCE).user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")));
        if server.scheme() == "http" {
            // Without TLS the system's certificates are not needed, and a system without any is no reason to fail.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| Failure::other(format!("TLS cannot be set up: {}.", cause(&error))))?;
        Ok(Connection { client, server, credential, idempotency_key: None })
    }

    /// With what `freehold sign-in` left.
    fn signed_in(server: Option<&str>) -> Result<Connection> {
        let file = CredentialsFile::find()?;
        let Some(stored) = file.load()? else {
            return Connection::open(server.unwrap_or(DEFAULT_SERVER), Credential::None);
        };
        let own = stored.server.clone();
        let connection = Connection::open(server.unwrap_or(&own), Credential::SignedIn(file, stored))?;
        if connection.address() == own {
            return Ok(connection);
        }
        let words = format!("You are signed in to {own} and not to {0}: `freehold sign-in --server {0} --email …`.", connection.address());
        Err(Failure::new(Code::NotAllowed, words))
    }

    /// The server's address as people write it.
    fn address(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// Signs in and leaves the tokens in the file.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Result<Json> {
        let call = Call::post(["api", "auth", "sign-in"], json!({"email": email, "password": password}));
        let answer = self.ask(&call).await.map_err(|failure| match failure.code {
            Code::NotAllowed => Failure::new(Code::NotAllowed, "Not signed in: the address is unknown or the password wrong."),
            _ => failure,
        })?;
        let file = CredentialsFile::find()?;
        let _lock = file.lock()?;
        file.save(&stored(self.address(), &answer)?)?;
        Ok(json!({"server": self.address(), "email": email, "credentials": file.path().display().to_string()}))
    }

    /// Ends the session that the file holds the tokens of, and removes the file.
    pub async fn sign_out() -> Result<Json> {
        let mut connection = Connection::signed_in(None)?;
        let server = connection.address().to_owned();
        let Credential::SignedIn(file, _) = &connection.credential else {
            return Err(Failure::new(Code::NotAllowed, "You are not signed in."));
        };
        let path = file.path().to_owned();
        match connection.ask(&Call::post_nothing(["api", "auth", "sign-out"])).await {
            // A session that has ended already needs no ending.
            Err(failure) if failure.code != Code::NotAllowed => {
                return Err(failure.with(&format!("The session may live on. To forget it all the same, remove {}.", path.display())));
            }
            _ => CredentialsFile::find()?.remove()?,
        }
        Ok(json!({"server": server}))
    }

    /// Sends a request and returns the body of its answer; null if it has none.
    pub async fn ask(&mut self, call: &Call<'_>) -> Result<Json> {
        read(self.send(call).await?).await
    }

    /// The same, with the entity tag of the record.
    pub async fn ask_with_tag(&mut self, call: &Call<'_>) -> Result<(Json, Option<String>)> {
        let answer = self.send(call).await?;
        let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((read(answer).await?, tag))
    }

    /// Sends a request whose answer is empty.
    pub async fn tell(&mut self, call: &Call<'_>) -> Result {
        self.send(call).await.map(drop)
    }

    /// Begins to receive a file.
    pub async fn receive(&mut self, call: &Call<'_>) -> Result<Incoming> {
        Ok(Incoming(self.send(call).await?))
    }

    /// Asks again while the server is not available, for what a person waits for anyway.
    pub async fn ask_patiently(&mut self, call: &Call<'_>) -> Result<Json> {
        self.try_to_ask(call, MOST_TRIES).await
    }

    async fn try_to_ask(&mut self, call: &Call<'_>, tries: u32) -> Result<Json> {
        for _ in 1..tries {
            match self.ask(call).await {
                Err(failure) if failure.is_passing() => {
                    note("The server is not available at the moment: trying again.");
                    tokio::time::sleep(failure.retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                outcome => return outcome,
            }
        }
        self.ask(call).await
    }

    /// Sends a request that begins a deletion and returns the deletion's id.
    pub async fn delete(&mut self, call: &Call<'_>) -> Result<String> {
        let answer = self.send(call).await?;
        let id = answer.headers().get("deletion-id").and_then(|id| id.to_str().ok()).map(clean);
        id.ok_or_else(|| Failure::other("The server says that it is deleted, and not which deletion did it: is it an older version?"))
    }

    /// Everything in a list, or its beginning.
    pub async fn list(&mut self, call: &Call<'_>, limit: Option<usize>) -> Result<Vec<Json>> {
        self.read_list(call, limit, 1).await
    }

    /// The beginning of a list, for a person who waits for it anyway.
    pub async fn list_patiently(&mut self, call: &Call<'_>, limit: usize) -> Result<Vec<Json>> {
        self.read_list(call, Some(limit), MOST_TRIES).await
    }

    async fn read_list(&mut self, call: &Call<'_>, limit: Option<usize>, tries: u32) -> Result<Vec<Json>> {
        let mut entries = Vec::new();
        let mut position = if call.has_cursor { ("after", String::new()) } else { ("page", "1".to_owned()) };
        loop {
            let mut query = call.query.clone();
            let size = limit.map_or(PAGE, |limit| limit.clamp(1, PAGE)).to_string();
            query.extend([("page_size", size), position].map(|(name, value)| (name.into(), value)));
            let page = Call { path: call.path.clone(), query, organization: call.organization, ..Call::get([]) };
            let mut answer = self.try_to_ask(&page, tries).await?;
            let Json::Array(found) = answer["data"].take() else {
                return Err(Failure::other("The answer is no list. Is there a Freehold server at this address?"));
            };
            entries.extend(found);
            if let Some(limit) = limit.filter(|limit| entries.len() >= *limit) {
                entries.truncate(limit);
                return Ok(entries);
            }
            let pagination = &answer["pagination"];
            position = match (pagination["nextCursor"].as_str(), pagination["hasNext"].as_bool(), pagination["page"].as_i64()) {
                (Some(cursor), _, _) => ("after", cursor.to_owned()),
                (None, Some(true), Some(page)) => ("page", (page + 1).to_string()),
                _ => return Ok(entries),
            };
        }
    }

    /// Sends a request; an access token that has ended is renewed once. What is no success is a failure.
    async fn send(&mut self, call: &Call<'_>) -> Result<Response> {
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => format!("{:032x}", u128::from_be_bytes(plane::random().map_err(|error| Failure::other(error.to_string()))?)),
        };
        let mut answer = self.send_once(call, &key, &self.credential).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.renew().await? {
            answer = self.send_once(call, &key, &self.credential).await?;
        }
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status.is_redirection() {
            let target = answer.headers().get("location").and_then(|target| target.to_str().ok()).map(clean).unwrap_or_default();
            return Err(Failure::other(format!("The server sends to {target}. Give the address that it means with --server.")));
        }
        let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = answer.bytes().await.unwrap_or_default();
        Err(Failure::of_answer(status.as_u16(), retry_after, &body))
    }

    async fn send_once(&self, call: &Call<'_>, key: &str, credential: &Credential) -> Result<Response> {
        let mut headers = HeaderMap::new();
        match credential {
            Credential::None => {}
            Credential::ApiKey(key) => put(&mut headers, HeaderName::from_static("x-api-key"), key, "The API key")?,
            Credential::Token(token) => put(&mut headers, AUTHORIZATION, &format!("Bearer {token}"), "The token")?,
            Credential::SignedIn(_, stored) => put(&mut headers, AUTHORIZATION, &format!("Bearer {}", stored.access_token), "The token")?,
        }
        if let Some(organization) = call.organization {
            put(&mut headers, HeaderName::from_static("x-organization"), organization, "The organization")?;
        }
        if let Some(tag) = &call.tag {
            put(&mut headers, IF_MATCH, tag, "The entity tag")?;
        }
        if call.is_unrepeatable() {
            put(&mut headers, HeaderName::from_static("idempotency-key"), key, "The idempotency key")?;
        }
        let mut request = self.client.request(call.method.clone(), call.url(&self.server)?).headers(headers);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(list) = &call.list {
            request = request.header(CONTENT_TYPE, "text/csv").body(list.clone());
        }
        if call.is_download {
            request = request.timeout(DOWNLOAD_PATIENCE);
        }
        request.send().await.map_err(|error| {
            let server = clean(self.address());
            if error.is_connect() {
                let words = format!("{server} cannot be reached: {}. Is the server running? Name another with --server.", cause(&error));
                return Failure::new(Code::Unavailable, words);
            }
            let failure = Failure::new(Code::Unavailable, format!("{server} did not answer: {}.", cause(&error)));
            let advice = "What was asked for may have been done. Repeat the command with --idempotency-key";
            match call.is_unrepeatable() {
                true => failure.with(&format!("{advice} {} and nothing is done twice.", clean(key))),
                false => failure,
            }
        })
    }

    /// Trades the refresh token for new tokens, unless another command has done so meanwhile. False when there is nothing to trade.
    async fn renew(&mut self) -> Result<bool> {
        let Credential::SignedIn(file, used) = &self.credential else { return Ok(false) };
        let _lock = file.lock()?;
        let Some(current) = file.load()?.filter(|current| current.server == used.server) else { return Ok(false) };
        let renewed = if current.access_token == used.access_token {
            let body = json!({"refresh_token": current.refresh_token});
            let answer = self.send_once(&Call::post(["api", "auth", "refresh"], body), "", &Credential::None).await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                return Ok(false);
            }
            if !answer.status().is_success() {
                return Err(Failure::of_answer(answer.status().as_u16(), None, &answer.bytes().await.unwrap_or_default()));
            }
            let renewed = stored(&current.server, &read(answer).await?)?;
            file.save(&renewed)?;
            renewed
        } else {
            current
        };
        let file = CredentialsFile::find()?;
        self.credential = Credential::SignedIn(file, renewed);
        Ok(true)
    }
}

/// What to keep of the answer to a sign-in.
fn stored(server: &str, answer: &Json) -> Result<Stored> {
    let token = |name: &str| answer[name].as_str().map(str::to_owned);
    match (token("access_token"), token("refresh_token")) {
        (Some(access_token), Some(refresh_token)) => Ok(Stored { server: server.to_owned(), access_token, refresh_token }),
        _ => Err(Failure::other("The answer holds no tokens. Is there a Freehold server at this address?")),
    }
}

/// Puts a value into a header. It is not quoted when it cannot be there: it may be a secret.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str, what: &str) -> Result {
    let mut value = HeaderValue::from_str(value).map_err(|_| Failure::usage(format!("{what} has characters that it cannot have.")))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

async fn read(answer: Response) -> Result<Json> {
    let broken = |error: reqwest::Error| Failure::new(Code::Unavailable, format!("The answer broke off: {}.", cause(&error)));
    let bytes = answer.bytes().await.map_err(broken)?;
    if bytes.is_empty() {
        return Ok(Json::Null);
    }
    serde_json::from_slice(&bytes).map_err(|_| Failure::other("The answer is no JSON. Is there a Freehold server at this address?"))
}

/// The innermost reason of an error, which is the one that tells something.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    clean(&innermost.to_string())
}
