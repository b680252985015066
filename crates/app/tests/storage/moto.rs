//! The other side: PyPI's moto, which speaks S3, and a way to it that can be cut.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{Engine, Server};

/// What the way to the bucket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    Open,
    /// Connections end as soon as they are made.
    Cut,
    /// Parts of uploads do not come through, and are not refused.
    WithoutParts,
}

/// A server with the bucket `bucket`. Killed when dropped.
pub struct Moto {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    direct: String,
    /// The address that leads through the way.
    pub url: String,
    pub key: String,
    pub secret: String,
    way: Arc<AtomicU8>,
}

impl Moto {
    pub async fn start() -> Moto {
        Moto::start_with(&[]).await
    }

    /// One that looks at credentials.
    pub async fn start_with_auth() -> Moto {
        Moto::start_with(&["--auth"]).await
    }

    async fn start_with(arguments: &[&str]) -> Moto {
        let python = std::env::var("FREEHOLD_TEST_MOTO")
            .expect("FREEHOLD_TEST_MOTO is not set: run `cargo xtask test --only outside`, or name a Python that has moto[server]");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storage/bucket.py");
        let mut command = Command::new(python);
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = said.next_line().await.unwrap().expect("moto has not started");
        let told: Json = serde_json::from_str(&first).unwrap();
        let (port, way) = (told["port"].as_u64().unwrap(), Arc::new(AtomicU8::new(Way::Open as u8)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(forward(listener, format!("127.0.0.1:{port}"), way.clone()));
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Moto { child, said, direct: format!("http://127.0.0.1:{port}/bucket"), url, key: text("key"), secret: text("secret"), way }
    }

    pub fn let_through(&self, way: Way) {
        self.way.store(way as u8, Ordering::Relaxed);
    }

    /// A server that knows the way to the bucket.
    pub async fn server(&self, engine: Engine, arguments: &[&str]) -> Server {
        self.server_with(engine, arguments, &self.secret).await
    }

    /// The same, with this secret.
    pub async fn server_with(&self, engine: Engine, arguments: &[&str], secret: &str) -> Server {
        let variables = [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
        ];
        Server::start_with_variables(engine, &[&["--metrics-token=metrics"], arguments].concat(), &variables).await
    }

    /// What the bucket answers, beside the way.
    async fn ask(&self, method: Method, rest: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        self.ask_with(method, rest, body, None).await
    }

    async fn ask_with(&self, method: Method, rest: &str, body: Vec<u8>, sha256: Option<&str>) -> (u16, Vec<u8>) {
        let request = reqwest::Client::new().request(method, format!("{}{rest}", self.direct)).body(body);
        let request = sha256.into_iter().fold(request, |request, sha256| request.header("x-amz-meta-sha256", sha256));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    /// The names of all objects.
    pub async fn objects(&self) -> Vec<String> {
        self.names("?list-type=2", "Key").await
    }

    /// The uploads that are under way.
    pub async fn uploads(&self) -> Vec<String> {
        self.names("?uploads", "UploadId").await
    }

    async fn names(&self, query: &str, of: &str) -> Vec<String> {
        let (status, body) = self.ask(Method::GET, query, Vec::new()).await;
        assert_eq!(status, 200);
        let text = String::from_utf8(body).unwrap();
        let (open, close) = (format!("<{of}>"), format!("</{of}>"));
        text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
    }

    pub async fn put(&self, name: &str, content: &[u8]) {
        assert_eq!(self.ask(Method::PUT, &format!("/{name}"), content.to_vec()).await.0, 200);
    }

    /// Puts an object that says this checksum of itself.
    pub async fn put_with_checksum(&self, name: &str, content: &[u8], sha256: &str) {
        assert_eq!(self.ask_with(Method::PUT, &format!("/{name}"), content.to_vec(), Some(sha256)).await.0, 200);
    }

    /// Removes the bucket with all that is in it.
    pub async fn remove_bucket(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"remove\n").await.unwrap();
        assert_eq!(self.said.next_line().await.unwrap().unwrap(), "removed");
    }

    pub async fn get(&self, name: &str) -> Vec<u8> {
        let (status, content) = self.ask(Method::GET, &format!("/{name}"), Vec::new()).await;
        assert_eq!(status, 200, "{name}");
        content
    }

    pub async fn remove(&self, name: &str) {
        assert_eq!(self.ask(Method::DELETE, &format!("/{name}"), Vec::new()).await.0, 204);
    }

    /// Waits until the bucket has no object of this name.
    pub async fn wait_until_gone(&self, name: &str) {
        for _ in 0..1_500 {
            if !self.objects().await.iter().any(|object| object == name) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} is still there: {:?}", self.objects().await);
    }
}

async fn forward(listener: TcpListener, to: String, way: Arc<AtomicU8>) {
    while let Ok((client, _)) = listener.accept().await {
        let (to, way) = (to.clone(), way.clone());
        tokio::spawn(async move {
            if way.load(Ordering::Relaxed) == Way::Cut as u8 {
                return;
            }
            let Ok(server) = TcpStream::connect(to).await else { return };
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
            let requests = async {
                let mut piece = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut piece).await {
                    let way = way.load(Ordering::Relaxed);
                    let is_part = || piece[..read].windows(11).any(|window| window == b"partNumber=");
                    if way == Way::Cut as u8 {
                        return;
                    }
                    if way == Way::WithoutParts as u8 && is_part() {
                        std::future::pending::<()>().await;
                    }
                    if to_server.write_all(&piece[..read]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = requests => {}
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            }
        });
    }
}
