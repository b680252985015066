//! `Idempotency-Key`: what is sent twice is done once and answered the same, to its sender and to no one else.

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::on_both_engines;
use crate::support::{Engine, OauthApp, Organization, PASSWORD, Server, expect, header};
use crate::tools::{answered, change_database, deleted, entries, new_customer, refused};

/// What is asked for again: the whole answer but what belongs to the single request.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: String,
}

/// Reads an answer, which must say whether it is one that was given before.
async fn keep(answer: Response, is_again: bool) -> Kept {
    assert_eq!(header(&answer, "idempotency-replayed"), if is_again { "true" } else { "" }, "{}", answer.status());
    let own = ["idempotency-replayed", "x-request-id", "date"];
    let names = answer.headers().keys().filter(|name| !own.contains(&name.as_str()) && !name.as_str().contains("ratelimit"));
    let mut headers: Vec<(String, String)> = names.map(|name| (name.to_string(), header(&answer, name.as_str()).to_owned())).collect();
    headers.sort();
    Kept { status: answer.status(), headers, body: answer.text().await.unwrap() }
}

/// Sends a request twice with the same key and expects the same answer, the second time from memory.
async fn twice(request: impl Fn() -> RequestBuilder, key: &str, status: StatusCode) -> Kept {
    let send = async || request().header("Idempotency-Key", key).send().await.unwrap();
    let first = keep(send().await, false).await;
    assert_eq!(first.status, status, "{}", first.body);
    assert_eq!(keep(send().await, true).await, first);
    first
}

fn keys_of(organization: &Organization) -> String {
    format!("/api/organizations/{}/api-keys", organization.id)
}

fn new_key(server: &Server, organization: &Organization, token: &str) -> RequestBuilder {
    server.request(Method::POST, &keys_of(organization)).bearer_auth(token).json(&json!({"name": "Test key"}))
}

on_both_engines! {
    async fn a_request_that_is_sent_twice_is_done_once_and_answered_the_same(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let made = twice(|| new_key(&server, &organization, token), "one", StatusCode::CREATED).await;
        let listed = entries(&server, &keys_of(&organization), token).await;
        assert_eq!(listed.len(), 1);
        let secret = serde_json::from_str::<Json>(&made.body).unwrap()["key"].as_str().unwrap().to_owned();
        answered(server.request(Method::GET, "/api/users/me").header("X-API-Key", secret), StatusCode::OK).await;
        // Without a key, and with another one, it is another request.
        answered(new_key(&server, &organization, token), StatusCode::CREATED).await;
        twice(|| new_key(&server, &organization, token), "two", StatusCode::CREATED).await;
        assert_eq!(entries(&server, &keys_of(&organization), token).await.len(), 3);
        // Refusals are answers too.
        let wrong = || server.request(Method::POST, &keys_of(&organization)).bearer_auth(token).json(&json!({"name": "x"}));
        twice(wrong, "three", StatusCode::BAD_REQUEST).await;
    }

    async fn a_deletion_that_is_ordered_twice_is_the_same_deletion(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        new_customer(&server, &organization, "user123", None).await;
        let path = format!("/api/organizations/{}/customers/user123", organization.id);
        let delete = || server.request(Method::DELETE, &path).bearer_auth(token);
        let first = twice(delete, "one", StatusCode::NO_CONTENT).await;
        let names: Vec<&str> = first.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"deletion-id") && names.contains(&"location"), "{names:?}");
        refused(delete().header("Idempotency-Key", "two"), StatusCode::NOT_FOUND).await;
        // Also when nothing is left of what the sender had to do with.
        let one = format!("/api/organizations/{}", organization.id);
        twice(|| server.request(Method::DELETE, &one).bearer_auth(token), "three", StatusCode::NO_CONTENT).await;
    }

    async fn a_key_that_dies_with_what_it_deletes_hears_no_more(server: Server) {
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["admin:organization"]).await;
        let path = format!("/api/organizations/{}", organization.id);
        let delete = || server.request(Method::DELETE, &path).header("X-API-Key", &key).header("Idempotency-Key", "one");
        deleted(delete(), StatusCode::NO_CONTENT).await;
        refused(delete(), StatusCode::UNAUTHORIZED).await;
    }

    async fn another_request_with_the_same_key_is_refused(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let send = |method: Method, path: &str, body: Json| {
            server.request(method, path).bearer_auth(token).json(&body).header("Idempotency-Key", "one")
        };
        let path = keys_of(&organization);
        let body = json!({"name": "Test key"});
        answered(send(Method::POST, &path, body.clone()), StatusCode::CREATED).await;
        let others = [
            send(Method::POST, &path, json!({"name": "Other key"})),
            send(Method::POST, "/api/organizations", body.clone()),
            send(Method::POST, &format!("/api/organizations/{}/api-keys", organization.slug), body.clone()),
            send(Method::PUT, &format!("/api/organizations/{}", organization.id), body.clone()),
            send(Method::POST, &path, body.clone()).header("X-Organization", "elsewhere"),
        ];
        for other in others {
            let problem = refused(other, StatusCode::UNPROCESSABLE_ENTITY).await;
            assert!(problem["detail"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
        }
        assert_eq!(header(&answered(send(Method::POST, &path, body), StatusCode::CREATED).await, "idempotency-replayed"), "true");
        assert_eq!(entries(&server, &path, token).await.len(), 1);
        // What changes nothing takes no notice of it.
        answered(server.request(Method::GET, &path).bearer_auth(token).header("Idempotency-Key", "one"), StatusCode::OK).await;
    }

    async fn of_twenty_at_the_same_time_one_is_done_and_the_others_wait_or_hear_the_same(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        for round in 0..5 {
            let key = format!("round {round}").replace(' ', "-");
            let all = (0..20).map(|_| new_key(&server, &organization, token).header("Idempotency-Key", &key).send());
            let (mut bodies, mut firsts) = (Vec::new(), 0);
            for answer in join_all(all).await {
                let answer = answer.unwrap();
                if answer.status() == StatusCode::CONFLICT {
                    assert_eq!(header(&answer, "retry-after"), "1");
                    continue;
                }
                assert_eq!(answer.status(), StatusCode::CREATED);
                firsts += usize::from(header(&answer, "idempotency-replayed").is_empty());
                bodies.push(answer.text().await.unwrap());
            }
            assert_eq!(firsts, 1);
            assert!(bodies.iter().all(|body| *body == bodies[0]));
            assert_eq!(entries(&server, &keys_of(&organization), token).await.len(), round + 1);
        }
    }

    async fn who_hangs_up_and_asks_again_finds_the_answer(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let path = keys_of(&organization);
        for round in 0..5 {
            let body = json!({"name": format!("Key {round}")}).to_string();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: round-{round}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            drop(stream);
            let again = || {
                let request = server.request(Method::POST, &path).bearer_auth(token).header("Content-Type", "application/json");
                request.body(body.clone()).header("Idempotency-Key", format!("round-{round}"))
            };
            loop {
                let answer = again().send().await.unwrap();
                if answer.status() != StatusCode::CONFLICT {
                    assert_eq!(answer.status(), StatusCode::CREATED);
                    break;
                }
            }
            assert_eq!(entries(&server, &path, token).await.len(), round + 1);
        }
    }

    async fn no_one_reads_a_kept_answer_in_the_database(server: Server) {
        let organization = server.new_organization().await;
        let name = "a-name-for-this-request-that-is-nowhere";
        let made = twice(|| new_key(&server, &organization, &organization.owner.token), name, StatusCode::CREATED).await;
        let secret = serde_json::from_str::<Json>(&made.body).unwrap()["key"].as_str().unwrap().to_owned();
        let held = at_rest(&server).await;
        let holds = |text: &str| held.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds(&organization.slug), "the search finds what is there");
        assert!(!holds(&secret[4..]) && !holds(name));
    }

    async fn an_answer_is_its_senders_alone_and_only_as_long_as_they_have_to_do_with_it(server: Server) {
        let organization = server.new_organization().await;
        let (admin, member) = server.new_member(&organization, "admin").await;
        let send = |token: &str| new_key(&server, &organization, token).header("Idempotency-Key", "one");
        let admins = expect(send(&admin.token), StatusCode::CREATED).await;
        let owners = expect(send(&organization.owner.token), StatusCode::CREATED).await;
        assert_ne!(admins["key"], owners["key"]);
        // A new session is the same person; a key of theirs is another sender.
        let again = answered(send(&server.sign_in(&admin.email, None).await), StatusCode::CREATED).await;
        assert_eq!(again.json::<Json>().await.unwrap(), admins);
        let (_, key) = server.new_api_key(&organization, &admin.token, &["write:organization"]).await;
        let body = json!({"name": "Test key", "scopes": ["write:organization"]});
        let by_key = server.request(Method::POST, &keys_of(&organization)).header("X-API-Key", key).json(&body);
        assert_eq!(header(&answered(by_key.header("Idempotency-Key", "one"), StatusCode::CREATED).await, "idempotency-replayed"), "");
        let path = format!("/api/organizations/{}/members/{member}", organization.id);
        answered(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        refused(send(&admin.token), StatusCode::FORBIDDEN).await;
        let path = format!("/api/organizations/{}", organization.id);
        deleted(server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token), StatusCode::NO_CONTENT).await;
        refused(send(&organization.owner.token), StatusCode::NOT_FOUND).await;
    }

    async fn what_strangers_are_refused_is_not_kept(server: Server) {
        let post = |path: &str| server.request(Method::POST, path).header("Idempotency-Key", "one");
        let json = |path: &str, body: Json| post(path).json(&body);
        for _ in 0..2 {
            for refused in [
                json("/api/auth/sign-up", json!({"email": "x", "password": "x"})),
                json("/api/auth/sign-in", json!({})),
                json("/api/auth/refresh", json!({"refresh_token": 7})),
                post("/oauth2/token").header("Content-Type", "application/x-www-form-urlencoded").body("grant_type=guess"),
                post("/api/organizations"),
            ] {
                let answer = refused.send().await.unwrap();
                assert!(answer.status().is_client_error(), "{}", answer.status());
                assert_eq!(header(&answer, "idempotency-replayed"), "");
            }
        }
    }

    async fn a_sign_in_that_is_sent_twice_is_one_session(server: Server) {
        let person = server.new_person().await;
        let body = json!({"email": person.email, "password": PASSWORD});
        let first = twice(|| server.request(Method::POST, "/api/auth/sign-in").json(&body), "one", StatusCode::OK).await;
        assert!(first.headers.iter().any(|(name, _)| name == "set-cookie"));
    }

    async fn a_token_that_is_asked_for_twice_is_the_apps_that_asked(server: Server) {
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        let (one, other) = (server.new_oauth_app(&organization, token, &["read:user"]).await, server.new_oauth_app(&organization, token, &["read:user"]).await);
        let ask = |app: &OauthApp| {
            let form = server.form("/oauth2/token", &[("grant_type", "client_credentials")]).basic_auth(&app.client_id, Some(&app.secret));
            form.header("Idempotency-Key", "one")
        };
        let first = expect(ask(&one), StatusCode::OK).await;
        assert_eq!(expect(ask(&one), StatusCode::OK).await, first);
        // The same address, the same key, the same body; not the same app.
        assert_ne!(expect(ask(&other), StatusCode::OK).await["access_token"], first["access_token"]);
        // However many tokens an app has, it is the same sender.
        let app = server.new_oauth_app(&organization, token, &["write:organization", "read:organization"]).await;
        let body = json!({"name": "Test key", "scopes": ["read:organization"]});
        let mut made = Vec::new();
        for _ in 0..2 {
            let access = server.new_oauth_token(&app).await.access;
            let request = server.request(Method::POST, &keys_of(&organization)).bearer_auth(access).json(&body);
            made.push(expect(request.header("Idempotency-Key", "two"), StatusCode::CREATED).await);
        }
        assert_eq!(made[0], made[1]);
    }

    async fn a_key_that_cannot_be_one_is_refused(server: Server) {
        let person = server.new_person().await;
        let send = |key: &str| {
            let body = json!({"name": "Test organization", "slug": "a-slug"});
            server.request(Method::POST, "/api/organizations").bearer_auth(&person.token).json(&body).header("Idempotency-Key", key)
        };
        for wrong in ["", "a b", "\u{e9}", &"x".repeat(256)] {
            let problem = refused(send(wrong), StatusCode::BAD_REQUEST).await;
            assert!(problem["detail"].as_str().unwrap().contains("255"), "{problem}");
        }
        refused(send("one").header("Idempotency-Key", "two"), StatusCode::BAD_REQUEST).await;
        answered(send(&"x".repeat(255)), StatusCode::CREATED).await;
    }
}

on_both_engines! {
    async fn an_answer_outlives_the_server_and_what_was_broken_off_is_not_done_twice(engine: Engine) {
        let mut server = Server::start(engine, &[]).await;
        let organization = server.new_organization().await;
        let (_, key) = server.new_api_key(&organization, &organization.owner.token, &["write:organization", "read:organization"]).await;
        let path = keys_of(&organization);
        let body = json!({"name": "Child key", "scopes": ["read:organization"]});
        let send = async |server: &Server, name: &str| {
            let request = server.request(Method::POST, &path).header("X-API-Key", &key).json(&body);
            request.header("Idempotency-Key", name).send().await.unwrap()
        };
        let first = keep(send(&server, "one").await, false).await;
        keep(send(&server, "two").await, false).await;
        server.kill().await;
        // As if the power had gone before the second answer was kept.
        change_database(&server, "UPDATE idempotent_answers SET answer = NULL WHERE created_at = (SELECT max(created_at) FROM idempotent_answers)").await;
        server.start_again().await;
        assert_eq!(keep(send(&server, "one").await, true).await, first);
        let lost = send(&server, "two").await;
        assert_eq!((lost.status(), header(&lost, "retry-after")), (StatusCode::CONFLICT, ""));
        assert!(lost.text().await.unwrap().contains("not known what came of it"));
        let token = server.sign_in(&organization.owner.email, None).await;
        assert_eq!(entries(&server, &path, &token).await.len(), 3);
    }

    async fn what_was_not_done_can_be_done_with_the_same_key(engine: Engine) {
        let server = Server::start(engine, &["--attempt-limit-per-minute=2"]).await;
        let person = server.new_person().await;
        let sign_in = |password: &str| {
            let body = json!({"email": person.email, "password": password});
            server.request(Method::POST, "/api/auth/sign-in").json(&body).header("Idempotency-Key", "one")
        };
        let mut refusals = 0;
        // Refused for its password, and for the number of attempts: neither is kept.
        for _ in 0..6 {
            let answer = sign_in("wrong password").send().await.unwrap();
            assert_eq!(header(&answer, "idempotency-replayed"), "");
            refusals += usize::from(answer.status() == StatusCode::UNAUTHORIZED);
        }
        assert!(refusals < 6);
        let organizations = || {
            let request = server.request(Method::POST, "/api/organizations").json(&json!({"name": "Test organization", "slug": "a-slug"}));
            request.header("Idempotency-Key", "two")
        };
        refused(organizations(), StatusCode::UNAUTHORIZED).await;
        refused(organizations().bearer_auth("guess"), StatusCode::UNAUTHORIZED).await;
        answered(organizations().bearer_auth(&person.token), StatusCode::CREATED).await;
    }
}

/// Everything that the database holds, as bytes.
async fn at_rest(server: &Server) -> Vec<u8> {
    match server.engine {
        Engine::Sqlite => {
            let file = server.database_file();
            let log = file.with_file_name("freehold.db-wal");
            [std::fs::read(&file).unwrap(), std::fs::read(log).unwrap_or_default()].concat()
        }
        Engine::Postgresql => {
            let (client, connection) = tokio_postgres::connect(server.database_url().unwrap(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let tables = client.query("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", &[]).await.unwrap();
            let mut held = Vec::new();
            for table in tables {
                let table: String = table.get(0);
                let query = format!("SELECT {table}::text FROM {table}");
                for row in client.query(&query, &[]).await.unwrap() {
                    held.extend(row.get::<_, String>(0).into_bytes());
                }
                if table == "idempotent_answers" {
                    for row in client.query("SELECT answer FROM idempotent_answers WHERE answer IS NOT NULL", &[]).await.unwrap() {
                        held.extend(row.get::<_, Vec<u8>>(0));
                    }
                }
            }
            held
        }
    }
}
