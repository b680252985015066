//! The access test: every operation of the server × every kind of caller × every kind of id. The operations come from the server's own
//! catalogue, through `/openapi.json`; what is expected of each comes from the policy. An operation that the test does not know how to ask
//! fails it.

pub mod catalogue;
mod lasting;
mod overtaken;
mod presented;
mod refusals;
mod replays;
pub mod world;

use plane::policy::{Action, Role, Verdict, decide, operator_may};
use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

use crate::on_both_engines;
use crate::support::{Engine, Server};
pub use catalogue::operations;
use catalogue::{Access, Operation};
use world::{Caller, Tenant};
pub use world::{Standing, Target, World};

/// What must become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Neither 401 nor 403.
    LetIn,
    /// 403 or 404.
    Refused,
    /// 401.
    Unknown,
    /// The operation itself decides by what it is given.
    Anything,
}

fn expected(operation: &Operation, caller: &Caller, target: Target) -> Expected {
    match (&operation.access, caller.standing) {
        (Access::Anybody, _) => Expected::Anything,
        (_, Standing::Unknown) => Expected::Unknown,
        (Access::Person, _) => Expected::Anything,
        (Access::Operators, Standing::Operator) => Expected::LetIn,
        (Access::Operators, _) => Expected::Refused,
        // What a key can do no second person has looked at.
        (Access::Members(Action::ApproveDeletion), Standing::Member(_)) if caller.has_a_key() && !operation.is_destructive() => {
            Expected::Refused
        }
        (Access::Members(_), Standing::WrongScope | Standing::Stranger) => Expected::Refused,
        (Access::Members(action), Standing::Operator) => match (operator_may(*action), target) {
            (false, _) => Expected::Refused,
            (true, Target::Own | Target::Foreign) => Expected::LetIn,
            (true, Target::Unknown | Target::Deleted) => Expected::Anything,
        },
        (Access::Members(_), Standing::Member(_) | Standing::Service(_)) if target != caller.home => Expected::Refused,
        // An app acts as the member who makes it.
        (Access::Members(Action::WriteOauthApps), Standing::Service(_)) if operation.method == Method::POST => Expected::Refused,
        (Access::Members(action), Standing::Member(role) | Standing::Service(role)) => match decide(role, *action) {
            Verdict::Yes => Expected::LetIn,
            Verdict::Managed if operation.names_a_customer() => Expected::Refused,
            Verdict::Managed => Expected::LetIn,
            // What no role may do with another member's things is for those who made them, and one of the callers did.
            Verdict::No if !operator_may(*action) && Role::ALL.iter().all(|role| decide(*role, *action) == Verdict::No) => {
                Expected::Anything
            }
            Verdict::No => Expected::Refused,
        },
    }
}

fn fits(expected: Expected, status: StatusCode) -> bool {
    let is_refused = matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    match expected {
        Expected::LetIn => !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
        Expected::Refused => is_refused,
        Expected::Unknown => status == StatusCode::UNAUTHORIZED,
        Expected::Anything => true,
    }
}

on_both_engines! {
    async fn no_one_comes_in_where_the_policy_does_not_let_them(server: Server) {
        let mut server = server;
        let world = World::make(&mut server).await;
        let operations = operations(&server).await;
        assert!(operations.len() > 60, "only {} operations were found", operations.len());
        let (mut cells, mut leaks) = (0, Vec::new());
        for operation in &operations {
            // A caller who signs out, or deletes their account, is unknown for the rest of the test.
            let signs_out = ["signOut", "dashboardSignOut", "deleteMe"].contains(&operation.id.as_str());
            for caller in world.callers.iter().filter(|caller| !signs_out || caller.standing == Standing::Unknown) {
                let mut refusals: Vec<(Target, StatusCode, Json)> = Vec::new();
                for target in Target::ALL {
                    let expected = expected(operation, caller, target);
                    let (tenant, other) = world.case(&server, operation, target, expected == Expected::LetIn).await;
                    let sender = other.as_ref().unwrap_or(caller);
                    let answer = operation.request(&server, sender, &tenant).send().await.unwrap();
                    let (status, text) = (answer.status(), answer.text().await.unwrap());
                    cells += 1;
                    let cell = || format!("{} {} as {} on {target:?} ids", operation.method, operation.path, caller.name);
                    assert!(!status.is_server_error(), "{}: {status} {text}", cell());
                    if !fits(expected, status) {
                        leaks.push(format!("{}: {status} where {expected:?} is expected: {text}", cell()));
                    }
                    if may_not_see(caller, target, expected) && text.contains(&tenant.marker) {
                        leaks.push(format!("{}: {status} tells what is there: {text}", cell()));
                    }
                    if expected == Expected::Refused && caller.standing != Standing::WrongScope {
                        refusals.push((target, status, plain(&text)));
                    }
                }
                leaks.extend(distinguishable(operation, caller, &refusals));
            }
        }
        assert!(leaks.is_empty(), "{} leaks in {cells} cells:\n{}", leaks.len(), leaks.join("\n"));
        eprintln!("access test: {} operations, {} callers, {cells} cells, 0 leaks", operations.len(), world.callers.len());
    }
}

fn may_not_see(caller: &Caller, target: Target, expected: Expected) -> bool {
    matches!(expected, Expected::Refused | Expected::Unknown) || (target != caller.home && caller.standing != Standing::Operator)
}

/// An error without what differs from request to request.
fn plain(text: &str) -> Json {
    let mut error: Json = serde_json::from_str(text).unwrap_or(Json::Null);
    if let Some(error) = error.as_object_mut() {
        error.retain(|name, _| name != "request_id" && name != "timestamp");
    }
    error
}

/// Where the contract says so, an outsider cannot tell what exists from what does not: on the account API organizations, everywhere what was
/// deleted from what never was.
fn distinguishable(operation: &Operation, caller: &Caller, refusals: &[(Target, StatusCode, Json)]) -> Vec<String> {
    if caller.standing == Standing::Unknown {
        return Vec::new();
    }
    let alike: &[Target] = match operation.path.starts_with("/account/") {
        true => &[Target::Foreign, Target::Unknown, Target::Deleted],
        false => &[Target::Unknown, Target::Deleted],
    };
    let told: Vec<_> = refusals.iter().filter(|(target, ..)| alike.contains(target)).collect();
    let first = told.first();
    told.iter()
        .filter(|(_, status, error)| first.is_some_and(|(_, other, words)| (other, words) != (status, error)))
        .map(|(target, status, error)| {
            format!("{} {} as {}: {target:?} ids can be told apart: {status} {error}", operation.method, operation.path, caller.name)
        })
        .collect()
}

/// What a request needs of a tenant.
impl Tenant {
    /// The value of a path parameter, by what stands before it in the address.
    fn id_after(&self, segment: &str, surface_is_customer: bool) -> Option<&str> {
        Some(match segment {
            "organizations" | "organization" => &self.organization,
            "members" => &self.member,
            "customers" | "extend" | "addscreen" => &self.customer,
            "customer" if surface_is_customer => &self.customer,
            "subscriptions" | "transactions" | "devices" | "sessions" | "activity" => &self.dependant,
            "api-keys" => &self.key,
            "invites" => &self.invitation,
            "deletions" => &self.deletion,
            "exports" => &self.export,
            "holds" => &self.hold,
            "deletion-approvals" => &self.approval,
            "webhooks" => &self.webhook,
            "deliveries" | "effects" => &self.delivery,
            "apps" => &self.app,
            "token" => &self.token,
            "users" | "operators" => &self.user,
            "operations" => "home.md",
            "errors" => "not_found",
            "assets" => "dashboard.css",
            _ => return None,
        })
    }
}
