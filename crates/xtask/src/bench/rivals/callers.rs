//! Many connections that take requests from one list. The client shares the machine with the server that it measures, so it does no more than
//! it must: no pool, no redirects, and a body that is not looked at is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;
use crate::bench::report::percentile;
use crate::bench::server::words;

/// A request that is ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: Uri,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Result<Call> {
        Ok(Call { method, path: path.parse().map_err(words)?, headers: HeaderMap::new(), body: Bytes::new() })
    }

    /// With a token in `Authorization`.
    pub(crate) fn bearer(mut self, token: &str) -> Result<Call> {
        self.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).map_err(words)?);
        Ok(self)
    }

    /// With a body of JSON.
    pub(crate) fn json(mut self, body: &serde_json::Value) -> Call {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = Bytes::from(body.to_string());
        self
    }
}

/// What a load came to. Every answer was a success.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) count: usize,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Milliseconds that each took.
    pub(crate) waits: Vec<f64>,
}

impl Answers {
    pub(crate) fn new(seconds: f64, waits: Vec<f64>) -> Answers {
        Answers { count: waits.len(), seconds, waits }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    /// Milliseconds in which this share of the answers were there; 100 percent is the slowest.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.waits, percent)
    }
}

/// One open connection to a server.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

impl Connection {
    /// Connects to a server's address, such as `http://127.0.0.1:3001`.
    pub(crate) async fn open(url: &str) -> Result<Connection> {
        let host = url.strip_prefix("http://").ok_or("only plain http is measured")?;
        let stream = TcpStream::connect(host).await.map_err(words)?;
        stream.set_nodelay(true).map_err(words)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(words)?;
        // It ends when the sender is dropped, and what goes wrong in it the sender hears.
        tokio::spawn(connection);
        Ok(Connection { sender, host: HeaderValue::try_from(host).map_err(words)? })
    }

    /// Sends a request and waits for the last byte of its answer, which must be a success. Returns how long that took.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<Duration> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.clone();
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().insert(HOST, self.host.clone());
        let sent = Instant::now();
        self.sender.ready().await.map_err(words)?;
        let (head, mut body) = self.sender.send_request(request).await.map_err(words)?.into_parts();
        if !head.status.is_success() {
            let told = body.collect().await.map_err(words)?.to_bytes();
            return Err(format!("{} {}: {}: {}", call.method, call.path, head.status, String::from_utf8_lossy(&told)));
        }
        while let Some(frame) = body.frame().await {
            frame.map_err(words)?;
        }
        Ok(sent.elapsed())
    }
}

/// Lets that many connections take requests from the list, each one after the other, until the list or the time ends. All are connected before
/// the first request is sent. What was sent are exactly the first `count` of the list.
pub(crate) async fn call(url: &str, connections: usize, calls: Arc<[Call]>, time: Duration) -> Result<Answers> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(url).await?);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for mut connection in open {
        let (calls, next) = (calls.clone(), next.clone());
        callers.spawn(async move {
            let mut waits = Vec::new();
            while begun.elapsed() < time {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(call) = calls.get(number) else { break };
                waits.push(connection.send(call).await?.as_secs_f64() * 1e3);
            }
            Result::Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(caller) = callers.join_next().await {
        waits.append(&mut caller.map_err(words)??);
    }
    Ok(Answers::new(begun.elapsed().as_secs_f64(), waits))
}
