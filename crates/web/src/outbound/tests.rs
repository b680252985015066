//! Nothing that is not public is ever connected to. A listener on this machine counts who comes, and proves with an allowed caller that it
//! would count.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use plane::destinations::{Destinations, parse_network};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Outbound, Unanswered};

/// Every way to write this machine's address or one behind it that clients have been fooled with.
const LOOPBACK: [&str; 24] = [
    "127.0.0.1",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "127.0.1",
    "0",
    "0.0.0.0",
    "①②⑦．⓪．⓪．①",
    "127%2e0%2e0%2e1",
    "[::1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "user:password@127.0.0.1",
];

#[tokio::test]
async fn no_spelling_of_an_address_that_is_not_public_is_connected_to() {
    let listener = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let outbound = Outbound::new(Destinations::default()).unwrap();
    let elsewhere = Outbound::new(allowing("10.99.0.0/16")).unwrap();
    for host in LOOPBACK {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", listener.port);
            assert_eq!(post(&outbound, &url).await, Err(Unanswered::Forbidden), "{url}");
            let refused = post(&elsewhere, &url).await;
            assert_eq!(refused, Err(Unanswered::Forbidden), "{url}");
        }
    }
    assert_eq!(listener.connections(), 0);
    let allowed = Outbound::new(allowing("127.0.0.0/8")).unwrap();
    assert_eq!(post(&allowed, &format!("http://0x7f.1:{}/", listener.port)).await, Ok(200));
    assert_eq!(listener.connections(), 1, "the listener counts");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to_whatever_the_scheme() {
    let listener = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::1", "0.0.0.0"] {
        let answers = Script::new(&[&[address]]);
        for allowed in [Destinations::default(), allowing("10.99.0.0/16")] {
            let outbound = Outbound::with_resolver(allowed, answers.clone()).unwrap();
            let secure = post(&outbound, &format!("https://example.com:{}/", listener.port)).await;
            assert_eq!(secure, Err(Unanswered::Unreachable), "{address}");
            assert!(post(&outbound, &format!("http://example.com:{}/", listener.port)).await.is_err(), "{address}");
        }
        assert!(answers.asked() >= 2, "the resolver was asked");
    }
    assert_eq!(listener.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_judged_anew_at_every_call() {
    let inside = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let outside = Listener::bind_at("127.0.0.2", inside.port, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answers = Script::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let outbound = Outbound::with_resolver(allowing("127.0.0.2"), answers.clone()).unwrap();
    let url = format!("http://rebinding.example:{}/", inside.port);
    assert_eq!(post(&outbound, &url).await, Ok(200));
    assert_eq!(answers.asked(), 1, "one call, one question: nothing to answer differently in between");
    assert_eq!(post(&outbound, &url).await, Err(Unanswered::Unreachable));
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_may_be_called_is_called() {
    let inside = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let outside = Listener::bind_at("127.0.0.2", inside.port, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answers = Script::new(&[&["127.0.0.1", "10.0.0.1", "127.0.0.2", "::1"]]);
    let outbound = Outbound::with_resolver(allowing("127.0.0.2"), answers).unwrap();
    for scheme in ["http", "https"] {
        let _ = post(&outbound, &format!("{scheme}://mixed.example:{}/", inside.port)).await;
    }
    assert_eq!((outside.connections(), inside.connections()), (2, 0));
}

#[tokio::test]
async fn what_is_public_is_not_called_unencrypted_because_something_else_is_allowed() {
    let answers = Script::new(&[&["192.0.66.1"]]);
    let outbound = Outbound::with_resolver(allowing("127.0.0.0/8"), answers.clone()).unwrap();
    assert_eq!(post(&outbound, "http://public.example/").await, Err(Unanswered::Unreachable));
    assert_eq!(answers.asked(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way() {
    let inside = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Elsewhere\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n", inside.port);
        let outside = Listener::bind("127.0.0.2", answer.leak()).await;
        let outbound = Outbound::new(allowing("127.0.0.0/8")).unwrap();
        assert_eq!(post(&outbound, &format!("http://127.0.0.2:{}/", outside.port)).await, Ok(status));
        assert_eq!(outside.connections(), 1);
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = Listener::bind("127.0.0.1", "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await;
    let outbound = Outbound::new(allowing("127.0.0.0/8")).unwrap();
    assert_eq!(post(&outbound, &format!("http://127.0.0.1:{}/", endless.port)).await, Ok(200));
    assert!(endless.written() < 100_000_000, "{} bytes were taken", endless.written());
}

fn allowing(network: &str) -> Destinations {
    Destinations::new(vec![parse_network(network).unwrap()])
}

async fn post(outbound: &Outbound, url: &str) -> Result<u16, Unanswered> {
    outbound.post(url, HeaderMap::new(), "{}".into()).await.map(|answered| answered.status)
}

/// Answers each question with the next of its answers, and the last one for ever.
struct Script {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Script> {
        let mut answers: Vec<Vec<IpAddr>> =
            answers.iter().map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect()).collect();
        answers.reverse();
        Arc::new(Script { answers: Mutex::new(answers), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Script {
    fn resolve(&self, _: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
        let addresses: Vec<SocketAddr> = answer.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

/// Counts connections and answers each with the same bytes, and then with zeros for as long as the client reads.
struct Listener {
    port: u16,
    connections: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
}

impl Listener {
    async fn bind(address: &str, answer: &'static str) -> Listener {
        Listener::bind_at(address, 0, answer).await
    }

    async fn bind_at(address: &str, port: u16, answer: &'static str) -> Listener {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, written) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (connections.clone(), written.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (connections, written) = counters.clone();
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                    while !answer.contains("length: 0") && stream.write_all(&[0; 4096]).await.is_ok() {
                        written.fetch_add(4096, Ordering::SeqCst);
                    }
                });
            }
        });
        Listener { port, connections, written }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }
}
