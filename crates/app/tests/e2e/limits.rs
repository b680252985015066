//! Rate limits beyond the document: limits of single keys, attempts to get a credential, addresses behind proxies, and exactness when
//! everybody comes at once.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, PASSWORD, Server, expect, header};
use crate::tools::{Session, answered, entries};

async fn make_key(server: &Server, organization: &Organization, body: Json) -> Json {
    let path = format!("/api/organizations/{}/api-keys", organization.id);
    expect(server.request(Method::POST, &path).bearer_auth(&organization.owner.token).json(&body), StatusCode::CREATED).await
}

/// Sends requests until one is refused, and returns the answers before it and the refusal. A window may end meanwhile and begin anew.
async fn exhaust(request: impl Fn() -> RequestBuilder, limit: usize) -> (Vec<Response>, Response) {
    let mut answers = Vec::new();
    for _ in 0..=2 * limit {
        let answer = request().send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return (answers, answer);
        }
        answers.push(answer);
    }
    panic!("{} requests were answered", answers.len());
}

fn policy(answer: &Response) -> &str {
    header(answer, "ratelimit-policy")
}

on_both_engines! {
    async fn a_key_has_its_own_limits_and_they_change_at_once(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=300", "--rate-limit-per-day=10000"]).await;
        let organization = server.new_organization().await;
        let key = make_key(&server, &organization, json!({"name": "Test key", "rateLimitPerMinute": 4})).await;
        let me = || server.request(Method::GET, "/api/users/me").header("X-API-Key", key["key"].as_str().unwrap());
        let (_, refusal) = exhaust(me, 4).await;
        assert_eq!((policy(&refusal), header(&refusal, "ratelimit-limit")), ("4;w=60, 10000;w=86400", "4"));
        let path = format!("/api/organizations/{}/api-keys/{}", organization.id, key["id"].as_str().unwrap());
        let change = |body: Json| server.request(Method::PATCH, &path).bearer_auth(&organization.owner.token).json(&body);
        answered(change(json!({"rateLimitPerMinute": 1000, "rateLimitPerHour": 50})), StatusCode::OK).await;
        let answer = answered(me(), StatusCode::OK).await;
        assert_eq!((policy(&answer), header(&answer, "ratelimit-limit")), ("1000;w=60, 50;w=3600, 10000;w=86400", "50"));
        assert!((1..=3_600).contains(&header(&answer, "ratelimit-reset").parse::<i64>().unwrap()));
        assert_eq!(header(&answer, "x-ratelimit-reset").parse::<i64>().unwrap() % 3_600, 0);
        answered(change(json!({"rateLimitPerMinute": null, "rateLimitPerHour": null})), StatusCode::OK).await;
        assert_eq!(policy(&answered(me(), StatusCode::OK).await), "300;w=60, 10000;w=86400");
        let public = make_key(&server, &organization, json!({"name": "Public key", "kind": "publishable"})).await;
        let request = server.request(Method::GET, &format!("/api/organizations/{}", organization.id));
        let answer = answered(request.header("X-API-Key", public["key"].as_str().unwrap()), StatusCode::OK).await;
        assert_eq!(policy(&answer), "100;w=60, 10000;w=86400");
    }

    async fn operators_give_an_organization_another_day_or_minute_and_it_stays_so(engine: Engine) {
        let arguments = ["--rate-limit-per-minute=300", "--rate-limit-per-day=10000", "--public-url=http://localhost:3001"];
        let mut server = Server::start(engine, &arguments).await;
        let operator = server.new_operator().await;
        let (organization, other) = (server.new_organization().await, server.new_organization().await);
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let (_, others) = server.new_api_key(&other, &other.owner.token, &["read:organization"]).await;
        let path = format!("/api/operator/organizations/{}/limits", organization.slug);
        let set = |server: &Server, body: Json| server.request(Method::PATCH, &path).bearer_auth(&operator.token).json(&body);
        let read = |server: &Server, organization: &Organization, key: &str| {
            server.request(Method::GET, &format!("/api/organizations/{}", organization.id)).header("X-API-Key", key)
        };
        for request in [server.request(Method::GET, &path), server.request(Method::PATCH, &path).json(&json!({"requestsPerDay": 0, "reason": "mine"}))] {
            expect(request.bearer_auth(&organization.owner.token), StatusCode::FORBIDDEN).await;
        }
        for wrong in [json!({"requestsPerDay": 5}), json!({"requestsPerDay": -1, "reason": "x"}), json!({"requestsPerDay": "5", "reason": "x"}), json!({"requestsPerDay": 5, "reason": " "})] {
            expect(set(&server, wrong), StatusCode::BAD_REQUEST).await;
        }
        let nothing = json!({"organizationId": organization.id, "requestsPerDay": null, "requestsPerMinute": null});
        assert_eq!(expect(server.request(Method::GET, &path).bearer_auth(&operator.token), StatusCode::OK).await, nothing);
        // The day alone, for its keys and no others.
        let changed = expect(set(&server, json!({"requestsPerDay": 5, "reason": "a trial"})), StatusCode::OK).await;
        assert_eq!((&changed["requestsPerDay"], &changed["requestsPerMinute"]), (&json!(5), &Json::Null));
        let (answers, refusal) = exhaust(|| read(&server, &organization, &key), 5).await;
        assert_eq!((answers.len(), policy(&refusal), header(&refusal, "ratelimit-limit")), (5, "300;w=60, 5;w=86400", "5"));
        assert!(header(&refusal, "retry-after").parse::<i64>().unwrap() > 0);
        assert_eq!(policy(&answered(read(&server, &other, &others), StatusCode::OK).await), "300;w=60, 10000;w=86400");
        // One who is an operator as well as a member.
        let (inside, _) = server.new_member(&organization, "member").await;
        let add = server.request(Method::POST, "/api/operator/operators").bearer_auth(&operator.token);
        expect(add.json(&json!({"email": inside.email, "reason": "on call"})), StatusCode::CREATED).await;
        // Off, and still so after a restart.
        expect(set(&server, json!({"requestsPerDay": 0, "requestsPerMinute": 3, "reason": "moves its data"})), StatusCode::OK).await;
        server.stop().await;
        server.start_again().await;
        let (answers, refusal) = exhaust(|| read(&server, &organization, &key), 3).await;
        assert!(answers.len() >= 3 && answers.iter().all(|answer| policy(answer) == "300;w=60"));
        let words = refusal.text().await.unwrap();
        assert!(words.contains("3 requests in this minute"), "{words}");
        let inside = server.sign_in(&inside.email, None).await;
        expect(server.request(Method::GET, &path).bearer_auth(&inside), StatusCode::OK).await;
        // No key of it can be given more.
        expect(set(&server, json!({"requestsPerMinute": 50, "reason": "a little more"})), StatusCode::OK).await;
        let body = json!({"name": "Fast key", "rateLimitPerMinute": 51});
        let keys = server.request(Method::POST, &format!("/api/organizations/{}/api-keys", organization.id));
        let answer = expect(keys.bearer_auth(&organization.owner.token).json(&body), StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["errors"][0]["field"], "rateLimitPerMinute", "{answer}");
        // As for all again.
        expect(set(&server, json!({"requestsPerDay": null, "requestsPerMinute": null, "reason": "done"})), StatusCode::OK).await;
        assert_eq!(policy(&answered(read(&server, &organization, &key), StatusCode::OK).await), "300;w=60, 10000;w=86400");
        for trail in ["00000000-0000-0000-0000-000000000000", &organization.id] {
            let entries = entries(&server, &format!("/api/organizations/{trail}/audit"), &operator.token).await;
            let told: Vec<&Json> = entries.iter().filter(|entry| entry["action"] == "organization.set_limits" && entry["outcome"] == "done").collect();
            assert_eq!(told.len(), 4, "{entries:?}");
            assert!(told.iter().all(|entry| entry["actor"] == "operator") && told.iter().any(|entry| entry["reason"] == "a trial"), "{told:?}");
        }
    }

    async fn of_requests_at_the_same_time_exactly_as_many_are_let_through_as_the_limit_says(engine: Engine) {
        // A day, so that the window does not end in the middle.
        let server = Server::start(engine, &["--rate-limit-per-minute=0", "--rate-limit-per-day=100"]).await;
        let person = server.new_person().await;
        let callers = (0..64).map(|_| async {
            let mut allowed = Vec::new();
            for _ in 0..4 {
                let answer = server.request(Method::GET, "/api/users/me").bearer_auth(&person.token).send().await.unwrap();
                if answer.status() == StatusCode::OK {
                    allowed.push(header(&answer, "ratelimit-remaining").parse::<u32>().unwrap());
                }
            }
            allowed
        });
        let mut remaining: Vec<u32> = join_all(callers).await.into_iter().flatten().collect();
        remaining.sort_unstable();
        // Each number of requests that were left was told once.
        assert_eq!(remaining, (0..100).collect::<Vec<u32>>());
    }

    async fn passwords_are_tried_ten_times_a_minute_for_an_account_from_an_address(engine: Engine) {
        let server = Server::start(engine, &["--attempt-limit-per-minute=10", "--trusted-proxies=127.0.0.1"]).await;
        let (person, other) = (server.new_person().await, server.new_person().await);
        let try_as = |email: &str, password: &str, from: &str| {
            let body = json!({"email": email, "password": password});
            server.request(Method::POST, "/api/auth/sign-in").json(&body).header("X-Forwarded-For", from)
        };
        let (tried, refusal) = exhaust(|| try_as(&person.email, "wrong password", "192.0.2.1"), 10).await;
        assert!(tried.len() >= 10 && tried.iter().all(|answer| answer.status() == StatusCode::UNAUTHORIZED));
        assert_eq!(policy(&refusal), "10;w=60");
        assert_eq!(header(&refusal, "retry-after"), header(&refusal, "ratelimit-reset"));
        assert!((1..=60).contains(&header(&refusal, "retry-after").parse::<i64>().unwrap()));
        // However the address is written; and no one else is locked out, nor this person elsewhere.
        let spelled = format!(" {}", person.email.to_uppercase());
        let (tried, _) = exhaust(|| try_as(&spelled, "wrong password", "192.0.2.1"), 10).await;
        assert!(tried.len() <= 10);
        answered(try_as(&other.email, PASSWORD, "192.0.2.1"), StatusCode::OK).await;
        answered(try_as(&person.email, PASSWORD, "192.0.2.2"), StatusCode::OK).await;
    }

    async fn a_password_is_guessed_no_faster_wherever_one_is_asked_for(engine: Engine) {
        let server = Server::start(engine, &["--attempt-limit-per-minute=10", "--trusted-proxies=127.0.0.1"]).await;
        let person = server.new_person().await;
        let from = |request: RequestBuilder, from: &str| request.header("X-Forwarded-For", from);
        let api = |place: &str| {
            let body = json!({"email": person.email, "password": "wrong password"});
            from(server.request(Method::POST, "/api/auth/sign-in").json(&body), place)
        };
        let page = |place: &str| from(server.form("/dashboard/sign-in", &[("email", &person.email), ("password", "wrong password")]), place);
        let current = |place: &str| {
            let body = json!({"currentPassword": "wrong password", "newPassword": "staple battery"});
            from(server.request(Method::POST, "/api/users/me/password").bearer_auth(&person.token).json(&body), place)
        };
        // Each of them alone, and all together from one place.
        for (place, doors) in [("192.0.2.1", [&api as &dyn Fn(&str) -> RequestBuilder, &page]), ("192.0.2.2", [&page, &api]), ("192.0.2.3", [&current, &page])] {
            let (tried, refusal) = exhaust(|| doors[0](place), 10).await;
            assert!(tried.len() >= 10, "{}", tried.len());
            assert_eq!((policy(&refusal), header(&refusal, "retry-after").is_empty()), ("10;w=60", false));
            let (tried, _) = exhaust(|| doors[1](place), 10).await;
            assert!(tried.len() <= 10);
        }
        // A session that changes its address has not more for it.
        let place = std::cell::Cell::new(10);
        let (tried, _) = exhaust(|| { place.set(place.get() + 1); current(&format!("192.0.2.{}", place.get())) }, 10).await;
        assert!(tried.len() <= 10);
        // A page says it to people.
        let text = exhaust(|| page("192.0.2.1"), 10).await.1.text().await.unwrap();
        assert!(text.contains("Too many attempts"), "{text}");
    }

    async fn sign_ups_are_counted_and_of_refreshes_those_that_fail(engine: Engine) {
        let server = Server::start(engine, &["--attempt-limit-per-minute=3", "--trusted-proxies=127.0.0.1"]).await;
        let person = server.new_person().await;
        let body = json!({"email": "new@example.com", "password": PASSWORD});
        let sign_up = || server.request(Method::POST, "/api/auth/sign-up").json(&body).header("X-Forwarded-For", "192.0.2.1");
        assert_eq!(policy(&exhaust(sign_up, 3).await.1), "3;w=60");
        let mut session = Session::begin(&server, &person.email, None).await;
        for _ in 0..20 {
            session = Session::read(answered(session.refresh(&server), StatusCode::OK).await).await;
        }
        let guess = || server.request(Method::POST, "/api/auth/refresh").json(&json!({"refresh_token": "guess"}));
        let (tried, refusal) = exhaust(guess, 6).await;
        assert!(tried.len() >= 6 && tried.iter().all(|answer| answer.status() == StatusCode::UNAUTHORIZED));
        assert_eq!(policy(&refusal), "6;w=60");
    }

    async fn token_endpoints_have_limits_of_their_own_which_strangers_cannot_use_up(engine: Engine) {
        let server = Server::start(engine, &["--attempt-limit-per-minute=4", "--trusted-proxies=127.0.0.1"]).await;
        let organization = server.new_organization().await;
        let app = server.new_oauth_app(&organization, &organization.owner.token, &["read:organization"]).await;
        let ask = |path: &str, fields: &[(&str, &str)], secret: &str, from: u8| {
            let request = server.form(path, fields).basic_auth(&app.client_id, Some(secret));
            request.header("X-Forwarded-For", format!("192.0.2.{from}"))
        };
        // Each address has its own, and a wrong secret from many of them uses up nothing of the app's.
        let token = |secret: &str, from: u8| ask("/api/oauth/token", &[("grant_type", "client_credentials")], secret, from);
        assert_eq!(policy(&exhaust(|| token("guess", 1), 4).await.1), "4;w=60");
        for from in 10..20 {
            answered(token("guess", from), StatusCode::UNAUTHORIZED).await;
        }
        // The app's own requests count together, wherever they come from.
        let (mut from, mut issued) = (20, Vec::new());
        let refusal = loop {
            let answer = token(&app.secret, from).send().await.unwrap();
            from += 1;
            match answer.status() {
                StatusCode::OK => issued.push(answer.json::<Json>().await.unwrap()),
                _ => break answer,
            }
            assert!(issued.len() <= 8);
        };
        assert_eq!((refusal.status(), policy(&refusal)), (StatusCode::TOO_MANY_REQUESTS, "4;w=60"));
        assert!(issued.len() >= 4);
        // Refreshing has twice as many.
        let refresh = ["refresh_token", "guess"].map(|token| ask("/oauth2/token", &[("grant_type", "refresh_token"), ("refresh_token", token)], &app.secret, 2));
        for request in refresh {
            let answer = answered(request, StatusCode::BAD_REQUEST).await;
            assert_eq!(policy(&answer), "8;w=60");
        }
    }

    async fn strangers_are_counted_by_their_address_behind_proxies(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=5", "--trusted-proxies=127.0.0.0/8, 10.0.0.0/8"]).await;
        let live = |from: &'static str| server.request(Method::GET, "/llms.txt").header("X-Forwarded-For", from);
        exhaust(|| live("192.0.2.1"), 5).await;
        answered(live("192.0.2.2"), StatusCode::OK).await;
        // The same network of IPv6 is the same caller, whatever the client puts to the left of it.
        exhaust(|| live("192.0.2.3, 2001:db8:0:1::1, 10.0.0.9"), 5).await;
        let (answers, _) = exhaust(|| live("2001:db8:0:1:ffff::2"), 5).await;
        assert!(answers.len() <= 5);
        answered(live("2001:db8:0:2::1"), StatusCode::OK).await;
        // A bad credential counts for the address it comes from.
        let guess = || server.request(Method::GET, "/api/users/me").bearer_auth("guess").header("X-Forwarded-For", "192.0.2.4");
        exhaust(guess, 5).await;
        let (answers, _) = exhaust(|| live("192.0.2.4"), 5).await;
        assert!(answers.len() <= 5);
    }
    async fn what_watches_the_server_and_verifies_its_tokens_is_never_refused(engine: Engine) {
        let server = Server::start(engine, &["--rate-limit-per-minute=5"]).await;
        for path in ["/health/live", "/health/ready", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"] {
            for _ in 0..8 {
                let answer = answered(server.request(Method::GET, path), StatusCode::OK).await;
                assert_eq!((header(&answer, "ratelimit-limit"), header(&answer, "ratelimit-remaining")), ("5", "4"), "{path}");
            }
        }
        // Nor does it use up what others have, nor is it refused when that is used up.
        let (answers, _) = exhaust(|| server.request(Method::GET, "/llms.txt"), 5).await;
        assert!(answers.len() >= 5);
        answered(server.request(Method::GET, "/health/live"), StatusCode::OK).await;
    }
}
