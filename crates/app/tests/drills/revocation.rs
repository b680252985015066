//! The promise of revocation under load: no request that begins after the answer to a deletion is accepted, whatever its credential, and no
//! other caller is refused meanwhile. More than ten thousand requests race with deletions on each engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::bulk::{Filling, fill, make_users};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::store::Store;
use crate::support::{Engine, OauthApp, Organization, Server, SignedIn, short};

/// Requests that each of the four drills makes at the least.
const RACED: usize = 3_500;
/// Deletions that they race with at the least.
const ROUNDS: u64 = 8;
/// Requests that each caller begins after the deletion's answer.
const CALLS_AFTER: usize = 15;
/// Keys or tokens of one round that are presented for the first time about when the deletion goes on: read from the database, not from memory.
const FRESH: usize = 120;

on_both_engines! {
    async fn no_request_begun_after_an_organization_was_deleted_is_accepted(server: Server) {
        let owner = server.new_person().await;
        let elsewhere = server.new_organization().await;
        let store = Store::open_to_change(&server).await;
        make_users(&store).await;
        let mut raced = Raced::default();
        while raced.requests < RACED || raced.rounds < ROUNDS {
            let doomed = server.found_organization(&owner).await;
            // Every other one is too large to be completed at once.
            if raced.rounds % 2 == 1 {
                fill(&store, doomed.id.parse().unwrap(), Filling { number: raced.rounds, customers: 100, dependants: 300 }).await;
            }
            let home = server.found_organization(&owner).await;
            let (admin, _) = server.new_member(&doomed, "admin").await;
            let customer = server.new_customer(&doomed, &owner.token).await;
            let (bound, unbound) = sign_in_twice(&server, &owner.email, &doomed).await;
            let app = server.new_oauth_app(&doomed, &owner.token, &["admin:all"]).await;
            let given = server.new_oauth_token(&app).await.access;
            let customer_path = format!("/customer/{customer}");
            let mut callers = vec![
                Caller::doomed("token", bearer(&owner.token), inside(&doomed, "")),
                Caller::doomed("other session's token", bearer(&unbound.token), inside(&doomed, "/customers")),
                Caller::doomed("bound token", bearer(&bound.token), "/api/users/me".into()),
                Caller::doomed("bound token inside", bearer(&bound.token), customer_path),
                Caller::doomed("cookie", cookie(&unbound), inside(&doomed, "/members")),
                Caller::doomed("bound cookie", cookie(&bound), "/account/api/v1/whoami".into()),
                Caller::doomed("app's token", bearer(&given), "/api/users/me".into()),
                Caller::doomed("app's token inside", bearer(&given), inside(&doomed, "/audit")),
                Caller::doomed("admin's token", bearer(&admin.token), format!("/account/api/v1/organizations/{}", short(&doomed.id))),
                Caller::neighbour("same person's profile", bearer(&owner.token), "/api/users/me".into()),
                Caller::neighbour("same person elsewhere", bearer(&owner.token), inside(&home, "")),
                Caller::neighbour("stranger", bearer(&elsewhere.owner.token), inside(&elsewhere, "")),
            ];
            callers.extend(Caller::fresh_keys(&server, &doomed, &owner.token).await);
            let path = match raced.rounds % 2 {
                0 => inside(&doomed, ""),
                _ => format!("/account/api/v1/organizations/{}", short(&doomed.id)),
            };
            raced.race(&server, callers, server.request(Method::DELETE, &path).bearer_auth(&owner.token)).await;
        }
        raced.report("organizations", server.engine);
    }

    async fn no_request_begun_after_a_member_was_removed_is_accepted(server: Server) {
        let organization = server.new_organization().await;
        let elsewhere = server.new_organization().await;
        let person = server.new_person().await;
        server.add_member(&elsewhere, &person, "viewer").await;
        let (_, stays) = server.new_api_key(&organization, &organization.owner.token, &["read:organization"]).await;
        let mut raced = Raced::default();
        while raced.requests < RACED || raced.rounds < ROUNDS {
            let member = server.add_member(&organization, &person, "admin").await;
            let (bound, unbound) = sign_in_twice(&server, &person.email, &organization).await;
            let app = server.new_oauth_app(&organization, &person.token, &["admin:all"]).await;
            let given = server.new_oauth_token(&app).await.access;
            let mut callers = vec![
                Caller::doomed("token", bearer(&person.token), inside(&organization, "")),
                Caller::doomed("other session's token", bearer(&unbound.token), inside(&organization, "/members")),
                Caller::doomed("bound token", bearer(&bound.token), "/api/users/me".into()),
                Caller::doomed("bound token inside", bearer(&bound.token), inside(&organization, "/api-keys")),
                Caller::doomed("cookie", cookie(&unbound), inside(&organization, "/customers")),
                Caller::doomed("bound cookie", cookie(&bound), "/account/api/v1/whoami".into()),
                Caller::doomed("app's token", bearer(&given), "/api/users/me".into()),
                Caller::doomed("app's token inside", bearer(&given), inside(&organization, "/audit")),
                Caller::neighbour("same person's profile", bearer(&person.token), "/api/users/me".into()),
                Caller::neighbour("same person elsewhere", bearer(&person.token), inside(&elsewhere, "")),
                Caller::neighbour("owner", bearer(&organization.owner.token), inside(&organization, "")),
                Caller::neighbour("owner's key", key(&stays), inside(&organization, "")),
            ];
            callers.extend(Caller::fresh_keys(&server, &organization, &person.token).await);
            let path = inside(&organization, &format!("/members/{member}"));
            let by = if raced.rounds % 2 == 0 { &organization.owner.token } else { &person.token };
            raced.race(&server, callers, server.request(Method::DELETE, &path).bearer_auth(by)).await;
        }
        raced.report("members", server.engine);
    }

    async fn no_request_begun_after_a_key_was_revoked_is_accepted(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let bound = server.sign_in(&organization.owner.email, Some(&organization.id)).await;
        let scopes = ["read:organization", "read:members", "read:customers", "write:organization"];
        let (_, stays) = server.new_api_key(&organization, owner, &scopes).await;
        let mut raced = Raced::default();
        while raced.requests < RACED || raced.rounds < ROUNDS {
            let (id, secret) = server.new_api_key(&organization, owner, &scopes).await;
            let mut callers = vec![
                Caller::doomed("key on the profile", key(&secret), inside(&organization, "")),
                Caller::doomed("key on the members", key(&secret), inside(&organization, "/members")),
                Caller::doomed("key on the customers", key(&secret), inside(&organization, "/customers")),
                Caller::doomed("key on the account", key(&secret), "/account/api/v1/organizations".into()),
                Caller::neighbour("another key", key(&stays), inside(&organization, "/members")),
                Caller::neighbour("its member's token", bearer(owner), inside(&organization, "")),
                Caller::neighbour("its member's bound token", bearer(&bound), inside(&organization, "/customers")),
            ];
            callers.extend(callers[..4].to_vec());
            let path = inside(&organization, &format!("/api-keys/{id}"));
            let deletion = server.request(Method::DELETE, &path);
            let deletion = if raced.rounds % 2 == 0 { deletion.bearer_auth(owner) } else { deletion.header("x-api-key", &secret) };
            raced.race(&server, callers, deletion).await;
        }
        raced.report("keys", server.engine);
    }

    async fn no_request_begun_after_an_app_or_its_token_was_deleted_is_accepted(server: Server) {
        let organization = server.new_organization().await;
        let owner = &organization.owner.token;
        let scopes = ["read:user", "read:organization", "read:members", "write:oauth-apps"];
        let stays = server.new_oauth_token(&server.new_oauth_app(&organization, owner, &scopes).await).await.access;
        let mut raced = Raced::default();
        while raced.requests < RACED || raced.rounds < ROUNDS {
            let app = server.new_oauth_app(&organization, owner, &scopes).await;
            let token = server.new_oauth_token(&app).await;
            let mut callers = vec![
                Caller::doomed("token on the profile", bearer(&token.access), inside(&organization, "")),
                Caller::doomed("token on the members", bearer(&token.access), inside(&organization, "/members")),
                Caller::doomed("token on its user", bearer(&token.access), "/api/users/me".into()),
                Caller::doomed("token on the account", bearer(&token.access), "/account/api/v1/organizations".into()),
                Caller::neighbour("another app's token", bearer(&stays), inside(&organization, "/members")),
                Caller::neighbour("its member's token", bearer(owner), inside(&organization, "")),
            ];
            let path = match raced.rounds % 2 {
                0 => {
                    callers.extend(Caller::fresh_tokens(&server, &app).await);
                    format!("/api/oauth/apps/{}", app.client_id)
                }
                _ => format!("/api/oauth/token/{}", token.id),
            };
            let deletion = server.request(Method::DELETE, &path);
            let deletion = if raced.rounds % 3 == 0 { deletion.bearer_auth(owner) } else { deletion.bearer_auth(&token.access) };
            raced.race(&server, callers, deletion).await;
        }
        raced.report("apps and tokens", server.engine);
    }
}

/// An address inside an organization.
fn inside(organization: &Organization, rest: &str) -> String {
    format!("/api/organizations/{}{rest}", organization.id)
}

/// Signs in bound to the organization, and unbound.
async fn sign_in_twice(server: &Server, email: &str, organization: &Organization) -> (SignedIn, SignedIn) {
    tokio::join!(server.sign_in_fully(email, Some(&organization.id)), server.sign_in_fully(email, None))
}

type Credential = (header::HeaderName, String);

fn bearer(token: &str) -> Credential {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

fn cookie(signed_in: &SignedIn) -> Credential {
    (header::COOKIE, signed_in.cookie.clone())
}

fn key(secret: &str) -> Credential {
    (header::HeaderName::from_static("x-api-key"), secret.to_owned())
}

/// A client that asks for the same thing over and over.
#[derive(Clone)]
struct Caller {
    label: &'static str,
    is_doomed: bool,
    credentials: Arc<Pool>,
    path: String,
}

/// Credentials that are presented one after the other, and after the deletion's answer backwards: those that were being read from the
/// database while it committed come first.
struct Pool {
    credentials: Vec<Credential>,
    next: AtomicUsize,
}

impl Pool {
    fn of(credentials: Vec<Credential>) -> Arc<Pool> {
        let next = AtomicUsize::new(credentials.len());
        Arc::new(Pool { credentials, next })
    }

    fn next(&self, backwards: bool) -> &Credential {
        let place = match backwards {
            false => self.next.fetch_add(1, Ordering::Relaxed),
            true => self.next.fetch_sub(1, Ordering::Relaxed).wrapping_sub(1),
        };
        &self.credentials[place % self.credentials.len()]
    }
}

impl Caller {
    fn doomed(label: &'static str, credential: Credential, path: String) -> Caller {
        Caller { label, is_doomed: true, credentials: Pool::of(vec![credential]), path }
    }

    fn neighbour(label: &'static str, credential: Credential, path: String) -> Caller {
        Caller { label, is_doomed: false, credentials: Pool::of(vec![credential]), path }
    }

    /// Doomed callers who share many keys, so that some of these are presented for the first time while the deletion goes on.
    async fn fresh_keys(server: &Server, organization: &Organization, token: &str) -> Vec<Caller> {
        let making = (0..FRESH).map(|_| server.new_api_key(organization, token, &["read:user"]));
        let credentials = futures_util::future::join_all(making).await.iter().map(|(_, secret)| key(secret)).collect();
        // An address inside the organization would look for the membership as well: here nothing but the key decides.
        let path = "/api/users/me".to_owned();
        let caller = Caller { label: "a fresh key", is_doomed: true, credentials: Pool::of(credentials), path };
        vec![caller; 6]
    }

    /// The same with tokens of one app.
    async fn fresh_tokens(server: &Server, app: &OauthApp) -> Vec<Caller> {
        let getting = (0..FRESH).map(|_| server.new_oauth_token(app));
        let credentials = futures_util::future::join_all(getting).await.iter().map(|token| bearer(&token.access)).collect();
        let path = "/api/users/me".to_owned();
        vec![Caller { label: "a fresh token", is_doomed: true, credentials: Pool::of(credentials), path }; 6]
    }

    /// Calls until enough calls have begun after the deletion's answer.
    async fn call(self, client: Client, url: String, count: watch::Sender<usize>, answered: watch::Receiver<bool>) -> (Caller, Vec<Seen>) {
        let mut seen = Vec::new();
        let mut after = 0;
        while after < CALLS_AFTER {
            let is_after = *answered.borrow();
            after += usize::from(is_after);
            let (name, value) = self.credentials.next(is_after);
            let request = client.get(format!("{url}{}", self.path)).header(name, value);
            let begun = Instant::now();
            let status = request.send().await.unwrap().status();
            seen.push(Seen { begun, status });
            count.send_modify(|count| *count += 1);
        }
        (self, seen)
    }
}

/// One request.
struct Seen {
    begun: Instant,
    status: StatusCode,
}

/// What has been raced so far.
#[derive(Default)]
struct Raced {
    rounds: u64,
    requests: usize,
    /// Of doomed credentials, accepted before the deletion was sent.
    accepted_before: usize,
    /// Of doomed credentials, on their way while the deletion was.
    overlapping: usize,
    /// Of doomed credentials, begun after its answer.
    refused_after: usize,
}

impl Raced {
    /// Sends the deletion while all callers call, and holds every request against the moment of its answer.
    async fn race(&mut self, server: &Server, callers: Vec<Caller>, deletion: RequestBuilder) {
        let mut chance = Chance::new(self.rounds);
        let (count, mut counted) = watch::channel(0);
        let (tell, told) = watch::channel(false);
        let mut calling = JoinSet::new();
        for caller in callers {
            calling.spawn(caller.call(server.client.clone(), server.url.clone(), count.clone(), told.clone()));
        }
        let before = chance.number(60..=200) as usize;
        counted.wait_for(|count| *count >= before).await.unwrap();
        let sent = Instant::now();
        let answer = deletion.send().await.unwrap();
        let answered = Instant::now();
        assert!(answer.status().is_success(), "the deletion was answered with {}", answer.status());
        tell.send(true).unwrap();
        while let Some(called) = calling.join_next().await {
            let (caller, seen) = called.unwrap();
            self.requests += seen.len();
            self.judge(&caller, &seen, sent, answered);
        }
        self.rounds += 1;
    }

    fn judge(&mut self, caller: &Caller, seen: &[Seen], sent: Instant, answered: Instant) {
        let label = caller.label;
        let last_before = seen.iter().rposition(|seen| seen.begun < sent);
        for (place, Seen { begun, status }) in seen.iter().enumerate() {
            assert!(!status.is_server_error(), "{label} was answered with {status}");
            if !caller.is_doomed {
                assert!(status.is_success(), "{label} has nothing to do with the deletion and was answered with {status}");
            } else if *begun > answered {
                let after = begun.duration_since(answered);
                assert!(!status.is_success(), "{label} was accepted in a request begun {after:?} after the deletion's answer");
                self.refused_after += 1;
            } else if last_before.is_some_and(|last| place < last) {
                // Answered before the last request that began before the deletion was sent.
                assert!(status.is_success(), "{label} was answered with {status} before the deletion");
                self.accepted_before += 1;
            } else {
                self.overlapping += 1;
            }
        }
    }

    fn report(&self, what: &str, engine: Engine) {
        let Raced { rounds, requests, accepted_before, overlapping, refused_after } = self;
        println!(
            "{engine:?}: {requests} requests raced with {rounds} deletions of {what}; of the doomed credentials' {accepted_before} were \
             accepted before, {overlapping} overlapped and {refused_after} were refused after the answer"
        );
        assert!(*accepted_before > 0 && *overlapping > 0, "the race was none");
    }
}
