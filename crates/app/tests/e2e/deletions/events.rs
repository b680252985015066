//! Watching deletions: the list by state and organization, what a record says of its progress and of what it waits for, and the stream of
//! events with all of its ends.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value as Json, json};

use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, expect, header};
use crate::tools::{Cast, answered, change_database, deleted, new_customer, refused};
use crate::webhooks::receiver::{Answer, Receiver};

/// An address that refuses at once: what is to be told there waits for half a minute until it is given up.
const NO_RECEIVER: &str = "http://127.0.0.1:9/";

/// A stream of events that is being read.
struct Events {
    response: Response,
    unread: String,
}

impl Events {
    async fn open(request: RequestBuilder) -> Events {
        let response = answered(request, StatusCode::OK).await;
        assert_eq!((header(&response, "content-type"), header(&response, "content-length")), ("text/event-stream", ""));
        Events { response, unread: String::new() }
    }

    /// The next event's name and data; none when the stream is over.
    async fn next(&mut self) -> Option<(String, Json)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.unread = rest;
                let Some((name, data)) = event.strip_prefix("event: ").and_then(|event| event.split_once("\ndata: ")) else { continue };
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            let read = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.expect("the stream is silent");
            match read.unwrap() {
                Some(bytes) => self.unread += std::str::from_utf8(&bytes).unwrap(),
                None => return None,
            }
        }
    }

    /// Reads to the end and returns why the stream ended.
    async fn end(mut self) -> Json {
        loop {
            let (name, data) = self.next().await.expect("a stream that ends says why");
            if name == "ended" {
                assert!(self.next().await.is_none());
                return data["reason"].clone();
            }
            assert_eq!(name, "progress");
        }
    }
}

async fn hook(server: &Server, organization: &Organization, url: &str, events: &[&str]) {
    let path = format!("/api/organizations/{}/webhooks", organization.id);
    let request = server.request(Method::POST, &path).bearer_auth(&organization.owner.token);
    expect(request.json(&json!({"url": url, "events": events})), StatusCode::CREATED).await;
}

async fn start(engine: Engine) -> Server {
    Server::start(engine, &["--webhook-allow=127.0.0.0/8", "--metrics-token=figures"]).await
}

/// A customer's deletion that waits for a webhook without a receiver.
async fn waiting(server: &Server, organization: &Organization) -> String {
    hook(server, organization, NO_RECEIVER, &["customer.deleted"]).await;
    new_customer(server, organization, "user123", None).await;
    deleted(server.request(Method::DELETE, "/customer/user123?hard=true").bearer_auth(&organization.owner.token), StatusCode::OK).await
}

fn watch(server: &Server, deletion: &str) -> RequestBuilder {
    server.request(Method::GET, &format!("/api/deletions/{deletion}/events"))
}

on_both_engines! {
    async fn events_come_at_once_and_at_each_change_and_end_with_the_completion(engine: Engine) {
        let server = start(engine).await;
        let organization = server.new_organization().await;
        let token = &organization.owner.token;
        // It is told at the second attempt, a second after the first.
        let receiver = Receiver::open(&[Answer::Status(500)]).await;
        hook(&server, &organization, &receiver.url, &["organization.deleted"]).await;
        for _ in 0..3 {
            server.new_customer(&organization, token).await;
        }
        let path = format!("/api/organizations/{}", organization.id);
        let deletion = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        let began = Instant::now();
        let mut events = Events::open(watch(&server, &deletion).bearer_auth(token)).await;
        let (name, first) = events.next().await.unwrap();
        assert!(name == "progress" && began.elapsed() < Duration::from_secs(1), "{first}");
        assert_eq!(first["id"], deletion);
        let (mut told, mut waited) = (vec![first], None);
        let completed = loop {
            let (name, record) = events.next().await.unwrap();
            if name == "completed" {
                break record;
            }
            assert_eq!(name, "progress");
            if record["rowsToDo"].is_number() && record["conditions"][0]["type"] == "webhook_deliveries" {
                waited = Some(record.clone());
            }
            told.push(record);
        };
        assert!(events.next().await.is_none(), "it goes on after the completion");
        assert!(told.len() as u128 <= began.elapsed().as_millis() / 250 + 1, "{} events in {:?}", told.len(), began.elapsed());
        assert_eq!((&completed["state"], &completed["rowsToDo"], &completed["stage"], &completed["conditions"]), (&json!("completed"), &json!(0), &Json::Null, &json!([])));
        let waited = waited.unwrap_or_else(|| panic!("no event said what it waited for: {told:#?}"));
        assert_eq!((&waited["stage"], &waited["rate"], &waited["etaSeconds"]), (&json!("effects"), &Json::Null, &Json::Null));
        assert!(waited["conditions"][0]["since"].is_string() && waited["conditions"][0]["remedy"].as_str().unwrap().contains("webhook"), "{waited}");
        // What was ahead of it then was counted along the drain's own way, and came true.
        let rows = |record: &Json, name: &str| record[name].as_i64().unwrap();
        assert_eq!(rows(&waited, "rowsDone") + rows(&waited, "rowsToDo"), rows(&completed, "rowsDone"), "{waited} {completed}");
        assert!(rows(&waited, "rowsToDo") > 0 && rows(&waited, "rowsDone") >= 4, "{waited}");

        // Who comes late hears the end at once; and the record says the same as the stream.
        let mut late = Events::open(watch(&server, &deletion).bearer_auth(token)).await;
        let (name, record) = late.next().await.unwrap();
        assert_eq!((name.as_str(), &record["completedAt"]), ("completed", &completed["completedAt"]));
        assert!(late.next().await.is_none());
        let read = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(token), StatusCode::OK).await;
        assert_eq!((&read["rowsDone"], &read["counts"]), (&completed["rowsDone"], &completed["counts"]));
    }

    async fn a_stream_is_for_those_who_may_read_the_deletion_and_for_as_long_as_they_may(engine: Engine) {
        let server = start(engine).await;
        let cast = Cast::assemble(&server).await;
        let organization = &cast.organization;
        let deletion = waiting(&server, organization).await;
        for token in [cast.token("viewer"), &cast.outsider.token] {
            refused(watch(&server, &deletion).bearer_auth(token), StatusCode::NOT_FOUND).await;
        }
        refused(watch(&server, &deletion), StatusCode::UNAUTHORIZED).await;
        refused(watch(&server, crate::tools::UNKNOWN_ID).bearer_auth(cast.token("owner")), StatusCode::NOT_FOUND).await;

        // A key that is revoked, a session that ends, a member who becomes a viewer: each stream ends, and says why.
        let (key_id, key) = server.new_api_key(organization, cast.token("admin"), &["admin:organization"]).await;
        let session = server.sign_in(cast.email("owner"), None).await;
        let mut streams = Vec::new();
        for request in [
            watch(&server, &deletion).header("X-API-Key", &key),
            watch(&server, &deletion).bearer_auth(&session),
            watch(&server, &deletion).bearer_auth(cast.token("admin")),
            watch(&server, &deletion).bearer_auth(cast.token("owner")),
        ] {
            let mut events = Events::open(request).await;
            assert_eq!(events.next().await.unwrap().0, "progress");
            streams.push(events);
        }
        let [by_key, by_session, by_admin, mut by_owner] = <[Events; 4]>::try_from(streams).ok().unwrap();
        let path = format!("/api/organizations/{}", organization.id);
        deleted(server.request(Method::DELETE, &format!("{path}/api-keys/{key_id}")).bearer_auth(cast.token("owner")), StatusCode::NO_CONTENT).await;
        assert_eq!(by_key.end().await, "unauthorized");
        answered(server.request(Method::POST, "/api/auth/sign-out").bearer_auth(&session), StatusCode::NO_CONTENT).await;
        assert_eq!(by_session.end().await, "unauthorized");
        let demote = server.request(Method::PUT, &format!("{path}/members/{}/role", cast.member("admin"))).bearer_auth(cast.token("owner"));
        answered(demote.json(&json!({"role": "viewer"})), StatusCode::OK).await;
        assert_eq!(by_admin.end().await, "not_found");
        // The reader who still may goes on.
        let state = expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(cast.token("owner")), StatusCode::OK).await;
        assert_ne!(state["state"], "completed");
        let next = tokio::time::timeout(Duration::from_millis(600), by_owner.next()).await;
        assert!(next.is_err() || next.unwrap().is_some_and(|(name, _)| name == "progress"));
    }

    async fn a_server_has_so_many_streams_and_none_of_them_holds_up_its_stop(engine: Engine) {
        let mut server = start(engine).await;
        let organization = server.new_organization().await;
        let deletion = waiting(&server, &organization).await;
        let open = || Events::open(watch(&server, &deletion).bearer_auth(&organization.owner.token));
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(open().await);
        }
        let ninth = watch(&server, &deletion).bearer_auth(&organization.owner.token).send().await.unwrap();
        assert_eq!(ninth.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: Json = ninth.json().await.unwrap();
        assert!(body["retryable"] == true && body["detail"].as_str().unwrap().contains("Close one"), "{body}");
        // One that is closed makes room, as soon as the server has noticed.
        streams.pop();
        let began = Instant::now();
        loop {
            let again = watch(&server, &deletion).bearer_auth(&organization.owner.token).send().await.unwrap();
            if again.status() == StatusCode::OK {
                streams.push(Events { response: again, unread: String::new() });
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "no room is made");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let began = Instant::now();
        server.stop().await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        for events in streams {
            assert_eq!(events.end().await, "stopping");
        }
    }

    async fn deletions_are_listed_by_state_and_organization_across_all_that_one_may_read(engine: Engine) {
        let mut server = start(engine).await;
        let operator = server.new_operator().await;
        let first = server.new_organization().await;
        let second = server.found_organization(&first.owner).await;
        let foreign = server.new_organization().await;
        let token = &first.owner.token;
        let open = {
            hook(&server, &second, NO_RECEIVER, &["customer.deleted"]).await;
            let path = format!("/api/organizations/{}/customers/user123", second.id);
            new_customer(&server, &second, "user123", None).await;
            deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await
        };
        let mut completed = Vec::new();
        for organization in [&first, &foreign] {
            new_customer(&server, organization, "user123", None).await;
            let path = format!("/api/organizations/{}/customers/user123", organization.id);
            let request = server.request(Method::DELETE, &path).bearer_auth(&organization.owner.token);
            completed.push(deleted(request, StatusCode::NO_CONTENT).await);
        }
        let ids = async |query: &str, token: &str| -> Vec<String> {
            let list = expect(server.request(Method::GET, &format!("/api/deletions{query}")).bearer_auth(token), StatusCode::OK).await;
            list["data"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
        };
        let (own, others) = (completed[0].clone(), completed[1].clone());
        assert_eq!(ids("", token).await, [own.clone(), open.clone()], "newest first, of both organizations");
        assert_eq!(ids("?state=open", token).await, std::slice::from_ref(&open));
        assert_eq!(ids("?state=completed", token).await, std::slice::from_ref(&own));
        // The word of before.
        assert_eq!(ids("?state=sealed", token).await, std::slice::from_ref(&own));
        assert_eq!(ids(&format!("?organization={}", second.slug), token).await, std::slice::from_ref(&open));
        assert_eq!(ids(&format!("?organization={}&state=completed", second.id), token).await, Vec::<String>::new());
        assert_eq!(ids("", &operator.token).await, [others.clone(), own.clone(), open.clone()]);
        assert_eq!(ids("?state=completed", &operator.token).await, [others.clone(), own.clone()]);
        assert_eq!(ids(&format!("?organization={}", foreign.id), &operator.token).await, [others]);
        // In slices.
        let slice = async |after: &str| {
            expect(server.request(Method::GET, &format!("/api/deletions?page_size=1&after={after}")).bearer_auth(token), StatusCode::OK).await
        };
        let newest = slice("").await;
        assert_eq!((&newest["data"][0]["id"], &newest["pagination"]["hasNext"]), (&json!(own), &json!(true)));
        let older = slice(newest["pagination"]["nextCursor"].as_str().unwrap()).await;
        assert_eq!((&older["data"][0]["id"], &older["pagination"]["hasNext"]), (&json!(open), &json!(false)));
        let request = |query: &str| server.request(Method::GET, &format!("/api/deletions{query}"));
        refused(request("?state=lost").bearer_auth(token), StatusCode::BAD_REQUEST).await;
        refused(request(&format!("?organization={}", foreign.id)).bearer_auth(token), StatusCode::FORBIDDEN).await;
        // A deletion of an organization that is gone: operators see it, its people no longer.
        let path = format!("/api/organizations/{}", first.id);
        let gone = deleted(server.request(Method::DELETE, &path).bearer_auth(token), StatusCode::NO_CONTENT).await;
        server.wait_for_completion(&gone, token).await;
        assert_eq!(ids("", token).await, [open]);
        assert_eq!(ids(&format!("?organization={}&state=completed", first.id), &operator.token).await, [gone, own]);
    }

    async fn one_that_makes_no_progress_is_counted_as_stuck_and_says_since_when(engine: Engine) {
        let server = start(engine).await;
        let organization = server.new_organization().await;
        let deletion = waiting(&server, &organization).await;
        let read = async || expect(server.request(Method::GET, &format!("/api/deletions/{deletion}")).bearer_auth(&organization.owner.token), StatusCode::OK).await;
        let figures = async || {
            let answer = answered(server.request(Method::GET, "/metrics").bearer_auth("figures"), StatusCode::OK).await;
            let text = answer.text().await.unwrap();
            text.lines().find(|line| line.starts_with("freehold_deletions_stuck")).unwrap().to_owned()
        };
        while read().await["conditions"] == json!([]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(figures().await, "freehold_deletions_stuck 0");
        let ago = if server.engine == Engine::Sqlite { "1000000" } else { "'1970-01-01T00:00:01Z'" };
        change_database(&server, &format!("UPDATE deletions SET waiting_since = {ago} WHERE waiting_since IS NOT NULL")).await;
        // The drain comes back to it every half second, and it still waits since then.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let record = read().await;
        assert!(record["conditions"][0]["since"].as_str().unwrap().starts_with("1970-01-01T00:00:01"), "{record}");
        assert_eq!(figures().await, "freehold_deletions_stuck 1");
    }
}
