//! The other side: a server that keeps what it is told and verifies it as Standard Webhooks says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A receiver on a port of this machine.
pub struct Receiver {
    pub url: String,
    deliveries: watch::Sender<Vec<Received>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

/// How a delivery is answered. When there is nothing left of a script: 204.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    Redirect(String),
    /// With 429, and how long to wait.
    Busy {
        pause: String,
        body: String,
    },
    /// Never.
    Silence,
}

/// One delivery, as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

#[derive(Clone)]
struct Shared {
    deliveries: watch::Sender<Vec<Received>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    pub async fn open(answers: &[Answer]) -> Receiver {
        let (deliveries, answers) = (watch::Sender::new(Vec::new()), Arc::new(Mutex::new(answers.iter().cloned().collect())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Shared { deliveries: deliveries.clone(), answers: answers.clone() };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(receive).with_state(shared)).await });
        Receiver { url, deliveries, answers }
    }

    /// What has arrived so far.
    pub fn all(&self) -> Vec<Received> {
        self.deliveries.borrow().clone()
    }

    /// Waits until an event of this name has arrived so many times, and returns them.
    pub async fn events(&self, name: &str, times: usize) -> Vec<Received> {
        let of = |all: &Vec<Received>| all.iter().filter(|one| one.event()["type"] == name).cloned().collect::<Vec<_>>();
        let mut deliveries = self.deliveries.subscribe();
        let all = deliveries.wait_for(|all| of(all).len() >= times).await.unwrap();
        of(&all)
    }

    pub async fn event(&self, name: &str) -> Received {
        self.events(name, 1).await.remove(0)
    }

    /// From here on everything is answered with 204.
    pub fn relent(&self) {
        self.answers.lock().unwrap().clear();
    }
}

async fn receive(State(shared): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let answer = shared.answers.lock().unwrap().pop_front().unwrap_or(Answer::Status(204));
    shared.deliveries.send_modify(|all| all.push(Received { headers, body, at: Instant::now() }));
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Answer::Busy { pause, body } => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, pause)], body).into_response(),
        Answer::Silence => std::future::pending().await,
    }
}

impl Received {
    pub fn event(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether one of its signatures is of this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let signed = format!("{}.{}.{}", self.header("webhook-id"), self.header("webhook-timestamp"), self.body);
        let mut signatures =
            self.header("webhook-signature").split(' ').map(|one| BASE64.decode(one.strip_prefix("v1,").unwrap()).unwrap());
        signatures.any(|signature| hmac::verify(&key, signed.as_bytes(), &signature).is_ok())
    }

    /// Whether the header that signs the body alone is of this secret.
    pub fn has_signed_body(&self, secret: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap());
        let signed = hmac::sign(&key, self.body.as_bytes());
        let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.header("x-webhook-signature") == format!("sha256={hex}")
    }

    /// Panics unless this was signed with the secret, a moment ago.
    pub fn verify(&self, secret: &str) {
        assert!(self.is_signed_with(secret), "the signature is wrong");
        let age = jiff::Timestamp::now().as_second() - self.header("webhook-timestamp").parse::<i64>().unwrap();
        assert!((-5..300).contains(&age), "signed {age} seconds ago");
        assert_eq!(self.header("content-type"), "application/json");
        assert!(self.header("user-agent").starts_with("Freehold/"));
    }

    /// Time from another delivery to this one.
    pub fn after(&self, other: &Received) -> Duration {
        self.at - other.at
    }
}
