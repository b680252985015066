//! HTTP itself: heads that are too large, twice there or no HTTP at all, and bodies that are not what their head says.

use reqwest::{Method, StatusCode};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENCE, is_ready};
use crate::on_both_engines;
use crate::support::{Engine, Server, header};
use crate::tools::{answered, refused};

/// An answer as it came over the wire.
pub struct RawAnswer {
    pub status: u16,
    pub head: String,
    body: String,
}

impl RawAnswer {
    /// A 4xx in the documented form.
    pub fn is_problem(&self, request: &str) {
        let RawAnswer { status, head, body } = self;
        assert!((400..500).contains(status), "{request}: {head}\n{body}");
        assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{request}: {head}\n{body}");
        let problem: Json = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], *status, "{request}");
        assert!(problem["request_id"].is_string(), "{request}: {body}");
    }
}

/// Sends bytes over a connection of their own and reads what comes back, until the server closes.
pub async fn send(server: &Server, bytes: &[u8]) -> RawAnswer {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have answered and closed before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        let mut buffer = [0; 16_384];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            received.extend_from_slice(&buffer[..count]);
        }
    })
    .await
    .expect("the server neither answered nor closed the connection");
    let text = String::from_utf8_lossy(&received).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    RawAnswer { status, head: head.to_owned(), body: body.to_owned() }
}

fn post(token: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /api/organizations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

on_both_engines! {
    async fn a_head_that_is_too_large_is_431(server: Server) {
        let long = "x".repeat(100_000);
        let many = (0..200).map(|number| format!("X-Header-{number}: x\r\n")).collect::<String>();
        for head in [
            format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"),
            format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {long}\r\n\r\n"),
            format!("GET /health/live HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        ] {
            assert_eq!(send(&server, head.as_bytes()).await.status, 431);
        }
        let path = format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let status = send(&server, path.as_bytes()).await.status;
        assert!([414, 431].contains(&status), "{status}");
        is_ready(&server).await;
    }

    async fn what_is_no_http_gets_400_or_nothing(server: Server) {
        let nonsense: [&[u8]; 14] = [
            b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"\x00\x00\x00\x00\r\n\r\n",
            b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        ];
        for bytes in nonsense {
            let answer = send(&server, bytes).await;
            assert!([0, 400, 505].contains(&answer.status), "{}: {}", String::from_utf8_lossy(bytes), answer.head);
        }
        is_ready(&server).await;
    }

    async fn unusual_targets_are_refused_in_the_documented_form(server: Server) {
        for line in [
            "OPTIONS * HTTP/1.1",
            "CONNECT localhost:443 HTTP/1.1",
            "GET http://elsewhere.example/nothing HTTP/1.1",
            "DELETE http://elsewhere.example/customer/user123 HTTP/1.1",
            "GET /? HTTP/1.1x",
        ] {
            let answer = send(&server, format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
            if line.ends_with('x') {
                assert_eq!(answer.status, 400, "{line}");
            } else {
                answer.is_problem(line);
            }
        }
        is_ready(&server).await;
    }

    async fn credentials_that_are_empty_broken_or_twice_there_belong_to_no_one(server: Server) {
        let person = server.new_person().await;
        let good = format!("Authorization: Bearer {}", person.token);
        let heads: [Vec<u8>; 12] = [
            b"Authorization:".to_vec(),
            b"Authorization: ".to_vec(),
            b"Authorization: Bearer".to_vec(),
            b"Authorization: Bearer \xff\xfe".to_vec(),
            b"Authorization: \xe2\x98\x83".to_vec(),
            b"X-API-Key:".to_vec(),
            b"X-API-Key: \xff".to_vec(),
            b"Cookie: sessionid=\xff".to_vec(),
            b"Cookie: =; ;;; sessionid".to_vec(),
            format!("{good}\r\n{good}").into_bytes(),
            format!("{good}\r\nAuthorization:").into_bytes(),
            format!("Authorization: Bearer nonsense\r\n{good}").into_bytes(),
        ];
        for head in heads {
            let bytes = [b"GET /api/users/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", head.as_slice(), b"\r\n\r\n"].concat();
            let answer = send(&server, &bytes).await;
            answer.is_problem(&String::from_utf8_lossy(&head));
            assert_eq!(answer.status, 401, "{}", String::from_utf8_lossy(&head));
        }
        let name = ["X-Organization: \u{e9}", "X-Organization:", "X-Request-Id: \u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"];
        for head in name {
            let bytes = format!("DELETE /customer/user123 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{good}\r\n{head}\r\n\r\n");
            send(&server, bytes.as_bytes()).await.is_problem(head);
        }
        is_ready(&server).await;
    }

    async fn a_body_that_is_not_what_its_head_says_is_refused(server: Server) {
        let person = server.new_person().await;
        let body = br#"{"name":"Acme","slug":"acme"}"#;
        let cases = [
            ("chunks that are none", post(&person.token, "Transfer-Encoding: chunked\r\n", b"zz\r\nnonsense\r\n")),
            ("an unknown encoding", post(&person.token, "Transfer-Encoding: rot13\r\n", body)),
            ("two lengths", post(&person.token, "Content-Length: 29\r\nContent-Length: 5\r\n", body)),
            ("no length at all", post(&person.token, "", body)),
            ("a length that is too short", post(&person.token, "Content-Length: 5\r\n", body)),
        ];
        for (name, bytes) in cases {
            let answer = send(&server, &bytes).await;
            assert!((400..500).contains(&answer.status) || answer.status == 0, "{name}: {}", answer.head);
        }
        // Who asks before sending is told at once; nothing of the body is ever sent.
        let answer = send(&server, &post(&person.token, "Content-Length: 2000000\r\nExpect: 100-continue\r\n", b"")).await;
        assert_eq!(answer.status, 413, "{}", answer.head);
        // More than a mebibyte in chunks, without a length that would tell.
        let mut chunks = Vec::new();
        for _ in 0..32 {
            chunks.extend_from_slice(b"10000\r\n");
            chunks.extend_from_slice(&[b' '; 65_536]);
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let answer = send(&server, &post(&person.token, "Transfer-Encoding: chunked\r\n", &chunks)).await;
        assert_eq!(answer.status, 413, "{}", answer.head);
        let made = server.request(Method::GET, "/api/organizations/acme").bearer_auth(&person.token);
        refused(made, StatusCode::NOT_FOUND).await;
        is_ready(&server).await;
    }

    async fn a_client_that_goes_away_harms_no_one(server: Server) {
        let person = server.new_person().await;
        let address = server.url.strip_prefix("http://").unwrap().to_owned();
        let half = post(&person.token, "Content-Length: 1000\r\n", b"{\"name\":");
        let endless = post(&person.token, "Transfer-Encoding: chunked\r\n", b"ffffffffffffff\r\n{");
        for bytes in [&half[..1], &half[..20], &half[..half.len() - 5], &half, &endless] {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            drop(stream);
        }
        is_ready(&server).await;
    }

    async fn every_answer_forbids_guessing_and_storing(server: Server) {
        let person = server.new_person().await;
        for (path, status) in
            [("/api/users/me", StatusCode::OK), ("/api/nothing", StatusCode::NOT_FOUND), ("/customer/user123", StatusCode::FORBIDDEN)]
        {
            let answer = answered(server.request(Method::GET, path).bearer_auth(&person.token), status).await;
            assert_eq!((header(&answer, "x-content-type-options"), header(&answer, "cache-control")), ("nosniff", "no-store"));
        }
    }
}
