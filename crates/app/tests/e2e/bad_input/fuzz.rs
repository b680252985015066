//! Five hundred requests an engine, made from good ones by chance. The seed is fixed and printed with what goes wrong.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};

use super::{Endpoint, PATIENCE, World, fresh, is_ready};
use crate::on_both_engines;
use crate::support::{Engine, Server, header};

const SEED: u64 = 0x5eed_0ff4_ee40_001d;
const REQUESTS: usize = 500;

/// A small generator of chances (xorshift64*), the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Something that is not expected there.
fn odd_value(chance: &mut Chance) -> Json {
    let odd = [
        Json::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1e308),
        json!(0.1),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("\u{7f}"),
        json!("\u{ffff}"),
        json!("\u{202e}\u{200b}"),
        json!("🏳️‍🌈"),
        json!("é".repeat(300)),
        json!("x".repeat(70_000)),
        json!("' OR 1=1; DROP TABLE users; --"),
        json!("$1"),
        json!("%00%ff"),
        json!("../../etc/passwd"),
        json!("-009999-01-02T01:59:59Z"),
        json!("9999-12-30T22:00:00.999999999Z"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!("2222222222222222222222"),
        json!("owner"),
        json!("admin:all"),
        json!("a@b"),
        json!("@"),
        json!([]),
        json!([null, [[]], {}]),
        json!(vec!["read:user"; 2_000]),
        json!({}),
        json!({"": ""}),
        json!({"a": {"a": {"a": {}}}}),
        json!({"\0": "\0"}),
    ];
    chance.pick(&odd).clone()
}

/// Changes a body in up to three places.
fn distort(chance: &mut Chance, body: &mut Json) {
    for _ in 0..=chance.below(3) {
        let value = odd_value(chance);
        let Some(object) = body.as_object_mut() else { return };
        let names: Vec<String> = object.keys().cloned().collect();
        match (chance.below(6), names.is_empty()) {
            (0, _) => drop(object.insert(chance.pick(&["", "id", "name", "role", "state", "organizationId", "\0"]).to_string(), value)),
            (1, false) => drop(object.remove(chance.pick(&names))),
            (2, false) => {
                let name = chance.pick(&names).clone();
                let inner = object[&name].take();
                object[&name] = if chance.once_in(2) { json!([inner]) } else { json!({"a": inner}) };
            }
            (3, _) => *body = if chance.once_in(4) { value } else { body.clone() },
            (_, false) => object[chance.pick(&names)] = value,
            (_, true) => {}
        }
    }
}

/// Changes the bytes of a body, now and then.
fn scramble(chance: &mut Chance, bytes: &mut Vec<u8>) {
    if !chance.once_in(3) {
        return;
    }
    for _ in 0..=chance.below(4) {
        let place = chance.below(bytes.len().max(1));
        match chance.below(4) {
            0 if !bytes.is_empty() => bytes[place] = chance.next() as u8,
            1 if !bytes.is_empty() => drop(bytes.remove(place)),
            2 => bytes.insert(place.min(bytes.len()), *chance.pick(b"\"{}[],:\\\0\xff0e-.u")),
            _ => bytes.truncate(place),
        }
    }
}

/// Changes the address: a part of it becomes something else, or a query is added.
fn mislead(chance: &mut Chance, path: &str) -> String {
    if !chance.once_in(4) {
        return path.to_owned();
    }
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let place = 1 + chance.below(parts.len() - 1);
    parts[place] = chance.pick(&["%00", "%ff", "x", "-", "%2F", "2222222222222222222222", "%F0%9F%92%A9", "null"]).to_string();
    let query = chance.pick(&["", "?reason=%00", "?hard=%ff", "?page=-1", "?page_size=1e9", "?reason=%F0%9F%92%A9&hard=1", "?&=&&"]);
    format!("{}{query}", parts.join("/"))
}

fn next_request(chance: &mut Chance, server: &Server, world: &World, endpoints: &[&Endpoint], number: usize) -> (RequestBuilder, String) {
    let endpoint = *chance.pick(endpoints);
    let mut body = endpoint.body.clone();
    distort(chance, &mut body);
    let mut bytes = fresh(&body, number).into_bytes();
    scramble(chance, &mut bytes);
    let method = if chance.once_in(8) {
        chance.pick(&[Method::DELETE, Method::GET, Method::PUT, Method::PATCH]).clone()
    } else {
        endpoint.method.clone()
    };
    let path = mislead(chance, &endpoint.path);
    let told = format!(
        "seed {SEED:#x}, request {number}: {method} {path} {}",
        String::from_utf8_lossy(&bytes).chars().take(2_000).collect::<String>()
    );
    let mut request = server.request(method, &path).header("Content-Type", "application/json").timeout(PATIENCE).body(bytes);
    if !chance.once_in(20) {
        request = request.bearer_auth(&world.organization.owner.token);
    }
    if chance.once_in(10) {
        request =
            request.header("X-Organization", *chance.pick(&["", "x", "no-such-slug", "00000000-0000-0000-0000-000000000000", "\u{e9}"]));
    }
    (request, told)
}

on_both_engines! {
    async fn chance_finds_no_defect(server: Server) {
        let world = World::make(&server).await;
        // Passwords are slow to hash by design: those two have tests of their own.
        let endpoints: Vec<&Endpoint> = world.endpoints.iter().filter(|endpoint| !endpoint.path.contains("/sign-")).collect();
        let mut chance = Chance(SEED);
        let mut successes = 0;
        for number in 0..REQUESTS {
            let (request, told) = next_request(&mut chance, &server, &world, &endpoints, number);
            let answer = request.send().await.unwrap_or_else(|error| panic!("{told}: {error}"));
            let (status, kind) = (answer.status(), header(&answer, "content-type").to_owned());
            let text = answer.text().await.unwrap();
            assert!(status.is_success() || status.is_client_error(), "{told}: {status} {text}");
            if status.is_client_error() {
                assert_eq!(kind, "application/problem+json", "{told}: {status} {text}");
                let problem: Json = serde_json::from_str(&text).unwrap();
                assert!(problem["request_id"].is_string() && problem["status"] == status.as_u16(), "{told}: {text}");
            } else {
                successes += usize::from(status != StatusCode::NO_CONTENT);
            }
        }
        assert!((1..REQUESTS).contains(&successes), "{successes} of {REQUESTS} requests were good: the fuzzer has lost its teeth");
        is_ready(&server).await;
    }
}
