//! What these tests share: how a refusal must look on each surface, credentials of every kind, and an organization with one person of
//! every role.

use std::collections::HashMap;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::support::{Engine, Organization, PASSWORD, Person, Server, expect, header};

/// An id that no organization, member or key has.
pub const UNKNOWN_ID: &str = "550e8400-e29b-41d4-a716-446655440000";

/// The words of every 401.
pub const UNAUTHORIZED: &str = "Authentication required. Provide a valid bearer token.";

/// Sends a request, expects a refusal of this status in the surface's documented form, and returns its body.
pub async fn refused(request: RequestBuilder, status: StatusCode) -> Json {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let url = request.url().clone();
    let answer = client.execute(request).await.unwrap();
    check_refusal(answer, status, url.path(), &format!("http://localhost:{}", url.port().unwrap())).await
}

/// Sends a request that may be refused with any 4xx, as long as it is in the surface's documented form, and returns which.
pub async fn refused_somehow(request: RequestBuilder) -> (StatusCode, Json) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let url = request.url().clone();
    let answer = client.execute(request).await.unwrap();
    let status = answer.status();
    if !status.is_client_error() {
        panic!("{url} was answered with {status}: {}", answer.text().await.unwrap());
    }
    let body = check_refusal(answer, status, url.path(), &format!("http://localhost:{}", url.port().unwrap())).await;
    (status, body)
}

/// The form of every refusal: RFC 9457, with the members that the surface's clients look for besides.
async fn check_refusal(answer: Response, status: StatusCode, path: &str, public_url: &str) -> Json {
    let request_id = header(&answer, "x-request-id").to_owned();
    let (content_type, challenge) = (header(&answer, "content-type").to_owned(), header(&answer, "www-authenticate").to_owned());
    let got = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(got, status, "{path}: {text}");
    assert_eq!(content_type, "application/problem+json", "{path}");
    let body: Json = serde_json::from_str(&text).unwrap();
    let code = error_code(status);
    assert_eq!(body["type"], format!("{public_url}/docs/errors/{code}"), "{path}");
    assert_eq!(body["error_code"], code, "{path}");
    assert_eq!(body["status"], status.as_u16(), "{path}");
    assert_eq!(body["retryable"], matches!(status.as_u16(), 408 | 429 | 503), "{path}");
    assert!(is_like(body["timestamp"].as_str().unwrap(), "9999-99-99T99:99:99+00:00"), "{path}: {text}");
    assert!(!request_id.is_empty(), "{path}");
    assert_eq!(body["request_id"], request_id, "{path}");
    assert!(!body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty(), "{path}: {text}");
    let says_scope = status == StatusCode::FORBIDDEN && challenge.contains("error=\"insufficient_scope\"");
    assert_eq!(challenge.starts_with("Bearer"), status == StatusCode::UNAUTHORIZED || says_scope, "{path}: {challenge}");
    if path.starts_with("/account/") {
        assert_eq!(keys_of(&body, &["statusCode", "message", "error", "success"]), Vec::<&str>::new(), "{path}");
    } else if path.starts_with("/customer") {
        assert_eq!((&body["success"], &body["message"]), (&json!(false), &body["detail"]), "{path}");
    } else {
        assert_eq!((&body["statusCode"], &body["message"], &body["error"]), (&body["status"], &body["detail"], &body["title"]), "{path}");
    }
    body
}

fn error_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        409 => "conflict",
        410 => "gone",
        412 => "precondition_failed",
        413 => "payload_too_large",
        415 => "unsupported_media_type",
        416 => "range_not_satisfiable",
        417 => "expectation_failed",
        422 => "validation_error",
        429 => "rate_limited",
        500 => "internal_error",
        503 => "unavailable",
        other => panic!("no test expects {other}"),
    }
}

/// Whether a text has the form of a pattern, in which 9 stands for any digit and everything else for itself.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'9' { byte.is_ascii_digit() } else { byte == wanted };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(fits)
}

/// Those of the names that are members of an object.
pub fn keys_of<'a>(object: &Json, names: &[&'a str]) -> Vec<&'a str> {
    names.iter().copied().filter(|name| object.get(name).is_some()).collect()
}

/// Sends a request, expects this status, and returns the answer.
pub async fn answered(request: RequestBuilder, status: StatusCode) -> Response {
    let answer = request.send().await.unwrap();
    if answer.status() != status {
        panic!("{} instead of {status}: {}", answer.status(), answer.text().await.unwrap());
    }
    answer
}

/// Sends a DELETE that must succeed with this status and returns the id of the deletion it began.
pub async fn deleted(request: RequestBuilder, status: StatusCode) -> String {
    let answer = answered(request, status).await;
    let deletion = header(&answer, "deletion-id").to_owned();
    assert_eq!(header(&answer, "location"), format!("/api/deletions/{deletion}"));
    deletion
}

/// Every entry of a list, over all of its pages.
pub async fn entries(server: &Server, path: &str, token: &str) -> Vec<Json> {
    let (mut entries, mut page) = (Vec::new(), 1);
    loop {
        let mark = if path.contains('?') { '&' } else { '?' };
        let request = server.request(Method::GET, &format!("{path}{mark}page={page}&page_size=100"));
        let listed = expect(request.bearer_auth(token), StatusCode::OK).await;
        entries.extend(listed["data"].as_array().unwrap().iter().cloned());
        if !listed["pagination"]["hasNext"].as_bool().unwrap() {
            return entries;
        }
        page += 1;
    }
}

/// Something to present with a request.
#[derive(Debug, Clone)]
pub enum Credential {
    Bearer(String),
    Key(String),
    Cookie(String),
}

impl Credential {
    /// The request with this credential, in the header that the documents name.
    pub fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Credential::Bearer(token) => request.header("Authorization", format!("Bearer {token}")),
            Credential::Key(key) => request.header("X-API-Key", key),
            Credential::Cookie(value) => request.header("Cookie", format!("sessionid={value}")),
        }
    }
}

/// All that a sign-in hands out.
#[derive(Debug, Clone)]
pub struct Session {
    pub token: String,
    pub refresh_token: String,
    pub cookie: String,
    /// The whole `Set-Cookie`.
    pub set_cookie: String,
}

impl Session {
    /// Signs a person in, bound to an organization or to none.
    pub async fn begin(server: &Server, email: &str, organization: Option<&str>) -> Session {
        let mut body = json!({"email": email, "password": PASSWORD});
        if let Some(organization) = organization {
            body["organization"] = organization.into();
        }
        Session::read(answered(server.request(Method::POST, "/api/auth/sign-in").json(&body), StatusCode::OK).await).await
    }

    /// Reads the answer to a sign-in or a refresh.
    pub async fn read(answer: Response) -> Session {
        let set_cookie = header(&answer, "set-cookie").to_owned();
        let cookie = set_cookie.strip_prefix("sessionid=").unwrap().split(';').next().unwrap().to_owned();
        let body: Json = answer.json().await.unwrap();
        assert_eq!(body["token_type"], "Bearer");
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Session { token: text("access_token"), refresh_token: text("refresh_token"), cookie, set_cookie }
    }

    /// The request that trades the refresh token for a new pair.
    pub fn refresh(&self, server: &Server) -> RequestBuilder {
        server.request(Method::POST, "/api/auth/refresh").json(&json!({"refresh_token": self.refresh_token}))
    }
}

/// The roles that are not the owner's.
pub const OTHER_ROLES: [&str; 6] = ["admin", "master", "reseller", "member", "billing", "viewer"];

/// An organization with one person of every role, and a person who has nothing to do with it.
pub struct Cast {
    pub organization: Organization,
    pub outsider: Person,
    others: HashMap<&'static str, (Person, String)>,
    owner_member: String,
}

impl Cast {
    pub async fn assemble(server: &Server) -> Cast {
        let organization = server.new_organization().await;
        let mut others = HashMap::new();
        for role in OTHER_ROLES {
            others.insert(role, server.new_member(&organization, role).await);
        }
        let members = entries(server, &format!("/api/organizations/{}/members", organization.id), &organization.owner.token).await;
        let owner = members.iter().find(|member| member["role"] == "owner").unwrap();
        let owner_member = owner["id"].as_str().unwrap().to_owned();
        Cast { organization, outsider: server.new_person().await, others, owner_member }
    }

    /// The access token of the person with this role.
    pub fn token(&self, role: &str) -> &str {
        match self.others.get(role) {
            Some((person, _)) => &person.token,
            None => &self.organization.owner.token,
        }
    }

    /// The address of the person with this role.
    pub fn email(&self, role: &str) -> &str {
        match self.others.get(role) {
            Some((person, _)) => &person.email,
            None => &self.organization.owner.email,
        }
    }

    /// The id of the membership with this role.
    pub fn member(&self, role: &str) -> &str {
        match self.others.get(role) {
            Some((_, member)) => member,
            None => &self.owner_member,
        }
    }
}

/// Makes a customer with a chosen id, under a member's management or none.
pub async fn new_customer(server: &Server, organization: &Organization, id: &str, managed_by: Option<&str>) {
    let path = format!("/api/organizations/{}/customers", organization.id);
    let body = json!({"id": id, "name": "Ada Lovelace", "email": "ada@example.com", "managedBy": managed_by});
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
}

/// Runs statements behind the server's back, for what cannot be brought about through its doors. They must suit both engines.
pub async fn change_database(server: &Server, statements: &str) {
    server.note_altered();
    match server.engine {
        Engine::Sqlite => {
            let connection = rusqlite::Connection::open(server.database_file()).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            connection.execute_batch(statements).unwrap();
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(statements).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        }
    }
}

/// `pageSize` for `page_size`.
pub fn camel_case(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}
