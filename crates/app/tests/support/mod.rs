//! What the black-box tests share: a real server on a database of its own, and people who use it through its front door.

pub mod archive;
pub mod cluster;
mod launching;
pub mod pasting;
mod records;

use std::fs::read_to_string;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use launching::{copy_database, launch};
pub use launching::{make_database, make_database_with_tables, make_folder, make_key};
pub use records::{OauthApp, OauthTokens, Organization, Person, SignedIn};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Everybody's password in these tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// What becomes of what the server writes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardError {
    /// It is kept in a file, for a test that fails.
    Kept,
    /// It leads to a device that is full.
    Full,
    /// It leads to a pipe that no one reads.
    Unread,
    /// It leads to a pipe whose reader is gone.
    Closed,
}

/// What the server logs, in its folder.
const LOG: &str = "log";

/// The key of its secrets, in its data folder.
const KEY: &str = "secret.key";

/// The two engines that every test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgresql,
}

/// Writes each test twice: as `name::sqlite` and as `name::postgresql`. One that takes an `Engine` starts its servers itself.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident: Server) $body:block)*) => {
        $($(#[$meta])* mod $name {
            use super::*;

            async fn test($server: Server) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(Server::start(Engine::Sqlite, &[]).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgresql() {
                test(Server::start(Engine::Postgresql, &[]).await).await;
            }
        })*
    };
    ($($(#[$meta:meta])* async fn $name:ident($engine:ident: Engine) $body:block)*) => {
        $($(#[$meta])* mod $name {
            use super::*;

            async fn test($engine: Engine) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                test(Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgresql() {
                test(Engine::Postgresql).await;
            }
        })*
    };
}

/// A running server on a database of its own. Killed when dropped.
pub struct Server {
    pub engine: Engine,
    pub url: String,
    pub client: Client,
    /// What it printed when it had started, line by line.
    pub greeting: Vec<String>,
    database_url: Option<String>,
    folder: TempDir,
    child: Child,
    arguments: Vec<String>,
    /// What is in its environment besides.
    variables: Vec<(String, String)>,
    standard_error: StandardError,
    /// Whether the test has changed the database behind the server's back.
    is_altered: AtomicBool,
    people: AtomicU32,
}

impl Server {
    /// Starts a server, without rate limits unless the arguments set some.
    pub async fn start(engine: Engine, arguments: &[&str]) -> Server {
        Server::start_with(engine, arguments, StandardError::Kept).await
    }

    /// The same, with this for its standard error.
    pub async fn start_with(engine: Engine, arguments: &[&str], standard_error: StandardError) -> Server {
        let database_url = match engine {
            Engine::Sqlite => None,
            Engine::Postgresql => Some(make_database_with_tables().await),
        };
        Server::start_on(engine, arguments, database_url, standard_error).await
    }

    /// The same, with the database behind this host and port.
    pub async fn start_through(engine: Engine, arguments: &[&str], proxy: &str) -> Server {
        let url = make_database_with_tables().await;
        let (before, rest) = url.split_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        Server::start_on(engine, arguments, Some(format!("{before}@{proxy}/{name}")), StandardError::Kept).await
    }

    /// The same, on the PostgreSQL at this address.
    pub async fn start_at(arguments: &[&str], database_url: &str) -> Server {
        Server::start_on(Engine::Postgresql, arguments, Some(database_url.to_owned()), StandardError::Kept).await
    }

    /// The same, with these variables in its environment, which commands and the doctor get too.
    pub async fn start_with_variables(engine: Engine, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let database_url = match engine {
            Engine::Sqlite => None,
            Engine::Postgresql => Some(make_database_with_tables().await),
        };
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server::start_in(tempfile::tempdir().unwrap(), engine, arguments, database_url, StandardError::Kept, variables).await
    }

    /// A server on what a backup of this one holds, with its ledger, and with the key of its secrets, which no backup holds.
    pub async fn start_restored(&self, engine: Engine, backup: &std::path::Path) -> Server {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("data"));
        std::fs::copy(self.key_file(), folder.path().join("data").join(KEY)).unwrap();
        let ledger = folder.path().join("data/ledger");
        make_folder(&ledger);
        for file in std::fs::read_dir(self.ledger_folder()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), ledger.join(file.file_name())).unwrap();
        }
        let database_url = match engine {
            Engine::Sqlite => None,
            Engine::Postgresql => Some(make_database().await),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command
            .envs(self.variables.clone())
            .arg("restore")
            .arg(backup)
            .arg("--data")
            .arg(folder.path().join("data"))
            .env_remove("FREEHOLD_DATABASE_URL");
        command.envs(database_url.as_ref().map(|url| ("FREEHOLD_DATABASE_URL", url)));
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Server::start_in(folder, engine, &arguments, database_url, StandardError::Kept, self.variables.clone()).await
    }

    /// A server on a copy of what this one, which is stopped, has in its folder and its database. Before it starts, this one runs again.
    pub async fn start_copy(&mut self, arguments: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("--archive").arg(self.folder.path().join("data")).arg(folder.path()).status().await.unwrap();
        assert!(copied.success());
        let database_url = match &self.database_url {
            None => None,
            Some(url) => Some(copy_database(url).await),
        };
        self.start_again().await;
        Server::start_in(folder, self.engine, arguments, database_url, StandardError::Kept, self.variables.clone()).await
    }

    async fn start_on(engine: Engine, arguments: &[&str], database_url: Option<String>, standard_error: StandardError) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), engine, arguments, database_url, standard_error, Vec::new()).await
    }

    /// The same, on what is in this folder, with these variables in its environment.
    pub async fn start_in(
        folder: TempDir,
        engine: Engine,
        arguments: &[&str],
        database_url: Option<String>,
        standard_error: StandardError,
        variables: Vec<(String, String)>,
    ) -> Server {
        let mut all = [
            "--rate-limit-per-minute=0",
            "--rate-limit-per-day=0",
            "--attempt-limit-per-minute=0",
            "--requests-at-once=0",
            "--drain-lease-ms=200",
            "--retention-brake=100",
        ]
        .map(str::to_owned)
        .to_vec();
        all.retain(|default| !arguments.iter().any(|given| given.split('=').next() == default.split('=').next()));
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        // For an embedded database the server makes one itself.
        let key = folder.path().join("data").join(KEY);
        if engine == Engine::Postgresql && !key.exists() {
            make_folder(&folder.path().join("data"));
            make_key(&folder.path().join("data"));
        }
        let (child, url, greeting) = launch(&folder, database_url.as_deref(), &all, standard_error, &variables).await;
        // Shorter than the server's: a connection that is used again while it is being closed is reset.
        let idle = std::time::Duration::from_secs(60);
        let client = Client::builder().pool_max_idle_per_host(256).pool_idle_timeout(idle).build().unwrap();
        Server {
            engine,
            url,
            client,
            greeting,
            database_url,
            folder,
            child,
            arguments: all,
            variables,
            standard_error,
            is_altered: AtomicBool::new(false),
            people: AtomicU32::new(0),
        }
    }

    /// Kills the process the hard way, as a power cut would, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the process to stop, as an operator would, waits until it has, and asks the doctor.
    pub async fn stop(&mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().await.unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
        self.is_sound();
    }

    /// The doctor finds nothing in what any test leaves when its server stops, unless the test says that it has changed the database itself.
    fn is_sound(&self) {
        if self.is_altered.load(Ordering::Relaxed) {
            return;
        }
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.arg("doctor").arg("--data").arg(self.folder.path().join("data")).env_remove("FREEHOLD_DATABASE_URL");
        let is_for_both = |argument: &&String| ["--retention=", "--exports=", "--schema="].iter().any(|name| argument.starts_with(name));
        command.args(self.arguments.iter().filter(is_for_both)).envs(self.variables.clone());
        let database_url = self.database_url.as_ref().map(|url| ("FREEHOLD_DATABASE_URL", url));
        let output = command.envs(database_url).output().unwrap();
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(output.status.success(), "the doctor: {out}{err}");
    }

    /// Starts the server again on the same data. The port, and so the address, may change.
    pub async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// The same, with these arguments besides, or in the place of those of the same name, for this time.
    pub async fn start_again_with(&mut self, arguments: &[&str]) {
        let is_given = |default: &String| arguments.iter().any(|given| given.split('=').next() == default.split('=').next());
        let mut all: Vec<String> = self.arguments.iter().filter(|default| !is_given(default)).cloned().collect();
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let (child, url, greeting) = launch(&self.folder, self.database_url.as_deref(), &all, self.standard_error, &self.variables).await;
        (self.child, self.url, self.greeting) = (child, url, greeting);
    }

    /// Starts without this argument from now on.
    pub fn forget_argument(&mut self, argument: &str) {
        self.arguments.retain(|known| known != argument);
    }

    /// Makes an operator with the binary's own command and signs them in. The embedded database has one process at a time, so the server is
    /// stopped for it and started again: tokens from before are of another address and no longer good.
    pub async fn new_operator(&mut self) -> Person {
        self.kill().await;
        let email = format!("operator{}@example.com", self.people.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(["operators", "add", "--email", &email, "--data"]).arg(self.folder.path().join("data"));
        command.env_remove("FREEHOLD_DATABASE_URL").stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
        if let Some(url) = &self.database_url {
            command.env("FREEHOLD_DATABASE_URL", url);
        }
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).await.unwrap();
        assert!(child.wait().await.unwrap().success());
        self.start_again().await;
        let token = self.sign_in(&email, None).await;
        Person { email, token }
    }

    /// What the binary's doctor says about this server's database: its exit code, and what it printed on either side.
    pub async fn doctor(&self, arguments: &[&str]) -> (i32, String, String) {
        self.command(&[&["doctor"], arguments].concat()).await
    }

    /// What one of the binary's commands does with this server's database.
    pub async fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        self.command_with(arguments, "").await
    }

    /// The same, with this on its standard input.
    pub async fn command_with(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(arguments).arg("--data").arg(self.folder.path().join("data")).envs(self.variables.clone());
        command.env_remove("FREEHOLD_DATABASE_URL").env("FREEHOLD_LEDGER", self.ledger_folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(url) = &self.database_url {
            command.env("FREEHOLD_DATABASE_URL", url);
        }
        let mut child = command.spawn().unwrap();
        // Most commands read nothing and may have ended by now.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// What one of the binary's commands does with an embedded database in another folder, with the variables of this server.
    pub async fn command_elsewhere(&self, arguments: &[&str], data: &std::path::Path) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freehold"));
        command.args(arguments).arg("--data").arg(data).env_remove("FREEHOLD_DATABASE_URL").envs(self.variables.clone());
        let output =
            command.env("FREEHOLD_SECRET_KEY_FILE", self.key_file()).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Says that the database was changed behind the server's back: the doctor may find something in it.
    pub fn note_altered(&self) {
        self.is_altered.store(true, Ordering::Relaxed);
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The address of the PostgreSQL database.
    pub fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// The SQLite file.
    pub fn database_file(&self) -> std::path::PathBuf {
        self.folder.path().join("data/freehold.db")
    }

    /// Everything that this server keeps in files.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Where the ledger lies, on both engines.
    pub fn ledger_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("data/ledger")
    }

    /// The key that its secrets are encrypted with.
    pub fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("data").join(KEY)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read_to_string(self.folder.path().join(LOG)).unwrap()
    }

    /// Where the archives of exports lie.
    pub fn exports_folder(&self) -> std::path::PathBuf {
        self.folder.path().join("data/exports")
    }

    /// What lies among them, but for the file that says whose they are.
    pub fn exported_files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.exports_folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "freehold.json").collect()
    }

    /// A request to this server.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Makes a user with an address of its own and signs them in.
    pub async fn new_person(&self) -> Person {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let email = format!("person{number}@example.com");
        let body = json!({"email": email, "password": PASSWORD, "name": format!("Person {number}")});
        let answer = self.request(Method::POST, "/api/auth/sign-up").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let token = self.sign_in(&email, None).await;
        Person { email, token }
    }

    /// Signs a user in, bound to an organization or to none, and returns the access token.
    pub async fn sign_in(&self, email: &str, organization: Option<&str>) -> String {
        self.sign_in_fully(email, organization).await.token
    }

    /// Signs a user in, bound to an organization or to none, and returns all that is handed out.
    pub async fn sign_in_fully(&self, email: &str, organization: Option<&str>) -> SignedIn {
        let mut body = json!({"email": email, "password": PASSWORD});
        if let Some(organization) = organization {
            body["organization"] = organization.into();
        }
        let answer = self.request(Method::POST, "/api/auth/sign-in").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = header(&answer, "set-cookie").split(';').next().unwrap().to_owned();
        let body: Json = answer.json().await.unwrap();
        SignedIn { token: body["access_token"].as_str().unwrap().to_owned(), cookie }
    }

    /// Makes an organization with its owner.
    pub async fn new_organization(&self) -> Organization {
        let owner = self.new_person().await;
        self.found_organization(&owner).await
    }

    /// Makes an organization owned by this person.
    pub async fn found_organization(&self, owner: &Person) -> Organization {
        let slug = format!("org-{}", uuid::Uuid::new_v4().simple());
        let body = json!({"name": "Test organization", "slug": &slug});
        let made =
            expect(self.request(Method::POST, "/api/organizations").bearer_auth(&owner.token).json(&body), StatusCode::CREATED).await;
        Organization { id: made["id"].as_str().unwrap().to_owned(), slug, owner: owner.clone() }
    }

    /// Makes a person a member by invitation and acceptance. Returns the person and the membership's id (a UUID).
    pub async fn new_member(&self, organization: &Organization, role: &str) -> (Person, String) {
        let person = self.new_person().await;
        let member = self.add_member(organization, &person, role).await;
        (person, member)
    }

    /// Makes this person a member by invitation and acceptance. Returns the membership's id (a UUID).
    pub async fn add_member(&self, organization: &Organization, person: &Person, role: &str) -> String {
        let path = format!("/api/organizations/{}/members/invite", organization.id);
        let body = json!({"email": person.email, "role": role});
        let invite =
            expect(self.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        let body = json!({"token": invite["token"]});
        let accepted =
            expect(self.request(Method::POST, "/api/invites/accept").bearer_auth(&person.token).json(&body), StatusCode::OK).await;
        accepted["memberId"].as_str().unwrap().to_owned()
    }

    /// Makes a customer and returns its id.
    pub async fn new_customer(&self, organization: &Organization, token: &str) -> String {
        let path = format!("/api/organizations/{}/customers", organization.id);
        let body = json!({"name": "Ada Lovelace", "email": "ada@example.com"});
        let made = expect(self.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Adds something a customer owns (`subscriptions`, `transactions`, `devices`, `sessions`, `activity`) and returns its id.
    pub async fn new_dependant(&self, organization: &Organization, customer: &str, kind: &str, body: Json) -> String {
        let path = format!("/api/organizations/{}/customers/{customer}/{kind}", organization.id);
        let made = expect(self.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Makes an API key for the token's user. Returns its id and its secret.
    pub async fn new_api_key(&self, organization: &Organization, token: &str, scopes: &[&str]) -> (String, String) {
        let path = format!("/api/organizations/{}/api-keys", organization.id);
        let body = json!({"name": "Test key", "scopes": scopes});
        let made = expect(self.request(Method::POST, &path).bearer_auth(token).json(&body), StatusCode::CREATED).await;
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// Makes an OAuth app for the token's user.
    pub async fn new_oauth_app(&self, organization: &Organization, token: &str, scopes: &[&str]) -> OauthApp {
        let body = json!({"name": "Test app", "scopes": scopes, "organizationId": organization.id});
        let made = expect(self.request(Method::POST, "/api/oauth/apps").bearer_auth(token).json(&body), StatusCode::CREATED).await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        OauthApp { id: text("id"), client_id: text("clientId"), secret: text("clientSecret") }
    }

    /// Gets tokens for an app.
    pub async fn new_oauth_token(&self, app: &OauthApp) -> OauthTokens {
        let form = [("grant_type", "client_credentials"), ("client_id", &app.client_id), ("client_secret", &app.secret)];
        OauthTokens::read(&expect(self.form("/oauth2/token", &form), StatusCode::OK).await)
    }

    /// A request with a form.
    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut form = String::new();
        for (name, value) in fields {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            form.push_str(&format!("{name}={encoded}&"));
        }
        self.request(Method::POST, path).header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// Waits until a deletion is completed and returns its record. Reads it as the person who ordered it.
    pub async fn wait_for_completion(&self, deletion: &str, token: &str) -> Json {
        let path = format!("/api/deletions/{deletion}");
        loop {
            let record = expect(self.request(Method::GET, &path).bearer_auth(token), StatusCode::OK).await;
            if record["state"] == "completed" {
                return record;
            }
            // The record is the event: there is nothing else to wait on from outside.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Sends a request, expects a status and returns the JSON body.
pub async fn expect(request: RequestBuilder, status: StatusCode) -> Json {
    let answer = request.send().await.unwrap();
    let got = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    if text.is_empty() { Json::Null } else { serde_json::from_str(&text).unwrap() }
}

/// The value of a header, empty if it is missing.
pub fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Whether an id of PyPI shortuuid's form stands for the same 128 bits as a UUID.
pub fn short(id: &str) -> String {
    plane::ids::to_short(uuid::Uuid::parse_str(id).unwrap())
}

/// A test that fails shows what its server logged; the logs of all the others would only hide it.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", read_to_string(self.folder.path().join(LOG)).unwrap_or_default());
        } else {
            let _ = self.child.start_kill();
            while matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            self.is_sound();
        }
    }
}
