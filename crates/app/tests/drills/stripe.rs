//! A counterpart of Stripe that keeps to what Stripe documents of subscriptions, and fails in every way that is asked for.
//!
//! Answers are kept by idempotency key and given again, 500s too; the same key with other parameters is refused. What was cancelled is not known to a
//! second cancellation, and cannot be changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::hmac;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::chance::Chance;

/// The key that it takes.
pub const KEY: &str = "sk_test_counterpart";
/// What signs its events.
pub const WEBHOOK_SECRET: &str = "whsec_counterpart";
/// The length of a period, in seconds.
const PERIOD: i64 = 30 * 86_400;

/// How a change is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is documented.
    Answers,
    /// It is done, and the connection breaks before the answer.
    DoesAndBreaks,
    /// It is not done, and answered with this status.
    Refuses(u16),
    /// The connection breaks, and nothing is done.
    Breaks,
}

/// One subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub status: &'static str,
    pub cancel_at_period_end: bool,
    pub quantity: i64,
    pub period_end: i64,
    pub ended_at: Option<i64>,
    pub metadata: Json,
    /// What changed it, in the order in which it happened. What changes nothing is none of it.
    pub changes: Vec<String>,
}

#[derive(Default)]
struct State {
    subscriptions: BTreeMap<String, Subscription>,
    /// Answers by their keys, with what was asked.
    answers: BTreeMap<String, (String, u16, String)>,
    /// How the next changes are answered.
    script: VecDeque<Way>,
    chance: Option<Chance>,
    /// How often each subscription's change was asked for.
    asked: BTreeMap<String, u32>,
    /// The status with which everything is answered.
    is_down: Option<u16>,
    /// Requests that were made: method and path.
    requests: Vec<String>,
    /// Forms of checkouts and portals.
    forms: Vec<BTreeMap<String, String>>,
}

/// It, on a port of this machine.
pub struct Stripe {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Stripe {
    /// Answers as it is documented, until it is told otherwise.
    pub async fn open() -> Stripe {
        Stripe::open_with(None).await
    }

    /// Fails by chance in half of the first two attempts at each change.
    pub async fn open_with(chance: Option<Chance>) -> Stripe {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { chance, ..State::default() }));
        let inside = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, inside.clone()));
            }
        });
        Stripe { url, state }
    }

    /// The arguments of a server that uses it.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            format!("--stripe-secret-key={KEY}"),
            format!("--stripe-webhook-secret=whsec_before,{WEBHOOK_SECRET}"),
            "--stripe-prices=price_basic,price_1PqR".to_owned(),
            format!("--stripe-api-url={}", self.url),
        ]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Begins a subscription.
    pub fn subscribe(&self, id: &str, metadata: Json) {
        let subscription = Subscription {
            status: "active",
            cancel_at_period_end: false,
            quantity: 1,
            period_end: now() + PERIOD,
            ended_at: None,
            metadata,
            changes: Vec::new(),
        };
        self.state().subscriptions.insert(id.to_owned(), subscription);
    }

    /// As it is now.
    pub fn subscription(&self, id: &str) -> Subscription {
        self.state().subscriptions[id].clone()
    }

    /// Its customer has it end with the period, at Stripe.
    pub fn cancel_by_hand(&self, id: &str, at_once: bool) {
        let mut state = self.state();
        let subscription = state.subscriptions.get_mut(id).unwrap();
        match at_once {
            true => (subscription.status, subscription.ended_at) = ("canceled", Some(now())),
            false => subscription.cancel_at_period_end = true,
        }
    }

    /// How the next changes are answered.
    pub fn fail_with(&self, ways: &[Way]) {
        self.state().script = ways.iter().copied().collect();
    }

    /// Everything is answered with this status from now on, or as usual again.
    pub fn set_down(&self, status: Option<u16>) {
        self.state().is_down = status;
    }

    /// Requests so far, each as method and path.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Forms of checkouts and portals so far.
    pub fn forms(&self) -> Vec<BTreeMap<String, String>> {
        self.state().forms.clone()
    }

    /// Keys that were used so far.
    pub fn keys(&self) -> Vec<String> {
        self.state().answers.keys().cloned().collect()
    }

    /// An event about a subscription as it is now, and its signature.
    pub fn event(&self, kind: &str, id: &str) -> (String, String) {
        let object = json(id, &self.subscription(id));
        event(&json!({"id": format!("evt_{kind}_{id}"), "type": kind, "data": {"object": object}}))
    }
}

/// An event and its signature.
pub fn event(event: &Json) -> (String, String) {
    let (body, time) = (event.to_string(), now());
    let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
    let signed = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    (body, format!("t={time},v1={hex},v0=00"))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn json(id: &str, subscription: &Subscription) -> Json {
    json!({
        "id": id,
        "object": "subscription",
        "customer": format!("cus_of_{id}"),
        "status": subscription.status,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "cancel_at": subscription.cancel_at_period_end.then_some(subscription.period_end),
        "ended_at": subscription.ended_at,
        "metadata": subscription.metadata,
        "items": {"data": [{
            "id": format!("si_of_{id}"),
            "quantity": subscription.quantity,
            "current_period_end": subscription.period_end,
            "price": {"id": "price_basic", "unit_amount": 2_900, "currency": "eur", "recurring": {"interval": "month"}},
        }]},
    })
}

fn refusal(code: &str, message: &str) -> String {
    json!({"error": {"type": "invalid_request_error", "code": code, "message": message}}).to_string()
}

/// A request as it arrived.
struct Request {
    method: String,
    path: String,
    key: Option<String>,
    form: BTreeMap<String, String>,
    is_authorized: bool,
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() < length {
            continue;
        }
        let mut first = head.lines().next().unwrap().split(' ');
        let url = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
        return Some(Request {
            method: first.next().unwrap().to_owned(),
            path: first.next().unwrap().to_owned(),
            key: header("idempotency-key"),
            form: url.query_pairs().into_owned().collect(),
            is_authorized: header("authorization").as_deref() == Some(&format!("Bearer {KEY}")) && header("stripe-version").is_some(),
        });
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(request) = read(&mut stream).await {
        let (way, status, body) = answer(&mut state.lock().unwrap(), &request);
        match way {
            Way::DoesAndBreaks | Way::Breaks => return,
            Way::Answers | Way::Refuses(_) => {}
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nrequest-id: req_{}\r\n", body.len());
        let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    }
}

fn answer(state: &mut State, request: &Request) -> (Way, u16, String) {
    state.requests.push(format!("{} {}", request.method, request.path));
    if !request.is_authorized {
        return (Way::Answers, 401, refusal("invalid_key", "Invalid API Key provided"));
    }
    if let Some(status) = state.is_down {
        return (Way::Answers, status, refusal("api_error", "An error occurred"));
    }
    let Some(id) = request.path.strip_prefix("/v1/subscriptions/") else {
        state.forms.push(request.form.clone());
        let url = format!("https://stripe.example{}", request.path);
        return (Way::Answers, 200, json!({"id": "cs_1", "url": url}).to_string());
    };
    if request.method == "GET" {
        let (status, body) = match state.subscriptions.get(id) {
            Some(subscription) => (200, json(id, subscription).to_string()),
            None => (404, refusal("resource_missing", &format!("No such subscription: '{id}'"))),
        };
        return (Way::Answers, status, body);
    }
    let way = next_way(state, id);
    match way {
        Way::Breaks => return (way, 0, String::new()),
        // What was refused before anything began is kept with no key.
        Way::Refuses(status) if status < 500 => return (way, status, refusal("refused", "refused by the script")),
        _ => {}
    }
    let asked = format!("{} {} {:?}", request.method, request.path, request.form);
    if let Some((before, status, body)) = request.key.as_ref().and_then(|key| state.answers.get(key)) {
        return match *before == asked {
            true => (way, *status, body.clone()),
            false => (Way::Answers, 400, refusal("idempotency_error", "Keys can only be used with the same parameters")),
        };
    }
    let (status, body) = match way {
        Way::Refuses(status) => (status, refusal("api_error", "An error occurred")),
        _ => change(state, id, request),
    };
    if let Some(key) = request.key.clone().filter(|_| request.method == "POST") {
        state.answers.insert(key, (asked, status, body.clone()));
    }
    (way, status, body)
}

fn next_way(state: &mut State, id: &str) -> Way {
    if let Some(way) = state.script.pop_front() {
        return way;
    }
    let asked = state.asked.entry(id.to_owned()).or_default();
    *asked += 1;
    // Not for ever: the pauses become long.
    let may_fail = *asked <= 2;
    let Some(chance) = state.chance.as_mut().filter(|_| may_fail) else { return Way::Answers };
    let ways = [
        Way::DoesAndBreaks,
        Way::Breaks,
        Way::Refuses(400),
        Way::Refuses(402),
        Way::Refuses(404),
        Way::Refuses(409),
        Way::Refuses(429),
        Way::Refuses(500),
    ];
    match chance.number(0..=1) {
        0 => ways[usize::try_from(chance.number(0..=7)).unwrap()],
        _ => Way::Answers,
    }
}

fn change(state: &mut State, id: &str, request: &Request) -> (u16, String) {
    let missing = || (404, refusal("resource_missing", &format!("No such subscription: '{id}'")));
    let Some(subscription) = state.subscriptions.get_mut(id) else { return missing() };
    if request.method == "DELETE" {
        if subscription.status == "canceled" {
            return missing();
        }
        (subscription.status, subscription.ended_at) = ("canceled", Some(now()));
        let said = |name: &str| request.form.get(name).map_or("", String::as_str);
        subscription.changes.push(format!("cancelled, invoice {}, prorate {}", said("invoice_now"), said("prorate")));
        return (200, json(id, subscription).to_string());
    }
    if subscription.status == "canceled" {
        return (400, refusal("invalid_request", "A canceled subscription can only update its cancellation_details and metadata."));
    }
    for (name, value) in &request.form {
        match name.as_str() {
            "cancel_at_period_end" if (value == "true") != subscription.cancel_at_period_end => {
                subscription.cancel_at_period_end = value == "true";
                subscription.changes.push(format!("cancel_at_period_end {value}"));
            }
            "items[0][quantity]" if value != &subscription.quantity.to_string() => {
                subscription.quantity = value.parse().unwrap();
                subscription.changes.push(format!("quantity {value}"));
            }
            "metadata[freehold_deletion]" if value.is_empty() => {
                drop(subscription.metadata.as_object_mut().unwrap().remove("freehold_deletion"))
            }
            "metadata[freehold_deletion]" => subscription.metadata["freehold_deletion"] = json!(value),
            "items[0][id]" => assert_eq!(*value, format!("si_of_{id}")),
            _ => {}
        }
    }
    (200, json(id, subscription).to_string())
}
