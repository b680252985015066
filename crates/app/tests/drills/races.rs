//! Children that are being made while their parent is deleted, guards that are overtaken, and many who delete the same thing at once.
//!
//! A creation either comes first, and goes with its parent, or is refused; nothing is left behind the completion, and nothing is lost of what a
//! guard protects.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bulk::{Filling, fill, make_users};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, Organization, PASSWORD, Person, Server, expect, header};

/// Creations that each creator begins after the deletion's answer.
const AFTER: usize = 8;
/// More rows than a deletion does at once.
const LARGE: Filling = Filling { number: 0, customers: 100, dependants: 200 };

on_both_engines! {
    async fn what_is_made_while_its_organization_is_deleted_is_refused_or_goes_with_it(server: Server) {
        let store = Store::open_to_change(&server).await;
        make_users(&store).await;
        let owner = server.new_person().await;
        let guests = join_all((0..4).map(|_| server.new_person())).await;
        for round in 1..=8 {
            let organization = server.found_organization(&owner).await;
            let id: Uuid = organization.id.parse().unwrap();
            if round % 2 == 0 {
                fill(&store, id, Filling { number: round, ..LARGE }).await;
            }
            let customer = server.new_customer(&organization, &owner.token).await;
            let (admin, _) = server.new_member(&organization, "admin").await;
            let mut race = Race::new(&server);
            for token in [&owner.token, &admin.token] {
                race.create(token, inside(&organization, "/customers"), |_| json!({"name": "Ada", "email": "ada@example.com"}));
                race.create(token, inside(&organization, "/api-keys"), |_| json!({"name": "Test key"}));
                race.create(token, inside(&organization, "/members/invite"), |n| json!({"email": format!("guest{n}@example.org")}));
            }
            for (kind, body) in dependants() {
                race.create(&owner.token, inside(&organization, &format!("/customers/{customer}/{kind}")), move |_| body.clone());
            }
            for (guest, moment) in guests.iter().zip([30, 60, 80, 110]) {
                race.accept(&guest.token, &invite(&server, &organization, &guest.email).await, moment);
            }
            let sent = race.delete(inside(&organization, ""), &owner.token, round).await;
            let record = server.wait_for_completion(&sent.deletion, &owner.token).await;
            assert_eq!(store.mentions(id).await, Vec::<String>::new());
            for (table, path) in [("customers", "/customers"), ("api_keys", "/api-keys"), ("devices", "/devices")] {
                let before = sent.made_before.iter().filter(|made| made.ends_with(path)).count();
                assert!(record["counts"][table].as_i64().unwrap_or(0) >= before as i64, "{table}: {before} of {record}");
            }
        }
    }

    async fn what_is_made_while_its_customer_is_deleted_is_refused_or_goes_with_it(server: Server) {
        let store = Store::open_to_change(&server).await;
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        for round in 1..=8 {
            let customer = server.new_customer(&organization, owner).await;
            let path = inside(&organization, &format!("/customers/{customer}"));
            if round % 2 == 0 {
                let entries = (0..210).map(|_| server.new_dependant(&organization, &customer, "activity", json!({"kind": "login"})));
                join_all(entries).await;
            }
            let id = store.customer(&customer).await;
            let mut race = Race::new(&server);
            for (kind, body) in dependants() {
                let again = body.clone();
                race.create(owner, format!("{path}/{kind}"), move |_| body.clone());
                race.create(owner, format!("{path}/{kind}"), move |_| again.clone());
            }
            let sent = race.delete(path, owner, round).await;
            server.wait_for_completion(&sent.deletion, owner).await;
            assert_eq!(store.mentions(id).await, Vec::<String>::new());
        }
    }

    async fn what_is_made_while_its_member_is_removed_is_refused_or_no_longer_points_at_them(server: Server) {
        let store = Store::open_to_change(&server).await;
        let organization = server.new_organization().await;
        let person = server.new_person().await;
        for round in 1..=8 {
            let member = server.add_member(&organization, &person, "admin").await;
            let mut race = Race::new(&server);
            let managed = json!({"name": "Ada", "email": "ada@example.com", "managedBy": member});
            for _ in 0..2 {
                race.create(&person.token, inside(&organization, "/api-keys"), |_| json!({"name": "Test key"}));
                race.create(&person.token, inside(&organization, "/members/invite"), |n| json!({"email": format!("guest{n}@example.org")}));
                let body = managed.clone();
                race.create(&person.token, inside(&organization, "/customers"), move |_| body.clone());
            }
            let path = inside(&organization, &format!("/members/{member}"));
            let sent = race.delete(path, &organization.owner.token, round).await;
            server.wait_for_completion(&sent.deletion, &organization.owner.token).await;
            assert_eq!(store.mentions(member.parse().unwrap()).await, Vec::<String>::new());
        }
    }

    async fn an_active_subscription_is_never_lost_to_a_deletion_that_overtakes_it(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let mut chance = Chance::new(7);
        let (mut deleted, mut guarded) = (0, 0);
        for round in 0..120 {
            let customer = server.new_customer(&organization, owner).await;
            let path = inside(&organization, &format!("/customers/{customer}"));
            let (kind, body) = match round % 2 {
                0 => ("subscriptions", json!({"plan": "pro", "startsAt": "2026-01-01T00:00:00Z"})),
                _ => ("transactions", json!({"amount": 1, "currency": "EUR", "status": "pending"})),
            };
            let create = server.request(Method::POST, &format!("{path}/{kind}")).bearer_auth(owner).json(&body);
            let delete = match round % 3 {
                0 => server.request(Method::DELETE, &path),
                1 => server.request(Method::DELETE, &format!("/customer/{customer}")).header("x-organization", &organization.id),
                _ => server.request(Method::DELETE, &format!("/customer/{customer}?hard=true")).header("x-organization", &organization.id),
            };
            let delete = delete.bearer_auth(owner);
            // The request that is sent first has a start of up to half a millisecond.
            let start = Duration::from_micros(chance.number(0..=500));
            let (created, answered) = match chance.number(0..=1) {
                0 => tokio::join!(status(create), after(start, status(delete))),
                _ => tokio::join!(after(start, status(create)), status(delete)),
            };
            match (created.as_u16(), answered.as_u16()) {
                (201, 409) => guarded += 1,
                (404, 200 | 204) => deleted += 1,
                other => panic!("creation and deletion were answered with {other:?}"),
            }
        }
        println!("{:?}: of 120 customers {guarded} were kept by a guard, {deleted} were deleted first", server.engine);
    }

    async fn of_sixteen_who_delete_the_same_thing_at_once_one_does(server: Server) {
        let store = Store::open_to_change(&server).await;
        for _ in 0..3 {
            let organization = server.new_organization().await;
            let owner = &organization.owner.token;
            let (_, member) = server.new_member(&organization, "member").await;
            let customer = server.new_customer(&organization, owner).await;
            let retired = server.new_customer(&organization, owner).await;
            let (key, _) = server.new_api_key(&organization, owner, &["read:organization"]).await;
            let invitation = invite(&server, &organization, "guest@example.org").await["id"].as_str().unwrap().to_owned();
            let subjects = [
                ("member.remove", inside(&organization, &format!("/members/{member}"))),
                ("customer.delete", inside(&organization, &format!("/customers/{customer}"))),
                ("customer.retire", format!("/customer/{retired}")),
                ("api_key.revoke", inside(&organization, &format!("/api-keys/{key}"))),
                ("invitation.cancel", inside(&organization, &format!("/invites/{invitation}"))),
                ("organization.delete", inside(&organization, "")),
            ];
            let id = store.uuid(organization.id.parse().unwrap());
            for (action, path) in subjects {
                let delete = || server.request(Method::DELETE, &path).bearer_auth(owner).header("x-organization", &organization.id);
                let statuses = join_all((0..16).map(|_| status(delete()))).await;
                assert_eq!(statuses.iter().filter(|status| status.is_success()).count(), 1, "{action}: {statuses:?}");
                let rest = statuses.iter().filter(|status| [404, 409].contains(&status.as_u16())).count();
                assert_eq!(rest, 15, "{action}: {statuses:?}");
                let entries = format!(
                    "SELECT count(*) FROM audit_entries WHERE organization_id = {id} AND action = '{action}' AND outcome = 'done'"
                );
                assert_eq!(store.number(&entries).await, 1, "{action}");
            }
            assert_eq!(store.number(&format!("SELECT count(*) FROM deletions WHERE organization_id = {id}")).await, 6);
        }
    }

    async fn of_two_owners_who_leave_at_once_one_stays(server: Server) {
        for _ in 0..12 {
            let Duel { organization, other, members, own, theirs } = Duel::new(&server).await;
            let leave = |member: &str, token: &str| server.request(Method::DELETE, &format!("{members}/{member}")).bearer_auth(token);
            let (first, second) = tokio::join!(status(leave(&own, &organization.owner.token)), status(leave(&theirs, &other.token)));
            let mut both = [first.as_u16(), second.as_u16()];
            both.sort();
            assert_eq!(both, [204, 409]);
        }
    }

    async fn of_two_owners_who_demote_each_other_at_once_one_stays(server: Server) {
        let store = Store::open_to_change(&server).await;
        for _ in 0..12 {
            let Duel { organization, other, members, own, theirs } = Duel::new(&server).await;
            let demote = |member: &str, token: &str| {
                let request = server.request(Method::PUT, &format!("{members}/{member}/role")).bearer_auth(token);
                status(request.json(&json!({"role": "viewer"})))
            };
            let (first, second) = tokio::join!(demote(&theirs, &organization.owner.token), demote(&own, &other.token));
            let mut both = [first.as_u16(), second.as_u16()];
            both.sort();
            assert_eq!(both, [200, 403], "the second is an owner no longer");
            assert_eq!(owners(&store, &organization).await, 1);
        }
    }

    async fn an_owner_who_leaves_while_the_other_is_demoted_leaves_an_owner_behind(server: Server) {
        let store = Store::open_to_change(&server).await;
        for round in 0..12 {
            let Duel { organization, other, members, own, theirs } = Duel::new(&server).await;
            let leave = server.request(Method::DELETE, &format!("{members}/{own}")).bearer_auth(&organization.owner.token);
            // Half of them step down themselves, the others are demoted by the one who leaves.
            let by = if round % 2 == 0 { &other.token } else { &organization.owner.token };
            let demote = server.request(Method::PUT, &format!("{members}/{theirs}/role")).bearer_auth(by).json(&json!({"role": "admin"}));
            let (left, demoted) = tokio::join!(status(leave), status(demote));
            assert!(left.is_success() != demoted.is_success(), "leaving was answered with {left}, the demotion with {demoted}");
            assert_eq!(owners(&store, &organization).await, 1);
        }
    }

    async fn a_session_that_began_with_a_password_that_was_changed_meanwhile_is_no_good(server: Server) {
        for round in 0..8 {
            let person = server.new_person().await;
            let body = json!({"currentPassword": PASSWORD, "newPassword": "another good password"});
            let change = server.request(Method::POST, "/api/users/me/password").bearer_auth(&person.token).json(&body);
            let sign_in = || server.request(Method::POST, "/api/auth/sign-in").json(&json!({"email": person.email, "password": PASSWORD}));
            let start = Duration::from_millis(round * 10);
            let sign_ins = join_all((0..6).map(|number| after(start * number, sign_in().send())));
            let (changed, signed_in) = tokio::join!(status(change), sign_ins);
            assert_eq!(changed, StatusCode::NO_CONTENT);
            for answer in signed_in {
                let body: Json = answer.unwrap().json().await.unwrap();
                let Some(token) = body["access_token"].as_str() else { continue };
                let me = status(server.request(Method::GET, "/api/users/me").bearer_auth(token)).await;
                assert_eq!(me, StatusCode::UNAUTHORIZED);
            }
        }
    }
}

/// An organization of two owners.
struct Duel {
    organization: Organization,
    other: Person,
    /// The address of its members.
    members: String,
    own: String,
    theirs: String,
}

impl Duel {
    async fn new(server: &Server) -> Duel {
        let organization = server.new_organization().await;
        let (other, theirs) = server.new_member(&organization, "owner").await;
        let members = inside(&organization, "/members");
        let list = expect(server.request(Method::GET, &members).bearer_auth(&other.token), StatusCode::OK).await;
        let own = list["data"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).find(|id| *id != theirs).unwrap();
        Duel { own: own.to_owned(), organization, other, members, theirs }
    }
}

async fn owners(store: &Store, organization: &Organization) -> i64 {
    let id = store.uuid(organization.id.parse().unwrap());
    store.number(&format!("SELECT count(*) FROM members WHERE organization_id = {id} AND role = 'owner' AND state = 'live'")).await
}

fn inside(organization: &Organization, rest: &str) -> String {
    format!("/api/organizations/{}{rest}", organization.id)
}

/// Every kind of dependant, none of which a guard would mind.
fn dependants() -> [(&'static str, Json); 5] {
    [
        ("subscriptions", json!({"plan": "pro", "status": "cancelled"})),
        ("transactions", json!({"amount": 1, "currency": "EUR"})),
        ("devices", json!({"name": "Laptop"})),
        ("sessions", json!({"ipAddress": "192.0.2.1"})),
        ("activity", json!({"kind": "login"})),
    ]
}

/// Invites a person and returns the invitation's body.
pub async fn invite(server: &Server, organization: &Organization, email: &str) -> Json {
    let request = server.request(Method::POST, &inside(organization, "/members/invite")).bearer_auth(&organization.owner.token);
    expect(request.json(&json!({"email": email})), StatusCode::CREATED).await
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

async fn after<T>(start: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::sleep(start).await;
    work.await
}

/// Creators who go on while something is deleted.
struct Race {
    client: Client,
    url: String,
    count: watch::Sender<usize>,
    answered: watch::Sender<bool>,
    creators: JoinSet<Vec<Made>>,
}

/// One creation.
struct Made {
    path: String,
    begun: Instant,
    ended: Instant,
    status: StatusCode,
}

/// How a race came out.
struct Sent {
    /// The deletion's id.
    deletion: String,
    /// The addresses of the creations that had succeeded when the deletion was sent.
    made_before: Vec<String>,
}

impl Race {
    fn new(server: &Server) -> Race {
        let (count, answered) = (watch::channel(0).0, watch::channel(false).0);
        Race { client: server.client.clone(), url: server.url.clone(), count, answered, creators: JoinSet::new() }
    }

    /// Begins to create, and goes on until enough creations have begun after the deletion's answer.
    fn create(&mut self, token: &str, path: String, body: impl Fn(usize) -> Json + Send + 'static) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(token);
        let (count, answered) = (self.count.clone(), self.answered.subscribe());
        self.creators.spawn(async move {
            let mut made = Vec::new();
            let mut after = 0;
            while after < AFTER {
                after += usize::from(*answered.borrow());
                let request = request.try_clone().unwrap().json(&body(made.len()));
                made.push(Made::by(request, &path).await);
                count.send_modify(|count| *count += 1);
            }
            made
        });
    }

    /// Accepts an invitation once, at some moment of the race.
    fn accept(&mut self, token: &str, invitation: &Json, moment: usize) {
        let path = "/api/invites/accept".to_owned();
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(token).json(&json!({"token": invitation["token"]}));
        let mut counted = self.count.subscribe();
        self.creators.spawn(async move {
            counted.wait_for(|count| *count >= moment).await.unwrap();
            vec![Made::by(request, &path).await]
        });
    }

    /// Deletes in the middle of it all, and holds every creation against the moment of the answer.
    async fn delete(mut self, path: String, token: &str, round: u64) -> Sent {
        let before = Chance::new(round).number(40..=120) as usize;
        self.count.subscribe().wait_for(|count| *count >= before).await.unwrap();
        let sent = Instant::now();
        let answer = self.client.delete(format!("{}{path}", self.url)).bearer_auth(token).send().await.unwrap();
        let answered = Instant::now();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        self.answered.send_replace(true);
        let deletion = header(&answer, "deletion-id").to_owned();
        let mut made_before = Vec::new();
        while let Some(made) = self.creators.join_next().await {
            for Made { path, begun, ended, status } in made.unwrap() {
                let is_clean = status.is_success() || status.is_client_error();
                assert!(is_clean && status != StatusCode::TOO_MANY_REQUESTS, "a creation at {path} was answered with {status}");
                if begun > answered {
                    let after = begun.duration_since(answered);
                    assert!(!status.is_success(), "a creation at {path} begun {after:?} after the deletion's answer succeeded");
                } else if ended < sent {
                    assert!(status.is_success(), "a creation at {path} before the deletion was answered with {status}");
                    made_before.push(path);
                }
            }
        }
        Sent { deletion, made_before }
    }
}

impl Made {
    async fn by(request: RequestBuilder, path: &str) -> Made {
        let begun = Instant::now();
        let status = status(request).await;
        Made { path: path.to_owned(), begun, ended: Instant::now(), status }
    }
}
